//! Requests of the history.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::domain::{Fault, HistoryOutcome, Marks, Own};
use crate::store::{Attempt, AttemptKind, Entry, Event, Stage, Took};

/// A row of the history.
fn event(given: &Given, route: &str, outcome: &str, reason: &str) -> Event {
    Event {
        reason: reason.into(),
        via: "socket".into(),
        entry: Entry {
            request_id: "0192".into(),
            received_at: NOW,
            listener: "public".into(),
            route: Some(route.into()),
            provider: None,
            method: given.method,
            version: Version::Http11,
            head: Some(given.head()),
            marks: Marks::default(),
            held: None,
            suffix: 0,
            https: false,
            source: given.source.unwrap(),
            via: "",
            allowed_by: None,
            outcome: HistoryOutcome::parse(outcome),
            reason: "",
            status: 200,
            key: None,
            verified_by: None,
            dedupe: None,
            timestamp: None,
            body_bytes: given.body.len() as u64,
            body: Some(Bytes::from(given.body.clone())),
            upstream: None,
            server: None,
            upstream_status: None,
            attempts: 0,
            detail: None,
            took: Took::default(),
        },
        history: Vec::new(),
        stage: None,
        due: None,
        has_body: true,
    }
}

fn later(hours: i64) -> UnixMillis {
    UnixMillis(NOW.0 + hours * 3_600_000)
}

#[test]
fn a_stored_request_is_judged_then_and_today() {
    let snapshot = snapshot();
    let given = Given::signed(&snapshot, "oktave", &[("Content-Type", "application/json")]);
    let explained = explain_event(&snapshot, &event(&given, "oktave", "delivered", ""), later(24));
    discreet(&given, &serde_json::to_string(&explained).unwrap());
    let then = explained.then.unwrap();
    assert_eq!(then.sum(), Sum::Taken, "{then:#?}");
    says(&then, "dedupe", Verdict::Passed, "a copy is known as a duplicate for 3 h");
    let today = explained.today.unwrap();
    assert_eq!(today.refusal().unwrap().reason, "timestamp_stale");
    assert!(step(&today, "timestamp").hints[0].contains("clock that is 1 d behind"), "{today:#?}");
    assert!(explained.notes.is_empty(), "{:?}", explained.notes);
    let explained = explain_event(&snapshot, &event(&given, "oktave", "delivered", ""), NOW);
    assert!(explained.today.is_none());
    let duplicate = explain_event(&snapshot, &event(&given, "oktave", "duplicate", ""), NOW).then.unwrap();
    says(&duplicate, "dedupe", Verdict::Passed, "a duplicate of a request that was taken within 3 h");
}

#[test]
fn a_changed_configuration_is_noticed() {
    let snapshot = snapshot();
    let given = Given::github(&snapshot);
    let notes = |given: &Given, route: &str, outcome: &str, reason: &str| {
        explain_event(&snapshot, &event(given, route, outcome, reason), NOW).notes.join("\n")
    };
    assert!(notes(&given, "github", "refused", "signature_mismatch").contains("the running configuration takes it"));
    let bad = Given { body: b"{}".to_vec(), ..Given::github(&snapshot) };
    assert!(notes(&bad, "github", "delivered", "").contains("refuses it (signature_mismatch)"));
    assert!(notes(&bad, "github", "refused", "header_required").contains("refused as header_required when it came"));
    assert_eq!(notes(&bad, "github", "refused", "signature_mismatch"), "");
    assert!(notes(&given, "other", "delivered", "").contains("it came to route `other`"));
    assert!(notes(&given, "github", "failed", "upstream_timeout").contains("not by its sender's doing"));
    assert!(notes(&given, "github", "refused", "body_timeout").contains("cannot be judged again"));
    assert_eq!(notes(&given, "github", "delivered", ""), "");
    let mut headless = event(&given, "github", "refused", "head_malformed");
    headless.entry.head = None;
    let explained = explain_event(&snapshot, &headless, NOW);
    assert!(explained.then.is_none() && explained.notes[0].contains("never became a request"));
}

#[test]
fn a_token_that_was_not_kept_is_not_judged() {
    let snapshot = snapshot();
    let given = Given::signed(&snapshot, "octolis", &[("Content-Type", "application/json")]);
    assert!(given.target.contains(CANARY));
    let explanation = given.explained(&snapshot);
    says(&explanation, "signature", Verdict::Passed, "a static secret; key `env:TOKEN` matched");
    says(&explanation, "delivery", Verdict::Passed, "POST /hooks/octolis?a=1 to upstream");
    let mut stored = event(&given, "octolis", "delivered", "");
    stored.entry.head = snapshot.sensitive.keep(&given.head(), Some(&Own::default())).head;
    stored.entry.key = Some("env:TOKEN".into());
    let then = |stored: &Event| explain_event(&snapshot, stored, NOW).then.unwrap();
    says(&then(&stored), "signature", Verdict::Passed, "is not kept; key `env:TOKEN` matched");
    stored.entry.key = Some("env:GONE".into());
    says(
        &then(&stored),
        "signature",
        Verdict::Unknown,
        "key `env:GONE` matched, which the route does not have any more",
    );
    (stored.entry.key, stored.entry.outcome, stored.reason) =
        (None, HistoryOutcome::Refused, "signature_mismatch".into());
    let explanation = then(&stored);
    says(&explanation, "signature", Verdict::Refused, "is not kept; it was refused then");
    assert!(step(&explanation, "signature").hints.is_empty());
    stored.reason = "address_not_allowed".into();
    says(&then(&stored), "signature", Verdict::Unknown, "refused before anybody looked at it");
}

#[test]
fn without_a_body_what_can_be_judged_is() {
    let snapshot = snapshot();
    let without = |given: &Given, route: &str, outcome: &str, reason: &str, key: Option<&str>| {
        let mut event = event(given, route, outcome, reason);
        (event.entry.body, event.has_body, event.entry.key) = (None, false, key.map(Into::into));
        explain_event(&snapshot, &event, NOW)
    };
    let github = Given::github(&snapshot);
    let explained = without(&github, "github", "delivered", "", Some("env:NEW"));
    let then = explained.then.unwrap();
    says(&then, "body", Verdict::Unknown, "not kept");
    says(
        &then,
        "signature",
        Verdict::Unknown,
        "includes the body, which is not here; when it came, key `env:NEW` matched",
    );
    assert_eq!(then.sum(), Sum::Unknown);
    let explained = without(&github, "github", "refused", "signature_mismatch", None);
    says(
        explained.then.as_ref().unwrap(),
        "signature",
        Verdict::Unknown,
        "when it came, it was refused as signature_mismatch",
    );
    assert!(explained.notes[0].contains("cannot be judged again"), "{:?}", explained.notes);
    let bare = Given::github(&snapshot).without("X-Hub-Signature-256");
    let then = without(&bare, "github", "refused", "signature_missing", None).then.unwrap();
    assert_eq!(then.refusal().unwrap().reason, "signature_missing");
    // Oktave does not sign the body.
    let oktave = Given::signed(&snapshot, "oktave", &[]);
    let then = without(&oktave, "oktave", "delivered", "", Some("env:NEW")).then.unwrap();
    says(&then, "signature", Verdict::Passed, "key `env:NEW` matched");
    says(&then, "binding", Verdict::Unknown, "the body is not here");
}

#[test]
fn what_came_afterwards_is_told_in_order() {
    let snapshot = snapshot();
    let given = Given::github(&snapshot);
    let attempt = |number, kind, fault: Option<Fault>| Attempt {
        number,
        at: NOW,
        kind,
        server: Some("http://127.0.0.1:9".into()),
        status: Some(if fault.is_some() { 503 } else { 200 }),
        fault,
        detail: None,
        took: Duration::from_millis(12),
    };
    let mut event = event(&given, "github", "accepted", "");
    let lines = |event: &Event| explain_event(&snapshot, event, NOW).afterwards;
    event.history.push(attempt(1, AttemptKind::Direct, Some(Fault::UpstreamStatus)));
    (event.stage, event.due) = (Some(Stage::Waiting), Some(later(1)));
    assert_eq!(
        lines(&event),
        [
            "attempt 1 at 2026-01-01T00:00:00.000Z, while the sender waited: http://127.0.0.1:9 answered 503 (upstream_status), after 12 ms",
            "it waits; the next attempt is due at 2026-01-01T01:00:00.000Z",
        ]
    );
    (event.stage, event.due) = (Some(Stage::Dead), None);
    assert!(lines(&event)[1].contains("dead letter") && lines(&event)[1].contains("events retry 0192"));
    (event.stage, event.entry.outcome) = (None, HistoryOutcome::Discarded);
    assert_eq!(lines(&event)[1], "an operator discarded it");
    event.entry.outcome = HistoryOutcome::Delivered;
    event.history.push(attempt(2, AttemptKind::Spooled, None));
    assert!(
        lines(&event)[1].contains("attempt 2")
            && lines(&event)[1].contains("from the store: http://127.0.0.1:9 took it with 200")
    );
    assert_eq!(lines(&event).len(), 2);
    event.history.push(attempt(3, AttemptKind::Redelivery, None));
    assert!(lines(&event)[2].contains("asked for by an operator"));
}
