//! Which certificates are served, so that one that has expired is distinguished from one that is put in a valid one's place; and what
//! was said of those that end.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

/// Between two words about one certificate.
const AGAIN: Duration = Duration::from_hours(24);

/// By the digest of each leaf.
#[derive(Debug, Default)]
pub struct Certificates {
    served: Mutex<HashSet<[u8; 32]>>,
    told: Mutex<HashMap<Ending, UnixMillis>>,
}

/// A served certificate that has expired or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ending {
    /// Where it is served.
    pub listener: Box<str>,
    /// Its names.
    pub names: Box<str>,
    /// Its end, in seconds since the epoch.
    pub not_after: i64,
    /// Whether that has passed.
    pub expired: bool,
}

impl Certificates {
    /// Whether some are served and this one is not.
    pub fn would_replace(&self, leaf: &[u8; 32]) -> bool {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        !served.is_empty() && !served.contains(leaf)
    }

    /// These are served from now on, and no others.
    pub fn serve(&self, leaves: impl IntoIterator<Item = [u8; 32]>) {
        *self.served.lock().unwrap_or_else(PoisonError::into_inner) = leaves.into_iter().collect();
    }

    /// Of those that end, the ones that were not reported within a day; they count as reported from now on.
    pub fn news(&self, ending: Vec<Ending>, now: UnixMillis) -> Vec<Ending> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // What is served no more is forgotten, so that there are never more than certificates.
        told.retain(|known, _| ending.contains(known));
        let is_due = |one: &Ending| told.get(one).is_none_or(|at| at.plus(AGAIN) <= now || *at > now);
        let due: Vec<_> = ending.into_iter().filter(is_due).collect();
        told.extend(due.iter().cloned().map(|one| (one, now)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_news_once_a_day_and_when_it_ends() {
        let (certificates, now) = (Certificates::default(), UnixMillis(1_780_315_200_000));
        let one = |expired| vec![Ending { listener: "a".into(), names: "b".into(), not_after: 7, expired }];
        assert_eq!(certificates.news(one(false), now).len(), 1);
        assert_eq!(certificates.news(one(false), now.plus(AGAIN / 2)).len(), 0);
        assert_eq!(certificates.news(one(true), now.plus(AGAIN / 2)).len(), 1, "it has ended");
        assert_eq!(certificates.news(one(true), now.plus(AGAIN)).len(), 0);
        assert_eq!(certificates.news(one(true), now.plus(AGAIN * 2)).len(), 1);
        assert_eq!(certificates.news(Vec::new(), now.plus(AGAIN * 2)).len(), 0);
        assert_eq!(certificates.news(one(true), now.plus(AGAIN * 2)).len(), 1, "it was replaced, and came back");
    }
}
