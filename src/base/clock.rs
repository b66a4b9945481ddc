//! Wall-clock time as an argument.
//!
//! Time windows (signature timestamps, dedupe memory, certificate dates) are judged against this clock so that tests can
//! set it. Deadlines do not use it: they are monotonic and run on tokio's timers, so a clock step never cuts a request. What must
//! not be forgotten early asks both, see [`Moment`].

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the Unix epoch; negative before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// From whole seconds; saturates instead of overflowing, because the seconds may come from a hostile header.
    pub fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Whole seconds, rounded down.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved forward.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC, as every time is that anybody reads: `2026-11-22T10:15:30Z`, and with `{:.3}` `2026-11-22T10:15:30.000Z`. Outside
/// the years that have a form, the number.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => fmt::Display::fmt(&at, f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A point in time by two clocks: the wall's, which somebody may set, and one that only goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: UnixMillis,
    /// Whole seconds since the process began, whatever was done to the wall clock meanwhile.
    pub steady: u32,
}

impl Moment {
    /// This moment moved forward on both clocks; a part of a second counts as a whole one on the steady one.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let seconds = by.as_secs().saturating_add(u64::from(by.subsec_nanos() > 0));
        let steady = self.steady.saturating_add(u32::try_from(seconds).unwrap_or(u32::MAX));
        Self { wall: self.wall.plus(by), steady }
    }
}

/// Before this program was made: 2026-11-01T00:00:00Z. A machine whose clock says so does not know the time.
const MADE: UnixMillis = UnixMillis(1_793_491_200_000);

/// Where wall-clock time comes from: the system, or a value that a test moves.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
    /// What says an earlier time is not set.
    made: UnixMillis,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<Fixed>),
}

#[derive(Debug)]
struct Fixed {
    wall: AtomicI64,
    /// In milliseconds.
    steady: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { source: Source::System, made: MADE }
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn fixed(at: UnixMillis) -> Self {
        let fixed = Fixed { wall: AtomicI64::new(at.0), steady: AtomicU64::new(0) };
        Self { source: Source::Fixed(Arc::new(fixed)), made: UnixMillis(i64::MIN) }
    }

    /// The same in the hands of a program that was made then: what says an earlier time is not set.
    #[must_use]
    pub fn made(self, made: UnixMillis) -> Self {
        Self { made, ..self }
    }

    /// Whether the machine knows the time at all. One without a battery begins at a date in the past.
    pub fn is_set(&self) -> bool {
        self.now() >= self.made
    }

    /// The present.
    pub fn now(&self) -> UnixMillis {
        match &self.source {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            Source::System => UnixMillis(match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
            }),
            Source::Fixed(at) => UnixMillis(at.wall.load(Ordering::Relaxed)),
        }
    }

    /// The present by both clocks.
    pub fn moment(&self) -> Moment {
        static START: OnceLock<Instant> = OnceLock::new();
        let steady = match &self.source {
            Source::System => u32::try_from(START.get_or_init(Instant::now).elapsed().as_secs()).unwrap_or(u32::MAX),
            Source::Fixed(at) => u32::try_from(at.steady.load(Ordering::Relaxed) / 1000).unwrap_or(u32::MAX),
        };
        Moment { wall: self.now(), steady }
    }

    /// Milliseconds since the machine was started, sleep included: one scale for all processes until the machine is started
    /// again, whatever is done to the wall clock.
    pub fn uptime(&self) -> i64 {
        match &self.source {
            Source::System => {
                let now = clock_gettime(ClockId::Boottime);
                now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
            }
            Source::Fixed(at) => i64::try_from(at.steady.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
        }
    }

    /// Lets time pass on a fixed clock; a system clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(at) = &self.source {
            at.wall.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
            at.steady.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Sets a fixed clock, as somebody sets a wall clock: no time passes. A system clock is not set.
    pub fn set(&self, to: UnixMillis) {
        if let Source::Fixed(at) = &self.source {
            at.wall.store(to.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_the_program_is_not_set() {
        let clock = Clock::fixed(UnixMillis(999)).made(UnixMillis(1000));
        assert!(!clock.is_set());
        clock.advance(Duration::from_millis(1));
        assert!(clock.is_set());
        assert!(Clock::fixed(UnixMillis(-1)).is_set(), "a test's clock says what the test wants");
        assert!(Clock::system().is_set(), "{MADE}");
        assert_eq!(MADE.to_string(), "2026-11-01T00:00:00Z");
    }

    #[test]
    fn a_time_is_read_as_rfc_3339() {
        let at = UnixMillis(1_767_225_600_000);
        assert_eq!(
            (at.to_string(), format!("{at:.3}")),
            ("2026-01-01T00:00:00Z".into(), "2026-01-01T00:00:00.000Z".into())
        );
        assert_eq!(UnixMillis(at.0 + 7).to_string(), "2026-01-01T00:00:00.007Z");
        assert_eq!(UnixMillis::from_secs(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }
}
