//! What arrives inside: the exact bytes, the fields that may pass, and the fields that the relay sets.

use dmz_relay::domain::Refusal;

use crate::harness::{Answer, BOTH, Call, Oktave, PLAIN, Protocol, Rig, Setup, eventually};

const MIB: usize = 1 << 20;

/// Bytes without a pattern that a lost or repeated block would leave intact.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Four equal tests, so that they run beside one another.
async fn arrives(protocol: Protocol, chunked: bool) {
    let routes = format!("{PLAIN}max_body = \"25MiB\"\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    for size in [0, 1, 64 * 1024, 64 * 1024 + 1, 25 * MIB] {
        let mut call = Call::post("/hooks/plain").body(noise(size));
        call.chunked = chunked;
        rig.delivers(protocol, &call).await;
        let seen = rig.app.last();
        assert!(seen.body == call.body, "{size} bytes");
        assert_eq!(seen.field("content-length"), Some(size.to_string().as_str()));
    }
    let mut call = Call::post("/hooks/plain").body(noise(25 * MIB + 1));
    call.chunked = chunked;
    rig.refused(Refusal::BodyTooLarge, early(&rig, protocol, &call)).await;
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

/// The answer may come while the body is still on its way.
async fn early(rig: &Rig, protocol: Protocol, call: &Call) -> Answer {
    match protocol {
        Protocol::H1 => {
            let mut wire = rig.connect().await;
            let _ = wire.try_send(call.h1()).await;
            wire.answer().await
        }
        Protocol::H2 => rig.send(Protocol::H2, call).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_with_a_length_over_http1() {
    arrives(Protocol::H1, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_chunks_over_http1() {
    arrives(Protocol::H1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_with_a_length_over_http2() {
    arrives(Protocol::H2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_a_length_over_http2() {
    arrives(Protocol::H2, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_over_one_connection() {
    let rig = Rig::plain().await;
    let mut wire = rig.connect().await;
    let mut h2 = rig.h2().await;
    for number in 0..20 {
        let call = Call::post("/hooks/plain").body(noise(number * 1000));
        wire.send(if number % 2 == 0 { call.h1() } else { call.clone().chunked().h1() }).await;
        assert_eq!(wire.answer().await.status, 200);
        assert!(rig.app.last().body == call.body);
        assert_eq!(h2.send(&call).await.status, 200);
        assert!(rig.app.last().body == call.body);
    }
    assert_eq!(rig.metric("dmz_relay_connections_total", &[]), 2.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_one_connection_are_served_side_by_side() {
    let rig = Rig::plain().await;
    let mut h2 = rig.h2().await;
    let mut answers = Vec::new();
    for number in 0..50 {
        answers.push(h2.start(&Call::post("/hooks/plain").body(noise(number * 700))).await.unwrap());
    }
    for answer in answers {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    let mut sizes: Vec<_> = rig.app.seen().iter().map(|seen| seen.body.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, (0..50).map(|number| number * 700).collect::<Vec<_>>());
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_invitation_comes_after_admission_and_once() {
    let rig = Rig::plain().await;
    let call = Call::post("/hooks/plain").field("Expect", "100-continue").body("a body");
    let mut wire = rig.connect().await;
    for chunked in [false, true] {
        let call = if chunked { call.clone().chunked() } else { call.clone() };
        wire.send(call.h1_head()).await;
        let invitation = wire.answer().await;
        assert_eq!((invitation.status, invitation.fields.len()), (100, 0));
        wire.send(&call.h1()[call.h1_head().len()..]).await;
        assert_eq!(wire.answer().await.status, 200);
        assert_eq!(rig.app.last().body, b"a body");
        assert_eq!(rig.app.last().field("expect"), None);
    }
    // Who did not wait needs no invitation; a second one would be taken for an answer.
    wire.send(call.h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    // Nobody waits for an empty body.
    wire.send(Call::post("/hooks/plain").field("Expect", "100-Continue").body("").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_by_the_head_gets_no_invitation() {
    let routes = format!("{PLAIN}headers = {{ \"X-Tenant\" = [\"a\"] }}\nmax_body = \"10B\"\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    let call = Call::post("/hooks/plain").field("Expect", "100-continue").field("X-Tenant", "a").body("a body");
    for (refusal, call) in [
        (Refusal::HeaderRequired, call.clone().set("X-Tenant", "b")),
        (Refusal::BodyTooLarge, call.clone().body("a body that is too large")),
        (Refusal::RouteUnknown, Call { target: "/nowhere".into(), ..call.clone() }),
        (Refusal::MethodNotAllowed, call.clone().method("PUT")),
        (Refusal::HostMisdirected, call.clone().host("unknown.example")),
    ] {
        let mut wire = rig.connect().await;
        let answer = rig
            .refused(refusal, async {
                wire.send(call.h1_head()).await;
                wire.answer().await
            })
            .await;
        assert!(answer.closes(), "the body may still come");
        wire.ended().await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listed_fields_and_the_query_pass_as_they_were() {
    let listed = "forward_headers = [\"X-Odd-Case\", \"X-Hub-*\", \"Authorization\", \"Cookie\", \"X-Empty\"]\n";
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}{listed}"))).await;
    let call = Call::post("/hooks/plain?a=%20b&a=c&&d")
        .field("X-ODD-case", "1")
        .field("x-odd-case", "2")
        .field("Content-Type", "application/json; charset=\"utf-8\"")
        .field("X-Hub-Signature-256", "sha256=abc")
        .field("User-Agent", "  spaced\tout")
        .field("Authorization", "Bearer t")
        .field("Cookie", "a=b; c=d")
        .field("X-Empty", "");
    rig.delivers(Protocol::H1, &call).await;
    let seen = rig.app.last();
    for line in [
        "X-ODD-case: 1\r\nx-odd-case: 2\r\n",
        "Content-Type: application/json; charset=\"utf-8\"\r\n",
        "X-Hub-Signature-256: sha256=abc\r\n",
        "User-Agent: spaced\tout\r\n",
        "Authorization: Bearer t\r\n",
        "Cookie: a=b; c=d\r\n",
        "X-Empty: \r\n",
    ] {
        assert!(seen.head.contains(line), "{line} in {}", seen.head);
    }
    // The query is as it was, empty pairs and all.
    assert_eq!(seen.target(), "/hooks/plain?a=%20b&a=c&&d");
    assert_eq!(seen.field("host"), Some(rig.app.address.to_string().as_str()));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_one_hop_and_forged_fields_stay_outside() {
    let rig = Rig::plain().await;
    let forged = [
        "Forwarded",
        "Via",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Real-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "Relay-Anything",
        "X_Forwarded_For",
        "X_Hub_Signature_256",
        "Relay_Route",
        "Proxy-Authorization",
        "Proxy-Authenticate",
        "Trailer",
    ];
    let ours = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Request-Id",
        "Relay-Route",
        "Relay-Provider",
        "Relay-Key",
        "Relay-Attempt",
        "Relay-Received-At",
    ];
    for protocol in BOTH {
        let mut call = Call::post("/hooks/plain");
        for name in forged.iter().chain(&ours) {
            let name = if protocol == Protocol::H2 { name.to_lowercase() } else { (*name).to_owned() };
            call = call.field(&name, "forged-canary");
        }
        if protocol == Protocol::H1 {
            call = call
                .field("Connection", "keep-alive, te")
                .field("Keep-Alive", "forged-canary")
                .field("TE", "trailers")
                .field("Proxy-Connection", "forged-canary");
        }
        let answer = rig.delivers(protocol, &call).await;
        let seen = rig.app.last();
        assert!(!seen.head.contains("canary"), "{}", seen.head);
        for name in ["connection", "keep-alive", "te", "transfer-encoding", "expect", "upgrade"] {
            assert_eq!(seen.all(name), Vec::<&str>::new(), "{}", seen.head);
        }
        for (name, value) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "relay.example"),
            ("relay-route", "plain"),
            ("relay-provider", "custom"),
            ("relay-attempt", "1"),
            ("relay-hops", "1"),
            ("relay-received-at", "2026-11-22T10:00:00.000Z"),
            ("x-request-id", answer.id()),
        ] {
            assert_eq!(seen.field(name), Some(value), "{}", seen.head);
        }
        assert_eq!(seen.field("relay-key"), None, "nothing was verified");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_rewritten_as_configured() {
    let rig = Rig::start(
        Setup::routes(
            r#"
[routes.exact]
path = "/hooks/exact"
verify.dangerously_none = true
upstream = "app"
upstream_path = "/webhooks/in"
[routes.below]
path = "/below/*"
verify.dangerously_none = true
upstream = "app"
upstream_path = "/api/v1/"
[routes.deeper]
path = "/below/deeper/*"
verify.dangerously_none = true
upstream = "app"
[routes.inject]
path = "/inject"
verify.dangerously_none = true
upstream = "app"
upstream_headers = { "X-Source" = "relay", "X-Secret" = { env = "INSIDE" } }
upstream_query = { "api-key" = { file = "secrets/octolis" }, "a b" = "c&d" }
"#,
        )
        .variable("INSIDE", "from the environment")
        .file("secrets/octolis", "octolis key=1\n"),
    )
    .await;
    for (target, inside) in [
        ("/hooks/exact", "/webhooks/in"),
        ("/hooks/exact?a=b", "/webhooks/in?a=b"),
        ("/below/", "/api/v1/"),
        ("/below/a/b%20c?d", "/api/v1/a/b%20c?d"),
        ("/below/deeper/x", "/below/deeper/x"),
        ("/inject", "/inject?a%20b=c%26d&api-key=octolis%20key%3D1"),
        ("/inject?x=1", "/inject?x=1&a%20b=c%26d&api-key=octolis%20key%3D1"),
    ] {
        for protocol in BOTH {
            let call = Call::post(target).field("x-source", "sender").field("x-secret", "sender");
            rig.delivers(protocol, &call).await;
            assert_eq!(rig.app.last().target(), inside);
        }
    }
    let seen = rig.app.last();
    assert_eq!((seen.field("x-source"), seen.field("x-secret")), (Some("relay"), Some("from the environment")));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_secret_does_not_go_on() {
    let routes = r#"
[routes.stripped]
path = "/stripped"
verify.token = { query = "api-key" }
secrets = [{ file = "secrets/key" }]
upstream = "app"
[routes.forwarded]
path = "/forwarded"
verify.token = { query = "api-key", forward = true }
secrets = [{ file = "secrets/key" }]
upstream = "app"
"#;
    let rig = Rig::start(Setup::routes(routes).file("secrets/key", "canary-key")).await;
    for protocol in BOTH {
        rig.delivers(protocol, &Call::post("/stripped?a=1&api-key=canary-key&b=2")).await;
        assert_eq!(rig.app.last().target(), "/stripped?a=1&b=2");
        rig.delivers(protocol, &Call::post("/stripped?api-key=canary%2Dkey")).await;
        assert_eq!(rig.app.last().target(), "/stripped");
        // Another spelling of the same name holds the same secret.
        rig.delivers(protocol, &Call::post("/stripped?api%2Dkey=canary-key&c")).await;
        assert_eq!(rig.app.last().target(), "/stripped?c");
        rig.delivers(protocol, &Call::post("/forwarded?api-key=canary-key")).await;
        assert_eq!(rig.app.last().target(), "/forwarded?api-key=canary-key");
        for call in ["/stripped?api-key=other", "/stripped?api-key=", "/stripped?api-key=canary-key2"] {
            rig.refused(Refusal::SignatureMismatch, rig.send(protocol, &Call::post(call))).await;
        }
        rig.refused(Refusal::SignatureMissing, rig.send(protocol, &Call::post("/stripped"))).await;
        let twice = Call::post("/stripped?api-key=canary-key&api-key=canary-key");
        rig.refused(Refusal::SignatureRepeated, rig.send(protocol, &twice)).await;
    }
    assert!(!rig.log.text().contains("canary"), "{}", rig.log.text());
    rig.finish().await;
}

/// Memory follows what arrives; only who has proven itself gets what it declares, while no more than half of the budget is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stranger_declares_takes_no_memory() {
    let oktave = "[routes.oktave]\npath = \"/hooks/oktave\"\nprovider = \"oktave\"\nsecrets = [{ file = \"oktave\" }]\n\
         upstream = \"app\"\n";
    let setup = Setup::routes(&format!("{PLAIN}{oktave}")).file("oktave", "oktave-secret");
    let setup = setup.limits("body_memory = \"2500KiB\"\nmax_body = \"1MiB\"");
    let mut rig = Rig::start(setup).await;
    let call = Call::post("/hooks/plain").body(noise(MIB));
    let used = |rig: &Rig| usize::try_from(rig.running().state().bodies.used()).unwrap();
    // What a request holds beside its body, and the first step of one.
    let (beside, step) = (32 * 1024, 16 * 1024);

    let mut stranger = rig.connect().await;
    stranger.send([call.h1_head().as_slice(), b"a"].concat()).await;
    eventually("it is waited for", async || used(&rig) > 0).await;
    assert!(used(&rig) <= beside + step, "{}", used(&rig));

    let mut proven = [rig.connect().await, rig.connect().await];
    for (number, wire) in proven.iter_mut().enumerate() {
        wire.send(Oktave::event("oktave-secret", u32::try_from(number).unwrap()).call("/hooks/oktave").h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    let [one, two] = &mut proven;
    let before = used(&rig);
    one.send([call.h1_head().as_slice(), &call.body[..1]].concat()).await;
    eventually("it has all its memory", async || used(&rig) >= before + MIB).await;
    let before = used(&rig);
    two.send([call.h1_head().as_slice(), &call.body[..1]].concat()).await;
    eventually("it is waited for", async || used(&rig) > before).await;
    assert!(used(&rig) <= before + beside + step, "{}", used(&rig));

    // And the next requests are behind the body in the same write.
    let next: Vec<u8> =
        (1..=3).flat_map(|number| Call::post("/hooks/plain").body(noise(number * 50_000)).h1()).collect();
    one.send([&call.body[1..], &next].concat()).await;
    for size in [MIB, 50_000, 100_000, 150_000] {
        assert_eq!(one.answer().await.status, 200);
        assert!(rig.app.seen().iter().any(|seen| seen.body == noise(size)), "{size} bytes");
    }
    two.send(&call.body[1..]).await;
    assert_eq!(two.answer().await.status, 200);
    assert!(rig.app.last().body == call.body);
    drop((stranger, proven));
    eventually("memory is given back", async || used(&rig) == 0).await;
    // Who comes through a proxy has proven nothing by what others sent through it.
    rig.apply(|setup| setup.listener = "trust_forwarded_from = [\"127.0.0.0/8\"]".into()).await;
    let mut proxy = rig.connect().await;
    let forwarded = |call: Call| call.field("X-Forwarded-For", "192.0.2.7");
    proxy.send(forwarded(Oktave::event("oktave-secret", 2).call("/hooks/oktave")).h1()).await;
    assert_eq!(proxy.answer().await.status, 200);
    proxy.send([forwarded(call.clone()).h1_head().as_slice(), b"a"].concat()).await;
    eventually("it is waited for", async || used(&rig) > 0).await;
    assert!(used(&rig) <= beside + step, "{}", used(&rig));
    drop(proxy);
    rig.finish().await;
}

/// A sender that goes away is recorded, and what it held is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_vanishes_costs_nothing() {
    let rig = Rig::plain().await;
    let call = Call::post("/hooks/plain").body(noise(500_000));
    let mut wire = rig.connect().await;
    wire.send(&call.h1()[..300_000]).await;
    eventually("its body is in memory", async || rig.running().state().bodies.used() > 100_000).await;
    drop(wire);
    eventually("memory is given back", async || rig.running().state().bodies.used() == 0).await;
    rig.log.wait("request", |line| line["reason"] == "body_incomplete").await;
    let mut h2 = rig.h2().await;
    let (_response, mut stream) = h2.open(&Call::post("/hooks/plain").chunked()).await;
    stream.send_data(noise(50_000).into(), false).unwrap();
    eventually("its body is in memory", async || rig.running().state().bodies.used() > 0).await;
    stream.send_reset(h2::Reason::CANCEL);
    eventually("memory is given back", async || rig.running().state().bodies.used() == 0).await;
    assert_eq!(rig.app.connections(), 0);
    eventually("both are counted", async || rig.counted("refused", "body_incomplete") == 2.0).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_invitation_over_http2() {
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}max_body = \"10B\"\n"))).await;
    let mut h2 = rig.h2().await;
    let call = Call::post("/hooks/plain").field("expect", "100-continue").body("a body");
    let (mut response, mut stream) = h2.open(&call).await;
    let invited = std::future::poll_fn(|context| response.poll_informational(context)).await;
    assert_eq!(invited.unwrap().unwrap().status(), 100);
    stream.send_data(call.body.clone().into(), true).unwrap();
    assert_eq!(crate::harness::read_h2(response).await.unwrap().status, 200);
    assert_eq!(rig.app.last().body, b"a body");

    rig.refused(Refusal::BodyTooLarge, async {
        let (mut response, _stream) = h2.open(&call.body("a body too large")).await;
        let invited = std::future::poll_fn(|context| response.poll_informational(context)).await;
        assert!(invited.is_none(), "no invitation to what is refused: {invited:?}");
        crate::harness::read_h2(response).await.unwrap()
    })
    .await;
    rig.finish().await;
}
