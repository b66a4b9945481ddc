//! How routes share room that is bounded for all of them together.
//!
//! Half of it is divided among them: nobody else can take that half's part of a route. Of the other half a route takes as much
//! as it leaves free, so that one that is flooded fills a part of it, two fill a little more, and something is always left.
//! A single route has all of it.

/// Room, and how many share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// What every route may hold, whatever the others do.
    pub guaranteed: u64,
    /// What is left beside it, for whoever needs more.
    pub rest: u64,
}

impl Sharing {
    /// A size to share, and the number of routes that share it.
    pub fn new(room: u64, routes: u64) -> Self {
        match routes {
            0 | 1 => Self { guaranteed: room, rest: 0 },
            _ => {
                let guaranteed = room / 2 / routes;
                Self { guaranteed, rest: room - guaranteed * routes }
            }
        }
    }

    /// What a route that holds this much has of the common rest.
    pub fn beyond(self, held: u64) -> u64 {
        held.saturating_sub(self.guaranteed)
    }

    /// Whether a route that holds this much may take more. `used`: what all routes together have of the common rest; only
    /// asked where its guaranteed share is not enough.
    pub fn admits(self, held: u64, more: u64, used: impl FnOnce() -> u64) -> bool {
        let beyond = self.beyond(held.saturating_add(more));
        beyond == 0 || beyond <= self.rest.saturating_sub(used())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills one route's part until it is refused.
    fn fill(sharing: Sharing, held: &mut [u64], route: usize) {
        let used = |held: &[u64]| held.iter().map(|held| sharing.beyond(*held)).sum();
        while sharing.admits(held[route], 1, || used(held)) {
            held[route] += 1;
        }
    }

    #[test]
    fn a_single_route_has_all_of_it() {
        for routes in [0, 1] {
            let (sharing, mut held) = (Sharing::new(1000, routes), [0]);
            fill(sharing, &mut held, 0);
            assert_eq!(held, [1000]);
        }
    }

    #[test]
    fn whoever_is_flooded_leaves_the_others_their_share_and_more() {
        let (sharing, mut held) = (Sharing::new(1000, 4), [0; 4]);
        fill(sharing, &mut held, 0);
        assert_eq!(held[0], 125 + 250, "its own share and half of the rest");
        for route in 1..4 {
            fill(sharing, &mut held, route);
            assert!(held[route] > 125, "{held:?}");
        }
        assert!(held.iter().sum::<u64>() <= 1000, "{held:?}");
    }

    #[test]
    fn what_was_held_before_there_were_more_routes_is_beyond_their_share() {
        let sharing = Sharing::new(1000, 2);
        let held = [1000, 249];
        let used = || held.iter().map(|held| sharing.beyond(*held)).sum();
        assert!(!sharing.admits(held[0], 1, used));
        assert!(sharing.admits(held[1], 1, used), "a guaranteed share is there all the same");
        assert!(!sharing.admits(250, 1, used), "and nothing beyond it until the other has less");
    }
}
