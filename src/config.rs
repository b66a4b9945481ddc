//! `relay.toml` → raw → compiled → [`crate::snapshot::Snapshot`], or one report of everything that is wrong with it.
//!
//! [`load`] is the only way in: start, `check` and reload all call it, so none of them can accept what another refuses.
//! A load has no effect outside what it returns; the running snapshot is not touched by a bad file.

mod masked;
pub mod near;
pub mod quantity;
pub mod raw;
pub mod recipe;
pub mod report;
pub mod source;

pub mod schema;

mod compile;
mod keys;
mod parse;
mod shape;

use std::path::Path;

pub use self::report::{Problem, Problems, Report};
pub use self::source::{Environment, Reading};
use self::source::{SourceError, Sources};
use crate::base::UnixMillis;
use crate::snapshot::Snapshot;
use crate::state::State;

/// A configuration that may run, and what is worth knowing of it.
#[derive(Debug)]
pub struct Loaded {
    /// Complete.
    pub snapshot: Snapshot,
    /// Logged at each load; none of them stops it.
    pub warnings: Vec<Problem>,
    /// Tells whether the files still say this.
    pub reading: Reading,
}

/// Reads and compiles the file and everything it refers to. `now` judges certificates.
pub fn load(path: &Path, environment: &Environment, state: &State, now: UnixMillis) -> Result<Loaded, Report> {
    let mut sources = Sources::new(path, environment);
    let text = match sources.config(path) {
        Ok(text) => text,
        Err(error) => return Err(unreadable(path, &error, sources)),
    };
    match parse::parse(path, &text) {
        Ok(parsed) => compile::compile(parsed, sources, state, now),
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
    let problem = Problem {
        file: path.to_path_buf(),
        at,
        key: String::new(),
        what: error.to_string(),
        help: Some(match error {
            SourceError::Missing(_) => "name it with --config".to_owned(),
            _ => error.help(),
        }),
    };
    let (_, files, _) = sources.finish();
    Report { unreadable: at.is_none(), problems: vec![problem], warnings: Vec::new(), files }
}
