//! How many lines of one kind may be written per second; the rest are counted and summed up in one line.
//!
//! A hostile sender chooses how often it is refused, so it must not choose how much is logged. One atomic holds the
//! state (the generic cell rate algorithm's theoretical arrival time): no lock, and no timer.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SECOND: u64 = 1_000_000_000;

/// A lock-free token bucket that holds one second's worth of lines.
#[derive(Debug)]
pub(crate) struct Throttle {
    started: Instant,
    per_second: AtomicU32,
    /// When the bucket will be full again, in nanoseconds since `started`.
    arrival: AtomicU64,
    suppressed: AtomicU64,
    /// When the last summary was taken.
    summarised: AtomicU64,
}

impl Throttle {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            started: Instant::now(),
            per_second: AtomicU32::new(per_second),
            arrival: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            summarised: AtomicU64::new(0),
        }
    }

    /// Zero means that no line of this kind is written.
    pub(crate) fn set_rate(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// Time since this throttle was made, for the two methods below.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether one more line may be written; a line that may not is counted.
    pub(crate) fn admits(&self, now: Duration) -> bool {
        let admitted = self.take(nanos(now));
        if !admitted {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// The same where each kind of line has a part of its own: a flood of one kind must not keep the lines of the others out.
    pub(crate) fn admits_of(&self, kinds: &Kinds, kind: usize, now: Duration) -> bool {
        let now = nanos(now);
        let admitted = kinds.0.get(kind).is_none_or(|part| part.take(now)) && self.take(now);
        if !admitted {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn take(&self, now: u64) -> bool {
        let Some(step) = SECOND.checked_div(u64::from(self.per_second.load(Ordering::Relaxed))) else { return false };
        self.arrival
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |arrival| {
                let next = arrival.max(now).saturating_add(step);
                (next <= now.saturating_add(SECOND)).then_some(next)
            })
            .is_ok()
    }

    /// How many lines were held back since the last summary; at most one summary per second.
    pub(crate) fn summary(&self, now: Duration) -> Option<u64> {
        if self.suppressed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now = nanos(now);
        let last = self.summarised.load(Ordering::Relaxed);
        if now.saturating_sub(last) < SECOND {
            return None;
        }
        self.summarised.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).ok()?;
        self.remainder()
    }

    /// What was held back and not yet summed up, whenever the last summary was: for the end of the process.
    pub(crate) fn remainder(&self) -> Option<u64> {
        Some(self.suppressed.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)
    }
}

/// What of the lines each kind may have: a part of them, and at least one.
#[derive(Debug)]
pub(crate) struct Kinds(Box<[Throttle]>);

const PART: u32 = 4;

impl Kinds {
    pub(crate) fn new(kinds: usize, per_second: u32) -> Self {
        Self((0..kinds).map(|_| Throttle::new(per_second.div_ceil(PART))).collect())
    }

    pub(crate) fn set_rate(&self, per_second: u32) {
        self.0.iter().for_each(|kind| kind.set_rate(per_second.div_ceil(PART)));
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    #[test]
    fn one_seconds_worth_then_the_rate() {
        let throttle = Throttle::new(10);
        assert_eq!((0..100).filter(|_| throttle.admits(START)).count(), 10);
        assert!(!throttle.admits(START + Duration::from_millis(99)));
        assert!(throttle.admits(START + Duration::from_millis(100)));
        assert!(!throttle.admits(START + Duration::from_millis(100)));
        assert_eq!((0..100).filter(|_| throttle.admits(START + Duration::from_secs(60))).count(), 10);
    }

    #[test]
    fn what_was_held_back_is_summed_up_once_per_second() {
        let throttle = Throttle::new(1);
        for _ in 0..5 {
            throttle.admits(START);
        }
        assert_eq!(throttle.summary(START), Some(4));
        throttle.admits(START);
        assert_eq!(throttle.summary(START + Duration::from_millis(999)), None);
        assert_eq!(throttle.summary(START + Duration::from_secs(1)), Some(1));
        assert_eq!(throttle.summary(START + Duration::from_secs(9)), None, "nothing was held back since");
    }

    #[test]
    fn a_rate_of_zero_admits_nothing_and_counts_all() {
        let throttle = Throttle::new(0);
        assert!(!throttle.admits(START));
        assert_eq!(throttle.remainder(), Some(1));
        throttle.set_rate(1);
        assert!(throttle.admits(START));
        assert_eq!(throttle.remainder(), None);
    }

    #[test]
    fn a_flood_of_one_kind_leaves_lines_for_the_others() {
        let (throttle, kinds) = (Throttle::new(20), Kinds::new(3, 20));
        let lines = |kind| (0..100).filter(|_| throttle.admits_of(&kinds, kind, START)).count();
        assert_eq!(lines(0), 5);
        assert_eq!(lines(1), 5);
        assert_eq!(throttle.remainder(), Some(190));
        kinds.set_rate(0);
        assert!(!throttle.admits_of(&kinds, 2, START));
    }

    #[test]
    fn threads_together_get_no_more_than_one_does() {
        let throttle = Throttle::new(50);
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..500).filter(|_| throttle.admits(START)).count())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 50);
        assert_eq!(throttle.remainder(), Some(1950));
    }
}
