//! What an operator asks for: a dead letter tried again, or something given up for good.

use crate::pipeline::Gate;
use crate::store::Unstored;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no store.
    NoStore,
    /// No such request, or it is neither a dead letter nor, to be discarded, waiting.
    NotThere,
    /// The store could not be written.
    Store(Unstored),
}

/// Has a dead letter delivered again, with a fresh allowance of attempts and time.
pub async fn retry(gate: &Gate, request_id: &str) -> Result<(), Refused> {
    let store = gate.state.store().ok_or(Refused::NoStore)?;
    let revived = store.revive(request_id).await.map_err(Refused::Store)?;
    wake(gate, revived)
}

/// Gives a waiting request or a dead letter up for good; its row of the history stays.
pub async fn discard(gate: &Gate, request_id: &str) -> Result<(), Refused> {
    let store = gate.state.store().ok_or(Refused::NoStore)?;
    let discarded = store.discard(request_id).await.map_err(Refused::Store)?;
    wake(gate, discarded)
}

/// The head of an ordered line may be another one now, so every dispatcher looks again.
fn wake(gate: &Gate, done: bool) -> Result<(), Refused> {
    if !done {
        return Err(Refused::NotThere);
    }
    for (route, _) in gate.state.store().map(|store| store.backlogs()).unwrap_or_default() {
        let lane = gate.state.dispatch.lane(&route);
        lane.set_head_due(None);
        lane.wake();
    }
    Ok(())
}
