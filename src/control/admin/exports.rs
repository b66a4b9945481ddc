//! Exports under way: many bodies of one question, which are one action.
//!
//! The question is named before the first body leaves, and recorded then. A body that is none of it is an action of its own, so the
//! record says what was read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::events::EventSource;
use crate::base::UnixMillis;
use crate::store::Query;

/// Exports at a time; the one that was idle longest goes when one more begins.
const MOST: usize = 32;
/// One that nothing was read of for so long has ended.
const IDLE: Duration = Duration::from_mins(10);

/// Those that have begun.
#[derive(Debug, Default)]
pub(super) struct Exports {
    begun: AtomicU64,
    under_way: Mutex<Vec<Export>>,
}

#[derive(Clone, Debug)]
struct Export {
    token: String,
    uid: u32,
    query: Query,
    used: Instant,
}

impl Exports {
    /// Begins one, and gives the token by which its bodies are asked for. Only the same user can use it.
    pub(super) fn begin(&self, uid: u32, query: Query, now: UnixMillis) -> String {
        let token = format!("{:x}-{:x}", now.0, self.begun.fetch_add(1, Ordering::Relaxed));
        let export = Export { token: token.clone(), uid, query, used: Instant::now() };
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|export| export.used.elapsed() < IDLE);
        if under_way.len() >= MOST
            && let Some(oldest) = (0..under_way.len()).min_by_key(|at| under_way.get(*at).map(|export| export.used))
        {
            under_way.remove(oldest);
        }
        under_way.push(export);
        token
    }

    /// Whether this event is one of the export's.
    pub(super) async fn has(&self, source: &impl EventSource, token: &str, uid: u32, id: &str) -> bool {
        let Some(query) = self.query(token, uid) else { return false };
        if query.request_id.as_ref().is_some_and(|only| only != id) {
            return false;
        }
        let query = Query { request_id: Some(id.to_owned()), limit: 1, ..query };
        source.page(query).await.is_ok_and(|page| !page.events.is_empty())
    }

    fn query(&self, token: &str, uid: u32) -> Option<Query> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|export| export.used.elapsed() < IDLE);
        let export = under_way.iter_mut().find(|export| export.token == token && export.uid == uid)?;
        export.used = Instant::now();
        Some(export.query.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_341_600_000);

    #[tokio::test(start_paused = true)]
    async fn a_token_is_its_users_alone_and_ends() {
        let exports = Exports::default();
        let query = Query { route: Some("gh".into()), ..Query::default() };
        let token = exports.begin(1, query.clone(), NOW);
        assert_eq!(exports.query(&token, 1), Some(query));
        assert_eq!((exports.query(&token, 2), exports.query("0-0", 1)), (None, None));
        tokio::time::advance(IDLE).await;
        assert_eq!(exports.query(&token, 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded_and_the_idle_one_goes() {
        let exports = Exports::default();
        let mut tokens = Vec::new();
        for _ in 0..MOST {
            tokens.push(exports.begin(1, Query::default(), NOW));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(exports.query(&tokens[0], 1).is_some(), "used again");
        exports.begin(1, Query::default(), NOW);
        assert!(exports.query(&tokens[0], 1).is_some() && exports.query(&tokens[1], 1).is_none());
    }
}
