//! `check`: everything that is wrong with a configuration, at once.

mod compared;
mod connect;
mod excerpt;
mod fits;
mod identity;
mod reads;
mod roles;
mod startable;
mod unit;
mod writers;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use self::compared::Compared;
use self::connect::Tried;
use self::excerpt::{BESIDE, WIDEST, excerpt};
use self::identity::Nobody;
use self::reads::Named;
use self::unit::Unit;
use super::grammar::{Check, Format};
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Palette, Tone, counted, harmless, tell};
use crate::config::{Loaded, Problem, Report};
use crate::control::admin::accounts::{Accounts, User};
use crate::control::app::Memory;
use crate::runtime::snapshot::{AdminAddress, Snapshot};

#[derive(Serialize)]
struct Found {
    file: PathBuf,
    fine: bool,
    unreadable: bool,
    routes: usize,
    listeners: usize,
    memory: Option<Memory>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// The user that files were judged as, beside the caller.
    judged_as: Option<String>,
    /// With `--connect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Tried>,
    /// With `--diff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Compared>,
    /// Why there is no `diff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn check(args: &Check, format: Format) -> Result<Exit, Unusable> {
    let mut found = found(args).await?;
    let compared = match args.diff {
        true => Some(Compared::with_running(&args.relay, &found.file).await),
        false => None,
    };
    let unusable = match compared.transpose() {
        Ok(compared) => {
            found.diff = compared;
            None
        }
        Err(why) => {
            found.error = Some(why.0.clone());
            Some(why)
        }
    };
    match format {
        Format::Json => say_json(&found)?,
        Format::Human => tell(&found.text(Palette::of_stdout())),
    }
    match (unusable, found.fine, found.unreadable) {
        // A program has read why.
        (Some(_), ..) if format == Format::Json => Ok(Exit::Unusable),
        (Some(why), ..) => Err(why),
        (None, true, _) => Ok(Exit::Fine),
        (None, false, false) => Ok(Exit::No),
        (None, false, true) => Ok(Exit::Unusable),
    }
}

async fn found(args: &Check) -> Result<Found, Unusable> {
    let file = args.relay.config.path();
    let (ram, accounts) = (fits::ram(), Accounts::of_host());
    let unit = Unit::of(&file, ram);
    let mut secrets = Vec::new();
    let (mut found, snapshot) =
        match args.relay.config.load_to_check(unit.as_ref().map(|unit| unit.gives.clone()).unwrap_or_default()) {
            Ok(Loaded { snapshot, mut warnings, reading, .. }) => {
                secrets.extend(reading.secrets().map(Path::to_path_buf));
                let memory = Memory::most(&snapshot);
                warnings.extend(roles::warnings(&file, &snapshot, &accounts));
                warnings.extend(fits::warnings(&file, &snapshot, &memory, ram, unit.as_ref()));
                let problems = startable::problems(&file, &snapshot, unit.as_ref());
                let (routes, listeners) = (snapshot.routes.iter().count(), snapshot.listeners.len());
                let found =
                    Found { routes, listeners, memory: Some(memory), problems, warnings, ..Found::nothing(&file) };
                (found, Ok(snapshot))
            }
            Err(report) => (Found::refused(&file, &report), Err(report.files)),
        };
    let socket = |snapshot: &Snapshot| match &snapshot.admin {
        Some(AdminAddress::Unix(path)) => Some(path.clone()),
        _ => None,
    };
    let (store, socket) = match &snapshot {
        Ok(snapshot) => (snapshot.store.as_ref().map(|store| store.path.clone()), socket(snapshot)),
        Err(_) => (None, None),
    };
    let read = snapshot.as_ref().map_or_else(|files| files, |snapshot| &snapshot.files);
    let named = Named { config: &file, read, store: store.as_deref(), socket: socket.as_deref() };
    let judged = match User::judged(args.user.as_deref(), unit.as_ref(), &accounts) {
        Ok(who) => who,
        Err(Nobody::Unknown(name)) => return Err(format!("this host has no user {name}").into()),
        Err(Nobody::UnknownToTheUnit { key, name }) => {
            found.problems.push(identity::without(&file, key, &name));
            None
        }
    };
    if let Some(who) = judged {
        let kept = reads::problems(named, &who, &accounts);
        // What the caller may not read either is said once.
        found.problems.retain(|problem| !kept.iter().any(|kept| reads::is_same(kept, problem)));
        found.problems.extend(kept);
        found.warnings.extend(writers::warnings(&file, secrets.iter().map(PathBuf::as_path), &who, &accounts));
        found.judged_as = Some(who.name);
    }
    found.problems.extend(unit.iter().flat_map(|unit| reads::kept_by_unit(named, unit)));
    if let (true, Ok(snapshot)) = (args.connect, &snapshot) {
        let (tried, problems, warnings) = connect::everything(&file, snapshot).await;
        found.connect = Some(tried);
        found.problems.extend(problems);
        found.warnings.extend(warnings);
    }
    found.fine = found.problems.is_empty();
    Ok(found)
}

/// Every problem of a report as `check` shows it, for commands that cannot start.
pub(super) fn report_text(file: &Path, report: &Report, palette: Palette) -> String {
    Found::refused(file, report).text(palette)
}

impl Found {
    fn nothing(file: &Path) -> Self {
        Self {
            file: file.to_path_buf(),
            fine: false,
            unreadable: false,
            routes: 0,
            listeners: 0,
            memory: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            judged_as: None,
            connect: None,
            diff: None,
            error: None,
        }
    }

    fn refused(file: &Path, report: &Report) -> Self {
        Self {
            unreadable: report.unreadable,
            problems: report.problems.clone(),
            warnings: report.warnings.clone(),
            ..Self::nothing(file)
        }
    }

    fn text(&self, palette: Palette) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let _ = writeln!(text, "{}", shown(problem, Tone::Bad, "", palette));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "{}", shown(warning, Tone::Odd, "warning: ", palette));
        }
        let file = harmless(&self.file.display().to_string());
        let warned = match self.warnings.len() {
            0 => String::new(),
            count => format!(", {}", counted(count, "warning")),
        };
        let (tone, verdict) = if self.fine {
            let (routes, listeners) = (counted(self.routes, "route"), counted(self.listeners, "listener"));
            let memory = self.memory.map_or_else(String::new, |memory| {
                format!("; at most {} MiB of memory with these limits", memory.bytes.div_ceil(1 << 20))
            });
            (Tone::Good, format!("fine: {routes}, {listeners}{warned}{memory}"))
        } else {
            (Tone::Bad, format!("{}{warned}", counted(self.problems.len(), "problem")))
        };
        // A file that cannot be read has one problem, and that says so.
        if !self.unreadable {
            let _ = writeln!(text, "{file}: {}", palette.paint(tone, &verdict));
        }
        if let Some(name) = &self.judged_as {
            let _ = writeln!(text, "judged as the user {}", harmless(name));
        }
        if let Some(tried) = &self.connect {
            text.push_str(&tried.text(palette));
        }
        if let Some(diff) = &self.diff {
            text.push_str(&diff.text(palette));
        }
        text
    }
}

/// `relay.toml:41:18: key: what`, the line with a caret where that is safe, and the help.
fn shown(problem: &Problem, tone: Tone, word: &str, palette: Palette) -> String {
    let mut place = harmless(&problem.file.display().to_string());
    if let Some((line, column)) = problem.at {
        let _ = write!(place, ":{line}:{column}");
    }
    let mut text = palette.paint(tone, &format!("{place}:"));
    let _ = write!(text, " {}", palette.paint(tone, word.trim_end()));
    if !word.is_empty() {
        text.push(' ');
    }
    if !problem.key.is_empty() {
        let _ = write!(text, "{}: ", palette.paint(Tone::Strong, &harmless(&problem.key)));
    }
    let _ = writeln!(text, "{}", harmless(&problem.what));
    let widest = palette.width().map_or(WIDEST, |width| width.saturating_sub(BESIDE));
    if let Some(excerpt) = excerpt(problem, widest) {
        text.push_str(&palette.paint(Tone::Quiet, &excerpt));
        text.push('\n');
    }
    if let Some(help) = &problem.help {
        let _ = writeln!(text, "  help: {}", harmless(help));
    }
    text
}
