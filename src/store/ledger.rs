//! What waits on each route, counted in memory, so that nobody has to ask the disk.
//!
//! Changed only by what was committed, and counted anew from the file whenever it was opened.

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
