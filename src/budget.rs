//! How many failures a provider was shown lately, counted against how many it tolerates before it gives the endpoint up.
//!
//! A failure is any answer to a *genuine* request that is no success, and a request that was cut off without one. What is
//! refused before verification costs nothing: otherwise a stranger could spend the budget.
//!
//! No provider publishes whether a success or the passing of time makes it forget. A failure is therefore counted for
//! [`REMEMBERED`], whatever succeeds in between: too careful costs nothing but a request that takes the way over the
//! store.
//!
//! A success costs one relaxed load. Failures take a lock; they are rare, or there is nothing to be fast for.
//!
//! Deliberately absent: what follows from a spent budget. The pipeline takes the way over the store, the app alerts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

/// How long a failure counts.
pub const REMEMBERED: Duration = Duration::from_hours(24);
/// What the store calls a budget that it keeps.
pub const KIND: &str = "budget";
/// Failures that one route remembers; `relay.toml` takes no larger budget.
pub const FAILURES_MAX: usize = 1000;

/// The failures of one route. Outlives a reload; the budget is handed in, because it may change with one.
#[derive(Debug, Default)]
pub struct Budget {
    /// Never less than what still counts: failures that no longer do leave it when somebody looks.
    known: AtomicU32,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// In order.
    at: VecDeque<UnixMillis>,
    /// An operator was told that the budget is nearly spent, and it still is.
    told: bool,
    /// Something changed since [`Budget::changed`] was asked.
    changed: bool,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Failures that count.
    pub count: u32,
    /// Failures until the budget is spent.
    pub left: u32,
}

impl Spent {
    fn of(count: u32, budget: u32) -> Self {
        Self { count, left: budget.saturating_sub(count) }
    }

    /// One more failure, and the budget is spent.
    pub fn is_low(self) -> bool {
        self.left <= 1
    }
}

impl Budget {
    /// Failures that still count.
    pub fn failures(&self, now: UnixMillis) -> u32 {
        if self.known.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut failures = self.lock();
        self.forget(&mut failures, now)
    }

    /// How a budget of this size stands.
    pub fn standing(&self, budget: u32, now: UnixMillis) -> Spent {
        Spent::of(self.failures(now), budget)
    }

    /// Whether the next failure would be the last that the provider tolerates: it must not happen. One relaxed load while
    /// the budget is far from that.
    pub fn last_safe(&self, budget: u32, now: UnixMillis) -> bool {
        let low = |count| Spent::of(count, budget).is_low();
        low(self.known.load(Ordering::Relaxed)) && low(self.failures(now))
    }

    /// Counts a failure.
    pub fn spend(&self, budget: u32, now: UnixMillis) -> Spent {
        let mut failures = self.lock();
        self.forget(&mut failures, now);
        Spent::of(self.add(&mut failures, now), budget)
    }

    /// Counts a failure where one can still be afforded; `None`: it must not happen, and nothing was counted. In one step,
    /// so that requests that fail at the same moment cannot all take the same last place.
    pub fn afford(&self, budget: u32, now: UnixMillis) -> Option<Spent> {
        let mut failures = self.lock();
        let count = self.forget(&mut failures, now);
        (!Spent::of(count, budget).is_low()).then(|| Spent::of(self.add(&mut failures, now), budget))
    }

    /// How it stands, when an operator has to hear that it is nearly spent: once, until it has recovered in between.
    pub fn news(&self, budget: u32, now: UnixMillis) -> Option<Spent> {
        if self.known.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut failures = self.lock();
        let spent = Spent::of(self.forget(&mut failures, now), budget);
        // A budget of one failure is low from the beginning; that is no news before something failed.
        let low = spent.is_low() && spent.count > 0;
        let news = low && !failures.told;
        failures.changed |= failures.told != low;
        failures.told = low;
        news.then_some(spent)
    }

    /// What a restart must not forget, where it changed since the last call: a byte for what was told, then the seconds of
    /// each failure in four bytes, 4 KiB at most.
    pub fn changed(&self) -> Option<Vec<u8>> {
        let mut failures = self.lock();
        std::mem::take(&mut failures.changed).then(|| {
            let seconds = |at: &UnixMillis| u32::try_from(at.secs()).unwrap_or_default().to_le_bytes();
            std::iter::once(u8::from(failures.told)).chain(failures.at.iter().flat_map(seconds)).collect()
        })
    }

    /// Takes up what [`Budget::changed`] gave to an earlier process.
    pub fn restore(&self, kept: &[u8], now: UnixMillis) {
        let Some((told, seconds)) = kept.split_first() else { return };
        let mut failures = self.lock();
        failures.told |= *told == 1;
        let times =
            seconds.as_chunks().0.iter().map(|seconds| UnixMillis::from_secs(u32::from_le_bytes(*seconds).into()));
        failures.at.extend(times);
        failures.at.make_contiguous().sort_unstable();
        self.forget(&mut failures, now);
    }

    fn add(&self, failures: &mut Failures, now: UnixMillis) -> u32 {
        failures.at.push_back(now);
        failures.changed = true;
        self.bound(failures)
    }

    /// Forgets what no longer counts; gives the number of what does. A failure that lies ahead, because the clock was set
    /// back, counts from now on.
    fn forget(&self, failures: &mut Failures, now: UnixMillis) -> u32 {
        let oldest = now.minus(REMEMBERED);
        failures.at.retain_mut(|at| {
            *at = (*at).min(now);
            *at > oldest
        });
        self.bound(failures)
    }

    fn bound(&self, failures: &mut Failures) -> u32 {
        while failures.at.len() > FAILURES_MAX {
            failures.at.pop_front();
        }
        let count = u32::try_from(failures.at.len()).unwrap_or(u32::MAX);
        self.known.store(count, Ordering::Relaxed);
        count
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
