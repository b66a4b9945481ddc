//! One route's dispatcher: looks whether something is due, whether somebody takes it, and whether there is a slot; takes so much
//! out of the store and sends it on its way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::dispatch::{Admission, Lane, Slot};
use crate::snapshot::Route;
use crate::store::Backlog;

use super::{Courier, attempt};

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
pub(super) async fn run(courier: Arc<Courier>, lane: Arc<Lane>) {
    let mut routes = courier.routes.clone();
    let mut gathering = None;
    loop {
        let route = routes.borrow_and_update().get(lane.route()).map(Arc::clone);
        let look = match route {
            Some(route) => step(&courier, &lane, &route, &mut gathering).await,
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

async fn step(courier: &Arc<Courier>, lane: &Arc<Lane>, route: &Arc<Route>, gathering: &mut Option<Instant>) -> Look {
    let dispatch = &courier.gate.state.dispatch;
    let backlog = courier.store.backlog(lane.route());
    if dispatch.is_closed() || backlog.waiting <= backlog.claimed {
        return Look::WhenWoken;
    }
    let now = courier.gate.clock.now();
    if next_due(lane, route, &backlog).is_some_and(|due| due > now) {
        return Look::Soon;
    }
    let limit = if route.ordered { 1 } else { route.concurrency };
    let (probe, most) = match dispatch.breaker(&route.upstream.name).admit(now) {
        Admission::Free => (None, limit),
        Admission::Probe(probe) => (Some(probe), 1),
        Admission::Shut => return Look::Soon,
    };
    let slots = lane.slots(limit, most);
    if slots.is_empty() {
        return Look::WhenWoken;
    }
    if slots.len() < (most / 2).min(usize::try_from(backlog.waiting - backlog.claimed).unwrap_or(usize::MAX)) {
        let until = *gathering.get_or_insert_with(|| Instant::now() + GATHER);
        if Instant::now() < until {
            slots.into_iter().for_each(Slot::put_back);
            return Look::At(until);
        }
    }
    *gathering = None;
    let claimed = courier.store.claim(lane.route(), slots.len(), route.ordered).await.unwrap_or_default();
    if claimed.is_empty() {
        slots.into_iter().for_each(Slot::put_back);
        return Look::Soon;
    }
    let mut slots = slots.into_iter();
    let mut probe = probe;
    for (claimed, slot) in claimed.into_iter().zip(slots.by_ref()) {
        let (courier, route, probe) = (Arc::clone(courier), Arc::clone(route), probe.take());
        if route.ordered {
            // The line stands still until the head has gone, or is known to have to wait.
            let due = attempt::deliver(&courier, &route, claimed, probe, None).await;
            lane.set_head_due(due);
            drop(slot);
        } else {
            tokio::spawn(async move {
                attempt::deliver(&courier, &route, claimed, probe, Some(slot)).await;
            });
        }
    }
    slots.for_each(Slot::put_back);
    Look::Now
}

/// When there may be something to take; `None`: now. Of an ordered route only its head counts, and what is in memory of it is
/// lost with the process: a restart tries it at once.
fn next_due(lane: &Lane, route: &Route, backlog: &Backlog) -> Option<UnixMillis> {
    if route.ordered { lane.head_due() } else { backlog.next_due }
}
