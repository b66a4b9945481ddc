//! Wall-clock time as an argument.
//!
//! Time windows (signature timestamps, replay memory, certificate dates) are judged against this clock so that tests can
//! set it. Deadlines do not use it: they are monotonic and run on tokio's timers, so a clock step never cuts a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Where wall-clock time comes from: the system, or a value that a test moves.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn fixed(at: UnixMillis) -> Self {
        Self(Source::Fixed(Arc::new(AtomicI64::new(at.0))))
    }

    /// The present.
    pub fn now(&self) -> UnixMillis {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            Source::System => UnixMillis(match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
            }),
            Source::Fixed(at) => UnixMillis(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a fixed clock forward; a system clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Fixed(at) = &self.0 {
            at.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    /// Sets a fixed clock; a system clock is not set.
    pub fn set(&self, to: UnixMillis) {
        if let Source::Fixed(at) = &self.0 {
            at.store(to.0, Ordering::Relaxed);
        }
    }
}
