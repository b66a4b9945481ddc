//! `docs/cli.md` against the grammar; completions and manual pages.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use dmz_relay::cli::grammar::Cli;

use super::harness::{Installation, binary, is_empty, relay, said};

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
        // The manual page takes this line, and no second one.
        let (_, codes) = section.split_once("\nExit codes:").unwrap_or_else(|| panic!("{name}"));
        let after = codes.lines().nth(1).unwrap_or_default();
        assert!(after.is_empty(), "{name}: one line of exit codes, then none: {after}");
    }
}

/// What the program suggests for the last of these words.
fn suggested(words: &[&str]) -> Vec<String> {
    let mut command = binary();
    command.env("DMZ_RELAY_COMPLETE", "fish").args(["--", "dmz-relay"]).args(words);
    let suggested = said(command.output().unwrap()).exits(0).out;
    suggested.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn every_shell_asks_the_program_what_may_come_next() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = relay(&["completions", shell]).exits(0);
        assert!(said.out.contains("DMZ_RELAY_COMPLETE"), "{shell}: {}", said.out);
    }
    relay(&["completions", "cmd"]).exits(2);
    // Another program's variable is none of ours.
    let mut command = binary();
    command.env("COMPLETE", "bash").arg("--version");
    assert!(said(command.output().unwrap()).exits(0).out.starts_with("dmz-relay "));
}

#[test]
fn suggestions_are_the_values_that_fit() {
    let installation = Installation::new("http://127.0.0.1:9");
    let config = installation.config();
    let routes = ["github", "octolis", "stripe"];
    assert_eq!(
        suggested(&["send", "--config", &config, ""]).iter().filter(|word| !word.starts_with('-')).collect::<Vec<_>>(),
        routes
    );
    assert_eq!(suggested(&["send", "--config", &config, "st"]), ["stripe"]);
    assert_eq!(suggested(&["verify", "--config", &config, "--route", ""]), routes);
    assert_eq!(suggested(&["events", "list", "--config", &config, "--route", "g"]), ["github"]);
    assert_eq!(suggested(&["events", "retry", "--config", &config, "--upstream", ""]), ["application"]);
    assert_eq!(suggested(&["send", "--config", &config, "--listener", ""]), ["public"]);
    assert_eq!(suggested(&["events", "list", "--outcome", "d"]), ["delivered", "dead", "discarded", "duplicate"]);
    assert_eq!(suggested(&["events", "list", "--state", ""]), ["waiting", "dead"]);
    for words in [&["verify", "--provider", "git"][..], &["providers", "git"], &["init", "--provider", "git"]] {
        let found = suggested(words);
        assert!(["github", "gitlab"].iter().all(|name| found.iter().any(|word| word == name)), "{words:?}: {found:?}");
        assert!(found.iter().all(|word| word.starts_with("git")), "{words:?}: {found:?}");
    }
    assert!(suggested(&["events", "list", "--reason", "signature_mis"]).contains(&"signature_mismatch".to_owned()));
    // A file that cannot be read, or is none, suggests nothing and says nothing.
    assert_eq!(suggested(&["verify", "--config", "/nonexistent", "--route", ""]), [""; 0]);
    installation.write("relay.toml", "[routes");
    assert_eq!(suggested(&["verify", "--config", &config, "--route", ""]), [""; 0]);
}

#[test]
fn there_is_a_page_for_each_command_with_the_sections_of_a_manual() {
    let sections = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"];
    let has = |page: &str, section: &str| {
        page.lines().any(|line| line.strip_prefix(".SH ").is_some_and(|name| name.trim_matches('"') == section))
    };
    let page = relay(&["man"]).exits(0).out;
    assert!(page.contains(".TH dmz-relay 1") && !page.contains("help(1)"), "{page}");
    for section in sections.into_iter().chain(["EXAMPLES"]) {
        assert!(has(&page, section), "{section} in {page}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(is_empty(folder.path()));
    relay(&["man", "--dir", folder.path().to_str().unwrap()]).exits(0);
    let commands_of = folder.path().join("man1");
    let read = |name: &str| {
        let section = if name.ends_with(".5") { "man5" } else { "man1" };
        std::fs::read_to_string(folder.path().join(section).join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let mut cli = Cli::command();
    cli.build();
    let all = commands(&cli);
    for (name, _) in &all {
        let page = read(&format!("dmz-relay-{}.1", name.replace(' ', "-")));
        for section in sections.into_iter().chain(["EXAMPLES"]) {
            assert!(has(&page, section), "{name}: {section} in {page}");
        }
        assert!(!has(&page, "EXTRA") && !page.contains("```"), "{name}: {page}");
    }
    // No page names one that is not there.
    for entry in std::fs::read_dir(&commands_of).unwrap() {
        let page = std::fs::read_to_string(entry.unwrap().path()).unwrap().replace('\\', "");
        for name in
            page.split_whitespace().filter_map(|word| word.strip_suffix("(1)").or_else(|| word.strip_suffix("(1),")))
        {
            let name = name.trim_start_matches("fB").trim_end_matches("fR");
            assert!(commands_of.join(format!("{name}.1")).exists(), "{name}(1) in {page}");
        }
    }
    let config = read("relay.toml.5");
    assert!(
        config.starts_with(".TH relay.toml 5") && config.contains("listeners.tls.client_auth.required"),
        "{config}"
    );
    assert!(has(&config, "ROUTES") && has(&config, "FILES"), "{config}");
}
