//! How the rules that are loaded differ from those of the configuration.

use std::process::Command;

use super::super::Unusable;
use super::nftables::TABLE;
use super::{Difference, What};

/// What nft says is loaded; empty where the table is not.
pub(super) fn loaded() -> Result<String, Unusable> {
    let listed = Command::new("nft").args(["-s", "-u", "list", "ruleset"]).output();
    let listed = listed.map_err(|error| format!("cannot run nft: {error}; or give --ruleset FILE"))?;
    if !listed.status.success() {
        let why = String::from_utf8_lossy(&listed.stderr);
        let why = why.lines().next().unwrap_or("no reason given").trim();
        return Err(format!("nft: {why}; ask as root, or give --ruleset FILE").into());
    }
    Ok(String::from_utf8_lossy(&listed.stdout).into_owned())
}

/// Rules that are missing, that are too many, or that stand in another order. Rules are tried from the top, so order counts.
pub(super) fn between(expected: &str, loaded: &str) -> Vec<Difference> {
    let Some(loaded) = table(loaded) else {
        let detail = format!("inet {TABLE}; `dmz-relay firewall --format nftables` prints it");
        return vec![Difference { what: What::NoTable, detail }];
    };
    let (expected, loaded) = (rules(expected), rules(loaded));
    let mut left = loaded.clone();
    let mut differences = Vec::new();
    for rule in &expected {
        match left.iter().position(|other| other == rule) {
            Some(place) => drop(left.remove(place)),
            None => differences.push(Difference { what: What::MissingRule, detail: rule.clone() }),
        }
    }
    differences.extend(left.into_iter().map(|detail| Difference { what: What::UnexpectedRule, detail }));
    if differences.is_empty() && expected != loaded {
        let moved = expected.iter().zip(&loaded).find(|(expected, loaded)| expected != loaded);
        let detail = moved.map(|(expected, _)| expected.clone()).unwrap_or_default();
        differences.push(Difference { what: What::OtherOrder, detail });
    }
    differences
}

/// From the table's first line to its closing brace.
fn table(ruleset: &str) -> Option<&str> {
    let begin = format!("table inet {TABLE} {{\n");
    let start = ruleset
        .find(&begin)
        .filter(|start| *start == 0 || ruleset.get(..*start).is_some_and(|before| before.ends_with('\n')))?;
    let rest = ruleset.get(start..)?;
    let end = rest.find("\n}").map_or(rest.len(), |end| end + 2);
    rest.get(..end)
}

/// Each rule with its chain, so that the same rule in another chain is another one.
fn rules(table: &str) -> Vec<String> {
    let mut chain = "";
    let mut rules = Vec::new();
    for line in table.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && *line != "}") {
        match line.strip_suffix(" {") {
            Some(opened) => chain = opened.trim_start_matches("chain "),
            None => rules.push(format!("{chain}: {line}")),
        }
    }
    rules
}
