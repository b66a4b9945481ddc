//! `send`: a correctly signed request for any route of the configuration, as its provider would send it.

mod aim;
mod arrived;
mod draft;
mod outcome;

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::grammar::{Format, Send};
use super::verify::unknown;
use super::{Exit, Unusable, say_json};
use crate::base::Clock;
use crate::cli::sender::Sender;
use crate::cli::terminal::{Palette, Progress, tell};
use draft::Draft;
use outcome::{Sent, Summary};

/// Requests in a row without an answer, after which no more are sent.
const PATIENCE: u64 = 10;

pub(super) async fn send(args: &Send, format: Format) -> Result<Exit, Unusable> {
    let config = args.config.path();
    let snapshot = args.config.load_or_explain()?.snapshot;
    let route = snapshot.routes.iter().find(|route| *route.name == *args.route);
    let route = route.ok_or_else(|| unknown("route", &args.route, snapshot.routes.iter().map(|route| &*route.name)))?;
    let aim = aim::aim(args, &config, &snapshot, route).await?;
    let draft = Draft::new(args, route, aim.path.as_deref())?;
    let mut sender = Sender::new(aim.place, Duration::from_secs(args.timeout));

    let clock = Clock::system();
    let mut summary = Summary::new(&draft, aim.url);
    let mut progress = Progress::new(args.count);
    let mut pace = args.rate.map(|rate| {
        let mut pace = interval_at(Instant::now(), Duration::from_secs(1) / rate);
        // A slow answer must not be followed by a burst.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pace
    });
    let started = Instant::now();
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    for done in 0..args.count {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let request = draft.request(clock.now())?;
        for _ in 0..draft.copies() {
            // Whoever interrupts a long run wants to see what came of it so far.
            tokio::select! {
                answer = sender.send(&request) => summary.add(Sent::of(answer, draft.expected())),
                _ = &mut interrupted => {
                    summary.stop("interrupted");
                    break;
                }
            }
        }
        progress.at(done + 1);
        if summary.unanswered_in_a_row() >= PATIENCE {
            summary.stop("nobody answers");
        }
        if summary.is_stopped() {
            break;
        }
    }
    drop(progress);
    summary.finish(started.elapsed());
    arrived::follow(&mut summary, &snapshot, Duration::from_secs(args.wait)).await;
    match format {
        Format::Json => say_json(&summary)?,
        Format::Human => tell(&summary.text(Palette::of_stdout())),
    }
    Ok(if summary.as_expected() { Exit::Fine } else { Exit::No })
}
