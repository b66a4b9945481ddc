//! Text to raw. `toml` and serde stop at their first error; it is told in the same form as every other problem.

use std::ops::Range;
use std::path::Path;

use super::near::suggest;
use super::raw::RawConfig;
use super::report::{Problem, Problems};

/// Reads the text, or says what stops it.
pub(super) fn parse(path: &Path, text: &str) -> Result<RawConfig, Problem> {
    toml::from_str(text).map_err(|error| {
        let mut problems = Problems::new(path, text);
        let (key, what, help) = explain(text, &error);
        problems.add(error.span().or(Some(0..0)), key, what, help);
        problems.into_sorted().pop().unwrap_or_else(|| Problem {
            file: path.to_path_buf(),
            at: None,
            key: String::new(),
            what: error.message().to_owned(),
            help: None,
        })
    })
}

fn explain(text: &str, error: &toml::de::Error) -> (String, String, Option<String>) {
    let message = error.message();
    let Some((found, known)) = unknown(message) else {
        return (String::new(), message.replace('\n', ", "), type_help(message));
    };
    let table = error.span().map(|span| table_at(text, &span, found)).unwrap_or_default();
    let kind = if message.starts_with("unknown variant") { "value" } else { "key" };
    let help = suggest(found, known.iter().copied(), "nothing may stand here");
    (table, format!("unknown {kind} \"{found}\""), Some(help))
}

/// serde's `` unknown field `x`, expected one of `a`, `b` ``, taken apart.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (found, rest) = rest.split_once('`')?;
    Some((found, rest.split('`').skip(1).step_by(2).collect()))
}

/// What usually lies behind a type error.
fn type_help(message: &str) -> Option<String> {
    let help = if message.contains("duplicate key") {
        "a key or table may stand once; [[listeners]] with double brackets adds one"
    } else if message.contains("expected a sequence") {
        "write a list: [\"…\"]"
    } else if message.contains("expected a boolean") {
        "write true or false, without quotes"
    } else if message.contains("expected a string") {
        "write a text in quotes"
    } else if message.contains("expected i64") {
        "write a whole number, without quotes"
    } else if message.starts_with("invalid type") {
        "docs/config.md shows each key's shape"
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// The table that a key stands in, from the nearest header above it, with the key itself at the end.
fn table_at(text: &str, span: &Range<usize>, key: &str) -> String {
    let before = text.get(..span.start).unwrap_or_default();
    let header = before.lines().rev().map(str::trim_start).find(|line| line.starts_with('['));
    let on_header_line = before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['));
    let table = match header {
        // `[routes.x.oops]`: the unknown key is part of the header itself.
        Some(line) if on_header_line => line.trim_start_matches('[').trim_end_matches('.').trim(),
        Some(line) => line.trim_start_matches('[').split(']').next().unwrap_or_default().trim(),
        None => "",
    };
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        parse(Path::new("relay.toml"), text).map(|_| ()).expect_err("is refused").to_string()
    }

    #[test]
    fn an_unknown_key_is_told_with_its_table_and_the_nearest_known_one() {
        let told = problem("[log]\nformt = \"json\"\n");
        assert_eq!(
            told,
            "relay.toml:2:1: log.formt: unknown key \"formt\"\n  help: did you mean \"format\"? known: format, \
             refusals_per_second"
        );
        assert!(
            problem("[logg]\n")
                .starts_with("relay.toml:1:2: logg: unknown key \"logg\"\n  help: did you mean \"log\"?")
        );
        assert!(problem("[routes.x.oops]\n").starts_with("relay.toml:1:11: routes.x.oops: unknown key \"oops\""));
    }

    #[test]
    fn a_type_error_points_at_the_value() {
        assert!(
            problem("[log]\nformat = 5\n").starts_with("relay.toml:2:10: invalid type"),
            "{}",
            problem("[log]\nformat = 5\n")
        );
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let told = problem("[log]\nformat = \n");
        assert!(told.starts_with("relay.toml:2:"), "{told}");
    }
}
