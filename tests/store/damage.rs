//! What a file may have gone through: cut, overwritten, flipped. Reported, or read as far as it is sound; never a panic.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use dmz_relay::store::{Early, Query, Store};

use crate::rig::{NOW, Rig, accept, entry};

/// A store with requests in every table, closed, so that everything is in the one file.
async fn filled() -> Rig {
    let rig = Rig::new();
    let store = rig.open();
    for _ in 0..50 {
        store.accept(accept(NOW, Some(NOW))).await.unwrap();
        store.record(entry(NOW));
    }
    drop(store);
    rig
}

/// Everything that a relay does with a store. Errors are answers; only a panic of the writer would end it.
async fn use_it(store: &Store) {
    let _ = store.page(Query { limit: 1000, text: Some("x".into()), ..Query::default() }, Arc::default()).await;
    let _ = store.claim(&Arc::from("dastra"), 100, false, Early::Nothing).await;
    let _ = store.accept(accept(NOW, None)).await;
    store.record(entry(NOW));
    let _ = store.flush().await;
    assert_ne!(store.status().problem.as_deref(), Some("the writer has ended"));
}

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0] ^= 0x55;
    file.write_all_at(&byte, at).unwrap();
}

#[tokio::test]
async fn garbage_is_no_store() {
    let rig = Rig::new();
    std::fs::write(rig.path(), b"certainly no database, and long enough to be one ".repeat(400)).unwrap();
    let (store, _) = rig.try_open(&rig.settings()).unwrap();
    let standing = store.status();
    assert!(!standing.open && standing.problem.as_deref().unwrap().contains("no database"), "{standing:?}");
    drop(store);
    // It is left as it is, for whoever knows better.
    assert!(std::fs::read(rig.path()).unwrap().starts_with(b"certainly"));
}

#[tokio::test]
async fn an_empty_file_is_an_empty_store() {
    let rig = Rig::new();
    std::fs::write(rig.path(), b"").unwrap();
    rig.open().accept(accept(NOW, None)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_was_cut_is_reported_or_read_as_far_as_it_goes() {
    let rig = filled().await;
    let whole = std::fs::read(rig.path()).unwrap();
    for pages in 0..whole.len() / 8192 {
        for odd in [0, 100] {
            let cut = Rig::new();
            std::fs::write(cut.path(), &whole[..pages * 8192 + odd]).unwrap();
            if let Ok((store, _)) = cut.try_open(&cut.settings()) {
                use_it(&store).await;
            }
        }
    }
}

#[tokio::test]
async fn flipped_bytes_never_end_the_writer() {
    let rig = filled().await;
    let length = rig.path().metadata().unwrap().len();
    for round in 0..60_u64 {
        let flipped = Rig::new();
        std::fs::copy(rig.path(), flipped.path()).unwrap();
        // Spread over the file, and over the places in a page; the first page's header among them.
        for step in 0..20 {
            flip(&flipped.path(), (round * 7919 + step * 104_729) % length);
        }
        if let Ok((store, _)) = flipped.try_open(&flipped.settings()) {
            use_it(&store).await;
        }
    }
}

#[tokio::test]
async fn flipped_bytes_in_the_log_lose_its_end_and_no_more() {
    let rig = Rig::new();
    let store = rig.open();
    let first = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let log = rig.folder.path().join("relay.db-wal");
    let sound = log.metadata().unwrap().len();
    store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let whole = log.metadata().unwrap().len();
    assert!(whole > sound);
    let copy = Rig::new();
    for name in ["relay.db", "relay.db-wal"] {
        std::fs::copy(rig.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    flip(&copy.folder.path().join("relay.db-wal"), sound + 500);
    let after = copy.open();
    let claimed = after.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.ticket).collect::<Vec<_>>(), [first]);
    use_it(&after).await;
}
