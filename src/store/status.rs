//! The store's status, and what is reported to the operator.

use std::sync::Arc;
use std::time::Duration;

use crate::base::UnixMillis;

use super::Recovered;

/// A change that is reported to the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum StoreEvent {
    /// Nothing more is accepted until [`StoreEvent::Recovered`].
    Failed {
        /// The engine's words.
        detail: String,
    },
    /// Opened and written again.
    Recovered,
    /// It could not be opened at the start, and now it was: what the last process left.
    Found(Recovered),
    /// A part of it could not be read and was set aside; what can be read goes on.
    SetAside {
        /// What became of it, and where the damaged file lies.
        detail: String,
    },
    /// The disk has not answered for so long. Nothing is written until it does.
    Stalled {
        /// So far.
        since: Duration,
    },
    /// It answers again.
    Resumed {
        /// How long it took.
        after: Duration,
    },
    /// The quota or the disk's reserve is reached.
    Full,
    /// There is room again.
    Room,
    /// A route's share of the quota is used up: nothing more is accepted for it, and all others go on.
    RouteFull {
        /// Its name.
        route: Arc<str>,
    },
    /// It accepts again.
    RouteRoom {
        /// Its name.
        route: Arc<str>,
    },
    /// History rows that were not written because the disk was too slow for them.
    HistoryDropped {
        /// How many since the last time this was said.
        count: u64,
    },
    /// Rows of what anybody can bring about that were counted only, because there were too many of them.
    RowsSkipped {
        /// How many since the last time this was said.
        count: u64,
    },
}

/// How the store stands, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Writes are taken.
    pub open: bool,
    /// Why not, in the engine's words.
    pub problem: Option<String>,
    /// How long the disk has not answered, when that is too long.
    pub stalled: Option<Duration>,
    /// Damaged files that were set aside and lie beside the store.
    pub set_aside: u64,
    /// The quota or the disk's reserve is reached.
    pub full: bool,
    /// Bytes in use, free pages not counted.
    pub used: u64,
    /// The quota.
    pub limit: u64,
    /// Free bytes of the file system.
    pub disk_free: u64,
    /// Requests accepted and not yet delivered, dead letters not counted.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest waiting request was received.
    pub oldest_waiting: Option<UnixMillis>,
    /// History rows that were dropped since the start: for want of room, or because the disk failed.
    pub history_dropped: u64,
    /// Rows of what anybody can bring about (refused requests, copies) that were counted only, since the start, because there
    /// were more of them in a second than `refusals_per_second`, or more of one kind than its part of that.
    pub rows_skipped: u64,
    /// Dedupe keys that live in this process's memory only, since the start, for want of room or because the disk failed.
    pub dedupe_unkept: u64,
    /// Transactions since the start; what went into one shared the cost of one `fsync`.
    pub commits: u64,
}
