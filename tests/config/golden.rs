//! Every bad file gives its golden report, and every good one its golden warnings.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::material::{Material, fixtures};

/// Compares with the golden file beside the fixture, or writes it.
fn golden(folder: &str, name: &str, told: &str) -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/config/{folder}/{name}.txt"));
    let told = format!("{told}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, told).expect("writes");
        return Ok(());
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if expected == told { Ok(()) } else { Err(format!("--- {name}: expected\n{expected}--- found\n{told}")) }
}

#[test]
fn every_bad_file_gives_its_report() {
    let material = Material::new();
    let bad = fixtures("bad");
    assert!(bad.len() >= 60, "{} bad files", bad.len());
    let mut wrong = Vec::new();
    for (name, text) in bad {
        match material.load(&text) {
            Ok(_) => wrong.push(format!("{name} was taken")),
            Err(report) => {
                assert_eq!(report.exit_code(), 1, "{name}");
                wrong.extend(golden("bad", &name, &material.told(report)).err());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_good_file_is_taken_with_its_warnings() {
    let mut wrong = Vec::new();
    for (name, text) in fixtures("good") {
        // Each is a first start: what is served already is judged otherwise.
        let material = Material::new();
        match material.load(&text) {
            Err(report) => wrong.push(format!("{name} was refused:\n{report}")),
            Ok(loaded) => {
                let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
                wrong.extend(golden("good", &name, &material.told(warnings.join("\n"))).err());
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Places, messages and order: what people read and what machines read are the same.
#[test]
fn the_json_report_says_the_same() {
    let material = Material::new();
    let (_, text) = fixtures("bad").into_iter().find(|(name, _)| name == "everything-at-once").expect("the fixture");
    let report = material.load(&text).expect_err("is refused");
    let json: serde_json::Value = serde_json::to_value(&report).expect("serializes");
    let problems = json["problems"].as_array().expect("a list");
    assert!(problems.len() > 8, "{report}");
    assert_eq!(problems.len(), report.problems.len());
    for (problem, told) in problems.iter().zip(&report.problems) {
        assert_eq!(problem["key"], told.key.as_str());
        assert_eq!(problem["line"].as_u64(), told.at.map(|at| at.0 as u64));
        assert_eq!(problem["column"].as_u64(), told.at.map(|at| at.1 as u64));
        assert_eq!(problem["what"], told.what.as_str());
        assert!(told.help.is_some(), "{told} has no help");
    }
    let places: Vec<_> = report.problems.iter().map(|problem| problem.at).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn no_golden_report_has_lost_its_fixture() {
    for folder in ["bad", "good"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config").join(folder);
        let known: BTreeSet<String> = fixtures(folder).into_iter().map(|(name, _)| name).collect();
        for entry in fs::read_dir(root).expect("the folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            assert!(known.contains(&name), "{} has no fixture", path.display());
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart_from_a_bad_one() {
    let material = Material::new();
    let environment = dmz_relay::config::Environment::default();
    let state = dmz_relay::runtime::state::State::default();
    let load = |name: &str| {
        dmz_relay::config::load(&material.path(name), &environment, &state, crate::material::NOW)
            .expect_err("is refused")
    };
    let gone = load("gone.toml");
    assert_eq!((gone.exit_code(), gone.unreadable), (2, true));
    assert_eq!(material.told(&gone), "gone.toml: does not exist\n  help: name it with --config");
    assert_eq!(load("certs").exit_code(), 2);
    material.put("big.toml", "#".repeat((4 << 20) + 1), 0o644);
    assert_eq!(load("big.toml").exit_code(), 2);
    material.put("latin1.toml", b"# fine\n# caf\xe9\n", 0o644);
    let text = load("latin1.toml");
    assert_eq!(text.exit_code(), 1);
    assert!(material.told(&text).starts_with("latin1.toml:2:1: "), "{text}");
}
