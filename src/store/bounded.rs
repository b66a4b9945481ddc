//! Rows that strangers can bring about at will: this many in a second, no kind more than its part of them, and what was left out
//! is counted for each kind. A flood of one kind costs the rows of no other.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

/// What of a second's rows one kind may take: this part of them, and at least one.
const PART: u32 = 4;
/// Kinds that are counted apart: routes times reasons of a large configuration. Beyond it all counts begin again.
const KINDS: usize = 4096;
/// Failed requests that are remembered, and for how long one is.
const FAILED: usize = 4096;
const FAILED_FOR: Duration = Duration::from_mins(10);

/// Rows of the present second.
#[derive(Debug)]
pub(super) struct BoundedRows {
    most: u32,
    second: Mutex<Second>,
}

#[derive(Debug, Default)]
struct Second {
    second: i64,
    rows: u32,
    kinds: HashMap<(Option<Arc<str>>, &'static str), Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    /// In the present second.
    rows: u32,
    /// Since the last row.
    skipped: u64,
}

impl BoundedRows {
    pub(super) fn new(most: u32) -> Self {
        Self { most, second: Mutex::default() }
    }

    /// Whether one more row may be written; and how many of its kind were not, since the last one that was.
    pub(super) fn admits(&self, route: Option<&Arc<str>>, kind: &'static str, now: UnixMillis) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        if second.second != now.secs() {
            (second.second, second.rows) = (now.secs(), 0);
            second.kinds.values_mut().for_each(|kind| kind.rows = 0);
            second.kinds.retain(|_, kind| kind.skipped > 0);
        }
        if second.kinds.len() >= KINDS {
            second.kinds.clear();
        }
        let room = second.rows < self.most;
        let of = second.kinds.entry((route.cloned(), kind)).or_default();
        if !room || of.rows >= self.most.div_ceil(PART) {
            of.skipped += 1;
            return None;
        }
        of.rows += 1;
        let skipped = std::mem::take(&mut of.skipped);
        second.rows += 1;
        Some(skipped)
    }
}

/// Requests that failed lately.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: Mutex<HashMap<u64, UnixMillis>>,
    hasher: RandomState,
}

impl Repeats {
    /// Whether it had failed within the last minutes; it has now.
    pub(super) fn seen(&self, route: &str, id: &str, now: UnixMillis) -> bool {
        let key = self.hasher.hash_one((route, id));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FAILED {
            known.retain(|_, at| at.plus(FAILED_FOR) > now);
        }
        if known.len() >= FAILED {
            known.clear();
        }
        known.insert(key, now).is_some_and(|at| at.plus(FAILED_FOR) > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn later(seconds: u64) -> UnixMillis {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_kind_takes_its_part_and_the_next_row_says_what_was_left_out() {
        let (rows, route): (_, Arc<str>) = (BoundedRows::new(20), "gh".into());
        let flood = |now| (0..1000).filter(|_| rows.admits(Some(&route), "duplicate", now).is_some()).count();
        assert_eq!(flood(NOW), 5);
        for other in ["signature_mismatch", "body_too_large"] {
            assert_eq!(rows.admits(Some(&route), other, NOW), Some(0), "{other}");
        }
        assert_eq!(rows.admits(None, "duplicate", NOW), Some(0), "of another route, or of none");
        assert_eq!(rows.admits(Some(&route), "duplicate", later(1)), Some(995));
        assert_eq!(rows.admits(Some(&route), "duplicate", later(1)), Some(0));
    }

    #[test]
    fn all_kinds_together_have_a_bound_and_zero_is_none() {
        let rows = BoundedRows::new(4);
        let routes: Vec<Arc<str>> = (0..100).map(|number: u32| number.to_string().into()).collect();
        let admitted = routes.iter().filter(|route| rows.admits(Some(route), "duplicate", NOW).is_some());
        assert_eq!(admitted.count(), 4);
        assert_eq!(BoundedRows::new(0).admits(None, "duplicate", NOW), None);
    }

    #[test]
    fn what_is_remembered_of_kinds_and_failures_is_bounded() {
        let (rows, repeats) = (BoundedRows::new(1), Repeats::default());
        for number in 0..10_000_u32 {
            let route: Arc<str> = number.to_string().into();
            rows.admits(Some(&route), "duplicate", NOW);
            repeats.seen("gh", &route, NOW);
        }
        assert!(rows.second.lock().unwrap().kinds.len() <= KINDS);
        assert!(repeats.known.lock().unwrap().len() <= FAILED);
    }

    #[test]
    fn a_request_that_fails_again_is_known_for_a_while() {
        let repeats = Repeats::default();
        assert!(!repeats.seen("gh", "a", NOW));
        assert!(repeats.seen("gh", "a", later(60)));
        assert!(!repeats.seen("gh", "b", later(60)) && !repeats.seen("other", "a", later(60)));
        assert!(!repeats.seen("gh", "a", later(60).plus(FAILED_FOR)));
    }
}
