//! What is known of one server: requests in flight, failures in a row, ejection, health.
//!
//! Atomics only, shared by every snapshot that names the server, so that a reload forgets nothing. Two judges write here:
//! requests (passive: ejection, which ends by itself) and health checks (active: unhealthy until a check says otherwise).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::http1::kept::Kept;
use super::spec::{EjectionSpec, HealthSpec};

/// A server changed its availability: for the log and the counters of whoever listens.
#[derive(Clone, Debug)]
pub struct ServerChange {
    /// Whose server.
    pub upstream: Arc<str>,
    /// The server's URL.
    pub server: Arc<str>,
    /// What it is now.
    pub now: ServerTurn,
    /// Why, in words; empty where `now` says it all.
    pub detail: String,
}

/// What became of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerTurn {
    /// Too many requests in a row failed.
    Ejected,
    /// A request to an ejected server succeeded.
    Readmitted,
    /// Too many health checks in a row failed.
    Unhealthy,
    /// Health checks succeed again.
    Healthy,
}

impl ServerTurn {
    /// Metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ejected => "ejected",
            Self::Readmitted => "readmitted",
            Self::Unhealthy => "unhealthy",
            Self::Healthy => "healthy",
        }
    }
}

/// Whether a server may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// Yes.
    Ready,
    /// Its ejection ran out: one request may find out whether it is back.
    ProbeDue,
    /// Only when nobody else is left.
    Ejected,
    /// A health check says that it is down: never.
    Unhealthy,
}

/// What a request has to say of the server it went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answered.
    Good,
    /// It did not, or said 502, 503 or 504.
    Bad,
    /// Nothing that is its doing.
    None,
}

#[derive(Debug)]
pub(super) struct Condition {
    upstream: Arc<str>,
    server: Arc<str>,
    /// Ejection is counted in milliseconds since then, because an `Instant` fits no atomic.
    epoch: Instant,
    in_flight: AtomicUsize,
    failures: AtomicU32,
    /// Zero: not ejected.
    ejected_until: AtomicU64,
    unhealthy: AtomicBool,
    /// Checks in a row that contradict `unhealthy`.
    streak: AtomicU32,
    /// HTTP/1.1 connections that may serve again.
    pub(super) kept: Kept,
    changes: broadcast::Sender<ServerChange>,
}

impl Condition {
    pub(super) fn new(
        upstream: Arc<str>,
        server: Arc<str>,
        epoch: Instant,
        changes: broadcast::Sender<ServerChange>,
    ) -> Self {
        Self {
            upstream,
            server,
            epoch,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
            streak: AtomicU32::new(0),
            kept: Kept::default(),
            changes,
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Also while a probe is due.
    pub(super) fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// `checked`: whether health checks run. Without them an old verdict would stand for ever.
    pub(super) fn availability(&self, checked: bool, now: Instant) -> Availability {
        if checked && self.unhealthy.load(Ordering::Relaxed) {
            return Availability::Unhealthy;
        }
        match self.ejected_until.load(Ordering::Relaxed) {
            0 => Availability::Ready,
            until if until <= self.millis(now) => Availability::ProbeDue,
            _ => Availability::Ejected,
        }
    }

    /// Takes the one probe of an ejection that ran out: whoever comes later still finds the server ejected.
    pub(super) fn claim_probe(&self, rule: &EjectionSpec, now: Instant) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0
            && until <= self.millis(now)
            && self
                .ejected_until
                .compare_exchange(until, self.until(rule, now), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Counts a request in; it is counted out when the guard is dropped, however that comes about.
    pub(super) fn enter(&self, probe: bool) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { condition: self, probe }
    }

    fn judge(&self, verdict: Verdict, probe: bool, rule: &EjectionSpec, detail: &str) {
        match verdict {
            Verdict::None => {
                if probe {
                    self.release_probe(Instant::now());
                }
            }
            Verdict::Good => {
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                if self.ejected_until.load(Ordering::Relaxed) != 0 && self.ejected_until.swap(0, Ordering::Relaxed) != 0
                {
                    self.announce(ServerTurn::Readmitted, "");
                }
            }
            Verdict::Bad => {
                let now = Instant::now();
                let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                if probe {
                    self.ejected_until.store(self.until(rule, now), Ordering::Relaxed);
                } else if rule.after_failures != 0 && in_a_row >= rule.after_failures {
                    let ejected = self.ejected_until.compare_exchange(
                        0,
                        self.until(rule, now),
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    if ejected.is_ok() {
                        self.announce(ServerTurn::Ejected, detail);
                    }
                }
            }
        }
    }

    /// A probe that ended without a verdict leaves the next request to probe.
    fn release_probe(&self, now: Instant) {
        self.ejected_until.store(self.millis(now), Ordering::Relaxed);
    }

    /// One finished health check.
    pub(super) fn checked(&self, outcome: Result<(), String>, rule: &HealthSpec) {
        let was_unhealthy = self.unhealthy.load(Ordering::Relaxed);
        if outcome.is_ok() != was_unhealthy {
            self.streak.store(0, Ordering::Relaxed);
            return;
        }
        let in_a_row = self.streak.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let needed = if was_unhealthy { rule.healthy_after } else { rule.unhealthy_after };
        if in_a_row < needed {
            return;
        }
        self.streak.store(0, Ordering::Relaxed);
        self.unhealthy.store(!was_unhealthy, Ordering::Relaxed);
        match outcome {
            Ok(()) => self.announce(ServerTurn::Healthy, ""),
            Err(why) => self.announce(ServerTurn::Unhealthy, &why),
        }
    }

    fn announce(&self, now: ServerTurn, detail: &str) {
        let change = ServerChange {
            upstream: Arc::clone(&self.upstream),
            server: Arc::clone(&self.server),
            now,
            detail: detail.to_owned(),
        };
        // Nobody listening is no fault: the status view shows the same.
        let _ = self.changes.send(change);
    }

    fn millis(&self, at: Instant) -> u64 {
        // One is added because zero means "not ejected".
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn until(&self, rule: &EjectionSpec, now: Instant) -> u64 {
        let span = rule.duration.max(Duration::from_millis(1));
        self.millis(now).saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A request that is on its way to a server.
#[derive(Debug)]
pub(super) struct InFlight<'c> {
    condition: &'c Condition,
    /// Owes a verdict on an ejected server.
    probe: bool,
}

impl InFlight<'_> {
    /// Says how it went; `detail` is for the announcement of an ejection.
    pub(super) fn settle(mut self, verdict: Verdict, rule: &EjectionSpec, detail: &str) {
        let probe = std::mem::take(&mut self.probe);
        self.condition.judge(verdict, probe, rule, detail);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.condition.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.probe {
            self.condition.release_probe(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: EjectionSpec = EjectionSpec { after_failures: 2, duration: Duration::from_secs(10) };

    fn condition() -> (Arc<Condition>, broadcast::Receiver<ServerChange>) {
        let (changes, heard) = broadcast::channel(8);
        (Arc::new(Condition::new("crm".into(), "http://a".into(), Instant::now(), changes)), heard)
    }

    fn fail(condition: &Arc<Condition>) {
        condition.enter(false).settle(Verdict::Bad, &RULE, "refused");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_eject_and_one_probe_readmits() {
        let (condition, mut heard) = condition();
        fail(&condition);
        condition.enter(false).settle(Verdict::Good, &RULE, "");
        fail(&condition);
        assert_eq!(
            condition.availability(true, Instant::now()),
            Availability::Ready,
            "a success in between starts over"
        );
        fail(&condition);
        assert_eq!(condition.availability(true, Instant::now()), Availability::Ejected);
        assert_eq!(heard.try_recv().unwrap().now, ServerTurn::Ejected);

        tokio::time::advance(RULE.duration).await;
        let now = Instant::now();
        assert_eq!(condition.availability(true, now), Availability::ProbeDue);
        assert!(condition.claim_probe(&RULE, now));
        assert!(!condition.claim_probe(&RULE, now), "one probe, not two");
        assert_eq!(condition.availability(true, now), Availability::Ejected);
        condition.enter(true).settle(Verdict::Good, &RULE, "");
        assert_eq!(condition.availability(true, now), Availability::Ready);
        assert_eq!(heard.try_recv().unwrap().now, ServerTurn::Readmitted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_ejects_again_and_a_dropped_one_leaves_the_next() {
        let (condition, _heard) = condition();
        fail(&condition);
        fail(&condition);
        tokio::time::advance(RULE.duration).await;
        assert!(condition.claim_probe(&RULE, Instant::now()));
        condition.enter(true).settle(Verdict::Bad, &RULE, "");
        assert_eq!(condition.availability(true, Instant::now()), Availability::Ejected);

        tokio::time::advance(RULE.duration).await;
        assert!(condition.claim_probe(&RULE, Instant::now()));
        drop(condition.enter(true));
        assert_eq!(condition.availability(true, Instant::now()), Availability::ProbeDue);
        assert_eq!(condition.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn zero_failures_switches_ejection_off() {
        let (condition, _heard) = condition();
        let off = EjectionSpec { after_failures: 0, ..RULE };
        for _ in 0..50 {
            condition.enter(false).settle(Verdict::Bad, &off, "");
        }
        assert_eq!(condition.availability(true, Instant::now()), Availability::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn health_turns_at_its_thresholds() {
        let (condition, mut heard) = condition();
        let rule = HealthSpec {
            path: "/".into(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy_after: 2,
            healthy_after: 3,
        };
        let down = || Err("refused".to_owned());
        let now = Instant::now();
        for outcome in [down(), Ok(()), down()] {
            condition.checked(outcome, &rule);
            assert_eq!(condition.availability(true, now), Availability::Ready);
        }
        condition.checked(down(), &rule);
        assert_eq!(condition.availability(true, now), Availability::Unhealthy);
        assert_eq!(condition.availability(false, now), Availability::Ready, "no checks, no verdict");
        assert_eq!(heard.try_recv().unwrap().detail, "refused");
        for _ in 0..2 {
            condition.checked(Ok(()), &rule);
            assert_eq!(condition.availability(true, now), Availability::Unhealthy);
        }
        condition.checked(Ok(()), &rule);
        assert_eq!(condition.availability(true, now), Availability::Ready);
        assert_eq!(heard.try_recv().unwrap().now, ServerTurn::Healthy);
    }
}
