//! `events`: the history of a running relay, and what an operator does with it.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::{Relay, values};
use crate::domain::HistoryOutcome;

/// `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// What to do.
    #[command(subcommand)]
    pub command: EventsCommand,
}

/// What can be done with the history.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// List events, the newest first
    List(List),
    /// Show one event: head, attempts, body
    Show(Show),
    /// Show events as they come, until Ctrl-C
    Tail(Tail),
    /// Write events with their bodies, one JSON object per line
    Export(Export),
    /// Send stored requests to the upstream once more, now
    Redeliver(Redeliver),
    /// Make dead letters wait for delivery again, or try what waits now
    Retry(Retry),
    /// Give waiting requests or dead letters up
    Discard(Discard),
}

/// Which events. All conditions must hold.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Of this route
    #[arg(long, value_name = "NAME", help_heading = "Filters", add = ArgValueCandidates::new(values::routes))]
    pub route: Option<String>,
    /// Of this provider
    #[arg(long, value_name = "NAME", help_heading = "Filters", add = ArgValueCandidates::new(values::providers))]
    pub provider: Option<String>,
    /// That ended so
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes(), help_heading = "Filters")]
    pub outcome: Option<String>,
    /// Refused or failed for this reason, such as signature_mismatch
    #[arg(long, value_name = "CODE", help_heading = "Filters", add = ArgValueCandidates::new(values::reasons))]
    pub reason: Option<String>,
    /// Answered with this status: 404, 5xx, 500-599
    #[arg(long, value_name = "STATUS", help_heading = "Filters")]
    pub status: Option<String>,
    /// In this state of delivery
    #[arg(long, value_enum, value_name = "STATE", help_heading = "Filters")]
    pub state: Option<State>,
    /// Received since: 2h, 3d, 2026-11-22T10:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub since: Option<String>,
    /// Received before
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub until: Option<String>,
    /// With this request id
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub id: Option<String>,
    /// That dedupe memory knows by this, all of it or its first part: h:ID
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub dedupe: Option<String>,
    /// From this address or network
    #[arg(long, value_name = "IP|CIDR", help_heading = "Filters")]
    pub source: Option<String>,
    /// With this text in path, query or headers, in any case
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub text: Option<String>,
}

/// The words of the history, which docs/operating.md explains.
fn outcomes() -> PossibleValuesParser {
    HistoryOutcome::ALL.map(HistoryOutcome::as_str).into()
}

/// Where a stored request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names are those of the states")]
pub enum State {
    Waiting,
    Dead,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// The oldest first.
    Asc,
    /// The newest first.
    #[default]
    Desc,
}

/// `events list`.
#[derive(Debug, Args)]
pub struct List {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub limit: u64,
    /// In which order
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    pub order: Order,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR", allow_hyphen_values = true)]
    pub after: Option<String>,
}

/// `events show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The request id, or its beginning
    #[arg(value_name = "ID")]
    pub event: String,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Show the body too
    #[arg(long)]
    pub body: bool,
    /// Write the body, byte for byte, to this file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// `events tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// Begin with this many recorded events
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub last: u64,
}

/// `events export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// `events redeliver`.
#[derive(Debug, Args)]
pub struct Redeliver {
    /// Request ids, or their beginnings; without any, the filters choose
    #[arg(value_name = "ID")]
    pub events: Vec<String>,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// At most this many, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// At most this many per second, minute or hour: 10/s, 30/m [default: as fast as they are answered]
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Only say what would be sent
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `events retry`.
#[derive(Debug, Args)]
pub struct Retry {
    /// Request ids, or their beginnings; without any, the filters choose
    #[arg(value_name = "ID")]
    pub events: Vec<String>,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// Every dead letter that the filters leave
    #[arg(long, conflicts_with = "events")]
    pub all_dead: bool,
    /// Try everything that waits now: of all routes, of --route or of --upstream
    #[arg(long, conflicts_with_all = ["events", "all_dead"])]
    pub waiting: bool,
    /// Of this upstream; with --waiting
    #[arg(long, value_name = "NAME", requires = "waiting", conflicts_with = "route")]
    #[arg(add = ArgValueCandidates::new(values::upstreams))]
    pub upstream: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `events discard`.
#[derive(Debug, Args)]
pub struct Discard {
    /// Request ids, or their beginnings; without any, the filters choose among the dead letters
    #[arg(value_name = "ID")]
    pub events: Vec<String>,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Which events.
    #[command(flatten)]
    pub filters: Filters,
    /// Every dead letter that the filters leave
    #[arg(long, conflicts_with = "events")]
    pub all_dead: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}
