//! Another file, another log or other content comes into the place of ours: it is refused and said, nothing is destroyed, and what was
//! acknowledged is found when the right one is back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dmz_relay::store::{Early, OpenError, Store, Ticket, Unstored, backup};

use crate::rig::{NOW, Rig, accept, eventually};

fn beside(rig: &Rig, suffix: &str) -> PathBuf {
    rig.folder.path().join(format!("relay.db{suffix}"))
}

async fn waiting(store: &Store) -> Vec<Ticket> {
    let claimed = store.claim(&Arc::from("dastra"), 100, false, Early::Nothing).await.unwrap();
    claimed.iter().map(|claimed| claimed.ticket).collect()
}

async fn refused(store: &Store, words: &str) {
    eventually("it is noticed", async || {
        let standing = store.status();
        !standing.open && standing.problem.is_some_and(|problem| problem.contains(words))
    })
    .await;
    assert_eq!(store.accept(accept(NOW, Some(NOW))).await, Err(Unstored::Failed));
}

/// Every byte of the folder, by name.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// A store with one waiting request, a backup of that moment, and one more since.
async fn backed_up(rig: &Rig) -> (Arc<Store>, PathBuf, [Ticket; 2]) {
    let store = rig.open();
    let first = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    let copy = rig.folder.path().join("backup.db");
    backup(&rig.path(), &copy, |_, _| {}).unwrap();
    let second = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    (store, copy, [first, second])
}

/// What `kill -9` leaves, and what somebody made of it.
fn crashed(rig: &Rig) -> Rig {
    let copy = Rig::new();
    for name in ["relay.db", "relay.db-wal"] {
        fs::copy(rig.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_backup_that_is_moved_over_the_running_store_is_refused_whole() {
    let rig = Rig::new();
    let (store, copy, tickets) = backed_up(&rig).await;
    let (ours, sound) = (rig.folder.path().join("ours.db"), fs::read(&copy).unwrap());
    fs::rename(rig.path(), &ours).unwrap();
    fs::rename(&copy, rig.path()).unwrap();
    refused(&store, "another file has its place").await;
    assert!(fs::read(rig.path()).unwrap() == sound, "the backup was written to");
    // Nor is it taken after a restart, with the log of the other beside it.
    fs::rename(rig.path(), &copy).unwrap();
    fs::rename(&ours, rig.path()).unwrap();
    eventually("it is open again", async || store.status().open).await;
    assert_eq!(waiting(&store).await, tickets);
}

#[tokio::test]
async fn a_backup_that_is_copied_into_the_running_store_is_refused_whole() {
    let rig = Rig::new();
    let (store, copy, tickets) = backed_up(&rig).await;
    // As it is, with its log: what an operator who notices can put back.
    let before = crashed(&rig);
    let sound = fs::read(&copy).unwrap();
    fs::write(rig.path(), &sound).unwrap();
    refused(&store, "other content has its place").await;
    drop(store);
    assert!(fs::read(rig.path()).unwrap() == sound, "the backup was written to");
    assert_eq!(waiting(&before.open()).await, tickets);
}

#[tokio::test]
async fn a_restore_that_forgets_the_log_is_refused_and_works_without_it() {
    let rig = Rig::new();
    let (_store, copy, tickets) = backed_up(&rig).await;
    for in_place in [true, false] {
        let left = crashed(&rig);
        if in_place {
            fs::write(left.path(), fs::read(&copy).unwrap()).unwrap();
        } else {
            fs::remove_file(left.path()).unwrap();
            fs::copy(&copy, left.path()).unwrap();
        }
        let before = bytes(left.folder.path());
        let store = left.open();
        refused(&store, "belongs to another file").await;
        assert!(bytes(left.folder.path()) == before, "something was written");
        // The operator does as the words say; no restart is needed.
        fs::remove_file(beside(&left, "-wal")).unwrap();
        eventually("it is open", async || store.status().open).await;
        assert_eq!(waiting(&store).await, tickets[..1]);
    }
}

#[tokio::test]
async fn a_log_of_another_store_is_refused_untouched() {
    let other = Rig::new();
    let theirs = other.open();
    theirs.accept(accept(NOW, Some(NOW))).await.unwrap();
    let rig = Rig::new();
    let store = rig.open();
    let ours = store.accept(accept(NOW, Some(NOW))).await.unwrap();
    drop(store);
    fs::copy(beside(&other, "-wal"), beside(&rig, "-wal")).unwrap();
    let before = bytes(rig.folder.path());
    let store = rig.open();
    refused(&store, "belongs to another file").await;
    assert!(bytes(rig.folder.path()) == before, "something was written");
    drop(store);
    fs::remove_file(beside(&rig, "-wal")).unwrap();
    // A foreign index of a log is none: SQLite makes it anew.
    fs::copy(beside(&other, "-shm"), beside(&rig, "-shm")).unwrap();
    assert_eq!(waiting(&rig.open()).await, [ours]);
}

/// Beside an empty file, too, where it would be taken for the file.
#[tokio::test]
async fn a_log_without_its_file_is_refused() {
    let other = Rig::new();
    // The first log of all makes the file whole; a later one does not.
    drop(other.open());
    let theirs = other.open();
    theirs.accept(accept(NOW, Some(NOW))).await.unwrap();
    let rig = Rig::new();
    fs::copy(beside(&other, "-wal"), beside(&rig, "-wal")).unwrap();
    refused(&rig.open(), "belongs to another file").await;
}

#[tokio::test]
async fn a_log_that_is_removed_or_replaced_under_the_running_store_loses_nothing() {
    let other = Rig::new();
    let theirs = other.open();
    theirs.accept(accept(NOW, Some(NOW))).await.unwrap();
    for replaced in [false, true] {
        let rig = Rig::new();
        let store = rig.open();
        let first = store.accept(accept(NOW, Some(NOW))).await.unwrap();
        let openings = rig.news.lock().unwrap().len();
        fs::remove_file(beside(&rig, "-wal")).unwrap();
        if replaced {
            fs::copy(beside(&other, "-wal"), beside(&rig, "-wal")).unwrap();
            refused(&store, "belongs to another file").await;
            fs::remove_file(beside(&rig, "-wal")).unwrap();
        }
        eventually("it is open again", async || rig.news.lock().unwrap().len() > openings + 1 && store.status().open)
            .await;
        let second = store.accept(accept(NOW, Some(NOW))).await.unwrap();
        let after = crashed(&rig);
        assert_eq!(waiting(&after.open()).await, [first, second], "replaced: {replaced}");
    }
}

#[tokio::test]
async fn a_store_that_was_copied_with_its_log_opens() {
    let rig = Rig::new();
    let (store, _, tickets) = backed_up(&rig).await;
    assert_eq!(waiting(&crashed(&rig).open()).await, tickets);
    drop(store);
}

#[tokio::test]
async fn nothing_beside_the_file_lets_a_second_process_in() {
    let rig = Rig::new();
    let store = rig.open();
    store.accept(accept(NOW, Some(NOW))).await.unwrap();
    // Whatever an operator removes who takes it for a left-over.
    for entry in fs::read_dir(rig.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path != rig.path() {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(rig.try_open(&rig.settings()).map(drop).unwrap_err(), OpenError::InUse);
}

#[tokio::test]
async fn a_backup_opens_as_it_was_at_its_moment() {
    let rig = Rig::new();
    let (store, copy, tickets) = backed_up(&rig).await;
    assert!(backup(&rig.path(), &copy, |_, _| {}).unwrap_err().contains("it is there already"));
    assert!(backup(&copy.with_extension("none"), &rig.folder.path().join("x"), |_, _| {}).is_err());
    assert_eq!(fs::read_dir(rig.folder.path()).unwrap().count(), 4, "nothing of a failed one is left");
    let restored = Rig::new();
    fs::copy(&copy, restored.path()).unwrap();
    assert_eq!(waiting(&restored.open()).await, tickets[..1]);
    drop(store);
}
