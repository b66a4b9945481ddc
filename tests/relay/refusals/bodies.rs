//! Meters, and what is wrong with a body.

use super::*;

pub async fn body_too_large(refusal: Refusal) {
    let rig = Rig::start(setup()).await;
    let call = |bytes: usize| Call::post("/hooks/small").body(vec![b'a'; bytes]);
    for protocol in BOTH {
        rig.delivers(protocol, &call(1000)).await;
        rig.delivers(protocol, &call(1000).chunked()).await;
        rig.refused(refusal, rig.send(protocol, &call(1001))).await;
        rig.refused(refusal, rig.send(protocol, &call(1001).chunked())).await;
        rig.refused(refusal, rig.send(protocol, &call(100_000).chunked())).await;
    }
    // What a head declares costs nothing: ten tebibytes, and not a byte of them is waited for or made room for.
    let head = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 10995116277760\r\n\r\n";
    rig.refused(refusal, rig.raw(head.as_bytes())).await;
    let chunk =
        "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n";
    rig.refused(refusal, rig.raw(chunk.as_bytes())).await;
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

pub async fn route_rate_limited(refusal: Refusal) {
    let routes = format!("{PLAIN}rate = {{ per_second = 0.01, burst = 2 }}\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    let call = Call::post("/hooks/plain");
    for _ in 0..2 {
        rig.delivers(Protocol::H1, &call).await;
    }
    for protocol in BOTH {
        let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
        let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!((90..=100).contains(&wait), "{wait}");
    }
    let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
    other.send(call.h1()).await;
    assert_eq!(other.answer().await.status, 429);
    rig.finish().await;
}

pub async fn source_rate_limited(refusal: Refusal) {
    let routes = format!("{PLAIN}rate_per_source = {{ per_second = 0.01, burst = 1 }}\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    let call = Call::post("/hooks/plain");
    rig.delivers(Protocol::H1, &call).await;
    for protocol in BOTH {
        let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
        assert!(answer.field("retry-after").unwrap().parse::<u64>().unwrap() > 90);
    }
    let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
    other.send(call.h1()).await;
    assert_eq!(other.answer().await.status, 200);
    rig.finish().await;
}

pub async fn route_busy(refusal: Refusal) {
    let (app, gate) = held::held().await;
    let rig = Rig::with_app(Setup::routes(&format!("{PLAIN}max_in_flight = 1\n")), app).await;
    let call = Call::post("/hooks/plain");
    let mut first = rig.connect().await;
    first.send(call.h1()).await;
    eventually("the first is inside", async || rig.app.seen().len() == 1).await;
    for protocol in BOTH {
        let answer = rig.refused(refusal, rig.send(protocol, &call)).await;
        assert_eq!(answer.field("retry-after"), Some("1"));
    }
    gate.release(2);
    assert_eq!(first.answer().await.status, 200);
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

pub async fn body_timeout(refusal: Refusal) {
    let rig = Rig::start(setup().limits("body_timeout = \"100ms\"")).await;
    let call = Call::post("/hooks/plain").body("a body");
    for chunked in [false, true] {
        let call = if chunked { call.clone().chunked() } else { call.clone() };
        let mut wire = rig.connect().await;
        rig.refused(refusal, async {
            wire.send([&call.h1_head()[..], b"3"].concat()).await;
            wire.answer().await
        })
        .await;
        wire.ended().await;
    }
    let mut h2 = rig.h2().await;
    let (response, mut stream) = h2.open(&call).await;
    stream.send_data(Bytes::from_static(b"a"), false).unwrap();
    rig.refused(refusal, async { crate::harness::read_h2(response).await.unwrap() }).await;
    rig.finish().await;
}

/// Nothing for the whole grace, and then less than the rate; the deadline is far away.
pub async fn body_too_slow(refusal: Refusal) {
    let limits = "body_timeout = \"60s\"\nbody_grace = \"100ms\"\nmin_body_rate = \"1MiB\"";
    let rig = Rig::start(setup().limits(limits)).await;
    let call = Call::post("/hooks/plain").body(vec![b'a'; 100_000]);
    for chunked in [false, true] {
        let call = if chunked { call.clone().chunked() } else { call.clone() };
        for part in [0, 30_000] {
            let mut wire = rig.connect().await;
            let head = call.h1_head();
            rig.refused(refusal, async {
                wire.send(&call.h1()[..head.len() + part]).await;
                wire.answer().await
            })
            .await;
            wire.ended().await;
        }
        rig.delivers(Protocol::H1, &call).await;
    }
    let mut h2 = rig.h2().await;
    for part in [0, 30_000] {
        let (response, mut stream) = h2.open(&call).await;
        stream.send_data(vec![b'a'; part].into(), false).unwrap();
        rig.refused(refusal, async { crate::harness::read_h2(response).await.unwrap() }).await;
    }
    assert_eq!(h2.send(&call).await.status, 200, "the connection goes on");
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

pub async fn body_malformed(refusal: Refusal) {
    let rig = Rig::start(setup()).await;
    let head = Call::post("/hooks/plain").chunked().h1_head();
    for body in
        ["zz\r\n", "2\r\n{}x\r\n0\r\n\r\n", "2\n{}\r\n", "0x2\r\n{}\r\n", "2;a\rb\r\n{}\r\n", "0\r\nX: a\nb\r\n\r\n"]
    {
        rig.refused(refusal, pipelined(&rig, [&head[..], body.as_bytes()].concat())).await;
    }
    rig.finish().await;
}

pub async fn body_incomplete(refusal: Refusal) {
    let rig = Rig::start(setup()).await;
    for call in [Call::post("/hooks/plain").body("a body"), Call::post("/hooks/plain").body("a body").chunked()] {
        let mut wire = rig.connect().await;
        rig.refused(refusal, async {
            wire.send([&call.h1_head()[..], b"5\r\na"].concat()).await;
            wire.half_close().await;
            wire.answer().await
        })
        .await;
        wire.ended().await;
    }
    rig.finish().await;
}
