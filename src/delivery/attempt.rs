//! One attempt: the request is forwarded, and the store remembers what came of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::base::catch::{Panicked, catch_panic};
use crate::domain::{Fault, Sends};
use crate::gate::pipeline::compose::Inward;
use crate::gate::pipeline::held::restored;
use crate::gate::pipeline::{Gate, circuit};
use crate::observe::{Delivered, DeliveryEvent, Event};
use crate::runtime::dispatch::{Circuit, HandedOver, Probe, Slot, Verdict, schedule};
use crate::runtime::snapshot::Route;
use crate::store::{Attempt, AttemptKind, Claimed, RefusedAt, Settlement, StoredRequest, Ticket, Wait};
use crate::upstream::{Received, Undelivered};

use super::DeliveryContext;

/// Delivers a request that was accepted a moment ago.
pub(super) async fn take_over(context: &DeliveryContext, handed: HandedOver) {
    let (claimed, slot) = handed.claimed();
    match context.route(&claimed.request.route) {
        Some(route) => {
            deliver(context, &route, claimed, None, Some(slot)).await;
        }
        // A reload took the route away in this moment.
        None => {
            settle(context, claimed.ticket, Settlement::Released(context.gate.clock.now())).await;
            drop(slot);
        }
    }
}

/// Sends a request that was taken out of the store. Gives the time at which it is tried again, if it is.
///
/// The slot is free for the next one as soon as the server has answered, not when the store has written that down: otherwise a
/// route would deliver no faster than its slots' worth in every two commits. What is answered and not yet written is bounded all
/// the same, because the next claim waits behind it for the same writer.
pub(super) async fn deliver(
    context: &DeliveryContext,
    route: &Route,
    claimed: Claimed,
    probe: Option<Probe>,
    slot: Option<Slot>,
) -> Option<UnixMillis> {
    let sent = Sent::begin(context.gate.clock.now(), claimed.attempt);
    let trying = Box::pin(tried(context, route, &claimed, &sent, probe));
    ended(context, route, &claimed, &sent, slot, trying).await
}

/// What came of an attempt.
struct Tried {
    attempt: Attempt,
    next: Next,
    refused: Option<RefusedAt>,
    at: UnixMillis,
}

/// Sends it; `None`: cut off by the end of the process. It may have arrived, so it stays claimed, and the next attempt says
/// that it is not the first.
async fn tried(
    context: &DeliveryContext,
    route: &Route,
    claimed: &Claimed,
    sent: &Sent,
    probe: Option<Probe>,
) -> Option<Tried> {
    let mut cut = context.cut.clone();
    let gate = &context.gate;
    let request = restored(route, &claimed.request);
    let inward = match Inward::stored(route, &request, &sent.sends, false) {
        Ok(inward) => inward,
        Err(unfit) => {
            let attempt = sent.failed(Fault::Internal, unfit.to_string());
            return Some(Tried { attempt, next: Next::Dead, refused: None, at: sent.at });
        }
    };
    let result = tokio::select! {
        result = send(route, &inward, sent) => result,
        _ = cut.wait_for(|cut| *cut) => return None,
    };
    let now = gate.clock.now();
    let circuit = circuit::of(gate, route);
    let refused = judge(gate, &circuit, &result, probe, now);
    let next = next(context, route, claimed, &result, refused, sent, now);
    Some(Tried { attempt: sent.attempt(AttemptKind::Spooled, &result), next, refused, at: now })
}

/// Waits for what comes of an attempt, and has the store remember it. One that panicked has failed like any other: its request
/// must not stay claimed until the next start.
async fn ended(
    context: &DeliveryContext,
    route: &Route,
    claimed: &Claimed,
    sent: &Sent,
    slot: Option<Slot>,
    trying: impl Future<Output = Option<Tried>> + Unpin,
) -> Option<UnixMillis> {
    let gate = &context.gate;
    let Tried { attempt, next, refused, at } = match catch_panic(trying).await {
        Ok(tried) => tried?,
        Err(Panicked) => {
            let at = gate.clock.now();
            let attempt = sent.failed(Fault::Internal, "the relay panicked; see panic_caught".to_owned());
            Tried { attempt, next: again(context, route, claimed, Duration::ZERO, None, at), refused: None, at }
        }
    };
    tell(gate, route, &claimed.request, &attempt, next.told(), at);
    let (settlement, again) = match next {
        Next::Taken => (Settlement::Delivered(attempt), None),
        Next::Again(wait) => (Settlement::Again(attempt, wait), Some(wait.due)),
        Next::Dead => (Settlement::Dead(attempt), None),
        Next::Released => (Settlement::Released(claimed.due), Some(claimed.due)),
    };
    let _busy = gate.state.dispatch.busy();
    drop(slot);
    settle(context, claimed.ticket, settlement).await;
    if again.is_some() {
        let lane = gate.state.dispatch.lane(&claimed.request.route);
        if let Some(refused) = refused {
            lane.was_refused(refused < circuit::of(gate, route).recovered());
        }
        // It waits again only now; the slot's bell rang before.
        lane.wake();
    }
    again
}

/// What follows an attempt.
enum Next {
    Taken,
    Again(Wait),
    Dead,
    /// Nobody could be asked: as if nothing had been tried.
    Released,
}

impl Next {
    fn told(&self) -> Delivered {
        match self {
            Self::Taken => Delivered::Taken,
            Self::Again(wait) => Delivered::Again(wait.due),
            Self::Dead => Delivered::Dead,
            Self::Released => Delivered::Released,
        }
    }
}

/// The one way to the upstream for what comes out of the store; a redelivery takes it too.
pub(super) async fn send(route: &Route, inward: &Inward<'_>, sent: &Sent) -> Result<Received, Undelivered> {
    inward.forward(route, sent.at, sent.began, sent.began + route.retry.timeout).await
}

/// When an attempt began, and how its sends are numbered.
pub(super) struct Sent {
    at: UnixMillis,
    began: Instant,
    pub(super) sends: Sends,
}

impl Sent {
    /// `number`: of the first send.
    pub(super) fn begin(at: UnixMillis, number: u32) -> Self {
        Self { at, began: Instant::now(), sends: Sends::from(number) }
    }

    /// An attempt that ended on our side, whatever an upstream would have said.
    fn failed(&self, fault: Fault, detail: String) -> Attempt {
        Attempt {
            number: self.sends.last(),
            at: self.at,
            kind: AttemptKind::Spooled,
            server: None,
            status: None,
            fault: Some(fault),
            detail: Some(detail.into()),
            took: self.began.elapsed(),
        }
    }

    /// As the store remembers it.
    pub(super) fn attempt(&self, kind: AttemptKind, result: &Result<Received, Undelivered>) -> Attempt {
        let (server, status, fault, detail) = match result {
            Ok(received) => (Some(&received.server), Some(received.status), None, None),
            Err(missed) => (missed.server.as_ref(), missed.status, Some(missed.fault), Some(missed.detail.as_str())),
        };
        Attempt {
            number: self.sends.last(),
            at: self.at,
            kind,
            server: server.map(|server| (&**server).into()),
            status,
            fault,
            detail: detail.map(Into::into),
            took: self.began.elapsed(),
        }
    }
}

/// Takes note of what an attempt says of the upstream. A fault of our own says nothing.
pub(super) fn judge(
    gate: &Gate,
    circuit: &Circuit,
    result: &Result<Received, Undelivered>,
    probe: Option<Probe>,
    now: UnixMillis,
) -> Option<RefusedAt> {
    let verdict = match result {
        Ok(_) => Verdict::Answers,
        Err(missed) => Verdict::of(missed.fault, missed.status, retry_after(missed, now))?,
    };
    circuit::judge(gate, circuit, verdict, probe, now)
}

fn retry_after(missed: &Undelivered, now: UnixMillis) -> Duration {
    missed.retry_after.map_or(Duration::ZERO, |asked| asked.from(now))
}

/// What follows. An attempt before its time that only found out that the upstream is still away is taken off no allowance, and
/// its time stays: otherwise the probes of an outage would use up what the route allows.
fn next(
    context: &DeliveryContext,
    route: &Route,
    claimed: &Claimed,
    result: &Result<Received, Undelivered>,
    refused: Option<RefusedAt>,
    sent: &Sent,
    now: UnixMillis,
) -> Next {
    let Err(missed) = result else { return Next::Taken };
    if missed.attempts == 0 {
        return Next::Released;
    }
    if refused.is_some() && claimed.due > sent.at {
        return Next::Again(Wait { due: claimed.due, refused, counts: false });
    }
    again(context, route, claimed, retry_after(missed, now), refused, now)
}

/// Another attempt at its time, as long as the route allows one.
fn again(
    context: &DeliveryContext,
    route: &Route,
    claimed: &Claimed,
    retry_after: Duration,
    refused: Option<RefusedAt>,
    now: UnixMillis,
) -> Next {
    let (retry, failures) = (&route.retry, claimed.failures.saturating_add(1));
    let age = now.0.saturating_sub(claimed.allowance_from.0);
    let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
    let spent = retry.attempts.is_some_and(|most| failures >= most);
    if spent || schedule::is_too_old(age, retry.give_up_after, failures, context.running()) {
        return Next::Dead;
    }
    let pause = schedule::pause(retry.first, retry.max, failures, fastrand::f64());
    let due = schedule::due(now, pause, retry_after, retry.max);
    Next::Again(Wait { due, refused, counts: true })
}

/// The log line and the count.
pub(super) fn tell(
    gate: &Gate,
    route: &Route,
    request: &StoredRequest,
    attempt: &Attempt,
    result: Delivered,
    now: UnixMillis,
) {
    gate.observer.record(&Event::Delivery(DeliveryEvent {
        result,
        request_id: &request.request_id,
        route: &route.name,
        upstream: &route.upstream.name,
        attempt: attempt.number,
        redelivery: attempt.kind == AttemptKind::Redelivery,
        server: attempt.server.as_deref(),
        status: attempt.status,
        fault: attempt.fault,
        detail: attempt.detail.as_deref(),
        waited: Duration::from_millis(u64::try_from(now.0.saturating_sub(request.received_at.0)).unwrap_or(0)),
        took: attempt.took,
    }));
}

/// What could not be written yet is written as soon as the store can; until then the request stays claimed.
async fn settle(context: &DeliveryContext, ticket: Ticket, settlement: Settlement) {
    let _ = context.store.settle(ticket, settlement).await;
}

#[cfg(test)]
mod tests;
