//! Whether a request is genuine, and what becomes of it: [`pipeline`] is the whole way in one file, read it first.
//! [`explain`] gives each step's verdict on a stored or captured request, by the same functions.
//!
//! In comes a head with a body that is still to be read; out comes one answer and one record. Nothing here touches a socket,
//! and no step can be left out: each one takes what only the step before can make.

pub mod explain;
pub mod pipeline;
