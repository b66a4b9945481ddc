//! Which way a fresh request goes: inward while its sender waits, into the store, or inward first and into the store when
//! nobody takes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dispatch::{Admission, Breaker, Probe, Slot, Turn, Verdict};
use crate::observe::Event;
use crate::snapshot::{Delivery, Route};
use crate::store::Store;

use super::Gate;
use super::deliver::Missed;

/// What of the deadline is left for the store, at most.
const MARGIN: Duration = Duration::from_secs(1);

/// The way of one request.
#[derive(Debug)]
pub enum Way {
    /// Inward, and the sender hears what came of it.
    Inward,
    /// Inward, and the sender hears what came of it, unless it is a failure that its provider does not tolerate any more: then
    /// into the store.
    InwardSparing,
    /// Inward; if nobody takes it in time, into the store.
    InwardFirst(Passage),
    /// Into the store; delivered behind the sender's back.
    Store,
}

/// The right to go inward before what waits in the store.
#[derive(Debug)]
pub struct Passage {
    breaker: Arc<Breaker>,
    probe: Option<Probe>,
    /// On an ordered route: nobody else goes inward meanwhile.
    slot: Option<Slot>,
}

impl Way {
    /// Chooses. A route whose configuration wants a store that this process was not started with goes the direct way: its
    /// senders hear of success only when an internal server took the request.
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
    /// `None`: the upstream takes nothing at present, or the route is ordered and others are before this one.
    fn ask(gate: &Gate, route: &Route, store: &Store) -> Option<Self> {
        let slot = match route.ordered {
            true => Some(gate.state.dispatch.lane(&route.name).slot(1)?),
            false => None,
        };
        if route.ordered && store.backlog(&route.name).waiting > 0 {
            return None;
        }
        let breaker = gate.state.dispatch.breaker(&route.upstream.name);
        let probe = match breaker.admit(gate.clock.now()) {
            Admission::Free => None,
            Admission::Probe(probe) => Some(probe),
            Admission::Shut => return None,
        };
        Some(Self { breaker, probe, slot })
    }

    /// The end of the attempt: early enough that the store can still answer for it.
    pub(super) fn by(started: Instant, deadline: Duration) -> Instant {
        started + deadline.saturating_sub(MARGIN.min(deadline / 4))
    }

    /// Somebody took it.
    pub(super) fn taken(self, gate: &Gate, route: &Route) {
        self.judge(Verdict::Answers, gate, route);
    }

    /// Nobody took it. What this gives is held until the request is durable, so that on an ordered route nothing overtakes it.
    pub(super) fn missed(self, missed: &Missed, gate: &Gate, route: &Route) -> Option<Slot> {
        let wish = missed.retry_after.map_or(Duration::ZERO, |wish| wish.from(gate.clock.now()));
        self.judge(Verdict::of(missed.fault, missed.attempt.status, wish), gate, route)
    }

    fn judge(self, verdict: Verdict, gate: &Gate, route: &Route) -> Option<Slot> {
        let Self { breaker, probe, slot } = self;
        if let Some(turn) = breaker.judge(verdict, probe, gate.clock.now()) {
            turned(gate, &route.upstream.name, turn);
        }
        slot
    }
}

/// Tells that a breaker has turned, and whoever waited behind it.
pub fn turned(gate: &Gate, upstream: &str, turn: Turn) {
    match turn {
        Turn::Opened(pause) => gate.observer.record(&Event::BreakerOpened { upstream, pause }),
        Turn::Closed => {
            gate.observer.record(&Event::BreakerClosed { upstream });
            gate.state.dispatch.lanes().iter().for_each(|lane| lane.wake());
        }
    }
}
