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
//! Where an id that nobody signs is a part of the key, many ids with the same signed words have one place (`dedupe/repeats.rs`).
//!
//! Deliberately absent: the ids themselves. A key is the first 128 bits of a SHA-256 over the route, the id of the secret that
//! matched, and what the request is known by, so a sender can neither choose where it lands nor make the memory large.

mod key;
mod repeats;
mod room;
mod shards;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::{Moment, Sharing, UnixMillis};
pub use key::DedupeKey;
use repeats::{Place, Repeats};
use room::Room;
pub use room::Share;
use shards::Shards;

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

/// What one request is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// All of it.
    pub key: DedupeKey,
    /// Where an id that nobody signs is in it: the rest alone.
    pub words: Option<DedupeKey>,
}

impl From<DedupeKey> for Known {
    fn from(key: DedupeKey) -> Self {
        Self { key, words: None }
    }
}

/// The memory, shared by all routes.
#[derive(Debug)]
pub struct DedupeMemory {
    shards: Shards<Shard>,
    repeats: Repeats,
    room: Room,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<DedupeKey, Found>,
    expiries: BinaryHeap<Reverse<(UnixMillis, DedupeKey)>>,
}

impl Shard {
    fn seen(&self, key: DedupeKey) -> Result<(), Seen> {
        match self.known.get(&key) {
            Some(Found::Reserved) => Err(Seen::InFlight),
            Some(Found::CommittedUntil(..)) => Err(Seen::Committed),
            None => Ok(()),
        }
    }

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
        Self { shards: Shards::new(), repeats: Repeats::new(), room: Room::new(max) }
    }

    /// Changes the bound, and the number of routes that share it; a smaller one forgets nothing, it only lets no more in until
    /// old keys expired.
    pub fn share_among(&self, routes: usize, max: usize) {
        self.room.share_among(Sharing::new(max as u64, routes as u64));
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

    /// Reserves what a request of a route is known by, or says where its copy stands. A memory that seems full is swept once before
    /// it says so.
    pub fn reserve(&self, known: impl Into<Known>, share: Share, now: Moment) -> Result<Reservation<&Self>, Seen> {
        let known = known.into();
        match self.try_reserve(known, share, now) {
            Err(Seen::Full) => {
                self.sweep(now);
                self.try_reserve(known, share, now)
            }
            other => other,
        }
    }

    fn try_reserve(&self, known: Known, share: Share, now: Moment) -> Result<Reservation<&Self>, Seen> {
        let Known { key, words } = known;
        let Some(words) = words else {
            self.take(key, share, now)?;
            return Ok(Reservation { memory: self, key, words: None, share, open: true });
        };
        let mut taken = false;
        let place = self.repeats.reserve(words, key, (&self.room, share), now, |place| match place {
            Place::First => self.take(key, share, now).inspect(|()| taken = true),
            Place::Repeat => self.look(key, now),
        });
        match place {
            Ok(place) => Ok(Reservation { memory: self, key, words: Some((words, place)), share, open: true }),
            Err(why) => {
                if taken {
                    self.give_back(key, share);
                }
                Err(why)
            }
        }
    }

    fn take(&self, key: DedupeKey, share: Share, now: Moment) -> Result<(), Seen> {
        let mut shard = self.shards.of(key);
        self.forget_expired(&mut shard, now);
        shard.seen(key)?;
        if !self.room.take(share) {
            return Err(Seen::Full);
        }
        shard.known.insert(key, Found::Reserved);
        Ok(())
    }

    fn look(&self, key: DedupeKey, now: Moment) -> Result<(), Seen> {
        let mut shard = self.shards.of(key);
        self.forget_expired(&mut shard, now);
        shard.seen(key)
    }

    fn give_back(&self, key: DedupeKey, share: Share) {
        if self.shards.of(key).known.remove(&key).is_some() {
            self.room.give_back(share);
        }
    }

    /// Takes keys that an earlier process committed, whatever the bound is: none of them may be forgotten early.
    pub fn restore(&self, keys: impl IntoIterator<Item = Kept>) {
        for Kept { key, until, route } in keys {
            let mut shard = self.shards.of(key);
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
        self.shards.each().for_each(|mut shard| self.forget_expired(&mut shard, now));
        self.repeats.sweep(&self.room, now);
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
}

/// A key on its way: committed by success, released by everything else, a vanished sender and a panic included.
#[derive(Debug)]
#[must_use]
pub struct Reservation<M: Deref<Target = DedupeMemory>> {
    memory: M,
    key: DedupeKey,
    words: Option<(DedupeKey, Place)>,
    share: Share,
    open: bool,
}

impl<M: Deref<Target = DedupeMemory>> Reservation<M> {
    /// Whether the same signed words are known under another id, which nobody signs: a second event, or a captured one that
    /// somebody sends again.
    pub fn is_repeat(&self) -> bool {
        matches!(self.words, Some((_, Place::Repeat)))
    }

    /// What is reserved.
    pub fn key(&self) -> DedupeKey {
        self.key
    }

    /// The same reservation in other hands: for a task that outlives the request that reserved. `memory` is the one that it
    /// is in.
    pub fn hand_over(mut self, memory: Arc<DedupeMemory>) -> Reservation<Arc<DedupeMemory>> {
        self.open = false;
        Reservation { memory, key: self.key, words: self.words, share: self.share, open: true }
    }

    /// The request was delivered: its copies are duplicates until then.
    pub fn commit(mut self, until: Moment) {
        self.open = false;
        if let Some((words, _)) = self.words {
            self.memory.repeats.commit(words, self.key, until);
        }
        if !self.is_repeat() {
            self.memory.shards.of(self.key).commit(self.key, self.share, until);
        }
    }
}

impl<M: Deref<Target = DedupeMemory>> Drop for Reservation<M> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if !self.is_repeat() {
            self.memory.give_back(self.key, self.share);
        }
        if let Some((words, _)) = self.words {
            self.memory.repeats.release(words, self.key, &self.memory.room);
        }
    }
}

#[cfg(test)]
mod tests;
