//! Internal servers: which one is tried, over which connection, and what it said.
//!
//! The only module beside `edge` that names pingora: its HTTP connector gives pools, TLS, HTTP/1.1 and HTTP/2.

pub mod spec;

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::Fault;

/// A named group of servers.
#[derive(Debug)]
pub struct Upstream {
    /// From `relay.toml`; the metric label.
    pub name: Arc<str>,
}

/// A request on its way in.
#[derive(Debug)]
pub struct Outbound<'r> {
    /// As received.
    pub method: &'static str,
    /// Path and query in origin form.
    pub target: &'r str,
    /// Every field but framing and `Host`, in order; the bodies of secrets among them, so never logged.
    pub headers: &'r [(&'r str, &'r [u8])],
    /// Shared with the pipeline: never copied.
    pub body: Bytes,
    /// How many bytes of an answer's body are kept; the rest is read and dropped up to a fixed cap.
    pub keep_answer: usize,
    /// Any status is an answer, not only a 2xx (`answer = "upstream"`).
    pub pass_through: bool,
}

/// What an internal server answered: a 2xx, or any status where the route passes answers through.
#[derive(Debug)]
pub struct Received {
    /// HTTP status.
    pub status: u16,
    /// Of the body, where there is one.
    pub content_type: Option<Bytes>,
    /// At most `keep_answer` bytes.
    pub body: Bytes,
    /// Which server.
    pub server: Arc<str>,
    /// How many servers were tried, the last one included.
    pub attempts: u32,
}

/// Why no server took it.
#[derive(Debug)]
pub struct Undelivered {
    /// What went wrong last.
    pub fault: Fault,
    /// The last status, where a server gave one.
    pub status: Option<u16>,
    /// The last server, where one was chosen.
    pub server: Option<Arc<str>>,
    /// How many servers were tried.
    pub attempts: u32,
    /// For the log: the library's own words, never a header or a body.
    pub detail: String,
}

impl Upstream {
    /// Tries servers in turn until one gives an answer or the deadline passes.
    pub async fn forward(&self, _request: &Outbound<'_>, _deadline: Instant) -> Result<Received, Undelivered> {
        todo!()
    }
}
