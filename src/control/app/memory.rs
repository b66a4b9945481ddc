//! The memory formula: how large the process can become under a configuration, whatever anybody sends. docs/operating.md
//! ("Memory") says it in words; `dmz-relay check` says the sum; a test drives the relay toward it.
//!
//! Deliberately absent: answers of internal servers on routes with `answer = "upstream"`, and what the kernel keeps in sockets. The
//! first is the doing of genuine senders only, the second is not the process's.

use serde::Serialize;

use crate::edge;
use crate::gate::pipeline::Known;
use crate::guards::meter::SOURCES_MAX;
use crate::runtime::snapshot::{Delivery, Route, Snapshot};
use crate::runtime::state::VerifyPlaces;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// The program itself, idle: 15 MiB when measured, and its threads. Long address lists come on top.
const PROGRAM: u64 = 20 * MIB;
/// 4096 lines of the log, none longer than this.
const LOG: u64 = 4096 * 4 * KIB;
/// An id in dedupe memory; 84 to 106 bytes when measured.
const DEDUPE_ENTRY: u64 = 110;
/// An address that a rate remembers; 41 bytes when measured.
const SOURCE: u64 = 48;
/// What the writer was handed and has not yet written (docs/store.md), and SQLite's caches.
const STORE: u64 = 64 * MIB + 16 * MIB;
/// A delivery beside its head and body: its task, its connection, its answer's head.
const DELIVERY: u64 = 128 * KIB;

/// The most that a process can hold, in bytes, by what holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it, and an eighth for what the allocator keeps between two pieces.
    pub bytes: u64,
    /// Sockets' state and buffers: `limits.max_connections`, `max_head`, `max_h2_streams`.
    pub connections: u64,
    /// Heads and bodies of requests under way: `limits.body_memory`, and copies of bodies that are verified in one piece.
    pub requests: u64,
    /// Ids: `limits.dedupe_entries`.
    pub dedupe: u64,
    /// Addresses, for each rate that goes by them, and those that are known.
    pub rates: u64,
    /// The store's queue and caches, and deliveries out of it: `concurrency` × (`max_body` + head) for each route.
    pub store: u64,
    /// The program and its log.
    pub program: u64,
}

/// The open files that a process needs under this configuration: `LimitNOFILE=` of its unit.
pub fn open_files(snapshot: &Snapshot) -> u64 {
    edge::memory::open_files(&snapshot.limits)
}

impl Memory {
    /// Under this configuration, whoever asks.
    pub fn most(snapshot: &Snapshot) -> Self {
        let limits = &snapshot.limits;
        let head = limits.max_head as u64;
        let stored = |route: &Route| {
            let each = route.max_body + 2 * head + DELIVERY;
            if route.delivery == Delivery::Direct { 0 } else { (route.concurrency as u64).saturating_mul(each) }
        };
        let deliveries: u64 = snapshot.routes.iter().map(|route| stored(route)).sum();
        let by_address = snapshot.routes.iter().filter(|route| route.limits.rate_per_source.is_some()).count() as u64;
        let parts = Self {
            bytes: 0,
            connections: edge::memory::of_connections(limits),
            requests: limits.body_memory.saturating_add(copies(snapshot)),
            dedupe: (limits.dedupe_entries as u64).saturating_mul(DEDUPE_ENTRY),
            rates: ((by_address + 1) * SOURCES_MAX as u64 + Known::MOST as u64) * SOURCE,
            store: if snapshot.store.is_some() { STORE + deliveries } else { 0 },
            program: PROGRAM + LOG,
        };
        let Self { connections, requests, dedupe, rates, store, program, .. } = parts;
        let sum = [connections, requests, dedupe, rates, store, program].into_iter().fold(0, u64::saturating_add);
        Self { bytes: sum.saturating_add(sum / 8), ..parts }
    }
}

/// Ed25519 signs a message and not its hash, so the message is put together: for as many large bodies as are verified at once.
fn copies(snapshot: &Snapshot) -> u64 {
    let largest =
        snapshot.routes.iter().filter(|route| route.copies_body()).map(|route| route.max_body).max().unwrap_or(0);
    (VerifyPlaces::default().count() as u64).saturating_mul(largest)
}
