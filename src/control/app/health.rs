//! Health checks of the configuration in force. A check that panics is reported and begins again; it never ends in silence.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

use crate::gate::pipeline::Gate;
use crate::observe::Event;
use crate::upstream::Upstream;

/// What is checked at this moment.
pub(super) type Checked = Vec<Arc<Upstream>>;

/// Between a panic and the next try, so that a bug in a check does not fill the log.
const AGAIN: Duration = Duration::from_secs(1);

/// Checks whatever was sent last, until nobody can send any more.
pub(super) async fn check(gate: Gate, mut wanted: watch::Receiver<Checked>) {
    loop {
        let upstreams = wanted.borrow_and_update().clone();
        // Dropping the set, by the next round, ends its checks.
        let (mut checks, mut names) = (JoinSet::new(), HashMap::new());
        for upstream in upstreams {
            begin(&mut checks, &mut names, upstream);
        }
        loop {
            tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                Some(ended) = checks.join_next_with_id(), if !checks.is_empty() => {
                    // An upstream without health checks is done at once.
                    let Err(error) = ended else { continue };
                    let Some(upstream) = names.remove(&error.id()) else { continue };
                    gate.observer.record(&Event::TaskRestarted { task: "health check", of: &upstream.name });
                    tokio::time::sleep(AGAIN).await;
                    begin(&mut checks, &mut names, upstream);
                }
            }
        }
    }
}

fn begin(checks: &mut JoinSet<()>, names: &mut HashMap<Id, Arc<Upstream>>, upstream: Arc<Upstream>) {
    let id = checks.spawn(Arc::clone(&upstream).watch()).id();
    names.insert(id, upstream);
}
