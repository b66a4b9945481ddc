//! Requests as providers sign them, judged by a real configuration.

mod lists;
mod near;
mod stored;

use super::*;
use crate::config::{self, Environment};
use crate::domain::{Framing, Method, Version};
use crate::runtime::snapshot::Verification;
use crate::runtime::state::State;
use crate::scheme::{SignDraft, Verifier};

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
        assert!(!said.contains(value.get(value.len() - 16..).unwrap()), "{name} is shown: {said}");
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
        ("signed challenge", "no challenge"),
        ("delivery", "POST /in?a=1&api-key=*** to upstream `crm` (http://127.0.0.1:9, http://127.0.0.1:10); direct"),
    ] {
        says(&explanation, check, Verdict::Passed, words);
    }
    says(&explanation, "route limits", Verdict::Unknown, "5 per second for the route, 10 at once; 3 in flight");
    says(&explanation, "dedupe", Verdict::Unknown, "is taken once in 4 d");
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
            "there is no header X-Hub-Signature-256",
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
fn a_challenge_ends_here() {
    let snapshot = snapshot();
    let explanation = Given::github(&snapshot).with("X-GitHub-Event", "ping").explained(&snapshot);
    says(&explanation, "signed challenge", Verdict::Passed, "answered here with 200, nothing is forwarded");
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

/// The names are those of the page that explains them.
#[test]
fn steps_are_named_as_documented() {
    let page = include_str!("../../../docs/request.md");
    let rows = page.split("\n## Steps\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let named: Vec<&str> = rows.lines().filter_map(|row| row.split(" | ").nth(1)).collect();
    let snapshot = snapshot();
    let explanation = Given::github(&snapshot).explained(&snapshot);
    for step in &explanation.steps {
        assert!(named.contains(&&*step.step), "{} is no step of docs/request.md", step.step);
    }
    let mut order: Vec<usize> =
        explanation.steps.iter().map(|step| named.iter().position(|name| *name == step.step).unwrap()).collect();
    // Signed challenges are answered behind verification.
    order.retain(|place| named[*place] != "challenge");
    assert!(order.is_sorted(), "{order:?}");
}
