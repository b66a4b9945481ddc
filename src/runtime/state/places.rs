//! Places for arithmetic that takes long: signatures over large bodies.
//!
//! Fewer than there are cores, so that one is always free for everything else. Unproven senders share a part of them, and of
//! each address one request at a time stands in line: a first-time sender waits for as many bodies as there are attacking
//! addresses, and not for as many as they sent.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::BodyShare;

/// All of them.
#[derive(Debug)]
pub struct VerifyPlaces {
    places: Semaphore,
    unproven: Semaphore,
    count: usize,
}

impl Default for VerifyPlaces {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::new(cores)
    }
}

impl VerifyPlaces {
    fn new(cores: usize) -> Self {
        let count = cores.saturating_sub(1).max(1);
        Self { places: Semaphore::new(count), unproven: Semaphore::new((count / 2).max(1)), count }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Waits for one, for as long as the caller likes.
    pub async fn enter(&self, share: &BodyShare<'_>) -> Place<'_> {
        // The semaphores are never closed.
        let (turn, unproven) = match share.turn() {
            Some((turn, known)) => {
                let turn = Arc::clone(turn).acquire_owned().await.ok();
                (turn, if known { None } else { self.unproven.acquire().await.ok() })
            }
            None => (None, None),
        };
        Place { _turn: turn, _unproven: unproven, _place: self.places.acquire().await.ok() }
    }
}

/// One place, held until it is dropped.
#[derive(Debug)]
pub struct Place<'p> {
    _turn: Option<OwnedSemaphorePermit>,
    _unproven: Option<SemaphorePermit<'p>>,
    _place: Option<SemaphorePermit<'p>>,
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::super::BodyMemory;
    use super::*;

    async fn enters<'p>(places: &'p VerifyPlaces, share: &BodyShare<'_>) -> Option<Place<'p>> {
        timeout(Duration::from_millis(1), places.enter(share)).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_never_have_all_places_and_an_address_has_one() {
        let (memory, places) = (BodyMemory::default(), VerifyPlaces::new(5));
        let share = |last: Option<u8>, known| {
            let mut share = memory.share();
            if let Some(last) = last {
                share.wait_unproven(IpAddr::from([192, 0, 2, last]), known);
            }
            share
        };
        let (one, same, two, three) =
            (share(Some(1), false), share(Some(1), false), share(Some(2), false), share(Some(3), false));
        let (known, proven) = (share(Some(4), true), share(None, false));
        let first = enters(&places, &one).await;
        assert!(first.is_some());
        assert!(enters(&places, &same).await.is_none(), "one at a time of an address");
        let second = enters(&places, &two).await;
        assert!(second.is_some());
        assert!(enters(&places, &three).await.is_none(), "two of four places are for strangers");
        let _third = enters(&places, &known).await.unwrap();
        let fourth = enters(&places, &proven).await;
        assert!(fourth.is_some());
        assert!(enters(&places, &proven).await.is_none());
        drop((first, fourth));
        assert!(enters(&places, &same).await.is_some());
        assert!(enters(&places, &three).await.is_some());
    }

    #[test]
    fn one_core_is_left_and_there_is_always_a_place() {
        assert_eq!([1, 2, 3, 16].map(|cores| VerifyPlaces::new(cores).count()), [1, 1, 2, 15]);
    }
}
