//! What a route is going to ask for, judged beside what it asks for now.

use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::{Call, Protocol, Rig, Setup, base64_hmac};

fn route(keys: &str) -> String {
    format!("[routes.dastra]\npath = \"/hooks/dastra\"\nupstream = \"app\"\n{keys}\n")
}

const TODAY: &str = "provider = \"dastra\"\nsecrets = [{ file = \"secrets/today\" }]";
const NEXT: &str = "secrets = [{ file = \"secrets/next\" }]";

async fn observing(keys: &str) -> Rig {
    let setup = Setup::routes(&route(keys)).file("secrets/today", "the secret of today");
    Rig::start(setup.file("secrets/next", "the secret of tomorrow")).await
}

fn signed(secret: &str, body: &str) -> Call {
    Call::post("/hooks/dastra")
        .field("Content-Type", "application/json")
        .field("Dastra-Signature", &base64_hmac(secret, body))
        .body(body)
}

fn counted(rig: &Rig, reason: &str, outcome: &str) -> f64 {
    let labels = [("route", "dastra"), ("reason", reason), ("outcome", outcome)];
    rig.metric("dmz_relay_requests_observed_total", &labels)
}

/// Delivered, and logged with what would have refused it.
async fn would(rig: &Rig, call: &Call, reason: Option<&str>) {
    let answer = rig.delivers(Protocol::H1, call).await;
    let line = rig.log.of(answer.id()).await;
    assert_eq!(line["would_refuse"], reason.map_or(Value::Null, Value::from), "{line}");
    assert_eq!(line["level"], if reason.is_some() { "warn" } else { "info" }, "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_tried_before_it_is_in_force() {
    let mut rig = observing(&format!("{TODAY}\nobserve.{NEXT}")).await;
    would(&rig, &signed("the secret of today", "{\"n\":1}"), Some("signature_mismatch")).await;
    assert_eq!(counted(&rig, "signature_mismatch", "delivered"), 1.0);
    // It proves nothing.
    let call = signed("the secret of tomorrow", "{\"n\":2}");
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &call)).await;
    let status = rig.fetch("GET", "/api/v1/status").await.json();
    let told = &status["routes"][0];
    assert_eq!((&told["observes"], &told["counts"]["would_refuse_genuine"]), (&true.into(), &1.into()));
    assert!(status["warnings"].to_string().contains("routes.dastra.observe"), "{status}");
    assert_eq!(rig.metric("dmz_relay_routes_observed", &[]), 1.0);
    // A copy is judged too, and is still a copy.
    let again = rig.send(Protocol::H1, &signed("the secret of today", "{\"n\":1}")).await;
    let line = rig.log.of(again.id()).await;
    assert_eq!((&line["outcome"], &line["would_refuse"]), (&"duplicate".into(), &"signature_mismatch".into()));
    // In force, what was counted is refused.
    rig.apply(|setup| setup.rest = route(&format!("provider = \"dastra\"\n{NEXT}"))).await;
    let call = signed("the secret of today", "{\"n\":3}");
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &call)).await;
    would(&rig, &signed("the secret of tomorrow", "{\"n\":4}"), None).await;
    assert_eq!(rig.metric("dmz_relay_routes_observed", &[]), 0.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheme_is_tried_on_a_route_that_verifies_nothing() {
    let rig = observing(
        "verify.dangerously_none = true\nobserve = { provider = \"dastra\", secrets = [{ file = \"secrets/next\" }] }",
    )
    .await;
    would(&rig, &signed("the secret of tomorrow", "{\"n\":1}"), None).await;
    would(&rig, &signed("the secret of today", "{\"n\":2}"), Some("signature_mismatch")).await;
    would(&rig, &Call::post("/hooks/dastra").body("{\"n\":3}"), Some("signature_missing")).await;
    // A large body is hashed apart from everything else here too.
    let large = format!("\"{}\"", "x".repeat(200_000));
    would(&rig, &signed("the secret of tomorrow", &large), None).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_tried_before_it_is_required() {
    let rig = observing(&format!("{TODAY}\nobserve.headers = {{ \"X-Tenant\" = [\"a\"] }}")).await;
    let call = |body| signed("the secret of today", body);
    would(&rig, &call("{\"n\":1}").field("X-Tenant", "a"), None).await;
    would(&rig, &call("{\"n\":2}").field("X-Tenant", "b"), Some("header_required")).await;
    would(&rig, &call("{\"n\":3}"), Some("header_required")).await;
    rig.finish().await;
}

/// Whatever a scheme reads as a secret is one, also while it is only observed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observed_token_is_neither_logged_nor_kept() {
    let keys = "verify.dangerously_none = true\nkeep_body = true\n\
                observe = { verify = { token = { query = \"key\" } }, secrets = [{ file = \"secrets/next\" }] }";
    let setup = Setup::stored(&route(keys)).file("secrets/next", "token-of-tomorrow");
    let rig = Rig::start(setup).await;
    let mut call = Call::post("/hooks/dastra?key=token-of-tomorrow");
    would(&rig, &call, None).await;
    call = Call::post("/hooks/dastra?key=token-of-yesterday");
    would(&rig, &call, Some("signature_mismatch")).await;
    let listed = rig.fetch("GET", "/api/v1/events").await;
    for token in ["token-of-tomorrow", "token-of-yesterday"] {
        assert!(!rig.log.text().contains(token));
        assert!(!String::from_utf8_lossy(&listed.body).contains(token));
    }
    rig.finish().await;
}
