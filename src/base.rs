//! Leaf values that every floor may use: the clock, the secret, a time-out, shares of bounded room, short texts, digits, turns,
//! a panic that costs one task.
//!
//! Deliberately absent: anything that does I/O, and anything that knows HTTP.

pub mod catch;
pub mod clock;
pub mod hex;
pub mod limiter;
pub mod patience;
pub mod secret;
pub mod share;
pub mod text;

pub use clock::{Clock, Moment, UnixMillis};
pub use secret::Secret;
pub use share::Sharing;
