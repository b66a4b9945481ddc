//! The delivery plan of a fresh request: whether it is forwarded while its sender waits, until when, and whether a failure is answered or kept.
//! All of what `delivery` and an error budget mean for one request is decided here.
//!
//! | plan | forwarded while the sender waits | what no server took |
//! |---|---|---|
//! | [`Plan::Forward`] | yes | the sender receives the failure |
//! | [`Plan::ForwardWithinBudget`] | yes | the sender receives the failure, unless its provider tolerates no more of them: then it is kept |
//! | [`Plan::ForwardFirst`] | yes, before what waits in the store | it is kept |
//! | [`Plan::Keep`] | no | — |

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
    /// Forwarded at once, and the sender receives the result.
    Forward,
    /// Forwarded at once, and the sender receives the result, unless it is a failure that its provider does not tolerate any more: then
    /// it is kept.
    ForwardWithinBudget,
    /// Forwarded at once; if no server takes it in time, it is kept.
    ForwardFirst(Precedence),
    /// Kept, and delivered asynchronously.
    Keep,
}

/// The right to be forwarded before what waits in the store.
#[derive(Debug)]
pub struct Precedence {
    circuit: Arc<Circuit>,
    probe: Option<Probe>,
    /// On an ordered route: nothing else is forwarded meanwhile.
    slot: Option<Slot>,
}

/// What becomes of a request that no server took.
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
        match (route.delivery, gate.state.store()) {
            (Delivery::Direct, Some(_)) if route.error_budget.is_some() => Self::ForwardWithinBudget,
            (Delivery::Direct, _) | (_, None) => Self::Forward,
            (Delivery::Queue, Some(_)) => Self::Keep,
            (Delivery::Failover, Some(store)) => {
                Precedence::ask(gate, route, store).map_or(Self::Keep, Self::ForwardFirst)
            }
        }
    }

    /// When the attempt ends; `None` where there is none while the sender waits.
    pub(super) fn attempt_until(&self, started: Instant, deadline: Duration) -> Option<Instant> {
        match self {
            Self::Forward => Some(started + deadline),
            Self::ForwardWithinBudget | Self::ForwardFirst(_) => Some(before_store(started, deadline)),
            Self::Keep => None,
        }
    }

    /// Whether this answer of a server is a failure of the attempt, although a route with `answer = "upstream"` could pass it on: a 5xx
    /// where the request can be kept instead.
    pub(super) fn is_failure(&self, status: u16, gate: &Gate, route: &Route) -> bool {
        status >= 500
            && match self {
                Self::ForwardFirst(_) => true,
                Self::ForwardWithinBudget => {
                    let budget = route.error_budget.unwrap_or(u32::MAX);
                    route.budget.last_safe(budget, gate.clock.now())
                }
                Self::Forward | Self::Keep => false,
            }
    }

    /// A server took it.
    pub(super) fn taken(self, gate: &Gate) {
        if let Self::ForwardFirst(Precedence { circuit, probe, .. }) = self {
            circuit::judge(gate, &circuit, Verdict::Answers, probe, gate.clock.now());
        }
    }

    /// No server took it. Where the sender receives the failure it is counted at once, so that requests that fail together
    /// cannot all take the last one that the provider tolerates.
    pub(super) fn missed(self, missed: &mut Missed, gate: &Gate, route: &Route, record: &mut Record<'_>) -> Failure {
        match self {
            Self::Forward => Failure::Answered,
            Self::ForwardWithinBudget if record.afford_failure() => Failure::Answered,
            Self::ForwardWithinBudget => {
                note(missed, gate, &circuit::of(gate, route), None);
                Failure::Kept(None)
            }
            Self::ForwardFirst(Precedence { circuit, probe, slot }) => {
                note(missed, gate, &circuit, probe);
                Failure::Kept(slot)
            }
            Self::Keep => Failure::Kept(None),
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
