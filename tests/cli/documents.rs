//! `docs/cli.md` against the grammar; completions and manual pages.

use std::collections::BTreeSet;

use clap::CommandFactory;
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

#[test]
fn every_option_is_documented_and_nothing_else() {
    let mut cli = Cli::command();
    cli.build();
    let mut commands = BTreeSet::new();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let general = ["help", "version", "format"];
        let arguments = command.get_arguments().filter(|argument| !general.contains(&argument.get_id().as_str()));
        let known: BTreeSet<String> = arguments
            .map(|argument| match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_value_names().unwrap()[0].to_string(),
            })
            .collect();
        assert_eq!(documented(section(command.get_name())), known, "{}", command.get_name());
        commands.insert(command.get_name().to_owned());
    }
    let sections: BTreeSet<String> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("## `"))
        .map(|line| line.trim_end_matches('`').to_owned())
        .collect();
    assert_eq!(sections, commands);
}

#[test]
fn every_section_has_synopsis_and_exit_codes() {
    let cli = Cli::command();
    for command in cli.get_subcommands() {
        let section = section(command.get_name());
        assert!(section.contains(&format!("dmz-relay {}", command.get_name())), "{}", command.get_name());
        assert!(section.contains("Exit codes:"), "{}", command.get_name());
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
    for command in Cli::command().get_subcommands() {
        let page = folder.path().join(format!("dmz-relay-{}.1", command.get_name()));
        assert!(page.exists(), "{}", page.display());
    }
}
