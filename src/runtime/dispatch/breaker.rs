//! One circuit breaker: counts refusals in a row, opens, and admits probes until one of them is answered.
//!
//! [`super::Circuit`] puts two of them between a route and its upstream. Both judge by the wall clock, as due times do; a clock
//! that was set back lets a probe through early, never late.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;
use crate::store::RefusedAt;

/// This many refusals in a row open it.
const FAILURES: u32 = 3;
/// The first pause between two probes; it doubles with each probe that fails.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause, whatever a server asks for: this is how long it takes to notice that an upstream is back.
const LONGEST: Duration = Duration::from_secs(5);
/// Probes under way at once: a server that takes connections and never answers must not hide that it was replaced.
const PROBES: u32 = 8;
/// One refusal between answers draws what waits forward at most this often: a single request that is always refused must not have
/// itself tried in a circle.
const SETTLE: Duration = Duration::from_secs(5);

/// Numbers refusals and recoveries of one process in their order, so that a recovery knows what was refused before it.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusalNumbers(Arc<AtomicI64>);

impl RefusalNumbers {
    /// The next one.
    pub(super) fn next(&self) -> RefusedAt {
        RefusedAt(self.0.fetch_add(1, Ordering::Relaxed))
    }

    /// Goes on behind what the last process gave.
    pub(super) fn begin_after(&self, last: RefusedAt) {
        self.0.fetch_max(last.0.saturating_add(1), Ordering::Relaxed);
    }
}

/// What became of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing more is sent but probes, the first after this long.
    Opened(Duration),
    /// It was open, and an answer closed it.
    Closed,
    /// It was never open, and an answer ended a doubt; what was refused meanwhile is drawn forward.
    Cleared,
}

/// How a breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerStatus {
    /// Only probes are sent.
    pub open: bool,
    /// Refusals in a row.
    pub failures: u32,
    /// Where it is open: when the next probe may go.
    pub next_probe: Option<UnixMillis>,
}

#[derive(Debug)]
pub(super) struct Breaker {
    inner: Mutex<Inner>,
    numbers: RefusalNumbers,
}

#[derive(Debug)]
struct Inner {
    failures: u32,
    open: bool,
    /// The pause until the next probe runs from here.
    since: UnixMillis,
    pause: Duration,
    /// Probes under way.
    probing: u32,
    /// What was refused before this number is drawn forward.
    recovered: RefusedAt,
    recovered_at: Option<UnixMillis>,
    /// How often it closed.
    closings: u64,
}

/// What one breaker says to a request.
#[derive(Debug)]
pub(super) enum Entry {
    /// Nothing was refused lately.
    Clear,
    /// Something was, too little to open it.
    Doubtful,
    Probe(Ticket),
    Shut,
}

/// A place among the probes of one breaker. Dropped unjudged, it leaves the next request to find out.
#[derive(Debug)]
pub(super) struct Ticket {
    breaker: Arc<Breaker>,
    since: UnixMillis,
    before: UnixMillis,
    over: bool,
}

impl Ticket {
    /// There was nothing to send: the pause goes on.
    pub(super) fn unused(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.over = true;
        let mut inner = self.breaker.lock();
        inner.probing = inner.probing.saturating_sub(1);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut inner = self.breaker.lock();
        inner.probing = inner.probing.saturating_sub(1);
        if inner.since == self.since {
            inner.since = self.before;
        }
    }
}

impl Breaker {
    pub(super) fn new(numbers: &RefusalNumbers) -> Self {
        let inner = Inner {
            failures: 0,
            open: false,
            since: UnixMillis(0),
            pause: Duration::ZERO,
            probing: 0,
            // It stands before servers that nobody has asked yet: what others refused is drawn forward.
            recovered: numbers.next(),
            recovered_at: None,
            closings: 0,
        };
        Self { inner: Mutex::new(inner), numbers: numbers.clone() }
    }

    /// Whether something may be sent. `due`: there is something to send even if nothing has to be found out.
    pub(super) fn admit(self: &Arc<Self>, due: bool, now: UnixMillis) -> Entry {
        let mut inner = self.lock();
        if inner.failures == 0 {
            return Entry::Clear;
        }
        if !inner.open && due {
            return Entry::Doubtful;
        }
        let paused = now < inner.since.plus(inner.pause) && now >= inner.since;
        if paused || inner.probing >= PROBES {
            return Entry::Shut;
        }
        inner.probing += 1;
        let before = std::mem::replace(&mut inner.since, now);
        drop(inner);
        Entry::Probe(Ticket { breaker: Arc::clone(self), since: now, before, over: false })
    }

    /// An answer.
    pub(super) fn answered(&self, probe: Option<Ticket>, now: UnixMillis) -> Option<Transition> {
        let probed = probe.is_some();
        if let Some(probe) = probe {
            probe.unused();
        }
        let mut inner = self.lock();
        if inner.failures == 0 {
            return None;
        }
        let was_open = inner.open;
        (inner.failures, inner.open, inner.pause) = (0, false, Duration::ZERO);
        let settling = |at: UnixMillis| now >= at && now < at.plus(SETTLE);
        if !was_open && !probed && inner.recovered_at.is_some_and(settling) {
            return None;
        }
        inner.recovered = self.numbers.next();
        inner.recovered_at = Some(now);
        inner.closings += u64::from(was_open);
        Some(if was_open { Transition::Closed } else { Transition::Cleared })
    }

    /// A refusal; `retry_after` is what the server asked for.
    pub(super) fn refused(&self, probe: Option<Ticket>, retry_after: Duration, now: UnixMillis) -> Option<Transition> {
        let probed = probe.is_some();
        if let Some(probe) = probe {
            probe.unused();
        }
        let mut inner = self.lock();
        if inner.open && !probed {
            // It was on its way when the breaker opened, and says nothing new.
            return None;
        }
        inner.failures = inner.failures.saturating_add(1);
        let pause = if probed { inner.pause * 2 } else { inner.pause };
        inner.pause = pause.max(retry_after).clamp(FIRST, LONGEST);
        inner.since = now;
        let opens = !inner.open && inner.failures >= FAILURES;
        inner.open |= opens;
        opens.then_some(Transition::Opened(inner.pause))
    }

    /// The next probe need not wait.
    pub(super) fn probe_now(&self) {
        let mut inner = self.lock();
        inner.since = UnixMillis(i64::MIN);
    }

    /// Everything that was refused until now is drawn forward as soon as something may be sent.
    pub(super) fn recover(&self) {
        let number = self.numbers.next();
        self.lock().recovered = number;
    }

    pub(super) fn recovered(&self) -> RefusedAt {
        self.lock().recovered
    }

    pub(super) fn closings(&self) -> u64 {
        self.lock().closings
    }

    pub(super) fn status(&self) -> BreakerStatus {
        let inner = self.lock();
        BreakerStatus {
            open: inner.open,
            failures: inner.failures,
            next_probe: inner.open.then(|| inner.since.plus(inner.pause)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis::from_secs(1000 + seconds)
    }

    fn breaker() -> Arc<Breaker> {
        Arc::new(Breaker::new(&RefusalNumbers::default()))
    }

    fn probe(breaker: &Arc<Breaker>, now: UnixMillis) -> Option<Ticket> {
        match breaker.admit(true, now) {
            Entry::Probe(probe) => Some(probe),
            Entry::Clear | Entry::Doubtful | Entry::Shut => None,
        }
    }

    fn refuse(breaker: &Arc<Breaker>, times: u32, now: UnixMillis) -> Option<Transition> {
        (0..times).fold(None, |turn, _| breaker.refused(None, Duration::ZERO, now).or(turn))
    }

    #[test]
    fn three_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = breaker();
        assert_eq!(refuse(&breaker, 2, at(0)), None);
        assert!(matches!(breaker.admit(true, at(0)), Entry::Doubtful));
        assert_eq!(breaker.answered(None, at(0)), Some(Transition::Cleared));
        assert!(matches!(breaker.admit(true, at(0)), Entry::Clear));
        assert_eq!(refuse(&breaker, 3, at(0)), Some(Transition::Opened(FIRST)));
        assert!(matches!(breaker.admit(true, at(0)), Entry::Shut));
        assert_eq!(breaker.status().next_probe, Some(at(1)));
        assert_eq!(breaker.answered(None, at(0)), Some(Transition::Closed));
        assert!(!breaker.status().open);
    }

    #[test]
    fn probes_go_on_at_a_bounded_interval_however_long_it_lasts() {
        let breaker = breaker();
        refuse(&breaker, 20, at(0));
        let mut now = 0;
        for pause in [1, 2, 4, 5, 5, 5] {
            assert!(probe(&breaker, at(now + pause - 1)).is_none(), "{pause}");
            now += pause;
            let first = probe(&breaker, at(now)).unwrap();
            assert!(probe(&breaker, at(now)).is_none(), "one for each pause");
            assert_eq!(breaker.refused(Some(first), Duration::ZERO, at(now)), None);
        }
        drop(probe(&breaker, at(now + 5)));
        let again = probe(&breaker, at(now + 5));
        assert!(again.is_some(), "a probe that told nothing leaves the next");
        assert_eq!(breaker.answered(again, at(now + 5)), Some(Transition::Closed));
    }

    #[test]
    fn a_probe_that_hangs_does_not_hide_that_the_server_is_back() {
        let breaker = breaker();
        refuse(&breaker, 3, at(0));
        let hanging: Vec<_> = (1..100).filter_map(|second| probe(&breaker, at(second))).collect();
        assert_eq!(hanging.len(), PROBES as usize, "a bounded number");
        assert_eq!(breaker.answered(None, at(100)), Some(Transition::Closed));
        drop(hanging);
        assert!(matches!(breaker.admit(true, at(100)), Entry::Clear));
    }

    #[test]
    fn a_doubt_is_looked_into_although_nothing_is_due() {
        let breaker = breaker();
        refuse(&breaker, 1, at(0));
        assert!(matches!(breaker.admit(false, at(0)), Entry::Shut));
        let Entry::Probe(first) = breaker.admit(false, at(1)) else { panic!("a probe") };
        breaker.refused(Some(first), Duration::ZERO, at(1));
        let Entry::Probe(second) = breaker.admit(false, at(3)) else { panic!("a probe") };
        let before = breaker.recovered();
        assert_eq!(breaker.answered(Some(second), at(3)), Some(Transition::Cleared));
        assert!(breaker.recovered() > before);
    }

    #[test]
    fn a_request_that_is_always_refused_does_not_run_in_a_circle() {
        let breaker = breaker();
        refuse(&breaker, 1, at(0));
        assert_eq!(breaker.answered(None, at(0)), Some(Transition::Cleared));
        let number = breaker.recovered();
        refuse(&breaker, 1, at(1));
        assert_eq!(breaker.answered(None, at(1)), None);
        assert_eq!(breaker.recovered(), number);
        refuse(&breaker, 1, at(5));
        assert_eq!(breaker.answered(None, at(5)), Some(Transition::Cleared));
    }

    #[test]
    fn a_servers_retry_after_is_heeded_up_to_the_longest_pause_and_a_clock_set_back_does_no_harm() {
        let breaker = breaker();
        for _ in 0..3 {
            breaker.refused(None, Duration::from_secs(3600), at(0));
        }
        assert!(probe(&breaker, at(4)).is_none());
        assert!(probe(&breaker, at(5)).is_some());
        assert!(probe(&breaker, at(-1)).is_some());
    }
}
