//! Feeds of addresses: what is said of those that are old or refused, and what is kept of those in force.

use std::sync::Arc;

use crate::config::feed::KeptFeeds;
use crate::control::admin::status::FeedStatus;
use crate::edge::Relay;
use crate::guards::access::Feed;
use crate::observe::{Event, FeedShape};
use crate::runtime::snapshot::Snapshot;

/// Says which feeds are old. Also before somebody reads the status, so that both say the same.
pub(super) fn look(relay: &Relay) {
    for feed in relay.gate.state.feeds.news(relay.gate.clock.now()) {
        relay.gate.observer.record(&Event::FeedOld { list: &feed.name, file: &feed.path.display(), date: feed.date });
    }
}

/// Those of this configuration are in force: says which files were refused.
pub(super) fn serve(relay: &Relay, snapshot: &Snapshot) {
    relay.gate.state.feeds.serve(&snapshot.feeds);
    for feed in &snapshot.feeds {
        if let Some(why) = &feed.refused {
            relay.gate.observer.record(&Event::FeedRefused { list: &feed.name, file: &feed.path.display(), why });
        }
    }
}

/// Keeps what is in force, where there is a store to keep it beside.
pub(super) async fn keep(relay: &Arc<Relay>, kept: Option<KeptFeeds>) {
    let (Some(kept), snapshot) = (kept, relay.snapshot()) else { return };
    if snapshot.feeds.is_empty() {
        return;
    }
    let feeds = snapshot.feeds.clone();
    let written = tokio::task::spawn_blocking(move || feeds.iter().try_for_each(|feed| kept.keep(feed))).await;
    if let Ok(Err(why)) = written {
        relay.gate.observer.record(&Event::FeedNotKept { why: &why });
    }
}

pub(super) fn status(feed: &Feed, now: i64) -> FeedStatus {
    FeedStatus {
        list: feed.name.to_string(),
        file: feed.path.display().to_string(),
        networks: feed.networks.len() as u64,
        date: feed.date,
        old: feed.is_old(now),
        refused: feed.refused.clone(),
    }
}

pub(super) fn shape(snapshot: &Snapshot) -> Vec<FeedShape> {
    let shape = |feed: &Arc<Feed>| FeedShape {
        list: Arc::clone(&feed.name),
        old_after: feed.old_after(),
        refused: feed.refused.is_some(),
    };
    snapshot.feeds.iter().map(shape).collect()
}
