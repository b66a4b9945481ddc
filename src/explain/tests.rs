//! Requests as providers sign them, judged by a real configuration.

mod lists;

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::{self, Environment};
use crate::domain::{Fault, Framing, Marks, Method, Own, Version};
use crate::signature::{SignDraft, Verifier};
use crate::snapshot::Verification;
use crate::state::State;
use crate::store::{Attempt, AttemptKind, Entry, Event, Stage, Took};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
const ID: &str = "6f6c1a52-2f0b-4a52-8f5a-3d2f4c5b6a79";
const CANARY: &str = "canary7c1f9e";

const CONFIG: &str = r#"
[[listeners]]
name = "public"
address = "127.0.0.1:0"
dangerously_plaintext = true

[address_lists]
office = ["192.0.2.0/24", "2001:db8::/32"]

[upstreams.crm]
servers = ["http://127.0.0.1:9", "http://127.0.0.1:10"]

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ env = "NEW" }, { env = "OLD" }]
allow = ["office", "198.51.100.7"]
headers = { "X-Tenant" = ["north", "south"], "X-Any" = true }
max_body = "100B"
rate = { per_second = 5, burst = 10 }
max_in_flight = 3
upstream = "crm"
upstream_path = "/in"
upstream_query = { "api-key" = { env = "INWARD" } }

[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "NEW" }]
upstream = "crm"

[routes.octolis]
path = "/hooks/octolis"
provider = "octolis"
secrets = [{ env = "TOKEN" }]
upstream = "crm"

[routes.open]
path = "/open/*"
host = "a.example"
verify.dangerously_none = true
upstream = "crm"
"#;

fn environment() -> Environment {
    let secret = |name: &str| (name.to_owned(), format!("{CANARY}-{name}-0123456789").into_bytes());
    Environment::new(["NEW", "OLD", "INWARD", "TOKEN"].map(secret), None)
}

fn load(environment: &Environment, text: &str) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("relay.toml");
    std::fs::write(&file, text).unwrap();
    config::load(&file, environment, &State::default(), NOW).unwrap_or_else(|report| panic!("{report}")).snapshot
}

fn snapshot() -> Snapshot {
    load(&environment(), CONFIG)
}

fn verifier<'s>(snapshot: &'s Snapshot, route: &str) -> &'s Verifier {
    let route = snapshot.routes.iter().find(|known| &*known.name == route).unwrap();
    match &route.verify {
        Verification::Signed(verifier) => verifier,
        Verification::DangerouslyNone => panic!("{} verifies nothing", route.name),
    }
}

/// A request, and what is known of where it came from.
struct Given {
    method: Method,
    target: String,
    host: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    source: Option<IpAddr>,
}

impl Given {
    fn signed(snapshot: &Snapshot, route: &str, extra: &[(&str, &str)]) -> Self {
        let own = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        let headers: Vec<(String, String)> = extra.iter().map(own).collect();
        let target = format!("/hooks/{route}?a=1");
        let draft =
            SignDraft { method: Method::Post, path_query: &target, headers: &headers, body: b"{\"a\":1}", id: ID };
        let signed = verifier(snapshot, route).sign(&draft, NOW).unwrap();
        Self {
            method: Method::Post,
            target: signed.target(&target),
            host: "relay.example".to_owned(),
            headers: [headers, signed.headers].concat(),
            body: signed.body,
            source: Some([192, 0, 2, 9].into()),
        }
    }

    fn github(snapshot: &Snapshot) -> Self {
        let own =
            [("Content-Type", "application/json"), ("X-Tenant", "north"), ("X-Any", "x"), ("X-GitHub-Delivery", "d1")];
        Self::signed(snapshot, "github", &own)
    }

    fn head(&self) -> Head {
        let mut head = Head::builder(self.method, Version::Http11)
            .target(&self.target)
            .host(&self.host)
            .framing(Framing::Length(self.body.len() as u64));
        for (name, value) in &self.headers {
            head = head.header(name, value);
        }
        head.build()
    }

    fn explained(&self, snapshot: &Snapshot) -> Explanation {
        let head = self.head();
        let subject = Subject {
            head: &head,
            body: Some(&self.body),
            source: self.source,
            at: NOW,
            listener: None,
            recorded: None,
        };
        let explanation = explain(snapshot, &subject);
        discreet(self, &serde_json::to_string(&explanation).unwrap());
        explanation
    }

    fn without(mut self, header: &str) -> Self {
        self.headers.retain(|(name, _)| name != header);
        self
    }

    fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.push((header.to_owned(), value.to_owned()));
        self
    }
}

/// No secret, no signature.
#[track_caller]
fn discreet(given: &Given, said: &str) {
    assert!(!said.contains(CANARY), "{said}");
    for (name, value) in given.headers.iter().filter(|(name, _)| name.to_lowercase().contains("signature")) {
        assert!(!said.contains(value.get(value.len() - 16..).unwrap()), "{name} is told: {said}");
    }
}

#[track_caller]
fn step<'e>(explanation: &'e Explanation, check: &str) -> &'e Step {
    explanation
        .steps
        .iter()
        .find(|step| step.check == check)
        .unwrap_or_else(|| panic!("no {check} in {explanation:#?}"))
}

/// What each check says, for those that are named.
#[track_caller]
fn says(explanation: &Explanation, check: &str, verdict: Verdict, words: &str) {
    let step = step(explanation, check);
    assert!(step.verdict == verdict && step.because.contains(words), "{check}: {step:#?}");
}

#[test]
fn a_good_request_is_told_what_let_it_in() {
    let snapshot = snapshot();
    let explanation = Given::github(&snapshot).explained(&snapshot);
    assert_eq!((explanation.sum(), explanation.route.as_deref()), (Sum::Taken, Some("github")));
    for (check, words) in [
        ("host and path", "`github`: exactly /hooks/github, of every host"),
        ("method", "POST; the route takes POST"),
        ("address", "192.0.2.9 is in office"),
        ("headers", "X-Any is there"),
        ("content type", "application/json; the route takes application/json"),
        ("size", "7 bytes declared, at most 100 taken"),
        ("body", "7 bytes"),
        ("signature", "HMAC-sha256 over {body}; key `env:NEW` matched, the current one of 2"),
        ("id", "dedupe memory knows it as s:"),
        ("signed challenge", "no handshake"),
        ("delivery", "POST /in?a=1&api-key=*** to upstream `crm` (http://127.0.0.1:9, http://127.0.0.1:10); direct"),
    ] {
        says(&explanation, check, Verdict::Passed, words);
    }
    says(&explanation, "route limits", Verdict::Unknown, "5 per second for the route, 10 at once; 3 in flight");
    says(&explanation, "replay", Verdict::Unknown, "is taken once in 4 d");
    says(&explanation, "timestamp", Verdict::Skipped, "no time");
    assert!(explanation.steps.iter().any(|step| step.because == "X-Tenant is one of: north, south"));
    assert!(explanation.steps.iter().all(|step| step.reached && step.hints.is_empty()));
}

#[test]
fn an_old_key_is_said_to_rotate_out() {
    let snapshot = snapshot();
    let turned = load(
        &environment(),
        &CONFIG.replace("{ env = \"NEW\" }, { env = \"OLD\" }", "{ env = \"OLD\" }, { env = \"NEW\" }"),
    );
    let explanation = Given::github(&turned).explained(&snapshot);
    says(
        &explanation,
        "signature",
        Verdict::Passed,
        "key `env:OLD` matched, number 2 of 2: it is rotating out, `env:NEW` is the current one",
    );
}

#[test]
fn each_step_refuses_by_its_own_code_and_later_ones_are_judged() {
    let snapshot = snapshot();
    let given = || Given::github(&snapshot);
    let far: IpAddr = [192, 0, 3, 1].into();
    let big = Given { body: vec![b'x'; 101], ..given() };
    for (given, check, code, words) in [
        (Given { method: Method::Put, ..given() }, "method", "method_not_allowed", "PUT; the route takes POST"),
        (
            Given { source: Some(far), ..given() },
            "address",
            "address_not_allowed",
            "192.0.3.1 is in none of: office, 198.51.100.7",
        ),
        (given().without("X-Tenant"), "headers", "header_required", "there is no X-Tenant; allowed: north, south"),
        (
            given().with("X-Tenant", "west"),
            "headers",
            "header_required",
            "every line of X-Tenant must be one of: north, south",
        ),
        (given().without("Content-Type"), "content type", "content_type_unsupported", "there is no Content-Type"),
        (given().with("Content-Type", "text/plain"), "content type", "content_type_unsupported", "it is there 2 times"),
        (big, "size", "body_too_large", "101 bytes declared, at most 100 taken"),
        (
            given().without("X-Hub-Signature-256"),
            "signature",
            "signature_missing",
            "there is no header:X-Hub-Signature-256",
        ),
    ] {
        let explanation = given.explained(&snapshot);
        let refusal = explanation.refusal().unwrap();
        assert_eq!((&*refusal.check, &*refusal.reason), (check, code));
        assert!(refusal.because.contains(words), "{}", refusal.because);
        assert_eq!(explanation.sum(), Sum::Refused);
        let at = explanation.steps.iter().position(|step| step.verdict == Verdict::Refused).unwrap();
        assert!(explanation.steps[..=at].iter().all(|step| step.reached), "{check}");
        assert!(explanation.steps[at + 1..].iter().all(|step| !step.reached), "{check}");
        assert_eq!(explanation.steps.last().unwrap().check, "fields");
    }
    let explanation = Given { source: Some(far), ..given() }.explained(&snapshot);
    assert_eq!(step(&explanation, "address").hints, ["the nearest entry is office with 192.0.2.0 to 192.0.2.255"]);
    says(&explanation, "signature", Verdict::Passed, "matched");
    let explanation = Given { source: None, ..given() }.explained(&snapshot);
    says(&explanation, "address", Verdict::Unknown, "is not known; the route asks: office, 198.51.100.7");
    assert_eq!(explanation.sum(), Sum::Taken);
}

#[test]
fn a_mismatch_comes_with_its_diagnosis() {
    let snapshot = snapshot();
    let explanation = Given { body: b"{\"a\":1}\n".to_vec(), ..Given::github(&snapshot) }.explained(&snapshot);
    let signature = step(&explanation, "signature");
    assert_eq!(signature.reason, "signature_mismatch");
    assert!(
        signature.because.contains("none of the route's keys gives it: `env:NEW`, `env:OLD`"),
        "{}",
        signature.because
    );
    assert!(signature.hints[0].contains("without the line end behind it"), "{:?}", signature.hints);
    // Oktave's route has the same secret, so a request for one can be signed with the other's.
    let stray = load(&environment(), &CONFIG.replace("[{ env = \"NEW\" }]", "[{ env = \"OLD\" }]"));
    let github = Given::github(&snapshot);
    let narrow = CONFIG.replace("[{ env = \"NEW\" }, { env = \"OLD\" }]", "[{ env = \"OLD\" }]");
    let explanation = github.explained(&load(&environment(), &narrow));
    assert!(step(&explanation, "signature").hints[0].contains("secret of route `oktave` (key `env:NEW`)"));
    assert!(Given::github(&stray).explained(&stray).refusal().is_none());
}

#[test]
fn a_path_that_nobody_has_is_told_its_neighbours() {
    let snapshot = snapshot();
    let near = |target: &str, host: &str| {
        let given = Given { target: target.to_owned(), host: host.to_owned(), ..Given::github(&snapshot) };
        let explanation = given.explained(&snapshot);
        assert_eq!((explanation.steps.len(), explanation.route.as_ref()), (1, None), "{target}");
        let step = &explanation.steps[0];
        (step.reason.to_string(), step.hints.join("\n"))
    };
    for (target, host, hint) in [
        ("/hooks/githib?k=1", "h", "the nearest routes: `github` (/hooks/github)"),
        ("/hooks/github/", "h", "route `github` differs by the slash at the end: /hooks/github"),
        ("/Hooks/GitHub", "h", "route `github` differs by upper and lower case"),
        ("/open", "a.example", "route `open` takes what is below /open/, not /open itself"),
        ("/open/x", "b.example", "route `open` has this path, for host a.example only"),
    ] {
        let (reason, hints) = near(target, host);
        assert!(reason == "route_unknown" && hints.contains(hint), "{target}: {reason}, {hints}");
    }
    let given = Given { target: "/open/x/y".to_owned(), host: "a.example:443".to_owned(), ..Given::github(&snapshot) };
    let explanation = given.explained(&snapshot);
    says(
        &explanation,
        "host and path",
        Verdict::Passed,
        "`open`: the prefix /open/*, with /x/y behind it, of host a.example",
    );
    says(&explanation, "signature", Verdict::Skipped, "verifies nothing");
    assert_eq!(
        Given { method: Method::Other, ..Given::github(&snapshot) }.explained(&snapshot).refusal().unwrap().reason,
        "method_not_allowed"
    );
}

#[test]
fn a_handshake_ends_here() {
    let snapshot = snapshot();
    let explanation = Given::github(&snapshot).with("X-GitHub-Event", "ping").explained(&snapshot);
    says(&explanation, "signed challenge", Verdict::Passed, "answered here with 200, nothing goes inward");
    assert!(!step(&explanation, "delivery").reached && step(&explanation, "signature").reached);
    assert_eq!(explanation.sum(), Sum::Taken);
}

#[test]
fn secrets_that_are_out_of_reach_leave_the_rest() {
    let full = snapshot();
    let new = ("NEW".to_owned(), format!("{CANARY}-NEW-0123456789").into_bytes());
    let partial = load(&Environment::new([new], None).with_gaps(), CONFIG);
    says(&Given::github(&full).explained(&partial), "signature", Verdict::Passed, "key `env:NEW` matched");
    let blind = load(&Environment::default().with_gaps(), CONFIG);
    let explanation = Given::github(&full).explained(&blind);
    says(
        &explanation,
        "signature",
        Verdict::Unknown,
        "no secret that can be read here gives it; `env:NEW`, `env:OLD` cannot be read",
    );
    says(&explanation, "delivery", Verdict::Passed, "api-key=***");
    assert_eq!(explanation.sum(), Sum::Unknown);
    let explanation = Given { source: Some([10, 0, 0, 1].into()), ..Given::github(&full) }.explained(&blind);
    assert_eq!(explanation.sum(), Sum::Refused);
    let Verification::Signed(verifier) = &blind.routes.iter().next().unwrap().verify else { panic!() };
    let given = Given::github(&full);
    assert!(verifier.verify(&given.head(), &given.body, NOW).is_err(), "a missing secret proves nothing");
}

/// A row of the history.
fn event(given: &Given, route: &str, outcome: &str, reason: &str) -> Event {
    Event {
        outcome: outcome.into(),
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
            outcome: "",
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
    says(&then, "replay", Verdict::Passed, "a copy is known as a duplicate for 3 h");
    let today = explained.today.unwrap();
    assert_eq!(today.refusal().unwrap().reason, "timestamp_stale");
    assert!(step(&today, "timestamp").hints[0].contains("the sender's clock is 1 d behind"), "{today:#?}");
    assert!(explained.notes.is_empty(), "{:?}", explained.notes);
    let explained = explain_event(&snapshot, &event(&given, "oktave", "delivered", ""), NOW);
    assert!(explained.today.is_none());
    let duplicate = explain_event(&snapshot, &event(&given, "oktave", "duplicate", ""), NOW).then.unwrap();
    says(&duplicate, "replay", Verdict::Passed, "a duplicate of a request that was taken within 3 h");
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
    (stored.entry.key, stored.outcome, stored.reason) = (None, "refused".into(), "signature_mismatch".into());
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
    event.stage = None;
    assert_eq!(lines(&event)[1], "it was given up by hand");
    event.history.push(attempt(2, AttemptKind::Spooled, None));
    assert!(
        lines(&event)[1].contains("attempt 2")
            && lines(&event)[1].contains("from the store: http://127.0.0.1:9 took it with 200")
    );
    assert_eq!(lines(&event).len(), 2);
    event.history.push(attempt(3, AttemptKind::Replay, None));
    assert!(lines(&event)[2].contains("asked for by an operator"));
}

/// The names are those of the page that explains them.
#[test]
fn steps_are_named_as_documented() {
    let page = include_str!("../../docs/request.md");
    let rows = page.split("\n## Steps\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: Vec<&str> = rows.lines().filter_map(|row| row.split(" | ").nth(1)).collect();
    let snapshot = snapshot();
    let explanation = Given::github(&snapshot).explained(&snapshot);
    for step in &explanation.steps {
        assert!(named.contains(&&*step.step), "{} is no step of docs/request.md", step.step);
    }
    let mut order: Vec<usize> =
        explanation.steps.iter().map(|step| named.iter().position(|name| *name == step.step).unwrap()).collect();
    // Signed handshakes are answered behind verification.
    order.retain(|place| named[*place] != "challenge");
    assert!(order.is_sorted(), "{order:?}");
}
