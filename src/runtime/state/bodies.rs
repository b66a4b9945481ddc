//! The memory of requests under way, and who may take how much of it.
//!
//! All of it is for connections over which a genuine request came. Everybody else is *unproven*: for as long as their bodies are
//! waited for, one address has a share, and all of them together have three quarters. Where there is no room, the oldest
//! request whose body is still waited for is evicted, of the address that has most of them. So silence costs whoever is
//! silent, and somebody who comes for the first time finds room among strangers who hold all they can.
//!
//! A body that came with its head, a small one that is there at the first look, and one over a proven connection touch one
//! counter. The lock is for bodies that are waited for from unproven senders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

/// An unproven address has one part of this number, or one whole request if that is more.
const ADDRESS_PART: u64 = 16;

/// The budget of `limits.body_memory`.
#[derive(Debug)]
pub struct BodyMemory {
    used: AtomicU64,
    max: AtomicU64,
    /// The largest request that any route takes.
    largest: AtomicU64,
    unproven: Mutex<Unproven>,
}

impl Default for BodyMemory {
    fn default() -> Self {
        Self {
            used: AtomicU64::new(0),
            max: AtomicU64::new(u64::MAX),
            largest: AtomicU64::new(0),
            unproven: Mutex::default(),
        }
    }
}

/// What one unproven address may take of a budget, and what all of them may, where one request may be as large as `largest`.
pub fn unproven_shares(max: u64, largest: u64) -> (u64, u64) {
    let largest = largest.min(max);
    ((max / ADDRESS_PART).max(largest), (max - max / 4).max(largest))
}

impl BodyMemory {
    /// Changes the budget; bodies that are already in memory stay. `largest`: a request of the route that takes the largest.
    pub fn set_max(&self, max: u64, largest: u64) {
        self.max.store(max, Ordering::Relaxed);
        self.largest.store(largest, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of nothing yet.
    pub fn share(&self) -> BodyShare<'_> {
        BodyShare { memory: self, bytes: 0, waiting: None }
    }

    fn take(&self, more: u64, max: u64) -> bool {
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= max;
        if !fits {
            self.used.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }

    fn unproven(&self) -> MutexGuard<'_, Unproven> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests of unproven senders whose bodies are waited for.
#[derive(Debug, Default)]
struct Unproven {
    next: u64,
    bytes: u64,
    of: BTreeMap<IpAddr, Address>,
    /// The last one is the first to be evicted from.
    ranks: BTreeSet<Rank>,
}

/// Whether the address is unknown, how many of its requests wait, its oldest one, and the address.
type Rank = (bool, usize, Reverse<u64>, IpAddr);

#[derive(Debug)]
struct Address {
    /// A genuine request came from it before, over another connection.
    known: bool,
    bytes: u64,
    /// By age.
    waiting: BTreeMap<u64, Arc<Waiter>>,
    /// Its requests go one after another where there is a queue.
    turn: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Waiter {
    evicted: Notify,
    /// It holds nothing of the unproven part any more.
    left: Notify,
}

impl Address {
    fn rank(&self, source: IpAddr) -> Option<Rank> {
        let (oldest, _) = self.waiting.first_key_value()?;
        Some((!self.known, self.waiting.len(), Reverse(*oldest), source))
    }
}

impl Unproven {
    /// Changes what an address has, and keeps its rank.
    fn change<T>(&mut self, source: IpAddr, change: impl FnOnce(&mut Address) -> T) -> Option<T> {
        let address = self.of.get_mut(&source)?;
        if let Some(rank) = address.rank(source) {
            self.ranks.remove(&rank);
        }
        let changed = change(address);
        if let Some(rank) = address.rank(source) {
            self.ranks.insert(rank);
        } else if address.bytes == 0 {
            self.of.remove(&source);
        }
        Some(changed)
    }
}

/// Why there is no room.
enum Lack {
    /// The address has its share.
    Address,
    /// All unproven senders together have theirs, or the whole budget is in use.
    All,
    /// This request was evicted itself.
    Evicted,
}

/// What one request takes of the budget; given back on drop.
#[derive(Debug)]
pub struct BodyShare<'m> {
    memory: &'m BodyMemory,
    bytes: u64,
    waiting: Option<Waiting>,
}

/// A request of an unproven sender whose body is waited for.
#[derive(Debug)]
struct Waiting {
    source: IpAddr,
    number: u64,
    waiter: Arc<Waiter>,
    turn: Arc<Semaphore>,
    known: bool,
}

impl BodyShare<'_> {
    /// From now on it is an unproven sender's, of this address, whose body is waited for. Gives back all it took
    /// before, which was no part of that address's, and says how much it was.
    pub fn wait_unproven(&mut self, source: IpAddr, known: bool) -> u64 {
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        let given_back = std::mem::take(&mut self.bytes);
        let mut unproven = self.memory.unproven();
        let number = unproven.next;
        unproven.next += 1;
        let waiter = Arc::<Waiter>::default();
        let new = || Address { known, bytes: 0, waiting: BTreeMap::new(), turn: Arc::new(Semaphore::new(1)) };
        let turn = Arc::clone(&unproven.of.entry(source).or_insert_with(new).turn);
        unproven.change(source, |address| {
            address.known |= known;
            address.waiting.insert(number, Arc::clone(&waiter));
        });
        drop(unproven);
        self.waiting = Some(Waiting { source, number, waiter, turn, known });
        given_back
    }

    /// Whether it was, and not of a known address; and the address's turn.
    pub fn turn(&self) -> Option<(&Arc<Semaphore>, bool)> {
        self.waiting.as_ref().map(|waiting| (&waiting.turn, waiting.known))
    }

    /// Waits until somebody else needs the room more than this request, which then has to end.
    pub async fn evicted(&self) {
        match &self.waiting {
            Some(waiting) => waiting.waiter.evicted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Nobody waits for its body any more: what it has stays its own, and is no part of what unproven senders have.
    pub fn settle(&mut self) {
        let Some(Waiting { source, number, waiter, .. }) = self.waiting.take() else { return };
        let mut unproven = self.memory.unproven();
        unproven.bytes -= self.bytes;
        unproven.change(source, |address| {
            address.bytes -= self.bytes;
            address.waiting.remove(&number);
        });
        drop(unproven);
        waiter.left.notify_one();
    }

    /// Grows to `bytes` in all; false when there is no room now.
    #[must_use]
    pub fn grow_to(&mut self, bytes: u64) -> bool {
        self.grow(bytes).is_ok()
    }

    /// The same where there is plenty: false when more than half of the budget would be in use.
    #[must_use]
    pub fn grow_in_plenty(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = more == 0 || self.memory.take(more, self.memory.max.load(Ordering::Relaxed) / 2);
        if fits {
            self.bytes = self.bytes.max(bytes);
        }
        fits
    }

    /// The same where others may be evicted for it, which ends when they are gone. False when nobody is left who has to go
    /// before this request does, or when it was evicted itself.
    pub async fn grow_or_evict(&mut self, bytes: u64) -> bool {
        loop {
            let victim = match self.grow(bytes) {
                Ok(()) => return true,
                Err(Lack::Address) => self.evict(true),
                Err(Lack::All) => self.evict(false),
                Err(Lack::Evicted) => None,
            };
            let Some(victim) = victim else { return false };
            tokio::select! {
                biased;
                () = self.evicted() => return false,
                () = victim.left.notified() => {}
            }
        }
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Lack> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let memory = self.memory;
        let max = memory.max.load(Ordering::Relaxed);
        match &self.waiting {
            None if memory.take(more, max) => {}
            None => return Err(Lack::All),
            Some(Waiting { source, number, .. }) => {
                let (share, all) = unproven_shares(max, memory.largest.load(Ordering::Relaxed));
                let mut unproven = memory.unproven();
                let address = unproven.of.get(source).filter(|address| address.waiting.contains_key(number));
                let Some(held) = address.map(|address| address.bytes) else { return Err(Lack::Evicted) };
                if held.saturating_add(more) > share {
                    return Err(Lack::Address);
                }
                if unproven.bytes.saturating_add(more) > all || !memory.take(more, max) {
                    return Err(Lack::All);
                }
                unproven.bytes += more;
                if let Some(address) = unproven.of.get_mut(source) {
                    address.bytes += more;
                }
            }
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Tells the one who has to go, of the same address or of all; `None` where that is nobody else.
    fn evict(&self, same_address: bool) -> Option<Arc<Waiter>> {
        let me = self.waiting.as_ref().map(|waiting| (waiting.source, waiting.number));
        let mut unproven = self.memory.unproven();
        let source = match me {
            Some((source, _)) if same_address => source,
            _ => unproven.ranks.last()?.3,
        };
        let oldest = *unproven.of.get(&source)?.waiting.first_key_value()?.0;
        if me == Some((source, oldest)) {
            return None;
        }
        let waiter = unproven.change(source, |address| address.waiting.remove(&oldest))??;
        drop(unproven);
        waiter.evicted.notify_one();
        Some(waiter)
    }
}

impl Drop for BodyShare<'_> {
    fn drop(&mut self) {
        // First, so that who waits for it finds it.
        self.memory.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.settle();
    }
}

#[cfg(test)]
mod tests;
