//! One route's deliveries from the store: how many at once, and a bell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::Shared;
use crate::base::UnixMillis;
use crate::store::RefusedAt;

/// No head of the line that waits.
const NO_HEAD: i64 = i64::MIN;

/// The deliveries of one route.
#[derive(Debug)]
pub struct Lane {
    route: Arc<str>,
    used: AtomicUsize,
    /// When the head of an ordered line is due, as far as it is known; the store has the last word.
    head_due: AtomicI64,
    /// Some that wait may have been refused by the upstream.
    refused: AtomicBool,
    /// Nothing that was refused before this is left to be drawn forward.
    drawn: AtomicI64,
    /// When that was said.
    head_since: AtomicI64,
    bell: Notify,
    shared: Arc<Shared>,
}

impl Lane {
    pub(super) fn new(route: Arc<str>, shared: Arc<Shared>) -> Self {
        Self {
            route,
            used: AtomicUsize::new(0),
            head_due: AtomicI64::new(NO_HEAD),
            // What the last process left is looked at.
            refused: AtomicBool::new(true),
            drawn: AtomicI64::new(i64::MIN),
            head_since: AtomicI64::new(NO_HEAD),
            bell: Notify::new(),
            shared,
        }
    }

    /// The route's name.
    pub fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Deliveries under way.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }

    /// A place among at most `limit` deliveries, if there is one. The limit is the asker's, because it may change with a
    /// reload.
    pub fn slot(self: &Arc<Self>, limit: usize) -> Option<Slot> {
        if self.shared.closed.load(Ordering::Relaxed) {
            return None;
        }
        let taken = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| (used < limit).then_some(used.saturating_add(1)));
        taken.ok().map(|_| Slot { lane: Arc::clone(self), rings: true, _busy: Busy::new(&self.shared) })
    }

    /// As many places as there are, at most `most`.
    pub fn slots(self: &Arc<Self>, limit: usize, most: usize) -> Vec<Slot> {
        std::iter::from_fn(|| self.slot(limit)).take(most).collect()
    }

    /// When the head of an ordered line may be tried again, while it waits. A clock that was set back since makes it early, never
    /// late.
    pub fn head_due(&self, now: UnixMillis) -> Option<UnixMillis> {
        let due = self.head_due.load(Ordering::Relaxed);
        (due != NO_HEAD && now.0 >= self.head_since.load(Ordering::Relaxed)).then_some(UnixMillis(due))
    }

    /// Says when the head may be tried again; `None`: at once.
    pub fn set_head_due(&self, due: Option<UnixMillis>, now: UnixMillis) {
        self.head_since.store(now.0, Ordering::Relaxed);
        self.head_due.store(due.map_or(NO_HEAD, |due| due.0), Ordering::Relaxed);
    }

    /// Whether some that wait may have been refused by the upstream, so that one of them may be the probe before its time.
    pub fn may_have_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// One of those that wait was refused by the upstream. `missed`: the upstream has recovered since.
    pub fn was_refused(&self, missed: bool) {
        self.refused.store(true, Ordering::Relaxed);
        if missed {
            self.drawn.store(i64::MIN, Ordering::Relaxed);
        }
    }

    /// None of those that wait was.
    pub fn none_refused(&self) {
        self.refused.store(false, Ordering::Relaxed);
    }

    /// Whether something that was refused before this may be left to be drawn forward.
    pub fn is_to_draw(&self, at: RefusedAt) -> bool {
        self.drawn.load(Ordering::Relaxed) < at.0
    }

    /// Nothing is.
    pub fn drew(&self, at: RefusedAt) {
        self.drawn.store(at.0, Ordering::Relaxed);
    }

    /// Something has changed: look again.
    pub fn wake(&self) {
        self.bell.notify_one();
    }

    /// Resolves when somebody called [`Lane::wake`] since the last time.
    pub async fn woken(&self) {
        self.bell.notified().await;
    }
}

/// A place among a route's deliveries; given back on drop.
#[derive(Debug)]
pub struct Slot {
    lane: Arc<Lane>,
    rings: bool,
    _busy: Busy,
}

impl Slot {
    /// Gives it back without the bell: it was not used, so nothing has changed for whoever waits.
    pub fn put_back(mut self) {
        self.rings = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.lane.used.fetch_sub(1, Ordering::AcqRel);
        if self.rings {
            self.lane.wake();
        }
    }
}

/// One thing that the end of the process waits for.
#[derive(Debug)]
pub struct Busy(Arc<Shared>);

impl Busy {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        shared.busy.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(shared))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dispatch;
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_limit_and_a_bell_for_each_that_ends() {
        let dispatch = Dispatch::default();
        let lane = dispatch.lane(&"a".into());
        let slots = lane.slots(3, 10);
        assert_eq!((slots.len(), lane.used(), dispatch.going_on()), (3, 3, 3));
        assert!(lane.slot(3).is_none());
        assert!(lane.slot(4).is_some(), "a reload may allow more");
        drop(slots);
        lane.woken().await;
        assert_eq!((lane.used(), dispatch.going_on()), (0, 0));
        dispatch.idle().await;
        dispatch.close();
        assert!(lane.slot(3).is_none());
    }

    #[test]
    fn a_lane_in_use_is_not_forgotten() {
        let dispatch = Dispatch::default();
        let (used, quiet): (Arc<str>, Arc<str>) = ("used".into(), "quiet".into());
        let slot = dispatch.lane(&used).slot(1);
        let _ = dispatch.lane(&quiet);
        dispatch.keep(|_| false);
        assert_eq!(dispatch.lanes().len(), 1);
        assert!(dispatch.lane(&used).slot(1).is_none());
        drop(slot);
        dispatch.keep(|_| false);
        assert!(dispatch.lanes().is_empty());
    }
}
