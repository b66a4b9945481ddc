//! Dedupe memory: which requests were delivered, and which are on their way.
//!
//! A reservation is not yet a duplicate. A request reserves its key before it is forwarded; success commits the key for the
//! route's window, anything else releases it, so that a provider's retry of a failed delivery passes. A copy that arrives
//! while the first is on its way learns nothing but "try again". A request that was made durable counts as delivered.
//!
//! What must outlive the process is the store's to keep: committed keys come back from there at the start.
//!
//! A key is forgotten when its window has passed by the wall clock and by one that only goes on. A wall clock that is set forward
//! and back again, which makes recorded requests fresh once more, does not make them forgotten.
//!
//! Bounded: when there is no room beside keys that are still inside their window, a new request is turned away rather than an
//! old key forgotten, because a forgotten key is an open door. Each route has a share of the room that no other can take, so
//! that a route whose sender brings more ids than expected turns its own requests away and nobody else's.
//!
//! Deliberately absent: the ids themselves. A key is the first 128 bits of a SHA-256 over the route, the id of the secret that
//! matched, and what the request is known by, so a sender can neither choose where it lands nor make the memory large.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::base::{Moment, Sharing, UnixMillis};

const SHARDS: usize = 64;
/// Routes whose keys are counted apart, over the life of a process. More of them share their counts.
const SHARES: usize = 4096;

/// What dedupe memory knows a request by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupeKey(u128);

impl DedupeKey {
    /// The key of what one secret proved on one route. Neither the route's name nor `id` holds the byte between.
    pub fn new(route: &str, secret: &str, id: &str) -> Self {
        let parts = [route.as_bytes(), &[0], secret.as_bytes(), &[0], id.as_bytes()];
        let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
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

/// Whose keys they are: the share of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u16);

impl Share {
    /// Of keys that an older version stored, which does not say which route they are of.
    const UNKNOWN: Self = Self(0);
}

/// Why a key could not be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A delivery of the same request is under way.
    InFlight,
    /// The same request was delivered inside the window.
    Committed,
    /// Its route has no room to remember it.
    Full,
}

/// A key that an earlier process committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The key.
    pub key: DedupeKey,
    /// The end of its window, by both clocks.
    pub until: Moment,
    /// The route, where that is known.
    pub route: Option<Arc<str>>,
}

/// The memory, shared by all routes.
#[derive(Debug)]
pub struct DedupeMemory {
    shards: Vec<Mutex<Shard>>,
    room: Room,
}

/// Who holds how much of it.
struct Room {
    guaranteed: AtomicU64,
    rest: AtomicU64,
    /// Keys of each share.
    held: Box<[AtomicU64]>,
    /// Shares that were given out, the unknown one included.
    given: AtomicUsize,
    numbers: Mutex<HashMap<Arc<str>, Share>>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.given()).finish()
    }
}

impl Room {
    fn new(max: usize) -> Self {
        Self {
            guaranteed: AtomicU64::new(max as u64),
            rest: AtomicU64::new(0),
            held: (0..SHARES).map(|_| AtomicU64::new(0)).collect(),
            given: AtomicUsize::new(1),
            numbers: Mutex::default(),
        }
    }

    fn share(&self, route: &Arc<str>) -> Share {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = 1 + numbers.len() % (SHARES - 1);
        let share = *numbers.entry(Arc::clone(route)).or_insert(Share(u16::try_from(next).unwrap_or(u16::MAX)));
        self.given.fetch_max(usize::from(share.0) + 1, Ordering::Relaxed);
        share
    }

    fn of(&self, share: Share) -> &AtomicU64 {
        #[expect(clippy::indexing_slicing, reason = "a share is made only by `share`, as a remainder, or is the first")]
        &self.held[usize::from(share.0)]
    }

    fn given(&self) -> impl Iterator<Item = u64> {
        self.held.iter().take(self.given.load(Ordering::Relaxed)).map(|held| held.load(Ordering::Relaxed))
    }

    /// Room for one more key. Threads that meet here may take one each beyond the bound.
    fn take(&self, share: Share) -> bool {
        let held = self.of(share).fetch_add(1, Ordering::Relaxed);
        let [guaranteed, rest] = [&self.guaranteed, &self.rest].map(|part| part.load(Ordering::Relaxed));
        let sharing = Sharing { guaranteed, rest };
        // The one that asks is counted already.
        let others = || self.given().map(|held| sharing.beyond(held)).sum::<u64>().saturating_sub(1);
        let taken = sharing.admits(held, 1, others);
        if !taken {
            self.give_back(share);
        }
        taken
    }

    fn give_back(&self, share: Share) {
        self.of(share).fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<DedupeKey, Found>,
    expiries: BinaryHeap<Reverse<(UnixMillis, DedupeKey)>>,
}

impl Shard {
    fn commit(&mut self, key: DedupeKey, share: Share, until: Moment) {
        self.known.insert(key, Found::CommittedUntil(until.wall, until.steady, share));
        self.expiries.push(Reverse((until.wall, key)));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Reserved,
    /// Three fields and not a [`Moment`]: so it is 16 bytes.
    CommittedUntil(UnixMillis, u32, Share),
}

impl DedupeMemory {
    /// A memory of at most `max` keys (about 100 bytes each).
    pub fn new(max: usize) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), room: Room::new(max) }
    }

    /// Changes the bound, and the number of routes that share it; a smaller one forgets nothing, it only lets no more in until
    /// old keys expired.
    pub fn share_among(&self, routes: usize, max: usize) {
        let Sharing { guaranteed, rest } = Sharing::new(max as u64, routes as u64);
        self.room.guaranteed.store(guaranteed, Ordering::Relaxed);
        self.room.rest.store(rest, Ordering::Relaxed);
    }

    /// The share of a route, the same one for as long as the process lives.
    pub fn share(&self, route: &Arc<str>) -> Share {
        self.room.share(route)
    }

    /// Keys held at this moment.
    pub fn len(&self) -> usize {
        usize::try_from(self.room.given().sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reserves a key of a route, or says where its copy stands. A memory that seems full is swept once before it says so.
    pub fn reserve(&self, key: DedupeKey, share: Share, now: Moment) -> Result<Reservation<&Self>, Seen> {
        match self.try_reserve(key, share, now) {
            Err(Seen::Full) => {
                self.sweep(now);
                self.try_reserve(key, share, now)
            }
            other => other,
        }
    }

    fn try_reserve(&self, key: DedupeKey, share: Share, now: Moment) -> Result<Reservation<&Self>, Seen> {
        let mut shard = self.shard(key);
        self.forget_expired(&mut shard, now);
        match shard.known.get(&key) {
            Some(Found::Reserved) => return Err(Seen::InFlight),
            Some(Found::CommittedUntil(..)) => return Err(Seen::Committed),
            None => {}
        }
        if !self.room.take(share) {
            return Err(Seen::Full);
        }
        shard.known.insert(key, Found::Reserved);
        Ok(Reservation { memory: self, key, share, open: true })
    }

    /// Takes keys that an earlier process committed, whatever the bound is: none of them may be forgotten early.
    pub fn restore(&self, keys: impl IntoIterator<Item = Kept>) {
        for Kept { key, until, route } in keys {
            let mut shard = self.shard(key);
            let of_route = || route.as_ref().map_or(Share::UNKNOWN, |route| self.room.share(route));
            let share = match shard.known.get(&key) {
                Some(Found::CommittedUntil(known, ..)) if *known >= until.wall => continue,
                Some(Found::CommittedUntil(_, _, share)) => *share,
                Some(Found::Reserved) => of_route(),
                None => {
                    let share = of_route();
                    self.room.of(share).fetch_add(1, Ordering::Relaxed);
                    share
                }
            };
            shard.commit(key, share, until);
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
            if let Some(Found::CommittedUntil(wall, steady, share)) = shard.known.get(&key).copied()
                && wall == until
            {
                // The clock was set forward. What stands behind this one is not over either, or can wait.
                if steady > now.steady {
                    return;
                }
                shard.known.remove(&key);
                self.room.give_back(share);
            }
            shard.expiries.pop();
        }
    }

    fn shard(&self, key: DedupeKey) -> MutexGuard<'_, Shard> {
        #[expect(clippy::indexing_slicing, reason = "a key's shard is a remainder by the number of shards")]
        self.shards[key.shard()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key on its way: committed by success, released by everything else, a vanished sender and a panic included.
#[derive(Debug)]
#[must_use]
pub struct Reservation<M: Deref<Target = DedupeMemory>> {
    memory: M,
    key: DedupeKey,
    share: Share,
    open: bool,
}

impl<M: Deref<Target = DedupeMemory>> Reservation<M> {
    /// What is reserved.
    pub fn key(&self) -> DedupeKey {
        self.key
    }

    /// The same reservation in other hands: for a task that outlives the request that reserved. `memory` is the one that it
    /// is in.
    pub fn hand_over(mut self, memory: Arc<DedupeMemory>) -> Reservation<Arc<DedupeMemory>> {
        self.open = false;
        Reservation { memory, key: self.key, share: self.share, open: true }
    }

    /// The request was delivered: its copies are duplicates until then.
    pub fn commit(mut self, until: Moment) {
        self.open = false;
        self.memory.shard(self.key).commit(self.key, self.share, until);
    }
}

impl<M: Deref<Target = DedupeMemory>> Drop for Reservation<M> {
    fn drop(&mut self) {
        if self.open && self.memory.shard(self.key).known.remove(&self.key).is_some() {
            self.memory.room.give_back(self.share);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn at(seconds: u32) -> Moment {
        Moment { wall: UnixMillis::from_secs(seconds.into()), steady: seconds }
    }

    fn key(id: &str) -> DedupeKey {
        DedupeKey::new("route", "secret", id)
    }

    /// The share of the only route.
    fn share() -> Share {
        Share::UNKNOWN
    }

    fn kept(key: DedupeKey, until: Moment) -> Kept {
        Kept { key, until, route: None }
    }

    #[test]
    fn a_committed_key_is_a_duplicate_until_its_window_has_passed() {
        let memory = DedupeMemory::new(10);
        let now = at(1000);
        memory.reserve(key("a"), share(), now).unwrap().commit(now.plus(WINDOW));
        assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
        assert_eq!(
            memory.reserve(key("a"), share(), now.plus(WINDOW - Duration::from_secs(1))).unwrap_err(),
            Seen::Committed
        );
        assert!(memory.reserve(key("a"), share(), now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn a_failed_delivery_leaves_no_trace() {
        let memory = DedupeMemory::new(10);
        let now = at(1000);
        let first = memory.reserve(key("a"), share(), now).unwrap();
        assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::InFlight);
        drop(first);
        assert!(memory.is_empty());
        assert!(memory.reserve(key("a"), share(), now).is_ok());
    }

    #[test]
    fn a_reservation_in_other_hands_is_the_same_one() {
        let memory = Arc::new(DedupeMemory::new(10));
        let now = at(1000);
        let ours = memory.reserve(key("a"), share(), now).unwrap().hand_over(Arc::clone(&memory));
        assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::InFlight);
        drop(ours);
        assert!(memory.is_empty());
        memory.reserve(key("a"), share(), now).unwrap().hand_over(Arc::clone(&memory)).commit(now.plus(WINDOW));
        assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.len(), 1);
    }

    #[test]
    fn what_an_earlier_process_committed_is_a_duplicate_even_beyond_the_bound() {
        let memory = DedupeMemory::new(1);
        let now = at(1000);
        let until = now.plus(WINDOW);
        memory.restore([kept(key("a"), until), kept(key("b"), until), kept(key("a"), now.plus(WINDOW / 2))]);
        assert_eq!(memory.len(), 2);
        for id in ["a", "b"] {
            assert_eq!(memory.reserve(key(id), share(), now).unwrap_err(), Seen::Committed);
        }
        assert_eq!(memory.reserve(key("c"), share(), now).unwrap_err(), Seen::Full);
        assert!(memory.reserve(key("a"), share(), until).is_ok());
    }

    /// Forward by a day, where everything seems old, and back; by one clock after the other.
    #[test]
    fn a_clock_that_is_set_makes_nothing_forgotten() {
        let memory = DedupeMemory::new(2);
        let now = at(1000);
        memory.reserve(key("a"), share(), now).unwrap().commit(now.plus(WINDOW));
        memory.restore([kept(key("b"), now.plus(WINDOW))]);
        for set in [86_400, -900] {
            let wall = UnixMillis(now.wall.0 + set * 1000);
            assert_eq!(memory.reserve(key("c"), share(), Moment { wall, ..now }).unwrap_err(), Seen::Full);
            assert_eq!(memory.reserve(key("a"), share(), Moment { wall, ..now }).unwrap_err(), Seen::Committed);
        }
        let long_after = Moment { steady: 9000, ..now };
        for id in ["a", "b"] {
            assert_eq!(memory.reserve(key(id), share(), now).unwrap_err(), Seen::Committed);
            assert_eq!(memory.reserve(key(id), share(), long_after).unwrap_err(), Seen::Committed);
        }
        assert!(memory.reserve(key("a"), share(), now.plus(WINDOW)).is_ok());
        assert!(memory.reserve(key("c"), share(), now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn the_same_id_on_two_routes_or_under_two_secrets_is_two_requests() {
        let key = DedupeKey::new("a", "b", "c");
        for (route, secret, id) in [("ab", "", "c"), ("a", "bc", ""), ("a", "", "bc"), ("x", "b", "c"), ("a", "x", "c")]
        {
            assert_ne!(DedupeKey::new(route, secret, id), key, "{route} {secret} {id}");
        }
    }

    #[test]
    fn a_full_memory_refuses_rather_than_forgets() {
        let memory = DedupeMemory::new(2);
        let now = at(1000);
        for id in ["a", "b"] {
            memory.reserve(key(id), share(), now).unwrap().commit(now.plus(WINDOW));
        }
        assert_eq!(memory.reserve(key("c"), share(), now).unwrap_err(), Seen::Full);
        assert_eq!(memory.reserve(key("a"), share(), now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.len(), 2);
        let later = now.plus(WINDOW);
        assert!(memory.reserve(key("c"), share(), later).is_ok());
    }

    /// A flood on one route, with as many ids as it likes; across a restart, too.
    #[test]
    fn no_route_takes_the_room_of_another() {
        let memory = DedupeMemory::new(1000);
        memory.share_among(3, 1000);
        let [flooded, quiet, other] = ["flooded", "quiet", "other"].map(|route| memory.share(&route.into()));
        let (now, until) = (at(1000), at(1000).plus(WINDOW));
        let fill = |memory: &DedupeMemory, share: Share, name: &str| {
            let take = |id: &u32| match memory.reserve(DedupeKey::new(name, "secret", &id.to_string()), share, now) {
                Ok(reservation) => {
                    reservation.commit(until);
                    true
                }
                Err(seen) => {
                    assert_eq!(seen, Seen::Full);
                    false
                }
            };
            (0..2000).filter(take).count()
        };
        let taken = fill(&memory, flooded, "flooded");
        assert!((166..1000 / 2).contains(&taken), "{taken}");
        assert!(fill(&memory, quiet, "quiet") >= 166);
        assert!(fill(&memory, other, "other") >= 166);
        assert!(memory.len() <= 1000, "{}", memory.len());

        let later = DedupeMemory::new(1000);
        later.share_among(3, 1000);
        let keys = (0..1000).map(|id| Kept {
            key: DedupeKey::new("flooded", "secret", &id.to_string()),
            until,
            route: Some("flooded".into()),
        });
        later.restore(keys);
        let [flooded, quiet] = ["flooded", "quiet"].map(|route| later.share(&route.into()));
        assert_eq!(later.reserve(DedupeKey::new("flooded", "secret", "new"), flooded, now).unwrap_err(), Seen::Full);
        assert_eq!(fill(&later, quiet, "quiet"), 166, "its guaranteed share");
        // What is over is given back to the route that held it.
        assert!(later.reserve(DedupeKey::new("flooded", "secret", "new"), flooded, until).is_ok());
        assert_eq!(later.len(), 0);
    }

    #[test]
    fn keys_of_a_route_that_nobody_knows_are_duplicates_all_the_same() {
        let memory = DedupeMemory::new(10);
        let now = at(1000);
        memory.restore([kept(key("a"), now.plus(WINDOW))]);
        let share = memory.share(&"route".into());
        assert_eq!(memory.reserve(key("a"), share, now).unwrap_err(), Seen::Committed);
        assert_eq!(memory.len(), 1);
        assert!(memory.reserve(key("a"), share, now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn many_threads_give_one_reservation_each_key() {
        let memory = DedupeMemory::new(100_000);
        let now = at(1000);
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for id in 0..1000 {
                        if let Ok(reservation) = memory.reserve(key(&id.to_string()), share(), now) {
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
