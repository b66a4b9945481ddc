//! Who has sent a genuine request that nobody had delivered before: a connection, and an address. A copy proves nobody, nor does
//! anything on a route that verifies nothing, or whose signed requests are not remembered. Nothing is decided by it about a request; the edge asks whom
//! to keep and whom to serve first when there is not enough for everybody.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::source::network;

const SHARDS: usize = 16;
/// Addresses of one shard. Who is forgotten has precedence again after its next request over a new connection.
const SHARD_MAX: usize = 4096;

/// Whether such a request came over a connection.
#[derive(Clone, Debug, Default)]
pub struct Proven {
    is: Arc<AtomicBool>,
    told: Option<(Arc<Known>, IpAddr)>,
}

impl Proven {
    /// The same, which also makes this address known.
    #[must_use]
    pub fn telling(&self, known: &Arc<Known>, source: IpAddr) -> Self {
        Self { is: Arc::clone(&self.is), told: Some((Arc::clone(known), network(source))) }
    }

    /// One came.
    pub fn set(&self) {
        // Most often it is so already, and a look is cheaper than a write.
        if !self.is() {
            self.is.store(true, Ordering::Relaxed);
            if let Some((known, source)) = &self.told {
                known.add(*source);
            }
        }
    }

    /// One came from this address, for which a proxy speaks.
    pub fn tell(&self, source: IpAddr) {
        if let Some((known, _)) = &self.told {
            known.add(network(source));
        }
    }

    /// Whether one came from this address before, over whatever connection.
    pub fn knows(&self, source: IpAddr) -> bool {
        self.told.as_ref().is_some_and(|(known, _)| known.has(source))
    }

    /// Whether one came.
    pub fn is(&self) -> bool {
        self.is.load(Ordering::Relaxed)
    }
}

/// Addresses (of IPv6: the /64) that sent such a request since the process began, as many as there is room for. For new ones those make
/// room that have proven nothing for longest.
#[derive(Debug)]
pub struct Known {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

/// Two halves: when the recent one is full, the one before is forgotten. To forget any other would forget the newest as well, and
/// with it whoever has just been proven.
#[derive(Debug, Default)]
struct Shard {
    recent: HashSet<IpAddr>,
    before: HashSet<IpAddr>,
}

impl Default for Known {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Known {
    /// Addresses that are remembered at most.
    pub const MOST: usize = SHARDS * SHARD_MAX;

    fn add(&self, source: IpAddr) {
        let Some(mut shard) = self.shard(source) else { return };
        if shard.recent.contains(&source) {
            return;
        }
        if shard.recent.len() >= SHARD_MAX / 2 {
            shard.before = std::mem::take(&mut shard.recent);
        }
        shard.before.remove(&source);
        shard.recent.insert(source);
    }

    /// Whether this one did.
    pub fn has(&self, source: IpAddr) -> bool {
        let source = network(source);
        self.shard(source).is_some_and(|shard| shard.recent.contains(&source) || shard.before.contains(&source))
    }

    fn shard(&self, source: IpAddr) -> Option<MutexGuard<'_, Shard>> {
        let place = usize::try_from(self.hasher.hash_one(source) % SHARDS as u64).unwrap_or_default();
        Some(self.shards.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_by_its_first_genuine_request() {
        let (known, source) = (Arc::new(Known::default()), IpAddr::from([192, 0, 2, 1]));
        let connection = Proven::default();
        let told = connection.telling(&known, source);
        assert!(!known.has(source) && !connection.is());
        told.set();
        assert!(known.has(source) && connection.is());
        assert!(!known.has(IpAddr::from([192, 0, 2, 2])));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_is_never_forgotten() {
        let known = Known::default();
        let busy = IpAddr::from([192, 0, 2, 1]);
        for number in 0..200_000_u32 {
            let source = IpAddr::from(number.to_be_bytes());
            known.add(source);
            assert!(known.has(source));
            if number % 1000 == 0 {
                known.add(busy);
            }
            assert!(known.has(busy), "who proves itself again and again is remembered");
        }
        let size = |shard: &Mutex<Shard>| shard.lock().map(|shard| shard.recent.len() + shard.before.len()).unwrap();
        let held: usize = known.shards.iter().map(size).sum();
        assert!((Known::MOST / 2..=Known::MOST).contains(&held), "{held}");
    }
}
