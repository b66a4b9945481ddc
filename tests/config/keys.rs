//! The reference, the shipped file and the code have the same keys.

use std::collections::BTreeSet;

const RAW: &str = include_str!("../../src/config/raw.rs");
const EITHER: &str = include_str!("../../src/config/raw/either.rs");
const DOCS: &str = include_str!("../../docs/config.md");
const SHIPPED: &str = include_str!("../../relay.toml");

/// Keys whose own grammar has a reference of its own (`docs/schemes.md`).
const ELSEWHERE: [&str; 2] = ["routes.<name>.verify.", "providers.<name>."];

/// The cards: `### `key``.
fn documented() -> BTreeSet<String> {
    DOCS.lines().filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned())).collect()
}

/// The keys that the code reads, from the text of the raw types.
fn read_by_the_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::from(["routes.<name>.verify.dangerously_none".to_owned()]);
    fields("RawConfig", "", &mut keys);
    keys
}

/// Adds the keys of one type under a path; types that are named `Raw…` in a field's type are walked in turn.
fn fields(name: &str, under: &str, keys: &mut BTreeSet<String>) {
    for source in [RAW, EITHER] {
        let Some((_, rest)) = source.split_once(&format!("pub struct {name} {{")) else {
            if let Some((_, rest)) = source.split_once(&format!("pub enum {name} {{")) {
                let body = rest.split_once("\n}").expect("an end").0;
                for line in body.lines().filter(|line| !line.trim_start().starts_with("///")) {
                    walk(line, under, keys);
                }
            }
            continue;
        };
        let body = rest.split_once("\n}").expect("an end").0;
        for line in body.lines().map(str::trim) {
            let Some((field, kind)) = line.strip_prefix("pub ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            let field = field.strip_prefix("r#").unwrap_or(field);
            let mut path = if under.is_empty() { field.to_owned() } else { format!("{under}.{field}") };
            let named = kind.starts_with("Table<") && under.is_empty();
            if named {
                path.push_str(".<name>");
            }
            // The names in a table of named things are nobody's keys; the things themselves have a card only where they
            // are values and not tables of keys.
            if !named || kind.contains("RawAddressList") || kind.contains("RawRecipe") {
                keys.insert(path.clone());
            }
            walk(kind, &path, keys);
        }
    }
}

fn walk(kind: &str, path: &str, keys: &mut BTreeSet<String>) {
    for (at, _) in kind.match_indices("Raw") {
        let name: String = kind[at..].chars().take_while(char::is_ascii_alphanumeric).collect();
        match name.as_str() {
            "RawSecret" => fields(&name, "<secret>", keys),
            "RawVerify" | "RawRecipe" | "RawQuantity" => {}
            _ => fields(&name, path, keys),
        }
    }
}

/// The keys of the shipped file once every setting that is switched off is switched on. A key that stands twice (two
/// examples of one setting) would not be TOML, so each line that is switched off is read in its own copy.
fn shipped() -> BTreeSet<String> {
    let lines: Vec<&str> = SHIPPED.lines().collect();
    let off = |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.is_empty() && !rest.starts_with(' '));
    let mut keys = BTreeSet::new();
    for chosen in lines.iter().enumerate().filter(|(_, line)| off(line)).map(|(at, _)| at) {
        let key_of = |line: &str| line.trim_start_matches('#').split('=').next().unwrap_or_default().trim().to_owned();
        let header = |at: usize| lines[..at].iter().rposition(|line| line.trim_start_matches('#').starts_with('['));
        let text: Vec<&str> = lines
            .iter()
            .enumerate()
            // A line that is switched on takes the place of the one with the same key.
            .filter(|(at, line)| {
                *at == chosen || header(*at) != header(chosen) || key_of(line) != key_of(lines[chosen])
            })
            .map(|(at, line)| if at == chosen { &line[1..] } else { *line })
            .collect();
        let table: toml::Table =
            toml::from_str(&text.join("\n")).unwrap_or_else(|error| panic!("{}: {error}", lines[chosen]));
        collect(&toml::Value::Table(table), &mut Vec::new(), &mut keys);
    }
    keys
}

fn collect(value: &toml::Value, path: &mut Vec<String>, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                path.push(key.clone());
                keys.extend(normal(path));
                collect(value, path, keys);
                path.pop();
            }
        }
        toml::Value::Array(list) => list.iter().for_each(|value| collect(value, path, keys)),
        _ => {}
    }
}

/// `routes.dastra.path` as the reference calls it; `None` for what is nobody's key.
fn normal(path: &[String]) -> Option<String> {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["routes" | "upstreams", _] | ["routes" | "upstreams" | "providers" | "address_lists"] => None,
        ["routes", _, "secrets" | "resign", leaf] => Some(format!("<secret>.{leaf}")),
        ["store", "encryption_key", leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "upstream_headers" | "upstream_query", _, leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "headers" | "upstream_headers" | "upstream_query", _] => None,
        ["store", "postgres", _, ..] => None,
        [table @ ("routes" | "upstreams" | "providers" | "address_lists"), _, rest @ ..] => {
            let key = [&[*table, "<name>"], rest].concat().join(".");
            let elsewhere = ELSEWHERE.iter().any(|under| key.starts_with(under)) && !key.ends_with("dangerously_none");
            (!elsewhere).then_some(key)
        }
        all => Some(all.join(".")),
    }
}

fn same(left: &BTreeSet<String>, right: &BTreeSet<String>, which: &str) {
    let missing: Vec<_> = left.difference(right).collect();
    assert!(missing.is_empty(), "{which}: {missing:?}");
}

#[test]
fn the_reference_and_the_code_have_the_same_keys() {
    let (docs, code) = (documented(), read_by_the_code());
    assert!(code.len() > 110, "{code:?}");
    same(&code, &docs, "without a card in docs/config.md");
    same(&docs, &code, "a card for a key that the code does not read");
}

#[test]
fn the_shipped_file_shows_every_key_and_no_other() {
    let (docs, shipped) = (documented(), shipped());
    same(&docs, &shipped, "not shown in relay.toml");
    same(&shipped, &docs, "shown in relay.toml, but without a card");
}

/// A card's default for a plain value is the one in the shipped file, which shows defaults.
#[test]
fn every_card_says_syntax_default_and_meaning() {
    for card in DOCS.split("\n### ").skip(1) {
        let name = card.lines().next().unwrap_or_default();
        for part in ["- **Syntax:** ", "- **Default:** ", "- **Meaning:** "] {
            assert!(card.contains(part), "{name} lacks {part}");
        }
    }
}
