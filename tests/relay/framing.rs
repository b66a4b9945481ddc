//! Bytes that two servers could read differently. Each is refused, the connection ends with it, and the good request that
//! stands behind it is never looked at.
//! The cases are those of the field's smuggling corpora.

use dmz_relay::domain::Refusal;

use crate::harness::peers::honest;
use crate::harness::{Call, Rig, Setup};
use crate::refusals::pipelined;

const PREFIX: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
[routes.below]
path = "/below/*"
methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
verify.dangerously_none = true
upstream = "app"
"#;

async fn all(cases: &[(Refusal, &[u8])]) {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    for (refusal, bytes) in cases {
        let shown = String::from_utf8_lossy(bytes).chars().take(200).collect::<String>();
        let answer = rig.refused(*refusal, pipelined(&rig, bytes)).await;
        assert!(answer.status >= 400, "{shown}");
    }
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}

/// A POST to a good route with these field lines and this body.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n{fields}\r\n{body}").into_bytes()
}

fn target(target: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

async fn each(refusal: Refusal, cases: &[Vec<u8>]) {
    let cases: Vec<_> = cases.iter().map(|bytes| (refusal, &bytes[..])).collect();
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_stated_twice_or_oddly() {
    let lengths = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        "Content-Length: 2\r\nContent-Length: 3\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 0x2\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 2 2\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: \r\n",
        "Content-Length: 2.0\r\n",
        "Content-Length: 2;a\r\n",
    ];
    each(Refusal::FramingAmbiguous, &lengths.map(|fields| post(fields, "{}"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfer_codings_other_than_plain_chunked() {
    let codings = [
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "identity",
        "chunked,",
        ",chunked",
        "\"chunked\"",
    ]
    .map(|coding| post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"));
    each(Refusal::FramingAmbiguous, &codings).await;
    let twice = post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    each(Refusal::FramingAmbiguous, &[twice]).await;
    let control = post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n");
    each(Refusal::HeadMalformed, &[control]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_with_new_framing() {
    let host = "Host: relay.example\r\n";
    all(&[
        (
            Refusal::FramingAmbiguous,
            format!("POST /hooks/plain HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").as_bytes(),
        ),
        (Refusal::FramingAmbiguous, format!("POST /hooks/plain HTTP/1.0\r\n{host}\r\n{{}}").as_bytes()),
        (Refusal::HeadMalformed, b"POST /hooks/plain\r\n\r\n"),
        (Refusal::HeadMalformed, b"GET /hooks/plain\r\n"),
        (Refusal::VersionUnsupported, format!("POST /hooks/plain HTTP/1.2\r\n{host}\r\n").as_bytes()),
        (Refusal::VersionUnsupported, format!("POST /hooks/plain HTTP/3.0\r\n{host}\r\n").as_bytes()),
        (Refusal::HeadMalformed, format!("POST /hooks/plain http/1.1\r\n{host}\r\n").as_bytes()),
        (Refusal::HeadMalformed, format!("POST /hooks/plain HTTP/1.1 x\r\n{host}\r\n").as_bytes()),
    ])
    .await;
    // The preface of HTTP/2 where HTTP/1.1 was agreed on.
    each(Refusal::VersionUnsupported, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_white_space_and_control_bytes() {
    let lines = [
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tX-Folded: a\r\n",
        "X-Folded: a\r\n b\r\n",
        "X-Folded: a\r\n\tb\r\n",
        "X-Bare: a\rb\r\n",
        "X-Nul: a\0b\r\n",
        "X-Del: a\x7fb\r\n",
        "X-Bell: \x07\r\n",
        "X-Sig\u{e9}: a\r\n",
        "X Sig: a\r\n",
        "X-Sig\r\n",
        ": a\r\n",
        "X-Hub-Signature-256 : a\r\n",
    ];
    each(Refusal::HeadMalformed, &lines.map(|fields| post(fields, ""))).await;
    let feeds = [
        b"POST /hooks/plain HTTP/1.1\nHost: relay.example\n\n".to_vec(),
        b"POST /hooks/plain HTTP/1.1\r\nHost: relay.example\nContent-Length: 0\r\n\r\n".to_vec(),
        b"POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 0\r\n\n".to_vec(),
        b"\nPOST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n\r\n".to_vec(),
    ];
    each(Refusal::HeadMalformed, &feeds).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_are_none() {
    let chunks = [
        "1ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        "0x1\r\n{\r\n0\r\n\r\n",
        "+1\r\n{\r\n0\r\n\r\n",
        "1 1\r\n{\r\n0\r\n\r\n",
        " 1\r\n{\r\n0\r\n\r\n",
        "1 \r\n{\r\n0\r\n\r\n",
        "-1\r\n{\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        ";a=b\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2;a\n{}\r\n0\r\n\r\n",
        "2;a\r\r\n{}\r\n0\r\n\r\n",
        "0\r\nX: a\n\r\n",
        "0\r\n\n",
    ];
    each(Refusal::BodyMalformed, &chunks.map(|chunks| post("Transfer-Encoding: chunked\r\n", chunks))).await;
    let extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(1 << 20));
    let trailers = format!("0\r\nX-Trailer: {}\r\n\r\n", "a".repeat(64 * 1024));
    let many = format!("0\r\n{}\r\n", "X-Trailer: a\r\n".repeat(10_000));
    let long = [extension, trailers, many].map(|body| post("Transfer-Encoding: chunked\r\n", &body));
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    for bytes in long {
        rig.refused(Refusal::BodyMalformed, async {
            // The relay may stop reading before all of it was sent.
            let mut wire = rig.connect().await;
            let _ = wire.try_send(&bytes).await;
            wire.answer().await
        })
        .await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts() {
    let host = |lines: &str| format!("POST /hooks/plain HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n").into_bytes();
    let lines = [
        "",
        "Host: relay.example\r\nHost: relay.example\r\n",
        "Host: relay.example\r\nhost: other.example\r\n",
        "Host: user@relay.example\r\n",
        "Host: relay.example/path\r\n",
        "Host: relay example\r\n",
        "Host: relay.example, other.example\r\n",
        "Host: \r\n",
        "Host: relay.example:\r\n",
        "Host: relay.example:99999\r\n",
        "Host: relay.example:80:80\r\n",
        "Host: [::1\r\n",
        "Host: rel\u{e4}y.example\r\n",
    ];
    each(Refusal::HostInvalid, &lines.map(host)).await;
    let absolute = [
        "http://other.example/hooks/plain",
        "https://relay.example:1/hooks/plain",
        "https://user@relay.example/hooks/plain",
        "https:///hooks/plain",
    ];
    each(Refusal::HostInvalid, &absolute.map(target)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_servers_read_differently() {
    let paths = [
        "/below/..%2fplain",
        "/below/%2e%2e/hooks/plain",
        "/below/..;/hooks/plain",
        "/below/..;x=1/hooks/plain",
        "/below\\..\\hooks\\plain",
        "/below//plain",
        "//below/plain",
        "/below/%252e%252e/plain",
        "/below/a%00b",
        "/below/%c0%ae%c0%ae/plain",
        "/below/../hooks/plain",
        "/below/./plain",
        "/below/.",
        "/below/%",
        "/below/%zz",
        "/below/a%0d%0ab",
        "/below/a%5cb",
        "/below/plain#fragment",
        "below/plain",
        "*",
        "ftp://relay.example/hooks/plain",
    ];
    each(Refusal::HeadMalformed, &paths.map(target)).await;
    let spaces = ["/below/a b", "/below/a\tb", "/below/a\x01b", "/below/a\x7fb", "/below/\u{e9}", ""];
    each(Refusal::HeadMalformed, &spaces.map(target)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_options_expectations_and_upgrades() {
    for (refusal, fields) in [
        (Refusal::ConnectionOptionInvalid, "Connection: close, x-hub-signature-256\r\n"),
        (Refusal::ConnectionOptionInvalid, "Connection: keep-alive, Content-Length\r\n"),
        (Refusal::ConnectionOptionInvalid, "Connection: Upgrade\r\n"),
        (Refusal::ExpectationUnsupported, "Expect: 100-continuee\r\n"),
        (Refusal::ExpectationUnsupported, "Expect: 100-continue\r\nExpect: 100-continue\r\n"),
        (Refusal::ExpectationUnsupported, "Expect: \r\n"),
        (Refusal::ExpectationUnsupported, "Expect: 200-ok\r\n"),
        (Refusal::UpgradeUnsupported, "Upgrade: websocket\r\n"),
        (Refusal::UpgradeUnsupported, "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
    ] {
        each(refusal, &[post(&format!("{fields}Content-Length: 2\r\n"), "{}")]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_no_route_can_allow() {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    for method in ["CONNECT", "TRACE", "TRACK", "PRI", "post", "BREW"] {
        let head = format!("{method} /below/a HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\n\r\n{{}}");
        rig.refused(Refusal::MethodNotAllowed, pipelined(&rig, head)).await;
    }
    let connect = "CONNECT relay.example:443 HTTP/1.1\r\nHost: relay.example:443\r\nContent-Length: 2\r\n\r\n{}";
    rig.refused(Refusal::MethodNotAllowed, pipelined(&rig, connect)).await;
    for method in ["GET", "DELETE", "HEAD"] {
        let head = format!("{method} /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = if method == "HEAD" {
            let mut wire = rig.connect().await;
            wire.send(head).await;
            wire.half_close().await;
            wire.head_answer().await
        } else {
            rig.refused(Refusal::MethodNotAllowed, pipelined(&rig, head)).await
        };
        assert_eq!((answer.status, answer.field("allow")), (405, Some("POST")));
    }
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes() {
    let start = "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n";
    let cases = [
        format!("{start}{}\r\n", "X-Many: a\r\n".repeat(300)),
        format!("{start}X-Large: {}\r\n\r\n", "a".repeat(900 * 1024)),
        format!("POST /below/{} HTTP/1.1\r\nHost: relay.example\r\n\r\n", "a".repeat(64 * 1024)),
        format!("{} /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n\r\n", "A".repeat(40 * 1024)),
        "a".repeat(100_000),
    ];
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    for bytes in cases {
        rig.refused(Refusal::HeadTooLarge, async {
            let mut wire = rig.connect().await;
            let _ = wire.try_send(&bytes).await;
            wire.answer().await
        })
        .await;
    }
    rig.finish().await;
}

/// An answer before the body came: whatever comes then is no request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_ends_the_connection() {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    let inner = Call::post("/hooks/plain").h1();
    let outer = Call::post("/nowhere").body(&inner).h1();
    rig.refused(Refusal::RouteUnknown, pipelined(&rig, &outer)).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_good_requests_are_answered_in_order() {
    let app = honest::answers(|seen| {
        let status = if seen.body == b"2" { 500 } else { 200 };
        format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let rig = Rig::with_app(Setup::routes(PREFIX), app).await;
    let calls: Vec<u8> = ["1", "2", "3"].iter().flat_map(|body| Call::post("/hooks/plain").body(body).h1()).collect();
    let mut wire = rig.connect().await;
    wire.send(&calls).await;
    for status in [200, 502, 200] {
        assert_eq!(wire.answer().await.status, status);
    }
    let bodies: Vec<_> = rig.app.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"1", b"2", b"3"]);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_in_single_bytes_is_one_head() {
    let rig = Rig::plain().await;
    let mut wire = rig.connect().await;
    for byte in Call::post("/hooks/plain").field("X-A", "b").chunked().h1() {
        wire.send([byte]).await;
    }
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(rig.app.last().body, b"{}");
    rig.finish().await;
}

/// Every other target that is let in also goes on, byte for byte: nothing the relay admits does it fail to write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_admitted_target_arrives_as_it_was() {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    let mut wire = rig.connect().await;
    for byte in 0x21..=0x7e_u8 {
        for target in [format!("/below/a{}b", char::from(byte)), format!("/below/a?q={}b", char::from(byte))] {
            wire.send(Call::post(&target).h1()).await;
            let answer = wire.answer().await;
            match answer.status {
                200 => assert_eq!(rig.app.last().target(), target),
                400 => wire = rig.connect().await,
                other => panic!("{other} for {target}: {}", rig.log.of(answer.id()).await),
            }
        }
    }
    assert!(rig.app.seen().len() > 150);
    rig.finish().await;
}

/// What HTTP/2 itself calls malformed ends the stream; the relay does not even see a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_streams_that_are_malformed() {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    for call in [
        Call::post("/hooks/plain").field("content-length", "+2").chunked(),
        Call::post("/hooks/plain").field("content-length", "1").chunked(),
        Call::post("/hooks/plain").field("content-length", "3").chunked(),
    ] {
        let mut h2 = rig.h2().await;
        let error = h2.try_send(&call).await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR), "{call:?}");
        assert_eq!(h2.send(&Call::post("/hooks/plain")).await.status, 200, "the connection goes on");
    }
    assert_eq!(rig.app.seen().len(), 3);
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

/// HTTP/1.0 gets one request a connection, whatever it says of keeping it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_gets_one_request() {
    let rig = Rig::start(Setup::routes(PREFIX)).await;
    let head =
        "POST /hooks/plain HTTP/1.0\r\nHost: relay.example\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}";
    let answer = pipelined(&rig, head).await;
    assert_eq!((answer.status, rig.app.seen().len()), (200, 1));
    rig.finish().await;
}
