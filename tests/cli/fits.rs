//! What an operator sees on a terminal of 80 columns, and that the status says what is to be done.

use super::harness::{Application, Installation, Manner, Running, Said, binary, said};

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
        "{text}[store]\nsqlite = {{ path = \"relay.db\" }}\nreserve = \"0B\"\n\
         [upstreams.{name}]\nservers = [\"http://127.0.0.1:9\"]\n\
         [routes.{name}]\npath = \"/hooks/{name}\"\nprovider = \"github\"\nsecrets = [{{ file = \"github\" }}]\n\
         upstream = \"{name}\"\ndelivery = \"queue\"\nretry = {{ attempts = 1 }}\n"
    );
    installation.write("relay.toml", &text);
    let relay = Running::start(&installation);
    let sent = ["send", name, "--connect", &relay.public, "--header", "User-Agent: a\u{202e}b"];
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
