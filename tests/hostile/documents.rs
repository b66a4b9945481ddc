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
    let all: BTreeSet<u16> = (1..=80).chain(101..=106).chain(120..=140).collect();
    assert_eq!(numbers, all);
    assert!(named > 100, "{named}");
    assert!(!exists("relay::floods::no_such_test"));
    // What the tables of this binary run is what the document counts.
    for case in crate::table::all() {
        assert!(numbers.contains(&case.number), "{}", case.what);
    }
}

/// A resource of the table in docs/operating.md, by the words that it begins with, and the tests in which strangers drive it to its
/// bound while three genuine senders are served.
const RESOURCES: &[(&str, &[&str])] = &[
    ("connections", &["exhaustion::who_has_proven_nothing_is_evicted", "strangers::copies_prove_nobody"]),
    ("connections", &["evicted::who_came_last_is_not_evicted_for_the_next_stranger"]),
    ("connections", &["exhaustion::strangers_hold_no_descriptor_that_a_genuine_sender_needs"]),
    ("TLS handshakes", &["exhaustion::a_flood_of_handshakes_from_one_address"]),
    ("time of a head", &["exhaustion::slow_senders_end_with_their_deadline"]),
    ("time of a head", &["exhaustion::answers_that_nobody_reads_end_with_their_deadline"]),
    ("memory for bodies", &["shares::who_comes_first_finds_memory_when_strangers_hold_all_they_can"]),
    ("cores", &["shares::large_bodies_of_one_address_stand_in_one_place_of_the_line"]),
    ("requests of one address", &["strangers::the_bucket_of_an_address_is_spent_by_that_address_only"]),
    ("rate of a route", &["strangers::forged_requests_spend_no_rate_of_the_route"]),
    ("rate of a route", &["invented_ids::they_leave_half_of_the_routes_rate"]),
    ("requests in flight", &["strangers::silent_bodies_hold_no_place_of_the_route"]),
    ("dedupe memory", &["strangers::ids_on_one_route_take_no_room_of_another"]),
    ("dedupe memory", &["invented_ids::they_take_one_place_in_dedupe_memory"]),
    ("room for waiting", &["strangers::one_routes_backlog_takes_no_room_of_another"]),
    ("room for waiting", &["invented_ids::they_leave_half_of_the_routes_room"]),
    (
        "history",
        &["strangers::copies_do_not_erase_the_history", "told::a_flood_of_one_kind_leaves_rows_for_the_others"],
    ),
    ("log lines", &["told::a_flood_of_one_kind_leaves_lines_for_the_others"]),
    ("labels of metrics", &["told::nothing_that_a_stranger_writes_becomes_a_label"]),
    ("error budget", &["strangers::the_error_budget_counts_what_may_have_been_genuine_and_strangers_do_not_spend_it"]),
    ("silence of a provider", &["told::strangers_do_not_pass_for_a_provider_that_has_gone_silent"]),
    ("admin listener", &["strangers::the_admin_listener_answers_whoever_fills_its_places"]),
    ("proven addresses", &["strangers::who_is_forgotten_among_proven_addresses_is_served_and_proven_again"]),
];

#[test]
fn every_resource_that_strangers_may_spend_has_a_test_with_three_genuine_senders() {
    let page = fs::read_to_string(root().join("docs/operating.md")).unwrap();
    let section = page.split("## What strangers can spend").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("| ")).skip(1).collect();
    assert!(rows.len() >= 17, "{}", rows.len());
    for row in &rows {
        assert!(RESOURCES.iter().any(|(resource, _)| row.starts_with(resource)), "no test: {row}");
    }
    for (resource, tests) in RESOURCES {
        assert!(rows.iter().any(|row| row.starts_with(resource)), "no row: {resource}");
        for test in *tests {
            let (module, function) = test.split_once("::").unwrap();
            let text = fs::read_to_string(root().join(format!("tests/hostile/{module}.rs"))).unwrap();
            let test = text.split(&format!("async fn {function}(")).nth(1).unwrap_or_else(|| panic!("{function}"));
            let body = test.split("\n}\n").next().unwrap();
            assert!(body.contains("Senders::") && body.contains(".are_served().await"), "{function}");
        }
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
