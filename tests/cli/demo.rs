//! `demo`: everything as expected, and nothing left behind.

use std::process::Stdio;

use serde_json::json;

use super::harness::{binary, is_empty, lines, said, signal};

#[test]
fn everything_is_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let output = binary().args(["demo", "--once", "--format", "json"]).env("TMPDIR", folder.path()).output();
    let shown = said(output.unwrap()).exits(0).json();
    assert_eq!(shown["as_expected"], json!(true));
    let requests = shown["requests"].as_array().unwrap();
    let verdicts = |system: &str| -> Vec<&str> {
        let of = requests.iter().filter(|request| request["system"] == system);
        of.map(|request| request["seen"]["verdict"].as_str().unwrap()).collect()
    };
    for verdict in ["delivered", "duplicate", "timestamp_stale", "signature_mismatch", "binding_mismatch"] {
        assert!(verdicts("Oktave").contains(&verdict), "{verdict}");
    }
    for verdict in ["delivered", "duplicate", "signature_mismatch", "address_not_allowed"] {
        assert!(verdicts("Dastra").contains(&verdict), "{verdict}");
    }
    for verdict in ["delivered", "signature_missing", "signature_mismatch", "method_not_allowed", "header_required"] {
        assert!(verdicts("Octolis").contains(&verdict), "{verdict}");
    }
    assert!(verdicts("Oktave into Octolis").contains(&"delivered"));
    for request in requests {
        let inside =
            request["seen"]["application"].as_u64().unwrap() + request["seen"]["octolis_endpoint"].as_u64().unwrap();
        let delivered = request["seen"]["verdict"] == "delivered";
        assert_eq!(inside, u64::from(delivered), "{request}");
        assert_eq!(request["byte_for_byte"], if delivered { json!(true) } else { json!(null) }, "{request}");
    }
    let outage = &shown["outage"];
    assert_eq!(outage["as_expected"], json!(true));
    assert_eq!(outage["steps"].as_array().unwrap().len(), 5);
    let kept = outage["requests"].as_array().unwrap();
    assert_eq!(kept.len(), 9);
    for request in kept {
        assert_eq!((&request["status"], &request["verdict"]), (&json!(200), &json!("accepted")), "{request}");
        assert_eq!((&request["arrived"], &request["byte_for_byte"]), (&json!(1), &json!(true)), "{request}");
    }
    assert!(is_empty(folder.path()), "the demo left something behind");
}

#[test]
fn text_for_people_has_no_escapes_when_piped() {
    let said = super::harness::relay(&["demo", "--once"]).exits(0);
    assert!(said.out.contains("All as expected") && said.out.contains("nothing was lost"), "{}", said.out);
    assert!(said.out.contains("an operator retries the dead letter"), "{}", said.out);
    assert!(!said.out.contains('\x1b') && !said.out.contains('✗'), "{}", said.out);
}

/// What is printed to be tried works, and Ctrl-C cleans up.
#[test]
fn it_serves_on_until_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        binary().arg("demo").env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = lines(child.stdout.take().unwrap());
    let patience = std::time::Duration::from_secs(60);
    let mut heard = String::new();
    let mut until = |what: &str| loop {
        let line = lines.recv_timeout(patience).unwrap_or_else(|_| panic!("no line with {what}"));
        heard.push_str(&line);
        if line.contains(what) {
            return line;
        }
    };
    let line = until("send dastra --config");
    let config = line.split_whitespace().last().unwrap().to_owned();
    until("What comes in from now on");
    let filters = ["events", "list", "--route", "dastra", "--outcome", "delivered", "--config", &config];
    let events = super::harness::relay(&filters).exits(0);
    assert_eq!(events.out.matches(" delivered ").count(), 5, "{}", events.out);
    super::harness::relay(&["send", "dastra", "--config", &config]).exits(0);
    let line = until("/hooks/dastra");
    assert!(line.contains("200") && line.contains("delivered"), "{line}");
    let status = super::harness::relay(&["status", "--config", &config]).exits(0);
    assert!(status.out.contains("is running"), "{}", status.out);
    for file in std::fs::read_dir(std::path::Path::new(&config).with_file_name("secrets")).unwrap() {
        let secret = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(secret.len() > 40 && !heard.contains(&secret), "a secret was printed");
    }
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(is_empty(folder.path()), "the demo left something behind");
}
