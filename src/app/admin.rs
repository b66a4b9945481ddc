//! What the admin listener shows: a view over the relay, made when somebody asks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use data_encoding::HEXLOWER;

use crate::admin::status::{
    CertificateStatus, ConfigStatus, ListenerStatus, Problem, ReloadError, ReloadReport, RouteCounts, RouteStatus,
    ServerStatus, State, Status, UpstreamStatus, Usage, Used,
};
use crate::admin::{AdminSource, Reloading};
use crate::base::UnixMillis;
use crate::config;
use crate::edge::{Draining, Relay};
use crate::observe::names;
use crate::reload::Requests;
use crate::snapshot::{Route, Snapshot, Verification};
use crate::upstream::Upstream;

use super::ReloadOutcome;
use super::reload::{Reload, Standing};

/// Everything that a status is made of.
pub(super) struct Source {
    relay: Arc<Relay>,
    standing: Arc<Mutex<Standing>>,
    requests: Requests<ReloadOutcome>,
    listeners: Vec<(Arc<str>, SocketAddr)>,
    draining: Draining,
    config: PathBuf,
    started_at: UnixMillis,
    started: Instant,
}

impl Source {
    pub(super) fn new(
        relay: &Arc<Relay>,
        reload: &Reload,
        requests: Requests<ReloadOutcome>,
        listeners: Vec<(Arc<str>, SocketAddr)>,
        draining: Draining,
    ) -> Arc<Self> {
        Arc::new(Self {
            started_at: relay.gate.clock.now(),
            relay: Arc::clone(relay),
            standing: reload.standing(),
            requests,
            listeners,
            draining,
            config: reload.config().clone(),
            started: Instant::now(),
        })
    }

    fn config(&self, snapshot: &Snapshot, standing: &Standing) -> ConfigStatus {
        ConfigStatus {
            path: self.config.display().to_string(),
            digest: HEXLOWER.encode(&snapshot.digest),
            generation: standing.generation,
            loaded_at: standing.loaded_at.secs(),
            last_error: standing.last_error.as_ref().map(|(at, report)| ReloadError {
                at: at.secs(),
                problems: report.problems.iter().map(problem).collect(),
            }),
            needs_restart: standing.needs_restart.clone(),
        }
    }

    /// A passed name may stand for several sockets; each is a line of its own.
    fn listeners(&self, snapshot: &Snapshot) -> Vec<ListenerStatus> {
        let status = |(name, address): &(Arc<str>, SocketAddr)| {
            let tls = snapshot.listeners.iter().find(|listener| listener.name == *name).and_then(|l| l.tls.as_ref());
            let certificates = tls.map_or(&[][..], |tls| &tls.certificates);
            ListenerStatus {
                name: name.to_string(),
                address: address.to_string(),
                tls: tls.is_some(),
                certificates: certificates
                    .iter()
                    .map(|known| CertificateStatus { names: known.names.clone(), not_after: known.not_after })
                    .collect(),
            }
        };
        self.listeners.iter().map(status).collect()
    }

    fn usage(&self, snapshot: &Snapshot, metrics: &str) -> Usage {
        let state = &self.relay.gate.state;
        let used = |used: usize, limit: usize| Used { used: used as u64, limit: limit as u64 };
        let in_flight = samples(metrics, names::REQUESTS_IN_FLIGHT.name).map(|(_, value)| value).sum::<f64>();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
        let requests_in_flight = in_flight as u64;
        Usage {
            connections: used(self.relay.connections.open(), snapshot.limits.max_connections),
            body_memory: Used { used: state.bodies.used(), limit: snapshot.limits.body_memory },
            replay_entries: used(state.replay.len(), snapshot.limits.replay_entries),
            requests_in_flight,
        }
    }
}

impl AdminSource for Source {
    fn ready(&self) -> bool {
        !self.draining.is_draining()
    }

    fn status(&self) -> Status {
        let snapshot = self.relay.snapshot();
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let metrics = self.metrics();
        let counts = counts(&metrics);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at.secs(),
            uptime_seconds: self.started.elapsed().as_secs(),
            state: if self.ready() { State::Running } else { State::Draining },
            config: self.config(&snapshot, &standing),
            listeners: self.listeners(&snapshot),
            routes: snapshot.routes.iter().map(|known| route(known, &counts)).collect(),
            upstreams: snapshot.upstreams.values().map(|known| upstream(known)).collect(),
            usage: self.usage(&snapshot, &metrics),
            warnings: standing.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn metrics(&self) -> String {
        let gate = &self.relay.gate;
        gate.observer.set_body_memory(gate.state.bodies.used());
        gate.observer.set_replay_entries(gate.state.replay.len());
        gate.observer.render_metrics()
    }

    fn reload(&self) -> Reloading<'_> {
        Box::pin(async { self.requests.reload().await.map(|outcome| report(&outcome)) })
    }
}

fn report(outcome: &ReloadOutcome) -> ReloadReport {
    match outcome {
        ReloadOutcome::Applied { generation, needs_restart, warnings } => ReloadReport::Applied {
            generation: *generation,
            needs_restart: needs_restart.clone(),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        },
        ReloadOutcome::Unchanged { generation } => ReloadReport::Unchanged { generation: *generation },
        ReloadOutcome::Kept(report) => ReloadReport::Kept { problems: report.problems.iter().map(problem).collect() },
    }
}

fn problem(problem: &config::Problem) -> Problem {
    Problem {
        file: problem.file.display().to_string(),
        line: problem.at.map(|(line, _)| line),
        column: problem.at.map(|(_, column)| column),
        key: problem.key.clone(),
        what: problem.what.clone(),
        help: problem.help.clone(),
    }
}

fn route(route: &Route, counts: &HashMap<String, RouteCounts>) -> RouteStatus {
    let (verification, keys) = match &route.verify {
        Verification::Signed(verifier) => ("signed", verifier.key_ids().map(str::to_owned).collect()),
        Verification::DangerouslyNone => ("none", Vec::new()),
    };
    RouteStatus {
        name: route.name.to_string(),
        description: route.description.clone(),
        host: route.host.clone(),
        path: route.path.clone(),
        provider: route.provider.as_deref().map(str::to_owned),
        upstream: route.upstream.name.to_string(),
        verification: verification.to_owned(),
        keys,
        counts: counts.get(&*route.name).copied().unwrap_or_default(),
    }
}

fn upstream(upstream: &Upstream) -> UpstreamStatus {
    let server = |server: crate::upstream::ServerStatus| ServerStatus {
        address: server.url.to_string(),
        healthy: server.healthy && !server.ejected,
        why: match (server.problem, server.healthy, server.ejected) {
            (Some(problem), _, _) => Some(problem),
            (None, false, _) => Some("health checks fail".to_owned()),
            (None, true, true) => Some(format!("ejected after {} failures in a row", server.failures)),
            (None, true, false) => None,
        },
        in_flight: server.in_flight as u64,
    };
    UpstreamStatus { name: upstream.name.to_string(), servers: upstream.status().into_iter().map(server).collect() }
}

/// The counts of each route, read from the same text that Prometheus reads, so that the two can never disagree.
fn counts(metrics: &str) -> HashMap<String, RouteCounts> {
    let mut routes: HashMap<String, RouteCounts> = HashMap::new();
    for (labels, value) in samples(metrics, names::REQUESTS.name) {
        let (Some(route), Some(outcome)) = (label(labels, "route"), label(labels, "outcome")) else { continue };
        let counts = routes.entry(route.to_owned()).or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
        let value = value as u64;
        match outcome {
            "delivered" => counts.delivered += value,
            "handshake" => counts.handshake += value,
            "duplicate" => counts.duplicate += value,
            "refused" => counts.refused += value,
            "failed" => counts.failed += value,
            "gone" => counts.gone += value,
            _ => {}
        }
    }
    routes
}

/// Labels and value of each sample of one metric.
fn samples<'m>(metrics: &'m str, name: &'m str) -> impl Iterator<Item = (&'m str, f64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(labelled) => labelled.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        Some((labels, value.parse().ok()?))
    })
}

/// Route names are plain words, so their labels hold no escapes.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    labels.split("\",").find_map(|pair| {
        let (known, value) = pair.split_once("=\"")?;
        (known == name).then(|| value.trim_end_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_metrics_text() {
        let text = "# TYPE dmz_relay_requests_total counter\n\
            dmz_relay_requests_total{listener=\"a\",route=\"x\",provider=\"-\",outcome=\"delivered\",reason=\"\"} 3\n\
            dmz_relay_requests_total{listener=\"b\",route=\"x\",provider=\"-\",outcome=\"delivered\",reason=\"\"} 4\n\
            dmz_relay_requests_total{listener=\"a\",route=\"x\",provider=\"-\",outcome=\"refused\",reason=\"y\"} 1\n\
            dmz_relay_requests_total_other 9\n";
        assert_eq!(names::REQUESTS.name, "dmz_relay_requests_total");
        let counts = counts(text);
        assert_eq!((counts["x"].delivered, counts["x"].refused), (7, 1));
        assert_eq!(counts.len(), 1);
    }
}
