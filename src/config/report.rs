//! Problems of a configuration, each with its place, what is wrong and what helps.
//!
//! Deliberately absent: problem codes. The key path says where, the sentence says what; a third name would only drift.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::masked::sentence;
use super::source::SourceError;

/// What is said of a key that must be there.
pub(super) const MISSING: &str = "is missing";

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
    /// The file that may not be read, where that is what is wrong.
    pub denied: Option<PathBuf>,
}

impl Problem {
    /// Of a whole file, or of a key that stands in no text.
    pub fn of(file: impl Into<PathBuf>, key: impl Into<String>, what: String, help: Option<String>) -> Self {
        Self { file: file.into(), at: None, key: key.into(), what, help, denied: None }
    }
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

/// Flat, with `line` and `column` beside `file`, for `--format json`.
impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Problem", 6)?;
        out.serialize_field("file", &self.file.to_string_lossy())?;
        out.serialize_field("line", &self.at.map(|at| at.0))?;
        out.serialize_field("column", &self.at.map(|at| at.1))?;
        out.serialize_field("key", &self.key)?;
        out.serialize_field("what", &self.what)?;
        out.serialize_field("help", &self.help)?;
        out.end()
    }
}

/// Why a configuration was not taken: every problem of it, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The configuration file itself could not be read, so nothing is known about its content (exit code 2, not 1).
    pub unreadable: bool,
    /// At least one.
    pub problems: Vec<Problem>,
    /// What is noticed but does not stop anything.
    pub warnings: Vec<Problem>,
    /// Every file that was looked at, so that a watcher notices when one of them is fixed.
    pub files: Vec<PathBuf>,
}

impl Report {
    /// The exit code of `dmz-relay check`: 1 for problems, 2 for a file that cannot be read.
    pub fn exit_code(&self) -> u8 {
        if self.unreadable { 2 } else { 1 }
    }
}

/// One problem after the other.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// Collects the problems of one TOML file. Compilation goes on after each, so that one run shows all of them.
#[derive(Debug)]
pub struct Problems {
    file: PathBuf,
    /// Byte offset of each line's start, to turn spans into places.
    lines: Vec<usize>,
    text: String,
    found: Vec<Problem>,
    warned: Vec<Problem>,
}

impl Problems {
    /// For one file and its whole text.
    pub fn new(file: impl Into<PathBuf>, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), lines, text: text.to_owned(), found: Vec::new(), warned: Vec::new() }
    }

    /// Adds a problem at a byte span of the text (`toml`'s spans), or without a place.
    pub fn add(
        &mut self,
        span: Option<Range<usize>>,
        key: impl Into<String>,
        what: impl Into<String>,
        help: Option<String>,
    ) {
        let problem = self.problem(span, key.into(), what.into(), help);
        self.found.push(problem);
    }

    /// Adds a problem with a file or a value that the text refers to.
    pub fn add_source(&mut self, span: Option<Range<usize>>, key: impl Into<String>, error: &SourceError) {
        let problem = self.problem(span, key.into(), error.to_string(), Some(error.help()));
        self.found.push(Problem { denied: error.denied().map(Path::to_path_buf), ..problem });
    }

    /// Adds something worth knowing that stops nothing.
    pub fn warn(
        &mut self,
        span: Option<Range<usize>>,
        key: impl Into<String>,
        what: impl Into<String>,
        help: Option<String>,
    ) {
        let problem = self.problem(span, key.into(), what.into(), help);
        self.warned.push(problem);
    }

    /// Adds a problem in a file that this one refers to.
    pub fn add_in(
        &mut self,
        file: &Path,
        line: usize,
        key: impl Into<String>,
        what: impl Into<String>,
        help: Option<String>,
    ) {
        let file = file.to_path_buf();
        let what = sentence(what.into());
        self.found.push(Problem { at: Some((line, 1)), ..Problem::of(file, key, what, help.map(sentence)) });
    }

    /// Forgets problems and warnings behind the first `told` whose key stands in one of these tables (each with its dot; the
    /// empty one is the whole file): they may only follow from what was reported of the table.
    pub fn leave_out(&mut self, told: usize, tables: &[String]) {
        let of = |table: &String, key: &str| key.starts_with(table.as_str()) || table.strip_suffix('.') == Some(key);
        let follows = |problem: &Problem| tables.iter().any(|table| of(table, &problem.key));
        let mut place = 0;
        self.found.retain(|problem| {
            place += 1;
            place <= told || !follows(problem)
        });
        self.warned.retain(|problem| !follows(problem));
    }

    /// Whether nothing was wrong so far.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many problems there are so far.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Everything found, sorted by place.
    pub fn into_sorted(self) -> Vec<Problem> {
        self.into_parts().0
    }

    /// Problems and warnings, each sorted by place; what has no place comes first, what stands in another file last. Before
    /// that, what is missing comes last: it was often written in a wrong place, and that is said above.
    pub fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        let Self { file, mut found, mut warned, .. } = self;
        for list in [&mut found, &mut warned] {
            list.sort_by(|a, b| {
                let order = |p: &Problem| (p.file != file, p.file.clone(), p.what == MISSING, p.at);
                (order(a), &a.key, &a.what).cmp(&(order(b), &b.key, &b.what))
            });
            list.dedup();
        }
        (found, warned)
    }

    /// `line 12`, for a problem that speaks of a second place.
    pub fn line_of(&self, span: &Range<usize>) -> usize {
        self.place(span.start).0
    }

    fn problem(&self, span: Option<Range<usize>>, key: String, what: String, help: Option<String>) -> Problem {
        let at = span.map(|span| self.place(span.start));
        Problem { at, ..Problem::of(&self.file, key, sentence(what), help.map(sentence)) }
    }

    /// Line and column from 1; columns count characters, as editors do.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line.max(1), column + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut problems = Problems::new("relay.toml", "a = 1\nö = \"x\"\n");
        problems.add(Some(11..14), "ö", "bad", Some("fix it".to_owned()));
        problems.add(Some(0..1), "a", "worse", None);
        let found = problems.into_sorted();
        assert_eq!(found[0].to_string(), "relay.toml:1:1: a: worse");
        assert_eq!(found[1].to_string(), "relay.toml:2:5: ö: bad\n  help: fix it");
    }

    #[test]
    fn places_outside_the_text_do_not_panic() {
        let mut problems = Problems::new("relay.toml", "ö");
        problems.add(Some(1..9), "", "inside a character", None);
        problems.add(Some(700..900), "", "past the end", None);
        assert_eq!(problems.into_sorted().len(), 2);
    }

    #[test]
    fn json_is_flat() {
        let mut problems = Problems::new("relay.toml", "a = 1");
        problems.add(Some(4..5), "a", "bad", None);
        let json = serde_json::to_string(&problems.into_sorted()).expect("serializes");
        assert_eq!(json, r#"[{"file":"relay.toml","line":1,"column":5,"key":"a","what":"bad","help":null}]"#);
    }
}
