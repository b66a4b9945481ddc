//! Oktave, Dastra and Octolis, as design.md's first table has them: genuine, tampered, stale and replayed; and a search for
//! anything secret in everything the relay says.

use dmz_relay::domain::Refusal;

use crate::harness::peers::honest;
use crate::harness::{BOTH, Call, NOW, Oktave, Protocol, Rig, Setup, base64_hmac};

const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/oktave", id = "2026" }, { file = "secrets/oktave.old", id = "2025" }]
upstream = "app"

[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "secrets/dastra" }]
allow = ["@dastra"]
upstream = "app"
upstream_path = "/webhooks/dastra"

[routes.octolis]
path = "/hooks/octolis"
description = "CRM sync"
provider = "octolis"
secrets = [{ file = "secrets/octolis" }]
headers = { "X-Workspace" = ["eu", "us"] }
allow = ["127.0.0.0/8"]
upstream = "app"

[routes.to-octolis]
path = "/hooks/to-octolis"
provider = "dastra"
secrets = [{ file = "secrets/dastra" }]
upstream = "app"
upstream_path = "/api/endpoint"
upstream_query = { "api-key" = { file = "secrets/endpoint" } }
"#;

/// A balancer speaks for Dastra's addresses, which nobody else can connect from.
fn setup() -> Setup {
    Setup::routes(ROUTES)
        .listener("trust_forwarded_from = [\"127.0.0.1\"]")
        .file("secrets/oktave", "oktave-canary-secret")
        .file("secrets/oktave.old", "oktave-canary-older")
        .file("secrets/dastra", "dastra-canary-secret")
        .file("secrets/octolis", "octolis-canary-key")
        .file("secrets/endpoint", "endpoint-canary-key")
}

fn oktave(number: u32) -> Oktave {
    Oktave::event("oktave-canary-secret", number)
}

fn dastra(path: &str, body: &str) -> Call {
    Call::post(path)
        .field("content-type", "application/json")
        .field("x-forwarded-for", "40.89.131.148")
        .field("dastra-signature", &base64_hmac("dastra-canary-secret", body))
        .body(body)
}

fn octolis(key: &str) -> Call {
    let target = format!("/hooks/octolis?source=crm&api-key={key}");
    Call::post(&target).field("x-workspace", "eu").body("{\"body-canary\":1}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oktave_genuine() {
    let rig = Rig::with_app(setup(), honest::status(202).await).await;
    for (number, protocol) in [(1, Protocol::H1), (2, Protocol::H2)] {
        let event = oktave(number);
        let answer = rig.delivers(protocol, &event.call("/hooks/oktave")).await;
        assert_eq!((answer.status, answer.text()), (200, ""), "exactly 200, whatever the inside said");
        let seen = rig.app.last();
        assert_eq!(seen.body, event.body().as_bytes());
        for (name, value) in [
            ("oktave-event-id", event.id.as_str()),
            ("oktave-timestamp", &event.at.to_string()),
            ("relay-route", "oktave"),
            ("relay-provider", "oktave"),
            ("relay-key", "2026"),
        ] {
            assert_eq!(seen.field(name), Some(value), "{}", seen.head);
        }
        assert!(seen.field("oktave-signature").is_some(), "the application can check again");
    }
    let old = Oktave { secret: "oktave-canary-older".into(), ..oktave(3) };
    rig.delivers(Protocol::H1, &old.call("/hooks/oktave")).await;
    assert_eq!(rig.app.last().field("relay-key"), Some("2025"));
    // The time may be the event's and not the attempt's.
    for at in [NOW - 3600, NOW + 300] {
        rig.delivers(Protocol::H1, &oktave(u32::try_from(at % 10_000).unwrap()).at(at).call("/hooks/oktave")).await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oktave_tampered_and_stale() {
    let rig = Rig::start(setup()).await;
    let good = oktave(1);
    let call = good.call("/hooks/oktave");
    let stranger = Oktave { secret: "another secret".into(), ..good.clone() };
    let slid = format!("{}1", good.id);
    for (refusal, call) in [
        (Refusal::SignatureMismatch, stranger.call("/hooks/oktave")),
        (Refusal::SignatureMismatch, call.clone().set("Oktave-Event-Id", &oktave(2).id)),
        (Refusal::SignatureMismatch, call.clone().set("Oktave-Timestamp", &(NOW + 1).to_string())),
        (Refusal::SignatureMissing, call.clone().without("Oktave-Signature")),
        // With another body the headers would be good once more.
        (Refusal::BindingMismatch, call.clone().body(oktave(2).body())),
        (
            Refusal::ShapeInvalid,
            call.clone().set("Oktave-Event-Id", &slid).set("Oktave-Timestamp", &NOW.to_string()[1..]),
        ),
        (Refusal::TimestampStale, good.clone().at(NOW - 3601).call("/hooks/oktave")),
        (Refusal::TimestampAhead, good.clone().at(NOW + 301).call("/hooks/oktave")),
        (Refusal::MethodNotAllowed, call.clone().method("PUT")),
    ] {
        for protocol in BOTH {
            rig.refused(refusal, rig.send(protocol, &call)).await;
        }
    }
    let (signature, body) = (call.fields[3].1.clone(), call.body.clone());
    for bit in 0..4 {
        for place in [0, 31, 63] {
            let mut flipped = signature.clone().into_bytes();
            // Hexadecimal digits that differ by one bit where both are digits.
            let digit = char::from(flipped[place]).to_digit(16).unwrap() ^ (1 << bit);
            flipped[place] = u8::try_from(char::from_digit(digit, 16).unwrap()).unwrap();
            let flipped = call.clone().set("Oktave-Signature", std::str::from_utf8(&flipped).unwrap()).body(&body);
            rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &flipped)).await;
        }
    }
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oktave_replayed() {
    let rig = Rig::start(setup()).await;
    let call = oktave(1).call("/hooks/oktave");
    rig.delivers(Protocol::H1, &call).await;
    // A retry of the same event has a new time, a new signature and a new attempt id; it is the same event.
    let retry = oktave(1).at(NOW + 60).call("/hooks/oktave");
    for call in [&call, &retry] {
        for protocol in BOTH {
            let answer = rig.send(protocol, call).await;
            assert_eq!((answer.status, &rig.log.of(answer.id()).await["outcome"]), (200, &"duplicate".into()));
        }
    }
    assert_eq!(rig.app.seen().len(), 1);
    // For as long as its time is good the id is remembered: at the last second of the window, and well behind it.
    rig.clock.advance(std::time::Duration::from_secs(3600));
    let answer = rig.send(Protocol::H1, &call).await;
    assert_eq!(rig.log.of(answer.id()).await["outcome"], "duplicate");
    rig.clock.advance(std::time::Duration::from_secs(1));
    rig.refused(Refusal::TimestampStale, rig.send(Protocol::H1, &call)).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dastra_genuine_tampered_and_replayed() {
    let rig = Rig::start(setup()).await;
    let call = dastra("/hooks/dastra", "{\"event\":\"canary-body\"}");
    for protocol in BOTH {
        let fresh = dastra("/hooks/dastra", &format!("{{\"event\":\"{protocol:?}\"}}"));
        let answer = rig.delivers(protocol, &fresh).await;
        assert_eq!((answer.status, answer.text()), (200, ""));
        let seen = rig.app.last();
        assert_eq!((seen.target(), seen.field("relay-provider")), ("/webhooks/dastra", Some("dastra")));
        assert_eq!(seen.field("x-forwarded-for"), Some("40.89.131.148"));
        let line = rig.log.of(answer.id()).await;
        assert_eq!((&line["allowed_by"], &line["source"]), (&"@dastra".into(), &"40.89.131.148".into()));
        // There is no id: the body's own signature is what it is known by.
        let again = rig.send(protocol, &fresh).await;
        assert_eq!((again.status, &rig.log.of(again.id()).await["outcome"]), (200, &"duplicate".into()));
    }
    let seen = rig.app.seen().len();
    for address in [
        "40.89.142.231",
        "40.89.143.1",
        "40.89.136.129",
        "40.89.137.32",
        "40.89.141.38",
        "40.89.137.122",
        "40.89.136.182",
    ] {
        let call = dastra("/hooks/dastra", &format!("{{\"from\":\"{address}\"}}")).set("x-forwarded-for", address);
        rig.delivers(Protocol::H1, &call).await;
    }
    assert_eq!(rig.app.seen().len(), seen + 7);
    for (refusal, call) in [
        (Refusal::SignatureMismatch, call.clone().body("{\"event\":\"canary-bodx\"}")),
        (Refusal::SignatureMismatch, call.clone().body("{\"event\":\"canary-body\"} ")),
        (Refusal::SignatureMismatch, call.clone().set("dastra-signature", &base64_hmac("another", &call.body))),
        (
            Refusal::SignatureMalformed,
            call.clone().set("dastra-signature", &crate::harness::hex_hmac("dastra-canary-secret", &call.body)),
        ),
        (Refusal::SignatureMissing, call.clone().without("dastra-signature")),
        (Refusal::AddressNotAllowed, call.clone().set("x-forwarded-for", "40.89.131.149")),
        (Refusal::AddressNotAllowed, call.clone().without("x-forwarded-for")),
    ] {
        for protocol in BOTH {
            rig.refused(refusal, rig.send(protocol, &call)).await;
        }
    }
    rig.delivers(Protocol::H2, &call).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn octolis_as_a_receiver_is_spoken_to_and_as_an_endpoint_is_stood_in_for() {
    let rig = Rig::start(setup()).await;
    let good = octolis("octolis-canary-key");
    for protocol in BOTH {
        for method in ["POST", "PUT", "PATCH"] {
            rig.delivers(protocol, &good.clone().method(method)).await;
            let seen = rig.app.last();
            assert_eq!(seen.target(), "/hooks/octolis?source=crm");
            assert!(seen.head.starts_with(method) && !seen.head.contains("canary-key"), "{}", seen.head);
        }
        for (refusal, call) in [
            (Refusal::MethodNotAllowed, good.clone().method("GET")),
            (Refusal::MethodNotAllowed, good.clone().method("DELETE")),
            (Refusal::HeaderRequired, good.clone().without("x-workspace")),
            (Refusal::HeaderRequired, good.clone().set("x-workspace", "asia")),
            (Refusal::AddressNotAllowed, good.clone().field("x-forwarded-for", "198.51.100.1")),
            (Refusal::SignatureMismatch, octolis("octolis-canary-kex").field("x-a", "b")),
            (Refusal::SignatureMismatch, octolis("octolis-canary-ke")),
            (Refusal::SignatureMismatch, octolis("")),
            (Refusal::SignatureMissing, Call { target: "/hooks/octolis".into(), ..good.clone() }),
        ] {
            rig.refused(refusal, rig.send(protocol, &call)).await;
        }
        // Forwarded to such an endpoint, with the key that only the relay has.
        let call = dastra("/hooks/to-octolis", &format!("{{\"to\":\"{protocol:?}\"}}"));
        rig.delivers(protocol, &call).await;
        assert_eq!(rig.app.last().target(), "/api/endpoint?api-key=endpoint-canary-key");
    }
    rig.finish().await;
}

/// Everything the relay says, after everything that can happen to a request: no secret, MAC, key or body is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_ever_said() {
    let mut rig = Rig::with_app(
        setup(),
        honest::answers(|seen| {
            let status = if seen.target().contains("fail") { 500 } else { 200 };
            format!("HTTP/1.1 {status} X\r\nX-Inside: inside-canary\r\nContent-Length: 13\r\n\r\ninside-canary")
        })
        .await,
    )
    .await;
    rig.apply(|setup| setup.rest.push_str("[routes.fail]\npath = \"/fail/*\"\nverify.token = { query = \"api-key\" }\nsecrets = [{ file = \"secrets/octolis\" }]\nupstream = \"app\"\n")).await;
    let event = oktave(7).call("/hooks/oktave");
    let body = "{\"event\":\"body-canary\"}";
    let mut said = String::new();
    let calls = [
        event.clone(),
        event.clone(),
        event.clone().body("{\"event_id\":\"body-canary\"}"),
        event.clone().set("Oktave-Signature", "mac-canary"),
        dastra("/hooks/dastra", body),
        dastra("/hooks/dastra", body).body("another body-canary"),
        dastra("/hooks/to-octolis", body),
        octolis("octolis-canary-key"),
        octolis("wrong-canary-key"),
        octolis("octolis-canary-key").method("GET"),
        Call::post("/fail/x?api-key=octolis-canary-key").body(body),
        Call::post("/fail/x?api-key=octolis-canary-key&b=%zz").body(body),
        Call::post("/nowhere?api-key=octolis-canary-key"),
        Call::post("/hooks/octolis?api-key=octolis-canary-key").host("unknown.example"),
        Call::post("/hooks/oktave?api-key=octolis-canary-key").field("authorization", "Bearer auth-canary"),
    ];
    for call in &calls {
        for protocol in BOTH {
            said.push_str(&format!("{:?}\n", rig.send(protocol, call).await));
        }
    }
    for bytes in ["POST /hooks/octolis?api-key=octolis-canary-key HTTP/9.9\r\nHost: a\r\n\r\n", "head-canary\r\n\r\n"] {
        said.push_str(&format!("{:?}\n", rig.raw(bytes.as_bytes()).await));
    }
    // A secret that cannot be used must not be quoted in the report about it, nor one that stands in the wrong place.
    let good = std::fs::read_to_string(rig.path("relay.toml")).unwrap();
    for bad in [
        good.replacen("{ file = \"secrets/dastra\" }", "\"dastra-canary-secret\"", 1),
        good.replacen("{ file = \"secrets/dastra\" }", "{ value = \"dastra-canary-secret\" }", 1),
        good.replacen("{ file = \"secrets/endpoint\" }", "\"endpoint\\ncanary\"", 1),
    ] {
        rig.replace("relay.toml", bad);
        said.push_str(&format!("{:?}\n{}\n", rig.reload().await, rig.ask("POST", "/api/v1/reload").await.1));
    }
    let status = rig.status().await.to_string();
    said.push_str(&format!("{status}\n{}\n{:?}\n{:?}\n", rig.metrics(), rig.running(), rig.running().state()));
    let log = rig.log.clone();
    rig.finish().await;
    said.push_str(&log.text());
    if let Some(at) = said.find("canary") {
        panic!("said: {}", &said[at.saturating_sub(60)..(at + 40).min(said.len())]);
    }
    let macs =
        calls.iter().flat_map(|call| &call.fields).filter(|(name, _)| name.to_lowercase().ends_with("-signature"));
    for (_, mac) in macs {
        assert!(!said.contains(mac.as_str()), "a MAC was said");
        // Part of it would do as well for a search.
        assert!(mac.len() < 16 || !said.contains(&mac[..16]), "the start of a MAC was said");
    }
    assert!(said.contains("0191e2a4-7b1c-7c3e-9f00-000000000007"), "what is no secret is said");
}
