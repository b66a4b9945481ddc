//! Room: the quota, the disk's reserve, age. What waits is never deleted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dmz_relay::base::UnixMillis;
use dmz_relay::domain::HistoryOutcome;
use dmz_relay::store::{Accept, Early, Entry, Query, Settings, Settlement, Store, StoreEvent, Unstored};

use crate::rig::{NOW, Rig, accept, attempt, entry, eventually};

const MIB: u64 = 1024 * 1024;

fn body(bytes: usize) -> Option<Bytes> {
    Some(Bytes::from(vec![b'x'; bytes]))
}

async fn rows(store: &Store, outcome: &str) -> usize {
    let query = Query { outcome: Some(outcome.into()), limit: 1000, ..Query::default() };
    store.page(query, Arc::default()).await.unwrap().events.len()
}

#[tokio::test]
async fn history_makes_room_and_what_waits_stays() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { keep_size: 4 * MIB, ..rig.settings() }).unwrap();
    let first = accept(NOW, Some(NOW));
    let id = first.entry.request_id.clone();
    store.accept(first).await.unwrap();
    for number in 1..600 {
        store.record(Entry { body: body(20_000), ..entry(UnixMillis(NOW.0 + number)) });
        if number % 20 == 0 {
            store.flush().await.unwrap();
        }
    }
    store.flush().await.unwrap();
    eventually("it is below the quota", async || store.status().used <= 4 * MIB).await;
    assert!(!store.status().full && store.status().history_dropped == 0);
    assert!(store.event(&id).await.unwrap().is_some(), "the oldest of all waits, and stays");
    let page = store.page(Query { limit: 1000, ..Query::default() }, Arc::default()).await.unwrap();
    assert!(page.events.len() > 50 && page.events.len() < 250, "{}", page.events.len());
    assert_eq!(page.events[0].entry.received_at, UnixMillis(NOW.0 + 599), "the newest are kept");
    assert_eq!(store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.unwrap().len(), 1);
}

#[tokio::test]
async fn when_what_waits_fills_the_quota_nothing_more_is_accepted_until_it_left() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { keep_size: 2 * MIB, ..rig.settings() }).unwrap();
    let mut tickets = Vec::new();
    let refused = loop {
        let accepted = accept(NOW, None);
        let entry = Entry { body: body(50_000), ..accepted.entry };
        match store.accept(Accept { entry, ..accepted }).await {
            Ok(ticket) => tickets.push(ticket),
            Err(why) => break why,
        }
        assert!(tickets.len() < 200, "the quota is never reached");
    };
    assert_eq!(refused, Unstored::Full);
    assert!(tickets.len() > 30, "{}", tickets.len());
    assert!(store.status().full && store.status().open);
    assert_eq!(store.accept(accept(NOW, None)).await, Err(Unstored::Full));
    assert_eq!(store.backlog("dastra").waiting, tickets.len() as u64, "all of it is there");
    assert!(rig.news.lock().unwrap().contains(&StoreEvent::Full));
    for ticket in tickets {
        store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    }
    eventually("there is room", async || !store.status().full).await;
    assert!(rig.news.lock().unwrap().contains(&StoreEvent::Room));
    store.accept(accept(NOW, None)).await.unwrap();
}

/// Nobody has to be refused first.
#[tokio::test]
async fn a_quota_that_is_used_up_at_the_start_is_said_at_once() {
    let rig = Rig::new();
    let settings = Settings { keep_size: 2 * MIB, ..rig.settings() };
    let (store, _) = rig.try_open(&settings).unwrap();
    for _ in 0..200 {
        let accepted = accept(NOW, None);
        let entry = Entry { body: body(50_000), ..accepted.entry };
        if store.accept(Accept { entry, ..accepted }).await.is_err() {
            break;
        }
    }
    assert!(store.status().full);
    drop(store);
    rig.news.lock().unwrap().clear();
    let (store, _) = rig.try_open(&settings).unwrap();
    eventually("it is said", async || rig.news.lock().unwrap().contains(&StoreEvent::Full)).await;
    assert!(store.status().full && store.status().open);
}

/// What is flooded fills its own share, dead letters and restarts included, and the other routes go on.
#[tokio::test]
async fn no_route_takes_the_share_of_another() {
    let rig = Rig::new();
    let settings = Settings { keep_size: 4 * MIB, ..rig.settings() };
    let (store, _) = rig.try_open(&settings).unwrap();
    store.share_among(2);
    let of = |route: &str, due| {
        let accepted = accept(NOW, due);
        Accept { entry: Entry { route: Some(Arc::from(route)), body: body(30_000), ..accepted.entry }, ..accepted }
    };
    let fill = async |store: &Store, route: &str| {
        let mut taken = 0;
        while store.accept(of(route, Some(NOW))).await.is_ok() {
            taken += 1;
            assert!(taken < 200, "{route} has no bound");
        }
        taken
    };
    let flooded = fill(&store, "flooded").await;
    assert!((30..90).contains(&flooded), "{flooded}");
    assert!(!store.status().full, "there is room, and it is another's");
    let full = |route: &str| StoreEvent::RouteFull { route: Arc::from(route) };
    assert!(rig.news.lock().unwrap().contains(&full("flooded")));
    for claimed in store.claim(&Arc::from("flooded"), 10, false, Early::Nothing).await.unwrap() {
        store.settle(claimed.ticket, Settlement::Dead(crate::rig::failed(1))).await.unwrap();
    }
    assert_eq!(store.accept(of("flooded", None)).await, Err(Unstored::Full), "a dead letter holds its room");

    drop(store);
    let (store, _) = rig.try_open(&settings).unwrap();
    store.share_among(2);
    assert_eq!(store.accept(of("flooded", None)).await, Err(Unstored::Full), "a restart forgets nothing");
    let quiet = fill(&store, "quiet").await;
    assert!(quiet >= 25, "{quiet}");
    // Room that was delivered away is the route's own again.
    let claimed = store.claim(&Arc::from("flooded"), 10, false, Early::Nothing).await.unwrap();
    assert!(claimed.len() > 3);
    for claimed in claimed {
        store.settle(claimed.ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    }
    store.accept(of("flooded", None)).await.unwrap();
    assert!(rig.news.lock().unwrap().contains(&StoreEvent::RouteRoom { route: Arc::from("flooded") }));
}

#[tokio::test]
async fn the_reserve_of_the_disk_is_left_alone() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { disk_reserve: u64::MAX, ..rig.settings() }).unwrap();
    assert_eq!(store.accept(accept(NOW, None)).await, Err(Unstored::Full));
    store.record(entry(NOW));
    store.flush().await.unwrap();
    assert_eq!((store.status().full, store.status().history_dropped), (true, 1));
    assert!(store.status().disk_free > 0);
    assert_eq!(rows(&store, "delivered").await, 0);
}

#[tokio::test]
async fn a_flood_of_refusals_takes_a_tenth_and_no_genuine_row() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { keep_size: 4 * MIB, ..rig.settings() }).unwrap();
    store.record(entry(NOW));
    for number in 1..800 {
        let row = entry(UnixMillis(NOW.0 + number));
        store.record(Entry {
            outcome: HistoryOutcome::Refused,
            reason: "signature_mismatch",
            body: body(5_000),
            ..row
        });
        if number % 50 == 0 {
            store.flush().await.unwrap();
        }
    }
    store.flush().await.unwrap();
    eventually("refusals are few", async || rows(&store, "refused").await < 100).await;
    assert!(rows(&store, "refused").await > 20);
    assert_eq!(rows(&store, "delivered").await, 1);
    assert!(store.status().used < 2 * MIB);
    // The count survives.
    drop(store);
    let (store, _) = rig.try_open(&Settings { keep_size: MIB, ..rig.settings() }).unwrap();
    eventually("the smaller quota holds", async || rows(&store, "refused").await < 25).await;
}

#[tokio::test]
async fn what_is_too_old_goes_and_what_waits_or_died_stays() {
    let rig = Rig::new();
    let store = rig.open();
    store.record(Entry { body: body(100), ..entry(NOW) });
    store.record(Entry { outcome: HistoryOutcome::Refused, reason: "signature_mismatch", ..entry(NOW) });
    store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let dead = store.accept(accept(NOW, None)).await.unwrap();
    store.settle(dead, Settlement::Dead(crate::rig::failed(1))).await.unwrap();
    rig.clock.advance(Duration::from_secs(13 * 24 * 60 * 60));
    let young = entry(rig.clock.now());
    store.record(young);
    store.flush().await.unwrap();
    rig.clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    eventually("the old ones went", async || {
        rows(&store, "delivered").await == 1 && rows(&store, "refused").await == 0
    })
    .await;
    assert_eq!((rows(&store, "accepted").await, rows(&store, "dead").await), (1, 1));
    // Delivered at last, it is as old as it is.
    let claimed = store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.unwrap();
    store.settle(claimed[0].ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(rows(&store, "accepted").await, 0);
}

/// What was delivered and is kept makes room for what is new at once, wherever it lies among what still waited a moment ago.
#[tokio::test]
async fn bodies_that_are_kept_make_room_as_soon_as_they_are_delivered() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&Settings { keep_size: 2 * MIB, ..rig.settings() }).unwrap();
    let large = || {
        let accepted = accept(NOW, None);
        let entry = Entry { body: body(50_000), ..accepted.entry };
        Accept { entry, keep_body: true, ..accepted }
    };
    let mut tickets = Vec::new();
    while let Ok(ticket) = store.accept(large()).await {
        tickets.push(ticket);
    }
    assert!(tickets.len() > 30 && store.status().full, "{}", tickets.len());
    for ticket in tickets {
        store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    }
    assert!(!store.status().full);
    for _ in 0..40 {
        let ticket = store.accept(large()).await.unwrap();
        store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    }
}
