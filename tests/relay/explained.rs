//! Explanations of what really came: by the relay that judged it, over its admin listener.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Call, NOW, Oktave, Protocol, Rig, Setup, eventually};

const SECRET: &str = "oktave-canary-secret";
const KEY: &str = "octolis-canary-key";

const ROUTES: &str = r#"
[store]
sqlite = { path = "relay.db" }
disk_reserve = "0B"

[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/oktave" }]
headers = { "X-Tenant" = ["north"] }
max_body = "1KiB"
upstream = "app"
delivery = "direct"
keep_body = true

[routes.octolis]
path = "/hooks/octolis"
provider = "octolis"
secrets = [{ file = "secrets/octolis" }]
upstream = "app"
delivery = "direct"
"#;

async fn rig() -> Rig {
    Rig::start(Setup::routes(ROUTES).file("secrets/oktave", SECRET).file("secrets/octolis", KEY)).await
}

/// Sends it and gives the explanation, once there is a row; `fetch` holds it against the API's document.
async fn explained(rig: &Rig, call: &Call) -> Value {
    let id = rig.send(Protocol::H1, call).await.id().to_owned();
    let path = format!("/api/v1/events/{id}/explain");
    eventually("the row", async || rig.fetch("GET", &path).await.status == 200).await;
    let explanation = rig.fetch("GET", &path).await.json();
    let said = explanation.to_string();
    assert!(!said.contains("canary"), "{said}");
    explanation
}

fn refusal(judged: &Value) -> Value {
    let steps = judged["steps"].as_array().unwrap();
    steps.iter().find(|step| step["verdict"] == "refused").map_or(Value::Null, |step| step["reason"].clone())
}

/// Whatever the gate said of a request, its explanation says of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_explanation_agrees_with_what_was_recorded() {
    let rig = rig().await;
    let event = |number| Oktave::event(SECRET, number).at(NOW).call("/hooks/oktave").field("X-Tenant", "north");
    let octolis = |query: &str| Call::post(&format!("/hooks/octolis{query}"));
    for (call, outcome, reason) in [
        (event(1), "delivered", Value::Null),
        (event(2).set("X-Tenant", "south"), "refused", json!("header_required")),
        (event(3).set("Oktave-Signature", &"0".repeat(64)), "refused", json!("signature_mismatch")),
        (event(4).set("Oktave-Signature", "short"), "refused", json!("signature_malformed")),
        (event(5).set("Oktave-Timestamp", "1"), "refused", json!("timestamp_stale")),
        (event(6).set("Oktave-Event-Id", "no-uuid"), "refused", json!("shape_invalid")),
        (event(7).body(r#"{"event_id":"another"}"#), "refused", json!("binding_mismatch")),
        (event(8).body("x".repeat(1025)), "refused", json!("body_too_large")),
        (octolis(&format!("?api-key={KEY}")), "delivered", Value::Null),
        (octolis("?api-key=wrong"), "refused", json!("signature_mismatch")),
        (octolis(""), "refused", json!("signature_missing")),
        (Call::post("/hooks/oktav"), "refused", json!("route_unknown")),
    ] {
        let explanation = explained(&rig, &call).await;
        let recorded = (&explanation["outcome"], &explanation["reason"]);
        assert_eq!(recorded, (&json!(outcome), &reason), "{explanation:#}");
        assert_eq!(refusal(&explanation["then"]), reason, "{explanation:#}");
        assert_eq!((&explanation["notes"], &explanation["today"]), (&json!([]), &Value::Null), "{explanation:#}");
    }
    // Of a copy only the fact is kept, and which request it is a copy of.
    let copy = explained(&rig, &event(1)).await;
    assert_eq!((&copy["outcome"], &copy["then"]), (&json!("duplicate"), &Value::Null), "{copy:#}");
    let note = copy["notes"][0].as_str().unwrap();
    assert!(
        note.contains("copy of a request that was taken before (h:0191e2a4-7b1c-7c3e-9f00-000000000001)"),
        "{note}"
    );
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_goes_on_and_secrets_change() {
    let rig = rig().await;
    let call = Oktave::event(SECRET, 1).at(NOW).call("/hooks/oktave").field("X-Tenant", "north");
    let id = explained(&rig, &call).await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/events/{id}/explain");
    rig.clock.advance(Duration::from_secs(3 * 3600));
    let later = rig.fetch("GET", &path).await.json();
    assert_eq!((refusal(&later["then"]), refusal(&later["today"])), (Value::Null, json!("timestamp_stale")));
    rig.replace("secrets/oktave", "another-canary-secret");
    let _ = rig.reload().await;
    let changed = rig.fetch("GET", &path).await.json();
    assert_eq!(refusal(&changed["then"]), "signature_mismatch");
    assert!(changed["notes"][0].as_str().unwrap().contains("a secret was changed since"), "{changed:#}");
    assert_eq!(rig.fetch("GET", "/api/v1/events/0123abcd/explain").await.status, 404);
    rig.finish().await;
}
