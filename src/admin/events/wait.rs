//! The long poll behind `events tail`: a question that is answered when there is something to tell.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::{Denied, EventSource, Listed};
use crate::store::Query;

/// Questions that may wait at a time, so that connections are left for everybody else.
const PLACES: usize = 16;
/// Between two looks at the store.
const LOOK: Duration = Duration::from_millis(200);

/// Who waits.
#[derive(Debug)]
pub(in crate::admin) struct Waiting(Semaphore);

impl Default for Waiting {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

/// The next rows in ascending order: at once, or as soon as there are some, or none after `wait`.
pub(super) async fn follow<S: EventSource>(
    source: &S,
    waiting: &Waiting,
    mut query: Query,
    wait: Duration,
) -> Result<Listed, Denied> {
    let _place = waiting.0.try_acquire().map_err(|_| Denied::Busy)?;
    let until = Instant::now() + wait;
    loop {
        let listed = source.page(query.clone()).await?;
        let at = listed.next.or(query.after);
        if !listed.events.is_empty() || Instant::now() >= until {
            return Ok(Listed { next: at, ..listed });
        }
        // A page reads a bounded part of the history: an empty one that goes on is no reason to wait.
        if listed.next.is_none() {
            sleep(LOOK).await;
        }
        query.after = at;
    }
}
