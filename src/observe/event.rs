//! What is recorded of a request, whatever became of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::{Method, Outcome, Version, Via};

/// One request from its first byte to its answer; also made when the sender went away.
#[derive(Debug)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct RequestEvent {
    pub request_id: String,
    pub received_at: UnixMillis,
    pub listener: Arc<str>,
    pub route: Option<Arc<str>>,
    pub provider: Option<Arc<str>>,
    pub method: Method,
    pub version: Version,
    /// Bounded in length; without the query, which may hold a key.
    pub path: String,
    pub host: String,
    pub source: IpAddr,
    pub via: Via,
    /// The entry of the address list that admitted the source.
    pub allowed_by: Option<String>,
    pub outcome: Outcome,
    pub status: u16,
    pub key: Option<Arc<str>>,
    pub dedupe: Option<Box<str>>,
    pub timestamp: Option<UnixMillis>,
    pub body_bytes: u64,
    pub upstream: Option<Arc<str>>,
    pub server: Option<Arc<str>>,
    pub upstream_status: Option<u16>,
    pub attempts: u32,
    /// The upstream library's own words on a fault.
    pub detail: Option<String>,
    pub read: Duration,
    pub verify: Duration,
    pub forward: Duration,
    pub total: Duration,
}
