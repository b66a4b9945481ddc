//! Delivery behind the sender's back: what was accepted reaches the inside, in its time and as often as it takes.
//!
//! The steps are those of `pipeline` after verification; the route is the one that the configuration of the moment has
//! under the stored name.

pub mod replay;

pub use replay::{NotReplayed, Replayed, replay};
