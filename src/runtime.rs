//! What a running relay holds: the compiled configuration, swapped whole by a reload, and what outlives it.
//!
//! In comes what `config` compiled; out comes what a request reads: its route, its limits, the lanes and breakers of its
//! delivery. Nothing here reads a file, opens a socket or decides about a request.

pub mod dispatch;
pub mod routing;
pub mod snapshot;
pub mod state;
