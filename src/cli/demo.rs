//! The demo: the relay at work, with no set-up at all.
//!
//! Everything is real: a configuration in a temporary folder, certificates of an authority made for the occasion, the relay
//! as `run` starts it, requests over TLS, and two small applications behind it that count what reaches them. Only the
//! senders are played, by code written from the providers' documentation and not from the relay's (`demo::provider`).
//! One act needs a relay that can be killed: this program again, as a process of its own.
//! No port is fixed, nothing outside the folder is touched, and the folder is removed at the end.

mod act;
mod crash;
mod explained;
mod full;
mod inside;
mod journal;
mod outage;
mod play;
mod process;
mod provider;
mod scenes;
mod screen;
mod show;
mod stage;
mod try_out;

use std::fmt;
use std::io;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::sender::{SendError, TrustProblem};
use crate::cli::terminal::say;
use crate::control::app::StartError;
use process::Process;
use screen::Screen;
use show::Part;
use stage::Stage;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// End after the requests were shown.
    pub once: bool,
    /// The public port; `None`: the kernel's choice.
    pub port: Option<u16>,
    /// Pauses after each line.
    pub slow: bool,
    /// JSON instead of text for people.
    pub json: bool,
}

/// Why there is no demo.
#[derive(Debug)]
pub enum DemoError {
    /// The temporary folder, a socket or a signal handler.
    Io(&'static str, io::Error),
    /// Making certificates.
    Certificate(crate::cli::authority::Error),
    /// The system gives no random bytes.
    Random,
    /// The relay did not start.
    Start(Box<StartError>),
    /// The senders cannot believe the relay.
    Trust(TrustProblem),
    /// A request could not be sent at all.
    Send(SendError),
    /// The relay answered and said nothing of it in its log.
    NoLogLine(String),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(what, error) => write!(f, "{what}: {error}"),
            Self::Certificate(error) => write!(f, "cannot make a certificate: {error}"),
            Self::Random => f.write_str("the system gives no random bytes"),
            Self::Start(error) => write!(f, "the relay did not start: {error}"),
            Self::Trust(problem) => write!(f, "{problem}"),
            Self::Send(error) => write!(f, "{error}"),
            Self::NoLogLine(id) => write!(f, "request {id} was answered and is not in the log"),
        }
    }
}

impl std::error::Error for DemoError {}

/// Shows it. Gives whether every request was treated as it should be.
pub async fn demo(settings: &Settings) -> Result<bool, DemoError> {
    let handler = |kind| signal(kind).map_err(|error| DemoError::Io("signal handler", error));
    let (mut interrupt, mut terminate) = (handler(SignalKind::interrupt())?, handler(SignalKind::terminate())?);
    // Whatever comes first: dropping the other ends everything and removes the folder.
    let mut played = None;
    tokio::select! {
        result = Box::pin(perform(settings, &mut played)) => result?,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // Interrupted before the end of the show: nobody can say that all was well.
    Ok(played.unwrap_or(false))
}

async fn perform(settings: &Settings, played: &mut Option<bool>) -> Result<(), DemoError> {
    let began = Instant::now();
    let screen = Screen::of(settings);
    let mut stage = Stage::set(settings).await?;
    let palette = screen.palette;
    screen.show(&show::opening(&stage, palette)).await;
    screen.show(&show::part(Part::Genuine, palette)).await;
    let mut sender = play::sender(&stage)?;
    let mut performance = play::play(&mut stage, &mut sender, &screen).await?;
    screen.show(&show::part(Part::Explained, palette)).await;
    let refused = performance.requests.iter().find(|shown| shown.sent == scenes::EXPLAINED);
    let refused = refused.map(|shown| shown.request_id.clone()).unwrap_or_default();
    performance.explained = explained::explained(&stage, &refused).await?;
    screen.show(&show::explained(&refused, &performance.explained, palette)).await;
    screen.show(&show::part(Part::Outage, palette)).await;
    performance.outage = Box::pin(outage::outage(&mut stage, &mut sender, &screen)).await?;
    let mut second = Process::of(&stage);
    screen.show(&show::part(Part::Crash, palette)).await;
    performance.crash = Box::pin(crash::crash(&mut stage, &mut second, &screen)).await?;
    screen.show(&show::part(Part::Full, palette)).await;
    performance.full = Box::pin(full::full(&mut stage, &mut second, &screen)).await?;
    drop(second);
    performance.as_expected &=
        performance.acts().iter().all(|act| act.as_expected) && !performance.explained.is_empty();
    performance.seconds = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    *played = Some(performance.as_expected);
    if settings.json {
        say(&show::json(&performance));
    }
    screen.show(&show::summary(&performance, palette)).await;
    if settings.once {
        stage.strike().await;
        return Ok(());
    }
    try_out::write(&stage)?;
    screen.show(&try_out::invitation(&stage, palette)).await;
    loop {
        let Some(line) = stage.journal.next().await else { return Ok(()) };
        if line.is_request() {
            say(&if settings.json { line.json() } else { show::live(&line, palette) });
        }
    }
}
