//! The store's own time, which nobody sets.
//!
//! Due times, allowances and the windows of dedupe keys lie on disk in this time. It began with the wall clock when the file was made,
//! and from then on it counts what the machine was running, over restarts: setting the wall clock, by an hour or by days,
//! moves nothing that waits. What comes in as wall time is translated at the door of the store, and so is what goes out.
//!
//! A machine that is started again counts from zero: the store goes on where it last wrote its time down, so what waits
//! still waits as long as it had left.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::base::{Clock, UnixMillis};

/// One for each store.
#[derive(Debug)]
pub(super) struct Timeline {
    clock: Clock,
    /// From the machine's uptime to this time.
    base: AtomicI64,
}

impl Timeline {
    /// As long as no file says otherwise, it is the wall clock's time.
    pub(super) fn new(clock: Clock) -> Self {
        let base = AtomicI64::new(clock.now().0.saturating_sub(clock.uptime()));
        Self { clock, base }
    }

    /// Goes on from what a file says.
    pub(super) fn go_on_from(&self, kept: KeptTime) {
        let uptime = self.clock.uptime();
        // Less than then: the machine was started again in between, and has run at least this long since.
        let base = if uptime >= kept.uptime { kept.time.saturating_sub(kept.uptime) } else { kept.time };
        self.base.store(base, Ordering::Relaxed);
    }

    pub(super) fn kept(&self) -> KeptTime {
        KeptTime { time: self.now().0, uptime: self.clock.uptime() }
    }

    pub(super) fn now(&self) -> UnixMillis {
        UnixMillis(self.base.load(Ordering::Relaxed).saturating_add(self.clock.uptime()))
    }

    /// A time of the wall clock, as seen at this moment.
    pub(super) fn of_wall(&self, at: UnixMillis) -> UnixMillis {
        UnixMillis(at.0.saturating_add(self.ahead()))
    }

    /// The time of the wall clock, as seen at this moment.
    pub(super) fn to_wall(&self, at: UnixMillis) -> UnixMillis {
        UnixMillis(at.0.saturating_sub(self.ahead()))
    }

    fn ahead(&self) -> i64 {
        self.now().0.saturating_sub(self.clock.now().0)
    }
}

/// What a file says of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptTime {
    /// This time when it was written down.
    pub(super) time: i64,
    /// The machine's uptime then.
    pub(super) uptime: i64,
}

impl KeptTime {
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let parts = self.time.to_be_bytes().into_iter().chain(self.uptime.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, uptime) = bytes.split_first_chunk()?;
        Some(Self { time: i64::from_be_bytes(*time), uptime: i64::from_be_bytes(uptime.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_clock_that_is_set_moves_nothing_that_waits() {
        for set in [NOW.minus(HOUR), NOW.plus(HOUR), NOW.minus(48 * HOUR), NOW.plus(48 * HOUR)] {
            let clock = Clock::fixed(NOW);
            let timeline = Timeline::new(clock.clone());
            let due = timeline.of_wall(NOW.plus(Duration::from_secs(60)));
            clock.set(set);
            assert_eq!(timeline.to_wall(due), set.plus(Duration::from_secs(60)));
            clock.advance(Duration::from_secs(60));
            assert_eq!(timeline.now(), due);
        }
    }

    #[test]
    fn it_goes_on_over_restarts_of_the_process_and_of_the_machine() {
        let clock = Clock::fixed(NOW);
        clock.advance(HOUR);
        let kept = Timeline::new(clock.clone()).kept();
        assert_eq!(KeptTime::from_bytes(&kept.to_bytes()), Some(kept));
        assert_eq!(KeptTime::from_bytes(b"short"), None);
        clock.set(NOW.minus(48 * HOUR));
        clock.advance(HOUR);
        let after = Timeline::new(clock);
        after.go_on_from(kept);
        assert_eq!(after.now().0 - kept.time, 3_600_000);

        let started_again = Clock::fixed(NOW.minus(HOUR));
        started_again.advance(Duration::from_secs(5));
        let after = Timeline::new(started_again);
        after.go_on_from(kept);
        assert_eq!(after.now().0 - kept.time, 5000);
    }
}
