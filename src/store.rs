//! What must survive: requests that were accepted and not yet delivered (the spool), requests that were (the history), and
//! the keys of replay memory.
//!
//! One thread writes. Whatever is waiting when it looks goes into one transaction, so that many senders share the cost of
//! one `fsync`; [`Store::accept`] resolves when its request would survive `kill -9` and power loss, and not before. The first
//! write or sync that fails ends that thread's connection: everything that waits is told so, and no success is given until
//! the file was opened and written anew. Readers have connections of their own and never hold the writer up.
//!
//! The engine behind it is a trait with one implementation, SQLite; a server that several relays share fits behind the
//! same one.
//!
//! Deliberately absent: routes, upstreams, time-outs, and when to try again. `delivery` decides, this remembers.

pub mod entry;
pub mod query;
pub mod settings;
pub mod spool;

use std::sync::Arc;

use crate::base::{Clock, UnixMillis};
use crate::domain::Fault;
use crate::replay::ReplayKey;

pub use entry::{Attempt, AttemptKind, Entry, Event, Took};
pub use query::{Cursor, Page, Query};
pub use settings::{SealingKey, Settings};
pub use spool::{Accept, Backlog, Claimed, Settlement, StoredRequest, Ticket};

/// The store of one process.
#[derive(Debug)]
pub struct Store {
    _clock: Clock,
}

/// What was found at the start.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Keys of replay memory that are still inside their window.
    pub replay: Vec<(ReplayKey, UnixMillis)>,
    /// Requests that were being delivered when the last process ended: each may have arrived.
    pub interrupted: u64,
}

/// Why a store could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// A newer version of the relay wrote it.
    Newer {
        /// The version of its tables.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Another process has it open.
    InUse,
    /// It is no store, or it is damaged.
    Damaged(String),
    /// Its sealed parts need a key that is not configured.
    KeyMissing,
    /// The system said no.
    Io(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found, known } => {
                write!(f, "it was written by a newer dmz-relay (version {found}; this one knows up to {known})")
            }
            Self::InUse => f.write_str("another process has it open"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::KeyMissing => f.write_str("it holds sealed requests, and no configured key opens them"),
            Self::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why something was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// The quota or the disk's reserve is used up.
    Full,
    /// The disk failed, or the writer is not there.
    Failed,
}

impl From<Unstored> for Fault {
    fn from(why: Unstored) -> Self {
        match why {
            Unstored::Full => Self::StoreFull,
            Unstored::Failed => Self::StoreFailed,
        }
    }
}

/// A change that an operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing more is accepted until [`News::Recovered`].
    Failed {
        /// The engine's words.
        detail: String,
    },
    /// Opened and written anew.
    Recovered,
    /// The quota or the disk's reserve is reached.
    Full,
    /// There is room again.
    Room,
    /// History rows that were not written because the disk was too slow for them.
    HistoryDropped {
        /// How many since the last time this was said.
        count: u64,
    },
}

/// How the store stands, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Writes are taken.
    pub open: bool,
    /// Why not, in the engine's words.
    pub problem: Option<String>,
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
    /// History rows that were dropped since the start.
    pub history_dropped: u64,
}

#[expect(clippy::unused_async, clippy::missing_errors_doc, reason = "the engine comes with the next commit")]
impl Store {
    /// Opens or creates the store, brings its tables up to date and starts the writer. `news` is called from the writer's
    /// thread and must not wait.
    pub fn open(
        _settings: &Settings,
        clock: Clock,
        _news: impl Fn(News) + Send + 'static,
    ) -> Result<(Arc<Self>, Recovered), OpenError> {
        Ok((Arc::new(Self { _clock: clock }), Recovered::default()))
    }

    /// Makes a request durable. When this resolves, it would survive a power loss; dropping the future does not undo it.
    pub async fn accept(&self, _accept: Accept) -> Result<Ticket, Unstored> {
        Err(Unstored::Failed)
    }

    /// Adds a row to the history. Never waits; a row that finds no room is counted and dropped.
    pub fn record(&self, _entry: Entry) {}

    /// Remembers a replay key beyond this process, with the next group of writes. Never waits.
    pub fn remember(&self, _key: ReplayKey, _until: UnixMillis) {}

    /// Takes up to `most` requests of a route that are due, the oldest first (of an ordered route: in the order of their
    /// acceptance, due or not), and counts an attempt for each, durably.
    pub async fn claim(&self, _route: &Arc<str>, _most: usize, _ordered: bool) -> Result<Vec<Claimed>, Unstored> {
        Err(Unstored::Failed)
    }

    /// Says what became of an attempt, durably.
    pub async fn settle(&self, _ticket: Ticket, _settlement: Settlement) -> Result<(), Unstored> {
        Err(Unstored::Failed)
    }

    /// Notes an attempt that an operator asked for (a replay); the request's standing follows its result.
    pub async fn note(&self, _request_id: &str, _attempt: Attempt) -> Result<(), Unstored> {
        Err(Unstored::Failed)
    }

    /// Makes a dead letter wait for delivery again, with a fresh allowance of attempts. `false`: it is none.
    pub async fn revive(&self, _request_id: &str) -> Result<bool, Unstored> {
        Err(Unstored::Failed)
    }

    /// Gives a waiting request or a dead letter up for good; its history stays. `false`: it is neither.
    pub async fn discard(&self, _request_id: &str) -> Result<bool, Unstored> {
        Err(Unstored::Failed)
    }

    /// A page of the history, the newest first unless the query says otherwise.
    pub async fn page(&self, _query: Query) -> Result<Page, Unstored> {
        Err(Unstored::Failed)
    }

    /// One row of the history with its attempts.
    pub async fn event(&self, _request_id: &str) -> Result<Option<Event>, Unstored> {
        Err(Unstored::Failed)
    }

    /// What is needed to send a request inward again; `None` when its body is not kept.
    pub async fn request(&self, _request_id: &str) -> Result<Option<StoredRequest>, Unstored> {
        Err(Unstored::Failed)
    }

    /// What waits on a route, from memory.
    pub fn backlog(&self, _route: &str) -> Backlog {
        Backlog::default()
    }

    /// Every route that has something waiting or dead, whether or not the configuration still knows it.
    pub fn backlogs(&self) -> Vec<(Arc<str>, Backlog)> {
        Vec::new()
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        Standing::default()
    }
}
