//! What the admin listener shows: a view over the relay, made when somebody asks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use data_encoding::HEXLOWER;

use crate::base::UnixMillis;
use crate::config::versions::{Version, Versions};
use crate::control::admin::configuration::{Configuring, Running, VersionList};
use crate::control::admin::status::{
    BudgetStatus, CertificateStatus, ConfigStatus, ListenerStatus, OpenBreaker, PendingStatus, Problem, ReloadError,
    ReloadReport, RouteCounts, RouteStatus, ServerStatus, State, Status, StoreStatus, UnlistedAddress, UnlistedStatus,
    UpstreamStatus, Usage, Used,
};
use crate::control::admin::{AdminSource, Reloading};
use crate::control::reload::Requests;
use crate::edge::{Draining, Relay};
use crate::gate::pipeline::unlisted::addition;
use crate::gate::pipeline::{Gate, circuit};
use crate::guards::access::Verdict;
use crate::guards::unlisted::Remembered;
use crate::observe::AdminAction;
use crate::runtime::dispatch::{BreakerStatus, Servers};
use crate::runtime::snapshot::{Roles, Route, Snapshot, Verification};
use crate::upstream::Upstream;

use super::reload::{Reload, RunningConfig};
use super::{ReloadOutcome, certificates, events, feeds, providers, spool, versions};

/// Everything that a status is made of.
pub(super) struct Source {
    relay: Arc<Relay>,
    status: Arc<Mutex<RunningConfig>>,
    requests: Requests<ReloadOutcome>,
    listeners: Vec<(Arc<str>, SocketAddr)>,
    draining: Draining,
    config: PathBuf,
    versions: Option<Versions>,
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
            status: reload.status(),
            requests,
            listeners,
            draining,
            config: reload.config().clone(),
            versions: reload.versions(),
            started: Instant::now(),
        })
    }

    pub(super) fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    fn config(&self, snapshot: &Snapshot, running: &RunningConfig) -> ConfigStatus {
        ConfigStatus {
            path: self.config.display().to_string(),
            digest: HEXLOWER.encode(&snapshot.digest),
            generation: running.generation,
            loaded_at: running.loaded_at.secs(),
            last_error: running.last_error.as_ref().map(|(at, report)| ReloadError {
                at: at.secs(),
                problems: report.problems.iter().map(Problem::from).collect(),
            }),
            needs_restart: running.needs_restart.clone(),
            version: running.version,
            reload: snapshot.reload.as_str().to_owned(),
            changes: running.changes.clone(),
            pending: running.pending.as_ref().map(|pending| PendingStatus {
                since: pending.since.secs(),
                changes: pending.changes.clone(),
                problems: pending.problems.iter().map(Problem::from).collect(),
            }),
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
                    .map(|known| CertificateStatus {
                        names: known.names.clone(),
                        not_before: known.lifetime.not_before,
                        not_after: known.lifetime.not_after,
                    })
                    .collect(),
            }
        };
        self.listeners.iter().map(status).collect()
    }

    fn usage(&self, snapshot: &Snapshot) -> Usage {
        let state = &self.relay.gate.state;
        let used = |used: usize, limit: usize| Used { used: used as u64, limit: limit as u64 };
        Usage {
            connections: used(self.relay.connections.open(), snapshot.limits.max_connections),
            body_memory: Used { used: state.bodies.used(), limit: snapshot.limits.body_memory },
            dedupe_entries: used(state.dedupe.len(), snapshot.limits.dedupe_entries),
            requests_in_flight: snapshot.routes.iter().map(|route| route.meter.in_flight() as u64).sum(),
        }
    }
}

impl Source {
    fn store(&self, snapshot: &Snapshot) -> Option<StoreStatus> {
        let store = self.relay.gate.state.store()?;
        let path = snapshot.store.as_ref().map(|settings| settings.path.display().to_string());
        Some(spool::status(store, path.unwrap_or_default(), snapshot))
    }
}

impl AdminSource for Source {
    fn ready(&self) -> bool {
        !self.draining.is_draining()
    }

    fn status(&self) -> Status {
        providers::look(&self.relay);
        certificates::look(&self.relay);
        feeds::look(&self.relay);
        let snapshot = self.relay.snapshot();
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at.secs(),
            uptime_seconds: self.started.elapsed().as_secs(),
            state: if self.ready() { State::Running } else { State::Draining },
            config: self.config(&snapshot, &status),
            listeners: self.listeners(&snapshot),
            routes: snapshot.routes.iter().map(|known| route(known, &self.relay.gate)).collect(),
            upstreams: snapshot.upstreams.values().map(|known| upstream(known, &self.relay.gate)).collect(),
            feeds: snapshot.feeds.iter().map(|feed| feeds::status(feed, self.relay.gate.clock.now().secs())).collect(),
            usage: self.usage(&snapshot),
            store: self.store(&snapshot),
            warnings: status.warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn metrics(&self) -> String {
        let gate = &self.relay.gate;
        gate.observer.set_body_memory(gate.state.bodies.used());
        gate.observer.set_dedupe_entries(gate.state.dedupe.len());
        providers::look(&self.relay);
        spool::set_metrics(gate, &self.relay.snapshot());
        gate.observer.render_metrics()
    }

    fn roles(&self) -> Roles {
        self.relay.snapshot().roles.clone()
    }

    fn acted(&self, action: &AdminAction<'_>) {
        events::acted(&self.relay.gate, action);
    }

    fn reload(&self) -> Reloading<'_> {
        Box::pin(async { self.requests.reload().await.map(|outcome| report(&outcome)) })
    }

    fn running(&self) -> Configuring<'_, Running> {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        versions::running(self.config.clone(), status)
    }

    fn versions(&self) -> Configuring<'_, VersionList> {
        let running = self.status.lock().unwrap_or_else(PoisonError::into_inner).version;
        versions::list(self.versions.clone(), running)
    }

    fn version(&self, number: u64) -> Configuring<'_, Version> {
        versions::one(self.versions.clone(), number)
    }
}

fn report(outcome: &ReloadOutcome) -> ReloadReport {
    match outcome {
        ReloadOutcome::Applied { generation, changes, needs_restart, warnings } => ReloadReport::Applied {
            generation: *generation,
            changes: changes.clone(),
            needs_restart: needs_restart.clone(),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        },
        ReloadOutcome::Unchanged { generation } => ReloadReport::Unchanged { generation: *generation },
        ReloadOutcome::Kept(report) => {
            ReloadReport::Kept { problems: report.problems.iter().map(Problem::from).collect() }
        }
    }
}

fn route(route: &Route, gate: &Gate) -> RouteStatus {
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
        address_check: route.access.restricts().then(|| route.address_check.as_str().to_owned()),
        observes: route.observed.is_some(),
        keys,
        counts: gate.observer.tally(&route.name).map(RouteCounts::from).unwrap_or_default(),
        error_budget: route.error_budget.map(|budget| {
            let spent = route.budget.spent(budget, gate.clock.now());
            BudgetStatus { budget, spent: spent.count, left: spent.left }
        }),
        last_genuine: route.baseline.last().map(UnixMillis::secs),
        inactive: route.baseline.is_inactive(),
        unlisted: unlisted(route, gate),
        delivery: route.delivery.as_str().to_owned(),
        spool: gate.state.store().map(|store| spool::of(&store.backlog(&route.name))).unwrap_or_default(),
        breaker: gate.state.store().and_then(|_| open(circuit::of(gate, route).status())),
    }
}

/// Without the addresses that a reload has listed, or denied, since.
fn unlisted(route: &Route, gate: &Gate) -> Option<UnlistedStatus> {
    let mut lacking = gate.state.unlisted(&route.name).remembered(gate.clock.now());
    lacking.retain(|known| route.access.judge(known.address) == Verdict::Unlisted);
    let add = addition(route, lacking.iter().map(|known| known.address));
    let address = |known: Remembered| UnlistedAddress {
        address: known.address.to_string(),
        seen: known.seen,
        last: known.last.secs(),
    };
    (!lacking.is_empty()).then(|| UnlistedStatus { addresses: lacking.into_iter().map(address).collect(), add })
}

fn open(status: BreakerStatus) -> Option<OpenBreaker> {
    let next_probe = status.next_probe?.secs();
    Some(OpenBreaker { failures: status.failures, next_probe })
}

fn upstream(upstream: &Upstream, gate: &Gate) -> UpstreamStatus {
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
    let servers = Servers { upstream: &upstream.name, identity: upstream.identity() };
    UpstreamStatus {
        name: upstream.name.to_string(),
        servers: upstream.status().into_iter().map(server).collect(),
        breaker: open(gate.state.dispatch.upstream_status(servers)),
    }
}
