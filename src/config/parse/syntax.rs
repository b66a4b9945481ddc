//! What is not TOML: its place, the key that it most likely belongs to, and what most often causes it.

use std::ops::Range;

/// Why a text is not TOML.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) span: Range<usize>,
    /// The table's header above and the key on the line, as far as they can be recognised.
    pub(super) key: String,
    pub(super) what: String,
    pub(super) help: Option<String>,
}

/// Explains an error of the parser. Its words name no value of the file: they speak of what was expected.
pub(super) fn explain(text: &str, error: &toml::de::Error) -> Cause {
    let span = error.span().unwrap_or(0..0);
    let start = text.get(..span.start).unwrap_or_default();
    let line = line_at(text, start.rfind('\n').map_or(0, |at| at + 1));
    let key = key_of(start, line);
    if let Some(written) = taken(text, &span) {
        let help = "a key or table may stand once; [[listeners]] with double brackets adds one";
        let what = format!("\"{written}\" stands here a second time");
        return Cause { span, key, what, help: Some(help.to_owned()) };
    }
    let what = format!("not TOML: {}", error.message().replace('\n', ", "));
    Cause { span, key, what, help: Some(cause(line).to_owned()) }
}

/// The key at this place, where the text goes wrong because the same key or table is there already. With a name of its own in that
/// place the text is right there: nothing but the name was wrong.
fn taken<'t>(text: &'t str, span: &Range<usize>) -> Option<&'t str> {
    let written = text.get(span.clone())?;
    let quoted = |quote| written.len() > 1 && written.starts_with(quote) && written.ends_with(quote);
    let bare = plain(written) && !written.contains('.');
    let is_key = bare || quoted('"') || quoted('\'');
    if !is_key {
        return None;
    }
    let is_part = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let (before, behind) = (text.get(..span.start)?, text.get(span.end..)?);
    if before.ends_with(is_part) || !behind.trim_start_matches([' ', '\t']).starts_with(['=', '.', ']']) {
        return None;
    }
    let own = (0..).map(|number: u32| format!("k{number}")).find(|own| !text.contains(own.as_str()))?;
    let renamed = [before, &own, behind].concat();
    let still = toml::de::DeTable::parse(&renamed).err().and_then(|error| error.span());
    still.is_none_or(|still| still.start != span.start).then_some(written)
}

fn line_at(text: &str, start: usize) -> &str {
    text.get(start..).unwrap_or_default().lines().next().unwrap_or_default()
}

/// `routes.github.secrets`, from the last header above and the text before the line's `=`.
fn key_of(above: &str, line: &str) -> String {
    let header = |line: &str| {
        let inner = line.trim().strip_prefix('[')?.trim_start_matches('[');
        Some(inner.split(']').next()?.trim().to_owned()).filter(|name| plain(name))
    };
    if line.trim_start().starts_with('[') {
        return header(line).unwrap_or_default();
    }
    let table = above.lines().rev().skip(usize::from(!above.ends_with('\n'))).find_map(header);
    let own = line.split_once(['=', ':']).map(|(name, _)| name.trim().to_owned()).filter(|name| plain(name));
    [table, own].into_iter().flatten().collect::<Vec<_>>().join(".")
}

fn plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// What most often stands behind it.
fn cause(line: &str) -> &'static str {
    let line = line.trim();
    let value = line.split_once('=').map(|(_, value)| value.trim());
    match value {
        _ if line.contains(['“', '”', '„', '‘', '’', '«', '»']) => {
            "these are typographic quotes; TOML wants straight ones: \"…\""
        }
        _ if line.contains(['\u{a0}', '\u{2007}', '\u{202f}', '\u{feff}', '\u{200b}']) => {
            "there is a blank on this line that is not an ordinary one; type it again"
        }
        _ if line.starts_with("//") || line.starts_with(';') || line.starts_with("--") => "a comment begins with \"#\"",
        _ if line.starts_with('[') && !line.contains(']') => "a header ends with \"]\"",
        _ if line.starts_with("[[") && !line.contains("]]") => "a header of an array ends with \"]]\"",
        None if line.contains(':') => "a key and its value are joined by \"=\", not by \":\"",
        None => "a line is KEY = VALUE, a header such as [routes.github], or a comment that begins with \"#\"",
        Some("") => "the value is missing",
        Some(value) if ["yes", "no", "on", "off", "True", "False", "TRUE", "FALSE"].contains(&value) => {
            "write true or false, in small letters and without quotes"
        }
        Some(value) if value.starts_with('"') && value.matches('"').count() == 1 => "the closing quote is missing",
        Some(value) if value.starts_with('\'') && value.matches('\'').count() == 1 => "the closing quote is missing",
        Some(value) if value.matches('"').count() % 2 == 1 => "a closing quote is missing",
        Some(value) if value.contains('\\') && value.starts_with('"') => {
            "a backslash in \"…\" begins an escape; write the text in single quotes, or \\\\"
        }
        Some(value) if value.starts_with('[') && !value.contains(']') => {
            "a list ends with \"]\", and a comma stands between its entries"
        }
        Some(value) if value.starts_with('[') => "a comma stands between the entries of a list",
        Some(value) if value.starts_with('{') => "a table in braces is { key = VALUE, key = VALUE }",
        Some(value) if value.ends_with(',') || value.ends_with(';') => "nothing stands behind a value",
        Some(_) => "a text stands in quotes: KEY = \"…\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typical_mistakes_are_told_by_their_cause() {
        for (line, told) in [
            ("path = “/hooks”", "typographic quotes"),
            ("path = /hooks", "in quotes"),
            ("path: \"/hooks\"", "not by \":\""),
            ("path = \"/hooks", "closing quote"),
            ("ordered = yes", "true or false"),
            ("// a comment", "begins with \"#\""),
            ("[routes.x", "ends with \"]\""),
            ("path =", "the value is missing"),
            ("path = \"/a\",", "nothing stands behind"),
            ("path = \"C:\\hooks\"", "backslash"),
            ("secrets = [{ file = \"a\"", "ends with \"]\""),
            ("methods = [\"GET\" \"POST\"]", "a comma stands between"),
            ("methods = [\"GET, \"POST\"]", "closing quote"),
        ] {
            let text = format!("[routes.github]\n{line}\n");
            let error = toml::de::DeTable::parse(&text).expect_err(line);
            let cause = explain(&text, &error);
            assert!(cause.help.as_deref().is_some_and(|help| help.contains(told)), "{line}: {cause:?}");
        }
    }

    #[test]
    fn a_key_or_table_that_stands_twice_is_named() {
        for (text, twice) in [
            ("a = 1\na = 2\n", "a"),
            ("a = 1\n\"a\" = 2\na = 3\n", "\"a\""),
            ("[x.y]\na = 1\n[x.y]\nb = 2\n", "y"),
            ("[[x]]\n[x]\n", "x"),
            ("[x]\n[[x]]\n", "x"),
            ("t = { a = 1, a = 2 }\n", "a"),
            ("[a.b]\nc = 1\n[a]\nb.d = 1\n", "b"),
            ("a = 1\n[a.b]\n", "a"),
        ] {
            let error = toml::de::DeTable::parse(text).expect_err(text);
            assert_eq!(explain(text, &error).what, format!("\"{twice}\" stands here a second time"), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_none_is_no_key() {
        for text in [
            "a = yes\n",
            "a = 1_\n",
            "a = 1\nb = a\n",
            "a b = 1\n",
            "[a b]\n",
            "a\n",
            "a = \"x\" \"y\"\n",
            "a: \"x\"\n",
        ] {
            let error = toml::de::DeTable::parse(text).expect_err(text);
            let what = explain(text, &error).what;
            assert!(what.starts_with("not TOML: "), "{text}: {what}");
        }
    }

    #[test]
    fn the_key_is_that_of_the_line_below_the_last_header() {
        let text = "[log]\nformat = \"json\"\n[routes.github]\npath = /hooks\n";
        let error = toml::de::DeTable::parse(text).expect_err("no quotes");
        assert_eq!(explain(text, &error).key, "routes.github.path");
    }
}
