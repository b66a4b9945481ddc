//! When the configuration is read again: a watched file changed, `SIGHUP` came, or the admin listener asked.
//!
//! Only the noticing. What loading means is the caller's [`Load`], which decides by content whether anything changed;
//! so a notice too many costs a read and never a swap, and a notice too few is the only mistake that matters here.

mod notices;
mod places;
mod watch;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use watch::Watch;
pub use watch::Watching;

/// What asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// A file changed, appeared or went away.
    File,
    /// `SIGHUP`.
    Signal,
    /// `POST /api/v1/reload`.
    Admin,
    /// Files came under watch that were not before: they may have changed between their reading and their watching.
    Recheck,
}

impl Trigger {
    /// As logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "signal",
            Self::Admin => "admin",
            Self::Recheck => "recheck",
        }
    }
}

/// What came of one load.
#[derive(Debug)]
pub struct Loaded<R> {
    /// Goes to everyone who asked.
    pub report: R,
    /// Every file that the next change may be in: those of the running configuration and, when the new one was kept
    /// out, those it names.
    pub files: Vec<PathBuf>,
}

/// Reads the files and swaps the configuration, or keeps the running one.
pub trait Load: Send {
    /// What a reload tells who asked for it.
    type Report: Clone + Send;

    /// Called for one reload at a time.
    fn load(&mut self, trigger: Trigger) -> impl Future<Output = Loaded<Self::Report>> + Send;

    /// Called once when watching turned into polling.
    fn degraded(&mut self, why: &str);
}

/// How long changes are gathered before they are acted on.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// No change for this long ends the gathering: an editor or a deployment writes several files.
    pub quiet: Duration,
    /// Ends it in any case.
    pub at_most: Duration,
    /// Between two looks where the system gives no notice.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(250), at_most: Duration::from_secs(2), poll: Duration::from_secs(2) }
    }
}

/// Asks for a reload and waits for its report.
#[derive(Clone, Debug)]
pub struct Requests<R>(mpsc::Sender<oneshot::Sender<R>>);

impl<R> Requests<R> {
    /// The report of a load that began after this call; `None` when the relay is shutting down.
    pub async fn reload(&self) -> Option<R> {
        let (reply, report) = oneshot::channel();
        self.0.send(reply).await.ok()?;
        report.await.ok()
    }
}

/// Waits for reasons to reload, one after another.
#[derive(Debug)]
pub struct Reloader<R> {
    pace: Pace,
    watch: Watch,
    hangup: Signal,
    asked: mpsc::Receiver<oneshot::Sender<R>>,
    /// Keeps `asked` open when nobody else does.
    _open: mpsc::Sender<oneshot::Sender<R>>,
}

/// Reload requests that may wait; each waits for its caller anyway.
const WAITING: usize = 16;

impl<R: Clone + Send> Reloader<R> {
    /// Watches from now on. Call it before the first load: nothing that changes in between is missed, because
    /// [`Reloader::run`] loads again when it takes files under watch. Needs a tokio runtime.
    pub fn start(pace: Pace, watching: Watching) -> io::Result<(Self, Requests<R>)> {
        let (ask, asked) = mpsc::channel(WAITING);
        let hangup = signal(SignalKind::hangup())?;
        let watch = Watch::start(watching, pace.poll);
        Ok((Self { pace, watch, hangup, asked, _open: ask.clone() }, Requests(ask)))
    }

    /// Runs until dropped. `files` are those of the configuration that was loaded at the start.
    pub async fn run<L: Load<Report = R>>(mut self, mut files: Vec<PathBuf>, load: &mut L) {
        loop {
            let more = self.watch.follow(&files);
            if let Some(why) = self.watch.newly_degraded() {
                load.degraded(&why);
            }
            let (mut trigger, first) = if more { (Trigger::Recheck, None) } else { self.next().await };
            let mut waiting: Vec<_> = first.into_iter().collect();
            // Whoever asked before the load begins is served by it.
            while let Ok(reply) = self.asked.try_recv() {
                waiting.push(reply);
                // What a file alone may not bring, whoever asked gets.
                trigger = Trigger::Admin;
            }
            let loaded = load.load(trigger).await;
            for reply in waiting {
                // The caller may have gone away.
                let _ = reply.send(loaded.report.clone());
            }
            files = loaded.files;
        }
    }

    async fn next(&mut self) -> (Trigger, Option<oneshot::Sender<R>>) {
        let deadline = tokio::select! {
            _ = self.hangup.recv() => return (Trigger::Signal, None),
            Some(reply) = self.asked.recv() => return (Trigger::Admin, Some(reply)),
            () = self.watch.changed() => Instant::now() + self.pace.at_most,
        };
        loop {
            let quiet = (Instant::now() + self.pace.quiet).min(deadline);
            tokio::select! {
                _ = self.hangup.recv() => return (Trigger::Signal, None),
                Some(reply) = self.asked.recv() => return (Trigger::Admin, Some(reply)),
                more = timeout_at(quiet, self.watch.changed()) => {
                    if more.is_err() || Instant::now() >= deadline {
                        return (Trigger::File, None);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
