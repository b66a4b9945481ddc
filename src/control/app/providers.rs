//! Upkeep of what routes know of their providers: error budgets and habits become events and gauges, and outlive the
//! process where there is a store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::UnixMillis;
use crate::edge::Relay;
use crate::guards::budget;
use crate::guards::habit::{self, Limit, Turn};
use crate::observe::{Event, Observer, ProviderStanding};
use crate::runtime::snapshot::{Route, Silence};

/// Takes up what an earlier process knew. What cannot be read is learnt again: no reason not to start.
pub(super) async fn restore(relay: &Relay) {
    let Some(store) = relay.gate.state.store() else { return };
    let (snapshot, now) = (relay.snapshot(), relay.gate.clock.now());
    let budgets = store.marks(budget::KIND).await.unwrap_or_default();
    let habits = store.marks(habit::KIND).await.unwrap_or_default();
    let routes: HashMap<&str, &Arc<Route>> = snapshot.routes.iter().map(|route| (&*route.name, route)).collect();
    for mark in &budgets {
        if let Some(route) = routes.get(&*mark.route) {
            route.budget.restore(&mark.value, now);
        }
    }
    for mark in &habits {
        if let Some(route) = routes.get(&*mark.route) {
            route.habit.restore(&String::from_utf8_lossy(&mark.value), now);
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
            store.mark(budget::KIND, &route.name, 0, kept);
        }
        store.mark(habit::KIND, &route.name, 0, route.habit.keep(now).into_bytes());
    }
}

/// Looks at every route: says what turned, sets the gauges. Also before somebody reads them, so that they are of now.
pub(super) fn look(relay: &Relay) {
    let (observer, now) = (&relay.gate.observer, relay.gate.clock.now());
    let snapshot = relay.snapshot();
    let standings: Vec<_> = snapshot.routes.iter().map(|route| one(route, observer, now)).collect();
    observer.set_providers(&standings);
}

fn one(route: &Route, observer: &Observer, now: UnixMillis) -> ProviderStanding {
    let (name, provider) = (&*route.name, route.provider.as_deref());
    let limit = match route.silence {
        Silence::Habit => Limit::Habit,
        Silence::After(time) => Limit::After(time),
        Silence::Off => Limit::Never,
    };
    match route.habit.turn(limit, now) {
        Some(Turn::Silent { quiet, usual }) => {
            observer.record(&Event::ProviderSilent { route: name, provider, quiet_for: quiet, usual });
        }
        Some(Turn::Heard { quiet }) => {
            observer.record(&Event::ProviderHeard { route: name, provider, quiet_for: quiet });
        }
        None => {}
    }
    if let Some(budget) = route.error_budget
        && let Some(spent) = route.budget.news(budget, now)
    {
        // A reload made the budget smaller; a failure tells by itself.
        observer.record(&Event::ErrorBudgetLow { route: name, provider, spent: spent.count, budget });
    }
    ProviderStanding {
        route: route.name.clone(),
        budget_left: route.error_budget.map(|budget| route.budget.standing(budget, now).left),
        silent: route.habit.is_silent(),
        last_genuine: route.habit.last(),
    }
}
