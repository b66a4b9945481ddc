//! Whether an upstream takes anything at all. While it does not, nobody is sent into the wall but one probe at a time.
//!
//! A status by which a server says something of the request (400, 404, 500) is an answer: the breaker judges the wall, not
//! the request. Judged by the wall clock, as due times are; a clock that was set back opens it early, never late.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::Fault;

use super::schedule::LONGEST_WISH;

/// So many failures in a row, and nothing more is sent.
const FAILURES: u32 = 3;
/// The first pause; it doubles with each probe that fails.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause, unless the server asks for a longer one.
const LONGEST: Duration = Duration::from_secs(30);

/// The breaker before one upstream.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// In a row.
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: UnixMillis,
    pause: Duration,
    /// Whether the one probe is on its way.
    probing: bool,
}

/// Whether something may be sent.
#[derive(Debug)]
pub enum Admission {
    /// Yes.
    Free,
    /// This one, to find out.
    Probe(Probe),
    /// No.
    Shut,
}

/// The one request that finds out whether an upstream is back. Dropped unjudged, it leaves the next one to find out.
#[derive(Debug)]
pub struct Probe(Arc<Breaker>);

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(open) = &mut self.0.lock().open {
            open.probing = false;
        }
    }
}

/// What an attempt says of its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Answers,
    /// It does not take anything, and wants to be left alone for this long.
    Refuses(Duration),
}

impl Verdict {
    /// What a fault says. A status counts as an answer, unless a server declines with it.
    pub fn of(fault: Fault, status: Option<u16>, wish: Duration) -> Self {
        match (fault, status) {
            (Fault::UpstreamStatus, Some(429 | 502..=504)) => Self::Refuses(wish.min(LONGEST_WISH)),
            (Fault::UpstreamStatus | Fault::UpstreamTooLarge, _) => Self::Answers,
            _ => Self::Refuses(wish.min(LONGEST_WISH)),
        }
    }
}

/// What became of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing more is sent for this long.
    Opened(Duration),
    /// It takes requests again.
    Closed,
}

impl Breaker {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// Whether something may be sent; a probe where one is due.
    pub fn admit(self: &Arc<Self>, now: UnixMillis) -> Admission {
        let mut inner = self.lock();
        let Some(open) = &mut inner.open else { return Admission::Free };
        let due = now >= open.since.plus(open.pause) || now < open.since;
        if open.probing || !due {
            return Admission::Shut;
        }
        open.probing = true;
        drop(inner);
        Admission::Probe(Probe(Arc::clone(self)))
    }

    /// Takes note of an attempt; `probe` is what it was admitted as. Says when the breaker has turned.
    pub fn judge(&self, verdict: Verdict, probe: Option<Probe>, now: UnixMillis) -> Option<Turn> {
        let probing = probe.is_some();
        drop(probe);
        let mut inner = self.lock();
        match verdict {
            Verdict::Answers => {
                inner.failures = 0;
                inner.open.take().map(|_| Turn::Closed)
            }
            Verdict::Refuses(wish) => {
                inner.failures = inner.failures.saturating_add(1);
                let opened = inner.open.is_none() && inner.failures >= FAILURES;
                let pause = match &inner.open {
                    // Those that were on their way when it opened say nothing new.
                    Some(_) if !probing => return None,
                    Some(open) => (open.pause * 2).min(LONGEST),
                    None if opened => FIRST,
                    None => return None,
                };
                let pause = pause.max(wish);
                inner.open = Some(Open { since: now, pause, probing: false });
                opened.then_some(Turn::Opened(pause))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WISH: Verdict = Verdict::Refuses(Duration::ZERO);

    fn at(seconds: i64) -> UnixMillis {
        UnixMillis::from_secs(1000 + seconds)
    }

    fn probe(breaker: &Arc<Breaker>, now: UnixMillis) -> Option<Probe> {
        match breaker.admit(now) {
            Admission::Probe(probe) => Some(probe),
            Admission::Free | Admission::Shut => None,
        }
    }

    #[test]
    fn three_in_a_row_open_it_and_one_answer_closes_it() {
        let breaker = Arc::new(Breaker::default());
        for verdict in [NO_WISH, NO_WISH, Verdict::Answers, NO_WISH, NO_WISH] {
            assert_eq!(breaker.judge(verdict, None, at(0)), None);
            assert!(matches!(breaker.admit(at(0)), Admission::Free));
        }
        assert_eq!(breaker.judge(NO_WISH, None, at(0)), Some(Turn::Opened(FIRST)));
        assert!(matches!(breaker.admit(at(0)), Admission::Shut));
        assert_eq!(breaker.judge(Verdict::Answers, None, at(0)), Some(Turn::Closed));
        assert!(!breaker.is_open());
    }

    #[test]
    fn one_probe_at_a_time_with_growing_pauses() {
        let breaker = Arc::new(Breaker::default());
        for _ in 0..20 {
            breaker.judge(NO_WISH, None, at(0));
        }
        let mut now = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert!(probe(&breaker, at(now + pause - 1)).is_none(), "{pause}");
            now += pause;
            let first = probe(&breaker, at(now)).unwrap();
            assert!(probe(&breaker, at(now)).is_none(), "one");
            assert_eq!(breaker.judge(NO_WISH, Some(first), at(now)), None);
        }
        drop(probe(&breaker, at(now + 30)));
        let again = probe(&breaker, at(now + 30));
        assert!(again.is_some(), "a probe that told nothing leaves the next");
        assert_eq!(breaker.judge(Verdict::Answers, again, at(now + 30)), Some(Turn::Closed));
    }

    #[test]
    fn a_server_may_ask_for_longer_and_a_clock_set_back_does_not() {
        let breaker = Arc::new(Breaker::default());
        for _ in 0..3 {
            breaker.judge(Verdict::Refuses(Duration::from_secs(300)), None, at(0));
        }
        assert!(probe(&breaker, at(299)).is_none());
        assert!(probe(&breaker, at(300)).is_some());
        assert!(probe(&breaker, at(-1)).is_some());
    }
}
