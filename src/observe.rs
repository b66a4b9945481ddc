//! One fact, one event: the log line and the metric come from the same struct, so they cannot drift apart.

pub mod event;

pub use event::RequestEvent;
