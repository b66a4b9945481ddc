//! Problems of a configuration, each with its place, what is wrong and what helps.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file it stands in.
    pub file: PathBuf,
    /// Line and column from 1, where the problem has a place in the text.
    pub at: Option<(usize, usize)>,
    /// The key path, for instance `routes.github.secrets`.
    pub key: String,
    /// What was expected and what was found.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// `relay.toml:41:18: routes.github.secrets: …`, then a help line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.what)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}
