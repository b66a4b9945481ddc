//! The circuit breakers between a route and its upstream: found by route, judged by attempts, and what a change of one brings about.
//! Requests that go straight to the upstream and those out of the store are judged here alike.

use std::sync::Arc;

use crate::base::UnixMillis;
use crate::observe::Event;
use crate::runtime::dispatch::{Circuit, Probe, Servers, Transition, Transitions, Verdict};
use crate::runtime::snapshot::Route;
use crate::store::RefusedAt;

use super::Gate;

/// What stands between a route and its upstream.
pub fn of(gate: &Gate, route: &Route) -> Arc<Circuit> {
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
    changed(gate, circuit.upstream(), Some(circuit.route()), of_route);
    changed(gate, circuit.upstream(), None, of_upstream);
    verdict.refuses().then(|| circuit.number_refusal())
}

/// Records that a breaker has opened or closed, and wakes whoever waited behind it.
fn changed(gate: &Gate, upstream: &str, route: Option<&str>, transition: Option<Transition>) {
    match transition {
        None => return,
        Some(Transition::Opened(pause)) => {
            return gate.observer.record(&Event::BreakerOpened { upstream, route, pause });
        }
        Some(Transition::Closed) => gate.observer.record(&Event::BreakerClosed { upstream, route }),
        Some(Transition::Cleared) => {}
    }
    gate.state.dispatch.lanes().iter().for_each(|lane| lane.wake());
}
