//! Who may deliver now: slots of each route, and whether an upstream takes anything at all.
//!
//! The pipeline asks here whether a request that it accepts may go on its way at once, and `delivery` asks before it takes
//! anything out of the store; so both keep to one bound. What is in here is small, in memory, and true at this moment only:
//! what must survive is in the store.
//!
//! Deliberately absent: requests, and any knowledge of when one is due. [`schedule`] only reckons.

mod breaker;
mod circuit;
mod circuits;
mod lane;
pub mod schedule;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::store::{Claimed, RefusedAt, StoredRequest, Ticket};

use circuits::Circuits;

pub use breaker::{BreakerStatus, Transition};
pub use circuit::{Admission, Circuit, Probe, Transitions, Verdict};
pub use circuits::Servers;
pub use lane::{Busy, Lane, Slot};

/// An accepted request that goes on its way at once: its row says that its first attempt has begun.
#[derive(Debug)]
pub struct HandedOver {
    /// For the store.
    pub ticket: Ticket,
    /// Still in memory.
    pub request: StoredRequest,
    /// Its place among the route's deliveries.
    pub slot: Slot,
}

impl HandedOver {
    /// As if it had been taken out of the store.
    pub fn claimed(self) -> (Claimed, Slot) {
        let Self { ticket, request, slot } = self;
        let received_at = request.received_at;
        let claimed =
            Claimed { ticket, attempt: 1, failures: 0, allowance_from: received_at, due: received_at, request };
        (claimed, slot)
    }
}

/// Delivers what is handed over; set by `delivery`, which stands above the pipeline.
pub type Deliver = Box<dyn Fn(HandedOver) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One per process.
#[derive(Default)]
pub struct Dispatch {
    lanes: Mutex<HashMap<Arc<str>, Arc<Lane>>>,
    circuits: Circuits,
    deliver: OnceLock<Deliver>,
    shared: Arc<Shared>,
}

/// What all lanes share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Nothing more goes on its way.
    closed: AtomicBool,
    busy: AtomicUsize,
    idle: Notify,
    /// A lane is new.
    news: Notify,
}

impl Dispatch {
    /// The lane of a route, the same one for as long as something is going on in it.
    pub fn lane(&self, route: &Arc<str>) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(route) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane::new(Arc::clone(route), Arc::clone(&self.shared)));
        lanes.insert(Arc::clone(route), Arc::clone(&lane));
        self.shared.news.notify_one();
        lane
    }

    /// Something new waits on a route.
    pub fn wake(&self, route: &Arc<str>) {
        self.lane(route).wake();
    }

    /// Every lane.
    pub fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// Resolves when there may be a lane that was not there before.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// Forgets lanes in which nothing goes on and nothing can; gives what is left.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|route, lane| lane.used() > 0 || wanted(route));
    }

    /// Goes on behind the last refusal that the store knows; before anything is delivered.
    pub fn begin_after(&self, last: RefusedAt) {
        self.circuits.begin_after(last);
    }

    /// What stands between a route and these servers; the same across reloads for as long as they are the same servers.
    pub fn circuit(&self, route: &Arc<str>, servers: Servers<'_>) -> Arc<Circuit> {
        self.circuits.of(route, servers)
    }

    /// Forgets circuits before servers that are configured no more.
    pub fn keep_circuits(&self, known: impl Fn(&str, &str, u64) -> bool) {
        self.circuits.keep(known);
    }

    /// How the breaker stands that all routes of an upstream share.
    pub fn upstream_status(&self, servers: Servers<'_>) -> BreakerStatus {
        self.circuits.status(servers)
    }

    /// A server of an upstream takes requests again, as a health check or a request found: whatever waits for it is looked at.
    pub fn expect(&self, upstream: &str) {
        self.circuits.before(upstream).iter().for_each(|circuit| circuit.expect());
        self.lanes().iter().for_each(|lane| lane.wake());
    }

    /// Sets who delivers; only at the start, and only once.
    pub fn set_deliver(&self, deliver: Deliver) {
        let _ = self.deliver.set(deliver);
    }

    /// Delivers a request that was just accepted. Before the delivery began it stays as it is and is found at the next start.
    pub async fn hand_off(&self, handed: HandedOver) {
        if let Some(deliver) = self.deliver.get() {
            deliver(handed).await;
        }
    }

    /// From now on no slot is given: what is accepted waits for the next start.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        for lane in self.lanes() {
            lane.wake();
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Counts something as going on until what this gives is dropped; [`Dispatch::idle`] waits for it.
    pub fn busy(&self) -> Busy {
        Busy::new(&self.shared)
    }

    /// How much is going on.
    pub fn going_on(&self) -> usize {
        self.shared.busy.load(Ordering::Acquire)
    }

    /// Resolves when nothing is going on.
    pub async fn idle(&self) {
        loop {
            let notified = self.shared.idle.notified();
            if self.going_on() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("busy", &self.going_on())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
