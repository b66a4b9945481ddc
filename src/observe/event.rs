//! What is recorded of a request, whatever became of it.
//!
//! The event borrows everything, so that recording copies each text once: into the log line. It has no field that could
//! hold a query, a header value, a body, a signature or a secret; that is how none of them reaches the log.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::{Fault, Method, Outcome, Refusal, Version, Via};

use super::line::{Level, Line, Style, joined};

/// One request from its first byte to its answer; also made when the sender went away.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct RequestEvent<'e> {
    pub request_id: &'e str,
    pub received_at: UnixMillis,
    pub listener: &'e str,
    pub route: Option<&'e str>,
    pub provider: Option<&'e str>,
    pub method: Method,
    pub version: Version,
    /// A query, which may hold a key, is cut off before it is logged.
    pub path: &'e str,
    pub host: &'e str,
    pub source: IpAddr,
    pub via: Via,
    /// The entry of the address list that admitted the source.
    pub allowed_by: Option<&'e str>,
    /// The entry of a `deny` that holds the source.
    pub denied_by: Option<&'e str>,
    /// Why the route's address lists would have refused it, where they are only observed.
    pub would_refuse: Option<Refusal>,
    pub outcome: Outcome,
    /// Zero where nobody was left to answer.
    pub status: u16,
    pub key: Option<&'e str>,
    pub dedupe: Option<&'e str>,
    pub timestamp: Option<UnixMillis>,
    pub body_bytes: u64,
    pub upstream: Option<&'e str>,
    pub server: Option<&'e str>,
    pub upstream_status: Option<u16>,
    pub attempts: u32,
    /// The upstream library's own words on a fault.
    pub detail: Option<&'e str>,
    pub read: Duration,
    pub verify: Duration,
    pub forward: Duration,
    pub total: Duration,
}

impl RequestEvent<'_> {
    fn level(&self) -> Level {
        match self.outcome {
            Outcome::Delivered | Outcome::Accepted | Outcome::Challenge | Outcome::Duplicate => {
                if self.would_refuse.is_some() { Level::Warn } else { Level::Info }
            }
            Outcome::Refused(_) | Outcome::ClientClosed => Level::Warn,
            Outcome::Failed(_) | Outcome::Undecided(_) => Level::Error,
        }
    }

    /// Whether anyone on the internet can cause it as often as they like: everything short of a fresh genuine request.
    pub(crate) fn is_throttled(&self) -> bool {
        match self.outcome {
            // A challenge may come before the signature; a duplicate needs a captured request, and only one.
            Outcome::Refused(_)
            | Outcome::Undecided(_)
            | Outcome::ClientClosed
            | Outcome::Challenge
            | Outcome::Duplicate => true,
            Outcome::Failed(fault) => match fault {
                Fault::BodyMemory | Fault::VerificationBusy => true,
                Fault::UpstreamConnect
                | Fault::UpstreamTls
                | Fault::UpstreamReset
                | Fault::UpstreamMalformed
                | Fault::UpstreamTooLarge
                | Fault::UpstreamStatus
                | Fault::UpstreamTimeout
                | Fault::UpstreamUnavailable
                | Fault::DedupeMemory
                | Fault::StoreFull
                | Fault::StoreFailed
                | Fault::Internal => false,
            },
            Outcome::Delivered | Outcome::Accepted => false,
        }
    }

    fn path(&self) -> &str {
        let end = memchr::memchr(b'?', self.path.as_bytes()).unwrap_or(self.path.len());
        self.path.get(..end).unwrap_or_default()
    }

    /// Writes its line behind those that `text` holds, and gives it back.
    pub(crate) fn line(&self, text: Vec<u8>, style: Style) -> Vec<u8> {
        let mut line = Line::onto(text, style, self.level(), self.received_at, "request");
        line.word(joined!("outcome"), self.outcome.as_str());
        if !self.outcome.reason().is_empty() {
            line.word(joined!("reason"), self.outcome.reason());
        }
        line.number(joined!("status"), self.status)
            .text(joined!("request_id"), self.request_id)
            .text(joined!("listener"), self.listener)
            .maybe(joined!("route"), self.route)
            .maybe(joined!("provider"), self.provider)
            .word(joined!("method"), self.method.as_str())
            .text(joined!("path"), self.path())
            .text(joined!("host"), self.host)
            .word(joined!("version"), self.version.as_str())
            .address(joined!("source"), self.source)
            .word(joined!("via"), self.via.as_str())
            .maybe(joined!("allowed_by"), self.allowed_by)
            .maybe(joined!("denied_by"), self.denied_by)
            .maybe(joined!("would_refuse"), self.would_refuse.map(Refusal::code))
            .maybe(joined!("key"), self.key)
            .maybe(joined!("dedupe"), self.dedupe);
        if let Some(timestamp) = self.timestamp {
            line.time(joined!("timestamp"), timestamp);
        }
        line.number(joined!("body_bytes"), self.body_bytes)
            .maybe(joined!("upstream"), self.upstream)
            .maybe(joined!("server"), self.server);
        if let Some(status) = self.upstream_status {
            line.number(joined!("upstream_status"), status);
        }
        if self.attempts > 0 {
            line.number(joined!("attempts"), self.attempts);
        }
        if let Some(detail) = self.detail {
            line.long(joined!("detail"), detail);
        }
        line.millis(joined!("read_ms"), self.read)
            .millis(joined!("verify_ms"), self.verify)
            .millis(joined!("forward_ms"), self.forward)
            .millis(joined!("total_ms"), self.total);
        line.finish()
    }
}
