//! What of upstreams outlives a reload: the connector with its pools, and each server's condition.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use pingora_core::connectors::ConnectorOptions;
use pingora_core::connectors::http::v2::Connector;
use pingora_core::tls::{RootCertStore, load_platform_certs_incl_env_into_store};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::Upstream;
use super::condition::{Condition, ServerChange};
use super::server::Server;
use super::spec::UpstreamSpec;

/// Idle HTTP/2 connections over all servers; past it the one that idled longest is closed.
const MAX_IDLE: usize = 1024;
/// Changes that a slow listener may lag behind before it misses some.
const MAX_CHANGES: usize = 256;

/// Longer than any of these durations is meant.
const MAX_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

/// Upstream name and server URL: what a reload may keep while everything else of a server changes.
type Key = (Arc<str>, Arc<str>);

/// pingora's connector: TLS and HTTP/2. Made when the first server needs it: HTTP/1.1 without TLS does not need it, and to read the platform's root
/// certificates takes a third of a start and a megabyte.
pub(super) struct Pingora(LazyLock<Ready>);

struct Ready {
    connector: Connector,
    roots_problem: Option<String>,
}

impl Pingora {
    fn new() -> Self {
        Self(LazyLock::new(Ready::new))
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.0.connector
    }
}

impl Ready {
    fn new() -> Self {
        let mut options = ConnectorOptions::new(MAX_IDLE);
        // pingora panics where the platform's roots cannot be read. Such a machine gets none: whoever needs them gets an error
        // by the handshake, and an upstream with its own CA never does.
        let roots_problem = load_platform_certs_incl_env_into_store(&mut RootCertStore::empty()).err();
        if roots_problem.is_some() {
            options.ca_file = Some("/dev/null".into());
        }
        Self { connector: Connector::new(Some(options)), roots_problem: roots_problem.map(|e| e.to_string()) }
    }
}

/// One per process.
pub struct Upstreams {
    pingora: Arc<Pingora>,
    /// Weak: a server that no snapshot names any more is forgotten. Locked at a reload, never by a request.
    conditions: Mutex<HashMap<Key, Weak<Condition>>>,
    epoch: Instant,
    changes: broadcast::Sender<ServerChange>,
}

impl Upstreams {
    /// Knows no server yet.
    pub fn new() -> Self {
        // pingora would choose another one; the first choice of a process stands.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            pingora: Arc::new(Pingora::new()),
            conditions: Mutex::default(),
            epoch: Instant::now(),
            changes: broadcast::channel(MAX_CHANGES).0,
        }
    }

    /// Why an `https` upstream without a `ca` of its own cannot be verified; for one warning at start. Reads the platform's root
    /// certificates, once.
    pub fn roots_problem(&self) -> Option<&str> {
        self.pingora.0.roots_problem.as_deref()
    }

    /// Ejections and health, as they happen.
    pub fn subscribe(&self) -> broadcast::Receiver<ServerChange> {
        self.changes.subscribe()
    }

    /// To be called every few seconds: closes connections that were idle for too long.
    pub fn upkeep(&self) {
        let now = Instant::now();
        let conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.values().filter_map(Weak::upgrade).for_each(|condition| condition.kept.sweep(now));
    }

    /// Makes an upstream of its spec; servers that are known by upstream name and URL keep their condition.
    pub fn adopt(&self, spec: UpstreamSpec) -> Arc<Upstream> {
        let spec = bounded(spec);
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.retain(|_, condition| condition.strong_count() > 0);
        if spec.servers.iter().any(|server| !server.is_plain(spec.http2)) {
            // Now, and not while the first request waits.
            self.pingora.connector();
        }
        let servers = spec.servers.iter().map(|server| {
            let url: Arc<str> = Arc::from(server.url_text.as_str());
            let known = conditions.entry((Arc::clone(&spec.name), Arc::clone(&url))).or_default();
            let condition = known.upgrade().unwrap_or_else(|| {
                let (name, changes) = (Arc::clone(&spec.name), self.changes.clone());
                let new = Arc::new(Condition::new(name, Arc::clone(&url), self.epoch, changes));
                *known = Arc::downgrade(&new);
                new
            });
            Server::new(server, &spec, url, condition)
        });
        let servers = servers.collect();
        Arc::new(Upstream {
            name: Arc::clone(&spec.name),
            servers,
            balance: spec.balance,
            ejection: spec.ejection,
            health: spec.health,
            turn: AtomicUsize::new(0),
            pingora: Arc::clone(&self.pingora),
        })
    }
}

/// No clock overflows, whatever durations somebody writes.
fn bounded(mut spec: UpstreamSpec) -> UpstreamSpec {
    let spans = [&mut spec.connect_timeout, &mut spec.keepalive, &mut spec.ejection.duration];
    let checks = spec.health.as_mut().map(|health| [&mut health.interval, &mut health.timeout]);
    for span in spans.into_iter().chain(checks.into_iter().flatten()) {
        *span = MAX_SPAN.min(*span);
    }
    spec
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").finish_non_exhaustive()
    }
}
