//! Sealed at rest: nothing to be seen in the file, keys that rotate, keys that are missing.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dmz_relay::base::Secret;
use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::store::{Accept, Early, Entry, OpenError, Query, SealingKey, Settings, Settlement};

use crate::rig::{NOW, Rig, accept, attempt, entry};

fn key(byte: u8) -> SealingKey {
    SealingKey(Secret::new(vec![byte; 32]))
}

fn canary() -> Head {
    Head::builder(Method::Post, Version::Http11)
        .target("/hooks/dastra?who=canary-in-query")
        .host("canary-in-host.example")
        .header("X-Person", "canary-in-header")
        .build()
}

fn secret() -> Accept {
    let accepted = accept(NOW, Some(NOW));
    let body = Some(Bytes::from_static(b"{\"name\": \"canary-in-body\"}"));
    Accept { entry: Entry { head: Some(canary()), body, ..accepted.entry }, ..accepted }
}

/// Every byte of every file of the folder.
fn bytes(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn shows(folder: &Path, word: &str) -> bool {
    bytes(folder).windows(word.len()).any(|window| window == word.as_bytes())
}

impl Rig {
    fn keyed(&self, keys: Vec<SealingKey>) -> Settings {
        Settings { keys, ..self.settings() }
    }
}

#[tokio::test]
async fn nothing_that_a_sender_wrote_is_in_the_file() {
    for sealed in [true, false] {
        let rig = Rig::new();
        let keys = if sealed { vec![key(1)] } else { Vec::new() };
        let (store, _) = rig.try_open(&rig.keyed(keys)).unwrap();
        store.accept(secret()).await.unwrap();
        store.record(Entry { head: Some(canary()), body: secret().entry.body, ..entry(NOW) });
        store.flush().await.unwrap();
        // While it is open, so that the log is looked at too.
        assert!(rig.path().with_extension("db-wal").metadata().unwrap().len() > 0);
        for word in ["canary-in-query", "canary-in-host", "canary-in-header", "canary-in-body"] {
            assert_eq!(shows(rig.folder.path(), word), !sealed, "{word}");
        }
        let claimed = store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.unwrap().remove(0);
        assert_eq!(&*claimed.request.body, b"{\"name\": \"canary-in-body\"}");
        assert_eq!(claimed.request.head.host(), "canary-in-host.example");
        let found = store
            .page(Query { text: Some("canary-in-header".into()), ..Query::default() }, Arc::default())
            .await
            .unwrap();
        assert_eq!(found.events.len(), 2, "an operator still searches");
        drop(store);
        assert_eq!(shows(rig.folder.path(), "canary-in-body"), !sealed);
    }
}

#[tokio::test]
async fn keys_rotate_and_sealing_is_turned_on_and_off() {
    let rig = Rig::new();
    // Sealed with a first key, with a second one that still opens the first's, and with a third.
    for keys in [vec![key(1)], vec![key(2), key(1)], vec![key(3), key(2), key(1)]] {
        let (store, _) = rig.try_open(&rig.keyed(keys)).unwrap();
        store.accept(secret()).await.unwrap();
    }
    for keys in [vec![], vec![key(1)], vec![key(2)], vec![key(3), key(2)]] {
        assert_eq!(rig.try_open(&rig.keyed(keys)).map(drop).unwrap_err(), OpenError::KeyMissing);
    }
    let (store, _) = rig.try_open(&rig.keyed(vec![key(3), key(2), key(1)])).unwrap();
    let claimed = store.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.len(), 3);
    for claimed in claimed {
        assert_eq!(&*claimed.request.body, b"{\"name\": \"canary-in-body\"}");
        store.settle(claimed.ticket, Settlement::Delivered(attempt(1))).await.unwrap();
    }
    drop(store);
    // Nothing undelivered needs a key any more. What history cannot open it shows without a head.
    let store = rig.open();
    let events = store.page(Query::default(), Arc::default()).await.unwrap().events;
    assert_eq!(events.iter().filter(|event| event.entry.head.is_some()).count(), 0);
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn what_lies_in_clear_is_set_aside_once_the_store_seals() {
    let rig = Rig::new();
    let store = rig.open();
    let clear = secret();
    let id = clear.entry.request_id.clone();
    store.accept(clear).await.unwrap();
    drop(store);
    let (store, _) = rig.try_open(&rig.keyed(vec![key(1)])).unwrap();
    store.accept(secret()).await.unwrap();
    let claimed = store.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.len(), 1, "the sealed one");
    assert_eq!(store.backlog("dastra").dead, 1);
    let event = store.event(&id).await.unwrap().unwrap();
    let why = event.history[0].detail.as_deref().unwrap();
    assert!(why.starts_with("it is stored in clear text, and the store seals"), "{why}");
    assert!(event.entry.head.is_none() && event.entry.body.is_none(), "nothing of it is shown either");
    assert!(store.request(&id).await.unwrap().is_none(), "nor sent by hand");
    drop(store);
    // Who turned sealing on too early turns it off again, and it is there.
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    file.execute("DELETE FROM spool WHERE seq = 2", []).unwrap();
    drop(file);
    assert!(rig.open().request(&id).await.unwrap().is_some());
}

/// Whoever can write to the file gives a sealed row another route, or another proof.
#[tokio::test]
async fn a_sealed_row_that_was_given_another_route_or_proof_is_no_request() {
    for change in [
        "UPDATE spool SET route = (SELECT id FROM names WHERE text = 'other')",
        "UPDATE events SET secret = (SELECT id FROM names WHERE text = 'other')",
        "UPDATE events SET secret = NULL",
        "UPDATE names SET text = CASE text WHEN 'dastra' THEN 'x' WHEN 'other' THEN 'dastra' ELSE text END",
    ] {
        let rig = Rig::new();
        let keyed = rig.keyed(vec![key(1)]);
        let (store, _) = rig.try_open(&keyed).unwrap();
        store.accept(secret()).await.unwrap();
        let named = |name: &str| Some(Arc::from(name));
        store.record(Entry { route: named("other"), key: named("other"), ..entry(NOW) });
        store.flush().await.unwrap();
        drop(store);
        let file = rusqlite::Connection::open(rig.path()).unwrap();
        assert!(file.execute(change, []).unwrap() > 0, "{change}");
        drop(file);
        let (store, _) = rig.try_open(&keyed).unwrap();
        let mut claimed = 0;
        for route in ["dastra", "other", "x"] {
            claimed += store.claim(&Arc::from(route), 10, false, Early::Nothing).await.unwrap().len();
        }
        assert_eq!(claimed, 0, "{change}");
    }
}

#[tokio::test]
async fn what_was_blanked_waits_with_the_body_and_goes_with_it() {
    for sealed in [false, true] {
        let rig = Rig::new();
        let keys = if sealed { vec![key(1)] } else { Vec::new() };
        let (store, _) = rig.try_open(&rig.keyed(keys)).unwrap();
        let accepted = secret();
        let held = Some(Secret::new(b"canary-that-was-blanked".to_vec()));
        store.accept(Accept { entry: Entry { held, ..accepted.entry }, ..accepted }).await.unwrap();
        assert_eq!(shows(rig.folder.path(), "canary-that-was-blanked"), !sealed);
        let claimed = store.claim(&Arc::from("dastra"), 1, false, Early::Nothing).await.unwrap().remove(0);
        let held = claimed.request.held.as_ref().unwrap();
        assert_eq!(held.expose(), b"canary-that-was-blanked");
        assert!(!format!("{:?}", claimed.request).contains("canary-that"));
        store.settle(claimed.ticket, Settlement::Delivered(attempt(1))).await.unwrap();
        drop(store);
        let file = rusqlite::Connection::open(rig.path()).unwrap();
        let left: i64 = file.query_row("SELECT count(*) FROM bodies", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn a_blob_that_was_moved_or_altered_is_no_request_and_holds_nothing_up() {
    let rig = Rig::new();
    let (store, _) = rig.try_open(&rig.keyed(vec![key(1)])).unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let accepted = secret();
        ids.push(accepted.entry.request_id.clone());
        store.accept(accepted).await.unwrap();
    }
    drop(store);
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    // Of one and the same millisecond, so their keys are in no order.
    let swapped = "UPDATE bodies SET body = (SELECT body FROM bodies WHERE key = (SELECT key FROM spool WHERE seq = 3)) \
         WHERE key = (SELECT key FROM spool WHERE seq = 1)";
    assert_eq!(file.execute(swapped, []).unwrap(), 1);
    let cut = "UPDATE events SET head = substr(head, 1, 30) WHERE ticket = 2";
    assert_eq!(file.execute(cut, []).unwrap(), 1);
    drop(file);
    let (store, _) = rig.try_open(&rig.keyed(vec![key(1)])).unwrap();
    let claimed = store.claim(&Arc::from("dastra"), 10, false, Early::Nothing).await.unwrap();
    assert_eq!(claimed.len(), 1, "the sound one");
    let dead = store.backlog("dastra").dead;
    assert_eq!(dead, 2);
    let dead =
        store.page(Query { outcome: Some("dead".into()), ..Query::default() }, Arc::default()).await.unwrap().events;
    for event in dead {
        let history = store.event(&event.entry.request_id).await.unwrap().unwrap().history;
        assert_eq!(history[0].detail.as_deref(), Some("what was stored was altered on disk"));
        assert!(store.request(&event.entry.request_id).await.unwrap().is_none());
    }
}

#[test]
fn a_key_is_never_printed() {
    assert!(!format!("{:?}", key(7)).contains('7'));
}
