//! What a configuration looks like to metrics.

use std::sync::Arc;

use crate::gate::pipeline::Gate;
use crate::observe::{Event, RouteLabels, Shape};
use crate::runtime::snapshot::{AddressCheck, Route, Snapshot, Verification};
use crate::upstream::{ServerChange, ServerTurn};

/// The label values that a snapshot can produce; metrics are prepared for exactly these.
pub(super) fn shape(snapshot: &Snapshot) -> Shape {
    let routes: Vec<_> = snapshot
        .routes
        .iter()
        .map(|route| RouteLabels { route: Arc::clone(&route.name), provider: route.provider.clone() })
        .collect();
    let unverified =
        snapshot.routes.iter().filter(|route| matches!(route.verify, Verification::DangerouslyNone)).count();
    let observes = |route: &Route| route.address_check == AddressCheck::Observe || route.observed.is_some();
    let observed = snapshot.routes.iter().filter(|route| observes(route)).count();
    let mut certificates = Vec::new();
    for listener in &snapshot.listeners {
        for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
            let name = certificate.names.first().cloned().unwrap_or_default();
            certificates.push((Arc::clone(&listener.name), name, certificate.lifetime.not_after));
        }
    }
    let servers = snapshot.upstreams.values().flat_map(|upstream| {
        upstream
            .status()
            .into_iter()
            .map(|server| (Arc::clone(&upstream.name), server.url, server.healthy && !server.ejected))
    });
    Shape {
        listeners: snapshot.listeners.iter().map(|listener| Arc::clone(&listener.name)).collect(),
        routes,
        unverified,
        observed,
        certificates,
        feeds: super::feeds::shape(snapshot),
        servers: servers.collect(),
    }
}

/// A server turned: one line, one gauge, and what waits for it goes on.
pub(super) fn server_change(gate: &Gate, change: &ServerChange) {
    let healthy = matches!(change.now, ServerTurn::Healthy | ServerTurn::Readmitted);
    gate.observer.record(&Event::ServerHealth {
        upstream: &change.upstream,
        server: &change.server,
        healthy,
        why: if change.detail.is_empty() { change.now.as_str() } else { &change.detail },
    });
    if healthy {
        gate.state.dispatch.expect(&change.upstream);
    }
}
