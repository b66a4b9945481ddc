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

/// Collects the problems of one TOML file. Compilation goes on after each, so that one run shows all of them.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    /// Byte offset of each line's start, to turn spans into places.
    lines: Vec<usize>,
    text: String,
    found: Vec<Problem>,
}

impl Problems {
    /// For one file and its whole text.
    pub fn new(file: impl Into<PathBuf>, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), lines, text: text.to_owned(), found: Vec::new() }
    }

    /// Adds a problem at a byte span of the text (`toml`'s spans), or without a place.
    pub fn add(
        &mut self,
        span: Option<std::ops::Range<usize>>,
        key: impl Into<String>,
        what: impl Into<String>,
        help: Option<String>,
    ) {
        let at = span.map(|span| self.place(span.start));
        self.found.push(Problem { file: self.file.clone(), at, key: key.into(), what: what.into(), help });
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Everything found, sorted by place.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by(|a, b| (a.at, &a.key, &a.what).cmp(&(b.at, &b.key, &b.what)));
        self.found
    }

    /// Line and column from 1; columns count characters, as editors do.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line.max(1), column + 1)
    }
}
