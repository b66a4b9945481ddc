//! A reload: read, compile, compare, swap, or keep what runs. One at a time; the admin listener reads what came of it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use data_encoding::HEXLOWER;
use tokio::task::JoinSet;

use crate::base::UnixMillis;
use crate::config::{self, Environment, Problem, Reading, Report};
use crate::delivery::Delivery;
use crate::edge::Relay;
use crate::observe::Event;
use crate::reload::{Load, Loaded, Trigger};
use crate::service::Service;
use crate::snapshot::{AdminAddress, ListenAddress, Snapshot};
use crate::store;

use super::{room, shape, warn};

/// What came of a reload.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The new configuration is in force.
    Applied {
        /// Its number; the first one of a process is 1.
        generation: u64,
        /// Changes that only a restart brings.
        needs_restart: Vec<String>,
        /// What works but should not stay.
        warnings: Vec<Problem>,
    },
    /// The files say what the running configuration says.
    Unchanged {
        /// Of the running configuration.
        generation: u64,
    },
    /// The new files have problems; the running configuration stays.
    Kept(Arc<Report>),
}

/// What the status shows of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) generation: u64,
    pub(super) loaded_at: UnixMillis,
    pub(super) warnings: Vec<Problem>,
    pub(super) needs_restart: Vec<String>,
    pub(super) last_error: Option<(UnixMillis, Arc<Report>)>,
}

/// The reload's side of a relay.
#[derive(Debug)]
pub(super) struct Reload {
    config: PathBuf,
    environment: Environment,
    relay: Arc<Relay>,
    service: Service,
    standing: Arc<Mutex<Standing>>,
    health: JoinSet<()>,
    delivery: Option<Arc<Delivery>>,
    fixed: Fixed,
    /// What the running configuration was read from, until it was looked at once more.
    reading: Option<Reading>,
}

/// What the process was started with and keeps to its end.
#[derive(Debug, Default)]
struct Fixed {
    listeners: Vec<(Arc<str>, ListenAddress)>,
    admin: Option<AdminAddress>,
    scrape: Option<SocketAddr>,
    store: Option<Arc<store::Settings>>,
}

impl Fixed {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            listeners: snapshot
                .listeners
                .iter()
                .map(|known| (Arc::clone(&known.name), known.address.clone()))
                .collect(),
            admin: snapshot.admin.clone(),
            scrape: snapshot.scrape,
            store: snapshot.store.clone(),
        }
    }
}

impl Reload {
    pub(super) fn new(
        config: PathBuf,
        environment: Environment,
        relay: Arc<Relay>,
        service: Service,
        warnings: Vec<Problem>,
        reading: Reading,
    ) -> Self {
        let standing = Standing {
            generation: 0,
            loaded_at: relay.gate.clock.now(),
            warnings,
            needs_restart: Vec::new(),
            last_error: None,
        };
        let (standing, health) = (Arc::new(Mutex::new(standing)), JoinSet::new());
        Self {
            config,
            environment,
            relay,
            service,
            standing,
            health,
            delivery: None,
            fixed: Fixed::default(),
            reading: Some(reading),
        }
    }

    /// For the admin listener.
    pub(super) fn standing(&self) -> Arc<Mutex<Standing>> {
        Arc::clone(&self.standing)
    }

    pub(super) fn config(&self) -> &PathBuf {
        &self.config
    }

    /// From now on delivery receives new configurations too.
    pub(super) fn deliver_with(&mut self, delivery: Option<&Arc<Delivery>>) {
        self.delivery = delivery.map(Arc::clone);
    }

    /// Puts the first configuration in force.
    pub(super) fn begin(&mut self, snapshot: &Arc<Snapshot>) {
        self.fixed = Fixed::of(snapshot);
        self.apply(snapshot, Vec::new(), "start", Instant::now());
    }

    /// Everything that follows a configuration: limits, metrics, health checks, then the swap itself.
    fn apply(&mut self, snapshot: &Arc<Snapshot>, needs_restart: Vec<String>, trigger: &str, began: Instant) -> u64 {
        let gate = &self.relay.gate;
        room::share(snapshot, &gate.state);
        gate.state.bodies.set_max(snapshot.limits.body_memory, snapshot.largest_request());
        gate.observer.set_log(snapshot.log.json, snapshot.log.refusals_per_second);
        gate.observer.set_shape(&shape::shape(snapshot));
        self.relay.replace(Arc::clone(snapshot));
        if let Some(delivery) = &self.delivery {
            delivery.apply(snapshot);
        }
        let routes: HashSet<&str> = snapshot.routes.iter().map(|route| &*route.name).collect();
        gate.state.keep_routes(|route| routes.contains(route));
        // Dropping the old set ends its checks.
        self.health = JoinSet::new();
        for upstream in snapshot.upstreams.values() {
            self.health.spawn(Arc::clone(upstream).watch());
        }
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.generation += 1;
        standing.loaded_at = gate.clock.now();
        standing.last_error = None;
        let generation = standing.generation;
        gate.observer.record(&Event::Applied {
            generation,
            digest: &HEXLOWER.encode(&snapshot.digest),
            trigger,
            needs_restart: &needs_restart,
            took: began.elapsed(),
        });
        standing.needs_restart = needs_restart;
        generation
    }

    /// Reads and compiles away from the workers that serve requests: hashing a large list may take a while.
    async fn read(&self) -> Result<config::Loaded, Report> {
        let (path, environment) = (self.config.clone(), self.environment.clone());
        let state = Arc::clone(&self.relay.gate.state);
        let now = self.relay.gate.clock.now();
        let read = tokio::task::spawn_blocking(move || config::load(&path, &environment, &state, now)).await;
        read.unwrap_or_else(|_| {
            let problem = Problem {
                file: self.config.clone(),
                at: None,
                key: String::new(),
                what: "the configuration could not be compiled: a bug of dmz-relay, please report it".to_owned(),
                help: None,
            };
            Err(Report { unreadable: false, problems: vec![problem], warnings: Vec::new(), files: Vec::new() })
        })
    }

    /// Whether the files that came under watch still say what the running configuration says. To know that they need not be
    /// compiled again, which would take as long as the start and as much memory.
    async fn holds(&mut self) -> bool {
        if self.standing.lock().unwrap_or_else(PoisonError::into_inner).last_error.is_some() {
            return false;
        }
        let Some(reading) = self.reading.take() else { return false };
        tokio::task::spawn_blocking(move || reading.holds()).await.unwrap_or(false)
    }

    fn keep(&self, trigger: &str, report: Report) -> Outcome {
        let report = Arc::new(report);
        let problems: Vec<_> = report.problems.iter().map(|problem| problem as &dyn std::fmt::Display).collect();
        self.relay.gate.observer.record(&Event::Kept { trigger, problems: &problems });
        let at = self.relay.gate.clock.now();
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.last_error = Some((at, Arc::clone(&report)));
        Outcome::Kept(report)
    }

    fn unchanged(&self, trigger: Trigger) -> Outcome {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        // A bad file that was put back as it was is no error any more.
        let mended = standing.last_error.take().is_some();
        if trigger != Trigger::Recheck || mended {
            self.relay.gate.observer.record(&Event::Unchanged { trigger: trigger.as_str() });
        }
        Outcome::Unchanged { generation: standing.generation }
    }
}

impl Load for Reload {
    type Report = Outcome;

    async fn load(&mut self, trigger: Trigger) -> Loaded<Outcome> {
        let began = Instant::now();
        let running = self.relay.snapshot();
        if trigger == Trigger::Recheck && self.holds().await {
            return Loaded { report: self.unchanged(trigger), files: running.files.clone() };
        }
        self.service.reloading();
        let (report, files) = match self.read().await {
            Ok(loaded) if loaded.snapshot.digest == running.digest => (self.unchanged(trigger), running.files.clone()),
            Ok(loaded) => {
                let snapshot = Arc::new(loaded.snapshot);
                let needs_restart = self.fixed.needs_restart(&snapshot);
                warn(&self.relay.gate.observer, &loaded.warnings);
                let generation = self.apply(&snapshot, needs_restart.clone(), trigger.as_str(), began);
                self.standing.lock().unwrap_or_else(PoisonError::into_inner).warnings.clone_from(&loaded.warnings);
                self.reading = Some(loaded.reading);
                let outcome = Outcome::Applied { generation, needs_restart, warnings: loaded.warnings };
                (outcome, snapshot.files.clone())
            }
            Err(report) => {
                let mut files = running.files.clone();
                files.extend(report.files.iter().cloned());
                (self.keep(trigger.as_str(), report), files)
            }
        };
        self.service.ready("serving");
        Loaded { report, files }
    }

    fn degraded(&mut self, why: &str) {
        self.relay.gate.observer.record(&Event::WatchDegraded { why: &why });
    }
}

impl Fixed {
    /// What the running process cannot take over: sockets and the store are opened once. Judged by what it was started with,
    /// so that a change which waits for a restart is named by every reload until then.
    fn needs_restart(&self, new: &Snapshot) -> Vec<String> {
        let mut changes = Vec::new();
        for listener in &new.listeners {
            match self.listeners.iter().find(|(name, _)| *name == listener.name) {
                None => changes.push(format!("listener {} is new", listener.name)),
                Some((_, address)) if *address != listener.address => {
                    changes.push(format!("listener {} has another address", listener.name));
                }
                Some(_) => {}
            }
        }
        for (gone, _) in self.listeners.iter().filter(|(name, _)| !new.listeners.iter().any(|new| new.name == *name)) {
            changes.push(format!("listener {gone} is gone"));
        }
        if (&self.admin, self.scrape) != (&new.admin, new.scrape) {
            changes.push("[admin] has another address".to_owned());
        }
        match (&self.store, &new.store) {
            (None, Some(_)) => changes.push("[store] is new".to_owned()),
            (Some(_), None) => changes.push("[store] is gone".to_owned()),
            (Some(known), Some(new)) if known != new => changes.push("[store] has other settings".to_owned()),
            _ => {}
        }
        changes
    }
}
