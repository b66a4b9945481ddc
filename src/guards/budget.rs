//! How many failures a provider was shown lately, counted against how many it tolerates before it gives the endpoint up.
//!
//! A failure is any answer to a *genuine* request that is no success, and a request that was cut off without one. Of a request
//! that the relay had no room for before it could be verified nobody knows whether it was genuine. It counts, because it may
//! have been; but all of these together never count for more than half of the budget, so strangers alone cannot spend it. What
//! is refused for what it is (a wrong signature, a method, an address) costs nothing.
//!
//! No provider publishes whether a success or the passing of time makes it forget. A failure is therefore counted for
//! [`REMEMBERED`], whatever succeeds in between: too careful costs nothing but a request that takes the way over the
//! store.
//!
//! A success costs one relaxed load. Failures take a lock; they are rare, or there is nothing to be fast for.
//!
//! Deliberately absent: what follows from a spent budget. The pipeline takes the way over the store, the app alerts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

/// How long a failure counts.
pub const REMEMBERED: Duration = Duration::from_hours(24);
/// What the store calls a budget that it keeps.
pub const KIND: &str = "budget";
/// Failures that one route remembers; `relay.toml` takes no larger budget.
pub const FAILURES_MAX: usize = 1000;

/// What a failure was to its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A genuine request met it.
    Certain,
    /// Perhaps one did.
    Possible,
}

/// Possible failures that are nearer than this to the last one are not counted again, once as many count as may: a flood of
/// them is one failure, and costs one look.
const APART: Duration = Duration::from_mins(1);
/// In the first byte of what is kept: an operator was warned.
const TOLD: u8 = 1;
/// In the first byte of what is kept: the number of possible failures follows, and then they, before the others.
const POSSIBLE: u8 = 2;

/// The failures of one route. Outlives a reload; the budget is handed in, because it may change with one.
#[derive(Debug, Default)]
pub struct Budget {
    /// Never less than what still counts: failures that no longer do leave it when somebody looks.
    known: AtomicU32,
    /// Possible failures of a flood need not be looked at before then; milliseconds since the epoch.
    quiet_until: AtomicI64,
    failures: Mutex<Failures>,
}

#[derive(Debug, Default)]
struct Failures {
    /// In order.
    certain: VecDeque<UnixMillis>,
    /// In order; never more than [`possible_most`] of the budget that was in force.
    possible: VecDeque<UnixMillis>,
    /// An operator was warned that the budget is nearly spent, and it still is.
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
    /// Failures that still count against a budget of this size.
    pub fn failures(&self, budget: u32, now: UnixMillis) -> u32 {
        if self.known.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut failures = self.lock();
        self.forget(&mut failures, budget, now)
    }

    /// How a budget of this size stands.
    pub fn spent(&self, budget: u32, now: UnixMillis) -> Spent {
        Spent::of(self.failures(budget, now), budget)
    }

    /// Whether the next failure would be the last that the provider tolerates: it must not happen. One relaxed load while
    /// the budget is far from that.
    pub fn last_safe(&self, budget: u32, now: UnixMillis) -> bool {
        let low = |count| Spent::of(count, budget).is_low();
        low(self.known.load(Ordering::Relaxed)) && low(self.failures(budget, now))
    }

    /// Counts a failure.
    pub fn spend(&self, failure: Failure, budget: u32, now: UnixMillis) {
        match failure {
            Failure::Certain => {
                let mut failures = self.lock();
                self.forget(&mut failures, budget, now);
                self.add(&mut failures, budget, now);
            }
            Failure::Possible if now.0 < self.quiet_until.load(Ordering::Relaxed) => {}
            Failure::Possible => self.suspect(budget, now),
        }
    }

    fn suspect(&self, budget: u32, now: UnixMillis) {
        let most = possible_most(budget);
        let mut failures = self.lock();
        self.forget(&mut failures, budget, now);
        failures.possible.push_back(now);
        while failures.possible.len() > most {
            failures.possible.pop_front();
        }
        failures.changed |= most > 0;
        if failures.possible.len() >= most {
            self.quiet_until.store(now.plus(APART).0, Ordering::Relaxed);
        }
        self.bound(&mut failures, budget);
    }

    /// Counts a failure where one can still be afforded; `None`: it must not happen, and nothing was counted. In one step,
    /// so that requests that fail at the same moment cannot all take the same last place.
    pub fn afford(&self, budget: u32, now: UnixMillis) -> Option<Spent> {
        let mut failures = self.lock();
        let count = self.forget(&mut failures, budget, now);
        (!Spent::of(count, budget).is_low()).then(|| Spent::of(self.add(&mut failures, budget, now), budget))
    }

    /// How it stands, when an operator must be warned that it is nearly spent: once, until it has recovered in between.
    pub fn news(&self, budget: u32, now: UnixMillis) -> Option<Spent> {
        if self.known.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut failures = self.lock();
        let spent = Spent::of(self.forget(&mut failures, budget, now), budget);
        // A budget of one failure is low from the beginning; that is no news before something failed.
        let low = spent.is_low() && spent.count > 0;
        let news = low && !failures.told;
        failures.changed |= failures.told != low;
        failures.told = low;
        news.then_some(spent)
    }

    /// What a restart must not forget, where it changed since the last call: a byte of flags, then the seconds of each
    /// failure in four bytes, 4 KiB at most.
    pub fn changed(&self) -> Option<Vec<u8>> {
        let mut failures = self.lock();
        std::mem::take(&mut failures.changed).then(|| {
            let seconds = |at: &UnixMillis| u32::try_from(at.secs()).unwrap_or_default();
            // The room is limited; the certain ones first.
            let most = FAILURES_MAX.saturating_sub(failures.certain.len());
            let possible = failures.possible.iter().skip(failures.possible.len().saturating_sub(most));
            let count = u32::try_from(possible.len()).unwrap_or_default();
            let flags = (u8::from(failures.told) * TOLD) | POSSIBLE;
            let numbers =
                std::iter::once(count).chain(possible.map(seconds)).chain(failures.certain.iter().map(seconds));
            std::iter::once(flags).chain(numbers.flat_map(u32::to_le_bytes)).collect()
        })
    }

    /// Takes up what [`Budget::changed`] gave to an earlier process.
    pub fn restore(&self, kept: &[u8], now: UnixMillis) {
        let Some((flags, numbers)) = kept.split_first() else { return };
        let mut numbers = numbers.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number));
        let count = if flags & POSSIBLE == 0 { 0 } else { numbers.next().unwrap_or_default() };
        let count = usize::try_from(count).unwrap_or_default().min(FAILURES_MAX);
        let mut failures = self.lock();
        failures.told |= flags & TOLD != 0;
        let mut times = numbers.map(|seconds| UnixMillis::from_secs(seconds.into()));
        failures.possible.extend(times.by_ref().take(count));
        failures.certain.extend(times);
        failures.possible.make_contiguous().sort_unstable();
        failures.certain.make_contiguous().sort_unstable();
        // Whatever the budget is; whoever asks next says which.
        self.forget(&mut failures, u32::MAX, now);
    }

    fn add(&self, failures: &mut Failures, budget: u32, now: UnixMillis) -> u32 {
        failures.certain.push_back(now);
        failures.changed = true;
        self.bound(failures, budget)
    }

    /// Forgets what no longer counts; gives the number of what does. A failure that lies ahead, because the clock was set
    /// back, counts from now on.
    fn forget(&self, failures: &mut Failures, budget: u32, now: UnixMillis) -> u32 {
        let oldest = now.minus(REMEMBERED);
        for times in [&mut failures.certain, &mut failures.possible] {
            times.retain_mut(|at| {
                *at = (*at).min(now);
                *at > oldest
            });
        }
        self.bound(failures, budget)
    }

    fn bound(&self, failures: &mut Failures, budget: u32) -> u32 {
        for times in [&mut failures.certain, &mut failures.possible] {
            times.drain(..times.len().saturating_sub(FAILURES_MAX));
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (certain, possible) = (failures.certain.len(), failures.possible.len());
        self.known.store(number(certain + possible), Ordering::Relaxed);
        number(certain + possible.min(possible_most(budget)))
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Possible failures that count against a budget: less than half of it, so that they alone never make it low.
fn possible_most(budget: u32) -> usize {
    usize::try_from(budget.saturating_sub(1) / 2).unwrap_or(usize::MAX).min(FAILURES_MAX)
}

#[cfg(test)]
mod tests;
