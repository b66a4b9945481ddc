//! Upkeep of what routes know of their providers: error budgets and habits become events and gauges.

use crate::base::UnixMillis;
use crate::edge::Relay;
use crate::habit::{Limit, Turn};
use crate::observe::{Event, Observer, ProviderStanding};
use crate::snapshot::{Route, Silence};

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
