//! Pages that cannot be read, one of every table and index, and bits that turned over: what lies on them is set aside and said,
//! everything else goes on, and nothing that was altered is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dmz_relay::domain::HistoryOutcome;
use dmz_relay::guards::dedupe::DedupeKey;
use dmz_relay::store::{Accept, Early, Entry, Query, Store, StoreEvent};
use rusqlite::Connection;

use crate::rig::{NOW, Rig, accept, entry, eventually, head};

const PAGE: u64 = 8192;
const WAITING: usize = 300;

fn body(number: usize) -> Bytes {
    Bytes::from(format!("{number} {}", "x".repeat(500)))
}

/// Closed, so that everything is in the one file. Bodies by request id.
async fn filled() -> (Rig, BTreeMap<String, Bytes>) {
    let rig = Rig::new();
    let store = rig.open();
    let mut bodies = BTreeMap::new();
    for number in 0..WAITING {
        let at = NOW.plus(std::time::Duration::from_millis(number as u64));
        let accepted = accept(at, Some(NOW));
        let dedupe = Some((
            DedupeKey::new("dastra", "secret", &number.to_string()),
            NOW.plus(std::time::Duration::from_secs(900)),
        ));
        let entry = Entry { body: Some(body(number)), ..accepted.entry };
        bodies.insert(entry.request_id.to_string(), body(number));
        store.accept(Accept { entry, dedupe, ..accepted }).await.unwrap();
        store.record(Entry {
            outcome: HistoryOutcome::Refused,
            reason: "signature_mismatch",
            key: None,
            upstream: None,
            ..self::entry(at)
        });
        store.put("silence", "dastra", number as i64, vec![1; 100]);
    }
    store.flush().await.unwrap();
    drop(store);
    (rig, bodies)
}

/// Leaves of each table and index.
fn leaves(path: &Path) -> BTreeMap<String, Vec<u64>> {
    let file = Connection::open(path).unwrap();
    let roots: Vec<(String, u32)> = {
        let mut roots = file.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").unwrap();
        roots.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    drop(file);
    let file = std::fs::File::open(path).unwrap();
    let mut leaves: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, root) in roots {
        let mut pages = vec![u64::from(root)];
        while let Some(number) = pages.pop() {
            let mut page = [0; PAGE as usize];
            file.read_exact_at(&mut page, (number - 1) * PAGE).unwrap();
            if page[0] == 0x0a || page[0] == 0x0d {
                leaves.entry(name.clone()).or_default().push(number);
                continue;
            }
            let word = |at: usize| u32::from_be_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
            pages.push(u64::from(word(8)));
            let cells = usize::from(u16::from_be_bytes([page[3], page[4]]));
            for cell in 0..cells {
                let at = usize::from(u16::from_be_bytes([page[12 + 2 * cell], page[13 + 2 * cell]]));
                pages.push(u64::from(word(at)));
            }
        }
    }
    leaves
}

fn overwrite(path: &Path, page: u64, with: &[u8; PAGE as usize]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(with, (page - 1) * PAGE).unwrap();
}

/// Takes everything that can be had, as delivery does; gives the ids. Whatever comes must be as it was sent.
async fn deliver_all(store: &Store, bodies: &BTreeMap<String, Bytes>, what: &str) -> BTreeSet<String> {
    let mut delivered = BTreeSet::new();
    eventually(&format!("{what}: nothing that can be read waits"), async || {
        for claimed in store.claim(&Arc::from("dastra"), 100, false, Early::Nothing).await.unwrap_or_default() {
            let request = claimed.request;
            let id = request.request_id.to_string();
            assert_eq!(bodies.get(&id), Some(&request.body), "altered");
            assert_eq!((request.head.path(), request.source), (head().path(), entry(NOW).source), "altered");
            delivered.insert(id);
        }
        let backlog = store.backlog("dastra");
        store.status().open && backlog.waiting == backlog.claimed
    })
    .await;
    delivered
}

fn set_aside(rig: &Rig) -> usize {
    rig.news.lock().unwrap().iter().filter(|news| matches!(news, StoreEvent::SetAside { .. })).count()
}

#[tokio::test]
async fn a_leaf_of_any_table_or_index_takes_with_it_what_lay_on_it_and_no_more() {
    let (rig, bodies) = filled().await;
    let leaves = leaves(&rig.path());
    for table in
        ["events", "bodies", "spool", "refusals", "dedupe", "marks", "names", "meta", "spool_due", "spool_order"]
    {
        assert!(leaves.contains_key(table), "{leaves:?}");
    }
    for (name, pages) in leaves {
        if name == "sqlite_schema" {
            continue;
        }
        let copy = Rig::new();
        std::fs::copy(rig.path(), copy.path()).unwrap();
        let middle = pages[pages.len() / 2];
        overwrite(&copy.path(), middle, &[0x5a; PAGE as usize]);
        let store = copy.open();
        let delivered = deliver_all(&store, &bodies, &name).await;
        let backlog = store.backlog("dastra");
        assert_eq!(delivered.len() as u64 + backlog.dead, WAITING as u64, "{name}: lost without a word");
        // A leaf holds some dozens at most.
        assert!(delivered.len() + 60 >= WAITING, "{name}: only {} delivered", delivered.len());
        if !["events", "bodies"].contains(&&*name) {
            assert_eq!(delivered.len(), WAITING, "{name}: nothing of a request was on it");
        }
        // Taken at once, and again and again.
        for _ in 0..20 {
            store.accept(accept(NOW, Some(NOW))).await.unwrap();
        }
        let _ = store.page(Query { limit: 1000, ..Query::default() }, Arc::default()).await;
        eventually("the history can be read", async || {
            store.page(Query { limit: 1000, ..Query::default() }, Arc::default()).await.is_ok()
        })
        .await;
        let told = set_aside(&copy);
        assert!(told <= 1, "{name}: it flaps");
        eventually("what was set aside is counted", async || store.status().set_aside == told as u64).await;
        let failures =
            copy.news.lock().unwrap().iter().filter(|news| matches!(news, StoreEvent::Failed { .. })).count();
        assert!(failures <= 1, "{name}: it flaps");
        drop(store);
        assert!(copy.reopen().0.status().open, "{name}");
    }
}

/// A leaf that is damaged while the store is open, of the table that everything is written to.
#[tokio::test]
async fn damage_under_the_running_store_is_set_aside_once_and_acceptance_goes_on() {
    for table in ["events", "bodies", "spool"] {
        let (rig, bodies) = filled().await;
        let pages = leaves(&rig.path()).remove(table).unwrap();
        let store = rig.open();
        overwrite(&rig.path(), *pages.iter().max().unwrap(), &[0xa5; PAGE as usize]);
        let mut known = bodies.clone();
        eventually("accepted again", async || {
            let accepted = accept(NOW, Some(NOW));
            known.insert(accepted.entry.request_id.to_string(), Bytes::from_static(b"hello"));
            store.accept(accepted).await.is_ok()
        })
        .await;
        let delivered = deliver_all(&store, &known, table).await;
        assert!(delivered.len() + 60 >= WAITING, "{table}: only {} delivered", delivered.len());
        let failures = rig.news.lock().unwrap().iter().filter(|news| matches!(news, StoreEvent::Failed { .. })).count();
        assert!(failures <= 1, "{table}: it flaps: {:?}", rig.news.lock().unwrap());
    }
}

/// A bit of a body, of a head, of an id: SQLite does not notice, and it is noticed all the same.
#[tokio::test]
async fn a_flipped_bit_is_never_delivered() {
    let (rig, bodies) = filled().await;
    let whole = std::fs::read(rig.path()).unwrap();
    let leaves = leaves(&rig.path());
    let mut random = fastrand::Rng::with_seed(7);
    let mut dead = 0;
    for table in ["events", "bodies", "spool", "names"] {
        for _ in 0..8 {
            let copy = Rig::new();
            let mut flipped = whole.clone();
            for _ in 0..5 {
                let page = leaves[table][random.usize(..leaves[table].len())];
                let at = ((page - 1) * PAGE + random.u64(8..PAGE)) as usize;
                flipped[at] ^= 1 << random.u8(..8);
            }
            std::fs::write(copy.path(), &flipped).unwrap();
            let store = copy.open();
            // A due time that was altered is at most as far away as any other may be.
            copy.clock.advance(std::time::Duration::from_secs(24 * 60 * 60));
            let delivered = deliver_all(&store, &bodies, table).await;
            // A route whose name was altered has what it has; nobody is answered for it.
            let all: u64 =
                store.backlogs().iter().map(|(_, backlog)| backlog.waiting - backlog.claimed + backlog.dead).sum();
            assert!(delivered.len() as u64 + all >= WAITING as u64 - 10, "{table}: {} {all}", delivered.len());
            dead += store.backlog("dastra").dead;
        }
    }
    assert!(dead > 0, "no flip ever met anything");
}
