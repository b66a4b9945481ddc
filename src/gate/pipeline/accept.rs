//! Step 11 without the sender waiting for the upstream: the request is made durable, and only then called accepted.
//!
//! A task of its own does it, because the sender may go away in the middle: what became durable must be delivered, remembered as
//! taken, and counted, whoever still listens.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use crate::base::UnixMillis;
use crate::domain::{Fault, Outcome};
use crate::gate::pipeline::circuit;
use crate::runtime::dispatch::{Circuit, HandedOver, Lane, Slot, schedule};
use crate::runtime::snapshot::Route;
use crate::runtime::state::State;
use crate::store::{Accept, Store, StoredRequest, Ticket, Unstored};

use super::Gate;
use super::dedupe::{Fresh, Pending};
use super::deliver::Missed;
use super::record::Record;

/// A request that would survive a power loss. Nothing else makes one.
#[derive(Debug)]
pub struct Accepted(());

impl Accepted {
    /// Makes a request durable. `missed` is the attempt that was made before, if one was; the sender receives that when there
    /// is no room for the request either.
    pub(super) async fn keep(
        fresh: Fresh<'_>,
        missed: Option<Missed>,
        gate: &Gate,
        record: &mut Record<'_>,
    ) -> Result<Self, Outcome> {
        let Some(store) = gate.state.store() else { return Err(Fault::StoreFailed.into()) };
        let by = record.started() + fresh.route().deadline;
        let fault = missed.as_ref().map(|missed| missed.fault);
        let keeping = Keeping::new(fresh, missed, gate, store, record);
        let (told, answer) = oneshot::channel();
        record.keeping();
        tokio::spawn(keeping.run(told));
        let why = match timeout_at(by, answer).await {
            Ok(Ok(Ok(_))) => return Ok(Self(())),
            Ok(Ok(Err(why))) => {
                record.not_keeping();
                why.into()
            }
            // It may still become durable, and is delivered then; the sender's repetition of it is a duplicate.
            Err(_) => Fault::StoreFailed,
            Ok(Err(_)) => Fault::Internal,
        };
        match fault {
            Some(fault) => {
                record.not_kept(why);
                Err(fault.into())
            }
            None => Err(why.into()),
        }
    }
}

/// Everything that the task needs, owned.
struct Keeping {
    state: Arc<State>,
    store: Arc<Store>,
    lane: Arc<Lane>,
    circuit: Arc<Circuit>,
    accept: Accept,
    pending: Option<Pending>,
    /// Goes on its way at once, from memory.
    at_once: Option<(StoredRequest, Slot)>,
    /// When the head of an ordered line may be tried again, and when that was known.
    head_due: Option<(UnixMillis, UnixMillis)>,
}

impl Keeping {
    fn new(fresh: Fresh<'_>, missed: Option<Missed>, gate: &Gate, store: &Arc<Store>, record: &Record<'_>) -> Self {
        let now = gate.clock.now();
        let route = Arc::clone(fresh.route());
        let lane = gate.state.dispatch.lane(&route.name);
        let slot = if missed.is_none() { slot_at_once(gate, &route, store, &lane) } else { None };
        let due = match (&slot, &missed) {
            (Some(_), _) => None,
            (None, Some(missed)) => Some(due_after(missed, &route, now)),
            (None, None) => Some(now),
        };
        let head_due = due.filter(|_| route.ordered && missed.is_some()).map(|due| (due, now));
        let refused = missed.as_ref().and_then(|missed| missed.refused);
        // An attempt that reached nobody is none.
        let tried = missed.filter(|missed| missed.asked > 0).map(|missed| missed.attempt);
        let entry = record.accepted(fresh.body());
        let at_once = slot.map(|slot| (record.stored(&route.name, fresh.body()), slot));
        let (keep_body, repeat) = (route.keep_body, fresh.is_repeat());
        let pending = fresh.pending(&gate.state.dedupe, gate.clock.moment());
        let dedupe = pending.as_ref().and_then(Pending::key);
        let accept = Accept { entry, dedupe, tried, due, refused, keep_body, repeat };
        let circuit = circuit::of(gate, &route);
        let (state, store) = (Arc::clone(&gate.state), Arc::clone(store));
        Self { state, store, lane, circuit, accept, pending, at_once, head_due }
    }

    async fn run(self, told: oneshot::Sender<Result<Ticket, Unstored>>) {
        let Self { state, store, lane, circuit, accept, pending, at_once, head_due } = self;
        let refused = accept.refused;
        let busy = state.dispatch.busy();
        let kept = store.accept(accept).await;
        let Ok(ticket) = kept else {
            // Before the sender receives it: its next try must not find a copy on its way.
            drop(pending);
            let _ = told.send(kept);
            return;
        };
        if let Some(pending) = pending {
            pending.commit();
        }
        let _ = told.send(Ok(ticket));
        match at_once {
            Some((request, slot)) => {
                // The slot counts from here on.
                drop(busy);
                state.dispatch.hand_off(HandedOver { ticket, request, slot }).await;
            }
            None => {
                if let Some((due, since)) = head_due {
                    lane.set_head_due(Some(due), since);
                }
                if let Some(refused) = refused {
                    lane.was_refused(refused < circuit.recovered());
                }
                state.dispatch.wake(lane.route());
            }
        }
    }
}

/// A place among the route's deliveries, where nothing waits before this request and the upstream takes requests. An ordered
/// route always goes through the store: the order of acceptance is the order of tickets, which nobody knows before the commit.
fn slot_at_once(gate: &Gate, route: &Route, store: &Store, lane: &Arc<Lane>) -> Option<Slot> {
    if route.ordered {
        return None;
    }
    let backlog = store.backlog(&route.name);
    if backlog.waiting > backlog.claimed {
        return None;
    }
    let circuit = circuit::of(gate, route);
    if circuit.is_open() {
        return None;
    }
    lane.slot(circuit.at_once(route.concurrency, lane.used()))
}

fn due_after(missed: &Missed, route: &Route, now: UnixMillis) -> UnixMillis {
    let pause = schedule::pause(route.retry.first, route.retry.max, 1, fastrand::f64());
    let retry_after = missed.retry_after.map_or(Duration::ZERO, |after| after.from(now));
    schedule::due(now, pause, retry_after, route.retry.max)
}
