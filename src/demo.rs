//! The demo: the relay at work, with no set-up at all.
//!
//! Everything is real: a configuration in a temporary folder, certificates of an authority made for the occasion, the relay
//! as `run` starts it, requests over TLS, and two small applications behind it that count what reaches them. Only the
//! senders are played, by code written from the providers' documentation and not from the relay's (`demo::provider`).
//! No port is fixed, nothing outside the folder is touched, and the folder is removed at the end.

mod inside;
mod journal;
mod outage;
mod play;
mod provider;
mod scenes;
mod show;
mod stage;

use std::fmt;
use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::app::StartError;
use crate::sender::{SendError, TrustProblem};
use crate::terminal::{Palette, say};
use stage::Stage;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// End after the requests were shown.
    pub once: bool,
    /// The public port; `None`: the kernel's choice.
    pub port: Option<u16>,
    /// JSON instead of text for people.
    pub json: bool,
}

/// Why there is no demo.
#[derive(Debug)]
pub enum DemoError {
    /// The temporary folder, a socket or a signal handler.
    Io(&'static str, io::Error),
    /// Making certificates.
    Certificate(crate::authority::Error),
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
    let mut stage = Stage::set(settings).await?;
    let palette = Palette::of_stdout();
    if !settings.json {
        say(&show::opening(&stage, palette));
    }
    let mut sender = play::sender(&stage)?;
    let mut performance = play::play(&mut stage, &mut sender).await?;
    if !settings.json {
        say(&show::table(&performance, palette));
        say(&show::interlude(palette));
    }
    let mut tell = |step: &outage::Step| {
        if !settings.json {
            say(&show::step(step, palette));
        }
    };
    performance.add(Box::pin(outage::outage(&mut stage, &mut sender, &mut tell)).await?);
    *played = Some(performance.as_expected);
    say(&if settings.json { show::json(&performance) } else { show::verdict(&performance, palette) });
    if settings.once {
        stage.strike().await;
        return Ok(());
    }
    if !settings.json {
        say(&show::invitation(&stage, palette));
    }
    loop {
        let Some(line) = stage.journal.next().await else { return Ok(()) };
        if line.is_request() {
            say(&if settings.json { line.json() } else { show::request(&line, palette) });
        }
    }
}
