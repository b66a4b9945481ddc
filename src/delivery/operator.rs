//! What an operator asks for: something tried again now, or given up permanently. Acting on one route moves no other.

use std::sync::Arc;

use crate::gate::pipeline::{Gate, circuit};
use crate::runtime::snapshot::{Route, Snapshot};
use crate::store::Unstored;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no store.
    NoStore,
    /// No such request, or it neither waits nor is a dead letter.
    NotThere,
    /// The configuration has no such route.
    RouteUnknown,
    /// The configuration has no such upstream.
    UpstreamUnknown,
    /// The store could not be written.
    Store(Unstored),
}

/// Whose waiting requests are meant.
#[derive(Clone, Copy, Debug)]
pub enum Waiting<'w> {
    /// Of every route.
    Every,
    /// Of this route.
    Route(&'w str),
    /// Of every route of this upstream.
    Upstream(&'w str),
}

impl Waiting<'_> {
    fn means(self, route: &Route) -> bool {
        match self {
            Self::Every => true,
            Self::Route(name) => *route.name == *name,
            Self::Upstream(name) => *route.upstream.name == *name,
        }
    }
}

/// Has a dead letter delivered again, with a fresh allowance of attempts and time; one that waits for its time is due now.
///
/// # Errors
/// When nothing was done.
pub async fn retry(gate: &Gate, request_id: &str) -> Result<(), Refused> {
    let store = gate.state.store().ok_or(Refused::NoStore)?;
    let revived = store.revive(request_id).await.map_err(Refused::Store)?;
    look_again(gate, revived)
}

/// Gives a waiting request or a dead letter up permanently; its row of the history stays.
///
/// # Errors
/// When nothing was done.
pub async fn discard(gate: &Gate, request_id: &str) -> Result<(), Refused> {
    let store = gate.state.store().ok_or(Refused::NoStore)?;
    let discarded = store.discard(request_id).await.map_err(Refused::Store)?;
    look_again(gate, discarded)
}

/// Has what waits tried now, whatever it waits for: an open breaker lets a probe through at once, and what follows begins slowly.
/// Gives the number of requests that waited.
///
/// # Errors
/// When nothing was done, or not everything.
pub async fn retry_waiting(gate: &Gate, snapshot: &Snapshot, waiting: Waiting<'_>) -> Result<u64, Refused> {
    let store = gate.state.store().ok_or(Refused::NoStore)?;
    match waiting {
        Waiting::Route(name) if !snapshot.routes.iter().any(|route| *route.name == *name) => {
            return Err(Refused::RouteUnknown);
        }
        Waiting::Upstream(name) if !snapshot.upstreams.contains_key(name) => return Err(Refused::UpstreamUnknown),
        _ => {}
    }
    let mut count = 0;
    for route in snapshot.routes.iter().filter(|route| waiting.means(route)) {
        let backlog = store.backlog(&route.name);
        let idle = backlog.waiting.saturating_sub(backlog.claimed);
        if idle == 0 {
            continue;
        }
        count += idle;
        circuit::of(gate, route).hurry();
        store.hasten(&route.name).await.map_err(Refused::Store)?;
        look_again(gate, Some(Arc::clone(&route.name)))?;
    }
    Ok(count)
}

/// The head of an ordered line may be another one now, or due.
fn look_again(gate: &Gate, route: Option<Arc<str>>) -> Result<(), Refused> {
    let lane = gate.state.dispatch.lane(&route.ok_or(Refused::NotThere)?);
    lane.set_head_due(None, gate.clock.now());
    lane.wake();
    Ok(())
}
