//! The same signed words under ids that nobody signs.
//!
//! Where a provider does not sign its ids, whoever holds one genuine request can write another id on it, and nobody can tell the
//! result from a second event with the same words. It is delivered. But however many ids come with the same words, they are
//! one sender's: together they have one place in the memory and a few ids, of which the oldest makes room.
//!
//! Held by the process alone: after a restart the words are new once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use super::Seen;
use super::key::DedupeKey;
use super::room::{Room, Share};
use super::shards::Shards;
use crate::base::{Moment, UnixMillis};

/// Ids that are known of one text. A provider sends the same words more often than this within one window only where they say
/// nothing; the retry of one that was forgotten is delivered again.
const MOST: usize = 16;

/// Which one of the requests with the same words it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nobody sent them before.
    First,
    /// They were seen under another id.
    Repeat,
}

/// What is known of each text.
#[derive(Debug)]
pub(super) struct Repeats(Shards<Shard>);

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<DedupeKey, Words>,
    expiries: BinaryHeap<Reverse<(UnixMillis, DedupeKey)>>,
}

#[derive(Debug)]
struct Words {
    /// In the order in which they came.
    ids: Vec<Id>,
    share: Share,
    /// It stands in `expiries`.
    listed: bool,
}

#[derive(Debug)]
struct Id {
    key: DedupeKey,
    /// `None`: on its way.
    until: Option<Moment>,
}

impl Id {
    fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| until.wall <= now.wall && until.steady <= now.steady)
    }
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self(Shards::new())
    }

    /// Reserves an id of these words. `known` asks and reserves in the memory of ids, where the first one is kept as well and what
    /// an earlier process committed: it is called with the lock of these words held, and takes no lock of theirs.
    pub(super) fn reserve(
        &self,
        words: DedupeKey,
        key: DedupeKey,
        (room, share): (&Room, Share),
        now: Moment,
        known: impl FnOnce(Place) -> Result<(), Seen>,
    ) -> Result<Place, Seen> {
        let mut shard = self.0.of(words);
        shard.forget_expired(room, now);
        let Some(found) = shard.known.get_mut(&words) else {
            known(Place::First)?;
            // Its own place, so that ids and words are both bounded. The one of its id is given back by who asked.
            if !room.take(share) {
                return Err(Seen::Full);
            }
            let first = Id { key, until: None };
            shard.known.insert(words, Words { ids: vec![first], share, listed: false });
            return Ok(Place::First);
        };
        match found.ids.iter().find(|id| id.key == key && !id.is_over(now)) {
            Some(Id { until: None, .. }) => return Err(Seen::InFlight),
            Some(_) => return Err(Seen::Committed),
            None => known(Place::Repeat)?,
        }
        found.ids.retain(|id| !id.is_over(now));
        if found.ids.len() >= MOST {
            // All of them on their way: one more is no more welcome than a copy.
            let oldest = found.ids.iter().position(|id| id.until.is_some()).ok_or(Seen::InFlight)?;
            found.ids.remove(oldest);
        }
        found.ids.push(Id { key, until: None });
        Ok(Place::Repeat)
    }

    pub(super) fn commit(&self, words: DedupeKey, key: DedupeKey, until: Moment) {
        let mut shard = self.0.of(words);
        let Some(found) = shard.known.get_mut(&words) else { return };
        if let Some(id) = found.ids.iter_mut().find(|id| id.key == key) {
            id.until = Some(until);
        }
        if !std::mem::replace(&mut found.listed, true) {
            shard.expiries.push(Reverse((until.wall, words)));
        }
    }

    pub(super) fn release(&self, words: DedupeKey, key: DedupeKey, room: &Room) {
        let mut shard = self.0.of(words);
        let Some(found) = shard.known.get_mut(&words) else { return };
        found.ids.retain(|id| id.key != key || id.until.is_some());
        if found.ids.is_empty() {
            room.give_back(found.share);
            shard.known.remove(&words);
        }
    }

    pub(super) fn sweep(&self, room: &Room, now: Moment) {
        self.0.each().for_each(|mut shard| shard.forget_expired(room, now));
    }
}

impl Shard {
    fn forget_expired(&mut self, room: &Room, now: Moment) {
        while let Some(Reverse((until, words))) = self.expiries.peek().copied() {
            if until > now.wall {
                return;
            }
            self.expiries.pop();
            let Some(found) = self.known.get_mut(&words) else { continue };
            found.ids.retain(|id| !id.is_over(now));
            if found.ids.is_empty() {
                room.give_back(found.share);
                self.known.remove(&words);
                continue;
            }
            // Later ones came; or the clock was set forward, and the other one has not come as far.
            let last = found.ids.iter().filter_map(|id| id.until).map(|until| until.wall).max();
            match last {
                Some(last) => {
                    let again = last.max(now.wall.plus(Duration::from_secs(1)));
                    self.expiries.push(Reverse((again, words)));
                }
                None => found.listed = false,
            }
        }
    }
}
