//! Leaf values that every floor may use: the clock, the secret, a time-out, shares of bounded room, short texts, digits, turns,
//! the folder of a path, a panic that costs one task.
//!
//! Deliberately absent: anything that does I/O, and anything that knows HTTP.

pub mod catch;
pub mod clock;
pub mod hex;
pub mod limiter;
pub mod path;
pub mod patience;
pub mod secret;
pub mod share;
pub mod text;

pub use clock::{Clock, Moment, UnixMillis};
pub use path::{folder_of, named_in};
pub use secret::Secret;
pub use share::Sharing;
