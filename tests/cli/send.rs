//! `send` says whether the application took what the relay stored.

use serde_json::{Value, json};

use super::harness::{Application, Installation, Manner, Running, Said};

/// A store, and routes that answer before they deliver: to the application, to nobody with and without another attempt.
const STORED: &str = "
[store]
sqlite = { path = \"relay.db\" }
disk_reserve = \"0B\"

[upstreams.nobody]
servers = [\"http://127.0.0.1:9\"]

[routes.queue]
path = \"/hooks/queue\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"application\"
delivery = \"queue\"

[routes.away]
path = \"/hooks/away\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"nobody\"
delivery = \"queue\"
retry = { first = \"1h\", max = \"1h\" }

[routes.once]
path = \"/hooks/once\"
provider = \"github\"
secrets = [{ file = \"github\" }]
upstream = \"nobody\"
delivery = \"queue\"
retry = { attempts = 1 }
";

fn storing(application: &Application) -> Installation {
    let installation = Installation::new(&application.url);
    installation.write("relay.toml", &(installation.read("relay.toml") + STORED));
    installation
}

fn send(installation: &Installation, relay: &Running, arguments: &[&str]) -> Said {
    installation.relay(&[&["send"], arguments, &["--connect", &relay.public]].concat())
}

fn deliveries(said: &Said) -> Vec<Value> {
    said.json()["answers"].as_array().unwrap().iter().map(|answer| answer["delivery"].clone()).collect()
}

#[test]
fn a_stored_request_that_the_application_took_is_delivered() {
    let application = Application::start(Manner::Prompt);
    let installation = storing(&application);
    let relay = Running::start(&installation);
    for route in ["queue", "github"] {
        let said = send(&installation, &relay, &[route]).exits(0);
        assert!(said.out.ends_with("delivered: the application took it\n"), "{}", said.out);
    }
    let said = send(&installation, &relay, &["queue", "--duplicate", "--format", "json"]).exits(0);
    assert_eq!(deliveries(&said), [json!({ "state": "delivered" }), json!({ "state": "not_forwarded" })]);
    let said = send(&installation, &relay, &["queue", "--count", "3"]).exits(0);
    assert!(said.out.ends_with("3 × delivered: the application took it\n"), "{}", said.out);
    // A refusal promises nothing.
    let said = send(&installation, &relay, &["queue", "--tamper", "--format", "json"]).exits(0);
    assert_eq!(deliveries(&said), [Value::Null]);
}

#[test]
fn a_stored_request_that_nobody_takes_is_not_called_delivered() {
    let application = Application::start(Manner::Prompt);
    let installation = storing(&application);
    let relay = Running::start(&installation);
    let said = send(&installation, &relay, &["away"]).exits(1);
    assert!(said.out.contains("as expected: 200\naccepted, not delivered yet: "), "{}", said.out);
    assert!(said.out.contains("refused") && said.out.contains("next attempt at "), "{}", said.out);
    let said = send(&installation, &relay, &["away", "--format", "json"]).exits(1);
    assert_eq!((&said.json()["undelivered"], &deliveries(&said)[0]["state"]), (&json!(1), &json!("waiting")));

    let said = send(&installation, &relay, &["once", "--wait", "60"]).exits(1);
    assert!(said.out.contains("not tried again: ") && said.out.contains("refused"), "{}", said.out);
    let said = send(&installation, &relay, &["away", "--wait", "0", "--format", "json"]).exits(0);
    assert_eq!(deliveries(&said), [Value::Null], "nobody asked");
}

#[test]
fn an_application_that_says_nothing_is_waited_for_as_long_as_was_said() {
    let application = Application::start(Manner::Silent);
    let installation = storing(&application);
    let relay = Running::start(&installation);
    let said = send(&installation, &relay, &["queue", "--wait", "1"]).exits(1);
    assert!(said.out.ends_with("accepted, not delivered yet: no attempt has ended within 1 s\n"), "{}", said.out);
}

#[test]
fn where_the_relay_cannot_be_asked_that_is_said() {
    let application = Application::start(Manner::Prompt);
    let installation = storing(&application);
    let relay = Running::start(&installation);
    let text = installation.read("relay.toml");
    for (admin, part) in [
        (String::new(), "the configuration has no [admin] address"),
        (format!("[admin]\naddress = \"unix:{}\"\n", installation.path("nobody.sock")), "cannot reach the relay at"),
    ] {
        let (before, rest) = text.split_once("[admin]").unwrap();
        let (_, after) = rest.split_once("[log]").unwrap();
        let other = installation.path("other.toml");
        installation.write("other.toml", &format!("{before}{admin}[log]{after}"));
        let said = super::harness::relay(&["send", "queue", "--config", &other, "--connect", &relay.public]).exits(0);
        let words = format!("accepted; whether it was delivered is not known: {part}");
        assert!(said.out.contains(&words), "{}", said.out);
    }
}

#[test]
fn a_relay_that_has_no_such_request_says_nothing_about_it() {
    let application = Application::start(Manner::Prompt);
    let (here, there) = (storing(&application), storing(&application));
    let (_asked, relay) = (Running::start(&here), Running::start(&there));
    let (_, port) = relay.public.rsplit_once(':').unwrap();
    let (url, authority) = (format!("https://localhost:{port}"), there.path("relay.crt"));
    let said = here.relay(&["send", "queue", "--url", &url, "--cacert", &authority, "--wait", "1"]).exits(0);
    assert!(said.out.contains("is not known: the relay at the [admin] address has no such request"), "{}", said.out);
}

#[test]
fn without_a_store_a_success_is_the_applications_own() {
    let application = Application::start(Manner::Prompt);
    let installation = Installation::new(&application.url);
    let relay = Running::start(&installation);
    let said = send(&installation, &relay, &["github", "--format", "json"]).exits(0);
    assert_eq!(deliveries(&said), [Value::Null]);
}
