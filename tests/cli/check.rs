//! `check`: codes, problems with their places, no secret quoted.

use serde_json::json;

use super::harness::{CANARY, Installation, relay};

fn installation() -> Installation {
    Installation::new("http://127.0.0.1:9")
}

#[test]
fn a_good_configuration_is_fine() {
    let installation = installation();
    let said = installation.relay(&["check"]).exits(0);
    assert!(said.out.contains("fine: 3 routes, 1 listener"), "{}", said.out);
    let found = installation.relay(&["check", "--format", "json"]).exits(0).json();
    assert_eq!((&found["fine"], &found["routes"], &found["listeners"]), (&json!(true), &json!(3), &json!(1)));
}

#[test]
fn the_environment_names_the_configuration() {
    let installation = installation();
    let output = super::harness::binary().arg("check").env("DMZ_RELAY_CONFIG", installation.config()).output();
    super::harness::said(output.unwrap()).exits(0);
}

#[test]
fn every_problem_has_its_place_and_what_helps() {
    let installation = installation();
    let text = installation.read("relay.toml").replace("[limits]\n", "[limits]\nhead_timeout = \"5 fortnights\"\n");
    let line = text.lines().position(|line| line.starts_with("head_timeout")).unwrap() + 1;
    let text = text.replace("provider = \"octolis\"", "provider = \"octulis\"");
    installation.write("relay.toml", &text);
    let said = installation.relay(&["check"]).exits(1);
    let place = format!("relay.toml:{line}:16: limits.head_timeout: ");
    assert!(said.out.contains(&place), "{place} in:\n{}", said.out);
    assert!(
        said.out.contains(&format!("{line} | head_timeout = \"5 fortnights\"\n       |                ^")),
        "{}",
        said.out
    );
    assert!(said.out.contains("  help: ") && said.out.contains("octolis"), "{}", said.out);
    assert!(said.out.contains("2 problems"), "{}", said.out);

    let found = installation.relay(&["check", "--format", "json"]).exits(1).json();
    assert_eq!(found["problems"][0]["line"], json!(line));
    assert_eq!(found["problems"][0]["column"], json!(16));
    assert_eq!(found["problems"][0]["key"], json!("limits.head_timeout"));
    assert_eq!(found["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_another_matter() {
    let said = relay(&["check", "--config", "/nonexistent/relay.toml"]).exits(2);
    assert!(said.out.contains("/nonexistent/relay.toml"), "{}", said.out);
    let found = relay(&["check", "--config", "/nonexistent/relay.toml", "--format", "json"]).exits(2).json();
    assert_eq!(found["unreadable"], json!(true));
}

/// The harness fails on any output with the canary in it.
#[test]
fn a_secret_in_the_file_is_a_problem_that_does_not_quote_it() {
    let installation = installation();
    let good = installation.read("relay.toml");
    for bad in [
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\"{CANARY}\"]")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\n  \"{CANARY}\",\n]")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = \"{CANARY}\"")),
        good.replace("secrets = [{ file = \"github\" }]", &format!("secrets = [\"{CANARY}")),
        good.replace(
            "secrets = [{ file = \"github\" }]",
            &format!("secrets = [{{ file = \"github\" }}]\nupstream_headers = {{ \"X y\" = \"{CANARY}\" }}"),
        ),
    ] {
        assert_ne!(bad, good);
        installation.write("relay.toml", &bad);
        installation.relay(&["check"]).exits(1);
        installation.relay(&["check", "--format", "json"]).exits(1);
    }
}

#[test]
fn wrong_usage_is_told_apart_from_a_no() {
    for line in [&["chek"][..], &[], &["check", "--oops"], &["verify", "--request", "x"]] {
        relay(line).exits(2);
    }
    let help = relay(&["--help"]).exits(0);
    assert!(help.out.contains("Exit codes:"), "{}", help.out);
    relay(&["--version"]).exits(0);
}

/// A user, a password or a token in a URL stands in no report: neither in its sentence nor in the line that it shows.
#[test]
fn what_a_url_gives_away_is_not_repeated() {
    let good = Installation::new("http://127.0.0.1:9").read("relay.toml");
    for (from, to) in [
        ("http://127.0.0.1:9", format!("http://user:{CANARY}@127.0.0.1:9")),
        ("http://127.0.0.1:9", format!("http://user:{}@127.0.0.1:9", CANARY.repeat(20))),
        ("http://127.0.0.1:9", format!("user:{CANARY}@127.0.0.1:9")),
        ("http://127.0.0.1:9", format!("http://127.0.0.1:9?{CANARY}")),
        ("provider = \"github\"", format!("provider = \"github\"\npublic_url = \"https://u:{CANARY}@a.example/\"")),
        ("provider = \"github\"", format!("provider = \"github\"\npublic_url = \"https://a.example/?{CANARY}\"")),
        ("provider = \"github\"", format!("provider = \"https://u:{CANARY}@github.com\"")),
        ("provider = \"github\"", format!("provider = \"github\"\nhost = \"u:{CANARY}@a.example\"")),
    ] {
        let installation = Installation::new("http://127.0.0.1:9");
        let bad = good.replacen(from, &to, 1);
        assert_ne!(bad, good);
        installation.write("relay.toml", &bad);
        for arguments in [&["check"][..], &["check", "--format", "json"]] {
            // The harness looks for the canary in everything that is said.
            let said = installation.relay(arguments).exits(1);
            assert!(said.out.contains("***"), "{to}: {}", said.out);
        }
        let said = installation.relay(&["run"]).exits(1);
        assert!(said.out.contains("***") || said.err.contains("***"), "{to}: {}{}", said.out, said.err);
    }
}
