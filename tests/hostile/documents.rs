//! `docs/threat-model.md` promises tests: every case has a row, and every test that a row names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file at or below a path without its ending.
fn sources(stem: &Path) -> Vec<PathBuf> {
    let file = stem.with_extension("rs");
    let mut found: Vec<_> = file.is_file().then_some(file).into_iter().collect();
    for entry in fs::read_dir(stem).into_iter().flatten() {
        found.extend(sources(&entry.unwrap().path().with_extension("")));
    }
    found.sort();
    found.dedup();
    found
}

/// `relay::floods::rapid_resets`: a function of `tests/relay/floods.rs` or of a file below it; likewise in `src`.
fn exists(test: &str) -> bool {
    let (module, function) = test.rsplit_once("::").unwrap();
    let module = module.strip_suffix("::tests").unwrap_or(module).replace("::", "/");
    let files = ["tests", "src"].map(|folder| sources(&root().join(folder).join(&module)));
    files.iter().flatten().any(|file| {
        let text = fs::read_to_string(file).unwrap();
        let replayed = text.split("replays!(").nth(1).and_then(|list| list.split(')').next());
        let names = replayed.unwrap_or_default().split(',').any(|name| name.trim() == function);
        let tested = text.contains("#[test]") || text.contains("#[tokio::test") || module.starts_with("relay/refusals");
        names || (tested && text.contains(&format!("fn {function}(")))
    })
}

#[test]
fn every_case_has_a_row_and_every_named_test_exists() {
    let document = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let body = document.split("## Beside others").next().unwrap();
    let mut numbers = BTreeSet::new();
    let mut named = 0;
    for line in body.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(number) = cells[0].parse::<u16>() else { continue };
        assert_eq!(cells.len(), 4, "{line}");
        assert!(numbers.insert(number), "{number} twice");
        for test in cells[3].split('`').skip(1).step_by(2).filter(|name| name.contains("::")) {
            assert!(exists(test), "{number}: {test} does not exist");
            named += 1;
        }
    }
    let all: BTreeSet<u16> = (1..=80).chain(101..=106).chain(120..=139).collect();
    assert_eq!(numbers, all);
    assert!(named > 100, "{named}");
    assert!(!exists("relay::floods::no_such_test"));
    // What the tables of this binary run is what the document counts.
    for case in crate::table::all() {
        assert!(numbers.contains(&case.number), "{}", case.what);
    }
}

/// README.md promises nothing without a test: each row of its table names one that exists.
#[test]
fn every_promise_of_the_readme_names_its_test() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let promises = readme.split("## What it promises").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 12, "{}", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit("| ").next().unwrap().trim_matches('`');
        assert!(exists(test), "{test}, of: {row}");
    }
}
