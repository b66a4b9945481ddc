//! `run`: the relay in the foreground, until a signal ends it.

use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::check::report_text;
use super::grammar::{Format, Run};
use super::{Exit, Unusable, alarm, failed, say_json};
use crate::base::Clock;
use crate::cli::terminal::{Palette, complain};
use crate::config::Environment;
use crate::control::app::{self, Options, Running, StartError};
use crate::control::reload::Watching;
use crate::control::service::{InheritedSocket, Service};
use crate::observe::{Event, LibraryLog, Observer, Sink, stderr_is_journal};

/// Where panics are recorded once there is a log.
static OBSERVER: OnceLock<Arc<Observer>> = OnceLock::new();

pub(super) fn run(args: &Run, sockets: io::Result<Vec<InheritedSocket>>, format: Format) -> Result<Exit, Unusable> {
    panic::set_hook(Box::new(record_panic));
    let started = sockets.and_then(|sockets| Ok((sockets, runtime(args)?)));
    let (sockets, runtime) = match started {
        Ok(started) => started,
        Err(error) => return Ok(not_started(&error.to_string(), format)),
    };
    let config = args.config.path();
    let options = Options {
        config: config.clone(),
        environment: Environment::of_process(),
        clock: Clock::system(),
        sink: Sink::stderr(),
        sockets,
        service: Service::detect(),
        watching: if args.poll { Watching::Polling } else { Watching::Notices },
    };
    let exit = runtime.block_on(async {
        match Box::pin(serve(options)).await {
            Ok(exit) => Ok(exit),
            Err(StartError::Config(report)) => {
                let text = report_text(&config, &report, Palette::plain());
                match format {
                    Format::Json => {
                        say_json(&report)?;
                        also_to_journal(&text);
                    }
                    Format::Human => alarm(&text),
                }
                Ok(if report.unreadable { Exit::Unusable } else { Exit::No })
            }
            Err(
                error @ (StartError::Bind { .. }
                | StartError::Store { .. }
                | StartError::Admin(_)
                | StartError::Process(_)),
            ) => Ok(not_started(&error.to_string(), format)),
        }
    });
    runtime.shutdown_background();
    exit
}

fn not_started(why: &str, format: Format) -> Exit {
    if format == Format::Json {
        also_to_journal(&format!("dmz-relay: {why}"));
    }
    failed(why, Exit::NotStarted, format)
}

/// JSON is for whoever started the process by a program. A service manager's operator looks for errors in the journal.
fn also_to_journal(text: &str) {
    if stderr_is_journal() {
        alarm(text);
    }
}

fn runtime(args: &Run) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        builder.worker_threads(usize::from(threads));
    }
    builder.thread_name("worker").enable_all().build()
}

/// From the first bound address to the last answered request.
async fn serve(options: Options) -> Result<Exit, StartError> {
    // Before anything is bound, so that no signal can find the default action in place.
    let mut signals = Signals::new().map_err(StartError::Process)?;
    let mut running = app::start(options).await?;
    let _ = OBSERVER.set(Arc::clone(running.observer()));
    // Another logger would be a test's; then the relay does without libraries' warnings.
    let _ = LibraryLog::install(Arc::clone(running.observer()));
    let wanted = tokio::select! {
        () = signals.next() => true,
        _ = running.failed() => false,
    };
    Ok(drain(running, &mut signals, wanted).await)
}

/// A second signal means now.
async fn drain(running: Running, signals: &mut Signals, wanted: bool) -> Exit {
    let observer = Arc::clone(running.observer());
    let ended = tokio::select! {
        unfinished = Box::pin(running.stop()) => Some(unfinished),
        () = signals.next() => None,
    };
    match ended {
        // Cut connections were given their time; that is how a drain ends.
        Some(_) if wanted => Exit::Fine,
        Some(_) => Exit::Broken,
        None => {
            observer.flush(std::time::Duration::from_secs(1));
            Exit::Broken
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The place only: the message may quote what the code was working on.
fn record_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    match OBSERVER.get() {
        Some(observer) => observer.record(&Event::PanicCaught { place: &place }),
        None => complain(&format!("dmz-relay: panic at {place}\n")),
    }
}
