//! One of a thing for each thread that records, so that two that record at once write to no memory in common: a counter that
//! cores take from one another costs more than everything else about it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Enough that the workers of a relay do not meet. Beyond, threads share: what is sharded bears it, only slower.
pub(crate) const SHARDS: usize = 16;

/// In cache lines of its own. Two, because processors fetch the neighbour as well.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub T);

/// One for each thread.
#[derive(Debug, Default)]
pub(crate) struct Sharded<T>([T; SHARDS]);

impl<T> Sharded<T> {
    /// This thread's.
    pub(crate) fn mine(&self) -> &T {
        let [first, ..] = &self.0;
        self.0.get(place()).unwrap_or(first)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

/// Threads get places in turn, so that those of one relay differ.
fn place() -> usize {
    const NONE: usize = usize::MAX;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: Cell<usize> = const { Cell::new(NONE) };
    }
    PLACE.with(|place| {
        if place.get() == NONE {
            place.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        place.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_own() {
        let counters = Sharded::<CachePadded<AtomicUsize>>::default();
        std::thread::scope(|scope| {
            for _ in 0..SHARDS {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counters.mine().0.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let counts: Vec<_> = counters.iter().map(|counter| counter.0.load(Ordering::Relaxed)).collect();
        assert_eq!(counts.iter().sum::<usize>(), 100 * SHARDS);
        assert!(counts.iter().all(|count| count % 100 == 0), "{counts:?}");
        assert!(counts.iter().filter(|count| **count > 0).count() > SHARDS / 2, "threads do not share: {counts:?}");
    }
}
