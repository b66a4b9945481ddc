//! A row of the history.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{Secret, UnixMillis};
use crate::domain::{Fault, Head, HistoryOutcome, Marks, Method, Version};

/// What is recorded of one request when it was answered.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct Entry {
    /// As `pipeline::record::request_id` makes it: a row is found by the time in it.
    pub request_id: Box<str>,
    pub received_at: UnixMillis,
    pub listener: Arc<str>,
    pub route: Option<Arc<str>>,
    pub provider: Option<Arc<str>>,
    pub method: Method,
    pub version: Version,
    /// `None` for what never became a head. Everything that is a secret was blanked before.
    pub head: Option<Head>,
    /// What of it is neither shown nor searched.
    pub marks: Marks,
    /// Bytes at the end of the path behind a prefix route's prefix.
    pub suffix: usize,
    /// The sender spoke TLS to us.
    pub https: bool,
    pub source: IpAddr,
    pub via: &'static str,
    pub allowed_by: Option<Box<str>>,
    pub outcome: HistoryOutcome,
    /// Empty where the outcome says it all.
    pub reason: &'static str,
    /// What the sender was answered; zero where nobody was left.
    pub status: u16,
    pub key: Option<Arc<str>>,
    /// How it was verified, as `snapshot::Route::verified_by` has it; `None`: not at all.
    pub verified_by: Option<Arc<str>>,
    pub dedupe: Option<Box<str>>,
    /// The time that the request carries.
    pub timestamp: Option<UnixMillis>,
    pub body_bytes: u64,
    /// Where the route keeps bodies; always for an accepted request.
    pub body: Option<Bytes>,
    /// What was blanked in head and body, for its delivery. Kept and forgotten with the body.
    pub held: Option<Secret>,
    pub upstream: Option<Arc<str>>,
    pub server: Option<Arc<str>>,
    pub upstream_status: Option<u16>,
    /// The number of the last send, over everything that was tried; zero: nothing was.
    pub attempts: u32,
    pub detail: Option<Box<str>>,
    pub took: Took,
}

impl Entry {
    /// Whether a stranger can bring such a row about at will: everything short of a fresh genuine request, and whatever has no
    /// head because it was one more of the same.
    pub(super) fn is_bounded(&self) -> bool {
        let proven = self.key.is_some() || self.upstream.is_some();
        match self.outcome {
            HistoryOutcome::Refused
            | HistoryOutcome::Undecided
            | HistoryOutcome::Duplicate
            | HistoryOutcome::Challenge => true,
            HistoryOutcome::Failed | HistoryOutcome::ClientClosed => !proven || self.head.is_none(),
            HistoryOutcome::Delivered
            | HistoryOutcome::Accepted
            | HistoryOutcome::Dead
            | HistoryOutcome::Discarded
            | HistoryOutcome::Unknown => false,
        }
    }

    /// What rows are counted by.
    pub(super) fn kind(&self) -> &'static str {
        if self.reason.is_empty() { self.outcome.as_str() } else { self.reason }
    }
}

/// How long the parts of a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct Took {
    pub read: Duration,
    pub verify: Duration,
    pub forward: Duration,
    pub total: Duration,
}

/// One row as it is read back.
#[derive(Clone, Debug)]
pub struct Event {
    /// Empty where the outcome says it all. A string here, as `via` is: an older version may have written others.
    pub reason: Box<str>,
    /// How the source address was known.
    pub via: Box<str>,
    /// Everything else; its own `reason` and `via` are empty, and its `body` is only there when it was asked for.
    pub entry: Entry,
    /// Attempts beyond the first, and every failed one, in order. Empty in pages.
    pub history: Vec<Attempt>,
    /// Where it stands, while it is neither delivered nor given up.
    pub stage: Option<Stage>,
    /// When it is tried next, while it waits.
    pub due: Option<UnixMillis>,
    /// The body is there to be shown, redelivered and explained.
    pub has_body: bool,
}

/// Where an accepted request stands until it is delivered or given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// For its next attempt, or for the end of one that is under way.
    Waiting,
    /// A dead letter.
    Dead,
}

impl Stage {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Dead => "dead",
        }
    }
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Of its last send. Counts from 1, over direct attempts, attempts from the spool, and redeliveries.
    pub number: u32,
    /// When it began.
    pub at: UnixMillis,
    /// On whose account.
    pub kind: AttemptKind,
    /// The last server tried.
    pub server: Option<Box<str>>,
    /// What it answered.
    pub status: Option<u16>,
    /// `None`: it was taken.
    pub fault: Option<Fault>,
    /// The upstream library's own words on a fault.
    pub detail: Option<Box<str>>,
    /// How long it took.
    pub took: Duration,
}

/// On whose account an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// While the sender waited.
    Direct,
    /// From the spool.
    Spooled,
    /// An operator asked for it.
    Redelivery,
}

impl AttemptKind {
    pub(super) const ALL: [Self; 3] = [Self::Direct, Self::Spooled, Self::Redelivery];

    /// The column, and the word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Spooled => "spooled",
            Self::Redelivery => "redelivery",
        }
    }
}
