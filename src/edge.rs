//! Sockets, TLS, HTTP/1.1 and HTTP/2: from a connection to a [`crate::domain::Head`] and back to bytes.
//!
//! The downstream side is the relay's own (`docs/adr/0001-own-downstream.md` has the measurements): an accept loop with caps,
//! a strict HTTP/1.1 reader over `httparse`, and `h2` with its own bounds. Nothing here decides whether a webhook is genuine,
//! and nothing here knows an upstream.

mod connections;
mod h1;
mod h2;
mod handshake_limiter;
mod listener;
pub mod memory;
mod opening;
#[doc(hidden)]
pub mod probe;
mod proxy_header;
mod reply;
mod tls;
mod unproven;
mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep_until};

use crate::domain::{Answer, Refusal, Version};
use crate::gate::pipeline::{self, Connection, Gate, Known};
use crate::runtime::snapshot::Snapshot;

use handshake_limiter::HandshakeLimiter;
use unproven::Unproven;

pub use connections::Connections;
pub use listener::{ListenSocket, accept};

/// The part of a drain in which a connection that was accepted before it may bring its first request: by default 5 s, which is a
/// TLS handshake and a request from far away, with a packet lost. Who stays silent holds up the stop for no longer.
const FIRST_REQUEST: u32 = 6;
/// How long the edge goes on reading a request that has its answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// What every connection of a process shares.
#[derive(Debug)]
pub struct Relay {
    /// What every request shares.
    pub gate: Gate,
    /// Connections by address, and how many there are.
    pub connections: Connections,
    unproven: Unproven,
    pub(crate) known: Arc<Known>,
    handshakes: HandshakeLimiter,
    current: ArcSwap<Snapshot>,
}

impl Relay {
    /// Begins with a first configuration.
    pub fn new(gate: Gate, snapshot: Arc<Snapshot>) -> Self {
        Self {
            gate,
            connections: Connections::default(),
            unproven: Unproven::default(),
            known: Arc::default(),
            handshakes: HandshakeLimiter::default(),
            current: ArcSwap::new(snapshot),
        }
    }

    /// Puts a new configuration in force: requests that already have the old one end under it.
    pub fn replace(&self, snapshot: Arc<Snapshot>) {
        self.current.store(snapshot);
    }

    /// The configuration in force, for control paths.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The configuration in force, for a connection: as long as it does not change, a look costs one plain load, and no
    /// reference count is touched that another core touches too.
    fn current(&self) -> Cache<&ArcSwap<Snapshot>, Arc<Snapshot>> {
        Cache::new(&self.current)
    }

    /// Records a head that was refused before it became a request, and why, where more is known; gives the answer and its id.
    fn edge_refused(
        &self,
        connection: &Connection,
        version: Version,
        refusal: Refusal,
        detail: Option<&str>,
    ) -> (Answer, String) {
        let answer = pipeline::answer::edge_refused(refusal);
        let id = pipeline::record::edge_refused(&self.gate, connection, version, refusal, answer.status, detail);
        (answer, id)
    }
}

/// Begins the drain.
#[derive(Debug)]
pub struct Drain(watch::Sender<Option<Instant>>);

impl Drain {
    /// Tells every connection. What was accepted before may still bring its first request in the first part of what the whole drain may
    /// take.
    pub fn begin(&self, within: Duration) {
        self.0.send_replace(Some(Instant::now() + within / FIRST_REQUEST));
    }
}

/// Tells connections that the relay is stopping, and until when a first request is awaited.
#[derive(Clone, Debug)]
pub struct Draining {
    signal: watch::Receiver<Option<Instant>>,
    /// What [`Draining::begun`] saw, because it does not see it twice.
    has_begun: bool,
}

impl Draining {
    /// A signal and its sender.
    pub fn channel() -> (Drain, Self) {
        let (sender, receiver) = watch::channel(None);
        (Drain(sender), Self { signal: receiver, has_begun: false })
    }

    /// Whether it has begun; a vanished sender is the end too. As long as it has not, this takes no lock: every request asks.
    pub fn is_draining(&self) -> bool {
        self.has_begun || self.signal.has_changed().map_or(true, |changed| changed && self.signal.borrow().is_some())
    }

    /// Waits until it begins, and says until when a connection that has brought no request yet may bring one.
    pub async fn begun(&mut self) -> Instant {
        let last_call = self.signal.wait_for(Option::is_some).await.ok().and_then(|last_call| *last_call);
        self.has_begun = true;
        last_call.unwrap_or_else(Instant::now)
    }

    /// Waits until it has begun and no first request is awaited any more.
    async fn last_call(&mut self) {
        let last_call = self.begun().await;
        sleep_until(last_call).await;
    }
}
