//! `demo`: everything as expected, and nothing left behind.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::harness::{LONG, binary, is_empty, lines, relay, said, signal};

fn verdicts<'s>(shown: &'s Value, system: &str) -> Vec<&'s str> {
    let requests = shown["requests"].as_array().unwrap();
    let of = requests.iter().filter(|request| request["system"] == system);
    of.map(|request| request["seen"]["verdict"].as_str().unwrap()).collect()
}

/// Every request of an act was answered success, and arrived once and byte for byte.
fn arrived(act: &Value, requests: usize) {
    assert_eq!(act["as_expected"], json!(true), "{act}");
    let kept = act["requests"].as_array().unwrap();
    assert!(kept.len() == requests, "{} requests", kept.len());
    for request in kept {
        assert_eq!((&request["status"], &request["verdict"]), (&json!(200), &json!("accepted")), "{request}");
        assert_eq!((&request["arrived"], &request["byte_for_byte"]), (&json!(1), &json!(true)), "{request}");
    }
}

#[test]
fn everything_is_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let output = binary().args(["demo", "--once", "--format", "json"]).env("TMPDIR", folder.path()).output();
    let shown = said(output.unwrap()).exits(0).json();
    assert_eq!(shown["as_expected"], json!(true));
    for (system, expected) in [
        ("GitHub", &["delivered", "duplicate", "signature_mismatch", "signature_missing"][..]),
        ("Stripe", &["delivered", "duplicate", "signature_mismatch", "timestamp_stale"]),
        ("Oktave", &["delivered", "duplicate", "timestamp_stale", "signature_mismatch", "binding_mismatch"]),
        ("Dastra", &["delivered", "duplicate", "signature_mismatch", "address_not_allowed"]),
        ("Octolis", &["delivered", "signature_missing", "signature_mismatch", "method_not_allowed", "header_required"]),
        ("Oktave, into Octolis", &["delivered", "signature_mismatch"]),
    ] {
        let verdicts = verdicts(&shown, system);
        assert!(expected.iter().all(|verdict| verdicts.contains(verdict)), "{system}: {verdicts:?}");
    }
    for request in shown["requests"].as_array().unwrap() {
        let inside =
            request["seen"]["application"].as_u64().unwrap() + request["seen"]["octolis_endpoint"].as_u64().unwrap();
        let delivered = request["seen"]["verdict"] == "delivered";
        assert_eq!(inside, u64::from(delivered), "{request}");
        assert_eq!(request["byte_for_byte"], if delivered { json!(true) } else { json!(null) }, "{request}");
    }
    let explained = shown["explained"].to_string();
    assert!(explained.contains("signature_mismatch") && explained.contains("JSON without blanks"), "{explained}");
    arrived(&shown["outage"], 9);
    arrived(&shown["crash"], 8);
    arrived(&shown["full"], shown["full"]["requests"].as_array().unwrap().len());
    assert!(shown["full"]["steps"][0]["came"].as_str().unwrap().ends_with("then 503: store_full"), "{}", shown["full"]);
    let steps = |act: &str| shown[act]["steps"].as_array().unwrap().len();
    assert_eq!((steps("outage"), steps("crash"), steps("full")), (5, 5, 3));
    assert!(is_empty(folder.path()), "the demo left something behind");
}

/// In the order of an audience, in 80 columns, with the summary last.
#[test]
fn text_for_people_fits_80_columns_and_ends_with_the_summary() {
    let said = relay(&["demo", "--once"]).exits(0);
    let mut rest = said.out.as_str();
    for heading in [
        "\n1. Only genuine webhooks reach the application\n",
        "\n  GitHub\n",
        "\n  Stripe\n",
        "\n2. Why was it refused?\n",
        "  $ dmz-relay explain ",
        "\n3. The application is away: nothing is lost\n",
        "an operator retries the dead letter",
        "\n4. The relay is killed: what was answered 200 is still there\n",
        "\n5. The disk is full: no false 200\n",
        "\nSummary\n",
        "  All as expected. It took ",
    ] {
        rest = rest.split_once(heading).unwrap_or_else(|| panic!("{heading:?} is missing in\n{rest}")).1;
    }
    assert_eq!(rest.lines().count(), 1, "{rest}");
    assert!(!said.out.contains('\x1b') && !said.out.contains("\n  ✗  "), "{}", said.out);
    for line in said.out.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

/// What a shell prints after it has read the demo's file.
fn tried(folder: &Path, commands: &str) -> String {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(". {}/try.sh; {commands}", folder.display())]);
    shell.env_remove("DMZ_RELAY_ADMIN").stdin(Stdio::null());
    let said = said(shell.output().unwrap());
    assert_eq!(said.code, 0, "{commands}\n{}{}", said.out, said.err);
    said.out
}

/// The commands in the file work, and Ctrl-C cleans up.
#[test]
fn it_serves_on_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        binary().arg("demo").env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = lines(child.stdout.take().unwrap());
    let mut heard = String::new();
    let mut until = |what: &str| loop {
        let line = lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("no line with {what}"));
        heard.push_str(&line);
        if line.contains(what) {
            return line;
        }
    };
    let line = until("/try.sh");
    let file = Path::new(line.trim().strip_prefix(". ").unwrap()).to_owned();
    let place = file.parent().unwrap();
    until("What comes in from now on");
    let events = tried(place, "dmz-relay events list --route dastra --outcome delivered");
    assert_eq!(events.matches(" delivered ").count(), 5, "{events}");
    tried(place, "dmz-relay send dastra");
    let line = until("/hooks/dastra");
    assert!(line.contains("200") && line.contains("delivered"), "{line}");
    tried(place, "dmz-relay send github && dmz-relay send stripe --tamper && dmz-relay send oktave --stale");
    for name in ["github", "stripe", "oktave", "dastra", "octolis"] {
        let answer = tried(place, &format!("try_{name}"));
        assert!(answer.starts_with("HTTP/") && answer.lines().next().unwrap().contains(" 200"), "{name}: {answer}");
    }
    // The route that refuses all addresses but the provider's was sent a genuine request from here.
    let status = tried(place, "dmz-relay status || test $? -eq 1");
    assert!(status.contains("is running") && status.contains("genuine requests from 127.0.0.1"), "{status}");
    for file in std::fs::read_dir(place.join("secrets")).unwrap() {
        let secret = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(secret.len() > 40 && !heard.contains(&secret), "a secret was printed");
    }
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(folder.path()), "the demo left something behind");
}
