//! What of the quota each route's waiting requests and dead letters hold. Nothing deletes them to make room, so without a share
//! for each route one route's backlog would fill the store for all.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::Sharing;
use crate::store::shared::Sharers;

/// Bytes of a page: what is larger than a part of it lies on pages of its own.
const PAGE: u64 = 8192;
/// The row of the spool, its places in two indexes, and what numbers take in the row of the history.
const ROW: u64 = 512;

/// What a request takes of the file while it waits, about, and rather more than less.
pub(super) fn weight(head: usize, body: usize) -> u64 {
    let part = |bytes: usize| {
        let bytes = bytes as u64;
        if bytes > PAGE / 4 { bytes.next_multiple_of(PAGE) } else { bytes }
    };
    ROW + part(head) + part(body)
}

/// Bytes by the number of a route's name; the writer's, and as its transactions left them.
#[derive(Debug, Default)]
pub(super) struct Held {
    of: HashMap<i64, u64>,
    quota: u64,
    sharers: Arc<Sharers>,
}

impl Held {
    pub(super) fn new(of: HashMap<i64, u64>, quota: u64, sharers: Arc<Sharers>) -> Self {
        Self { of, quota, sharers }
    }

    /// Whether a route may make this much wait. `full`: the quota is used up, so that only what is guaranteed to a route is
    /// left to it.
    pub(super) fn admits(&self, route: i64, bytes: u64, full: bool) -> bool {
        let routes = self.sharers.routes();
        if routes <= 1 {
            return !full;
        }
        let sharing = Sharing::new(self.quota, routes);
        let used = || if full { u64::MAX } else { self.of.values().map(|held| sharing.beyond(*held)).sum() };
        sharing.admits(self.of.get(&route).copied().unwrap_or_default(), bytes, used)
    }

    pub(super) fn add(&mut self, route: i64, bytes: u64) {
        let held = self.of.entry(route).or_default();
        *held = held.saturating_add(bytes);
    }

    pub(super) fn remove(&mut self, route: i64, bytes: u64) {
        if let Some(held) = self.of.get_mut(&route) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.of.remove(&route);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_weighed_is_what_pages_take() {
        assert_eq!(weight(100, 200), ROW + 300);
        assert_eq!(weight(30_000, 0), ROW + 4 * PAGE);
        assert_eq!(weight(0, 5000), ROW + PAGE);
    }

    #[test]
    fn a_full_store_takes_what_is_guaranteed_to_a_route_and_no_more() {
        let sharers = Arc::new(Sharers::default());
        let mut held = Held::new(HashMap::from([(1, 600)]), 1000, Arc::clone(&sharers));
        assert!(held.admits(2, 100, false) && !held.admits(2, 100, true), "a single route has the quota only");
        sharers.set(2);
        assert!(!held.admits(1, 1, false));
        assert!(held.admits(2, 250, true) && !held.admits(2, 251, true));
        held.remove(1, 600);
        held.add(2, 250);
        assert!(held.admits(2, 100, false));
    }
}
