//! Many share one commit, and nobody who reads holds the writer up.

use std::sync::Arc;

use dmz_relay::store::{Query, Settlement};
use rusqlite::Connection;

use crate::rig::{LONG, NOW, Rig, accept, attempt, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_share_a_commit() {
    let rig = Rig::new();
    let store = rig.open();
    let before = store.status().commits;
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let store = Arc::clone(&store);
        senders.spawn(async move { store.accept(accept(NOW, None)).await.unwrap() });
    }
    let tickets = senders.join_all().await;
    let commits = store.status().commits - before;
    assert!(commits < 250, "{commits} commits for 500 requests");
    assert_eq!(store.backlog("dastra").claimed, 500);
    let mut senders = tokio::task::JoinSet::new();
    for ticket in tickets {
        let store = Arc::clone(&store);
        senders.spawn(async move { store.settle(ticket, Settlement::Delivered(attempt(1))).await.unwrap() });
    }
    senders.join_all().await;
    assert!(store.backlogs().is_empty());
}

#[tokio::test]
async fn a_lone_request_does_not_wait_for_company() {
    let rig = Rig::new();
    let store = rig.open();
    // The writer sleeps by now, or will; each of these must wake it.
    for _ in 0..20 {
        let waited = tokio::time::timeout(LONG, store.accept(accept(NOW, None))).await;
        waited.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_reader_never_holds_the_writer_up() {
    let rig = Rig::new();
    let store = rig.open();
    store.accept(accept(NOW, None)).await.unwrap();
    let reader = Connection::open(rig.path()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = |reader: &Connection| reader.query_row("SELECT count(*) FROM spool", [], |row| row.get::<_, i64>(0));
    assert_eq!(count(&reader).unwrap(), 1);
    for _ in 0..50 {
        store.accept(accept(NOW, None)).await.unwrap();
    }
    assert_eq!(count(&reader).unwrap(), 1, "it reads its own moment");
    assert_eq!(store.page(Query { limit: 1000, ..Query::default() }, Arc::default()).await.unwrap().events.len(), 51);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader).unwrap(), 51);
    assert!(store.status().open);
}

#[tokio::test]
async fn what_finds_no_room_in_the_queue_is_counted_and_the_rest_is_written() {
    let rig = Rig::new();
    let store = rig.open();
    // An operator's lock keeps the writer from writing, so that the queue fills.
    let operator = Connection::open(rig.path()).unwrap();
    operator.execute_batch("BEGIN IMMEDIATE").unwrap();
    let rows = 20_000_u64;
    for _ in 0..rows {
        store.record(entry(NOW));
    }
    let dropped = store.status().history_dropped;
    assert!(dropped > 0 && dropped < rows, "{dropped}");
    operator.execute_batch("COMMIT").unwrap();
    store.flush().await.unwrap();
    let kept: i64 = operator.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(u64::try_from(kept).unwrap() + store.status().history_dropped, rows);
}
