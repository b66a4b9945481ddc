//! Upkeep of what routes know of their providers: error budgets and baselines become events and gauges, and outlive the
//! process where there is a store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::UnixMillis;
use crate::edge::Relay;
use crate::guards::baseline::{self, Change, Limit};
use crate::guards::budget;
use crate::observe::{Event, Observer, ProviderStatus};
use crate::runtime::snapshot::{InactivityAlert, Route};

/// Takes up what an earlier process knew. What cannot be read is learnt again: no reason not to start.
pub(super) async fn restore(relay: &Relay) {
    let Some(store) = relay.gate.state.store() else { return };
    let (snapshot, now) = (relay.snapshot(), relay.gate.clock.now());
    let budgets = store.values(budget::KIND).await.unwrap_or_default();
    let baselines = store.values(baseline::KIND).await.unwrap_or_default();
    let routes: HashMap<&str, &Arc<Route>> = snapshot.routes.iter().map(|route| (&*route.name, route)).collect();
    for kept in &budgets {
        if let Some(route) = routes.get(&*kept.route) {
            route.budget.restore(&kept.value, now);
        }
    }
    for kept in &baselines {
        if let Some(route) = routes.get(&*kept.route) {
            route.baseline.restore(&String::from_utf8_lossy(&kept.value), now);
        }
    }
}

/// Leaves with the store what a restart must not forget.
pub(super) fn keep(relay: &Relay) {
    let Some(store) = relay.gate.state.store() else { return };
    let (snapshot, now) = (relay.snapshot(), relay.gate.clock.now());
    for route in snapshot.routes.iter() {
        // The pipeline keeps each failure at once; this is what time changed.
        if let Some(kept) = route.budget.changed() {
            store.put(budget::KIND, &route.name, 0, kept);
        }
        store.put(baseline::KIND, &route.name, 0, route.baseline.keep(now).into_bytes());
    }
}

/// Looks at every route: says what turned, sets the gauges. Also before somebody reads them, so that they are of now.
pub(super) fn look(relay: &Relay) {
    let (observer, now) = (&relay.gate.observer, relay.gate.clock.now());
    let snapshot = relay.snapshot();
    let statuses: Vec<_> = snapshot.routes.iter().map(|route| one(route, observer, now)).collect();
    observer.set_providers(&statuses);
}

fn one(route: &Route, observer: &Observer, now: UnixMillis) -> ProviderStatus {
    let (name, provider) = (&*route.name, route.provider.as_deref());
    let limit = match route.inactivity_alert {
        InactivityAlert::Baseline => Limit::Baseline,
        InactivityAlert::After(time) => Limit::After(time),
        InactivityAlert::Off => Limit::Never,
    };
    match route.baseline.turn(limit, now) {
        Some(Change::Inactive { quiet, usual }) => {
            observer.record(&Event::ProviderInactive { route: name, provider, quiet_for: quiet, usual });
        }
        Some(Change::Active { quiet }) => {
            observer.record(&Event::ProviderActive { route: name, provider, quiet_for: quiet });
        }
        None => {}
    }
    if let Some(budget) = route.error_budget
        && let Some(spent) = route.budget.news(budget, now)
    {
        // A reload made the budget smaller; a failure tells by itself.
        observer.record(&Event::ErrorBudgetLow { route: name, provider, spent: spent.count, budget });
    }
    ProviderStatus {
        route: route.name.clone(),
        budget_left: route.error_budget.map(|budget| route.budget.spent(budget, now).left),
        inactive: route.baseline.is_inactive(),
        last_genuine: route.baseline.last(),
    }
}
