//! Which rows of the history are wanted.

use std::net::IpAddr;

use crate::base::UnixMillis;

use super::entry::{Event, Stage};

/// Every condition must hold; the default wants the newest rows of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct Query {
    pub route: Option<String>,
    pub provider: Option<String>,
    /// Received at or after.
    pub since: Option<UnixMillis>,
    /// Received before.
    pub until: Option<UnixMillis>,
    pub outcome: Option<String>,
    pub reason: Option<String>,
    pub stage: Option<Stage>,
    /// What the sender was answered, from and to, both included: `(500, 599)`.
    pub status: Option<(u16, u16)>,
    pub request_id: Option<String>,
    pub dedupe: Option<String>,
    /// An address, or a network as first and last address.
    pub source: Option<(IpAddr, IpAddr)>,
    /// Found, ignoring ASCII case, in the path, the query, or a header's name or value, as far as they
    /// are shown.
    pub text: Option<String>,
    /// The oldest first.
    pub ascending: bool,
    /// Where the last page ended.
    pub after: Option<Cursor>,
    /// Rows of one page; zero means the default, 50. At most 1000.
    pub limit: usize,
}

/// Where a page ended; a client hands it back and reads nothing into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub i64);

/// Some rows of the history.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order that was asked for.
    pub events: Vec<Event>,
    /// Where to go on. A page may have fewer rows than its limit, even none, and still go on: one page reads a bounded part
    /// of the history only. `None`: that was all.
    pub next: Option<Cursor>,
}
