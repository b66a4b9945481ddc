//! `relay.toml` → raw → compiled → [`crate::runtime::snapshot::Snapshot`], or one report of everything that is wrong with it.
//!
//! [`load`] is the only way in: start, `check` and reload all call it, so none of them can accept what another refuses.
//! A load has no effect outside what it returns; the running snapshot is not touched by a bad file.

pub mod changes;
pub mod feed;
pub mod host_name;
mod masked;
pub mod near;
mod network;
pub mod quantity;
pub mod raw;
pub mod recipe;
mod replace;
pub mod report;
pub mod schema;
pub mod source;
pub mod versions;

mod compile;
mod keys;
mod parse;
mod shape;

use std::path::Path;

pub use self::changes::Text;
pub use self::compile::server_problem;
pub use self::report::{Problem, Problems, Report};
pub use self::source::{Environment, Reading};
use self::source::{SourceError, Sources};
use crate::base::UnixMillis;
use crate::runtime::snapshot::Snapshot;
use crate::runtime::state::State;

/// A configuration that may run, and what is worth knowing of it.
#[derive(Debug)]
pub struct Loaded {
    /// Complete.
    pub snapshot: Snapshot,
    /// Logged at each load; none of them stops it.
    pub warnings: Vec<Problem>,
    /// Tells whether the files still say this.
    pub reading: Reading,
    /// What was compiled.
    pub text: Text,
    /// Of every certificate that it serves, the digest.
    pub certificates: Vec<[u8; 32]>,
}

/// Reads and compiles the file and everything it refers to. `now` judges certificates.
pub fn load(path: &Path, environment: &Environment, state: &State, now: UnixMillis) -> Result<Loaded, Report> {
    let mut sources = Sources::new(path, environment);
    match sources.config(path) {
        Ok(text) => compiled(path, text, sources, state, now),
        Err(error) => Err(unreadable(path, &error, sources)),
    }
}

/// The same with this text in place of the file's: for a configuration that stays while the file says something else, and for one
/// that is tried before the file says it.
pub fn load_text(
    path: &Path,
    text: &str,
    environment: &Environment,
    state: &State,
    now: UnixMillis,
) -> Result<Loaded, Report> {
    let mut sources = Sources::new(path, environment);
    sources.given(path, text);
    compiled(path, text.to_owned(), sources, state, now)
}

/// The text of the file, if it can be read.
pub fn text(path: &Path) -> Option<Text> {
    Sources::new(path, &Environment::default()).config(path).ok().map(Text::new)
}

fn compiled(path: &Path, text: String, sources: Sources<'_>, state: &State, now: UnixMillis) -> Result<Loaded, Report> {
    match parse::parse(path, &text) {
        Ok(parsed) => compile::compile(parsed, Text::new(text), sources, state, now),
        Err(problems) => {
            let (_, files, _) = sources.finish();
            Err(Report { unreadable: false, problems, warnings: Vec::new(), files })
        }
    }
}

/// The file itself is out of reach, or is not text at all.
fn unreadable(path: &Path, error: &SourceError, sources: Sources<'_>) -> Report {
    let at = match error {
        SourceError::NotText { line, .. } => Some((*line, 1)),
        _ => None,
    };
    let help = match error {
        SourceError::Missing(_) => "name it with --config".to_owned(),
        _ => error.help(),
    };
    let denied = error.denied().map(Path::to_path_buf);
    let problem = Problem { at, denied, ..Problem::of(path, "", error.without(path), Some(help)) };
    let (_, files, _) = sources.finish();
    Report { unreadable: at.is_none(), problems: vec![problem], warnings: Vec::new(), files }
}
