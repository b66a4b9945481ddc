//! House rules that a compiler does not know, as tests: who may import whom, what a file may be, and that `docs/request.md`
//! says what the code does.
#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dmz_relay::domain::field_list::{BASE, NotForwardable};
use dmz_relay::domain::{Fault, FieldPattern, Refusal};
use dmz_relay::observe::ConnectionRefusal;
use dmz_relay::pipeline::answer::{fault_status, refusal_status, text};

#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/words.rs"]
mod words;

/// What each module of `src` may import, from the floor up. A name may stand in a row only if its own row stands above,
/// except where a comment says why.
const FLOORS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("domain", &["base"]),
    ("terminal", &[]),
    ("service", &[]),
    ("reload", &[]),
    // One mechanism each, blind to one another.
    ("access", &["domain"]),
    ("signature", &["base", "domain"]),
    ("replay", &["base"]),
    ("meter", &["domain"]),
    ("budget", &["base"]),
    ("habit", &["base"]),
    ("upstream", &["base", "domain"]),
    ("observe", &["base", "domain"]),
    // Keys of replay memory outlive the process.
    ("store", &["base", "domain", "replay"]),
    // Who may deliver now; what is delivered comes out of the store.
    ("dispatch", &["base", "domain", "store"]),
    // Upward, and only as a name: the table is generic, and `Route` is its default parameter.
    ("routing", &["snapshot"]),
    // What was configured, and what outlives it.
    (
        "snapshot",
        &[
            "access",
            "base",
            "budget",
            "domain",
            "habit",
            "meter",
            "replay",
            "routing",
            "signature",
            "store",
            "upstream",
        ],
    ),
    ("state", &["budget", "dispatch", "habit", "meter", "replay", "store", "upstream"]),
    (
        "config",
        &["access", "base", "domain", "meter", "routing", "signature", "snapshot", "state", "store", "upstream"],
    ),
    (
        "pipeline",
        &[
            "access",
            "base",
            "budget",
            "dispatch",
            "domain",
            "meter",
            "observe",
            "replay",
            "routing",
            "signature",
            "snapshot",
            "state",
            "store",
            "upstream",
        ],
    ),
    ("delivery", &["base", "dispatch", "domain", "observe", "pipeline", "snapshot", "store", "upstream"]),
    ("explain", &["access", "base", "domain", "meter", "pipeline", "signature", "snapshot", "store"]),
    ("edge", &["base", "domain", "meter", "observe", "pipeline", "snapshot"]),
    ("admin", &["base", "config", "explain", "observe", "signature", "snapshot", "store"]),
    (
        "app",
        &[
            "admin", "base", "budget", "config", "delivery", "dispatch", "domain", "edge", "explain", "habit", "meter",
            "observe", "pipeline", "reload", "service", "snapshot", "state", "store", "upstream",
        ],
    ),
    // A provider, for the demo and for `send`: it signs with the scheme and never sees the relay's own path.
    ("sender", &["signature"]),
    // Private certificates, for the demo and for `init`.
    ("authority", &["base"]),
    // Commands: anything below.
    ("demo", &["*"]),
    ("cli", &["*"]),
];

/// Who may name a library, by the top module. Everybody else gets its types through these.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("pingora_core", &["upstream"]),
    ("pingora_http", &["upstream"]),
    ("pingora_error", &["upstream"]),
    // The ticket keys of `state` and the server configuration of `snapshot` are rustls' own types.
    ("rustls", &["config", "edge", "sender", "snapshot", "state", "upstream", "demo"]),
    ("tokio_rustls", &["sender", "demo"]),
    ("rustls_pki_types", &["config", "sender", "upstream", "demo"]),
    ("httparse", &["edge", "cli", "upstream"]),
    ("toml", &["config", "cli"]),
    ("clap", &["cli"]),
    ("rcgen", &["authority"]),
    ("inotify", &["reload"]),
    ("sd_notify", &["service"]),
    ("listenfd", &["service"]),
    ("libc", &["config"]),
    ("rusqlite", &["store"]),
    ("rustix", &["base", "cli", "store"]),
    ("crossbeam_queue", &["store"]),
];

/// Lines that a person can hold in mind.
const LINES: usize = 600;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the repository, by its path from the root.
fn files(folder: &str) -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["target", ".git", "__pycache__"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text);
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root().join(folder), &mut found);
    found
}

fn rust(folder: &str) -> BTreeMap<String, String> {
    files(folder).into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// The code of a file without its comments and without its unit tests.
fn code(text: &str) -> String {
    let tests = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| text[*at..].contains("\nmod tests {"));
    let product = &text[..tests.unwrap_or(text.len())];
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Files of the product by their top module.
fn product() -> Vec<(String, String, String)> {
    let of = |path: &str| path["src/".len()..].split(['/', '.']).next().unwrap().to_owned();
    rust("src")
        .into_iter()
        .filter(|(path, _)| !path.ends_with("/tests.rs") && !["src/lib.rs", "src/main.rs"].contains(&path.as_str()))
        .map(|(path, text)| (of(&path), path, code(&text)))
        .collect()
}

/// The identifiers that follow `before`, those in one pair of braces included.
fn named(code: &str, before: &str) -> BTreeSet<String> {
    let ident = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(before) {
        let preceded = code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + before.len()..];
        match rest.strip_prefix('{') {
            _ if preceded => {}
            Some(list) => found.extend(list.split('}').next().unwrap().split(',').map(|name| ident(name.trim()))),
            None => drop(found.insert(ident(rest))),
        }
    }
    found.remove("");
    found
}

#[test]
fn imports_go_down_only() {
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for (module, path, code) in product() {
        let allowed = floors.get(module.as_str()).unwrap_or_else(|| panic!("{path}: {module} has no floor yet"));
        for other in named(&code, "crate::").into_iter().filter(|other| *other != module) {
            assert!(allowed.contains(&"*") || allowed.contains(&other.as_str()), "{path} imports crate::{other}");
            used.insert((module.clone(), other));
        }
    }
    for (module, allowed) in FLOORS {
        for other in allowed.iter().filter(|other| **other != "*") {
            let known = used.contains(&((*module).to_owned(), (*other).to_owned()));
            assert!(known, "{module} imports {other} no more: take it out of the table");
        }
    }
}

#[test]
fn the_floors_are_floors() {
    let mut above = BTreeSet::new();
    for (module, allowed) in FLOORS {
        for other in allowed.iter().filter(|other| **other != "*") {
            let upward = (*module, *other) == ("routing", "snapshot");
            assert!(upward || above.contains(other), "{module} stands above {other}, which it imports");
        }
        assert!(above.insert(*module), "{module} twice");
    }
}

#[test]
fn libraries_stay_behind_their_modules() {
    for (module, path, code) in product() {
        for (library, owners) in LIBRARIES {
            let names = [format!("{library}::"), format!("use {library};")];
            let uses = names.iter().any(|name| {
                code.match_indices(name.as_str()).any(|(at, _)| {
                    let before = code[..at].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
                        || (code[..at].ends_with("::")
                            && !code[..at].trim_end_matches("::").ends_with(char::is_alphanumeric))
                })
            });
            assert!(!uses || owners.contains(&module.as_str()), "{path} names {library}");
        }
    }
}

/// The pipeline decides; it talks to nobody.
#[test]
fn the_pipeline_knows_no_socket() {
    for (module, path, code) in product() {
        if ["pipeline", "signature", "domain", "access", "routing", "replay", "meter"].contains(&module.as_str()) {
            for name in ["tokio::net", "std::net::Tcp", "hyper::", "h2::", "std::fs", "tokio::fs", "std::env"] {
                assert!(!code.contains(name), "{path} names {name}");
            }
        }
    }
}

#[test]
fn files_are_small_and_named_for_what_they_hold() {
    for folder in ["src", "tests", "benches"] {
        for (path, text) in rust(folder) {
            assert!(text.lines().count() <= LINES, "{path} has more than {LINES} lines");
            assert!(!path.ends_with("/mod.rs"), "{path}: foo.rs and foo/ instead");
            for part in path.trim_end_matches(".rs").split('/') {
                for banned in ["util", "utils", "helper", "helpers", "manager", "common", "misc"] {
                    assert!(part != banned && !part.ends_with(&format!("_{banned}")), "{path} says nothing");
                }
            }
            let first = text.lines().next().unwrap_or_default();
            assert!(first.starts_with("//!") || path.ends_with("/tests.rs"), "{path} does not say what it is for");
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [["todo", "!("], ["unimplemented", "!("], ["FIX", "ME"], ["TO", "DO"]].map(|parts| parts.concat());
    let skipped = ["#[ig", "nore"].concat();
    for folder in ["src", "tests", "benches"] {
        for (path, text) in rust(folder) {
            // A test may be left out of the ordinary run only where another one runs it, as a process of its own.
            for line in text.lines().filter(|line| line.trim_start().starts_with(&skipped)) {
                assert!(line.contains("child"), "{path}: {line}");
            }
            for mark in &marks {
                assert!(!text.contains(mark.as_str()), "{path} has {mark}");
            }
        }
    }
}

#[test]
fn no_key_and_no_machine_is_committed() {
    let key = ["PRIVATE", " KEY-----"].concat();
    let begin = ["-----", "BEGIN"].concat();
    let places = [["/ro", "ot/"].concat(), ["/wo", "rk/"].concat(), ["/home", "/runner"].concat()];
    for (path, text) in files(".") {
        let holds_key = text.lines().any(|line| line.trim_start().starts_with(&begin) && line.contains(&key));
        assert!(!holds_key, "{path} holds a private key");
        for place in &places {
            assert!(!text.contains(place.as_str()), "{path} names a place on one machine: {place}");
        }
    }
}

/// Tests wait on conditions: one file may sleep, between two looks.
#[test]
fn tests_do_not_sleep() {
    let call = ["time::", "sleep("].concat();
    for (path, text) in rust("tests/relay") {
        let sleeps =
            text.matches(call.as_str()).count() + text.matches(["thread::", "sleep"].concat().as_str()).count();
        assert_eq!(sleeps, usize::from(path == "tests/relay/harness.rs"), "{path}");
    }
}

/// Rows of the table under a heading, cell by cell.
fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    section.lines().filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

fn request_md() -> String {
    fs::read_to_string(root().join("docs/request.md")).unwrap()
}

#[test]
fn the_request_table_has_the_codes_statuses_and_texts_of_the_code() {
    let document = request_md();
    let row = |code: &str, status: u16| vec![format!("`{code}`"), status.to_string(), text(status).trim().to_owned()];
    let listed = |heading| rows(&document, heading).iter().map(|row| row[..3].to_vec()).collect::<Vec<_>>();
    let refusals: Vec<_> = Refusal::ALL.iter().map(|refusal| row(refusal.code(), refusal_status(*refusal))).collect();
    assert_eq!(listed("Refusals"), refusals);
    let faults: Vec<_> = Fault::ALL.iter().map(|fault| row(fault.code(), fault_status(*fault))).collect();
    assert_eq!(listed("Faults"), faults);
    let connections: Vec<_> = rows(&document, "Connections").iter().map(|row| row[0].clone()).collect();
    let reasons: Vec<_> = ConnectionRefusal::ALL.iter().map(|reason| format!("`{}`", reason.code())).collect();
    assert_eq!(connections, reasons);
}

#[test]
fn a_fault_is_never_the_senders() {
    for fault in Fault::ALL {
        assert!(fault_status(*fault) >= 500, "{}", fault.code());
    }
    let codes: BTreeSet<_> = Refusal::ALL.iter().map(|r| r.code()).chain(Fault::ALL.iter().map(|f| f.code())).collect();
    assert_eq!(codes.len(), Refusal::ALL.len() + Fault::ALL.len(), "a code means one thing");
}

#[test]
fn the_steps_name_files_that_exist_and_every_code() {
    let document = request_md();
    for path in document.split('`').filter(|word| word.starts_with("src/") || word.starts_with("tests/")) {
        assert!(root().join(path).is_file(), "{path} is gone");
    }
    let steps = rows(&document, "Steps").concat().concat();
    for refusal in Refusal::ALL.iter().filter(|refusal| refusal_status(**refusal) != 401) {
        assert!(steps.contains(&format!("`{}`", refusal.code())), "no step leaves as {}", refusal.code());
    }
    for fault in Fault::ALL.iter().filter(|fault| !fault.code().starts_with("upstream_") && **fault != Fault::Internal)
    {
        assert!(steps.contains(&format!("`{}`", fault.code())), "no step leaves as {}", fault.code());
    }
}

/// What the document says of lists: the fields of every webhook are the code's, and what no list can have is refused.
#[test]
fn the_document_tells_listed_and_reserved_fields_as_the_code_has_them() {
    let document = request_md();
    let section = document.split("\n**Header fields** ").nth(1).unwrap().split("\nSet by the relay:").next().unwrap();
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let base = section.split("fields of every webhook:").nth(1).unwrap().split(';').next().unwrap();
    assert_eq!(quoted(base), BASE);
    let reserved = section.split("No list can have").nth(1).unwrap().split("`check` refuses").next().unwrap();
    let traces = section.split("**Trace context**").nth(1).unwrap().split("are dropped").next().unwrap();
    let names: Vec<String> = [quoted(reserved), quoted(traces)].concat();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(matches!(FieldPattern::parse(&name), Err(NotForwardable::Reserved(_))), "{name} can be listed");
    }
}

/// The rows of a Markdown table do not end where a code is changed by hand: every outcome has one.
#[test]
fn the_outcomes_are_those_of_the_code() {
    let source = fs::read_to_string(root().join("src/domain/outcome.rs")).unwrap();
    for row in rows(&request_md(), "Outcomes") {
        assert!(source.contains(&row[0].replace('`', "\"")), "{} is no outcome", row[0]);
    }
    assert_eq!(rows(&request_md(), "Outcomes").len(), 7);
}
