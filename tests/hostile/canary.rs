//! 103, with a history: whatever the relay can be asked for afterwards, and what lies on its disk.
//!
//! Without one, `proofs.rs` and `tests/relay/three_systems.rs` search log, metrics, answers, status and `Debug`;
//! `tests/config/canary.rs` the reports about bad configurations; `tests/cli` every output of every command.

use serde_json::Value;

use crate::harness::{BOTH, Call, Oktave, Rig, Setup, base64_hmac, hex_hmac};

const MAC_SECRET: &str = "canary-of-a-secret";
const TOKEN: &str = "canary-of-a-token";
const SEALING: &str = "canary-of-a-key-for-the-store-32";

/// Delivered, kept because the inside is down, refused, failed; with the body in the store only where it must be.
const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/mac" }]
upstream = "app"
delivery = "direct"

[routes.queue]
path = "/hooks/queue"
provider = "dastra"
secrets = [{ file = "secrets/mac" }]
upstream = "nowhere"
delivery = "queue"

[routes.token]
path = "/hooks/token"
verify.token = { query = "api-key" }
secrets = [{ file = "secrets/token" }]
upstream = "app"
delivery = "direct"

[routes.bearer]
path = "/hooks/bearer"
verify.token = { bearer = true }
secrets = [{ file = "secrets/token" }]
upstream = "nowhere"
delivery = "queue"

[upstreams.nowhere]
servers = ["http://127.0.0.1:9"]
"#;

fn calls() -> Vec<Call> {
    let body = r#"{"event":"canary-of-a-body"}"#;
    let event = Oktave::event(MAC_SECRET, 1).call("/hooks/oktave");
    let queue = Call::post("/hooks/queue").body(body).field("Content-Type", "application/json");
    let token = |key: &str| Call::post(&format!("/hooks/token?a=b&api-key={key}")).body(body);
    let bearer = |key: &str| Call::post("/hooks/bearer").field("Authorization", &format!("Bearer {key}")).body(body);
    vec![
        event.clone(),
        event.clone().set("Oktave-Signature", "canary-of-a-signature"),
        event.set("Oktave-Signature", &hex_hmac("another", "canary")).body(body),
        queue.clone().field("Dastra-Signature", &base64_hmac(MAC_SECRET, body)),
        queue.field("Dastra-Signature", &base64_hmac("another", body)),
        token(TOKEN),
        token("canary-of-another-token"),
        token(TOKEN).method("DELETE"),
        bearer(TOKEN),
        bearer("canary-of-another-token"),
        Call::post(&format!("/nowhere?api-key={TOKEN}")).body(body),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_said_afterwards() {
    let sealed = "encryption_key = { file = \"secrets/sealing\" }";
    let setup = Setup::stored_with(sealed, ROUTES)
        .file("secrets/mac", MAC_SECRET)
        .file("secrets/token", TOKEN)
        .file("secrets/sealing", SEALING);
    let mut rig = Rig::start(setup).await;
    let mut said = String::new();
    let mut ids = Vec::new();
    for call in calls() {
        for protocol in BOTH {
            let answer = rig.send(protocol, &call).await;
            rig.row(answer.id()).await;
            ids.push(answer.id().to_owned());
            said += &format!("{answer:?}");
        }
    }
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        // The body of what waits is there to be fetched.
        if path.ends_with("/body") {
            continue;
        }
        for method in methods.as_object().unwrap().keys().map(|method| method.to_uppercase()) {
            for id in &ids {
                said += &rig.ask(&method, &path.replace("{id}", id)).await.1;
                if !path.contains("{id}") {
                    break;
                }
            }
        }
    }
    for found in ["/api/v1/events?text=canary", "/api/v1/events?dedupe=canary", "/api/v1/events/canary"] {
        let (status, body) = rig.ask("GET", found).await;
        assert!(status == 404 || body.replace("text=canary", "").contains("\"events\":[]"), "{found}: {body}");
    }
    said += &format!("{:?} {:?} {:?}", rig.running(), rig.running().state(), rig.snapshot());
    said += &rig.log.text();
    let folder = rig.path("relay.db");
    let private_key = std::fs::read_to_string(rig.path("certs/relay.key")).unwrap();
    rig.stop().await;
    assert!(ids.len() == 22 && said.len() > 100_000, "{} ids, {} bytes", ids.len(), said.len());
    // On the disk, where bodies and heads are sealed, and secrets never come.
    for entry in std::fs::read_dir(folder.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("relay.db") {
            said += &String::from_utf8_lossy(&std::fs::read(path).unwrap());
        }
    }
    if let Some(at) = said.find("canary") {
        panic!("said: {}", String::from_utf8_lossy(&said.as_bytes()[at.saturating_sub(200)..at + 60]));
    }
    // Its first line is that of every key of this kind.
    for line in private_key.lines().skip(2).filter(|line| !line.starts_with('-')) {
        assert!(!said.contains(line), "a private key was said");
    }
    for mac in [hex_hmac("another", "canary"), base64_hmac(MAC_SECRET, r#"{"event":"canary-of-a-body"}"#)] {
        assert!(!said.contains(&mac[..16]), "a MAC was said");
    }
}
