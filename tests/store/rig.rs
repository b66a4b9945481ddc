//! Stores in folders of their own, entries, and waiting on conditions.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dmz_relay::base::{Clock, UnixMillis};
use dmz_relay::domain::{Fault, Framing, Head, HistoryOutcome, Marks, Method, Version};
use dmz_relay::gate::pipeline::record::request_id;
use dmz_relay::store::{Accept, Attempt, AttemptKind, Entry, OpenError, Recovered, Settings, Store, StoreEvent, Took};

/// Far beyond what a write takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// 2023-11-14T22:13:20Z.
pub(crate) const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

/// A folder, a clock and what was told.
pub(crate) struct Rig {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Clock,
    pub(crate) news: Arc<Mutex<Vec<StoreEvent>>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Clock::fixed(NOW), news: Arc::default() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("relay.db")
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.path())
    }

    pub(crate) fn open(&self) -> Arc<Store> {
        self.reopen().0
    }

    pub(crate) fn reopen(&self) -> (Arc<Store>, Recovered) {
        self.try_open(&self.settings()).unwrap()
    }

    pub(crate) fn try_open(&self, settings: &Settings) -> Result<(Arc<Store>, Recovered), OpenError> {
        let news = Arc::clone(&self.news);
        Store::open(settings, self.clock.clone(), move |told| news.lock().unwrap().push(told))
    }
}

pub(crate) fn settings(path: &Path) -> Settings {
    Settings {
        path: path.to_owned(),
        keys: Vec::new(),
        keep_age: Duration::from_secs(14 * 24 * 60 * 60),
        keep_size: 1 << 30,
        disk_reserve: 0,
        refusals_per_second: 1_000_000,
    }
}

pub(crate) fn head() -> Head {
    Head::builder(Method::Post, Version::Http11)
        .host("hooks.example.com")
        .target("/hooks/dastra?a=%20b")
        .framing(Framing::Length(5))
        .header("Content-Type", "application/json")
        .header("X-Odd", [b'\xff', b'\x00', b'x'])
        .build()
}

/// A row of a request that was delivered.
pub(crate) fn entry(at: UnixMillis) -> Entry {
    Entry {
        request_id: request_id(at).into(),
        received_at: at,
        listener: Arc::from("public"),
        route: Some(Arc::from("dastra")),
        provider: Some(Arc::from("dastra")),
        method: Method::Post,
        version: Version::Http11,
        head: Some(head()),
        marks: Marks::default(),
        held: None,
        suffix: 3,
        https: true,
        source: IpAddr::from([192, 0, 2, 7]),
        via: "socket",
        allowed_by: Some("@dastra".into()),
        outcome: HistoryOutcome::Delivered,
        reason: "",
        status: 200,
        key: Some(Arc::from("current")),
        verified_by: None,
        dedupe: Some("id-1".into()),
        timestamp: Some(at),
        body_bytes: 5,
        body: None,
        upstream: Some(Arc::from("crm")),
        server: Some(Arc::from("http://127.0.0.1:9000")),
        upstream_status: Some(204),
        attempts: 1,
        detail: None,
        took: Took {
            read: Duration::from_micros(10),
            verify: Duration::from_micros(20),
            forward: Duration::from_micros(30),
            total: Duration::from_micros(70),
        },
    }
}

/// A request to be delivered later.
pub(crate) fn accept(at: UnixMillis, due: Option<UnixMillis>) -> Accept {
    let entry = Entry {
        outcome: HistoryOutcome::Accepted,
        body: Some(Bytes::from_static(b"hello")),
        server: None,
        upstream_status: None,
        attempts: 0,
        ..entry(at)
    };
    Accept { entry, dedupe: None, tried: None, due, refused: None, keep_body: false, repeat: false }
}

/// An attempt of this number that was taken.
pub(crate) fn attempt(number: u32) -> Attempt {
    Attempt {
        number,
        at: NOW,
        kind: AttemptKind::Spooled,
        server: Some("http://127.0.0.1:9000".into()),
        status: Some(204),
        fault: None,
        detail: None,
        took: Duration::from_millis(3),
    }
}

/// An attempt of this number that was not.
pub(crate) fn failed(number: u32) -> Attempt {
    let (status, fault) = (Some(500), Some(Fault::UpstreamStatus));
    Attempt { status, fault, detail: Some("the upstream's words".into()), ..attempt(number) }
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
