//! Who holds how much of the memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Sharing;

/// Routes whose keys are counted apart, over the life of a process. More of them share their counts.
const SHARES: usize = 4096;

/// Whose keys they are: the share of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u16);

impl Share {
    /// Of keys that an older version stored, which does not say which route they are of.
    pub(super) const UNKNOWN: Self = Self(0);
}

/// Who holds how much of it.
pub(super) struct Room {
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
    pub(super) fn new(max: usize) -> Self {
        Self {
            guaranteed: AtomicU64::new(max as u64),
            rest: AtomicU64::new(0),
            held: (0..SHARES).map(|_| AtomicU64::new(0)).collect(),
            given: AtomicUsize::new(1),
            numbers: Mutex::default(),
        }
    }

    pub(super) fn share_among(&self, Sharing { guaranteed, rest }: Sharing) {
        self.guaranteed.store(guaranteed, Ordering::Relaxed);
        self.rest.store(rest, Ordering::Relaxed);
    }

    pub(super) fn share(&self, route: &Arc<str>) -> Share {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = 1 + numbers.len() % (SHARES - 1);
        let share = *numbers.entry(Arc::clone(route)).or_insert(Share(u16::try_from(next).unwrap_or(u16::MAX)));
        self.given.fetch_max(usize::from(share.0) + 1, Ordering::Relaxed);
        share
    }

    pub(super) fn of(&self, share: Share) -> &AtomicU64 {
        #[expect(clippy::indexing_slicing, reason = "a share is made only by `share`, as a remainder, or is the first")]
        &self.held[usize::from(share.0)]
    }

    pub(super) fn given(&self) -> impl Iterator<Item = u64> {
        self.held.iter().take(self.given.load(Ordering::Relaxed)).map(|held| held.load(Ordering::Relaxed))
    }

    /// Room for one more key. Threads that meet here may take one each beyond the bound.
    pub(super) fn take(&self, share: Share) -> bool {
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

    pub(super) fn give_back(&self, share: Share) {
        self.of(share).fetch_sub(1, Ordering::Relaxed);
    }
}
