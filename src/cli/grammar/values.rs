//! Values that a shell may suggest: names of the configuration and of the relay itself.
//!
//! They are looked up when somebody presses Tab: nothing of a configuration is read but the names of its tables, and a file that
//! cannot be read suggests nothing.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use clap_complete::engine::CompletionCandidate;

use super::Config;
use crate::config::recipe::builtin_names;
use crate::domain::{ActionResult, Outcome};

/// A larger file is no configuration.
const LARGEST: u64 = 4 << 20;

impl ValueEnum for ActionResult {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Done => "It was done",
            Self::Failed => "It could not be done",
            Self::Refused => "The caller has not the role",
            Self::Unknown => return None,
        };
        Some(PossibleValue::new(self.as_str()).help(help))
    }
}

/// The routes of the configuration.
pub(super) fn routes() -> Vec<CompletionCandidate> {
    named("routes")
}

/// Its upstreams.
pub(super) fn upstreams() -> Vec<CompletionCandidate> {
    named("upstreams")
}

/// Its listeners.
pub(super) fn listeners() -> Vec<CompletionCandidate> {
    let table = configured(std::env::args_os()).unwrap_or_default();
    let listeners = table.get("listeners").and_then(toml::Value::as_array);
    let names = listeners.into_iter().flatten().filter_map(|listener| listener.get("name")?.as_str());
    candidates(names)
}

/// The providers that the relay knows.
pub(super) fn providers() -> Vec<CompletionCandidate> {
    candidates(builtin_names().iter().copied())
}

/// Why a request was refused or failed, or could not be judged.
pub(super) fn reasons() -> Vec<CompletionCandidate> {
    candidates(Outcome::reasons())
}

fn named(what: &str) -> Vec<CompletionCandidate> {
    let table = configured(std::env::args_os()).unwrap_or_default();
    candidates(table.get(what).and_then(toml::Value::as_table).into_iter().flatten().map(|(name, _)| name.as_str()))
}

/// What a shell would have to quote is not suggested.
fn candidates<'n>(names: impl Iterator<Item = &'n str>) -> Vec<CompletionCandidate> {
    let plain = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    names.filter(plain).map(CompletionCandidate::new).collect()
}

/// The configuration that the unfinished command line means.
fn configured(arguments: impl Iterator<Item = OsString>) -> Option<toml::Table> {
    let path =
        Config { config: said(arguments).or_else(|| std::env::var_os("DMZ_RELAY_CONFIG").map(PathBuf::from)) }.path();
    let mut text = String::new();
    File::open(path).ok()?.take(LARGEST).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

fn said(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let arguments: Vec<OsString> = arguments.collect();
    let joined = arguments.iter().filter_map(|argument| argument.to_str()?.strip_prefix("--config=")).next_back();
    let mut apart =
        arguments.windows(2).filter(|pair| pair.iter().take(1).any(|name| name == "--config" || name == "-c"));
    joined.map(PathBuf::from).or_else(|| apart.next_back()?.last().map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_was_typed_is_the_one_that_is_read() {
        let said = |line: &str| said(line.split(' ').map(OsString::from));
        assert_eq!(said("dmz-relay -- dmz-relay send --config a.toml"), Some("a.toml".into()));
        assert_eq!(said("dmz-relay -- dmz-relay send -c a.toml gi"), Some("a.toml".into()));
        assert_eq!(said("dmz-relay -- dmz-relay send --config=a.toml"), Some("a.toml".into()));
        assert_eq!(said("dmz-relay -- dmz-relay send"), None);
    }

    #[test]
    fn names_that_a_shell_would_have_to_quote_are_not_suggested() {
        let found = candidates(["plain-name_1.x", "a b", "$(id)", "", "é"].into_iter());
        assert_eq!(found.len(), 1, "{found:?}");
    }
}
