//! What other accounts of the host could see of a secret: command lines, temporary files, files that commands write.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use clap::{Command, CommandFactory as _};
use dmz_relay::cli::grammar::Cli;

use super::harness::{Application, CANARY, Installation, Manner, Running, binary, harmless, is_empty, said};

/// Options whose names speak of a secret. They name a file, which the commands open themselves.
fn spoken_of(command: &Command) -> Vec<String> {
    let valued = command.get_arguments().filter(|argument| argument.get_action().takes_values());
    let own = valued.filter(|argument| {
        let names = argument.get_value_names().unwrap_or_default().iter().map(|name| name.to_lowercase());
        let names: Vec<_> = names.chain(argument.get_long().map(str::to_owned)).collect();
        let secret =
            ["secret", "token", "password", "key"].iter().any(|word| names.iter().any(|name| name.contains(word)));
        secret && !names.iter().any(|name| name.contains("file"))
    });
    let own = own.map(|argument| format!("{} {}", command.get_name(), argument.get_id()));
    own.chain(command.get_subcommands().flat_map(spoken_of)).collect()
}

#[test]
fn no_command_takes_a_secret_as_an_argument() {
    let mut cli = Cli::command();
    cli.build();
    assert_eq!(spoken_of(&cli), Vec::<String>::new());
}

#[test]
fn no_command_leaves_a_secret_in_a_temporary_file_a_command_line_or_a_file_that_it_writes() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let text = installation.read("relay.toml").replace("[routes.github]\n", "[routes.github]\nkeep_body = true\n");
    installation.write("relay.toml", &(text + "[store]\nsqlite = { path = \"relay.db\" }\ndisk_reserve = \"0B\"\n"));
    installation.write("body", "{\"a\":1}");
    let relay = Running::start(&installation);
    let folder = tempfile::tempdir().unwrap();
    let (config, export, body) = (installation.config(), installation.path("export"), installation.path("body"));
    let secret = installation.path("github");
    let captured = installation.path("captured");
    installation.write(
        "captured",
        "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nX-Hub-Signature-256: sha256=00\r\n\r\n{}",
    );
    for (arguments, code) in [
        (vec!["check"], 0),
        (vec!["check", "--diff"], 0),
        (vec!["send", "github", "--connect", &relay.public, "--data", &format!("@{body}")], 0),
        (vec!["send", "stripe", "--connect", &relay.public, "--tamper"], 0),
        (vec!["send", "octolis", "--connect", &relay.public], 0),
        (vec!["verify", "--route", "github", "--request", &captured], 1),
        (vec!["explain", "--request", &captured], 1),
        (vec!["status"], 0),
        (vec!["reload"], 0),
        (vec!["config", "list"], 0),
        (vec!["config", "show"], 0),
        (vec!["events", "list"], 0),
        (vec!["events", "export", "--output", &export], 0),
    ] {
        let mut command = binary();
        command.args(&arguments).args(["--config", &config]).env("TMPDIR", folder.path());
        // What they print is searched by `said`.
        said(command.output().unwrap()).exits(code);
        assert!(is_empty(folder.path()), "{arguments:?} left a temporary file");
    }
    let verify = ["verify", "--provider", "github", "--secret-file", &secret, "--request", &captured];
    said(binary().args(verify).env("TMPDIR", folder.path()).output().unwrap()).exits(1);
    assert!(is_empty(folder.path()), "verify left a temporary file");

    let exported = fs::read_to_string(&export).unwrap();
    assert!(exported.contains("/hooks/octolis"), "{exported}");
    harmless(&exported);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&export), 0o600);

    let proc = format!("/proc/{}", relay.id());
    let line = fs::read_to_string(format!("{proc}/cmdline")).unwrap();
    assert!(line.contains("run\0") && !line.contains(CANARY), "{line}");
    // Whatever it holds open lies in its own folder, or is no file.
    for entry in fs::read_dir(format!("{proc}/fd")).unwrap() {
        let Ok(place) = fs::read_link(entry.unwrap().path()) else { continue };
        let inside = place.starts_with(installation.folder.path());
        assert!(inside || !place.starts_with(std::env::temp_dir()), "{}", place.display());
    }
    // Every file of the store and of the kept configurations is private and holds no secret; the secrets' own files do.
    let secrets = ["github", "stripe", "octolis", "relay.key"];
    for path in files(installation.folder.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !secrets.contains(&name) {
            harmless(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
        if name.starts_with("relay.db") {
            assert_eq!(mode(path.to_str().unwrap()) & 0o077, 0, "{name}");
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() => files(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}
