//! What RFC 9110, 9112 and 9113 let a sender write, and what it is refused all the same; `framing` has what no sender may write.

use std::time::Duration;

use dmz_relay::domain::Refusal;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::harness::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RESET, frame, frames};
use crate::harness::{BOTH, Call, LONG, PLAIN, Protocol, Rig, Setup, eventually};
use crate::refusals::pipelined;

const BELOW: &str = r#"
[routes.below]
path = "/below/*"
methods = ["POST", "OPTIONS"]
verify.dangerously_none = true
upstream = "app"
"#;

fn setup() -> Setup {
    Setup::routes(&format!("{PLAIN}{BELOW}"))
}

/// A request line and fields with this body, whole.
fn post(fields: &str, body: &str) -> String {
    format!("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n{fields}\r\n{body}")
}

/// Each with what the application sees, and whether the connection serves another request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_clients_may_send_are_accepted() {
    let length = "Content-Length: 2\r\n";
    let with = |field: &str| post(&format!("{field}\r\n{length}"), "{}");
    let to = |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\n{length}\r\n{{}}");
    let chunked = |name: &str| post(&format!("Transfer-Encoding: {name}\r\n"), "2\r\n{}\r\n0\r\n\r\n");
    let kept = [
        // RFC 9112 section 7: the names of codings have no case.
        chunked("Chunked"),
        chunked("CHUNKED"),
        chunked(" chunked\t"),
        // RFC 9110 section 5.6.1.2: empty elements of a list.
        with("Connection:"),
        with("Connection: ,"),
        with("Connection: keep-alive,"),
        with("Connection: , keep-alive , ,"),
        with("connection: Keep-Alive\r\nConnection: TE,"),
        with("TE: trailers\r\nConnection: TE"),
        with("TE: trailers, deflate;q=0.5"),
        with("Keep-Alive: timeout=5, max=100\r\nProxy-Connection: keep-alive"),
        // RFC 9110 section 8.6: digits, and no number of them.
        post("Content-Length: 002\r\n", "{}"),
        post("content-length:2\r\n", "{}"),
        post("CONTENT-LENGTH: \t2 \r\n", "{}"),
        with("X-Empty:\r\nX-Latin: \u{e9}"),
        with("Expect: 100-Continue"),
        // RFC 9112 section 3.2.2, where it says the same as `Host`.
        to("POST http://relay.example/hooks/plain HTTP/1.1", "relay.example"),
        to("POST HTTPS://Relay.Example/hooks/plain HTTP/1.1", "relay.example"),
        to("POST https://relay.example:8443/hooks/plain HTTP/1.1", "relay.example:8443"),
        to("POST /hooks/plain HTTP/1.1", "RELAY.example"),
        to("POST /hooks/plain HTTP/1.1", "relay.example."),
        to("POST /hooks/plain HTTP/1.1", "relay.example:443"),
        // RFC 9112 section 7.1.
        post("Transfer-Encoding: chunked\r\n", "1;a=b;c=\"d\"\r\n{\r\n001\r\n}\r\n000;last\r\nX-T: a\r\nX-U:\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", "2\r\n{}\r\n0\r\nX-T: a\r\n\r\n"),
        // RFC 9112 section 2.2: empty lines before a request.
        format!("\r\n{}", post(length, "{}")),
        format!("{}{}", "\r\n".repeat(8), post(length, "{}")),
    ];
    let closed = [
        with("Connection: close,"),
        with("Connection: ,CLOSE"),
        with("Connection: close\r\nConnection: keep-alive"),
        format!("POST /hooks/plain HTTP/1.0\r\nHost: relay.example\r\nConnection: keep-alive,\r\n{length}\r\n{{}}"),
    ];
    let rig = Rig::start(setup()).await;
    let rows = kept.iter().map(|row| (row, false)).chain(closed.iter().map(|row| (row, true)));
    let mut wire = rig.connect().await;
    for (number, (row, closes)) in rows.enumerate() {
        wire.send(row).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.closes()), (200, closes), "{row:?}: {}", rig.log.text());
        let seen = rig.app.seen();
        assert_eq!((seen.len(), &seen[number].body[..]), (number + 1, &b"{}"[..]), "{row:?}");
        assert_eq!(seen[number].target(), "/hooks/plain", "{row:?}");
        assert_eq!(seen[number].field("TE").or(seen[number].field("Trailer")), None, "{row:?}");
        if closes {
            wire.ended().await;
            wire = rig.connect().await;
        }
    }
    rig.finish().await;
}

/// Forms next to those, where leniency would have two servers read one message differently, or where nobody needs it. Each ends the
/// connection, and the good request behind it is not looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_that_stay_refused() {
    let rig = Rig::start(setup()).await;
    let length = "Content-Length: 2\r\n";
    let coded = |value: &str| post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
    let with = |field: &str| post(&format!("{field}\r\n{length}"), "{}");
    let to = |line: &str, host: &str| format!("{line}\r\nHost: {host}\r\n{length}\r\n{{}}");
    for (refusal, row) in [
        (Refusal::FramingAmbiguous, coded("Chunked,")),
        (Refusal::FramingAmbiguous, coded(",CHUNKED")),
        (Refusal::FramingAmbiguous, coded("CHUNKED, chunked")),
        (Refusal::FramingAmbiguous, coded("Chunked;a=b")),
        (Refusal::FramingAmbiguous, coded("Identity")),
        (Refusal::FramingAmbiguous, post("Content-Length: 2,\r\n", "{}")),
        (Refusal::FramingAmbiguous, post("Content-Length: 02, 2\r\n", "{}")),
        (Refusal::FramingAmbiguous, post("Content-Length: 0000000000000000002\r\n", "{}")),
        (Refusal::FramingAmbiguous, post("Content-Length: 2\r\ncontent-length: 02\r\n", "{}")),
        (Refusal::FramingAmbiguous, post("Content-Length: 0\r\nTransfer-Encoding: Chunked\r\n", "0\r\n\r\n")),
        (Refusal::ConnectionOptionInvalid, with("Connection: keep-alive,,x-a")),
        (Refusal::ConnectionOptionInvalid, with("Connection: \"close\"")),
        (Refusal::ConnectionOptionInvalid, with("Connection: close keep-alive")),
        (Refusal::ExpectationUnsupported, with("Expect: 100-continue,")),
        (Refusal::ExpectationUnsupported, with("Expect:")),
        (Refusal::HostInvalid, to("POST http://relay.example:80/hooks/plain HTTP/1.1", "relay.example")),
        (Refusal::HostInvalid, to("POST http://relay.example./hooks/plain HTTP/1.1", "relay.example")),
        (Refusal::HeadMalformed, to("POST http://relay.example HTTP/1.1", "relay.example")),
        (Refusal::HeadMalformed, to("POST http://relay.example?a HTTP/1.1", "relay.example")),
        (Refusal::HeadMalformed, to("OPTIONS * HTTP/1.1", "relay.example")),
        (Refusal::HeadMalformed, format!("{}{}", "\r\n".repeat(9), post(length, "{}"))),
        (Refusal::HeadMalformed, format!("\r\n\n{}", post(length, "{}"))),
        (Refusal::HeadMalformed, format!("\r\r\n{}", post(length, "{}"))),
        (Refusal::HeadMalformed, format!("\r\n {}", post(length, "{}"))),
        (Refusal::BodyMalformed, post("Transfer-Encoding: Chunked\r\n", "2 ;a\r\n{}\r\n0\r\n\r\n")),
    ] {
        println!("{row:?}");
        rig.refused(refusal, pipelined(&rig, row)).await;
    }
    rig.finish().await;
}

/// An empty line on a kept connection is no beginning of a head: the sender has as long as on any idle connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_line_between_requests_starts_no_timer() {
    let rig = Rig::start(setup().limits("head_timeout = \"2s\"\nidle_timeout = \"10m\"")).await;
    for noise in ["\r\n", "\r\n\r\n", "\r", ""] {
        let mut wire = rig.connect().await;
        wire.send([Call::post("/hooks/plain").h1(), noise.into()].concat()).await;
        assert_eq!(wire.answer().await.status, 200);
        let began = Instant::now();
        eventually("the head's time is over", async || began.elapsed() > Duration::from_secs(3)).await;
        let rest = if noise == "\r" { "\n" } else { "" };
        wire.send([rest.into(), Call::post("/hooks/plain").h1()].concat()).await;
        assert_eq!(wire.answer().await.status, 200, "{noise:?}");
    }
    rig.finish().await;
}

/// And it does not begin the time of an idle connection again, however many come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_lines_keep_no_connection_open() {
    let rig = Rig::start(setup().limits("idle_timeout = \"200ms\"")).await;
    let mut wire = rig.connect().await;
    wire.send([&Call::post("/hooks/plain").h1(), &b"\r\n"[..]].concat()).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.ended().await;
    assert_eq!(rig.metric("dmz_relay_requests_total", &[]), 1.0, "an idle connection ends without a word");
    rig.finish().await;
}

/// A sender that compresses each piece of its cookies for itself has sent one field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_a_cookie_are_one_field() {
    let routes = format!("{PLAIN}headers = {{ \"Cookie\" = [\"a=1; b=2; c=3\"] }}\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    let call = |cookies: &[&str]| {
        cookies.iter().fold(Call::post("/hooks/plain"), |call, cookie| call.field("cookie", cookie).field("x-a", "b"))
    };
    rig.delivers(Protocol::H2, &call(&["a=1", "b=2", "c=3"])).await;
    rig.delivers(Protocol::H2, &call(&["a=1; b=2", "c=3"])).await;
    for protocol in BOTH {
        rig.delivers(protocol, &call(&["a=1; b=2; c=3"])).await;
        rig.refused(Refusal::HeaderRequired, rig.send(protocol, &call(&["a=1", "b=2"]))).await;
    }
    rig.finish().await;
}

/// The query belongs to the application: it gets what was sent, also where it is no list of names and values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_arrives_as_it_was_sent() {
    let rig = Rig::start(setup()).await;
    for query in [
        "",
        "?",
        "??",
        "?&",
        "?&&",
        "?=",
        "?a",
        "?a=",
        "?=b",
        "?a=1&&b=2",
        "?a=1&",
        "?&a=1",
        "?a=1&a=1",
        "?a;b",
        "?%zz",
        "?%",
        "?a+b=%20",
        "?a=b=c",
        "?a=/../b//c",
        "?a=?b",
        "?%2e%2e%2f",
        "?a=%00",
        "?[]={}|^",
    ] {
        for protocol in BOTH {
            let target = format!("/below/a{query}");
            if protocol == Protocol::H1 || query != "?[]={}|^" {
                rig.delivers(protocol, &Call::post(&target)).await;
                assert_eq!(rig.app.last().target(), target, "{protocol:?}");
            }
        }
    }
    rig.finish().await;
}

/// What is taken out takes one separator along; what is put in comes behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_its_secret_is_as_it_was_sent() {
    let routes = "[routes.stripped]\npath = \"/stripped\"\nverify.token = { query = \"key\" }\n\
                  secrets = [{ file = \"secrets/key\" }]\nupstream = \"app\"\n\
                  [routes.added]\npath = \"/added\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
                  upstream_query = { \"ours\" = { file = \"secrets/ours\" } }\n";
    let setup = Setup::routes(routes).file("secrets/key", "a-key-of-some-length").file("secrets/ours", "1");
    let rig = Rig::start(setup).await;
    for (sent, arrives) in [
        ("?K", ""),
        ("?K&", "?"),
        ("?&K", "?"),
        ("?K&a=1", "?a=1"),
        ("?a=1&K", "?a=1"),
        ("?a=1&K&b=2", "?a=1&b=2"),
        ("?a=1&&K&&b=2", "?a=1&&&b=2"),
        ("?K&&b", "?&b"),
        ("?a+b=%zz&K&=", "?a+b=%zz&="),
        ("?%3d&K", "?%3d"),
    ] {
        let sent = sent.replace('K', "key=a-key-of-some-length");
        rig.delivers(Protocol::H1, &Call::post(&format!("/stripped{sent}"))).await;
        assert_eq!(rig.app.last().target(), format!("/stripped{arrives}"), "{sent}");
    }
    for (sent, arrives) in [
        ("", "?ours=1"),
        ("?", "?ours=1"),
        ("?a=1", "?a=1&ours=1"),
        ("?a=1&", "?a=1&&ours=1"),
        ("?a&&b", "?a&&b&ours=1"),
    ] {
        rig.delivers(Protocol::H2, &Call::post(&format!("/added{sent}"))).await;
        assert_eq!(rig.app.last().target(), format!("/added{arrives}"), "{sent}");
    }
    rig.finish().await;
}

/// An HTTP/2 connection on which every field stands as its bytes, whatever they are.
struct Raw {
    frames: Frames,
    said: Vec<u8>,
    next: u32,
}

impl Raw {
    async fn open(rig: &Rig) -> Self {
        Self { frames: Frames::open(rig).await, said: Vec::new(), next: 1 }
    }

    /// The status of the answer to one head, or the error that ended the stream or the connection.
    async fn ask(&mut self, block: &[u8]) -> String {
        let stream = self.next;
        self.next += 2;
        self.frames.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, block)).await.unwrap();
        loop {
            for (kind, of, payload) in frames(&self.said) {
                let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
                match kind {
                    HEADERS if of == stream => {
                        return match payload[0] {
                            0x88 => "200".into(),
                            0x8c => "400".into(),
                            other => format!("{other:x}"),
                        };
                    }
                    RESET if of == stream => return format!("reset {}", code(0)),
                    GOAWAY => return format!("goaway {}", code(4)),
                    _ => {}
                }
            }
            let read = timeout(LONG, self.frames.read.read_buf(&mut self.said)).await.expect("an answer in time");
            assert!(matches!(read, Ok(1..)), "the end without a word");
        }
    }
}

/// A POST to a target, which stands there as this kind of literal.
fn block(kind: u8, target: &[u8]) -> Vec<u8> {
    let length = u8::try_from(target.len()).unwrap();
    [&[0x83, 0x87, kind, length], target, &[0x01, 13], b"relay.example"].concat()
}

/// One grammar for targets: what one protocol refuses, the other one does not take, byte by byte, in the path and in the query.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_take_the_same_targets() {
    let rig = Rig::start(setup()).await;
    let (mut wire, mut raw) = (rig.connect().await, Raw::open(&rig).await);
    let bytes = (0..=0xff_u8).flat_map(|byte| {
        let around = |before: &[u8]| [before, &[byte], b"b"].concat();
        [around(b"/below/a"), around(b"/below/a?q=")]
    });
    let spelled = [
        "/below/a#",
        "/below/#b",
        "/below/a?#",
        "/below/a?b#c?d",
        "/below/a%23b",
        "/below/%2523",
        "*",
        "below/a",
        "/below/a/",
    ];
    let (mut taken, mut wrong) = (0, String::new());
    for target in bytes.chain(spelled.map(|text| text.as_bytes().to_vec())) {
        let head = [b"POST ", &target[..], b" HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 0\r\n\r\n"].concat();
        wire.send(&head).await;
        let first = wire.answer().await.status;
        if first != 200 {
            wire = rig.connect().await;
        }
        let second = raw.ask(&block(0x04, &target)).await;
        if second.starts_with("goaway") || raw.next > 80 {
            raw = Raw::open(&rig).await;
        }
        taken += usize::from(first == 200);
        // What HTTP/2 itself calls malformed is no request there, and ends as RFC 9113 section 8.1.1 says.
        let same = match first {
            200 => second == "200",
            400 => ["400", "reset 1", "goaway 1"].contains(&&*second),
            _ => false,
        };
        if !same {
            wrong.push_str(&format!("{}: {first} and {second}\n", target.escape_ascii()));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(taken > 150, "{taken}");
    drop((wire, raw));
    rig.finish().await;
}

/// However the peer's compression spells the target: as a literal, or out of its table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragment_is_refused_over_http2_and_the_connection_goes_on() {
    let rig = Rig::start(setup()).await;
    let mut raw = Raw::open(&rig).await;
    let by_reference = |index: u8| [&[0x83, 0x87, index][..], &[0x01, 13], b"relay.example"].concat();
    let fragment = b"/hooks/plain#fragment";
    for (what, block, expected) in [
        ("a literal", block(0x04, fragment), "400"),
        ("one that is never indexed", block(0x14, fragment), "400"),
        ("a good one", block(0x04, b"/hooks/plain"), "200"),
        ("one that enters the table", block(0x44, fragment), "400"),
        ("the same from the table", by_reference(0xbe), "400"),
        ("a good one that enters the table", block(0x44, b"/hooks/plain"), "200"),
        ("the same from the table", by_reference(0xbe), "200"),
        ("the first one from the table", by_reference(0xbf), "400"),
        ("an empty one", block(0x04, b"/hooks/plain#"), "400"),
    ] {
        let refused = rig.counted("refused", Refusal::HeadMalformed.code());
        let seen = rig.app.seen().len();
        assert_eq!(raw.ask(&block).await, expected, "{what}");
        let (bad, good) = if expected == "400" { (1.0, 0) } else { (0.0, 1) };
        eventually(what, async || rig.counted("refused", Refusal::HeadMalformed.code()) == refused + bad).await;
        assert_eq!(rig.app.seen().len(), seen + good, "{what}");
    }
    drop(raw);
    rig.finish().await;
}
