//! The reference, the shipped file and the code have the same keys.

use std::collections::BTreeSet;

use serde_json::Value;

const DOCS: &str = include_str!("../../docs/config.md");
const SHIPPED: &str = include_str!("../../relay.toml");

/// Keys whose own grammar has a reference of its own (`docs/schemes.md`).
const ELSEWHERE: [&str; 3] = ["routes.<name>.verify.", "routes.<name>.observe.verify.", "providers.<name>."];

/// The cards: `### `key``.
fn documented() -> BTreeSet<String> {
    DOCS.lines().filter_map(|line| Some(line.strip_prefix("### `")?.strip_suffix('`')?.to_owned())).collect()
}

/// The keys that the code reads, from the schema that it makes of its table of keys.
fn read_by_the_code() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    properties(&dmz_relay::config::schema::schema(), "", &mut keys);
    let elsewhere = |key: &String| {
        ELSEWHERE.iter().any(|under| key.starts_with(under)) && key != "routes.<name>.verify.dangerously_none"
    };
    keys.retain(|key| !elsewhere(key));
    keys
}

/// Adds the keys of one part of the schema under a path.
fn properties(schema: &Value, under: &str, keys: &mut BTreeSet<String>) {
    let names = schema["properties"].as_object();
    // A secret has the same keys wherever it stands.
    let under = if names.is_some_and(|names| names.contains_key("credential")) { "<secret>" } else { under };
    for (name, value) in names.into_iter().flatten() {
        let path = if under.is_empty() { name.clone() } else { format!("{under}.{name}") };
        // The names in a table of named things are nobody's keys; the things themselves have a card only where they are
        // values and not tables of keys.
        let named = value["additionalProperties"].is_object() && under.is_empty();
        let path = if named { format!("{path}.<name>") } else { path };
        if !named || ["address_lists.<name>", "providers.<name>"].contains(&path.as_str()) {
            keys.insert(path.clone());
        }
        properties(value, &path, keys);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            properties(&schema[inner], under, keys);
        }
    }
    schema["anyOf"].as_array().into_iter().flatten().for_each(|form| properties(form, under, keys));
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
        ["routes", _, "secrets" | "sign_with" | "challenge_secret", leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "observe", "secrets", leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "observe", "headers", _] => None,
        ["store", "encryption_key", leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "upstream_headers" | "upstream_query", _, leaf] => Some(format!("<secret>.{leaf}")),
        ["routes", _, "headers" | "claims" | "upstream_headers" | "upstream_query", _] => None,
        ["store", "postgres", _, ..] => None,
        [table @ ("routes" | "upstreams" | "providers" | "address_lists"), _, rest @ ..] => {
            let key = [&[*table, "<name>"], rest].concat().join(".");
            let elsewhere =
                ELSEWHERE.iter().any(|under| key.starts_with(under)) && key != "routes.<name>.verify.dangerously_none";
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

/// What editors read: in the tree, so that a line `#:schema …` can name it. `dmz-relay schema` prints it.
#[test]
fn the_schema_in_the_tree_is_the_one_that_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/relay.schema.json");
    let made = serde_json::to_string_pretty(&dmz_relay::config::schema::schema()).expect("has a text") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, made).expect("writes");
        return;
    }
    assert!(std::fs::read_to_string(path).unwrap_or_default() == made, "renew it with UPDATE_GOLDEN=1");
}

#[test]
fn the_shipped_file_and_every_good_file_fit_the_schema() {
    let schema = jsonschema::validator_for(&dmz_relay::config::schema::schema()).expect("is a schema");
    let good = crate::material::fixtures("good").into_iter().map(|(_, text)| text);
    for text in good.chain([SHIPPED.to_owned()]) {
        let file: toml::Table = toml::from_str(&text).expect("is TOML");
        let file = serde_json::to_value(file).expect("has a JSON form");
        let wrong: Vec<String> =
            schema.iter_errors(&file).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert!(wrong.is_empty(), "{}\n{text}", wrong.join("\n"));
    }
    for (text, what) in
        [("[log]\nformt = 1\n", "formt"), ("[limits]\nhead_timeout = 5\n", "5"), ("[admin]\naddress = 1\n", "1")]
    {
        let file: toml::Table = toml::from_str(text).expect("is TOML");
        let file = serde_json::to_value(file).expect("has a JSON form");
        assert!(schema.iter_errors(&file).any(|error| error.to_string().contains(what)), "{text}");
    }
}

/// taplo, as editors run it; `None` where it is not installed. There, CI fails instead.
fn taplo() -> Option<std::path::PathBuf> {
    let set_up = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("interop").join("venv/bin/taplo");
    let missing = "needs taplo (run .ci/interop-setup)";
    assert!(set_up.exists() || std::env::var_os("CI").is_none(), "{missing}");
    let found = set_up.exists().then_some(set_up);
    if found.is_none() {
        println!("skipped, {missing}");
    }
    found
}

/// As docs/cli.md has it: the first line of the file names the schema that lies beside it.
#[test]
fn an_editor_takes_the_shipped_file_and_marks_mistakes_by_the_schema() {
    let Some(taplo) = taplo() else { return };
    let folder = tempfile::tempdir().unwrap();
    let schema = serde_json::to_string(&dmz_relay::config::schema::schema()).unwrap();
    std::fs::write(folder.path().join("relay.schema.json"), schema).unwrap();
    let lint = |text: &str| {
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, format!("#:schema relay.schema.json\n{text}")).unwrap();
        let said = std::process::Command::new(&taplo).arg("lint").arg(&file).output().unwrap();
        (said.status.success(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    for text in crate::material::fixtures("good").into_iter().map(|(_, text)| text).chain([SHIPPED.to_owned()]) {
        let (fine, said) = lint(&text);
        assert!(fine, "{said}\n{text}");
    }
    for (mistake, marked) in [
        ("[[listeners]]\nadress = \"127.0.0.1:1\"\n", "adress"),
        ("[routes.a]\npath = 3\n", "3 is not of type"),
        ("[log]\nformat = \"jason\"\n", "jason"),
        ("[limits]\nhead_timeout = 5\n", "5"),
    ] {
        let (fine, said) = lint(mistake);
        assert!(!fine && said.contains(marked), "{mistake}\n{said}");
    }
}
