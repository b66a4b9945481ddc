//! `explain`: captures in every form, and what a running relay stored.

use std::fmt::Write;

use serde_json::{Value, json};

use super::harness::{Application, CANARY, Installation, Manner, Running, Said};

const BODY: &str = r#"{"zen":"é / <x>","n":[1,2.50]}"#;

/// HMAC-SHA256 with the secret of the installation's GitHub route, by another implementation than the relay's.
fn signed(installation: &Installation, body: &[u8]) -> String {
    let secret = installation.read("github");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.trim_end().as_bytes());
    format!("sha256={}", data_encoding::HEXLOWER.encode(aws_lc_rs::hmac::sign(&key, body).as_ref()))
}

fn raw(signature: &str, body: &str) -> String {
    format!(
        "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         X-Hub-Signature-256: {signature}\r\nX-GitHub-Delivery: d-1\r\n\r\n{body}"
    )
}

fn curl(signature: &str, body: &str) -> String {
    format!(
        "curl 'https://localhost:8443/hooks/github' \\\n  -H 'content-type: application/json' \\\n  \
         -H 'x-hub-signature-256: {signature}' \\\n  -H 'x-github-delivery: d-1' \\\n  --data-raw $'{}' \\\n  --compressed\n",
        body.replace('é', "\\u00e9").replace('\'', "\\'")
    )
}

fn har(signature: &str, body: &str) -> String {
    let request = json!({
        "method": "POST", "url": "https://localhost/hooks/github", "httpVersion": "http/1.1", "bodySize": body.len(),
        "headers": [
            { "name": "Content-Type", "value": "application/json" },
            { "name": "X-Hub-Signature-256", "value": signature },
            { "name": "X-GitHub-Delivery", "value": "d-1" }
        ],
        "postData": { "mimeType": "application/json", "text": body }
    });
    json!({ "log": { "entries": [{ "request": request }] } }).to_string()
}

fn explained(installation: &Installation, capture: &str, arguments: &[&str]) -> Said {
    installation.write("captured", capture);
    let path = installation.path("captured");
    installation.relay(&[&["explain", "--request", &path], arguments].concat())
}

fn step<'s>(explanation: &'s Value, check: &str) -> &'s Value {
    let steps = explanation["steps"].as_array().unwrap();
    steps.iter().find(|step| step["check"] == check).unwrap_or_else(|| panic!("no {check} in {explanation}"))
}

#[test]
fn a_capture_of_every_form_is_judged_alike() {
    let installation = Installation::new("http://127.0.0.1:9");
    let good = signed(&installation, BODY.as_bytes());
    for (capture, form) in
        [(raw(&good, BODY), "raw HTTP"), (curl(&good, BODY), "a curl command"), (har(&good, BODY), "an HTTP archive")]
    {
        let said = explained(&installation, &capture, &[]).exits(0);
        assert!(said.out.starts_with("would be taken by route github\n"), "{form}: {}", said.out);
        assert!(said.out.contains("✓ signature") && said.out.contains("key `file:github` matched"), "{}", said.out);
        assert!(said.out.contains(&format!("from {form}\n")), "{}", said.out);
        let said = explained(&installation, &capture, &["--format", "json"]).exits(0).json();
        assert_eq!(
            (&said["verdict"], &said["form"], &said["route"]),
            (&json!("taken"), &json!(form), &json!("github"))
        );
        // `verify` reads the same forms.
        let path = installation.path("captured");
        installation.relay(&["verify", "--route", "github", "--request", &path]).exits(0);
    }
}

#[test]
fn a_rewritten_body_is_diagnosed_and_nothing_secret_is_said() {
    let installation = Installation::new("http://127.0.0.1:9");
    let rewritten = r#"{"zen": "\u00e9 / <x>", "n": [1, 2.50]}"#;
    let good = signed(&installation, BODY.as_bytes());
    for capture in [raw(&good, rewritten), har(&good, rewritten)] {
        let said = explained(&installation, &capture, &[]).exits(1);
        assert!(said.out.starts_with("would be refused: signature_mismatch by route github\n"), "{}", said.out);
        assert!(said.out.contains("✗ signature"), "{}", said.out);
        assert!(
            said.out
                .contains("→ key `file:github` gives this signature for another body: the same JSON without blanks"),
            "{}",
            said.out
        );
        assert!(said.out.contains("(not reached)"), "{}", said.out);
        assert!(!said.out.contains(&good["sha256=".len()..][..16]), "{}", said.out);
    }
    let said = explained(&installation, &raw(&good, rewritten), &["--format", "json"]).exits(1).json();
    assert_eq!((&said["verdict"], &said["reason"]), (&json!("refused"), &json!("signature_mismatch")));
    assert_eq!(step(&said, "signature")["reached"], json!(true));
    assert_eq!(step(&said, "delivery")["reached"], json!(false));
}

#[test]
fn a_token_in_a_command_is_judged_and_not_shown() {
    let installation = Installation::new("http://127.0.0.1:9");
    let command = |key: &str, tenant: &str| {
        format!("curl -d '{{}}' -H 'X-Tenant: {tenant}' 'https://localhost/hooks/octolis?api-key={key}&a=1'")
    };
    let key = format!("{CANARY}-octolis-key");
    let said = explained(&installation, &command(&key, "north"), &[]).exits(0);
    assert!(said.out.contains("/hooks/octolis?a=1 to upstream `application`"), "{}", said.out);
    let said = explained(&installation, &command(&key, "south"), &[]).exits(1);
    assert!(said.out.contains("every line of X-Tenant must be one of: north"), "{}", said.out);
    // Of another route, and as nobody has it.
    let said = explained(&installation, &command(&format!("whsec_{CANARY}-stripe-secret"), "north"), &[]).exits(1);
    assert!(said.out.contains("the secret of route `stripe` (key `file:stripe`)"), "{}", said.out);
    explained(&installation, &command(&format!("{CANARY}-unknown"), "north"), &["--format", "json"]).exits(1);
    // An error quotes nothing of the command.
    explained(&installation, &format!("curl https://localhost/ {CANARY} $X"), &[]).exits(2);
    explained(&installation, &format!("curl https://localhost/ https://{CANARY}"), &[]).exits(2);
}

#[test]
fn addresses_times_and_entries_are_said_on_the_command_line() {
    let installation = Installation::new("http://127.0.0.1:9");
    let text =
        installation.read("relay.toml").replace("[routes.github]", "[routes.github]\nallow = [\"192.0.2.0/28\"]");
    installation.write("relay.toml", &text);
    let capture = raw(&signed(&installation, BODY.as_bytes()), BODY);
    let said = explained(&installation, &capture, &["--source", "192.0.2.3"]).exits(0);
    assert!(said.out.contains("192.0.2.3 is in 192.0.2.0/28"), "{}", said.out);
    let said = explained(&installation, &capture, &["--source", "192.0.2.16"]).exits(1);
    assert!(said.out.contains("the nearest entry is 192.0.2.0/28 with 192.0.2.0 to 192.0.2.15"), "{}", said.out);
    let said = explained(&installation, &capture, &[]).exits(0);
    assert!(said.out.contains("? address"), "{}", said.out);
    let mut two: Value = serde_json::from_str(&har("sha256=00", BODY)).unwrap();
    let other: Value = serde_json::from_str(
        &har(&signed(&installation, BODY.as_bytes()), BODY).replace("hooks/github", "hooks/github?b=2"),
    )
    .unwrap();
    two["log"]["entries"].as_array_mut().unwrap().push(other["log"]["entries"][0].clone());
    let said = explained(&installation, &two.to_string(), &[]).exits(2);
    assert!(
        said.err.contains("say --entry NUMBER") && said.err.contains("2: POST https://localhost/hooks/github"),
        "{}",
        said.err
    );
    for entry in ["2", "b=2"] {
        explained(&installation, &two.to_string(), &["--entry", entry]).exits(0);
    }
    explained(&installation, &two.to_string(), &["--entry", "1"]).exits(1);
    explained(&installation, &capture, &["--entry", "1"]).exits(2);
    let stripe = "POST /hooks/stripe HTTP/1.1\nHost: localhost\nStripe-Signature: t=1767225600,v1=00\n\n{}";
    let said = explained(&installation, stripe, &["--at", "2026-01-01T02:00:00Z"]).exits(1);
    assert!(
        said.out.contains("2 h before this moment") && said.out.contains("judged at 2026-01-01T02:00:00Z"),
        "{}",
        said.out
    );
    let said = explained(&installation, stripe, &["--at", "1767225600", "--format", "json"]).exits(1).json();
    assert_eq!(step(&said, "timestamp")["verdict"], json!("passed"));
}

#[test]
fn what_cannot_be_judged_is_no_refusal() {
    let installation = Installation::new("http://127.0.0.1:9");
    let good = signed(&installation, BODY.as_bytes());
    // Whoever asks may not read the route's secret, nor the listener's key.
    for name in ["github", "relay.key"] {
        std::fs::remove_file(installation.path(name)).unwrap();
    }
    let said = explained(&installation, &raw(&good, BODY), &[]).exits(2);
    assert!(said.out.starts_with("cannot be said: the proof cannot be judged by route github\n"), "{}", said.out);
    assert!(said.out.contains("? signature") && said.out.contains("`file:github` cannot be read"), "{}", said.out);
    assert!(said.out.contains("✓ delivery"), "{}", said.out);
    let wrong = raw(&good, BODY).replacen("POST", "PUT", 1);
    explained(&installation, &wrong, &[]).exits(1);
    for (capture, why) in [
        ("", "empty"),
        ("hello\n\n", "not an HTTP request"),
        ("curl 'https://localhost/", "line 1, column 6"),
        ("{\"a\":1}", "no HTTP archive"),
    ] {
        let said = explained(&installation, capture, &[]).exits(2);
        assert!(said.err.contains(why), "{why} in {}", said.err);
    }
    installation.relay(&["explain", "--request", "/nonexistent"]).exits(2);
    installation.relay(&["explain", "../status"]).exits(2);
}

/// An installation that keeps requests, with their bodies.
fn keeping(upstream: &str) -> Installation {
    let installation = Installation::new(upstream);
    let mut text = installation.read("relay.toml").replace("provider = ", "keep_body = true\nprovider = ");
    let _ = write!(text, "\n[store]\nsqlite = {{ path = \"{}\" }}\n", installation.path("relay.db"));
    installation.write("relay.toml", &text);
    installation
}

/// The explanation of a stored request, as soon as it is stored: rows of the history are written behind the answer.
fn stored(installation: &Installation, id: &str) -> Said {
    for _ in 0..200 {
        let said = installation.relay(&["explain", id]);
        if !said.err.contains("there is no event") {
            return said;
        }
    }
    panic!("{id} is not stored");
}

/// Sends one request and gives its id.
fn sent(installation: &Installation, arguments: &[&str]) -> String {
    let said = installation.relay(&[&["send"], arguments, &["--format", "json"]].concat());
    said.json()["answers"][0]["request_id"].as_str().unwrap_or_else(|| panic!("{}{}", said.out, said.err)).to_owned()
}

#[test]
fn what_a_running_relay_stored_is_explained_by_it() {
    let application = Application::start(Manner::Prompt);
    let installation = keeping(&application.url);
    let running = Running::start(&installation);
    let said = stored(&installation, &sent(&installation, &["github"])).exits(0);
    assert!(said.out.starts_with("delivered, answered 200, received "), "{}", said.out);
    assert!(said.out.contains("✓ signature") && said.out.contains("key `file:github` matched"), "{}", said.out);
    assert!(said.out.contains(&format!("afterwards\n  {} took it with 202", application.url)), "{}", said.out);
    let tampered = sent(&installation, &["github", "--tamper"]);
    let said = stored(&installation, &tampered).exits(1);
    assert!(said.out.starts_with("refused: signature_mismatch, answered 401"), "{}", said.out);
    assert!(said.out.contains("✗ signature") && said.out.contains("→ no secret of any route"), "{}", said.out);
    let told = installation.relay(&["explain", &tampered[..20], "--format", "json"]).exits(1).json();
    assert_eq!((&told["reason"], &told["then"]["route"]), (&json!("signature_mismatch"), &json!("github")));
    let said = stored(&installation, &sent(&installation, &["octolis"])).exits(0);
    assert!(said.out.contains("is not kept; key `file:octolis` matched"), "{}", said.out);
    let said = stored(&installation, &sent(&installation, &["github", "--path", "/hooks/githib"])).exits(1);
    assert!(said.out.contains("route_unknown") && said.out.contains("`github` (/hooks/github)"), "{}", said.out);
    let said = installation.relay(&["explain", "0123456789abcdef"]).exits(2);
    assert!(said.err.contains("there is no event 0123456789abcdef"), "{}", said.err);
    drop(running);
    let said = installation.relay(&["explain", &tampered]).exits(2);
    assert!(said.err.contains("cannot reach the relay"), "{}", said.err);
}

#[test]
fn a_request_that_waits_is_told_when_it_is_tried_next() {
    // Nobody listens there.
    let installation = keeping("http://127.0.0.1:9");
    let _running = Running::start(&installation);
    let said = stored(&installation, &sent(&installation, &["github"])).exits(0);
    assert!(said.out.starts_with("accepted, answered 200"), "{}", said.out);
    assert!(said.out.contains("attempt 1 at") && said.out.contains("while the sender waited"), "{}", said.out);
    assert!(said.out.contains("  it waits; "), "{}", said.out);
}

#[test]
fn without_a_store_there_is_nothing_to_explain() {
    let installation = Installation::new("http://127.0.0.1:9");
    let _running = Running::start(&installation);
    let said = installation.relay(&["explain", "0123456789abcdef"]).exits(2);
    assert!(said.err.contains("no store is configured"), "{}", said.err);
}
