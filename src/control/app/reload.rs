//! A reload: read, compile, compare, swap, or keep what runs. One at a time; the admin listener reads what came of it.
//!
//! With `reload = "manual"` a saved `relay.toml` waits until somebody asks. What it names (secrets, certificates, lists) is taken
//! over all the same: the running text is compiled again with the files as they are.

mod fixed;
mod running_config;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use data_encoding::HEXLOWER;
use tokio::sync::watch;

use crate::config::changes::{self, Text};
use crate::config::feed::KeptFeeds;
use crate::config::versions::Versions;
use crate::config::{self, Environment, Problem, Reading, Report};
use crate::control::reload::{Load, Loaded, Trigger};
use crate::control::service::Service;
use crate::delivery::Delivery;
use crate::domain::ActionResult;
use crate::edge::Relay;
use crate::observe::{ActionOrigin, AdminAction, Event};
use crate::runtime::snapshot::{Reload as Mode, Snapshot};

use self::fixed::Fixed;
pub(super) use self::running_config::{Pending, RunningConfig};
use super::health::Checked;
use super::{events, feeds, room, shape, warn};

/// What came of a reload.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The new configuration is in force.
    Applied {
        /// Its number; the first one of a process is 1.
        generation: u64,
        /// What it says and the one before did not.
        changes: Vec<String>,
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

/// The reload's side of a relay.
#[derive(Debug)]
pub(super) struct Reload {
    config: PathBuf,
    environment: Environment,
    relay: Arc<Relay>,
    service: Service,
    status: Arc<Mutex<RunningConfig>>,
    health: watch::Sender<Checked>,
    delivery: Option<Arc<Delivery>>,
    fixed: Fixed,
}

/// A configuration that comes into force, and what goes with it.
struct Applying {
    snapshot: Arc<Snapshot>,
    text: Text,
    reading: Arc<Reading>,
    certificates: Vec<[u8; 32]>,
    changes: Vec<String>,
    needs_restart: Vec<String>,
    trigger: &'static str,
    began: Instant,
}

impl Reload {
    pub(super) fn new(
        config: PathBuf,
        environment: Environment,
        relay: Arc<Relay>,
        service: Service,
        text: Text,
        reading: Reading,
        warnings: Vec<Problem>,
    ) -> Self {
        let status = RunningConfig::new(relay.gate.clock.now(), text, reading, warnings);
        let (status, health) = (Arc::new(Mutex::new(status)), watch::Sender::default());
        Self { config, environment, relay, service, status, health, delivery: None, fixed: Fixed::default() }
    }

    /// What is to be checked, now and after each reload.
    pub(super) fn checked(&self) -> watch::Receiver<Checked> {
        self.health.subscribe()
    }

    /// For the admin listener.
    pub(super) fn status(&self) -> Arc<Mutex<RunningConfig>> {
        Arc::clone(&self.status)
    }

    pub(super) fn config(&self) -> &PathBuf {
        &self.config
    }

    /// Where versions are kept: beside the store that was opened, whatever a later configuration says of it.
    pub(super) fn versions(&self) -> Option<Versions> {
        self.fixed.store.as_ref().map(|store| Versions::beside(&store.path))
    }

    /// What the running configuration was compiled from.
    fn source(&self) -> (Text, Arc<Reading>) {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.text.clone(), Arc::clone(&status.reading))
    }

    /// From now on delivery receives new configurations too.
    pub(super) fn deliver_with(&mut self, delivery: Option<&Arc<Delivery>>) {
        self.delivery = delivery.map(Arc::clone);
    }

    /// Puts the first configuration in force.
    pub(super) async fn begin(&mut self, snapshot: &Arc<Snapshot>, certificates: Vec<[u8; 32]>) {
        self.fixed = Fixed::of(snapshot);
        let (text, reading) = self.source();
        let changes = self.keep_version(text.clone(), "start").await;
        let (snapshot, needs_restart) = (Arc::clone(snapshot), Vec::new());
        let (trigger, began) = ("start", Instant::now());
        self.apply(Applying { snapshot, text, reading, certificates, changes, needs_restart, trigger, began });
        self.keep_feeds().await;
    }

    async fn keep_feeds(&self) {
        feeds::keep(&self.relay, self.fixed.store.as_ref().map(|store| KeptFeeds::beside(&store.path))).await;
    }

    /// Everything that follows a configuration: limits, metrics, health checks, then the swap itself.
    fn apply(&mut self, new: Applying) -> u64 {
        let Applying { snapshot, text, reading, certificates, changes, needs_restart, trigger, began } = new;
        let gate = &self.relay.gate;
        room::share(&snapshot, &gate.state);
        gate.state.certificates.serve(certificates);
        gate.state.bodies.set_max(snapshot.limits.body_memory, snapshot.largest_request());
        gate.observer.set_log(snapshot.log.json, snapshot.log.refusals_per_second);
        gate.observer.set_shape(&shape::shape(&snapshot));
        self.relay.replace(Arc::clone(&snapshot));
        feeds::serve(&self.relay, &snapshot);
        if let Some(delivery) = &self.delivery {
            delivery.apply(&snapshot);
        }
        let routes: HashSet<&str> = snapshot.routes.iter().map(|route| &*route.name).collect();
        gate.state.keep_routes(|route| routes.contains(route));
        self.health.send_replace(snapshot.upstreams.values().map(Arc::clone).collect());
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.generation += 1;
        status.loaded_at = gate.clock.now();
        status.last_error = None;
        let generation = status.generation;
        gate.observer.record(&Event::Applied {
            generation,
            digest: &HEXLOWER.encode(&snapshot.digest),
            trigger,
            changes: &changes,
            needs_restart: &needs_restart,
            took: began.elapsed(),
        });
        status.pending = None;
        (status.text, status.reading) = (text, reading);
        (status.changes, status.needs_restart) = (changes, needs_restart);
        generation
    }

    /// Reads and compiles away from the workers that serve requests: hashing a large list may take a while. A text that is given stands
    /// in for the file's.
    async fn read(&self, text: Option<Text>) -> Result<config::Loaded, Report> {
        let (path, environment) = (self.config.clone(), self.environment.clone());
        let state = Arc::clone(&self.relay.gate.state);
        let now = self.relay.gate.clock.now();
        let read = tokio::task::spawn_blocking(move || match text {
            Some(text) => config::load_text(&path, &text, &environment, &state, now),
            None => config::load(&path, &environment, &state, now),
        });
        read.await.unwrap_or_else(|_| {
            let what = "the configuration could not be compiled: a bug of dmz-relay, please report it".to_owned();
            let problem = Problem::of(&self.config, "", what, None);
            Err(Report { unreadable: false, problems: vec![problem], warnings: Vec::new(), files: Vec::new() })
        })
    }

    /// Whether the files that came under watch still say what the running configuration says. To know that they need not be
    /// compiled again, which would take as long as the start and as much memory.
    async fn holds(&self) -> bool {
        let reading = {
            let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            if status.last_error.is_some() || status.pending.is_some() {
                return false;
            }
            Arc::clone(&status.reading)
        };
        tokio::task::spawn_blocking(move || reading.holds()).await.unwrap_or(false)
    }

    /// Whether the file says something else than what runs, and nobody asked for it.
    async fn must_wait(&self, trigger: Trigger) -> bool {
        let by_itself = matches!(trigger, Trigger::File | Trigger::Recheck);
        if !by_itself || self.relay.snapshot().reload != Mode::Manual {
            return false;
        }
        let (path, (running, _)) = (self.config.clone(), self.source());
        let differs = tokio::task::spawn_blocking(move || config::text(&path).is_none_or(|text| text != running));
        differs.await.unwrap_or(true)
    }

    /// What comes of a configuration that could be loaded, and every file that it names.
    async fn take(&mut self, loaded: config::Loaded, trigger: Trigger, began: Instant) -> (Outcome, Vec<PathBuf>) {
        let config::Loaded { snapshot, warnings, reading, text, certificates } = loaded;
        let snapshot = Arc::new(snapshot);
        let trigger = trigger.as_str();
        let (before, read_before) = self.source();
        let mut changes: Vec<String> = changes::lines(&before, &text);
        let files = reading.changed_since(&read_before, &self.config);
        changes.extend(files.iter().map(|file| format!("{} has new content", file.display())));
        let changes = changes::bounded(changes);
        let needs_restart = self.fixed.needs_restart(&snapshot);
        warn(&self.relay.gate.observer, &warnings);
        let generation = self.apply(Applying {
            snapshot: Arc::clone(&snapshot),
            text: text.clone(),
            reading: Arc::new(reading),
            certificates,
            changes: changes.clone(),
            needs_restart: needs_restart.clone(),
            trigger,
            began,
        });
        self.keep_version(text, trigger).await;
        self.keep_feeds().await;
        self.status.lock().unwrap_or_else(PoisonError::into_inner).warnings.clone_from(&warnings);
        (Outcome::Applied { generation, changes, needs_restart, warnings }, snapshot.files.clone())
    }

    /// Keeps the text among the versions, where there is a store to keep it beside. What comes of it changes nothing for requests.
    async fn keep_version(&self, text: Text, trigger: &'static str) -> Vec<String> {
        let Some(versions) = self.versions() else { return Vec::new() };
        let now = self.relay.gate.clock.now();
        let kept = tokio::task::spawn_blocking(move || versions.keep(&text, now, trigger)).await;
        match kept.unwrap_or_else(|_| Err(io::Error::other("the task ended"))) {
            Ok(kept) => {
                self.status.lock().unwrap_or_else(PoisonError::into_inner).version = Some(kept.version);
                kept.changes
            }
            Err(why) => {
                self.relay.gate.observer.record(&Event::VersionNotKept { why: &why });
                Vec::new()
            }
        }
    }

    fn keep(&self, trigger: &str, report: Report) -> Outcome {
        let report = Arc::new(report);
        let problems: Vec<_> = report.problems.iter().map(|problem| problem as &dyn std::fmt::Display).collect();
        self.relay.gate.observer.record(&Event::Kept { trigger, problems: &problems });
        let at = self.relay.gate.clock.now();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.last_error = Some((at, Arc::clone(&report)));
        Outcome::Kept(report)
    }

    /// What runs is what ran, and the file may say something else.
    fn nothing_new(&self) -> Outcome {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.last_error = None;
        Outcome::Unchanged { generation: status.generation }
    }

    fn unchanged(&self, trigger: Trigger) -> Outcome {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        // A bad file that was put back as it was is no error any more, and one that waited waits no more.
        let mended = status.last_error.take().is_some() | status.pending.take().is_some();
        if trigger != Trigger::Recheck || mended {
            self.relay.gate.observer.record(&Event::Unchanged { trigger: trigger.as_str() });
        }
        Outcome::Unchanged { generation: status.generation }
    }

    /// A reload by a signal is an action like one over the admin socket. The system does not say who sent it.
    fn record_signal(&self, outcome: &Outcome) {
        let (result, status) = match outcome {
            Outcome::Applied { .. } | Outcome::Unchanged { .. } => (ActionResult::Done, 200),
            Outcome::Kept(_) => (ActionResult::Failed, 422),
        };
        let action = AdminAction {
            action: "reload",
            result,
            status,
            uid: None,
            user: None,
            pid: None,
            id: None,
            count: None,
            detail: None,
            token: None,
            from: ActionOrigin::Signal,
        };
        events::acted(&self.relay.gate, &action);
    }

    /// Looks at a file that waits: what it would change, or what would keep it out. Gives every file that it names.
    async fn look_at_pending(&self, trigger: Trigger) -> Vec<PathBuf> {
        let (changes, problems, files) = match self.read(None).await {
            Ok(loaded) => (changes::lines(&self.source().0, &loaded.text), Vec::new(), loaded.snapshot.files),
            Err(report) => (Vec::new(), report.problems, report.files),
        };
        let since = self.relay.gate.clock.now();
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let known = status.pending.as_ref();
        if known.is_none_or(|known| known.changes != changes || known.problems != problems) {
            let trigger = trigger.as_str();
            self.relay.gate.observer.record(&Event::Pending { trigger, changes: &changes, problems: problems.len() });
            status.pending = Some(Pending { since, changes, problems });
        }
        files
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
        let must_wait = self.must_wait(trigger).await;
        let read = self.read(must_wait.then(|| self.source().0)).await;
        let (report, mut files) = match read {
            Ok(loaded) if loaded.snapshot.digest == running.digest => {
                let report = if must_wait { self.nothing_new() } else { self.unchanged(trigger) };
                (report, running.files.clone())
            }
            Ok(loaded) => self.take(loaded, trigger, began).await,
            Err(report) => {
                let mut files = running.files.clone();
                files.extend(report.files.iter().cloned());
                (self.keep(trigger.as_str(), report), files)
            }
        };
        if must_wait {
            files.extend(self.look_at_pending(trigger).await);
        } else {
            self.status.lock().unwrap_or_else(PoisonError::into_inner).pending = None;
        }
        if trigger == Trigger::Signal {
            self.record_signal(&report);
        }
        self.service.ready("serving");
        Loaded { report, files }
    }

    fn degraded(&mut self, why: &str) {
        self.relay.gate.observer.record(&Event::WatchDegraded { why: &why });
    }
}
