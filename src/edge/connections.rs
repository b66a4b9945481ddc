//! How many connections there are, in all and per address, and how fast an address may open them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::domain::source::network;
use crate::guards::meter::{Rate, Sources};

const SHARDS: usize = 64;
/// Connections that may be on their way out while others are in their places.
const LEAVING: usize = 256;

/// Counts connections; asked once per connection, never per request. The map holds only addresses that are connected now,
/// so the total cap bounds it too. An IPv6 address is its /64 here, as it is for every rate.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    /// As many as the process's descriptors allow, whatever the configuration says.
    ceiling: usize,
    none_left: Notify,
    shards: Vec<Mutex<HashMap<IpAddr, usize>>>,
    handshakes: Sources,
    hasher: RandomState,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            ceiling: ceiling(descriptors()),
            none_left: Notify::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            handshakes: Sources::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Connections {
    /// Open at this moment.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until none is open.
    pub async fn none_left(&self) {
        loop {
            let notified = self.none_left.notified();
            if self.open() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// A place among `max`, or among fewer where descriptors are scarce, held until the guard is dropped.
    pub(super) fn enter<C: AsRef<Self>>(counter: C, max: usize) -> Option<Place<C>> {
        Self::enter_beyond(counter, max, |_| 0)
    }

    /// The same where somebody is on the way out: for that moment there may be a few more.
    pub(super) fn enter_late<C: AsRef<Self>>(counter: C, max: usize) -> Option<Place<C>> {
        Self::enter_beyond(counter, max, leaving)
    }

    fn enter_beyond<C: AsRef<Self>>(counter: C, max: usize, more: impl FnOnce(usize) -> usize) -> Option<Place<C>> {
        let before = counter.as_ref().open.fetch_add(1, Ordering::Relaxed);
        let place = Place(counter);
        let max = max.min(place.0.as_ref().ceiling);
        (before < max + more(max)).then_some(place)
    }

    /// A place among `max` of one address, held until the guard is dropped.
    pub(super) fn enter_from<C: AsRef<Self>>(counter: C, ip: IpAddr, max: usize) -> Option<PlaceOf<C>> {
        let ip = network(ip);
        let mut shard = counter.as_ref().shard(ip);
        let count = shard.entry(ip).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(shard);
        Some(PlaceOf(counter, ip))
    }

    /// Whether this address may begin one more TLS handshake.
    pub(super) fn may_shake_hands(&self, ip: IpAddr, rate: Rate) -> bool {
        self.handshakes.take(rate, ip, Instant::now()).is_ok()
    }

    fn shard(&self, ip: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        let place = usize::try_from(self.hasher.hash_one(ip) % SHARDS as u64).unwrap_or_default();
        #[expect(clippy::indexing_slicing, reason = "the place is a remainder by the number of shards")]
        self.shards[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What senders may hold of this many descriptors: a quarter, and never less than 48, stays for internal servers, the store, the
/// admin listener and files that are read again. So senders cannot use up what answers them.
fn ceiling(descriptors: usize) -> usize {
    descriptors.saturating_sub((descriptors / 4).max(48)).max(1)
}

/// How many there can be at most under a cap, in a process that has descriptors enough.
pub(super) fn most(max: usize) -> usize {
    max.saturating_add(leaving(max))
}

/// Descriptors enough for senders to hold this many.
pub(super) fn descriptors_for(max: usize) -> usize {
    // Three quarters of them, or all but 48, whichever is less.
    max.saturating_add(max.div_ceil(3).max(48))
}

/// How many may be on their way out beyond a cap. Fewer than what [`ceiling`] keeps back.
fn leaving(max: usize) -> usize {
    (max / 8).clamp(1, LEAVING)
}

/// How many this process may open; where the system does not tell, nothing is assumed.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next());
    soft.and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

/// One connection.
#[derive(Debug)]
pub(super) struct Place<C: AsRef<Connections>>(C);

impl<C: AsRef<Connections>> Drop for Place<C> {
    fn drop(&mut self) {
        if self.0.as_ref().open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.as_ref().none_left.notify_waiters();
        }
    }
}

/// One connection of an address.
#[derive(Debug)]
pub(super) struct PlaceOf<C: AsRef<Connections>>(C, IpAddr);

impl<C: AsRef<Connections>> Drop for PlaceOf<C> {
    fn drop(&mut self) {
        let mut shard = self.0.as_ref().shard(self.1);
        if let Some(count) = shard.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&self.1);
            }
        }
    }
}

/// A relay is asked for its counters.
#[derive(Clone, Debug)]
pub(super) struct Of(pub(super) Arc<super::Relay>);

impl AsRef<Connections> for Of {
    fn as_ref(&self) -> &Connections {
        &self.0.connections
    }
}

impl AsRef<Self> for Connections {
    fn as_ref(&self) -> &Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn places_are_given_back() {
        let connections = Connections::default();
        let first = Connections::enter(&connections, 1);
        assert!(first.is_some());
        assert!(Connections::enter(&connections, 1).is_none());
        assert_eq!(connections.open(), 1);
        drop(first);
        connections.none_left().await;
        assert!(Connections::enter(&connections, 1).is_some());
    }

    #[test]
    fn descriptors_are_kept_back() {
        assert_eq!([0, 48, 64, 128, 1024, 65_536].map(ceiling), [1, 1, 16, 80, 768, 49_152]);
        assert_eq!(ceiling(usize::MAX), usize::MAX - usize::MAX / 4);
        assert!((16..usize::MAX).contains(&descriptors()), "{}", descriptors());
        for max in [1, 80, 143, 144, 145, 768, 769, 20_000, 49_152] {
            let enough = descriptors_for(max);
            assert!(ceiling(enough) >= max && ceiling(enough - 2) < max.max(2), "{max}: {enough}");
        }
    }

    #[test]
    fn an_address_has_its_own_cap_and_leaves_no_trace() {
        let connections = Connections::default();
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = Connections::enter_from(&connections, one, 1);
        assert!(first.is_some());
        assert!(Connections::enter_from(&connections, one, 1).is_none());
        assert!(Connections::enter_from(&connections, two, 1).is_some());
        drop(first);
        assert!(Connections::enter_from(&connections, one, 1).is_some());
        assert!(connections.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_have_a_rate_for_each_address() {
        let (connections, rate) = (Connections::default(), Rate { per_second: 10.0, burst: 3 });
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let begun = |ip| (0..100).take_while(|_| connections.may_shake_hands(ip, rate)).count();
        assert_eq!((begun(one), begun(two)), (3, 3));
        tokio::time::advance(std::time::Duration::from_millis(200)).await;
        assert_eq!(begun(one), 2);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_sender() {
        let [one, two, other] =
            ["2001:db8::1", "2001:db8::2:3:4:5", "2001:db8:0:1::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let connections = Connections::default();
        let rate = Rate { per_second: 0.01, burst: 1 };
        let _first = Connections::enter_from(&connections, one, 1);
        assert!(Connections::enter_from(&connections, two, 1).is_none());
        assert!(Connections::enter_from(&connections, other, 1).is_some());
        assert!([one, other].iter().all(|ip| connections.may_shake_hands(*ip, rate)));
        assert!(!connections.may_shake_hands(two, rate));
    }
}
