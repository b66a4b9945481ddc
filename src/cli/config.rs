//! `config`: the configurations that were in force, what each of them changed, and the way back to one.
//!
//! A running relay is asked. Where none runs, the versions beside the store are read: the way back is needed most when a relay
//! does not start.

mod history;
mod replace;
mod rollback;

use std::fmt::Write as _;

use serde::Serialize;

use self::history::History;
use super::grammar::Format;
use super::grammar::config::{ConfigAction, ConfigCommand, DiffVersions, ListVersions, ShowVersion};
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Cell, Palette, Table, Tone, cell, harmless, say, tell};
use crate::config::changes;
use crate::control::admin::configuration::VersionList;

pub(super) use self::history::running;

pub(super) async fn config(args: &ConfigCommand, format: Format) -> Result<Exit, Unusable> {
    match &args.action {
        ConfigAction::List(args) => list(args, format).await,
        ConfigAction::Show(args) => show(args, format).await,
        ConfigAction::Diff(args) => diff(args, format).await,
        ConfigAction::Rollback(args) => rollback::rollback(args, format).await,
    }
}

async fn list(args: &ListVersions, format: Format) -> Result<Exit, Unusable> {
    let history = History::open(&args.relay).await?;
    match format {
        Format::Json => say_json(&history.list)?,
        Format::Human => tell(&table(&history.list).text(Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

fn table(list: &VersionList) -> Table {
    let mut table = Table::new(["version", "in force since", "by", "changes"]).foldable(&[3]);
    for version in &list.versions {
        let (number, running) = (version.version.to_string(), list.running == Some(version.version));
        let number = if running { cell(Tone::Good, format!("{number} (running)")) } else { number.into() };
        let (at, by): (Cell, Cell) = (harmless(&version.applied_at).into(), harmless(&version.trigger).into());
        let changes = match version.changes.as_slice() {
            [] => cell(Tone::Quiet, "the first that is known"),
            [one] => harmless(one).into(),
            [first, more @ ..] => format!("{}, and {} more", harmless(first), more.len()).into(),
        };
        table.row([number, at, by, changes]);
    }
    table
}

async fn show(args: &ShowVersion, format: Format) -> Result<Exit, Unusable> {
    let history = History::open(&args.relay).await?;
    match (args.number, history.address()) {
        (None, Some(address)) => {
            let running = running(address).await?;
            match format {
                Format::Json => say_json(&running)?,
                Format::Human => say(&running.text),
            }
        }
        (number, _) => {
            let version = history.version(number.map_or_else(|| history.newest(), Ok)?).await?;
            match format {
                Format::Json => say_json(&version)?,
                Format::Human => say(&version.text),
            }
        }
    }
    Ok(Exit::Fine)
}

/// What `--format json` says of a comparison.
#[derive(Serialize)]
struct Compared {
    old: u64,
    new: u64,
    changes: Vec<String>,
}

async fn diff(args: &DiffVersions, format: Format) -> Result<Exit, Unusable> {
    let history = History::open(&args.relay).await?;
    let new = args.new.map_or_else(|| history.newest(), Ok)?;
    let old = args.old.map_or_else(|| history.before(new), Ok)?;
    let (before, after) = (history.version(old).await?, history.version(new).await?);
    let compared = Compared { old, new, changes: changes::lines(&before.text, &after.text) };
    match format {
        Format::Json => say_json(&compared)?,
        Format::Human => tell(&compared.text(Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

impl Compared {
    fn text(&self, palette: Palette) -> String {
        let Self { old, new, changes } = self;
        if changes.is_empty() {
            return format!("versions {old} and {new} say the same\n");
        }
        let mut text = format!("from version {old} to version {new}:\n");
        for change in changes {
            let _ = writeln!(text, "{}", palette.fold(&harmless(change), 2));
        }
        text
    }
}
