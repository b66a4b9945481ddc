//! What stands between one route and its upstream: whether the servers can be reached, which all their routes share, and whether
//! they take this route's requests, which is its own.
//!
//! So an application that answers 503 on one path holds up that path, and a server that nobody can connect to is asked by one
//! request at a time, whatever its routes are. A status by which a server says something of the request (400, 404, 500) is an
//! answer: a circuit judges the servers, not the request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::Fault;
use crate::store::RefusedAt;

use super::breaker::{Breaker, BreakerStatus, Entry, RefusalNumbers, Ticket, Transition};

/// What an attempt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered.
    Answers,
    /// It was answered with a status that means "not now" (429, 502, 503, 504), and the server asks for this long.
    Declines(Duration),
    /// It was sent, and no answer came that could be read.
    Silent,
    /// Nobody could be asked: no connection, no TLS, every server unhealthy.
    Unreachable,
}

impl Verdict {
    /// What a fault says; `None`: nothing of the upstream.
    pub fn of(fault: Fault, status: Option<u16>, retry_after: Duration) -> Option<Self> {
        match (fault, status) {
            (Fault::UpstreamStatus, Some(429 | 502..=504)) => Some(Self::Declines(retry_after)),
            (Fault::UpstreamStatus | Fault::UpstreamTooLarge, _) => Some(Self::Answers),
            (Fault::UpstreamConnect | Fault::UpstreamTls | Fault::UpstreamUnavailable, _) => Some(Self::Unreachable),
            (Fault::UpstreamReset | Fault::UpstreamMalformed | Fault::UpstreamTimeout, _) => Some(Self::Silent),
            _ => None,
        }
    }

    /// Whether the request waits because of the upstream rather than because of itself.
    pub fn refuses(self) -> bool {
        self != Self::Answers
    }
}

/// Whether something may be sent.
#[derive(Debug)]
pub enum Admission {
    /// Yes. `clear`: nothing was refused lately, so what was refused before may go too.
    Free {
        /// Nothing was refused lately.
        clear: bool,
    },
    /// This one, to find out.
    Probe(Probe),
    /// No.
    Shut,
}

/// The one request that finds out whether an upstream is back. Dropped unjudged, it leaves the next one to find out.
#[derive(Debug)]
pub struct Probe {
    of_route: Option<Ticket>,
    of_upstream: Option<Ticket>,
}

impl Probe {
    /// There was nothing to send: the next one waits for its time.
    pub fn unused(self) {
        self.of_route.into_iter().chain(self.of_upstream).for_each(Ticket::unused);
    }
}

/// What became of a circuit's breakers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    /// Of the breaker of this route alone.
    pub of_route: Option<Transition>,
    /// Of the breaker that all routes of the upstream share.
    pub of_upstream: Option<Transition>,
}

/// One for each route and set of servers.
#[derive(Debug)]
pub struct Circuit {
    route: Arc<str>,
    upstream: Arc<str>,
    of_route: Arc<Breaker>,
    of_upstream: Arc<Breaker>,
    numbers: RefusalNumbers,
    /// How many at once an upstream is trusted with that was away.
    most: AtomicUsize,
    /// What was under way when it came back. That may hang, and must not take the places of what follows.
    before: AtomicUsize,
    /// Whether `before` is still to be counted.
    began: AtomicBool,
    /// Closings that `most` knows of.
    closings: AtomicU64,
}

impl Circuit {
    pub(super) fn new(
        route: Arc<str>,
        upstream: Arc<str>,
        of_upstream: Arc<Breaker>,
        numbers: &RefusalNumbers,
    ) -> Self {
        let of_route = Arc::new(Breaker::new(numbers));
        let closings = AtomicU64::new(of_upstream.closings());
        Self {
            route,
            upstream,
            of_route,
            of_upstream,
            numbers: numbers.clone(),
            most: AtomicUsize::new(usize::MAX),
            before: AtomicUsize::new(0),
            began: AtomicBool::new(false),
            closings,
        }
    }

    /// The route's name.
    pub fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// The upstream's name.
    pub fn upstream(&self) -> &Arc<str> {
        &self.upstream
    }

    /// Whether only probes are sent.
    pub fn is_open(&self) -> bool {
        self.of_route.status().open || self.of_upstream.status().open
    }

    /// How its own breaker stands.
    pub fn status(&self) -> BreakerStatus {
        self.of_route.status()
    }

    /// Whether something may be sent; a probe where one is due. `due`: there is something that has not to wait for the upstream.
    pub fn admit(&self, due: bool, now: UnixMillis) -> Admission {
        let of_upstream = self.of_upstream.admit(due, now);
        if matches!(of_upstream, Entry::Shut) {
            return Admission::Shut;
        }
        match (self.of_route.admit(due, now), of_upstream) {
            (Entry::Shut, _) | (_, Entry::Shut) => Admission::Shut,
            (Entry::Probe(ticket), upstream) => {
                let of_upstream = if let Entry::Probe(ticket) = upstream { Some(ticket) } else { None };
                Admission::Probe(Probe { of_route: Some(ticket), of_upstream })
            }
            (_, Entry::Probe(ticket)) => Admission::Probe(Probe { of_route: None, of_upstream: Some(ticket) }),
            (Entry::Clear, Entry::Clear) => Admission::Free { clear: true },
            (Entry::Clear | Entry::Doubtful, Entry::Clear | Entry::Doubtful) => Admission::Free { clear: false },
        }
    }

    /// Takes note of an attempt; `probe` is what it was admitted as.
    pub fn judge(&self, verdict: Verdict, probe: Option<Probe>, now: UnixMillis) -> Transitions {
        let (of_route, of_upstream) = probe.map_or((None, None), |probe| (probe.of_route, probe.of_upstream));
        match verdict {
            Verdict::Answers => {
                let turns = Transitions {
                    of_route: self.of_route.answered(of_route, now),
                    of_upstream: self.of_upstream.answered(of_upstream, now),
                };
                // Before the answer that closed it counts.
                self.heed_closings();
                let _ =
                    self.most.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |most| Some(most.saturating_mul(2)));
                turns
            }
            Verdict::Declines(retry_after) => Transitions {
                of_route: self.of_route.refused(of_route, retry_after, now),
                of_upstream: self.of_upstream.answered(of_upstream, now),
            },
            Verdict::Silent => Transitions {
                of_route: self.of_route.refused(of_route, Duration::ZERO, now),
                // Somebody took the connection.
                of_upstream: self.of_upstream.answered(of_upstream, now),
            },
            Verdict::Unreachable => {
                drop(of_route);
                Transitions { of_route: None, of_upstream: self.of_upstream.refused(of_upstream, Duration::ZERO, now) }
            }
        }
    }

    /// How many at once, of at most `limit`, where `used` are under way. An upstream that was away begins with one, and each answer
    /// doubles it.
    pub fn at_once(&self, limit: usize, used: usize) -> usize {
        self.heed_closings();
        if self.began.swap(false, Ordering::Relaxed) {
            self.before.store(used, Ordering::Relaxed);
        }
        let before = self.before.load(Ordering::Relaxed);
        self.most.load(Ordering::Relaxed).saturating_add(before).min(limit)
    }

    /// Begins with one at once.
    pub fn begin_slowly(&self) {
        self.most.store(1, Ordering::Relaxed);
        self.began.store(true, Ordering::Relaxed);
    }

    fn heed_closings(&self) {
        let closings = self.of_route.closings().wrapping_add(self.of_upstream.closings());
        if self.closings.swap(closings, Ordering::Relaxed) != closings {
            self.begin_slowly();
        }
    }

    /// For a request that was refused now.
    pub fn number_refusal(&self) -> RefusedAt {
        self.numbers.next()
    }

    /// What was refused before this has not to wait for its time any more.
    pub fn recovered(&self) -> RefusedAt {
        self.of_route.recovered().max(self.of_upstream.recovered())
    }

    /// Somebody says that the upstream is back: a probe goes at once, and what waits follows it.
    pub fn expect(&self) {
        self.of_route.probe_now();
        self.of_upstream.probe_now();
    }

    /// An operator wants what waits to be tried now.
    pub fn hurry(&self) {
        self.of_route.recover();
        self.begin_slowly();
        self.expect();
    }

    pub(super) fn shares(&self, breaker: &Arc<Breaker>) -> bool {
        Arc::ptr_eq(&self.of_upstream, breaker)
    }
}
