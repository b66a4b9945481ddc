//! A redelivery: an operator has a stored request sent to the upstream again, now, and receives the result.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{Fault, HistoryOutcome};
use crate::gate::pipeline::compose::{Inward, fits};
use crate::gate::pipeline::held::restored;
use crate::gate::pipeline::{Gate, circuit};
use crate::observe::Delivered;
use crate::runtime::snapshot::{Route, Snapshot, Verification};
use crate::store::{AttemptKind, Event, Store, StoredRequest};

use super::attempt::{self, Sent};

/// What came of a redelivery.
#[derive(Clone, Debug)]
pub struct Redelivered {
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
pub enum NotRedelivered {
    /// There is no store.
    NoStore,
    /// No such request.
    Unknown,
    /// It never passed verification, so it is never forwarded.
    Unverified,
    /// It was verified by something else than its route asks for now.
    VerifiedOtherwise,
    /// Its body was not kept.
    BodyNotKept,
    /// The configuration has no route of its name any more.
    RouteGone,
    /// It waits in the spool, and is sent by itself.
    Waiting,
    /// It is a dead letter: retry it instead.
    Dead,
    /// The store could not be read or written.
    Store,
}

/// Sends a stored request to the upstream, once.
pub async fn redeliver(gate: &Gate, snapshot: &Snapshot, request_id: &str) -> Result<Redelivered, NotRedelivered> {
    let store = gate.state.store().ok_or(NotRedelivered::NoStore)?;
    let event = store.event(request_id).await.map_err(|_| NotRedelivered::Store)?.ok_or(NotRedelivered::Unknown)?;
    let route = event.entry.route.as_deref().and_then(|name| snapshot.routes.iter().find(|route| *route.name == *name));
    may_go_inward(&event, route.map(Arc::as_ref))?;
    let route = Arc::clone(route.ok_or(NotRedelivered::RouteGone)?);
    let request =
        store.request(request_id).await.map_err(|_| NotRedelivered::Store)?.ok_or(NotRedelivered::BodyNotKept)?;
    fits(&route, &request).map_err(|_| NotRedelivered::VerifiedOtherwise)?;
    // Durable before anything is sent: whatever happens then, no later send has the same number.
    let number = store.reserve(request_id).await.map_err(|_| NotRedelivered::Store)?.ok_or(NotRedelivered::Unknown)?;
    let task = send(gate.clone(), Arc::clone(store), route, request, number);
    // A task of its own: what was sent is noted, whether or not somebody still waits for the result.
    tokio::spawn(task).await.map_err(|_| NotRedelivered::Store)?
}

/// Only what was proven genuine, and only what nobody is about to deliver anyway.
fn may_go_inward(event: &Event, route: Option<&Route>) -> Result<(), NotRedelivered> {
    match event.entry.outcome {
        HistoryOutcome::Accepted => return Err(NotRedelivered::Waiting),
        HistoryOutcome::Dead => return Err(NotRedelivered::Dead),
        outcome if !outcome.may_be_genuine() => return Err(NotRedelivered::Unverified),
        _ => {}
    }
    // It may have failed, or its sender may have gone away, before it was verified. The key that matched is the
    // proof; on a route that verifies nothing there is none, and none is needed.
    let needs_proof = route.is_none_or(|route| matches!(route.verify, Verification::Signed(_)));
    if needs_proof && event.entry.key.is_none() {
        return Err(NotRedelivered::Unverified);
    }
    if event.has_body { Ok(()) } else { Err(NotRedelivered::BodyNotKept) }
}

async fn send(
    gate: Gate,
    store: Arc<Store>,
    route: Arc<Route>,
    request: StoredRequest,
    number: u32,
) -> Result<Redelivered, NotRedelivered> {
    let sent = Sent::begin(gate.clock.now(), number);
    let restored = restored(&route, &request);
    let inward = Inward::stored(&route, &restored, &sent.sends, true).map_err(|_| NotRedelivered::VerifiedOtherwise)?;
    let result = attempt::send(&route, &inward, &sent).await;
    let now = gate.clock.now();
    attempt::judge(&gate, &circuit::of(&gate, &route), &result, None, now);
    let attempt = sent.attempt(AttemptKind::Redelivery, &result);
    let outcome = if attempt.fault.is_none() { Delivered::Taken } else { Delivered::Failed };
    attempt::tell(&gate, &route, &request, &attempt, outcome, now);
    let redelivered = Redelivered {
        attempt: attempt.number,
        server: attempt.server.clone(),
        status: attempt.status,
        fault: attempt.fault,
        detail: attempt.detail.clone(),
        took: attempt.took,
        timestamp_fresh: match &route.verify {
            Verification::Signed(verifier) => request.timestamp.and_then(|at| verifier.is_fresh(at, now)),
            Verification::DangerouslyNone => None,
        },
    };
    // The log has it in any case.
    let _ = store.note(&request.request_id, attempt, number).await;
    Ok(redelivered)
}
