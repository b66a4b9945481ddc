//! What is usual for a provider, and whether it has gone quiet against that.
//!
//! A provider that stops calling fails no request, so nothing else shows it. Each route remembers the longest pause between
//! two genuine requests of each of the last [`DAYS`] days up to the last request: nights and weekends are pauses like any
//! other. It is quiet when the pause of the moment is clearly longer than all of these.
//!
//! A request costs one swap and three loads, all relaxed, and nothing at all when another one came in the same millisecond.
//! Days turn at upkeep, every few seconds.
//!
//! Deliberately absent: averages and seasons. A longest pause can be read off a log, and explains an alarm in one sentence.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

mod kept;

/// What the store calls a baseline that it keeps.
pub const KIND: &str = "baseline";
/// Days whose longest pauses are remembered; two weekends.
pub const DAYS: usize = 14;
/// A shorter pause is never worth an alarm by the baseline.
pub const LEAST: Duration = Duration::from_mins(15);
/// A baseline is one after this long …
const KNOWN_AFTER: Duration = Duration::from_hours(72);
/// … or after this many requests.
const KNOWN_BY: u32 = 50;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// The baseline of one route's provider. Outlives a reload.
#[derive(Debug, Default)]
pub struct TrafficBaseline {
    /// The last genuine request, in milliseconds; zero: none yet.
    last: AtomicI64,
    /// Milliseconds since then in which no relay was running; zero but after a restart.
    downtime: AtomicI64,
    /// The longest pause that ended since upkeep last looked, in milliseconds.
    longest: AtomicI64,
    /// Genuine requests; counted up to [`KNOWN_BY`].
    count: AtomicU32,
    slow: Mutex<Slow>,
}

/// What only upkeep touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Slow {
    /// The longest pauses, one for each day on which one ended; at most [`DAYS`], in order.
    days: Vec<(i64, i64)>,
    /// When upkeep first looked.
    born: Option<UnixMillis>,
    /// When the first request was received.
    first: Option<UnixMillis>,
    /// An alarm was given for the pause that began here.
    silent: Option<UnixMillis>,
}

/// How much quiet is too much, for one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Half as long again as the longest pause in memory, and at least [`LEAST`].
    Baseline,
    /// This long.
    After(Duration),
    /// There is no such thing.
    Never,
}

/// A change that is reported to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has gone quiet.
    Inactive {
        /// For so long.
        quiet: Duration,
        /// What it may be quiet for: the longest pause in memory, or the configured time.
        usual: Duration,
    },
    /// It is back.
    Active {
        /// It was quiet for so long.
        quiet: Duration,
    },
}

impl TrafficBaseline {
    /// A genuine request came.
    pub fn heard(&self, now: UnixMillis) {
        if self.last.load(Relaxed) == now.0 {
            return;
        }
        let before = self.last.swap(now.0, Relaxed);
        let downtime = self.downtime.load(Relaxed);
        if downtime != 0 {
            self.downtime.store(0, Relaxed);
        }
        // A clock that was set back gives a negative pause: none.
        let pause = now.0.saturating_sub(before).saturating_sub(downtime);
        if before != 0 && pause > self.longest.load(Relaxed) {
            self.longest.fetch_max(pause, Relaxed);
        }
        if self.count.load(Relaxed) < KNOWN_BY {
            self.count.fetch_add(1, Relaxed);
        }
    }

    /// When the last genuine request came.
    pub fn last(&self) -> Option<UnixMillis> {
        Some(self.last.load(Relaxed)).filter(|last| *last != 0).map(UnixMillis)
    }

    /// Whether an alarm was given, and the provider is still quiet.
    pub fn is_inactive(&self) -> bool {
        self.lock().silent.is_some()
    }

    /// Turns the day, and returns what is to be reported to the operator. To be called every few seconds; each change is said once.
    pub fn turn(&self, limit: Limit, now: UnixMillis) -> Option<Change> {
        let mut slow = self.lock();
        self.fold(&mut slow, now);
        let began = self.last().or(slow.born)?;
        if let Some(since) = slow.silent.filter(|since| *since != began) {
            slow.silent = None;
            return Some(Change::Active { quiet: millis(began.0.saturating_sub(since.0)) });
        }
        let quiet = millis(now.0.saturating_sub(began.0).saturating_sub(self.downtime.load(Relaxed)));
        let usual = slow.usual();
        let (most, usual) = match limit {
            Limit::Baseline => (usual.saturating_mul(3).checked_div(2).unwrap_or(usual).max(LEAST), usual),
            Limit::After(most) => (most, most),
            Limit::Never => {
                slow.silent = None;
                return None;
            }
        };
        let known = !matches!(limit, Limit::Baseline) || self.is_known(&slow, now);
        if quiet > most && known && slow.silent.is_none() {
            slow.silent = Some(began);
            return Some(Change::Inactive { quiet, usual });
        }
        if quiet <= most {
            // A longer time was configured, or the clock was set back.
            slow.silent = None;
        }
        None
    }

    fn is_known(&self, slow: &Slow, now: UnixMillis) -> bool {
        let since = slow.first.map_or(Duration::ZERO, |first| millis(now.0.saturating_sub(first.0)));
        !slow.days.is_empty() && (since >= KNOWN_AFTER || self.count.load(Relaxed) >= KNOWN_BY)
    }

    /// Takes over what requests left, and brings everything that lies ahead, because the clock was set back, to now.
    fn fold(&self, slow: &mut Slow, now: UnixMillis) {
        let last = self.last.load(Relaxed);
        if last > now.0 {
            // A request in between knows better.
            let _ = self.last.compare_exchange(last, now.0, Relaxed, Relaxed);
        }
        slow.born = Some(slow.born.map_or(now, |born| born.min(now)));
        slow.first = slow.first.or(self.last()).map(|first| first.min(now));
        slow.silent = slow.silent.map(|since| since.min(now));
        // While it is quiet, memory does not age: what was usual is what the quiet is measured by.
        let today = self.last().map_or(now, |last| last.min(now)).0.div_euclid(DAY);
        let longest = self.longest.swap(0, Relaxed);
        // Longer than the memory: the clock was set forward, or it does not matter any more.
        if longest > 0 && longest < DAY.saturating_mul(DAYS as i64) {
            slow.note(today, longest);
        }
        slow.keep(today);
    }

    fn lock(&self) -> MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slow {
    fn usual(&self) -> Duration {
        millis(self.days.iter().map(|(_, pause)| *pause).max().unwrap_or_default())
    }

    fn note(&mut self, day: i64, pause: i64) {
        match self.days.iter_mut().find(|(known, _)| *known == day) {
            Some((_, longest)) => *longest = pause.max(*longest),
            None => self.days.push((day, pause)),
        }
    }

    /// Forgets days that are too long before the last one with a request; a day that has not come yet becomes that one.
    fn keep(&mut self, today: i64) {
        let ahead: Vec<_> = self.days.extract_if(.., |(day, _)| *day > today).collect();
        for (_, pause) in ahead {
            self.note(today, pause);
        }
        self.days.retain(|(day, _)| today.saturating_sub(*day) < DAYS as i64);
        self.days.sort_unstable();
    }
}

fn millis(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or_default())
}

#[cfg(test)]
mod tests;
