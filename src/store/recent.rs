//! In which order rows were recorded lately, for whoever follows the history.
//!
//! Rows lie in the order of their arrival, and a request is recorded when it was answered: one that took long has a place
//! among those that were recorded before it. Who follows by place alone would never see it. So the writer leaves the ids
//! of what it recorded here, in that order; only while somebody follows, and only this many.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Ids that are kept: some seconds of the heaviest traffic.
const IDS: usize = 16 * 1024;
/// Without a question for so long, nobody follows any more.
const ATTENTION: Duration = Duration::from_secs(120);

/// A place in the order of recording; of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Which process; by chance.
    pub run: u64,
    /// Rows recorded before.
    pub rows: u64,
}

#[derive(Debug)]
pub(super) struct Recent {
    run: u64,
    ring: Mutex<Ring>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    ids: VecDeque<Box<str>>,
    /// Rows recorded in all, those whose ids were not kept included.
    rows: u64,
    attention_until: Option<Instant>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { run: fastrand::u64(..), ring: Mutex::default(), more: Notify::new() }
    }
}

impl Recent {
    /// Rows that were committed.
    pub(super) fn recorded<'i>(&self, ids: impl Iterator<Item = &'i str>) {
        let mut ring = self.lock();
        let followed = ring.attention_until.is_some_and(|until| Instant::now() < until);
        if !followed {
            ring.rows += ids.count() as u64;
            ring.ids = VecDeque::new();
            return;
        }
        for id in ids {
            if ring.ids.len() >= IDS {
                ring.ids.pop_front();
            }
            ring.ids.push_back(id.into());
            ring.rows += 1;
        }
        drop(ring);
        self.more.notify_waiters();
    }

    /// The present. What is recorded from now on is kept for whoever asks with it.
    pub(super) fn bookmark(&self) -> Bookmark {
        let mut ring = self.lock();
        ring.attention_until = Some(Instant::now() + ATTENTION);
        Bookmark { run: self.run, rows: ring.rows }
    }

    /// What was recorded since, as soon as there is something. `None`: nobody knows any more.
    pub(super) async fn since(
        &self,
        bookmark: Bookmark,
        most: usize,
        wait: Duration,
    ) -> Option<(Vec<Box<str>>, Bookmark)> {
        let until = tokio::time::Instant::now() + wait;
        loop {
            // Before the look, so that nothing is missed between the two.
            let more = self.more.notified();
            let found = self.look(bookmark, most)?;
            if !found.0.is_empty() || tokio::time::timeout_at(until, more).await.is_err() {
                return Some(found);
            }
        }
    }

    fn look(&self, bookmark: Bookmark, most: usize) -> Option<(Vec<Box<str>>, Bookmark)> {
        let now = self.bookmark();
        let ring = self.lock();
        let behind = usize::try_from(now.rows.checked_sub(bookmark.rows)?).ok()?;
        let from = ring.ids.len().checked_sub(behind).filter(|_| bookmark.run == self.run)?;
        let ids: Vec<_> = ring.ids.iter().skip(from).take(most).cloned().collect();
        let rows = bookmark.rows + ids.len() as u64;
        Some((ids, Bookmark { run: self.run, rows }))
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(found: Option<(Vec<Box<str>>, Bookmark)>) -> Option<Vec<String>> {
        found.map(|(ids, _)| ids.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn rows_come_in_the_order_of_recording_and_once() {
        let recent = Recent::default();
        recent.recorded(["before"].into_iter());
        let start = recent.bookmark();
        assert_eq!(ids(recent.since(start, 10, Duration::ZERO).await), Some(vec![]));
        recent.recorded(["b", "a", "c"].into_iter());
        let (first, next) = recent.since(start, 2, Duration::ZERO).await.unwrap();
        assert_eq!(first, ["b".into(), "a".into()]);
        assert_eq!(ids(recent.since(next, 10, Duration::ZERO).await), Some(vec!["c".into()]));
    }

    #[tokio::test]
    async fn who_waits_is_told() {
        let recent = std::sync::Arc::new(Recent::default());
        let start = recent.bookmark();
        let waiting = {
            let recent = std::sync::Arc::clone(&recent);
            tokio::spawn(async move { recent.since(start, 10, Duration::from_secs(20)).await })
        };
        tokio::task::yield_now().await;
        recent.recorded(["a"].into_iter());
        assert_eq!(ids(waiting.await.unwrap()), Some(vec!["a".into()]));
    }

    #[tokio::test]
    async fn what_is_forgotten_or_of_another_process_is_said() {
        let recent = Recent::default();
        let start = recent.bookmark();
        let names: Vec<String> = (0..=IDS).map(|n| n.to_string()).collect();
        recent.recorded(names.iter().map(String::as_str));
        assert_eq!(recent.lock().ids.len(), IDS);
        assert_eq!(recent.since(start, 10, Duration::ZERO).await, None);
        let other = Bookmark { run: start.run ^ 1, rows: recent.bookmark().rows };
        assert_eq!(recent.since(other, 10, Duration::ZERO).await, None);
        let ahead = Bookmark { rows: u64::MAX, ..start };
        assert_eq!(recent.since(ahead, 10, Duration::ZERO).await, None);
    }

    #[test]
    fn nothing_is_kept_while_nobody_follows() {
        let recent = Recent::default();
        recent.recorded(["a", "b"].into_iter());
        let ring = recent.lock();
        assert_eq!((ring.ids.len(), ring.rows), (0, 2));
    }
}
