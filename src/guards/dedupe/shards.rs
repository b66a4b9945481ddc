//! What keys lead to, in parts that are locked apart.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::key::DedupeKey;

/// How many parts there are.
pub(super) const SHARDS: usize = 64;

/// One value for each part of the keys.
#[derive(Debug)]
pub(super) struct Shards<T>(Vec<Mutex<T>>);

impl<T: Default> Shards<T> {
    pub(super) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// The part that a key belongs to.
    pub(super) fn of(&self, key: DedupeKey) -> MutexGuard<'_, T> {
        #[expect(clippy::indexing_slicing, reason = "a key's shard is a remainder by the number of shards")]
        self.0[key.shard()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One after the other.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
