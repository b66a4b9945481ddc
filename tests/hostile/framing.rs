//! G1: where a message ends. Two servers that disagree about that are how requests are smuggled.

use dmz_relay::domain::Refusal::{
    BodyMalformed, ConnectionOptionInvalid, ExpectationUnsupported, FramingAmbiguous, HeadMalformed, HostInvalid,
    MethodNotAllowed, RouteUnknown, SignatureMissing, UpgradeUnsupported, VersionUnsupported,
};

use crate::harness::{Call, Rig};
use crate::table::{Case, Ends, behind, post, row, run, setup, signature};

const HOST: &str = "Host: relay.example\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[expect(clippy::too_many_lines, reason = "a table")]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        row(
            1,
            "Content-Length, then Transfer-Encoding",
            post(&format!("Content-Length: 6\r\n{CHUNKED}"), "0\r\n\r\nX"),
            FramingAmbiguous,
        ),
        row(
            1,
            "Transfer-Encoding, then Content-Length",
            post(&format!("{CHUNKED}Content-Length: 6\r\n"), "0\r\n\r\nX"),
            FramingAmbiguous,
        ),
        row(2, "two different lengths", post("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"), FramingAmbiguous),
        row(3, "two identical lengths", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), FramingAmbiguous),
        row(3, "a list of identical lengths", post("Content-Length: 2, 2\r\n", "{}"), FramingAmbiguous),
    ];
    for length in ["+2", "0x2", "-1", "2 2", "99999999999999999999", "", "2.0", "2;a", "\"2\"", "2,", "\u{ff12}"] {
        let refusal = FramingAmbiguous;
        cases.push(row(
            4,
            &format!("Content-Length: {length}"),
            post(&format!("Content-Length: {length}\r\n"), "{}"),
            refusal,
        ));
    }
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity, chunked",
        "gzip, chunked",
        "identity",
        "chunked,",
        ",chunked",
        "\"chunked\"",
        "chunked;q=1",
        "",
    ] {
        cases.push(row(
            5,
            &format!("Transfer-Encoding: {coding}"),
            post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"),
            FramingAmbiguous,
        ));
    }
    cases.extend([
        row(5, "Transfer-Encoding twice", post(&format!("{CHUNKED}{CHUNKED}"), "0\r\n\r\n"), FramingAmbiguous),
        row(5, "a vertical tab before chunked", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"), HeadMalformed),
        row(6, "a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), HeadMalformed),
        row(6, "a line that begins with a space", post(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), HeadMalformed),
        row(6, "a tab before the colon", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), HeadMalformed),
        row(
            7,
            "chunks in HTTP/1.0",
            format!("POST /hooks/plain HTTP/1.0\r\n{HOST}{CHUNKED}\r\n0\r\n\r\n"),
            FramingAmbiguous,
        ),
        row(
            7,
            "a body without a length in HTTP/1.0",
            format!("POST /hooks/plain HTTP/1.0\r\n{HOST}\r\n{{}}"),
            FramingAmbiguous,
        ),
        row(7, "HTTP/0.9", "GET /hooks/plain\r\n", HeadMalformed),
        row(7, "HTTP/0.9 with fields", format!("POST /hooks/plain\r\n{HOST}\r\n"), HeadMalformed),
        row(
            7,
            "HTTP/1.2",
            format!("POST /hooks/plain HTTP/1.2\r\n{HOST}Content-Length: 0\r\n\r\n"),
            VersionUnsupported,
        ),
        row(
            7,
            "HTTP/3.0",
            format!("POST /hooks/plain HTTP/3.0\r\n{HOST}Content-Length: 0\r\n\r\n"),
            VersionUnsupported,
        ),
        row(7, "http/1.1 in small letters", format!("POST /hooks/plain http/1.1\r\n{HOST}\r\n"), HeadMalformed),
        row(7, "a fourth word", format!("POST /hooks/plain HTTP/1.1 x\r\n{HOST}\r\n"), HeadMalformed),
    ]);
    for (what, chunks) in [
        ("a size that overflows", "1ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a size of 0x1", "0x1\r\n{\r\n0\r\n\r\n"),
        ("a size of +1", "+1\r\n{\r\n0\r\n\r\n"),
        ("a size of -1", "-1\r\n{\r\n0\r\n\r\n"),
        ("a size of 1 1", "1 1\r\n{\r\n0\r\n\r\n"),
        ("a space before the size", " 1\r\n{\r\n0\r\n\r\n"),
        ("a space behind the size", "1 \r\n{\r\n0\r\n\r\n"),
        ("no size", "\r\n{}\r\n0\r\n\r\n"),
        ("an extension without a size", ";a=b\r\n{}\r\n0\r\n\r\n"),
        ("no line end behind the data", "2\r\n{}0\r\n\r\n"),
        ("a bare line feed behind the data", "2\r\n{}\n0\r\n\r\n"),
        ("a bare line feed behind the size", "2\n{}\r\n0\r\n\r\n"),
        ("a bare line feed behind the last chunk", "0\r\n\n"),
    ] {
        cases.push(row(8, what, post(CHUNKED, chunks), BodyMalformed));
    }
    cases.extend([
        row(9, "a bare line feed behind an extension", post(CHUNKED, "2;a\n{}\r\n0\r\n\r\n"), BodyMalformed),
        row(9, "a carriage return in an extension", post(CHUNKED, "2;a\rb\r\n{}\r\n0\r\n\r\n"), BodyMalformed),
        row(
            9,
            "an extension of a mebibyte",
            post(CHUNKED, &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(1 << 20))),
            BodyMalformed,
        ),
        row(
            10,
            "bare line feeds only",
            "POST /hooks/plain HTTP/1.1\nHost: relay.example\nContent-Length: 0\n\n",
            HeadMalformed,
        ),
        row(
            10,
            "one bare line feed",
            "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\nContent-Length: 0\r\n\r\n",
            HeadMalformed,
        ),
        row(
            10,
            "a bare line feed at the end",
            "POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 0\r\n\n",
            HeadMalformed,
        ),
        row(
            10,
            "a line feed in front",
            "\nPOST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 0\r\n\r\n",
            HeadMalformed,
        ),
    ]);
    for (what, line) in [
        ("a bare carriage return in a value", "X-A: a\rb"),
        ("NUL in a value", "X-A: a\0b"),
        ("DEL in a value", "X-A: a\x7fb"),
        ("a bell in a value", "X-A: \x07"),
        ("a folded line", "X-A: a\r\n b"),
        ("a line folded with a tab", "X-A: a\r\n\tb"),
        ("a letter beyond ASCII in a name", "X-\u{e9}: a"),
        ("a space in a name", "X A: a"),
        ("no colon", "X-A"),
        ("no name", ": a"),
    ] {
        cases.push(row(10, what, post(&format!("{line}\r\nContent-Length: 0\r\n"), ""), HeadMalformed));
    }
    let inner = Call::post("/hooks/plain").h1();
    let outer = Call::post("/nowhere").body(&inner).h1();
    cases.extend([
        row(11, "a request inside the body of one that is answered early", outer, RouteUnknown),
        row(
            12,
            "an invitation that nobody waits for",
            post("Expect: 100-continue\r\nContent-Length: 2\r\n", "{}"),
            Ends::Delivered,
        ),
        row(
            12,
            "refused before the invitation",
            "POST /nowhere HTTP/1.1\r\nHost: relay.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            RouteUnknown,
        ),
    ]);
    for expectation in ["100-continuee", "200-ok", "", "100-continue, 100-continue"] {
        cases.push(row(
            13,
            &format!("Expect: {expectation}"),
            post(&format!("Expect: {expectation}\r\nContent-Length: 2\r\n"), "{}"),
            ExpectationUnsupported,
        ));
    }
    cases.extend([
        row(
            13,
            "Expect twice",
            post("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n", "{}"),
            ExpectationUnsupported,
        ),
        row(
            14,
            "a good request behind a refused one",
            "POST /nowhere HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 2\r\n\r\n{}",
            RouteUnknown,
        ),
        row(15, "a good request behind a good one", post("Content-Length: 2\r\n", "{}"), Ends::Delivered),
        row(16, "Upgrade: websocket", post("Upgrade: websocket\r\nContent-Length: 2\r\n", "{}"), UpgradeUnsupported),
        row(
            16,
            "Connection: Upgrade",
            post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n", "{}"),
            ConnectionOptionInvalid,
        ),
        row(
            16,
            "Upgrade: h2c",
            post("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n", "{}"),
            UpgradeUnsupported,
        ),
        row(
            17,
            "CONNECT in its own form",
            format!("CONNECT relay.example:443 HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}"),
            MethodNotAllowed,
        ),
        row(17, "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VersionUnsupported),
    ]);
    for method in ["CONNECT", "TRACE", "TRACK", "PRI", "BREW", "post"] {
        let bytes = format!("{method} /below/a HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}");
        cases.push(row(17, method, bytes, MethodNotAllowed));
    }
    for method in ["GET", "DELETE"] {
        let bytes = format!("{method} /hooks/plain HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}");
        cases.push(row(18, &format!("{method} with a body"), bytes, MethodNotAllowed));
    }
    let in_trailer = format!("2\r\n{{}}\r\n0\r\nX-Hub-Signature-256: {}\r\n\r\n", signature("{}"));
    let signed = format!("POST /hooks/signed HTTP/1.1\r\n{HOST}{CHUNKED}\r\n{in_trailer}");
    cases.extend([
        row(19, "the signature in a trailer", signed, Ends::Turned(SignatureMissing)),
        row(19, "an ordinary trailer", post(CHUNKED, "2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n"), Ends::Delivered),
        row(
            19,
            "a trailer of 64 KiB",
            post(CHUNKED, &format!("0\r\nX-T: {}\r\n\r\n", "a".repeat(64 * 1024))),
            BodyMalformed,
        ),
        row(19, "10 000 trailers", post(CHUNKED, &format!("0\r\n{}\r\n", "X-T: a\r\n".repeat(10_000))), BodyMalformed),
        row(19, "a bare line feed in a trailer", post(CHUNKED, "0\r\nX-T: a\n\r\n"), BodyMalformed),
    ]);
    // Here because its framing is what is odd; the table has it under authority.
    cases.push(row(21, "no fields at all", "POST /hooks/plain HTTP/1.1\r\n\r\n", HostInvalid));
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_g1() {
    run(&cases()).await;
}

/// 12: the body that was announced and never comes ends with its deadline; the invitation was sent once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_invited_and_never_comes() {
    let rig = Rig::start(setup().limits("body_timeout = \"200ms\"")).await;
    let mut wire = rig.connect().await;
    wire.send("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 100);
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.closes()), (408, true));
    wire.ended().await;
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}

/// 14, 15: whatever was answered before it, each request of a connection is verified for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_request_behind_a_genuine_one() {
    let rig = Rig::start(setup()).await;
    let call =
        |body: &str, of: &str| Call::post("/hooks/signed").field("X-Hub-Signature-256", &signature(of)).body(body).h1();
    let mut wire = rig.connect().await;
    wire.send([call("1", "1"), call("2", "1"), call("3", "3"), behind()].concat()).await;
    for status in [200, 401, 200, 200] {
        assert_eq!(wire.answer().await.status, status);
    }
    let bodies: Vec<_> = rig.app.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [&b"1"[..], b"3", b"behind"]);
    rig.finish().await;
}
