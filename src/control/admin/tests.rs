//! Over real sockets, TCP and Unix.

use std::sync::Mutex;

use super::*;
use crate::base::UnixMillis;
use crate::control::admin::events::{Asking, Denied, EventDetail, Listed, Recorded, RedeliveryReport, Whose};
use crate::gate::explain::EventExplanation;
use crate::observe::AdminAction;
use crate::runtime::snapshot::{Account, AdminAddress};
use crate::store::{ActionPage, ActionQuery, Bookmark, Query};
use bytes::Bytes;
use status::{ConfigStatus, Problem};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

#[derive(Default)]
struct Relay {
    draining: AtomicBool,
    broken: AtomicBool,
    asked: AtomicUsize,
    /// How often its metrics were.
    shown: AtomicUsize,
    acted: Mutex<Vec<String>>,
}

impl AdminSource for Relay {
    fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    fn status(&self) -> Status {
        let config = ConfigStatus { generation: 7, ..ConfigStatus::default() };
        Status { version: "0.1.0".into(), state: status::State::Running, config, ..Status::default() }
    }

    fn metrics(&self) -> String {
        self.shown.fetch_add(1, Ordering::Relaxed);
        "dmz_relay_build_info 1\n".into()
    }

    fn roles(&self) -> Roles {
        let account = |uid: u32| vec![Account::User(uid.to_string())];
        Roles { operators: account(4_000_000_001), readers: account(4_000_000_002) }
    }

    fn acted(&self, action: &AdminAction<'_>) {
        self.acted.lock().unwrap().push(action.result.as_str().to_owned());
    }

    fn reload(&self) -> Reloading<'_> {
        Box::pin(async {
            Some(if self.broken.load(Ordering::Relaxed) {
                ReloadReport::Kept { problems: vec![Problem { line: Some(4), ..Problem::default() }] }
            } else {
                ReloadReport::Applied {
                    generation: 8,
                    changes: Vec::new(),
                    needs_restart: vec!["admin".into()],
                    warnings: Vec::new(),
                }
            })
        })
    }

    fn running(&self) -> Configuring<'_, Running> {
        let running = Running {
            path: "/etc/relay.toml".into(),
            generation: 7,
            version: Some(2),
            text: "reload = \"manual\"\n".into(),
            changed_files: Vec::new(),
        };
        Box::pin(async { Ok(running) })
    }

    fn versions(&self) -> Configuring<'_, VersionList> {
        Box::pin(async { Ok(VersionList { running: Some(2), versions: Vec::new() }) })
    }

    fn version(&self, number: u64) -> Configuring<'_, Version> {
        Box::pin(async move {
            let version =
                Version { version: number, applied_at: String::new(), trigger: "start".into(), ..Version::default() };
            if number == 2 { Ok(version) } else { Err(Denied::VersionUnknown) }
        })
    }
}

/// A relay without a store; it counts whoever asks it for events.
impl EventSource for Relay {
    fn now(&self) -> UnixMillis {
        UnixMillis(0)
    }

    fn page(&self, _query: Query) -> Asking<'_, Listed> {
        self.none()
    }

    fn bookmark(&self) -> Result<Bookmark, Denied> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(Denied::NoStore)
    }

    fn recorded_since(&self, _since: Bookmark, _most: usize, _wait: Duration) -> Asking<'_, Recorded> {
        self.none()
    }

    fn event<'a>(&'a self, _id: &'a str) -> Asking<'a, EventDetail> {
        self.none()
    }

    fn body<'a>(&'a self, _id: &'a str) -> Asking<'a, Bytes> {
        self.none()
    }

    fn explanation<'a>(&'a self, _id: &'a str) -> Asking<'a, EventExplanation> {
        self.none()
    }

    fn redeliver<'a>(&'a self, _id: &'a str) -> Asking<'a, RedeliveryReport> {
        self.none()
    }

    fn retry<'a>(&'a self, _id: &'a str) -> Asking<'a, ()> {
        self.none()
    }

    fn discard<'a>(&'a self, _id: &'a str) -> Asking<'a, ()> {
        self.none()
    }

    fn retry_waiting(&self, _whose: Whose) -> Asking<'_, u64> {
        self.none()
    }

    fn actions(&self, _query: ActionQuery) -> Asking<'_, ActionPage> {
        self.none()
    }

    fn exported(&self, _token: &str) {}
}

impl Relay {
    fn none<T: 'static>(&self) -> Asking<'_, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(Denied::NoStore) })
    }
}

struct Rig {
    relay: Arc<Relay>,
    address: AdminAddress,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(unix: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wanted = match unix {
            true => AdminAddress::Unix(folder.path().join("admin.sock")),
            false => AdminAddress::Tcp("127.0.0.1:0".parse().unwrap()),
        };
        let bound = Bound::bind(&wanted, Exposure::Loopback).unwrap();
        let address = bound.tcp_address().map_or(wanted, AdminAddress::Tcp);
        let relay = Arc::new(Relay::default());
        let task = tokio::spawn(bound.serve(Arc::clone(&relay)));
        Self { relay, address, task, _folder: folder }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = client::get(&self.address, path).await.unwrap();
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    async fn connect(&self) -> Stream {
        match &self.address {
            AdminAddress::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            AdminAddress::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        }
    }

    /// Sends bytes as they are and reads until the relay closes the connection.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let reading = stream.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(120), reading).await.unwrap().unwrap();
        answer
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn what_scrapers_ask_is_answered_over_tcp_and_all_of_it_over_unix() {
    for (rig, unix) in [(Rig::new(false), false), (Rig::new(true), true)] {
        assert_eq!(rig.get("/healthz").await, (200, "ok\n".into()));
        assert_eq!(rig.get("/readyz").await, (200, "ready\n".into()));
        assert_eq!(rig.get("/metrics").await, (200, "dmz_relay_build_info 1\n".into()));
        if !unix {
            assert_eq!(rig.get("/api/v1/status").await.0, 403);
            continue;
        }
        let (code, body) = rig.get("/api/v1/status").await;
        assert_eq!((code, serde_json::from_str::<Status>(&body).unwrap()), (200, rig.relay.status()));
        assert_eq!(rig.get("/").await.0, 404);
        assert_eq!(rig.get("/api/v1/reload").await.0, 405);
        let (code, body) = rig.get("/api/v1/events").await;
        assert_eq!(code, 404);
        let no_store = r#"{"error":"no store is configured: add [store]","code":"no_store"}"#;
        assert_eq!(body, no_store);
    }
}

#[tokio::test]
async fn a_draining_relay_is_healthy_and_not_ready() {
    let rig = Rig::new(false);
    rig.relay.draining.store(true, Ordering::Relaxed);
    assert_eq!(rig.get("/readyz").await, (503, "not ready\n".into()));
    assert_eq!(rig.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn a_reload_reports_what_came_of_it() {
    for rig in [Rig::new(true)] {
        let answer = client::reload(&rig.address, None).await.unwrap();
        let report: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let expected = serde_json::json!(
            {"outcome": "applied", "generation": 8, "changes": [], "needs_restart": ["admin"], "warnings": []}
        );
        assert_eq!((answer.status, report), (200, expected));
        rig.relay.broken.store(true, Ordering::Relaxed);
        let answer = client::reload(&rig.address, None).await.unwrap();
        let report: ReloadReport = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 422);
        assert!(matches!(&report, ReloadReport::Kept { problems } if problems[0].line == Some(4)), "{report:?}");
    }
}

#[tokio::test]
async fn browsers_are_turned_away() {
    let rig = Rig::new(false);
    for head in [
        "POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\n",
        "POST /api/v1/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: null\r\n",
        "POST /api/v1/reload HTTP/1.1\r\nHost: evil.example:9600\r\n",
        "GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n",
        "GET /metrics HTTP/1.1\r\nHost: localhost.evil.example\r\n",
    ] {
        let answer = rig.raw(&format!("{head}Connection: close\r\nContent-Length: 0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{head}{answer}");
    }
}

#[tokio::test]
async fn every_endpoint_asks_for_its_role() {
    let relay = Arc::new(Relay::default());
    let caller = |uid, owner| Peer::Unix(Caller { uid, gid: 4_000_000_000, pid: Some(7), owner });
    let (operator, reader) = (caller(4_000_000_001, false), caller(4_000_000_002, false));
    let (viewer, owner) = (caller(4_000_000_003, false), caller(4_000_000_004, true));
    for endpoint in ENDPOINTS {
        for (peer, may) in [
            (Peer::Tcp, endpoint.access == Access::Scraper),
            (viewer, matches!(endpoint.access, Access::Scraper | Access::Viewer)),
            (operator, endpoint.access != Access::Reader),
            (reader, endpoint.access != Access::Operator),
            (owner, true),
        ] {
            let (method, path) = (endpoint.method.as_str(), endpoint.path.replace("{id}", "1a"));
            let before = (relay.asked.load(Ordering::Relaxed), relay.acted.lock().unwrap().len());
            let answer = over_a_pipe(&relay, peer, method, &path).await;
            assert_eq!(answer.starts_with("HTTP/1.1 403 "), !may, "{method} {path} of {peer:?}: {answer}");
            let asked = relay.asked.load(Ordering::Relaxed) - before.0;
            let of_events = ["/events", "/waiting", "/exports", "/actions"].iter().any(|part| path.contains(part));
            assert_eq!(asked, usize::from(of_events && may), "{path} of {peer:?}");
            let acted = relay.acted.lock().unwrap().split_off(before.1);
            let recorded = matches!(endpoint.access, Access::Operator | Access::Reader) && peer != Peer::Tcp;
            assert_eq!(acted.len(), usize::from(recorded), "{path} of {peer:?}");
            assert!(acted.iter().all(|result| (result == "refused") != may), "{path} of {peer:?}: {acted:?}");
        }
    }
}

/// One request of a peer of this kind.
async fn over_a_pipe(relay: &Arc<Relay>, peer: Peer, method: &str, path: &str) -> String {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let place = Places::take(&Arc::default()).unwrap();
    let ongoing = Arc::default();
    let serving = tokio::spawn(connection(theirs, peer, Exposure::Network, Arc::clone(relay), ongoing, place));
    let request = format!("{method} {path} HTTP/1.1\r\nHost: relay.example\r\nConnection: close\r\n\r\n");
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.unwrap();
    serving.abort();
    answer
}

#[tokio::test]
async fn the_wrong_method_is_told_the_right_one() {
    let rig = Rig::new(false);
    let answer = rig.raw("DELETE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET, HEAD"), "{answer}");
    let answer = rig.raw("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_large_body_or_head_is_refused() {
    let rig = Rig::new(false);
    let body = "x".repeat(65 * 1024);
    let head = format!("POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = rig.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let long = "y".repeat(16 * 1024);
    let mut stream = rig.connect().await;
    let _ = stream.write_all(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}").as_bytes()).await;
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431");
}

#[tokio::test]
async fn a_slow_head_ends_with_its_deadline() {
    let rig = Rig::new(false);
    let mut rest = Vec::new();
    rig.connect().await.read_to_end(&mut rest).await.unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

/// Every place is taken, and taken again, by connections that say nothing, that send no body, and that read no answer.
#[tokio::test]
async fn health_and_reload_are_answered_whoever_fills_the_places() {
    let rig = Rig::new(true);
    let mut held = Vec::new();
    for number in 0..3 * places::CONNECTIONS {
        let mut stream = rig.connect().await;
        let request = match number % 3 {
            0 => String::new(),
            1 => "POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".to_owned(),
            // More answers than the sockets between the two can hold.
            _ => "GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500),
        };
        // It may be ended already.
        let _ = stream.write_all(request.as_bytes()).await;
        held.push(stream);
        if number % 16 == 0 {
            assert_eq!(client::get(&rig.address, "/healthz").await.unwrap().status, 200, "beside {number}");
        }
    }
    for _ in 0..20 {
        assert_eq!(client::get(&rig.address, "/readyz").await.unwrap().status, 200);
        assert_eq!(client::reload(&rig.address, None).await.unwrap().status, 200);
    }
    drop(held);
}

/// Who asks again and again and reads nothing has one request answered while everybody else has a turn.
#[tokio::test]
async fn requests_here_take_turns_with_everything_else() {
    let rig = Rig::new(false);
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut stream = rig.connect().await;
        let asked = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
        stream.write_all(asked.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let (mut before, mut most) = (rig.relay.shown.load(Ordering::Relaxed), 0);
    for _ in 0..1000 {
        tokio::task::yield_now().await;
        let shown = rig.relay.shown.load(Ordering::Relaxed);
        (before, most) = (shown, most.max(shown - before));
    }
    assert!((1..=2).contains(&most), "{most} in one turn");
    drop(held);
}

#[tokio::test]
async fn a_stopped_admin_listener_removes_its_socket() {
    let rig = Rig::new(true);
    let AdminAddress::Unix(path) = &rig.address else { panic!() };
    assert_eq!(rig.get("/healthz").await.0, 200);
    rig.task.abort();
    while !rig.task.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(!path.exists());
    let refused = client::get(&rig.address, "/healthz").await.unwrap_err();
    assert!(refused.to_string().starts_with("cannot reach the relay at unix:"), "{refused}");
}
