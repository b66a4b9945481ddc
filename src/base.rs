//! Leaf values that every floor may use: the clock and the secret.
//!
//! Deliberately absent: anything that does I/O, and anything that knows HTTP.

pub mod clock;
pub mod secret;

pub use clock::{Clock, Moment, UnixMillis};
pub use secret::Secret;
