//! Which feeds are in force, so that a new file is judged beside the one before; and what was said of old ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;
use crate::guards::access::Feed;

/// Between two words about one old feed.
const AGAIN: Duration = Duration::from_hours(24);

/// By the names of their lists.
#[derive(Debug, Default)]
pub struct Feeds(Mutex<BTreeMap<Arc<str>, Known>>);

#[derive(Debug)]
struct Known {
    feed: Arc<Feed>,
    told: Option<UnixMillis>,
}

impl Feeds {
    /// The one that is in force.
    pub fn of(&self, name: &str) -> Option<Arc<Feed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(|known| Arc::clone(&known.feed))
    }

    /// These are in force from now on, and no others.
    pub fn serve(&self, feeds: &[Arc<Feed>]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = |feed: &Arc<Feed>| known.remove(&feed.name).filter(|old| old.feed.date == feed.date)?.told;
        let served =
            feeds.iter().map(|feed| (Arc::clone(&feed.name), Known { told: told(feed), feed: Arc::clone(feed) }));
        let served: BTreeMap<_, _> = served.collect();
        *known = served;
    }

    /// Those that are old and were not reported within a day; they count as reported from now on.
    pub fn news(&self, now: UnixMillis) -> Vec<Arc<Feed>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |one: &&mut Known| {
            one.feed.is_old(now.secs()) && one.told.is_none_or(|at| at.plus(AGAIN) <= now || at > now)
        };
        let due = known.values_mut().filter(is_due);
        due.map(|one| {
            one.told = Some(now);
            Arc::clone(&one.feed)
        })
        .collect()
    }
}
