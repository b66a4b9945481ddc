//! What an operator sees on a terminal of 80 columns, and that the status says what is to be done.

use clap::CommandFactory as _;
use dmz_relay::cli::grammar::Cli;

use super::harness::{Application, CANARY, Installation, Manner, Running, Said, binary, said};
use super::pty::on_a_terminal;

/// With a terminal of 80 columns, as far as the program can know.
fn narrow(installation: &Installation, arguments: &[&str]) -> Said {
    let mut command = binary();
    command.args(arguments).args(["--config", &installation.config()]).env("COLUMNS", "80");
    said(command.output().unwrap())
}

/// A relay with a route and an upstream of long names; nobody listens behind it.
fn long_names() -> (Application, Installation, Running) {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let name = "a-route-whose-name-says-everything-about-it-and-more";
    let text = installation.read("relay.toml");
    let text = format!(
        "{text}[store]\nsqlite = {{ path = \"relay.db\" }}\ndisk_reserve = \"0B\"\n\
         [upstreams.{name}]\nservers = [\"http://127.0.0.1:9\"]\n\
         [routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"github\"\nsecrets = [{{ file = \"github\" }}]\n\
         upstream = \"{name}\"\ndelivery = \"queue\"\nretry = {{ attempts = 1 }}\n"
    );
    installation.write("relay.toml", &text);
    let relay = Running::start(&installation);
    let sent = ["send", name, "--connect", &relay.public, "--wait", "0", "--header", "User-Agent: a\u{202e}b"];
    installation.relay(&sent).exits(0);
    (application, installation, relay)
}

#[test]
fn no_line_of_a_table_is_wider_than_80_columns_and_dead_letters_are_named_with_a_command() {
    let (_application, installation, _relay) = long_names();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let status = loop {
        let status = narrow(&installation, &["status"]);
        if status.out.contains("dead letter") {
            break status.exits(1);
        }
        assert!(std::time::Instant::now() < until, "{}", status.out);
    };
    assert!(
        status.out.contains("To do") && status.out.contains("dmz-relay events list --state dead"),
        "{}",
        status.out
    );
    let list = narrow(&installation, &["events", "list", "--state", "dead"]).exits(0);
    assert!(list.out.contains("1 event; that is all"), "{}", list.out);
    for shown in [&status.out, &list.out] {
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
    let nagios = narrow(&installation, &["status", "--format", "nagios"]);
    assert!(nagios.out.starts_with("DMZ-RELAY ") && nagios.out.contains(" dead=1"), "{}", nagios.out);
    assert!(nagios.code == 1 || nagios.code == 2, "{}", nagios.code);
    let discarded = narrow(&installation, &["events", "discard", "--all-dead", "--yes"]).exits(0);
    assert!(discarded.out.contains("1 event discarded"), "{}", discarded.out);
    let refused = narrow(&installation, &["events", "list", "--outcome", "delivred"]).exits(2);
    assert!(refused.err.contains("delivered"), "{}", refused.err);
    narrow(&installation, &["events", "list", "--state", "delivered"]).exits(2);
    narrow(&installation, &["events", "list", "--format", "nagios"]).exits(2);
}

/// A command with this installation's configuration, on a terminal; nothing that it shows wraps.
#[track_caller]
fn shown(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let config = installation.config();
    let arguments = [arguments, &["--config", &config]].concat();
    let shown = on_a_terminal(installation.folder.path(), &arguments, None);
    shown.fits(&arguments.join(" "));
    assert!(!shown.text.contains(CANARY), "{}", shown.text);
    assert_eq!(shown.status.code(), Some(code), "{arguments:?}\n{}", shown.text);
    shown.text
}

#[test]
fn nothing_that_a_command_says_of_a_running_relay_wraps_on_a_terminal_of_80_columns() {
    let (_application, installation, relay) = long_names();
    let route = "a-route-whose-name-says-everything-about-it-and-more";
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !narrow(&installation, &["status"]).out.contains("dead letter") {
        assert!(std::time::Instant::now() < until);
    }
    let status = shown(&installation, &["status"], 1);
    assert!(status.contains("free on disk"), "{status}");
    let list = shown(&installation, &["events", "list"], 0);
    let id = list.split_whitespace().find(|word| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let id = id.unwrap_or_else(|| panic!("no short id in {list}")).to_owned();
    let show = shown(&installation, &["events", "show", &id, "--body"], 0);
    assert!(show.contains("<U+202E>"), "what turns the direction of reading is written as its code: {show}");
    shown(&installation, &["explain", &id], 0);
    shown(&installation, &["events", "redeliver", "--route", route, "--dry-run"], 0);
    shown(&installation, &["events", "retry", &id], 0);
    shown(&installation, &["events", "list", "--text", "nothing has this"], 0);
    shown(&installation, &["reload"], 0);
    shown(&installation, &["check"], 0);
    shown(&installation, &["store", "backup", "a-file-with-a-rather-long-name-for-a-backup-of-the-store.db"], 0);
    shown(&installation, &["send", "github", "--connect", &relay.public, "--tamper"], 0);
    shown(&installation, &["send", "nosuchroute"], 2);
    let arguments = ["events", "tail", "--config", &installation.config()];
    let tail = on_a_terminal(installation.folder.path(), &arguments, Some(&id));
    tail.fits("events tail");
    // No figure has the noise of a division in it, and no time is a number.
    for line in narrow(&installation, &["events", "export"]).out.lines() {
        let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).count();
        let noisy = line
            .match_indices("_ms\":")
            .any(|(at, _)| line[at + 5..].split(['.', ',', '}']).nth(1).map_or(0, digits) > 3);
        assert!(!noisy, "{line}");
    }
    let status = narrow(&installation, &["status", "--format", "json"]).json();
    for pointer in ["/started_at", "/config/loaded_at", "/listeners/0/certificates/0/not_after"] {
        let time =
            status.pointer(pointer).and_then(|time| time.as_str()).unwrap_or_else(|| panic!("{pointer}: {status}"));
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{pointer}: {time}");
    }
    drop(relay);
    shown(&installation, &["status"], 2);
    shown(&installation, &["events", "list"], 2);
}

#[test]
fn nothing_that_a_command_says_without_a_relay_wraps_on_a_terminal_of_80_columns() {
    let installation = Installation::new("http://127.0.0.1:9");
    for name in dmz_relay::config::recipe::builtin_names().iter().step_by(6) {
        shown_plain(&installation, &["providers", name], 0);
    }
    let list = shown_plain(&installation, &["providers"], 0);
    for name in dmz_relay::config::recipe::builtin_names() {
        assert!(list.contains(name), "a name is never cut: {name} in {list}");
    }
    shown_plain(
        &installation,
        &["init", "--provider", "twilio", "--upstream", "http://10.0.1.20:8080", "--host", "h.example", "--dir", "new"],
        0,
    );
    shown_plain(
        &installation,
        &["init", "--provider", "twilo", "--upstream", "http://10.0.1.20:8080", "--host", "h.example", "--dir", "new2"],
        2,
    );
    shown_plain(&installation, &["events", "list", "--outcome", "delivred"], 2);
    shown_plain(&installation, &["providers", "--format", "nagios"], 2);
    shown_plain(&installation, &["demo", "--once"], 0);
    let text = installation.read("relay.toml");
    let long = "a-word-that-nobody-knows-in-a-list-of-methods-that-is-much-longer-than-a-terminal-is-wide";
    installation.write(
        "relay.toml",
        &text.replace("[routes.github]", &format!("[routes.github]\nmethods = [\"{long}\"]\nexplanation = 1")),
    );
    shown(&installation, &["check"], 1);
    shown(&installation, &["run"], 1);
    shown(&installation, &["send", "github"], 2);
    let mut cli = Cli::command();
    cli.build();
    helps(&installation, &cli, &mut Vec::new());
}

#[track_caller]
fn shown_plain(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let shown = on_a_terminal(installation.folder.path(), arguments, None);
    shown.fits(&arguments.join(" "));
    assert_eq!(shown.status.code(), Some(code), "{arguments:?}\n{}", shown.text);
    shown.text
}

/// The help of every command.
fn helps(installation: &Installation, command: &clap::Command, path: &mut Vec<String>) {
    let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    shown_plain(installation, &arguments, 0);
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        path.push(below.get_name().to_owned());
        helps(installation, below, path);
        path.pop();
    }
}

/// With `--format json`, standard output is one JSON value whatever happens, and standard error is empty.
#[test]
fn an_error_is_json_for_a_program() {
    let installation = Installation::new("http://127.0.0.1:9");
    let config = installation.config();
    for (arguments, why, code) in [
        (&["status"][..], "cannot reach the relay", 2),
        (&["reload"], "cannot reach the relay", 2),
        (&["events", "list"], "cannot reach the relay", 2),
        (&["events", "tail"], "cannot reach the relay", 2),
        (&["events", "export"], "cannot reach the relay", 2),
        (&["events", "show", "1a2035baf19bf97a"], "cannot reach the relay", 2),
        (&["events", "retry", "--all-dead", "--yes"], "cannot reach the relay", 2),
        (&["explain", "1a2035baf19bf97a"], "cannot reach the relay", 2),
        (&["explain", "--request", "/nonexistent"], "/nonexistent", 2),
        (&["verify", "--route", "github", "--request", "/nonexistent"], "/nonexistent", 2),
        (&["send", "githib"], "did you mean github?", 2),
        (&["store", "backup", "copy.db"], "no [store]", 2),
        (&["status", "--nonsense"], "unexpected argument", 2),
        (&["events", "list", "--outcome", "delivred"], "invalid value 'delivred'", 2),
        (&["events"], "requires a subcommand", 2),
        (&["send"], "required arguments", 2),
    ] {
        for format in [&["--format", "json"][..], &["--format=json"]] {
            let global = arguments.len() > 1 || arguments[0] != "events";
            let config: &[&str] = if global { &["--config", &config] } else { &[] };
            let said = said(binary().args([arguments, config, format].concat()).output().unwrap()).exits(code);
            let error = said.json();
            assert!(error["error"].as_str().unwrap().contains(why), "{arguments:?}: {error}");
            assert_eq!(error["exit_code"], code, "{arguments:?}: {error}");
            assert_eq!(said.err, "", "{arguments:?}");
        }
    }
}
