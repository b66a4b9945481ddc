//! Puts the parts together: a configuration file becomes a running relay, with its addresses bound and its tasks under
//! watch.
//!
//! Reads straight down: load, bind, spawn, be ready; then reload whenever asked; then drain. Everything that can fail before
//! the first connection fails in [`start`].

mod admin;
mod bind;
mod certificates;
mod children;
mod events;
mod feeds;
mod health;
mod memory;
mod providers;
mod reload;
mod room;
mod shape;
mod spool;
mod versions;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc};
use tokio::time::timeout;

use self::children::Children;
use crate::base::Clock;
use crate::config::{self, Environment, Problem, Report};
use crate::control::admin::{BindError, Bound as Admin, Exposure};
use crate::control::reload::{Pace, Reloader, Requests, Watching};
use crate::control::service::{InheritedSocket, Service};
use crate::delivery::Delivery;
use crate::edge::{self, Drain, Draining, Relay};
use crate::gate::pipeline::{Gate, Known};
use crate::observe::{Event, Observer, Sink};
use crate::runtime::snapshot::{AdminAddress, Snapshot};
use crate::runtime::state::State;
use crate::store::{OpenError, Recovered, Store, StoreEvent};
use crate::upstream::ServerChange;

pub use memory::{Memory, open_files};
pub use reload::Outcome as ReloadOutcome;

/// How often histograms are folded and summaries written.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often what routes know of their providers is kept, in upkeeps: a minute.
const KEEP_EVERY: u32 = 12;

/// How often it is asked whether the disk still answers.
const STORE_WATCH: Duration = Duration::from_secs(1);

/// How long the end waits for the last rows of the history.
const LAST_ROWS: Duration = Duration::from_secs(5);

/// What a relay is started from.
#[derive(Debug)]
pub struct Options {
    /// `relay.toml`.
    pub config: PathBuf,
    /// Variables and credentials that the file may name.
    pub environment: Environment,
    /// Judges time windows.
    pub clock: Clock,
    /// Where log lines go.
    pub sink: Sink,
    /// What systemd passed.
    pub sockets: Vec<InheritedSocket>,
    /// The service manager.
    pub service: Service,
    /// How file changes are noticed.
    pub watching: Watching,
}

/// Why a relay did not start.
#[derive(Debug)]
pub enum StartError {
    /// The configuration has problems.
    Config(Report),
    /// An address could not be bound.
    Bind {
        /// Which listener.
        listener: String,
        /// Where.
        address: String,
        /// The system's words.
        error: io::Error,
    },
    /// The store could not be opened.
    Store {
        /// Its file.
        path: PathBuf,
        /// Why.
        error: OpenError,
    },
    /// The admin listener could not stand where it should.
    Admin(BindError),
    /// Something of the process itself: a thread, a signal handler.
    Process(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(report) => write!(f, "{report}"),
            Self::Bind { listener, address, error } => {
                write!(f, "listener {listener}: cannot listen on {address}: {error}")
            }
            Self::Store { path, error } => write!(f, "store {}: {error}", path.display()),
            Self::Admin(error) => write!(f, "admin: {error}"),
            Self::Process(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// A relay that accepts connections.
#[derive(Debug)]
pub struct Running {
    /// Each listener with the address it really has.
    pub listeners: Vec<(Arc<str>, SocketAddr)>,
    /// The admin listener, with the address it really has.
    pub admin: Option<AdminAddress>,
    /// Where metrics and health are read over TCP, with the port it really has.
    pub scrape: Option<SocketAddr>,
    relay: Arc<Relay>,
    delivery: Option<Arc<Delivery>>,
    requests: Requests<ReloadOutcome>,
    service: Service,
    drain: Drain,
    /// Ends when nothing is accepted any more.
    accepting: mpsc::Receiver<Infallible>,
    tasks: Children,
}

/// Loads the configuration, binds every address and begins to serve.
pub async fn start(options: Options) -> Result<Running, StartError> {
    let Options { config, environment, clock, sink, sockets, service, watching } = options;
    let observer = Observer::start(sink, clock.clone()).map_err(StartError::Process)?;
    let (reloader, requests) = Reloader::start(Pace::default(), watching).map_err(StartError::Process)?;
    let state = Arc::new(State::default());
    let loaded = config::load(&config, &environment, &state, clock.now()).map_err(StartError::Config)?;

    let version = env!("CARGO_PKG_VERSION");
    observer.set_log(loaded.snapshot.log.json, loaded.snapshot.log.refusals_per_second);
    observer.record(&Event::Started { version, config: &config.display() });
    warn(&observer, &loaded.warnings);
    let config::Loaded { snapshot, warnings, reading, text, certificates } = loaded;
    let snapshot = Arc::new(snapshot);
    // Before the store: a second relay on the same addresses ends here and touches no file.
    let bound = bind::listeners(&snapshot, sockets)?;
    let bells = open_store(&snapshot, &state, &observer, &clock)?;
    let listeners: Vec<_> = bound.iter().map(|bound| (Arc::clone(&bound.name), bound.address)).collect();

    let gate = Gate { state: Arc::clone(&state), observer: Arc::clone(&observer), clock };
    let relay = Arc::new(Relay::new(gate, Arc::clone(&snapshot)));
    let (drain, draining) = Draining::channel();
    let mut tasks = Children::default();
    let mut reload = reload::Reload::new(config, environment, Arc::clone(&relay), service, text, reading, warnings);
    // Before the first check, whose verdict nobody would receive.
    let changes = state.upstreams.subscribe();
    reload.begin(&snapshot, certificates).await;
    providers::restore(&relay).await;
    tasks.spawn("health checks", health::check(relay.gate.clone(), reload.checked()));
    let delivery = Delivery::start(&relay.gate, &snapshot).map(|(delivery, supervise)| {
        tasks.spawn("delivery", supervise);
        Arc::new(delivery)
    });
    reload.deliver_with(delivery.as_ref());
    let source = admin::Source::new(&relay, &reload, requests.clone(), listeners.clone(), draining.clone());
    let admin = match &snapshot.admin {
        Some(address) => Some(serve_admin(address, Arc::clone(&source), &mut tasks)?),
        None => None,
    };
    let scrape = match snapshot.scrape {
        Some(address) => match serve_admin(&AdminAddress::Tcp(address), source, &mut tasks)? {
            AdminAddress::Tcp(address) => Some(address),
            AdminAddress::Unix(_) => None,
        },
        None => None,
    };

    for (name, address) in &listeners {
        observer.record(&Event::Listening { listener: name, address });
    }
    let (accepts, accepting) = mpsc::channel(1);
    for bound in bound {
        let accept = edge::accept(bound.socket, bound.name, Arc::clone(&relay), draining.clone());
        let accepts = accepts.clone();
        tasks.spawn("accept", async move {
            accept.await;
            drop(accepts);
        });
    }
    spawn_upkeep(&mut tasks, &relay, changes, service);
    spawn_store_watch(&mut tasks, &relay, bells);
    let files = snapshot.files.clone();
    tasks.spawn("reload", async move { reloader.run(files, &mut reload).await });
    service.ready("serving");
    Ok(Running { listeners, admin, scrape, relay, delivery, requests, service, drain, accepting, tasks })
}

/// Opens the store where the configuration has one, and takes up what the last process left. What is found later, because the
/// store could not be opened at once, rings the bells that it gives.
fn open_store(
    snapshot: &Snapshot,
    state: &Arc<State>,
    observer: &Arc<Observer>,
    clock: &Clock,
) -> Result<Arc<Bells>, StartError> {
    let bells = Arc::new(Bells::default());
    let Some(settings) = &snapshot.store else { return Ok(bells) };
    let (told, rung) = (Arc::clone(observer), Arc::clone(&bells));
    // Not the state itself: it holds the store, and the store holds this.
    let late = Arc::downgrade(state);
    let news = move |news| {
        tell(&told, &news);
        match news {
            StoreEvent::Found(recovered) => {
                if let Some(state) = late.upgrade() {
                    take_up(&told, &state, recovered);
                }
                rung.found.notify_one();
            }
            StoreEvent::Recovered => rung.opened.notify_one(),
            _ => {}
        }
    };
    let (store, recovered) = Store::open(settings, clock.clone(), news)
        .map_err(|error| StartError::Store { path: settings.path.clone(), error })?;
    // How the room is shared is known first: what is restored is counted against it.
    state.set_store(store);
    room::share(snapshot, state);
    take_up(observer, state, recovered);
    Ok(bells)
}

/// What the store's thread tells tasks.
#[derive(Default)]
struct Bells {
    /// It was opened late, and knows what the last process did.
    found: Notify,
    /// It is open again: what waits in it is counted again.
    opened: Notify,
}

fn take_up(observer: &Observer, state: &State, recovered: Recovered) {
    if recovered.interrupted > 0 {
        observer.record(&Event::Interrupted { requests: recovered.interrupted });
    }
    if let Some(last) = recovered.last_refusal {
        state.dispatch.begin_after(last);
    }
    state.dedupe.restore(recovered.dedupe);
}

fn tell(observer: &Observer, news: &StoreEvent) {
    observer.record(&match news {
        StoreEvent::Failed { detail } => Event::StoreFailed { detail },
        StoreEvent::Recovered => Event::StoreRecovered,
        StoreEvent::SetAside { detail } => Event::StoreSetAside { detail },
        StoreEvent::Stalled { since } => Event::StoreStalled { since: *since },
        StoreEvent::Resumed { after } => Event::StoreResumed { after: *after },
        StoreEvent::Full => Event::StoreFull,
        StoreEvent::Room => Event::StoreRoom,
        StoreEvent::RouteFull { route } => Event::RouteFull { route },
        StoreEvent::RouteRoom { route } => Event::RouteRoom { route },
        StoreEvent::HistoryDropped { count } => Event::HistoryDropped { count: *count },
        StoreEvent::RowsSkipped { count } => Event::RowsSkipped { count: *count },
        StoreEvent::Found(_) => return,
    });
}

/// A disk that does not answer cannot say so itself; and what a store knew that was opened late is wanted all the same.
fn spawn_store_watch(tasks: &mut Children, relay: &Arc<Relay>, bells: Arc<Bells>) {
    let Some(store) = relay.gate.state.store().cloned() else { return };
    let relay = Arc::clone(relay);
    tasks.spawn("store", async move {
        loop {
            tokio::select! {
                () = bells.found.notified() => providers::restore(&relay).await,
                () = bells.opened.notified() => {
                    for (route, _) in store.backlogs() {
                        relay.gate.state.dispatch.lane(&route).wake();
                    }
                }
                () = tokio::time::sleep(STORE_WATCH) => store.watch(),
            }
        }
    });
}

fn serve_admin(
    address: &AdminAddress,
    source: Arc<admin::Source>,
    tasks: &mut Children,
) -> Result<AdminAddress, StartError> {
    // The configuration takes an address that other machines reach only with `dangerously_exposed = true`.
    let exposure = match address {
        AdminAddress::Tcp(address) if !address.ip().to_canonical().is_loopback() => Exposure::Network,
        AdminAddress::Tcp(_) | AdminAddress::Unix(_) => Exposure::Loopback,
    };
    let bound = Admin::bind(address, exposure).map_err(StartError::Admin)?;
    let address = bound.tcp_address().map_or_else(|| address.clone(), AdminAddress::Tcp);
    tasks.spawn("admin", async move { bound.serve(source).await });
    Ok(address)
}

fn spawn_upkeep(
    tasks: &mut Children,
    relay: &Arc<Relay>,
    mut changes: broadcast::Receiver<ServerChange>,
    service: Service,
) {
    let kept = Arc::clone(relay);
    tasks.spawn("upkeep", async move {
        for round in 1_u32.. {
            tokio::time::sleep(UPKEEP).await;
            kept.gate.observer.upkeep();
            kept.gate.state.upstreams.upkeep();
            providers::look(&kept);
            certificates::look(&kept);
            feeds::look(&kept);
            if round.is_multiple_of(KEEP_EVERY) {
                providers::keep(&kept);
            }
        }
    });
    let gate = relay.gate.clone();
    tasks.spawn("server changes", async move {
        loop {
            match changes.recv().await {
                Ok(change) => shape::server_change(&gate, &change),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    tasks.spawn("watchdog", async move {
        // A task that had to be scheduled proves that a worker takes work.
        service.watchdog(|| async { tokio::spawn(async {}).await.is_ok() }).await;
        std::future::pending().await
    });
}

fn warn(observer: &Observer, warnings: &[Problem]) {
    for warning in warnings {
        observer.record(&Event::ConfigWarning { warning });
    }
}

impl Running {
    /// Log and metrics, for a panic hook and for tests.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.relay.gate.observer
    }

    /// What an operator's deliveries are done with.
    pub fn gate(&self) -> &Gate {
        &self.relay.gate
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.relay.snapshot()
    }

    /// What outlives reloads; for tests that watch it empty.
    pub fn state(&self) -> &Arc<State> {
        &self.relay.gate.state
    }

    /// Connections open at this moment.
    pub fn connections(&self) -> usize {
        self.relay.connections.open()
    }

    /// Addresses that are remembered as proven; for tests that fill the table.
    pub fn known(&self) -> &Arc<Known> {
        &self.relay.known
    }

    /// Reads the files again; `None` when the relay is stopping.
    pub async fn reload(&self) -> Option<ReloadOutcome> {
        self.requests.reload().await
    }

    /// Waits until a background task ends, which none of them should.
    pub async fn failed(&mut self) -> &'static str {
        let task = self.tasks.ended().await;
        self.observer().record(&Event::TaskEnded { task });
        task
    }

    /// Takes no new connections, lets requests and deliveries in flight end within `limits.drain_timeout`, then closes what is left. Gives
    /// the number of connections that were cut.
    pub async fn stop(mut self) -> usize {
        let within = self.relay.snapshot().limits.drain_timeout;
        let in_flight = u64::try_from(self.connections()).unwrap_or(u64::MAX);
        self.service.stopping(within);
        self.observer().record(&Event::Draining { in_flight, timeout: within });
        self.drain.begin(within);
        // What is accepted from now on waits for the next start; what is on its way has as long as requests have.
        let delivering = async {
            match &self.delivery {
                Some(delivery) => delivery.stop(within).await,
                None => 0,
            }
        };
        let served = async {
            // Only then is it known who was connected.
            self.accepting.recv().await;
            self.relay.connections.none_left().await;
        };
        let (_, interrupted) = tokio::join!(timeout(within, served), delivering);
        let unfinished = self.connections();
        self.tasks.shutdown().await;
        providers::keep(&self.relay);
        if let Some(store) = self.state().store() {
            // Rows that nobody waited for.
            let _ = timeout(LAST_ROWS, store.flush()).await;
        }
        self.observer().record(&Event::Stopped { unfinished: unfinished as u64, interrupted: interrupted as u64 });
        self.observer().flush(Duration::from_secs(2));
        unfinished
    }
}
