//! Text to raw. `toml` and serde stop at their first error; it is told in the same form as every other problem.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

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

/// Key path, what is wrong, and what helps. A value of the file is never repeated: it may be a secret in the wrong
/// place.
fn explain(text: &str, error: &toml::de::Error) -> (String, String, Option<String>) {
    let message = error.message();
    let span = error.span().unwrap_or(0..0);
    let path = DeTable::parse(text).ok().and_then(|table| path_at(table.get_ref(), &span)).unwrap_or_default();
    let written = text.get(span.clone()).unwrap_or_default();
    if let Some((found, known)) = unknown(message) {
        let help = suggest(found, known.iter().copied(), "nothing may stand here");
        let what = match is_key(text, &span) {
            true => format!("unknown key \"{found}\""),
            false => "this is not known here".to_owned(),
        };
        return (path, what, Some(help));
    }
    if message == "duplicate key" {
        let help = "a key or table may stand once; [[listeners]] with double brackets adds one";
        return (path, format!("\"{written}\" stands here a second time"), Some(help.to_owned()));
    }
    if message.starts_with("wanted exactly 1 element") {
        let what = "expected a table with exactly one key".to_owned();
        return (path, what, Some("keep one of them".to_owned()));
    }
    if let Some((expected, found)) = mistyped(message) {
        return (path, format!("expected {expected}, found {found}"), Some(shape_help(&expected).to_owned()));
    }
    (path, message.replace('\n', ", "), None)
}

/// serde's `` unknown field `x`, expected one of `a`, `b` ``, taken apart.
fn unknown(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (found, rest) = rest.split_once('`')?;
    Some((found, rest.split('`').skip(1).step_by(2).collect()))
}

/// serde's `invalid type: string "x", expected a boolean`, in the words of the file and without the value.
fn mistyped(message: &str) -> Option<(String, &'static str)> {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
    // The value may hold the same words, so the last ones count.
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let found = match found.split([' ', '`', '"']).next().unwrap_or_default() {
        "string" => "a text",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "a table",
        _ => "something else",
    };
    let expected = match expected {
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a string" | "string" => "a text",
        "f64" => "a number",
        "i64" | "u16" | "u32" | "u8" => "a whole number",
        other if other.starts_with("struct ") || other.starts_with("enum ") || other == "a map" => "a table",
        other => other,
    };
    Some((expected.to_owned(), found))
}

fn shape_help(expected: &str) -> &'static str {
    match expected {
        "a list" => "write [\"…\"]; [[listeners]] has double brackets",
        "true or false" => "write it without quotes",
        "a text" => "write it in quotes",
        "a whole number" | "a number" => "write it without quotes",
        _ => "docs/config.md shows each key's shape",
    }
}

/// Whether the span is a key and not a value.
fn is_key(text: &str, span: &Range<usize>) -> bool {
    let after = text.get(span.end..).unwrap_or_default().trim_start_matches([' ', '\t']);
    after.starts_with(['=', '.', ']'])
}

/// The key path of what stands at a span: a key of that very span, else the innermost value around it.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let name = key.get_ref();
        if key.span() == *span {
            return Some(name.to_string());
        }
        match inside(value, span) {
            Some(rest) if rest.is_empty() => Some(name.to_string()),
            Some(rest) => Some(format!("{name}.{rest}")),
            None => None,
        }
    })
}

fn inside(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => path_at(table, span),
        DeValue::Array(list) => list.iter().find_map(|value| inside(value, span)),
        _ => None,
    };
    deeper.or_else(|| (value.span() == *span).then(String::new))
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
    fn inside_an_inline_table_the_whole_path_is_told() {
        let told = problem("[upstreams.crm]\nhealth = { intervall = \"5s\" }\n");
        assert!(told.starts_with("relay.toml:2:12: upstreams.crm.health.intervall: unknown key"), "{told}");
    }

    #[test]
    fn a_type_error_points_at_the_value_and_never_repeats_it() {
        assert!(
            problem("[log]\nformat = 5\n").starts_with("relay.toml:2:10: log.format: expected a text, found a number")
        );
        for text in [
            "[routes.x]\nsecrets = \"canary\"\n",
            "[routes.x]\nsecrets = [[\"canary\"]]\n",
            "[routes.x]\nverify = \"canary\"\n",
            "[routes.x]\nverify.token = \"canary\"\n",
            "[routes.x]\nclient_certificate = \"canary, expected canary\"\n",
            "[routes.x]\nupstream_headers = \"canary\"\n",
            "[limits]\nmax_headers = \"canary\"\n",
            "[routes.x]\nrate = \"canary\"\n",
        ] {
            let told = problem(text);
            assert!(!told.contains("canary"), "{told}");
            assert!(!told.contains("Raw"), "{told}");
            assert!(told.contains(": expected ") || told.contains("not known here"), "{told}");
        }
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let told = problem("[log]\nformat = \n");
        assert!(told.starts_with("relay.toml:2:"), "{told}");
    }
}
