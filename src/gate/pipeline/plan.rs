//! The delivery plan of a fresh request: whether it is forwarded while its sender waits, until when, and whether a failure is answered or kept.
//! All of what `delivery` and an error budget mean for one request is decided here.
//!
//! | plan | what no server took |
//! |---|---|
//! | forwarded while the sender waits: [`Forward::Only`] | the sender receives the failure |
//! | the same: [`Forward::WithinBudget`] | the sender receives the failure, unless its provider tolerates no more of them: then it is kept |
//! | the same, before what waits in the store: [`Forward::OrKeep`] | it is kept |
//! | [`Plan::Keep`] | — |

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::gate::pipeline::circuit;
use crate::runtime::dispatch::{Admission, Circuit, Probe, Slot, Verdict};
use crate::runtime::snapshot::{Delivery, Route};
use crate::store::Store;

use super::Gate;
use super::deliver::Missed;
use super::record::Record;

/// What of the deadline is left for the store, at most.
const MARGIN: Duration = Duration::from_secs(1);

/// The plan of one request.
#[derive(Debug)]
pub enum Plan {
    /// Forwarded at once, while the sender waits.
    Forward(Forward),
    /// Kept, and delivered asynchronously.
    Keep,
}

/// A request that is forwarded while its sender waits, by what becomes of a failure.
#[derive(Debug)]
pub enum Forward {
    /// The sender receives it.
    Only,
    /// The sender receives it, unless it is one of these many, of which the provider tolerates no more: then the request is kept.
    WithinBudget(u32),
    /// The request is kept.
    OrKeep(Precedence),
}

/// The right to be forwarded before what waits in the store.
#[derive(Debug)]
pub struct Precedence {
    circuit: Arc<Circuit>,
    probe: Option<Probe>,
    /// On an ordered route: nothing else is forwarded meanwhile.
    slot: Option<Slot>,
}

/// What becomes of one that no server took.
#[derive(Debug)]
pub enum Failure {
    /// Its sender receives the failure.
    Answered,
    /// It goes into the store. The slot of an ordered route is held until it is durable, so that nothing overtakes it.
    Kept(Option<Slot>),
}

impl Plan {
    /// Chooses. A route whose configuration wants a store that this process was not started with is forwarded: its senders receive
    /// success only when an internal server took the request.
    pub(super) fn choose(gate: &Gate, route: &Route) -> Self {
        match (route.delivery, gate.state.store(), route.error_budget) {
            (Delivery::Direct, Some(_), Some(budget)) => Self::Forward(Forward::WithinBudget(budget)),
            (Delivery::Direct, ..) | (_, None, _) => Self::Forward(Forward::Only),
            (Delivery::Queue, Some(_), _) => Self::Keep,
            (Delivery::Failover, Some(store), _) => {
                let precedence = Precedence::ask(gate, route, store);
                precedence.map_or(Self::Keep, |precedence| Self::Forward(Forward::OrKeep(precedence)))
            }
        }
    }
}

impl Forward {
    /// When the attempt ends.
    pub(super) fn until(&self, started: Instant, deadline: Duration) -> Instant {
        match self {
            Self::Only => started + deadline,
            Self::WithinBudget(_) | Self::OrKeep(_) => before_store(started, deadline),
        }
    }

    /// Whether this answer of a server is a failure of the attempt, although a route with `answer = "upstream"` could pass it on: a 5xx
    /// where the request can be kept instead.
    pub(super) fn is_failure(&self, status: u16, gate: &Gate, route: &Route) -> bool {
        status >= 500
            && match self {
                Self::Only => false,
                Self::WithinBudget(budget) => route.budget.last_safe(*budget, gate.clock.now()),
                Self::OrKeep(_) => true,
            }
    }

    /// A server took it.
    pub(super) fn taken(self, gate: &Gate) {
        if let Self::OrKeep(Precedence { circuit, probe, .. }) = self {
            circuit::judge(gate, &circuit, Verdict::Answers, probe, gate.clock.now());
        }
    }

    /// No server took it. Where the sender receives the failure it is counted at once, so that requests that fail together
    /// cannot all take the last one that the provider tolerates.
    pub(super) fn missed(self, missed: &mut Missed, gate: &Gate, route: &Route, record: &mut Record<'_>) -> Failure {
        match self {
            Self::Only => Failure::Answered,
            Self::WithinBudget(_) if record.afford_failure() => Failure::Answered,
            Self::WithinBudget(_) => {
                note(missed, gate, &circuit::of(gate, route), None);
                Failure::Kept(None)
            }
            Self::OrKeep(Precedence { circuit, probe, slot }) => {
                note(missed, gate, &circuit, probe);
                Failure::Kept(slot)
            }
        }
    }
}

impl Precedence {
    /// `None`: the upstream accepts no requests at present, or the route is ordered and others are before this one.
    fn ask(gate: &Gate, route: &Route, store: &Store) -> Option<Self> {
        let slot = match route.ordered {
            true => Some(gate.state.dispatch.lane(&route.name).slot(1)?),
            false => None,
        };
        if route.ordered && store.backlog(&route.name).waiting > 0 {
            return None;
        }
        let circuit = circuit::of(gate, route);
        let probe = match circuit.admit(true, gate.clock.now()) {
            Admission::Free { .. } => None,
            Admission::Probe(probe) => Some(probe),
            Admission::Shut => return None,
        };
        Some(Self { circuit, probe, slot })
    }
}

/// Early enough that the store can still answer within the deadline.
pub(super) fn before_store(started: Instant, deadline: Duration) -> Instant {
    started + deadline.saturating_sub(MARGIN.min(deadline / 4))
}

fn note(missed: &mut Missed, gate: &Gate, circuit: &Circuit, probe: Option<Probe>) {
    let now = gate.clock.now();
    let retry_after = missed.retry_after.map_or(Duration::ZERO, |after| after.from(now));
    if let Some(verdict) = Verdict::of(missed.fault, missed.attempt.status, retry_after) {
        missed.refused = circuit::judge(gate, circuit, verdict, probe, now);
    }
}
