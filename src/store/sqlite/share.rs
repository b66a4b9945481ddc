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
    /// `half`: what the route holds counts twice, so that half of its room is left to others.
    pub(super) fn admits(&self, route: i64, bytes: u64, full: bool, half: bool) -> bool {
        let routes = self.sharers.routes();
        let held = self.of.get(&route).copied().unwrap_or_default();
        let bytes = if half { held.saturating_add(bytes.saturating_mul(2)) } else { bytes };
        if routes <= 1 {
            return !full && (!half || held.saturating_add(bytes) <= self.quota);
        }
        let sharing = Sharing::new(self.quota, routes);
        let used = || if full { u64::MAX } else { self.of.values().map(|held| sharing.beyond(*held)).sum() };
        sharing.admits(held, bytes, used)
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
    fn repeats_leave_half_of_a_routes_room() {
        let sharers = Arc::new(Sharers::default());
        let held = Held::new(HashMap::from([(1, 400)]), 1000, Arc::clone(&sharers));
        assert!(held.admits(1, 100, false, true) && !held.admits(1, 101, false, true), "of a single route");
        assert!(held.admits(1, 600, false, false));
        // 250 are guaranteed, and 500 are common.
        sharers.set(2);
        let held = Held::new(HashMap::from([(1, 300)]), 1000, sharers);
        assert!(held.admits(1, 50, false, true) && !held.admits(1, 80, false, true));
        assert!(held.admits(1, 400, false, false));
    }

    #[test]
    fn a_full_store_takes_what_is_guaranteed_to_a_route_and_no_more() {
        let sharers = Arc::new(Sharers::default());
        let mut held = Held::new(HashMap::from([(1, 600)]), 1000, Arc::clone(&sharers));
        assert!(
            held.admits(2, 100, false, false) && !held.admits(2, 100, true, false),
            "a single route has the quota only"
        );
        sharers.set(2);
        assert!(!held.admits(1, 1, false, false));
        assert!(held.admits(2, 250, true, false) && !held.admits(2, 251, true, false));
        held.remove(1, 600);
        held.add(2, 250);
        assert!(held.admits(2, 100, false, false));
    }
}
