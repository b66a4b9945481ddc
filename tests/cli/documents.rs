//! `docs/cli.md` against the grammar; completions and manual pages.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use dmz_relay::cli::grammar::Cli;

use super::harness::{is_empty, relay};

const PAGE: &str = include_str!("../../docs/cli.md");

fn section(name: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## `{name}`")).unwrap_or_else(|| panic!("no section for {name}"));
    rest.split("\n## ").next().unwrap()
}

/// What the rows of a section's tables begin with: `--config`, `ROUTE`.
fn documented(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split(['`', ' ', ',']).next().unwrap().to_owned()).collect()
}

/// Every command that does something, by its full name: `check`, `events list`.
fn commands(cli: &Command) -> Vec<(String, Command)> {
    let named = cli.get_subcommands().filter(|command| command.get_name() != "help");
    named
        .flat_map(|command| {
            let name = command.get_name().to_owned();
            let below = commands(command).into_iter().map(|(below, command)| (format!("{name} {below}"), command));
            let below: Vec<_> = below.collect();
            if below.is_empty() { vec![(name, command.clone())] } else { below }
        })
        .collect()
}

fn arguments(command: &Command) -> BTreeSet<String> {
    let general = ["help", "version", "format"];
    let arguments = command.get_arguments().filter(|argument| !general.contains(&argument.get_id().as_str()));
    arguments
        .map(|argument| match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_value_names().unwrap()[0].to_string(),
        })
        .collect()
}

#[test]
fn every_option_is_documented_and_nothing_else() {
    let mut cli = Cli::command();
    cli.build();
    let (mut known, mut used) = (BTreeSet::new(), BTreeSet::new());
    for (name, command) in commands(&cli) {
        // What several commands of a family take stands in the family's own section.
        let family = name.split_once(' ').map(|(family, _)| family);
        let shared = family.map(|family| documented(section(family))).unwrap_or_default();
        let (own, arguments) = (documented(section(&name)), arguments(&command));
        assert!(own.is_disjoint(&shared), "{name} repeats its family");
        let missing: Vec<_> = arguments.difference(&own).filter(|argument| !shared.contains(*argument)).collect();
        assert!(missing.is_empty() && own.is_subset(&arguments), "{name}: {missing:?} of {arguments:?}, not {own:?}");
        used.extend(arguments.into_iter().filter(|argument| shared.contains(argument)));
        known.extend(family.map(str::to_owned));
        known.insert(name);
    }
    for family in known.iter().filter(|name| known.iter().any(|other| other.starts_with(&format!("{name} ")))) {
        assert!(documented(section(family)).is_subset(&used), "{family} documents what none of its commands takes");
    }
    let sections: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("## `"))
        .map(|line| line.trim_end_matches('`').to_owned())
        .collect();
    assert_eq!(sections, known);
}

#[test]
fn every_section_has_synopsis_and_exit_codes() {
    for (name, _) in commands(&Cli::command()) {
        let section = section(&name);
        assert!(section.contains(&format!("dmz-relay {name}")), "{name}");
        assert!(section.contains("Exit codes:"), "{name}");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = relay(&["completions", shell]).exits(0);
        for word in ["providers", "secret-file", "tamper"] {
            assert!(said.out.contains(word), "{shell}: {word}");
        }
    }
    relay(&["completions", "cmd"]).exits(2);
}

#[test]
fn there_is_a_page_for_each_command() {
    let page = relay(&["man"]).exits(0);
    assert!(page.out.contains(".TH dmz-relay 1"), "{}", page.out);
    let folder = tempfile::tempdir().unwrap();
    assert!(is_empty(folder.path()));
    relay(&["man", "--dir", folder.path().to_str().unwrap()]).exits(0);
    for (name, _) in commands(&Cli::command()) {
        let page = folder.path().join(format!("dmz-relay-{}.1", name.replace(' ', "-")));
        assert!(page.exists(), "{}", page.display());
    }
}
