//! What waits on each route, counted in memory, so that nobody has to ask the disk.
//!
//! Changed only by what was committed, and counted again from the file whenever it was opened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::base::UnixMillis;

use super::spool::Backlog;

/// Routes with what waits on them.
pub(super) type Backlogs = Vec<(Arc<str>, Backlog)>;

/// Routes with the time of their oldest waiting request.
pub(super) type Oldest = Vec<(Arc<str>, Option<UnixMillis>)>;

/// What one write changed of a route's backlog.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    pub(super) route: Arc<str>,
    pub(super) waiting: i64,
    pub(super) claimed: i64,
    pub(super) dead: i64,
    pub(super) due: Due,
    /// When the request was received, of one that came to wait.
    pub(super) received_at: Option<UnixMillis>,
}

/// What is known of the next due time after a write.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// Nothing new.
    Same,
    /// One more request is due then.
    Add(UnixMillis),
    /// It was looked up: nothing is due before.
    Is(Option<UnixMillis>),
}

/// Every route's backlog.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<HashMap<Arc<str>, Backlog>>);

impl Ledger {
    pub(super) fn replace(&self, backlogs: Backlogs) {
        *self.lock() = backlogs.into_iter().collect();
    }

    pub(super) fn apply(&self, shifts: Vec<Shift>) {
        if shifts.is_empty() {
            return;
        }
        let mut routes = self.lock();
        for shift in shifts {
            let backlog = routes.entry(Arc::clone(&shift.route)).or_default();
            let idle = backlog.waiting.saturating_sub(backlog.claimed);
            match shift.due {
                Due::Same => {}
                Due::Add(due) if idle == 0 => backlog.next_due = Some(due),
                Due::Add(due) => backlog.next_due = backlog.next_due.map(|known| known.min(due)),
                Due::Is(due) => backlog.next_due = due,
            }
            backlog.waiting = backlog.waiting.saturating_add_signed(shift.waiting);
            backlog.claimed = backlog.claimed.saturating_add_signed(shift.claimed);
            backlog.dead = backlog.dead.saturating_add_signed(shift.dead);
            match (backlog.waiting, shift.received_at) {
                (0, _) => (backlog.oldest, backlog.next_due) = (None, None),
                (_, Some(at)) => backlog.oldest = Some(backlog.oldest.map_or(at, |oldest| oldest.min(at))),
                (_, None) => {}
            }
            if *backlog == Backlog::default() {
                routes.remove(&shift.route);
            }
        }
    }

    /// The oldest waiting request, as the disk has it.
    pub(super) fn oldest(&self, found: Oldest) {
        let mut routes = self.lock();
        for (route, oldest) in found {
            if let Some(backlog) = routes.get_mut(&route).filter(|backlog| backlog.waiting > 0) {
                backlog.oldest = oldest.or(backlog.oldest);
            }
        }
    }

    pub(super) fn of(&self, route: &str) -> Backlog {
        self.lock().get(route).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Backlogs {
        self.lock().iter().map(|(route, backlog)| (Arc::clone(route), *backlog)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Backlog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1000);
    const LATER: UnixMillis = UnixMillis(2000);

    fn shift(waiting: i64, claimed: i64, dead: i64, due: Due, received_at: Option<UnixMillis>) -> Vec<Shift> {
        vec![Shift { route: Arc::from("r"), waiting, claimed, dead, due, received_at }]
    }

    #[test]
    fn the_next_due_time_is_known_or_said_to_be_unknown() {
        let ledger = Ledger::default();
        ledger.apply(shift(1, 0, 0, Due::Add(LATER), Some(NOW)));
        ledger.apply(shift(1, 0, 0, Due::Add(NOW), Some(LATER)));
        assert_eq!(ledger.of("r").next_due, Some(NOW));
        ledger.apply(shift(0, 1, 0, Due::Is(Some(LATER)), None));
        assert_eq!((ledger.of("r").next_due, ledger.of("r").oldest), (Some(LATER), Some(NOW)));
        ledger.apply(shift(0, 1, 0, Due::Is(None), None));
        ledger.apply(shift(0, -1, 0, Due::Add(LATER), None));
        assert_eq!(ledger.of("r").next_due, Some(LATER), "nothing else was idle");
    }

    #[test]
    fn a_route_on_which_nothing_is_left_is_forgotten() {
        let ledger = Ledger::default();
        ledger.apply(shift(1, 1, 0, Due::Same, Some(NOW)));
        ledger.apply(shift(-1, -1, 1, Due::Same, None));
        assert_eq!(ledger.of("r"), Backlog { dead: 1, ..Backlog::default() });
        ledger.apply(shift(0, 0, -1, Due::Same, None));
        assert!(ledger.all().is_empty());
        ledger.oldest(vec![(Arc::from("r"), Some(NOW))]);
        assert!(ledger.all().is_empty());
    }
}
