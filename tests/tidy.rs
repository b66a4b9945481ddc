//! House rules that a compiler does not know, as tests: who may import whom, what a file may be, and that `docs/request.md`
//! says what the code does.
#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "tests fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dmz_relay::domain::field_list::{BASE, NotForwardable};
use dmz_relay::domain::{Doubt, Fault, FieldPattern, HistoryOutcome, Outcome, Refusal};
use dmz_relay::gate::pipeline::answer::{doubt_status, fault_status, refusal_status, text};
use dmz_relay::observe::ConnectionRefusal;

#[path = "tidy/floors.rs"]
mod floors;
#[path = "tidy/links.rs"]
mod links;
#[path = "tidy/sentences.rs"]
mod sentences;
#[path = "tidy/words.rs"]
mod words;

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

/// A machine may be busy: a test asserts no time that something takes, but for the bound beyond which it hangs.
#[test]
fn tests_assert_no_absolute_time() {
    for (path, text) in rust("tests") {
        for line in text.lines().filter(|line| line.contains("elapsed()")) {
            let after = line.split("elapsed()").skip(1);
            let mut bounds =
                after.filter(|rest| rest.trim_start().starts_with('<') || rest.starts_with(".as_secs() <"));
            assert!(bounds.all(|rest| rest.contains("LONG")), "{path}: {line}");
        }
    }
}

/// Tasks that nobody joins, and what becomes of one that panics. Every other task is somebody's child: `control::app` and
/// `delivery` begin theirs again or end the process.
const DETACHED: &[(&str, &str)] = &[
    ("src/control/admin/client.rs", "drives a command's connection; the command sees it end"),
    ("src/control/app.rs", "the watchdog's probe, which is joined"),
    ("src/cli/demo/inside.rs", "the demo's applications"),
    ("src/cli/sender/connect.rs", "drives a command's connection; the command sees it end"),
    ("src/delivery/dispatcher.rs", "an attempt, whose panic is a failed attempt"),
    ("src/delivery/redeliver.rs", "an operator's redelivery, which is joined"),
    ("src/edge/h2.rs", "a request, whose panic is a 500"),
    ("src/edge/listener.rs", "a connection, whose place is given back by its guards"),
    ("src/gate/pipeline/accept.rs", "an acceptance, whose end its sender waits for"),
    ("src/upstream/resolve.rs", "a lookup, whose guard lets the next one begin"),
];

#[test]
fn no_task_is_begun_that_nobody_watches() {
    let spawn = ["tokio::", "spawn("].concat();
    let product = rust("src").into_iter().filter(|(path, _)| !path.ends_with("/tests.rs"));
    let found: BTreeSet<_> = product.filter(|(_, text)| code(text).contains(&spawn)).map(|(path, _)| path).collect();
    let known: BTreeSet<_> = DETACHED.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, known, "a JoinSet, or a row with the reason");
}

/// What became of a request is asked of an enum; its words stand in one file.
#[test]
fn no_outcome_is_known_by_its_word() {
    for room in ["store", "delivery", "gate", "control"] {
        let product = rust(&format!("src/{room}")).into_iter().filter(|(path, _)| !path.contains("/tests"));
        for (path, text) in product {
            for word in HistoryOutcome::ALL.map(HistoryOutcome::as_str) {
                // These are words of other things, too: an attempt, an answer, a place in the spool, a step.
                let other = ["dead", "failed", "refused", "challenge"].contains(&word);
                assert!(
                    other || !code(&text).contains(&format!("\"{word}\"")),
                    "{path}: HistoryOutcome, not \"{word}\""
                );
            }
        }
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
    let doubts: Vec<_> = Doubt::ALL.iter().map(|doubt| row(doubt.code(), doubt_status(*doubt))).collect();
    assert_eq!(listed("Doubts"), doubts);
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
    let codes: BTreeSet<_> = Outcome::reasons().collect();
    let reasons = Refusal::ALL.len() + Fault::ALL.len() + Doubt::ALL.len();
    assert_eq!(codes.len(), reasons, "a code means one thing");
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
    for doubt in Doubt::ALL {
        assert!(steps.contains(&format!("`{}`", doubt.code())), "no step leaves as {}", doubt.code());
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

/// The rows of a Markdown table do not end where a code is changed by hand: every outcome of an answer has one.
#[test]
fn the_outcomes_are_those_of_the_code() {
    for row in rows(&request_md(), "Outcomes") {
        let word = row[0].replace('`', "");
        assert!(HistoryOutcome::parse(&word) != HistoryOutcome::Unknown, "{word} is no outcome");
    }
    assert_eq!(rows(&request_md(), "Outcomes").len(), 8);
}
