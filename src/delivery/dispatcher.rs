//! One route's dispatcher: looks whether something is due, whether somebody takes it, and whether there is a slot; takes as much
//! out of the store and sends it on its way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::gate::pipeline::circuit;
use crate::runtime::dispatch::{Admission, Circuit, Lane, Probe, Slot};
use crate::runtime::snapshot::Route;
use crate::store::{Backlog, Early, RefusedAt};

use super::{DeliveryContext, attempt};

/// How long until another look while something waits for its time, for a breaker or for the store. Short, because the wall clock
/// may be set meanwhile.
const SOON: Duration = Duration::from_millis(250);

/// How long free slots wait for others, so that one commit claims for several. A slow server must not hold up those that are
/// free for longer.
const GATHER: Duration = Duration::from_millis(2);

/// When to look again.
enum Look {
    Now,
    /// Then, or when something changes.
    At(Instant),
    /// After [`SOON`], or when something changes.
    Soon,
    /// When something changes.
    WhenWoken,
}

/// Runs for as long as the lane is known.
pub(super) async fn run(context: Arc<DeliveryContext>, lane: Arc<Lane>) {
    let mut routes = context.routes.clone();
    let mut gathering = None;
    loop {
        let route = routes.borrow_and_update().get(lane.route()).map(Arc::clone);
        let look = match route {
            Some(route) => step(&context, &lane, &route, &mut gathering).await,
            None => Look::WhenWoken,
        };
        let pause = async {
            match look {
                Look::Now => {}
                Look::At(at) => tokio::time::sleep_until(at).await,
                Look::Soon => tokio::time::sleep(SOON).await,
                Look::WhenWoken => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = lane.woken() => {}
            changed = routes.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}

async fn step(
    context: &Arc<DeliveryContext>,
    lane: &Arc<Lane>,
    route: &Arc<Route>,
    gathering: &mut Option<Instant>,
) -> Look {
    let dispatch = &context.gate.state.dispatch;
    let backlog = context.store.backlog(lane.route());
    if dispatch.is_closed() || backlog.waiting <= backlog.claimed {
        return Look::WhenWoken;
    }
    let now = context.gate.clock.now();
    let due = next_due(lane, route, &backlog, now).is_none_or(|due| due <= now);
    let circuit = circuit::of(&context.gate, route);
    let recovered = circuit.recovered();
    let draws = lane.is_to_draw(recovered);
    if !due && !draws && !lane.may_have_refused() {
        return Look::Soon;
    }
    let limit = if route.ordered { 1 } else { route.concurrency };
    let Some(mut going) = Going::admitted(&circuit, lane, recovered, due, draws, limit, now) else { return Look::Soon };
    let slots = lane.slots(going.limit, going.most);
    if slots.is_empty() {
        return Look::WhenWoken;
    }
    if slots.len() < (going.most / 2).min(usize::try_from(backlog.waiting - backlog.claimed).unwrap_or(usize::MAX)) {
        let until = *gathering.get_or_insert_with(|| Instant::now() + GATHER);
        if Instant::now() < until {
            slots.into_iter().for_each(Slot::put_back);
            return Look::At(until);
        }
    }
    *gathering = None;
    let Ok(claimed) = context.store.claim(lane.route(), slots.len(), route.ordered, going.early).await else {
        slots.into_iter().for_each(Slot::put_back);
        return Look::Soon;
    };
    if claimed.len() < slots.len() {
        going.found_all(lane);
    }
    if claimed.is_empty() {
        slots.into_iter().for_each(Slot::put_back);
        if route.ordered {
            lane.set_head_due(context.store.backlog(lane.route()).next_due, context.gate.clock.now());
        }
        if let Some(probe) = going.probe.take() {
            probe.unused();
        }
        return Look::Soon;
    }
    let mut slots = slots.into_iter();
    for (claimed, slot) in claimed.into_iter().zip(slots.by_ref()) {
        let (context, route, probe) = (Arc::clone(context), Arc::clone(route), going.probe.take());
        if route.ordered {
            // The line stands still until the head has gone, or is known to have to wait.
            let due = attempt::deliver(&context, &route, claimed, probe, None).await;
            lane.set_head_due(due, context.gate.clock.now());
            drop(slot);
        } else {
            tokio::spawn(async move {
                attempt::deliver(&context, &route, claimed, probe, Some(slot)).await;
            });
        }
    }
    slots.for_each(Slot::put_back);
    Look::Now
}

/// What may be taken out now.
struct Going {
    early: Early,
    probe: Option<Probe>,
    /// Slots of the route.
    limit: usize,
    /// Of these, at most.
    most: usize,
}

impl Going {
    /// `None`: nothing. What is `due` goes unless the circuit is open; what the upstream refused goes when it has recovered since
    /// (`draws`), and one of it in order to find out whether it has.
    fn admitted(
        circuit: &Circuit,
        lane: &Lane,
        recovered: RefusedAt,
        due: bool,
        draws: bool,
        limit: usize,
        now: UnixMillis,
    ) -> Option<Self> {
        match circuit.admit(due, now) {
            Admission::Free { clear } => {
                let early = if clear && draws { Early::Refused(recovered) } else { Early::Nothing };
                let limit = circuit.at_once(limit, lane.used());
                (due || early != Early::Nothing).then_some(Self { early, probe: None, limit, most: limit })
            }
            Admission::Probe(probe) => Some(Self { early: Early::Probe, probe: Some(probe), limit, most: 1 }),
            Admission::Shut => None,
        }
    }

    /// There was less than what was asked for.
    fn found_all(&self, lane: &Lane) {
        match self.early {
            Early::Refused(recovered) => lane.drew(recovered),
            Early::Probe => lane.none_refused(),
            Early::Nothing => {}
        }
    }
}

/// When there may be something to take; `None`: now. Of an ordered route only its head counts.
fn next_due(lane: &Lane, route: &Route, backlog: &Backlog, now: UnixMillis) -> Option<UnixMillis> {
    if route.ordered { lane.head_due(now) } else { backlog.next_due }
}
