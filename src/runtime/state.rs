//! What outlives a reload, keyed by stable names: server states, meters, error budgets, baselines, dedupe memory, the budget
//! for bodies, the store and who may deliver from it, ticket keys.

mod bodies;
mod certificates;
mod feeds;
mod places;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

use crate::guards::baseline::TrafficBaseline;
use crate::guards::budget::Budget;
use crate::guards::dedupe::DedupeMemory;
use crate::guards::meter::RouteMeter;
use crate::guards::unlisted::{Sampling, Unlisted};
use crate::runtime::dispatch::Dispatch;
use crate::store::Store;
use crate::upstream::Upstreams;

pub use bodies::{BodyMemory, BodyShare, unproven_shares};
pub use certificates::{Certificates, Ending};
pub use feeds::Feeds;
pub use places::{Place, VerifyPlaces};

/// Shared by every snapshot of one process.
#[derive(Debug)]
pub struct State {
    /// Which requests were delivered.
    pub dedupe: Arc<DedupeMemory>,
    /// How much memory bodies may take.
    pub bodies: BodyMemory,
    /// Where signatures over large bodies are computed.
    pub verify_places: VerifyPlaces,
    /// What is known of internal servers, and the connections to them.
    pub upstreams: Upstreams,
    /// Who may deliver from the store now.
    pub dispatch: Dispatch,
    /// Which certificates are served.
    pub certificates: Certificates,
    /// Which provider's files of addresses are in force.
    pub feeds: Feeds,
    /// Which refused request is verified after its answer.
    pub sampling: Sampling,
    store: OnceLock<Arc<Store>>,
    meters: ByRoute<RouteMeter>,
    budgets: ByRoute<Budget>,
    baselines: ByRoute<TrafficBaseline>,
    unlisted: ByRoute<Unlisted>,
    ticketers: Mutex<HashMap<[u8; 32], Arc<dyn ProducesTickets>>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            dedupe: Arc::new(DedupeMemory::new(usize::MAX)),
            bodies: BodyMemory::default(),
            verify_places: VerifyPlaces::default(),
            upstreams: Upstreams::new(),
            dispatch: Dispatch::default(),
            certificates: Certificates::default(),
            feeds: Feeds::default(),
            sampling: Sampling::default(),
            store: OnceLock::new(),
            meters: ByRoute::default(),
            budgets: ByRoute::default(),
            baselines: ByRoute::default(),
            unlisted: ByRoute::default(),
            ticketers: Mutex::default(),
        }
    }
}

/// Policies whose ticket keys are kept; beyond it new keys are made for all, which costs each client one full handshake.
const TICKETERS_MAX: usize = 64;

impl State {
    /// The store, where the configuration has one.
    pub fn store(&self) -> Option<&Arc<Store>> {
        self.store.get()
    }

    /// Sets the store; only at the start, and only once.
    pub fn set_store(&self, store: Arc<Store>) {
        let _ = self.store.set(store);
    }

    /// The TLS ticket keys for one policy of client certificates (its digest), the same ones across reloads.
    ///
    /// rustls does not ask again for a certificate when a session resumes. With one key for all, a ticket from a
    /// listener that asks for none would open one that requires it, and a removed authority would live on in its
    /// tickets.
    pub fn ticketer(&self, policy: [u8; 32]) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
        let mut ticketers = self.ticketers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticketer) = ticketers.get(&policy) {
            return Ok(Arc::clone(ticketer));
        }
        if ticketers.len() >= TICKETERS_MAX {
            ticketers.clear();
        }
        let ticketer = Ticketer::new()?;
        ticketers.insert(policy, Arc::clone(&ticketer));
        Ok(ticketer)
    }

    /// The meter of a route, the same one for as long as the process lives.
    pub fn meter(&self, route: &Arc<str>) -> Arc<RouteMeter> {
        self.meters.of(route)
    }

    /// The failures of a route, likewise.
    pub fn budget(&self, route: &Arc<str>) -> Arc<Budget> {
        self.budgets.of(route)
    }

    /// The baseline of a route's provider, likewise.
    pub fn baseline(&self, route: &Arc<str>) -> Arc<TrafficBaseline> {
        self.baselines.of(route)
    }

    /// Addresses that a route's lists may lack, likewise.
    pub fn unlisted(&self, route: &Arc<str>) -> Arc<Unlisted> {
        self.unlisted.of(route)
    }

    /// Forgets what belongs to routes that are gone; what is still in use by an older snapshot lives on with it.
    pub fn keep_routes(&self, known: impl Fn(&str) -> bool) {
        self.meters.keep(&known);
        self.budgets.keep(&known);
        self.baselines.keep(&known);
        self.unlisted.keep(&known);
    }
}

/// One of a kind for each route.
#[derive(Debug)]
struct ByRoute<T>(Mutex<HashMap<Arc<str>, Arc<T>>>);

impl<T> Default for ByRoute<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> ByRoute<T> {
    fn of(&self, route: &Arc<str>) -> Arc<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(Arc::clone(route)).or_default())
    }

    fn keep(&self, known: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|route, _| known(route));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_its_meter() {
        let state = State::default();
        let name: Arc<str> = "a".into();
        assert!(Arc::ptr_eq(&state.meter(&name), &state.meter(&name)));
    }
}
