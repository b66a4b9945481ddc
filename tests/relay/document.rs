//! `docs/openapi.json` says what the admin listener does: every endpoint and no other, and every answer as it is.

use std::collections::BTreeSet;

use dmz_relay::control::admin::ENDPOINTS;
use serde_json::{Value, json};

use crate::harness::document::{document, problems};
use crate::harness::{Call, Protocol, Rig};

#[test]
fn every_endpoint_is_described_and_nothing_else() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        described.extend(operations.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    let known: BTreeSet<_> =
        ENDPOINTS.iter().map(|endpoint| (endpoint.method.as_str().to_owned(), endpoint.path.to_owned())).collect();
    assert_eq!(described, known);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let named = operation["parameters"].as_array().into_iter().flatten();
            let in_path = named.filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{path}");
            assert!(operation["summary"].is_string() && operation["operationId"].is_string(), "{path}");
        }
    }
}

/// A check that cannot fail would be none.
#[test]
fn a_member_that_nobody_described_is_found() {
    let document = document();
    let schema = json!({ "$ref": "#/components/schemas/Failure" });
    let good = json!({ "error": "x", "code": "busy" });
    assert_eq!(problems(&document, &schema, &good), [""; 0]);
    for bad in [
        json!({ "error": "x", "code": "busy", "more": 1 }),
        json!({ "error": "x", "code": "other" }),
        json!({ "code": "busy" }),
        json!({ "error": 1, "code": "busy" }),
    ] {
        assert_ne!(problems(&document, &schema, &bad), [""; 0], "{bad}");
    }
    let row = document["components"]["schemas"]["EventRow"]["properties"].as_object().unwrap();
    let mut event: serde_json::Map<_, _> = row.keys().map(|name| (name.clone(), Value::Null)).collect();
    event.insert("undescribed".into(), 1.into());
    let page = json!({ "events": [event], "next": null });
    let found = problems(&document, &json!({ "$ref": "#/components/schemas/EventPage" }), &page);
    assert!(found.iter().any(|problem| problem.contains("undescribed")), "{found:#?}");
}

/// Every schema forbids what it does not name.
#[test]
fn every_object_is_closed() {
    fn walk(at: &str, value: &Value, open: &mut Vec<String>) {
        if let Some(object) = value.as_object() {
            let closed = ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|key| object.get(*key) == Some(&Value::Bool(false)));
            if object.get("properties").is_some_and(Value::is_object) && !closed {
                open.push(at.to_owned());
            }
            object.iter().for_each(|(key, value)| walk(&format!("{at}/{key}"), value, open));
        }
        if let Some(array) = value.as_array() {
            array.iter().for_each(|value| walk(at, value, open));
        }
    }
    let mut open = Vec::new();
    walk("", &document()["components"]["schemas"], &mut open);
    // Closed wherever it is used, because an event in full has more.
    assert_eq!(open, ["/EventRow"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_answers_as_described() {
    let mut rig = Rig::plain().await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/v1/openapi.json", "/api/v1/status"] {
        assert_eq!(rig.fetch("GET", path).await.status, 200, "{path}");
    }
    let served = rig.fetch("GET", "/api/v1/openapi.json").await.json();
    assert_eq!(served, document());
    assert_eq!(rig.fetch("POST", "/api/v1/reload").await.json()["outcome"], "unchanged");
    rig.setup.rest.push_str("\n# changed\n");
    rig.rewrite_toml();
    let report = rig.fetch("POST", "/api/v1/reload").await;
    assert!(["applied", "unchanged"].contains(&report.json()["outcome"].as_str().unwrap()));
    rig.setup.rest.push_str("\noops = 1\n");
    rig.rewrite_toml();
    let report = rig.fetch("POST", "/api/v1/reload").await;
    assert_eq!((report.status, &report.json()["outcome"]), (422, &json!("kept")));
    assert_eq!(rig.fetch("GET", "/api/v1/status").await.status, 200);
    rig.finish().await;
}
