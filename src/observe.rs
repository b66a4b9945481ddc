//! One fact, one event: the log line and the metric come from the same struct, so they cannot drift apart.

pub mod event;

pub use event::RequestEvent;

/// Log and metrics.
#[derive(Debug)]
pub struct Observer {}

impl Observer {
    /// A request's head is complete.
    pub fn request_started(&self) {}

    /// A request ended.
    pub fn request(&self, _event: &RequestEvent) {}
}
