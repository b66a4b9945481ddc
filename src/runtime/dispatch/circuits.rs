//! Every circuit of the process, by the servers it stands before rather than by a name: after a reload to other servers nothing of
//! what the old ones refused counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::RefusedAt;

use super::breaker::{Breaker, BreakerStatus, RefusalNumbers};
use super::circuit::Circuit;

/// The servers of an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Servers<'u> {
    /// The upstream's name.
    pub upstream: &'u Arc<str>,
    /// The same for the same servers.
    pub identity: u64,
}

/// Upstream and servers.
type Place = (Arc<str>, u64);

#[derive(Debug, Default)]
pub(super) struct Circuits {
    known: Mutex<Known>,
    numbers: RefusalNumbers,
}

#[derive(Debug, Default)]
struct Known {
    upstreams: HashMap<Place, Arc<Breaker>>,
    circuits: HashMap<(Arc<str>, Place), Arc<Circuit>>,
}

impl Circuits {
    pub(super) fn begin_after(&self, last: RefusedAt) {
        self.numbers.begin_after(last);
    }

    pub(super) fn of(&self, route: &Arc<str>, servers: Servers<'_>) -> Arc<Circuit> {
        let place = (Arc::clone(servers.upstream), servers.identity);
        let mut known = self.lock();
        let Known { upstreams, circuits } = &mut *known;
        let circuit = circuits.entry((Arc::clone(route), place)).or_insert_with_key(|(route, place)| {
            let breaker = upstreams.entry(place.clone()).or_insert_with(|| Arc::new(Breaker::new(&self.numbers)));
            let (route, upstream) = (Arc::clone(route), Arc::clone(&place.0));
            Arc::new(Circuit::new(route, upstream, Arc::clone(breaker), &self.numbers))
        });
        Arc::clone(circuit)
    }

    pub(super) fn keep(&self, wanted: impl Fn(&str, &str, u64) -> bool) {
        let mut known = self.lock();
        known.circuits.retain(|(route, (upstream, identity)), _| wanted(route, upstream, *identity));
        let Known { upstreams, circuits } = &mut *known;
        upstreams.retain(|_, breaker| circuits.values().any(|circuit| circuit.shares(breaker)));
    }

    pub(super) fn status(&self, servers: Servers<'_>) -> BreakerStatus {
        let place = (Arc::clone(servers.upstream), servers.identity);
        self.lock().upstreams.get(&place).map(|breaker| breaker.status()).unwrap_or_default()
    }

    pub(super) fn before(&self, upstream: &str) -> Vec<Arc<Circuit>> {
        let known = self.lock();
        known.circuits.values().filter(|circuit| **circuit.upstream() == *upstream).map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::circuit::{Admission, Verdict};
    use super::*;
    use crate::base::UnixMillis;

    const NOW: UnixMillis = UnixMillis(1_000_000);
    const DECLINES: Verdict = Verdict::Declines(Duration::ZERO);

    fn circuit(circuits: &Circuits, route: &str, identity: u64) -> Arc<Circuit> {
        circuits.of(&route.into(), Servers { upstream: &"app".into(), identity })
    }

    fn free(circuit: &Circuit) -> bool {
        matches!(circuit.admit(true, NOW), Admission::Free { .. })
    }

    #[test]
    fn what_one_route_is_declined_holds_up_no_other() {
        let circuits = Circuits::default();
        let (declined, other) = (circuit(&circuits, "a", 1), circuit(&circuits, "b", 1));
        for verdict in [DECLINES, Verdict::Silent] {
            for _ in 0..20 {
                declined.judge(verdict, None, NOW);
            }
            assert!(declined.is_open() && !free(&declined));
            assert!(!other.is_open() && free(&other));
        }
        assert!(!circuits.status(Servers { upstream: &"app".into(), identity: 1 }).open);
    }

    #[test]
    fn servers_that_nobody_can_connect_to_are_probed_once_for_all_routes() {
        let circuits = Circuits::default();
        let (one, two) = (circuit(&circuits, "a", 1), circuit(&circuits, "b", 1));
        for _ in 0..3 {
            one.judge(Verdict::Unreachable, None, NOW);
        }
        assert!(two.is_open() && !free(&two));
        let later = NOW.plus(Duration::from_secs(1));
        let Admission::Probe(probe) = two.admit(true, later) else { panic!("a probe") };
        assert!(matches!(one.admit(true, later), Admission::Shut), "one for all");
        let before = one.recovered();
        two.judge(DECLINES, Some(probe), later);
        assert!(!one.is_open() && one.recovered() > before, "any answer says that they are there");
    }

    #[test]
    fn other_servers_begin_afresh_and_draw_what_waits() {
        let circuits = Circuits::default();
        let old = circuit(&circuits, "a", 1);
        for _ in 0..9 {
            old.judge(Verdict::Unreachable, None, NOW);
        }
        let refused = old.number_refusal();
        let new = circuit(&circuits, "a", 2);
        assert!(free(&new) && new.recovered() > refused);
        // What was on its way to the old ones says nothing of the new ones.
        old.judge(Verdict::Unreachable, None, NOW);
        assert!(free(&new));
        circuits.keep(|_, _, identity| identity == 2);
        assert_eq!(circuits.before("app").len(), 1);
    }

    #[test]
    fn an_upstream_that_was_away_begins_with_one_and_each_answer_doubles_it() {
        let circuits = Circuits::default();
        let circuit = circuit(&circuits, "a", 1);
        assert_eq!(circuit.at_once(16, 0), 16);
        for _ in 0..3 {
            circuit.judge(DECLINES, None, NOW);
        }
        let mut allowed = Vec::new();
        for _ in 0..5 {
            circuit.judge(Verdict::Answers, None, NOW);
            allowed.push(circuit.at_once(16, 0));
        }
        assert_eq!(allowed, [2, 4, 8, 16, 16]);
        circuit.begin_slowly();
        assert_eq!(circuit.at_once(16, 8), 9, "what hangs takes nobody's place");
    }
}
