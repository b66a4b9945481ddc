//! Sockets, TLS, HTTP/1.1 and HTTP/2: from a connection to a [`crate::domain::Head`] and back to bytes.
//!
//! The downstream side is the relay's own (`docs/adr/0001-own-downstream.md` has the measurements): an accept loop with caps,
//! a strict HTTP/1.1 reader over `httparse`, and `h2` with its own bounds. Nothing here decides whether a webhook is genuine,
//! and nothing here knows an upstream.

mod catch;
mod connections;
mod h1;
mod h2;
mod listener;
pub mod memory;
mod newcomers;
#[doc(hidden)]
pub mod probe;
mod proxy_header;
mod reply;
mod target;
mod tls;
mod turns;
mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use tokio::sync::watch;

use crate::domain::{Answer, Refusal, Version};
use crate::pipeline::{self, Connection, Gate, Known};
use crate::snapshot::Snapshot;

use newcomers::Newcomers;
use turns::Turns;

pub use connections::Connections;
pub use listener::accept;

/// What every connection of a process shares.
#[derive(Debug)]
pub struct Relay {
    /// What every request shares.
    pub gate: Gate,
    /// Connections by address, and how many there are.
    pub connections: Connections,
    newcomers: Newcomers,
    known: Arc<Known>,
    turns: Turns,
    current: ArcSwap<Snapshot>,
}

impl Relay {
    /// Begins with a first configuration.
    pub fn new(gate: Gate, snapshot: Arc<Snapshot>) -> Self {
        Self {
            gate,
            connections: Connections::default(),
            newcomers: Newcomers::default(),
            known: Arc::default(),
            turns: Turns::default(),
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

    /// Records a head that was refused before it became a request; gives the answer and its id.
    fn edge_refused(&self, connection: &Connection, version: Version, refusal: Refusal) -> (Answer, String) {
        let answer = pipeline::answer::edge_refused(refusal);
        let id = pipeline::record::edge_refused(&self.gate, connection, version, refusal, answer.status);
        (answer, id)
    }
}

/// Tells connections that the relay is stopping.
#[derive(Clone, Debug)]
pub struct Draining {
    signal: watch::Receiver<bool>,
    /// What [`Draining::begun`] saw, because it does not see it twice.
    has_begun: bool,
}

impl Draining {
    /// A signal and its sender.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self { signal: receiver, has_begun: false })
    }

    /// Whether it has begun; a vanished sender is the end too. As long as it has not, this takes no lock: every request asks.
    pub fn is_draining(&self) -> bool {
        self.has_begun || self.signal.has_changed().map_or(true, |changed| changed && *self.signal.borrow())
    }

    /// Waits until it begins.
    pub async fn begun(&mut self) {
        let _ = self.signal.wait_for(|draining| *draining).await;
        self.has_begun = true;
    }
}
