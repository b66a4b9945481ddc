//! A [`Rig`]: one relay with its certificates, files, log and clock, and one internal server.

mod answer;
mod call;
mod client;
pub mod document;
pub mod frames;
mod log;
pub mod peers;
mod pki;
mod setup;
mod signing;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use dmz_relay::base::Clock;
use dmz_relay::base::UnixMillis;
use dmz_relay::config::Environment;
use dmz_relay::control::app::{self, Options, ReloadOutcome, Running, StartError};
use dmz_relay::control::reload::Watching;
use dmz_relay::control::service::Service;
use dmz_relay::domain::{Doubt, Fault, Refusal};
use dmz_relay::gate::pipeline::{Gate, answer as table};
use dmz_relay::observe::Sink;
use dmz_relay::runtime::snapshot::{AdminAddress, Snapshot};
use dmz_relay::store::{Event, OpenError, Store};
use tempfile::TempDir;
use tokio::net::UnixStream;

pub use answer::Answer;
pub use call::Call;
pub use client::{H2, Io, Tls, Wire, read as read_h2};
pub use log::Log;
pub use peers::Peer;
pub use pki::{Authority, Pair};
pub use setup::{PLAIN, Setup};
pub use signing::{Oktave, base64_hmac, hex_hmac};

/// Far beyond what anything here takes, on a machine with other work too: whoever waits so long hangs.
pub const LONG: Duration = Duration::from_secs(120);
/// Where the fixed clock stands when a relay starts: 2026-11-22T10:00:00Z.
pub const NOW: i64 = 1_795_341_600;
/// What the fixed clock says while it is not set: the machine has no battery, and was started a minute ago.
pub const UNSET: i64 = 60;

/// The only wait: looks again until the condition holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LONG;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Both protocols that senders speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    H1,
    H2,
}

pub const BOTH: [Protocol; 2] = [Protocol::H1, Protocol::H2];

/// How a request is expected to end.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    Refused(Refusal),
    Failed(Fault),
    Undecided(Doubt),
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<Doubt> for Ending {
    fn from(doubt: Doubt) -> Self {
        Self::Undecided(doubt)
    }
}

impl Ending {
    fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Failed(fault) => fault.code(),
            Self::Undecided(doubt) => doubt.code(),
        }
    }

    fn outcome(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
            Self::Undecided(_) => "undecided",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => table::refusal_status(refusal),
            Self::Failed(fault) => table::fault_status(fault),
            Self::Undecided(doubt) => table::doubt_status(doubt),
        }
    }
}

async fn launch(setup: &Setup, folder: &Path, clock: &Clock, sink: Sink) -> Result<Running, StartError> {
    let environment =
        Environment::new(setup.variables.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())), None);
    app::start(Options {
        config: folder.join("relay.toml"),
        environment,
        clock: clock.clone(),
        sink,
        sockets: Vec::new(),
        service: Service::unmanaged(),
        watching: Watching::Notices,
    })
    .await
}

pub struct Rig {
    pub setup: Setup,
    pub authority: Authority,
    pub clock: Clock,
    pub log: Log,
    /// The upstream `app`.
    pub app: Peer,
    /// The first listener.
    pub address: SocketAddr,
    pub admin: Option<AdminAddress>,
    folder: TempDir,
    running: Option<Running>,
}

impl Rig {
    /// One route, `/hooks/plain`, that verifies nothing.
    pub async fn plain() -> Self {
        Self::start(Setup::default()).await
    }

    /// Routes of one's own before an honest internal server.
    pub async fn start(setup: Setup) -> Self {
        Self::with_app(setup, peers::honest::ok().await).await
    }

    pub async fn with_app(setup: Setup, app: Peer) -> Self {
        Self::try_start(setup, app).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub async fn try_start(setup: Setup, app: Peer) -> Result<Self, StartError> {
        watch_panics();
        let authority = Authority::new();
        let folder = TempDir::new().unwrap();
        setup.write(folder.path(), &authority, app.address);
        let clock = Clock::fixed(UnixMillis::from_secs(NOW)).made(UnixMillis::from_secs(UNSET + 1));
        let (log, sink) = Log::new();
        let running = launch(&setup, folder.path(), &clock, sink).await?;
        let (address, admin) = (running.listeners[0].1, running.admin.clone());
        Ok(Self { setup, authority, clock, log, app, address, admin, folder, running: Some(running) })
    }

    /// Ends the relay and starts another one over the same files, with a log of its own.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Starts a relay over the files of one that has ended.
    pub async fn start_again(&mut self) {
        self.rewrite();
        let deadline = tokio::time::Instant::now() + LONG;
        // The last task of the old one may still hold the store for a moment.
        let (log, _) = Log::new();
        let running = loop {
            match launch(&self.setup, self.folder.path(), &self.clock, log.sink()).await {
                Err(StartError::Store { error: OpenError::InUse, .. }) if tokio::time::Instant::now() < deadline => {}
                started => break started.unwrap_or_else(|error| panic!("{error}")),
            }
            tokio::task::yield_now().await;
        };
        (self.address, self.admin, self.log) = (running.listeners[0].1, running.admin.clone(), log);
        self.running = Some(running);
    }

    /// The store of the running relay.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(self.running().state().store().unwrap())
    }

    /// What an admin call is made with.
    pub fn gate(&self) -> Gate {
        self.running().gate().clone()
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.running().snapshot()
    }

    /// The row of a request, once it is written.
    pub async fn row(&self, request_id: &str) -> Event {
        let store = self.store();
        let found = Mutex::new(None);
        eventually("a row for the request", async || {
            let event = store.event(request_id).await.unwrap();
            let there = event.is_some();
            *found.lock().unwrap() = event;
            there
        })
        .await;
        found.into_inner().unwrap().unwrap()
    }

    /// Waits until nothing waits on a route any more. The clock goes on meanwhile: an attempt that was under way when a test
    /// last moved it may have failed after that.
    pub async fn drained(&self, route: &str) {
        let store = self.store();
        eventually("nothing waits", async || {
            self.clock.advance(Duration::from_millis(100));
            store.backlog(route).waiting == 0
        })
        .await;
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of a listener that is not the first.
    pub fn listener(&self, name: &str) -> SocketAddr {
        self.running().listeners.iter().find(|(known, _)| &**known == name).unwrap().1
    }

    /// Writes one file anew, as an operator's tool would: beside it, then in its place.
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        setup::replace(&self.path(name), content.as_ref());
    }

    /// Writes `relay.toml` and its files anew; nothing is reloaded yet.
    pub fn rewrite(&self) {
        self.setup.write_config(self.folder.path(), self.app.address);
    }

    /// Writes `relay.toml` anew and leaves its files as they are.
    pub fn rewrite_toml(&self) {
        self.replace(
            "relay.toml",
            self.setup.toml(self.app.address).replace("{folder}", self.folder.path().to_str().unwrap()),
        );
    }

    pub async fn reload(&self) -> ReloadOutcome {
        self.running().reload().await.unwrap()
    }

    /// Writes the configuration anew and has it applied.
    pub async fn apply(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        self.rewrite();
        match self.reload().await {
            // The watcher may have been quicker.
            ReloadOutcome::Applied { .. } | ReloadOutcome::Unchanged { .. } => {}
            ReloadOutcome::Kept(report) => panic!("{report}"),
        }
    }

    pub fn metrics(&self) -> String {
        self.running().observer().render_metrics()
    }

    /// The sum over every series of a metric that has these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        log::sum(&self.metrics(), name, labels)
    }

    /// Requests that ended for a reason.
    pub fn counted(&self, outcome: &str, code: &str) -> f64 {
        self.metric("dmz_relay_requests_total", &[("outcome", outcome), ("reason", code)])
    }

    /// One request over a connection of its own.
    pub async fn send(&self, protocol: Protocol, call: &Call) -> Answer {
        match protocol {
            Protocol::H1 => self.raw(&call.h1()).await,
            Protocol::H2 => self.h2().await.send(call).await,
        }
    }

    /// Bytes over a connection of their own, and the answer to them.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut wire = self.connect().await;
        wire.send(bytes).await;
        wire.answer().await
    }

    /// An HTTP/1.1 connection.
    pub async fn connect(&self) -> Wire {
        self.tls().connect(self.address).await
    }

    pub async fn h2(&self) -> H2 {
        self.tls().h2(self.address).await
    }

    /// A sender that trusts the relay's authority.
    pub fn tls(&self) -> Tls {
        Tls::trusting(&self.authority)
    }

    /// The admin listener's socket.
    pub fn socket(&self) -> &Path {
        let Some(AdminAddress::Unix(path)) = &self.admin else { panic!("no admin socket") };
        path
    }

    /// Where metrics and health are read over TCP.
    pub fn scrape(&self) -> SocketAddr {
        self.running().scrape.expect("a scrape address")
    }

    /// A request to the admin listener: status and body.
    pub async fn ask(&self, method: &str, path: &str) -> (u16, String) {
        ask(UnixStream::connect(self.socket()).await.unwrap(), method, path, "localhost").await
    }

    /// The same, whole; the API document must describe the answer.
    pub async fn fetch(&self, method: &str, path: &str) -> Fetched {
        let stream = UnixStream::connect(self.socket()).await.unwrap();
        let fetched = fetch(stream, method, path, "localhost").await;
        let content_type = fetched.field("content-type").unwrap_or_default();
        document::holds(method, path, fetched.status, content_type, &fetched.body);
        fetched
    }

    pub async fn status(&self) -> serde_json::Value {
        let (status, body) = self.ask("GET", "/api/v1/status").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Genuine, delivered, and seen inside once.
    pub async fn delivers(&self, protocol: Protocol, call: &Call) -> Answer {
        let before = self.app.seen().len();
        let answer = self.send(protocol, call).await;
        assert_eq!(answer.status, 200, "{protocol:?} {call:?}: {:?}", self.log.text());
        assert_eq!(self.app.seen().len(), before + 1, "{protocol:?} {call:?}");
        self.recorded(&answer, "delivered", "").await;
        answer
    }

    /// Refused as the table says: status, fixed body, one line and one count with the reason; and the inside saw nothing.
    pub async fn refused(&self, ending: impl Into<Ending>, exchange: impl Future<Output = Answer>) -> Answer {
        let (connections, seen) = (self.app.connections(), self.app.seen().len());
        let answer = self.ends(ending, exchange).await;
        assert_eq!((self.app.connections(), self.app.seen().len()), (connections, seen), "the inside saw something");
        answer
    }

    /// As [`Rig::refused`], without a claim about the inside.
    pub async fn ends(&self, ending: impl Into<Ending>, exchange: impl Future<Output = Answer>) -> Answer {
        let ending = ending.into();
        let before = self.counted(ending.outcome(), ending.code());
        let answer = exchange.await;
        let line = self.log.of(answer.id()).await;
        assert_eq!(line["reason"], ending.code(), "{line}");
        assert_eq!(answer.status, ending.status(), "{line}");
        assert_eq!(line["status"], ending.status(), "{line}");
        assert_eq!(answer.text(), table::text(answer.status));
        assert!(!answer.text().contains(ending.code()));
        self.recorded(&answer, ending.outcome(), ending.code()).await;
        assert_eq!(self.counted(ending.outcome(), ending.code()) - before, 1.0, "{}", ending.code());
        answer
    }

    /// Exactly one line knows this answer.
    async fn recorded(&self, answer: &Answer, outcome: &str, code: &str) {
        let line = self.log.of(answer.id()).await;
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line["reason"].as_str().unwrap_or_default(), code, "{line}");
        assert_eq!(self.log.events("request").iter().filter(|line| line["request_id"] == answer.id()).count(), 1);
    }

    /// A connection that carried no request is counted and told once.
    pub async fn connection_refused(&self, reason: &str, exchange: impl Future<Output = ()>) {
        let count = || {
            let told = self
                .log
                .lines()
                .iter()
                .filter(|line| line["event"] == "connection_refused" && line["reason"] == reason)
                .count();
            (self.metric("dmz_relay_connections_refused_total", &[("reason", reason)]), told)
        };
        let ((metric, told), inside) = (count(), self.app.connections());
        exchange.await;
        eventually(reason, async || count() == (metric + 1.0, told + 1)).await;
        assert_eq!(self.app.connections(), inside);
    }

    /// A connection that its peer closed unused is counted, and nothing is told.
    pub async fn connection_unused(&self, exchange: impl Future<Output = ()>) {
        let unused = || self.metric("dmz_relay_connections_unused_total", &[("listener", "public")]);
        let refused = || self.metric("dmz_relay_connections_refused_total", &[]);
        // Lines of the start may still be on their way: only these count.
        let lines = || self.log.events("connection_refused").len();
        let (before, refusals, told) = (unused(), refused(), lines());
        let inside = self.app.connections();
        exchange.await;
        eventually("unused", async || unused() == before + 1.0).await;
        assert_eq!((refused(), lines()), (refusals, told), "{}", self.log.text());
        assert_eq!(self.app.connections(), inside);
    }

    /// Stops the relay. Nothing may have been cut off, panicked, or ended that should not.
    pub async fn finish(mut self) {
        self.stop().await;
        assert_unique_ids(&self.log);
    }

    pub async fn stop(&mut self) {
        let mut running = self.running.take().unwrap();
        let ended = tokio::time::timeout(Duration::ZERO, running.failed()).await;
        assert!(ended.is_err(), "a background task ended: {ended:?}");
        let unfinished = running.stop().await;
        assert_eq!(unfinished, 0, "connections were cut: {}", self.log.text());
        let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(panics.is_empty(), "{panics:?}");
    }

    /// The relay alone, for tests of its end. The rig itself is finished then.
    pub fn take_running(&mut self) -> Running {
        self.running.take().unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        assert!(self.running.is_none() || std::thread::panicking(), "a test must finish() its rig");
    }
}

/// An answer of the admin listener.
#[derive(Debug)]
pub struct Fetched {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Fetched {
    pub fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One plain request, and the whole answer to it, whatever bytes it is of.
pub async fn fetch(mut stream: impl Io, method: &str, path: &str, host: &str) -> Fetched {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    Fetched { status: head["HTTP/1.1 ".len()..][..3].parse().unwrap(), head, body: answer[end + 4..].to_vec() }
}

/// One plain request, and the whole answer to it.
pub async fn ask(mut stream: impl Io, method: &str, path: &str, host: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LONG, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), body.to_owned())
}

fn assert_unique_ids(log: &Log) {
    let mut seen = std::collections::BTreeSet::new();
    for line in log.lines().iter().filter(|line| line["event"] == "request") {
        assert!(seen.insert(line["request_id"].to_string()), "two lines for one request: {line}");
    }
}

/// Panics of the relay; those of tests fail their tests by themselves.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_none_or(|place| !place.file().contains("tests/")) {
                let thread = std::thread::current();
                let tests =
                    thread.name().is_some_and(|name| name != "tokio-runtime-worker" && name != "tokio-rt-worker");
                if !tests {
                    PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string());
                }
            }
            before(info);
        }));
    });
}
