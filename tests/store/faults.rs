//! The disk fails while the store runs: no false success, nothing forgotten, and no restart needed.

use std::sync::Arc;

use dmz_relay::store::{Backlog, Early, Settlement, StoreEvent, Unstored};
use rusqlite::Connection;

use crate::rig::{NOW, Rig, accept, attempt, entry, eventually};

#[tokio::test]
async fn a_file_that_vanished_takes_nothing_until_it_is_back() {
    let rig = Rig::new();
    let store = rig.open();
    let on_its_way = store.accept(accept(NOW, None)).await.unwrap();
    let waits = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let aside = rig.folder.path().join("aside.db");
    std::fs::rename(rig.path(), &aside).unwrap();
    eventually("it is noticed", async || !store.status().open).await;
    assert!(store.status().problem.is_some());
    assert_eq!(store.accept(accept(NOW, None)).await, Err(Unstored::Failed));
    assert_eq!(store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.map(|_| ()), Err(Unstored::Failed));
    // Said once, and not forgotten.
    let settled = store.settle(on_its_way, Settlement::Delivered(attempt(1))).await;
    assert_eq!(settled, Err(Unstored::Failed));
    store.record(entry(NOW));
    assert_eq!(store.flush().await, Err(Unstored::Failed));
    assert_eq!(store.status().history_dropped, 1);
    assert!(!rig.path().exists(), "an empty one in its place would be a loss that nobody sees");

    std::fs::rename(&aside, rig.path()).unwrap();
    eventually("it is open again", async || rig.news.lock().unwrap().contains(&StoreEvent::Recovered)).await;
    {
        let news = rig.news.lock().unwrap();
        assert!(matches!(&news[..], [StoreEvent::Failed { .. }, .., StoreEvent::Recovered]), "{news:?}");
    }
    eventually("the settlement is written", async || store.backlog("dastra").waiting == 1).await;
    let claimed = store.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.ticket).collect::<Vec<_>>(), [waits], "delivered once");
    store.accept(accept(NOW, None)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_nobody_lets_us_write_fails_and_recovers() {
    let rig = Rig::new();
    let store = rig.open();
    let held = store.accept(accept(NOW, None)).await.unwrap();
    let operator = Connection::open(rig.path()).unwrap();
    operator.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.accept(accept(NOW, None)).await, Err(Unstored::Failed));
    assert!(!store.status().open);
    operator.execute_batch("ROLLBACK").unwrap();
    drop(operator);
    eventually("it is open again", async || store.status().open).await;
    // Still on its way: whoever holds it settles it.
    assert_eq!(store.backlog("dastra"), Backlog { waiting: 1, claimed: 1, oldest: Some(NOW), ..Backlog::default() });
    store.settle(held, Settlement::Delivered(attempt(1))).await.unwrap();
    assert_eq!(store.backlog("dastra"), Backlog::default());
}
