//! `reload`: has a running relay read its files again, and says what came of it.

use std::fmt::Write as _;

use super::grammar::{Format, Reload};
use super::{Exit, Unusable, read_answer, say_json};
use crate::cli::terminal::{Palette, Tone, counted, harmless, tell};
use crate::control::admin::client;
use crate::control::admin::status::{Problem, ReloadReport};
use crate::runtime::snapshot::AdminAddress;

pub(super) async fn reload(args: &Reload, format: Format) -> Result<Exit, Unusable> {
    let address = args.relay.address()?;
    let report = asked(&address, None).await?;
    match format {
        Format::Json => say_json(&report)?,
        Format::Human => tell(&text(&report, Palette::of_stdout())),
    }
    Ok(match report {
        ReloadReport::Applied { .. } | ReloadReport::Unchanged { .. } => Exit::Fine,
        ReloadReport::Kept { .. } => Exit::No,
    })
}

/// Asks for a reload, which may go back to an earlier version.
pub(super) async fn asked(address: &AdminAddress, version: Option<u64>) -> Result<ReloadReport, Unusable> {
    let answer = client::reload(address, version).await.map_err(|error| error.to_string())?;
    read_answer(&answer, "instead of a report")
}

/// What came of it, for people.
pub(super) fn text(report: &ReloadReport, palette: Palette) -> String {
    let mut text = String::new();
    match report {
        ReloadReport::Applied { generation, changes, needs_restart, warnings } => {
            let word = palette.paint(Tone::Good, "applied");
            let _ = writeln!(text, "{word}: configuration {generation} is in force");
            for change in changes {
                let _ = writeln!(text, "{}", palette.fold(&harmless(change), 2));
            }
            for change in needs_restart {
                let _ = writeln!(text, "  {} {}", palette.paint(Tone::Odd, "needs a restart:"), harmless(change));
            }
            for warning in warnings {
                let _ = writeln!(text, "  {} {}", palette.paint(Tone::Odd, "warning:"), lines(warning));
            }
        }
        ReloadReport::Unchanged { generation } => {
            let _ = writeln!(text, "unchanged: the files say what configuration {generation} says");
        }
        ReloadReport::Kept { problems } => {
            for problem in problems {
                let _ = writeln!(text, "{}", problem_text(problem));
            }
            let word = palette.paint(Tone::Bad, "kept");
            let count = counted(problems.len(), "problem");
            let _ = writeln!(text, "{word}: {count}; what was running goes on unchanged");
        }
    }
    text
}

/// As `check` words it.
pub(super) fn problem_text(problem: &Problem) -> String {
    let mut text = harmless(&problem.file);
    if let (Some(line), Some(column)) = (problem.line, problem.column) {
        let _ = write!(text, ":{line}:{column}");
    }
    text.push(':');
    if !problem.key.is_empty() {
        let _ = write!(text, " {}:", harmless(&problem.key));
    }
    let _ = write!(text, " {}", harmless(&problem.what));
    if let Some(help) = &problem.help {
        let _ = write!(text, "\n  help: {}", harmless(help));
    }
    text
}

/// A text of several lines, indented behind its first.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(harmless).collect::<Vec<_>>().join("\n    ")
}
