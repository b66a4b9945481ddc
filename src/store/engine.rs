//! What the store asks of a database: narrow enough that a server several relays share can stand behind it.
//!
//! One call of [`Engine::commit`] is one transaction: all of the batch or nothing, and durable when it returns. There is no
//! other way to write. A claim is part of it, so an engine that several relays share claims with `FOR UPDATE SKIP LOCKED`
//! and a lease, and this one with the fact that it alone writes.
//!
//! An engine that failed once is dropped and never asked again: what a failed write left behind is only known after the
//! place was opened again.

use std::collections::HashSet;
use std::sync::Arc;

use crate::base::UnixMillis;
use crate::domain::Sensitive;
use crate::guards::dedupe::{DedupeKey, Kept};

use super::action::{Action, ActionPage, ActionQuery};
use super::entry::{Attempt, Entry, Event};
use super::error::OpenError;
use super::ledger::{Backlogs, Oldest, Shift};
use super::query::{Page, Query};
use super::spool::{Accept, Claimed, Early, RefusedAt, Settlement, StoredRequest, Ticket};

/// One write; many make a transaction.
#[derive(Debug)]
pub(super) enum Write {
    Accept(Box<Accept>),
    Record(Box<Entry>),
    Remember {
        key: DedupeKey,
        until: UnixMillis,
        route: Arc<str>,
    },
    Claim {
        route: Arc<str>,
        most: usize,
        ordered: bool,
        early: Early,
    },
    Settle(Ticket, Box<Settlement>),
    Reserve {
        request_id: Box<str>,
    },
    Note {
        request_id: Box<str>,
        attempt: Box<Attempt>,
        first: u32,
    },
    Revive {
        request_id: Box<str>,
    },
    /// What waits on a route is due now; at most this many at a time.
    Hasten {
        route: Arc<str>,
        most: usize,
    },
    Discard {
        request_id: Box<str>,
    },
    Put {
        kind: &'static str,
        value: Box<KeyValue>,
    },
    /// Somebody acted over the admin socket.
    Act(Box<Action>),
    /// More requests that belong to an action.
    Count {
        token: Box<str>,
        more: u64,
    },
    /// Nothing; its answer says that everything before it is durable.
    Flush,
}

/// What came of a write.
#[derive(Debug)]
pub(super) enum Wrote {
    Done,
    /// The ticket, and whether the request is already on its way.
    Accepted(Ticket, bool),
    Claimed(Vec<Claimed>),
    /// The route whose request was changed, if there was one to change.
    Changed(Option<Arc<str>>),
    /// How many were changed.
    Hastened(usize),
    /// The first number, where the request is there.
    Reserved(Option<u32>),
    /// Not written: the quota, the route's share of it, or the reserve is used up. The rest of the batch stands.
    NoRoom,
}

/// What a batch did.
#[derive(Debug, Default)]
pub(super) struct Committed {
    /// One for each write, in order.
    pub(super) wrote: Vec<Wrote>,
    /// What it changed of the backlogs.
    pub(super) shifts: Vec<Shift>,
}

/// Room, as it was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// The quota is used up, or the reserve: no history is written, and only what is guaranteed to a route is accepted.
    pub(super) full: bool,
    /// The reserve is used up: nothing is accepted.
    pub(super) shut: bool,
    pub(super) used: u64,
    pub(super) disk_free: u64,
    /// Damaged files that were set aside and still lie there.
    pub(super) set_aside: u64,
}

/// The engine failed and is of no more use.
#[derive(Clone, Debug)]
pub(super) struct EngineFault {
    /// There was no space on the disk.
    pub(super) full: bool,
    /// A part of what is stored cannot be read: opening it again does not help, setting that part aside does.
    pub(super) damaged: bool,
    pub(super) detail: String,
}

impl EngineFault {
    pub(super) fn of(detail: impl Into<String>) -> Self {
        Self { full: false, damaged: false, detail: detail.into() }
    }
}

impl std::fmt::Display for EngineFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

/// The one writer.
pub(super) trait Engine: Send {
    /// One transaction. Takes what it needs out of the writes.
    fn commit(&mut self, batch: &mut [Write], now: UnixMillis) -> Result<Committed, EngineFault>;

    /// Retention, and whatever else a file needs from time to time. Called about every second and after much was written;
    /// `idle`: nobody waits. Bounded, so that nobody waits long. What it returns is the oldest waiting request of each
    /// route that was asked for.
    fn upkeep(&mut self, now: UnixMillis, idle: bool, routes: &[Arc<str>]) -> Result<Oldest, EngineFault>;

    /// Moves what was written to where it stays, when there is enough of it. Called between batches.
    fn checkpoint(&mut self, idle: bool) -> Result<(), EngineFault>;

    /// As it was found at the last commit or upkeep.
    fn room(&self) -> Room;

    /// The last that is asked of it, at a clean end.
    fn end(self: Box<Self>);
}

/// Reads beside the writer.
pub(super) trait Reader: Send {
    /// `sensitive` says what of a row may be searched.
    fn page(&mut self, query: &Query, sensitive: &Sensitive) -> Result<Page, EngineFault>;
    fn event(&mut self, request_id: &str) -> Result<Option<Event>, EngineFault>;
    fn request(&mut self, request_id: &str) -> Result<Option<StoredRequest>, EngineFault>;
    fn values(&mut self, kind: &str) -> Result<Vec<KeyValue>, EngineFault>;
    fn actions(&mut self, query: &ActionQuery) -> Result<ActionPage, EngineFault>;
}

/// A place where a store lies: opened at the start, and again after a fault.
pub(super) trait Place: Send + Sync {
    /// Opens the writing side. Claimed requests that are not in `ours` become due again. It returns only after something
    /// was written, made durable and read back. `salvage`: what cannot be read is set aside first.
    fn open(&self, ours: &HashSet<Ticket>, salvage: bool) -> Result<Opened, OpenError>;

    /// The keys of dedupe memory that are still inside their window; once, at the start.
    fn dedupe_keys(&self) -> Result<Vec<Kept>, OpenError>;

    /// Opens a reading side.
    fn reader(&self) -> Result<Box<dyn Reader>, EngineFault>;
}

/// A place that was opened.
pub(super) struct Opened {
    pub(super) engine: Box<dyn Engine>,
    /// What waits, by route.
    pub(super) backlogs: Backlogs,
    /// Claimed requests that became due again.
    pub(super) interrupted: u64,
    /// The last of those that an upstream refused.
    pub(super) last_refusal: Option<RefusedAt>,
    /// What was set aside, in words.
    pub(super) set_aside: Option<String>,
}

/// A small fact that outlives the process, by kind, route and slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The route's name.
    pub route: Box<str>,
    /// A day, an hour of the week, whatever the kind counts by.
    pub slot: i64,
    /// The kind's own encoding. At most 4 KiB.
    pub value: Vec<u8>,
}
