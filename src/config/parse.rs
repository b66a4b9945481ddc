//! Text to raw: what is not TOML is reported with its place; what does not fit the table of keys is reported all at once, and left out.

mod syntax;

use std::path::Path;

use serde::Deserialize as _;
use toml::de::{DeTable, Deserializer};

use super::raw::RawConfig;
use super::report::{Problem, Problems};
use super::shape::{self, Misfit};

/// A file that is TOML.
#[derive(Debug)]
pub(super) struct Parsed {
    /// What fits.
    pub(super) raw: RawConfig,
    /// What does not, told already.
    pub(super) problems: Problems,
    /// The tables in which something does not fit: what else is wrong with them may only follow from that.
    pub(super) unjudged: Vec<String>,
}

/// Reads the text, or says everything that keeps it from being read.
pub(super) fn parse(path: &Path, text: &str) -> Result<Parsed, Vec<Problem>> {
    let mut problems = Problems::new(path, text);
    let mut file = match DeTable::parse(text) {
        Ok(file) => file,
        Err(error) => {
            let cause = syntax::explain(text, &error);
            problems.add(Some(cause.span), cause.key, cause.what, cause.help);
            return Err(problems.into_sorted());
        }
    };
    let mut unjudged = Vec::new();
    for Misfit { span, path, table, what, help } in shape::fit(&mut file) {
        problems.add(Some(span), path, what, Some(help));
        unjudged.push(table);
    }
    match RawConfig::deserialize(Deserializer::from(file)) {
        Ok(raw) => Ok(Parsed { raw, problems, unjudged }),
        Err(error) => {
            // Something required was left out because it does not fit, and that was reported. A table of keys that says less than
            // the raw types do is a fault of ours, which a test looks for.
            if problems.is_empty() {
                let what = "this value has another form than the relay can read";
                problems.add(
                    error.span().or(Some(0..0)),
                    "",
                    what,
                    Some("docs/config.md shows each key's form".into()),
                );
            }
            Err(problems.into_sorted())
        }
    }
}

#[cfg(test)]
mod tests;
