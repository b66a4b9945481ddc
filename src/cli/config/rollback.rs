//! `config rollback`: an earlier text goes back into the file, and the relay is asked to take it.
//!
//! Nothing is written before the earlier text has passed every check with the files as they are today. Where the relay keeps it
//! out all the same, the file is put back.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::history::{History, running};
use super::replace::{replace, set_aside};
use crate::base::Clock;
use crate::cli::check::report_text;
use crate::cli::grammar::Format;
use crate::cli::grammar::config::Rollback;
use crate::cli::terminal::{Palette, complain, confirm, harmless, tell};
use crate::cli::{Exit, Unusable, reload, say_json};
use crate::config::source::Unit;
use crate::config::{self, Environment, changes};
use crate::control::admin::status::ReloadReport;
use crate::runtime::snapshot::AdminAddress;
use crate::runtime::state::State;

/// What `--format json` says of it.
#[derive(Serialize)]
struct RolledBack {
    /// The version whose text the file has now.
    version: u64,
    /// What it says and the text that was in force did not.
    changes: Vec<String>,
    /// Where a text that was in the file and never in force was kept.
    set_aside: Option<PathBuf>,
    /// What the relay made of it; `null` where none runs.
    reload: Option<ReloadReport>,
}

pub(super) async fn rollback(args: &Rollback, format: Format) -> Result<Exit, Unusable> {
    let history = History::open(&args.relay).await?;
    let newest = history.newest()?;
    let number = args.number.map_or_else(|| history.before(newest), Ok)?;
    let version = history.version(number).await?;
    let (path, in_force) = match history.address() {
        // The file that the relay reads, whatever --config says.
        Some(address) => {
            let running = running(address).await?;
            (PathBuf::from(running.path), running.text)
        }
        None => (args.relay.config.path(), history.version(newest).await?.text),
    };
    let palette = Palette::of_stdout();
    let (environment, now) = (Environment::of_process().outside_the_unit(Unit::default()), Clock::system().now());
    if let Err(report) = config::load_text(&path, &version.text, &environment, &State::default(), now) {
        complain(&report_text(&path, &report, palette));
        complain(&format!("version {number} would not run today; nothing was changed\n"));
        return Ok(Exit::No);
    }
    let changes = changes::lines(&in_force, &version.text);
    let shown = path.display().to_string();
    let file = fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
    if changes.is_empty() && file == version.text {
        let done = RolledBack { version: number, changes, set_aside: None, reload: None };
        match format {
            Format::Json => say_json(&done)?,
            Format::Human => tell(&format!("{}: says what version {number} says already\n", harmless(&shown))),
        }
        return Ok(Exit::Fine);
    }
    if !args.yes {
        let question = format!("{}Go back to version {number} of {}?", question(&changes), harmless(&shown));
        match confirm(&question) {
            Some(true) => {}
            Some(false) => return Ok(Exit::No),
            None => return Err(format!("{question} There is no terminal to ask on; --yes means yes").into()),
        }
    }
    let write = |error| format!("cannot write {shown}: {error}; nothing was changed");
    let aside = (file != in_force).then(|| set_aside(&path, &file)).transpose().map_err(write)?;
    replace(&path, &version.text).map_err(write)?;
    let report = match history.address() {
        Some(address) => Some(taken(address, number, &path, &file).await?),
        None => None,
    };
    let kept_out = matches!(report, Some(ReloadReport::Kept { .. }));
    let done = RolledBack { version: number, changes, set_aside: aside, reload: report };
    match format {
        Format::Json => say_json(&done)?,
        Format::Human => tell(&done.text(&shown, palette)),
    }
    Ok(if kept_out { Exit::No } else { Exit::Fine })
}

/// Has the relay read the file. What it keeps out, or says nothing of, is taken back.
async fn taken(address: &AdminAddress, number: u64, path: &Path, before: &str) -> Result<ReloadReport, Unusable> {
    let asked = reload::asked(address, Some(number)).await;
    if matches!(asked, Ok(ReloadReport::Applied { .. } | ReloadReport::Unchanged { .. })) {
        return asked;
    }
    replace(path, before).map_err(|error| {
        format!("the relay did not take the earlier version, and {} cannot be put back: {error}", path.display())
    })?;
    asked
}

fn question(changes: &[String]) -> String {
    changes.iter().fold(String::new(), |mut text, change| {
        let _ = writeln!(text, "  {}", harmless(change));
        text
    })
}

impl RolledBack {
    fn text(&self, shown: &str, palette: Palette) -> String {
        let (shown, number) = (harmless(shown), self.version);
        let mut text = String::new();
        if let Some(aside) = &self.set_aside {
            let aside = harmless(&aside.display().to_string());
            let _ = writeln!(text, "what {shown} said was not in force; it was kept as {aside}");
        }
        let _ = match &self.reload {
            Some(report @ ReloadReport::Kept { .. }) => {
                writeln!(text, "{}{shown} was put back as it was", reload::text(report, palette))
            }
            // The relay that watches its file may have been faster than the question.
            Some(ReloadReport::Unchanged { generation }) => {
                writeln!(text, "version {number} is in force as configuration {generation}")
            }
            Some(report) => {
                write!(text, "{shown} says what version {number} says\n{}", reload::text(report, palette))
            }
            None => writeln!(text, "{shown} says what version {number} says; the next start takes it"),
        };
        text
    }
}
