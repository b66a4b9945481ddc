//! Replay memory: which requests were delivered, and which are on their way.
//!
//! A reservation is not yet a duplicate. A request reserves its key before it is forwarded; success commits the key for the
//! route's window, anything else releases it, so that a provider's retry of a failed delivery passes. A twin that arrives
//! while the first is on its way learns nothing but "try again". A request that was made durable counts as delivered.
//!
//! What must outlive the process is the store's to keep: committed keys come back from there at the start.
//!
//! A key is forgotten when its window has passed by the wall clock and by one that only goes on. A wall clock that is set forward
//! and back again, which makes recorded requests fresh once more, does not make them forgotten.
//!
//! Bounded: when the memory is full of keys that are still inside their window, a new request is turned away rather than an
//! old key forgotten, because a forgotten key is an open door.
//!
//! Deliberately absent: the ids themselves. A key is the first 128 bits of a SHA-256 over route and id, so a sender can
//! neither choose where it lands nor make the memory large.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::{Moment, UnixMillis};

const SHARDS: usize = 64;

/// What replay memory knows a request by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplayKey(u128);

impl ReplayKey {
    /// The key of one id on one route.
    pub fn new(route: &str, id: &str) -> Self {
        let digest = Sha256::new().chain_update(route).chain_update([0]).chain_update(id).finalize();
        let mut first = [0; 16];
        first.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(u128::from_be_bytes(first))
    }

    /// As the store keeps it.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// As the store kept it.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    fn shard(self) -> usize {
        usize::try_from(self.0 % SHARDS as u128).unwrap_or_default()
    }
}

/// Why a key could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A delivery of the same request is under way.
    InFlight,
    /// The same request was delivered inside the window.
    Committed,
    /// There is no room to remember it.
    Full,
}

/// The memory, shared by all routes.
#[derive(Debug)]
pub struct ReplayMemory {
    shards: Vec<Mutex<Shard>>,
    entries: AtomicUsize,
    max: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<ReplayKey, Standing>,
    expiries: BinaryHeap<Reverse<(UnixMillis, ReplayKey)>>,
}

impl Shard {
    fn commit(&mut self, key: ReplayKey, until: Moment) {
        self.known.insert(key, Standing::CommittedUntil(until.wall, until.steady));
        self.expiries.push(Reverse((until.wall, key)));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Reserved,
    /// Two fields and not a [`Moment`]: so it is 16 bytes.
    CommittedUntil(UnixMillis, u32),
}

impl ReplayMemory {
    /// A memory of at most `max` keys (about 100 bytes each).
    pub fn new(max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            entries: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
        }
    }

    /// Changes the bound; a smaller one forgets nothing, it only lets no more in until old keys expired.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Keys held at this moment.
    pub fn len(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reserves a key, or says where its twin stands. A memory that seems full is swept once before it says so.
    pub fn reserve(&self, key: ReplayKey, now: Moment) -> Result<Reservation<&Self>, Seen> {
        match self.try_reserve(key, now) {
            Err(Seen::Full) => {
                self.sweep(now);
                self.try_reserve(key, now)
            }
            other => other,
        }
    }

    fn try_reserve(&self, key: ReplayKey, now: Moment) -> Result<Reservation<&Self>, Seen> {
        let mut shard = self.shard(key);
        self.forget_expired(&mut shard, now);
        match shard.known.get(&key) {
            Some(Standing::Reserved) => return Err(Seen::InFlight),
            Some(Standing::CommittedUntil(..)) => return Err(Seen::Committed),
            None => {}
        }
        if self.entries.fetch_add(1, Ordering::Relaxed) >= self.max.load(Ordering::Relaxed) {
            self.entries.fetch_sub(1, Ordering::Relaxed);
            return Err(Seen::Full);
        }
        shard.known.insert(key, Standing::Reserved);
        Ok(Reservation { memory: self, key, open: true })
    }

    /// Takes keys that an earlier process committed, whatever the bound is: none of them may be forgotten early.
    pub fn restore(&self, keys: impl IntoIterator<Item = (ReplayKey, UnixMillis)>, now: Moment) {
        for (key, until) in keys {
            let mut shard = self.shard(key);
            let before = shard.known.get(&key).copied();
            if matches!(before, Some(Standing::CommittedUntil(known, _)) if known >= until) {
                continue;
            }
            if before.is_none() {
                self.entries.fetch_add(1, Ordering::Relaxed);
            }
            let left = u64::try_from(until.0.saturating_sub(now.wall.0)).unwrap_or_default();
            shard.commit(key, Moment { wall: until, ..now.plus(Duration::from_millis(left)) });
        }
    }

    fn sweep(&self, now: Moment) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            self.forget_expired(&mut shard, now);
        }
    }

    fn forget_expired(&self, shard: &mut Shard, now: Moment) {
        while let Some(Reverse((until, key))) = shard.expiries.peek().copied() {
            if until > now.wall {
                return;
            }
            if let Some(Standing::CommittedUntil(wall, steady)) = shard.known.get(&key)
                && *wall == until
            {
                // The clock was set forward. What stands behind this one is not over either, or can wait.
                if *steady > now.steady {
                    return;
                }
                shard.known.remove(&key);
                self.entries.fetch_sub(1, Ordering::Relaxed);
            }
            shard.expiries.pop();
        }
    }

    fn shard(&self, key: ReplayKey) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "a key's shard is a remainder by the number of shards")]
        self.shards[key.shard()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key on its way: committed by success, released by everything else, a vanished sender and a panic included.
#[derive(Debug)]
#[must_use]
pub struct Reservation<M: Deref<Target = ReplayMemory>> {
    memory: M,
    key: ReplayKey,
    open: bool,
}

impl<M: Deref<Target = ReplayMemory>> Reservation<M> {
    /// What is reserved.
    pub fn key(&self) -> ReplayKey {
        self.key
    }

    /// The same reservation in other hands: for a task that outlives the request that reserved. `memory` is the one that it
    /// is in.
    pub fn hand_over(mut self, memory: Arc<ReplayMemory>) -> Reservation<Arc<ReplayMemory>> {
        self.open = false;
        Reservation { memory, key: self.key, open: true }
    }

    /// The request was delivered: its twins are duplicates until then.
    pub fn commit(mut self, until: Moment) {
        self.open = false;
        self.memory.shard(self.key).commit(self.key, until);
    }
}

impl<M: Deref<Target = ReplayMemory>> Drop for Reservation<M> {
    fn drop(&mut self) {
        if self.open && self.memory.shard(self.key).known.remove(&self.key).is_some() {
            self.memory.entries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: u32) -> Moment {
        Moment { wall: UnixMillis::from_secs(seconds.into()), steady: seconds }
    }

    fn key(id: &str) -> ReplayKey {
        ReplayKey::new("route", id)
    }

    #[test]
    fn a_committed_key_is_a_duplicate_until_its_window_has_passed() {
        let memory = ReplayMemory::new(10);
        let now = at(1000);
        memory.reserve(key("a"), now).unwrap().commit(now.plus(WINDOW));
        assert_eq!(memory.reserve(key("a"), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.reserve(key("a"), now.plus(WINDOW - Duration::from_secs(1))).unwrap_err(), Seen::Committed);
        assert!(memory.reserve(key("a"), now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn a_failed_delivery_leaves_no_trace() {
        let memory = ReplayMemory::new(10);
        let now = at(1000);
        let first = memory.reserve(key("a"), now).unwrap();
        assert_eq!(memory.reserve(key("a"), now).unwrap_err(), Seen::InFlight);
        drop(first);
        assert!(memory.is_empty());
        assert!(memory.reserve(key("a"), now).is_ok());
    }

    #[test]
    fn a_reservation_in_other_hands_is_the_same_one() {
        let memory = Arc::new(ReplayMemory::new(10));
        let now = at(1000);
        let ours = memory.reserve(key("a"), now).unwrap().hand_over(Arc::clone(&memory));
        assert_eq!(memory.reserve(key("a"), now).unwrap_err(), Seen::InFlight);
        drop(ours);
        assert!(memory.is_empty());
        memory.reserve(key("a"), now).unwrap().hand_over(Arc::clone(&memory)).commit(now.plus(WINDOW));
        assert_eq!(memory.reserve(key("a"), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn what_an_earlier_process_committed_is_a_duplicate_even_beyond_the_bound() {
        let memory = ReplayMemory::new(1);
        let now = at(1000);
        let until = now.plus(WINDOW);
        let known = [(key("a"), until.wall), (key("b"), until.wall), (key("a"), now.plus(WINDOW / 2).wall)];
        memory.restore(known, now);
        assert_eq!(memory.len(), 2);
        for id in ["a", "b"] {
            assert_eq!(memory.reserve(key(id), now).unwrap_err(), Seen::Committed);
        }
        assert_eq!(memory.reserve(key("c"), now).unwrap_err(), Seen::Full);
        assert!(memory.reserve(key("a"), until).is_ok());
    }

    /// Forward by a day, where everything seems old, and back; by one clock after the other.
    #[test]
    fn a_clock_that_is_set_makes_nothing_forgotten() {
        let memory = ReplayMemory::new(2);
        let now = at(1000);
        memory.reserve(key("a"), now).unwrap().commit(now.plus(WINDOW));
        memory.restore([(key("b"), now.plus(WINDOW).wall)], now);
        for set in [86_400, -900] {
            let wall = UnixMillis(now.wall.0 + set * 1000);
            assert_eq!(memory.reserve(key("c"), Moment { wall, ..now }).unwrap_err(), Seen::Full);
            assert_eq!(memory.reserve(key("a"), Moment { wall, ..now }).unwrap_err(), Seen::Committed);
        }
        let long_after = Moment { steady: 9000, ..now };
        for id in ["a", "b"] {
            assert_eq!(memory.reserve(key(id), now).unwrap_err(), Seen::Committed);
            assert_eq!(memory.reserve(key(id), long_after).unwrap_err(), Seen::Committed);
        }
        assert!(memory.reserve(key("a"), now.plus(WINDOW)).is_ok());
        assert!(memory.reserve(key("c"), now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn the_same_id_on_two_routes_is_two_requests() {
        assert_ne!(ReplayKey::new("a", "bc"), ReplayKey::new("ab", "c"));
    }

    #[test]
    fn a_full_memory_refuses_rather_than_forgets() {
        let memory = ReplayMemory::new(2);
        let now = at(1000);
        for id in ["a", "b"] {
            memory.reserve(key(id), now).unwrap().commit(now.plus(WINDOW));
        }
        assert_eq!(memory.reserve(key("c"), now).unwrap_err(), Seen::Full);
        assert_eq!(memory.reserve(key("a"), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.len(), 2);
        let later = now.plus(WINDOW);
        assert!(memory.reserve(key("c"), later).is_ok());
    }

    #[test]
    fn many_threads_give_one_reservation_each_key() {
        let memory = ReplayMemory::new(100_000);
        let now = at(1000);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for id in 0..1000 {
                        if let Ok(reservation) = memory.reserve(key(&id.to_string()), now) {
                            taken.fetch_add(1, Ordering::Relaxed);
                            reservation.commit(now.plus(WINDOW));
                        }
                    }
                });
            }
        });
        assert_eq!(taken.load(Ordering::Relaxed), 1000);
        assert_eq!(memory.len(), 1000);
    }
}
