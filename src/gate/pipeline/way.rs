//! Which way a fresh request goes: to the upstream while its sender waits, into the store, or to the upstream first and into the store when
//! nobody takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::observe::Event;
use crate::runtime::dispatch::{Admission, Circuit, Probe, Servers, Slot, Transition, Transitions, Verdict};
use crate::runtime::snapshot::{Delivery, Route};
use crate::store::{RefusedAt, Store};

use super::Gate;
use super::deliver::Missed;

/// What of the deadline is left for the store, at most.
const MARGIN: Duration = Duration::from_secs(1);

/// The way of one request.
#[derive(Debug)]
pub enum Way {
    /// Forwarded at once, and the sender receives the result.
    Inward,
    /// Forwarded at once, and the sender receives the result, unless it is a failure that its provider does not tolerate any more: then
    /// into the store.
    InwardSparing,
    /// Forwarded at once; if nobody takes it in time, into the store.
    InwardFirst(Passage),
    /// Into the store; delivered asynchronously.
    Store,
}

/// The right to be forwarded before what waits in the store.
#[derive(Debug)]
pub struct Passage {
    circuit: Arc<Circuit>,
    probe: Option<Probe>,
    /// On an ordered route: nothing else is forwarded meanwhile.
    slot: Option<Slot>,
}

impl Way {
    /// Chooses. A route whose configuration wants a store that this process was not started with goes the direct way: its
    /// senders receive success only when an internal server took the request.
    pub(super) fn choose(gate: &Gate, route: &Route) -> Self {
        match (route.delivery, gate.state.store()) {
            (Delivery::Direct, Some(_)) if route.error_budget.is_some() => Self::InwardSparing,
            (Delivery::Direct, _) | (_, None) => Self::Inward,
            (Delivery::Queue, Some(_)) => Self::Store,
            (Delivery::Failover, Some(store)) => {
                Passage::ask(gate, route, store).map_or(Self::Store, Self::InwardFirst)
            }
        }
    }
}

impl Passage {
    /// `None`: the upstream accepts no requests at present, or the route is ordered and others are before this one.
    fn ask(gate: &Gate, route: &Route, store: &Store) -> Option<Self> {
        let slot = match route.ordered {
            true => Some(gate.state.dispatch.lane(&route.name).slot(1)?),
            false => None,
        };
        if route.ordered && store.backlog(&route.name).waiting > 0 {
            return None;
        }
        let circuit = circuit(gate, route);
        let probe = match circuit.admit(true, gate.clock.now()) {
            Admission::Free { .. } => None,
            Admission::Probe(probe) => Some(probe),
            Admission::Shut => return None,
        };
        Some(Self { circuit, probe, slot })
    }

    /// The end of the attempt: early enough that the store can still answer for it.
    pub(super) fn by(started: Instant, deadline: Duration) -> Instant {
        started + deadline.saturating_sub(MARGIN.min(deadline / 4))
    }

    /// Somebody took it.
    pub(super) fn taken(self, gate: &Gate) {
        let now = gate.clock.now();
        judge(gate, &self.circuit, Verdict::Answers, self.probe, now);
    }

    /// Nobody took it. What this gives is held until the request is durable, so that on an ordered route nothing overtakes it.
    pub(super) fn missed(self, missed: &mut Missed, gate: &Gate) -> Option<Slot> {
        note(missed, gate, &self.circuit, self.probe);
        self.slot
    }
}

/// Nobody took a request that is kept instead of failing.
pub(super) fn spared(missed: &mut Missed, gate: &Gate, route: &Route) {
    note(missed, gate, &circuit(gate, route), None);
}

fn note(missed: &mut Missed, gate: &Gate, circuit: &Circuit, probe: Option<Probe>) {
    let now = gate.clock.now();
    let wish = missed.retry_after.map_or(Duration::ZERO, |wish| wish.from(now));
    if let Some(verdict) = Verdict::of(missed.fault, missed.attempt.status, wish) {
        missed.refused = judge(gate, circuit, verdict, probe, now);
    }
}

/// What stands between a route and its upstream.
pub fn circuit(gate: &Gate, route: &Route) -> Arc<Circuit> {
    gate.state.dispatch.circuit(&route.name, servers(route))
}

/// The servers of a route's upstream.
pub fn servers(route: &Route) -> Servers<'_> {
    Servers { upstream: &route.upstream.name, identity: route.upstream.identity() }
}

/// Takes note of what an attempt says of its upstream. Gives its place among the refusals, where it is one.
pub fn judge(
    gate: &Gate,
    circuit: &Circuit,
    verdict: Verdict,
    probe: Option<Probe>,
    now: UnixMillis,
) -> Option<RefusedAt> {
    let Transitions { of_route, of_upstream } = circuit.judge(verdict, probe, now);
    turned(gate, circuit.upstream(), Some(circuit.route()), of_route);
    turned(gate, circuit.upstream(), None, of_upstream);
    verdict.refuses().then(|| circuit.mark())
}

/// Tells that a breaker has turned, and whoever waited behind it.
fn turned(gate: &Gate, upstream: &str, route: Option<&str>, turn: Option<Transition>) {
    match turn {
        None => return,
        Some(Transition::Opened(pause)) => {
            return gate.observer.record(&Event::BreakerOpened { upstream, route, pause });
        }
        Some(Transition::Closed) => gate.observer.record(&Event::BreakerClosed { upstream, route }),
        Some(Transition::Cleared) => {}
    }
    gate.state.dispatch.lanes().iter().for_each(|lane| lane.wake());
}
