//! What the head alone decides.

use super::*;

pub async fn head_malformed(refusal: Refusal) {
    edge(refusal, &["garbage\r\n\r\n", "POST //hooks/plain HTTP/1.1\r\nHost: relay.example\r\n\r\n"]).await;
    let calls = ["/hooks//plain", "/hooks/../hooks/plain", "/hooks/%2e%2e/plain"].map(Call::post);
    both(refusal, &calls, &Call::post("/hooks/plain")).await;
}

pub async fn framing_ambiguous(refusal: Refusal) {
    edge(
        refusal,
        &["POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"],
    )
    .await;
    let rig = Rig::start(setup()).await;
    let call = Call::post("/hooks/plain").field("content-length", "2").field("content-length", "2").chunked();
    rig.refused(refusal, rig.send(Protocol::H2, &call)).await;
    rig.finish().await;
}

pub async fn host_invalid(refusal: Refusal) {
    edge(refusal, &["POST /hooks/plain HTTP/1.1\r\nContent-Length: 0\r\n\r\n"]).await;
    let rig = Rig::start(setup()).await;
    let call = Call::post("/hooks/plain").field("host", "other.example");
    rig.refused(refusal, rig.send(Protocol::H2, &call)).await;
    rig.finish().await;
}

pub async fn connection_option_invalid(refusal: Refusal) {
    edge(
        refusal,
        &["POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nConnection: close, X-Hub-Signature-256\r\n\r\n"],
    )
    .await;
}

pub async fn head_timeout(refusal: Refusal) {
    let rig = Rig::start(setup().limits("head_timeout = \"2s\"")).await;
    for part in ["P", "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n"] {
        let mut wire = rig.connect().await;
        rig.refused(refusal, async {
            wire.send(part).await;
            wire.answer().await
        })
        .await;
        wire.ended().await;
    }
    rig.finish().await;
}

pub async fn head_too_large(refusal: Refusal) {
    let many = "X-Many: 1\r\n".repeat(64);
    let one = format!("X-One: {}\r\n", "a".repeat(40_000));
    let start = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n";
    edge(refusal, &[&format!("{start}{many}\r\n"), &format!("{start}{one}\r\n")]).await;
    let just = Call::post("/hooks/plain");
    let just = (0..60).fold(just, |call, _| call.field("x-many", "1"));
    let rig = Rig::start(setup()).await;
    let many = (0..65).fold(Call::post("/hooks/plain"), |call, _| call.field("x-many", "1"));
    rig.refused(refusal, rig.send(Protocol::H2, &many)).await;
    for protocol in BOTH {
        rig.delivers(protocol, &just).await;
    }
    let one = |bytes| Call::post("/hooks/plain").field("x-one", &"a".repeat(bytes));
    rig.refused(refusal, rig.send(Protocol::H2, &one(40_000))).await;
    rig.delivers(Protocol::H2, &one(30_000)).await;
    rig.finish().await;
}

pub async fn version_unsupported(refusal: Refusal) {
    edge(refusal, &["POST /hooks/plain HTTP/2.0\r\nHost: relay.example\r\n\r\n"]).await;
}

pub async fn expectation_unsupported(refusal: Refusal) {
    let call = Call::post("/hooks/plain").field("expect", "100-continuee");
    both(refusal, &[call], &Call::post("/hooks/plain")).await;
}

pub async fn upgrade_unsupported(refusal: Refusal) {
    let start = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n";
    edge(refusal, &["websocket", "h2c"].map(|to| format!("{start}Upgrade: {to}\r\n\r\n")).each_ref().map(|s| &**s))
        .await;
}

pub async fn route_unknown(refusal: Refusal) {
    let calls = ["/", "/hooks/plain/", "/hooks/Plain", "/hooks/plain2", "/hooks/%70lain"].map(Call::post);
    both(refusal, &calls, &Call::post("/hooks/plain?x=1")).await;
}

pub async fn host_misdirected(refusal: Refusal) {
    let calls = ["unknown.example", "127.0.0.1", "a.b.wild.example"].map(|host| Call::post("/hooks/plain").host(host));
    both(refusal, &calls, &Call::post("/hooks/plain").host("RELAY.example:8443")).await;
}

pub async fn method_not_allowed(refusal: Refusal) {
    let rig = Rig::start(setup()).await;
    for protocol in BOTH {
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let call = Call::post("/hooks/plain").method(method);
            let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
            let allow = answer.field("allow").unwrap();
            if ["TRACE", "BREW"].contains(&method) {
                assert!(!allow.contains(method), "{allow}");
            } else {
                assert_eq!(allow, "POST");
            }
        }
        let answer = rig.send(protocol, &Call::post("/hooks/many").method("GET")).await;
        assert_eq!((answer.status, answer.field("allow")), (405, Some("POST, PUT, PATCH")));
        rig.delivers(protocol, &Call::post("/hooks/many").method("PATCH")).await;
    }
    rig.finish().await;
}

pub async fn address_not_allowed(refusal: Refusal) {
    let rig = Rig::start(setup()).await;
    for protocol in BOTH {
        for target in ["/hooks/listed", "/hooks/nobody"] {
            rig.refused(refusal, rig.send(protocol, &Call::post(target))).await;
        }
    }
    let mut wire = rig.tls().from("127.0.0.9").connect(rig.address).await;
    wire.send(Call::post("/hooks/listed").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

pub async fn address_denied(refusal: Refusal) {
    let routes = format!("{PLAIN}deny = [\"192.0.2.0/24\", \"127.0.0.8/29\"]\nallow = [\"127.0.0.0/8\"]\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    let mut wire = rig.tls().from("127.0.0.16").connect(rig.address).await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
    let routes = format!("{PLAIN}deny = [\"192.0.2.0/24\", \"127.0.0.8/29\"]\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    rig.refused(refusal, async {
        let mut wire = rig.tls().from("127.0.0.9").connect(rig.address).await;
        wire.send(Call::post("/hooks/plain").h1()).await;
        wire.answer().await
    })
    .await;
    rig.refused(refusal, async {
        let mut h2 = rig.tls().from("127.0.0.15").h2(rig.address).await;
        h2.send(&Call::post("/hooks/plain")).await
    })
    .await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

pub async fn address_unknown(refusal: Refusal) {
    let routes = format!("{PLAIN}deny = [\"192.0.2.0/24\"]\n");
    let rig = Rig::start(Setup::routes(&routes).listener("trust_forwarded_from = [\"127.0.0.1\"]")).await;
    for protocol in BOTH {
        rig.refused(refusal, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        rig.delivers(protocol, &Call::post("/hooks/plain").field("x-forwarded-for", "198.51.100.1")).await;
    }
    rig.finish().await;
}

pub async fn header_required(refusal: Refusal) {
    let good = Call::post("/hooks/headed").field("X-Tenant", "a").field("X-Any", "thing");
    let calls = [
        good.clone().without("X-Tenant"),
        good.clone().without("X-Any"),
        good.clone().set("X-Tenant", "c"),
        good.clone().set("X-Tenant", "A"),
        good.clone().set("X-Tenant", "a, b"),
        good.clone().field("X-Tenant", "c"),
    ];
    both(refusal, &calls, &good.clone().field("x-tenant", "b")).await;
}

pub async fn client_certificate_required(refusal: Refusal) {
    let routes = format!("{PLAIN}client_auth = true\n");
    let senders = crate::harness::Authority::new();
    let setup = Setup::routes(&routes)
        .tls("client_auth = { ca = \"certs/senders.crt\", required = false }")
        .file("certs/senders.crt", senders.pem());
    let rig = Rig::start(setup).await;
    let call = Call::post("/hooks/plain");
    for protocol in BOTH {
        rig.refused(refusal, rig.send(protocol, &call)).await;
    }
    let mut wire = rig.tls().showing(&senders.issue(&["sender"])).connect(rig.address).await;
    wire.send(call.h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

pub async fn content_type_unsupported(refusal: Refusal) {
    let good = Call::post("/hooks/typed").field("Content-Type", "Application/JSON; charset=utf-8");
    let calls = [
        good.clone().without("Content-Type"),
        good.clone().set("Content-Type", "text/plain"),
        good.clone().set("Content-Type", "application/json5"),
        good.clone().field("Content-Type", "application/json"),
    ];
    both(refusal, &calls, &good).await;
}

/// What is no number of relays is one too many; and a route's own list does not let it pass.
pub async fn loop_detected(refusal: Refusal) {
    let call = |hops: &str| Call::post("/hooks/plain").field("relay-hops", hops);
    let calls = ["4", "9", "10", "", "x", "-1", "1, 1"].map(call);
    both(refusal, &calls, &call("3")).await;
    let rig = Rig::start(setup()).await;
    let twice = call("1").field("relay-hops", "1");
    for protocol in BOTH {
        rig.refused(refusal, rig.send(protocol, &twice)).await;
        rig.delivers(protocol, &call("3")).await;
        assert_eq!(rig.app.last().all("relay-hops"), ["4"]);
        rig.delivers(protocol, &Call::post("/hooks/plain")).await;
        assert_eq!(rig.app.last().all("relay-hops"), ["1"]);
    }
    rig.finish().await;
}
