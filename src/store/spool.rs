//! Requests that were accepted and are not yet delivered.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{Secret, UnixMillis};
use crate::domain::Head;
use crate::guards::dedupe::DedupeKey;

use super::entry::{Attempt, Entry};

/// A request to be made durable.
#[derive(Debug)]
pub struct Accept {
    /// Its row of the history; outcome `accepted`, with head, body and route.
    pub entry: Entry,
    /// Remembered in the same transaction.
    pub dedupe: Option<(DedupeKey, UnixMillis)>,
    /// A direct attempt that failed before, if there was one.
    pub tried: Option<Attempt>,
    /// When delivery may begin; `None`: the caller delivers it at once, and the attempt counts as begun.
    pub due: Option<UnixMillis>,
    /// Where that attempt failed because of the upstream.
    pub refused: Option<RefusedAt>,
    /// Keep the body after delivery.
    pub keep_body: bool,
    /// Its signed words are known under another id that nobody signs: it may use half of its route's room.
    pub repeat: bool,
}

/// Names an accepted request. In the order of acceptance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub i64);

/// Numbers what upstreams refused and when they recovered, in the order in which they did: a clock that cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefusedAt(pub i64);

impl RefusedAt {
    /// Before everything.
    pub const NEVER: Self = Self(i64::MIN);
}

/// What is taken out beside what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Nothing.
    Nothing,
    /// What the upstream refused before this number, and before what is due: it takes requests again.
    Refused(RefusedAt),
    /// One that it refused, if nothing is due: to find out whether it does.
    Probe,
}

/// A request that somebody delivers now.
#[derive(Debug)]
pub struct Claimed {
    /// For [`super::Store::settle`].
    pub ticket: Ticket,
    /// The number of its first send. More than 1: an earlier one may have arrived.
    pub attempt: u32,
    /// Attempts that the upstream made fail, since an operator last revived it. The route's allowance and its back-off go by
    /// these: an attempt that our own end interrupted is none of them.
    pub failures: u32,
    /// When its allowance of time began: when it was received, or last revived.
    pub allowance_from: UnixMillis,
    /// When it was due. Later than now: it was taken out early.
    pub due: UnixMillis,
    /// The request.
    pub request: StoredRequest,
}

/// What is needed to send a request to the upstream.
#[derive(Clone, Debug)]
pub struct StoredRequest {
    /// As answered to its sender.
    pub request_id: Box<str>,
    /// The route's name; the configuration of the moment says what it means.
    pub route: Arc<str>,
    /// When its head was complete.
    pub received_at: UnixMillis,
    /// The address lists were asked about.
    pub source: std::net::IpAddr,
    /// The sender spoke TLS to us.
    pub https: bool,
    /// As received, but for blanks.
    pub head: Head,
    /// Bytes at the end of the path behind a prefix route's prefix.
    pub suffix: usize,
    /// As received, but for blanks.
    pub body: Bytes,
    /// What was blanked in both before they were kept.
    pub held: Option<Secret>,
    /// The id of the secret that matched.
    pub key: Option<Arc<str>>,
    /// What it was verified by, as [`Entry`] has it; of an older version the provider's name.
    pub verified_by: Option<Arc<str>>,
    /// What dedupe memory knows it by.
    pub dedupe: Option<Box<str>>,
    /// The time that the request carries.
    pub timestamp: Option<UnixMillis>,
}

/// For what a request waits whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// It is tried again then at the latest.
    pub due: UnixMillis,
    /// Where the upstream refused it: it need not wait longer than that does.
    pub refused: Option<RefusedAt>,
    /// Whether the attempt is taken off its allowance.
    pub counts: bool,
}

impl Wait {
    /// Until then, because of an attempt that counts.
    pub fn until(due: UnixMillis) -> Self {
        Self { due, refused: None, counts: true }
    }
}

/// What became of an attempt.
#[derive(Clone, Debug)]
pub enum Settlement {
    /// Taken; it leaves the spool.
    Delivered(Attempt),
    /// Not taken; again later.
    Again(Attempt, Wait),
    /// Not taken for the last time: a dead letter.
    Dead(Attempt),
    /// Nothing was sent; the attempt does not count. Again at this time.
    Released(UnixMillis),
}

/// What waits on one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Accepted, neither delivered nor dead; those on their way included.
    pub waiting: u64,
    /// Of those, on their way.
    pub claimed: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest waiting one was received; approximate from below.
    pub oldest: Option<UnixMillis>,
    /// When the next one is due, if that is known; `None` with something waiting: ask.
    pub next_due: Option<UnixMillis>,
}
