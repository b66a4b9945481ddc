//! The long poll behind `events tail`: a question that is answered when there is something to tell.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Denied, EventRow, EventSource, Listed};
use crate::base::UnixMillis;
use crate::store::{Bookmark, Cursor, Query};

/// Questions that may wait at a time, so that connections are left for everybody else.
const PLACES: usize = 16;
/// Rows of one answer, unless the question says.
const ROWS: usize = 500;
/// A client that comes back after a restart gets what was received shortly before it went: what was under way then was recorded
/// late.
const OVERLAP: Duration = Duration::from_secs(30);

/// Who waits.
#[derive(Debug)]
pub(in crate::control::admin) struct Waiting(Semaphore);

impl Default for Waiting {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

/// Where an answer ended, and the next one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// In the order of time.
    Row(Cursor),
    /// In the order of recording, as it stood at a time.
    Recorded(Bookmark, UnixMillis),
}

impl After {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some(parts) = text.strip_prefix('f') else { return Some(Self::Row(Cursor(text.parse().ok()?))) };
        let mut parts = parts.split('.');
        let mut number = |radix| u64::from_str_radix(parts.next()?, radix).ok();
        let (run, rows, at) = (number(16)?, number(16)?, number(10)?);
        let at = UnixMillis(i64::try_from(at).ok()?);
        parts.next().is_none().then_some(Self::Recorded(Bookmark { run, rows }, at))
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Row(Cursor(at)) => at.to_string(),
            Self::Recorded(Bookmark { run, rows }, at) => format!("f{run:x}.{rows:x}.{}", at.0.max(0)),
        }
    }
}

/// The next rows: at once, or as soon as there are some, or none after `wait`.
pub(super) async fn follow<S: EventSource>(
    source: &S,
    waiting: &Waiting,
    mut query: Query,
    after: Option<After>,
    wait: Duration,
) -> Result<(Vec<EventRow>, After), Denied> {
    let _place = waiting.0.try_acquire().map_err(|_| Denied::Busy)?;
    if query.limit == 0 {
        query.limit = ROWS;
    }
    let following = Following { source, query, until: Instant::now() + wait };
    match after {
        None if following.query.since.is_none() => following.live(source.bookmark()?).await,
        None => following.catch_up(None).await,
        Some(After::Row(cursor)) => following.catch_up(Some(cursor)).await,
        Some(After::Recorded(bookmark, at)) => following.go_on(bookmark, at).await,
    }
}

struct Following<'s, S> {
    source: &'s S,
    query: Query,
    until: Instant,
}

impl<S: EventSource> Following<'_, S> {
    async fn go_on(mut self, bookmark: Bookmark, at: UnixMillis) -> Result<(Vec<EventRow>, After), Denied> {
        if self.source.recorded_since(bookmark, 0, Duration::ZERO).await?.is_some() {
            return self.live(bookmark).await;
        }
        let since = at.minus(OVERLAP);
        self.query.since = Some(self.query.since.map_or(since, |asked| asked.max(since)));
        self.catch_up(None).await
    }

    /// In the order of time, up to the present.
    async fn catch_up(mut self, after: Option<Cursor>) -> Result<(Vec<EventRow>, After), Denied> {
        self.query.after = after;
        // Before the page, so that nothing falls between the two. What is recorded meanwhile may come twice.
        let bookmark = self.source.bookmark()?;
        loop {
            let Listed { events, next } = self.source.page(self.query.clone()).await?;
            match next {
                Some(next) if !events.is_empty() || self.left().is_zero() => return Ok((events, After::Row(next))),
                // A page reads a bounded part of the history: an empty one that goes on is no reason to wait.
                Some(next) => self.query.after = Some(next),
                None if events.is_empty() => {
                    self.query.after = None;
                    return self.live(bookmark).await;
                }
                None => return Ok((events, self.recorded(bookmark))),
            }
        }
    }

    /// In the order of recording.
    async fn live(self, mut bookmark: Bookmark) -> Result<(Vec<EventRow>, After), Denied> {
        loop {
            let found = self.source.recorded_since(bookmark, self.query.limit, self.left()).await?;
            // Forgotten while it waited: too much came, so the next question catches up by time.
            let Some((ids, next)) = found else { return Ok((Vec::new(), self.recorded(bookmark))) };
            let mut events = Vec::new();
            for id in &ids {
                events.extend(self.matching(id).await?);
            }
            bookmark = next;
            if !events.is_empty() || self.left().is_zero() {
                return Ok((events, self.recorded(bookmark)));
            }
        }
    }

    /// The row with this id, if it is asked for.
    async fn matching(&self, id: &str) -> Result<Vec<EventRow>, Denied> {
        if self.query.request_id.as_deref().is_some_and(|wanted| wanted != id) {
            return Ok(Vec::new());
        }
        let query = Query { request_id: Some(id.to_owned()), ..self.query.clone() };
        Ok(self.source.page(query).await?.events)
    }

    fn recorded(&self, bookmark: Bookmark) -> After {
        After::Recorded(bookmark, self.source.now())
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_out_is_understood() {
        let bookmark = Bookmark { run: u64::MAX, rows: 77 };
        for after in [After::Row(Cursor(-5)), After::Row(Cursor(i64::MAX)), After::Recorded(bookmark, UnixMillis(12))] {
            assert_eq!(After::parse(&after.text()), Some(after));
        }
        for bad in ["", "f", "f1", "f1.2", "f1.2.x", "f1.2.3.4", "x", "1.5"] {
            assert_eq!(After::parse(bad), None, "{bad}");
        }
    }
}
