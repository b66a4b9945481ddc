//! What the admin listener shows of the store and of what waits in it.

use std::sync::Arc;
use std::time::Duration;

use crate::control::admin::status::{SpoolStatus, StoreStatus, StrandedStatus, Used};
use crate::gate::pipeline::{Gate, circuit};
use crate::observe::{BreakerGauge, SpoolStanding, StoreStanding};
use crate::runtime::dispatch::Servers;
use crate::runtime::snapshot::{Delivery, Route, Snapshot};
use crate::store::{Backlog, Store};
use crate::upstream::Upstream;

/// One route's share.
pub(super) fn of(backlog: &Backlog) -> SpoolStatus {
    SpoolStatus { waiting: backlog.waiting, dead: backlog.dead, oldest: backlog.oldest.map(|at| at.secs()) }
}

/// The whole store.
pub(super) fn status(store: &Store, path: String, snapshot: &Snapshot) -> StoreStatus {
    let status = store.status();
    let unknown = |route: &str| !snapshot.routes.iter().any(|known| *known.name == *route);
    let stranded = store.backlogs().into_iter().filter(|(route, _)| unknown(route));
    StoreStatus {
        path,
        open: status.open,
        problem: status.problem,
        set_aside: status.set_aside,
        full: status.full,
        size: Used { used: status.used, limit: status.limit },
        disk_free: status.disk_free,
        spool: SpoolStatus {
            waiting: status.waiting,
            dead: status.dead,
            oldest: status.oldest_waiting.map(|at| at.secs()),
        },
        history_dropped: status.history_dropped,
        stranded: stranded
            .map(|(route, backlog)| StrandedStatus { route: route.to_string(), spool: of(&backlog) })
            .collect(),
    }
}

/// Sets the gauges of the store and of each route, those that only the store still knows included.
pub(super) fn set_metrics(gate: &Gate, snapshot: &Snapshot) {
    let Some(store) = gate.state.store() else { return };
    let status = store.status();
    gate.observer.set_store(&StoreStanding {
        up: status.open,
        full: status.full,
        used: status.used,
        limit: status.limit,
        disk_free: status.disk_free,
        set_aside: status.set_aside,
    });
    let now = gate.clock.now();
    let mut routes: Vec<Arc<str>> = snapshot.routes.iter().map(|route| Arc::clone(&route.name)).collect();
    routes.extend(store.backlogs().into_iter().map(|(route, _)| route));
    routes.sort();
    routes.dedup();
    let spool = |route: Arc<str>| {
        let backlog = store.backlog(&route);
        let age = backlog.oldest.map_or(0, |at| u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0));
        SpoolStanding { route, waiting: backlog.waiting, dead: backlog.dead, oldest: Duration::from_millis(age) }
    };
    gate.observer.set_spool(&routes.into_iter().map(spool).collect::<Vec<_>>());
    let of_route = |route: &Arc<Route>| {
        let open = circuit::of(gate, route).status().open;
        BreakerGauge { upstream: Arc::clone(&route.upstream.name), route: Some(Arc::clone(&route.name)), open }
    };
    let of_upstream = |upstream: &Arc<Upstream>| {
        let servers = Servers { upstream: &upstream.name, identity: upstream.identity() };
        let open = gate.state.dispatch.upstream_status(servers).open;
        BreakerGauge { upstream: Arc::clone(&upstream.name), route: None, open }
    };
    let stored = snapshot.routes.iter().filter(|route| route.delivery != Delivery::Direct);
    let breakers: Vec<_> = snapshot.upstreams.values().map(of_upstream).chain(stored.map(of_route)).collect();
    gate.observer.set_breakers(&breakers);
}
