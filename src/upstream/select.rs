//! Which server is next. Reads atomics; takes no lock.
//!
//! A server that a health check says is down is never chosen. An ejected one is the last resort: passive ejection is a
//! guess from a few requests, and a guess must not refuse a webhook that nobody else can take. So "unavailable" means that
//! health checks have ruled out every server.

use tokio::time::Instant;

use super::condition::Availability;
use super::server::Server;
use super::spec::{Balance, EjectionSpec};

/// A chosen server.
pub(super) struct Choice<'a> {
    pub(super) index: usize,
    pub(super) server: &'a Server,
    /// This request is the one probe after an ejection.
    pub(super) probe: bool,
}

/// What the choice depends on.
pub(super) struct Selection<'a> {
    pub(super) servers: &'a [Server],
    pub(super) balance: Balance,
    pub(super) ejection: &'a EjectionSpec,
    /// Whether health checks run.
    pub(super) checked: bool,
    /// Grows by one with each request.
    pub(super) turn: usize,
}

impl<'a> Selection<'a> {
    /// The best server that is not in `tried`.
    pub(super) fn next(&self, tried: &[usize], now: Instant) -> Option<Choice<'a>> {
        let probe_or_ready = |availability| matches!(availability, Availability::Ready | Availability::ProbeDue);
        if let Some((index, server)) = self.best(tried, now, probe_or_ready) {
            match server.condition.availability(self.checked, now) {
                Availability::ProbeDue if server.condition.claim_probe(self.ejection, now) => {
                    return Some(Choice { index, server, probe: true });
                }
                // Lost to another request between two looks: who is surely ready?
                Availability::ProbeDue | Availability::Ejected | Availability::Unhealthy => {
                    if let Some((index, server)) =
                        self.best(tried, now, |availability| availability == Availability::Ready)
                    {
                        return Some(Choice { index, server, probe: false });
                    }
                }
                Availability::Ready => return Some(Choice { index, server, probe: false }),
            }
        }
        let (index, server) = self.best(tried, now, |availability| availability != Availability::Unhealthy)?;
        Some(Choice { index, server, probe: false })
    }

    fn best(&self, tried: &[usize], now: Instant, fit: impl Fn(Availability) -> bool) -> Option<(usize, &'a Server)> {
        let fits = |(index, server): &(usize, &Server)| {
            !tried.contains(index) && fit(server.condition.availability(self.checked, now))
        };
        let all = || self.servers.iter().enumerate();
        match self.balance {
            // The n-th of those that fit, not the next after a gap: the neighbour of a server that is out would get its
            // whole share.
            Balance::RoundRobin => {
                let count = all().filter(|one| fits(one)).count();
                let nth = self.turn.checked_rem(count)?;
                all().filter(|one| fits(one)).nth(nth).or_else(|| all().find(|one| fits(one)))
            }
            Balance::LeastConnections => {
                let start = self.turn.checked_rem(self.servers.len())?;
                let rotated = all().skip(start).chain(all().take(start));
                rotated.filter(|one| fits(one)).min_by_key(|(_, server)| server.condition.in_flight())
            }
        }
    }
}
