//! The start: after a crash at any instant, from an older file, beside another process.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use dmz_relay::domain::Sends;
use dmz_relay::guards::dedupe::DedupeKey;
use dmz_relay::store::{
    Accept, Early, OpenError, Query, Recovered, Settlement, Store, StoreEvent, Ticket, Unstored, Wait,
};

use crate::rig::{NOW, Rig, accept, attempt, entry, eventually, failed, settings};

const LATER: Duration = Duration::from_secs(3600);

/// What `kill -9` leaves at this moment: the files as they are, while the store is open.
fn crashed(rig: &Rig) -> Rig {
    let copy = Rig::new();
    for name in ["relay.db", "relay.db-wal"] {
        std::fs::copy(rig.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    copy
}

async fn tickets(store: &Store) -> Vec<(Ticket, u32)> {
    let claimed = store.claim(&Arc::from("dastra"), 100, false, Early::Nothing).await.unwrap();
    claimed.iter().map(|claimed| (claimed.ticket, claimed.attempt)).collect()
}

#[tokio::test]
async fn what_was_answered_survives_a_crash_at_every_stage() {
    let rig = Rig::new();
    let store = rig.open();
    let ticket = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let copy = crashed(&rig);
    let (after, recovered) = copy.reopen();
    assert_eq!((tickets(&after).await, recovered.interrupted), (vec![(ticket, 1)], 0));

    assert_eq!(tickets(&store).await, [(ticket, 1)]);
    let copy = crashed(&rig);
    let (after, recovered) = copy.reopen();
    // It may have arrived, and more than once: the next number is beyond all that the attempt may have used.
    let next = 1 + Sends::MOST;
    assert_eq!((tickets(&after).await, recovered.interrupted), (vec![(ticket, next)], 1));

    store.settle(ticket, Settlement::Again(failed(1), Wait::until(NOW))).await.unwrap();
    let copy = crashed(&rig);
    let (after, recovered) = copy.reopen();
    assert_eq!((tickets(&after).await, recovered.interrupted), (vec![(ticket, 2)], 0));

    assert_eq!(tickets(&store).await, [(ticket, 2)]);
    store.settle(ticket, Settlement::Dead(failed(2))).await.unwrap();
    let copy = crashed(&rig);
    let after = copy.open();
    assert_eq!((after.backlog("dastra").dead, tickets(&after).await), (1, vec![]));

    let direct = store.accept(accept(NOW, None)).await.unwrap();
    let copy = crashed(&rig);
    let after = copy.open();
    assert_eq!(tickets(&after).await, [(direct, next)]);

    store.settle(direct, Settlement::Delivered(attempt(1))).await.unwrap();
    let copy = crashed(&rig);
    let after = copy.open();
    assert!(tickets(&after).await.is_empty());
    assert_eq!(after.page(Query::default(), Arc::default()).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn what_was_given_up_on_its_way_is_gone_after_a_crash() {
    let rig = Rig::new();
    let store = rig.open();
    let accepted = accept(NOW, None);
    let id = accepted.entry.request_id.clone();
    store.accept(accepted).await.unwrap();
    assert!(store.discard(&id).await.unwrap().is_some());
    let copy = crashed(&rig);
    let after = copy.open();
    assert!(tickets(&after).await.is_empty());
    let event = after.event(&id).await.unwrap().unwrap();
    assert_eq!(
        (event.entry.outcome.as_str(), event.entry.attempts),
        ("discarded", Sends::MOST),
        "no number is used again"
    );
}

#[tokio::test]
async fn what_was_handed_in_is_written_before_the_end() {
    let rig = Rig::new();
    let store = rig.open();
    for _ in 0..3000 {
        store.record(entry(NOW));
    }
    drop(store);
    let store = rig.open();
    let mut query = Query { limit: 1000, ..Query::default() };
    let mut rows = 0;
    loop {
        let page = store.page(query.clone(), Arc::default()).await.unwrap();
        rows += page.events.len();
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    assert_eq!(rows, 3000);
}

#[tokio::test]
async fn only_one_process_has_it_open() {
    let rig = Rig::new();
    let store = rig.open();
    assert_eq!(rig.try_open(&rig.settings()).map(drop).unwrap_err(), OpenError::InUse);
    drop(store);
    rig.open();
}

#[tokio::test]
async fn nobody_else_reads_it() {
    let rig = Rig::new();
    let store = rig.open();
    store.accept(accept(NOW, None)).await.unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(rig.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        seen += 1;
    }
    assert_eq!(seen, 3, "file, log, index of the log");
}

#[tokio::test]
async fn what_cannot_be_opened_is_a_store_that_is_closed_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().join("mount");
    let rig = Rig::new();
    for (path, why) in [(mount.join("relay.db"), "No such file"), (folder.path().to_owned(), "Is a directory")] {
        let (store, recovered) = rig.try_open(&settings(&path)).unwrap();
        assert_eq!(recovered, Recovered::default());
        let standing = store.status();
        assert!(!standing.open && standing.problem.as_deref().unwrap().contains(why), "{standing:?}");
        let told = || matches!(&rig.news.lock().unwrap()[..], [StoreEvent::Failed { detail }] if detail.contains(why));
        eventually("it is told", async || told()).await;
        assert_eq!(store.accept(accept(NOW, None)).await, Err(Unstored::Failed));
        rig.news.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_store_that_can_be_opened_later_brings_what_the_last_process_left() {
    let rig = Rig::new();
    let store = rig.open();
    let key = DedupeKey::new("dastra", "secret", "id-1");
    let waits = store.accept(Accept { dedupe: Some((key, NOW.plus(LATER))), ..accept(NOW, None) }).await.unwrap();
    drop(store);
    let aside = rig.folder.path().join("aside.db");
    let absent = rig.folder.path().join("disk");
    std::fs::rename(rig.path(), &aside).unwrap();
    let (store, recovered) = rig.try_open(&settings(&absent.join("relay.db"))).unwrap();
    assert_eq!((recovered, store.status().open), (Recovered::default(), false));
    std::fs::create_dir(&absent).unwrap();
    std::fs::rename(&aside, absent.join("relay.db")).unwrap();
    eventually("it is open", async || store.status().open).await;
    eventually("what was left is told", async || {
        let found =
            |news: &StoreEvent| matches!(news, StoreEvent::Found(Recovered { dedupe, interrupted: 1, .. }) if dedupe[0].key == key);
        rig.news.lock().unwrap().iter().any(found)
    })
    .await;
    assert_eq!(tickets(&store).await, [(waits, 1 + Sends::MOST)]);
}

#[tokio::test]
async fn a_newer_file_is_refused_and_left_as_it_is() {
    let rig = Rig::new();
    drop(rig.open());
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    file.pragma_update(None, "user_version", 77).unwrap();
    drop(file);
    let refused = rig.try_open(&rig.settings()).map(drop).unwrap_err();
    assert_eq!(refused, OpenError::Newer { found: 77, known: 7 });
    assert_eq!(refused.to_string(), "it was written by a newer dmz-relay (version 77; this one knows up to 7)");
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    assert_eq!(file.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 77);
}

#[test]
fn another_programs_database_is_refused_untouched() {
    let rig = Rig::new();
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    file.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(file);
    let before = std::fs::read(rig.path()).unwrap();
    assert_eq!(rig.try_open(&rig.settings()).map(drop).unwrap_err(), OpenError::Foreign);
    assert!(std::fs::read(rig.path()).unwrap() == before, "it was written to");
    assert_eq!(std::fs::read_dir(rig.folder.path()).unwrap().count(), 1, "something came to lie beside it");
}

/// The first version's tables, written by SQL and not by the code that reads them: a file of it opens for ever.
#[tokio::test]
async fn a_file_of_the_first_version_opens() {
    let rig = Rig::new();
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    file.execute_batch(include_str!("version1.sql")).unwrap();
    drop(file);
    let (store, recovered) = rig.reopen();
    assert_eq!((recovered.interrupted, recovered.dedupe.len()), (1, 1));
    let event = store.event("18bcfe56800000000000000000a").await.unwrap().unwrap();
    assert_eq!(
        (event.entry.outcome.as_str(), event.entry.status, event.entry.route.as_deref()),
        ("delivered", 200, Some("dastra"))
    );
    let claimed = store.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap().remove(0);
    // It was interrupted in its second attempt, and the first one had failed.
    assert_eq!((claimed.attempt, claimed.failures, &*claimed.request.body), (2 + Sends::MOST, 1, &b"hello"[..]));
    assert_eq!((claimed.request.head.path(), claimed.request.head.headers().first("x-a")), ("/h", Some(&b"b"[..])));
    assert_eq!(store.values("silence").await.unwrap().len(), 1);
    assert_eq!(store.event(&claimed.request.request_id).await.unwrap().unwrap().history.len(), 1);
}
