//! G3: HTTP/2, frame by frame. Floods that `tests/relay/floods.rs` has are not repeated here.

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::frames::*;
use crate::harness::{Call, LONG, Protocol, Rig, eventually};
use crate::table::setup;

const PRIORITY: u8 = 2;
const PADDED: u8 = 8;
/// RFC 9113 section 7.
const PROTOCOL_ERROR: u32 = 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A literal field that enters no table.
fn field(name: &str, value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).unwrap();
    [&[0, length(name.as_bytes())], name.as_bytes(), &[length(value)], value].concat()
}

/// What the relay makes of one head: the reset's error, or the reason of its refusal.
async fn verdict(rig: &Rig, block: &[u8]) -> String {
    let mut frames_of = Frames::open(rig).await;
    let lines = rig.log.events("request").len();
    frames_of.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).await.unwrap();
    let mut said = Vec::new();
    let ended = |said: &[u8]| frames(said).into_iter().find(|(kind, ..)| [HEADERS, RESET, GOAWAY].contains(kind));
    while ended(&said).is_none() {
        let read = timeout(LONG, frames_of.read.read_buf(&mut said)).await.expect("an answer in time");
        assert!(matches!(read, Ok(1..)), "the end without a word");
    }
    let (kind, _, payload) = ended(&said).unwrap();
    let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
    match kind {
        RESET => format!("reset {}", code(0)),
        GOAWAY => format!("goaway {}", code(4)),
        _ => {
            eventually("a line", async || rig.log.events("request").len() > lines).await;
            let line = rig.log.events("request").pop().unwrap();
            format!("{} {}", line["status"], line["reason"].as_str().unwrap_or_default())
        }
    }
}

/// 34, 43: fields that a translation to HTTP/1.1 could turn into something else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_malformed() {
    let rig = Rig::start(setup()).await;
    let with = |name: &str, value: &[u8]| [head(), field(name, value)].concat();
    let (post, https) = (0x83_u8, 0x87_u8);
    let path = [&[0x04, 12][..], b"/hooks/plain"].concat();
    let authority = [&[0x01, 13][..], b"relay.example"].concat();
    let reset = format!("reset {PROTOCOL_ERROR}");
    // The library takes these for a broken table, and so the connection ends with them.
    let broken = format!("goaway {PROTOCOL_ERROR}");
    let refused = |code: &str| format!("400 {code}");
    let rows = [
        ("a host that differs from :authority", with("host", b"other.example"), refused("host_invalid")),
        (
            "two hosts",
            [with("host", b"relay.example"), field("host", b"relay.example")].concat(),
            refused("host_invalid"),
        ),
        ("neither :authority nor host", [&[post, https][..], &path].concat(), refused("host_invalid")),
        ("no :path", [&[post, https][..], &authority].concat(), reset.clone()),
        ("no :method", [&[https][..], &path, &authority].concat(), reset.clone()),
        ("no :scheme", [&[post][..], &path, &authority].concat(), reset.clone()),
        ("two :path", [head(), path.clone()].concat(), reset.clone()),
        ("two :method", [vec![post], head()].concat(), reset.clone()),
        ("an unknown pseudo-field", with(":tenant", b"b"), broken.clone()),
        (":protocol without CONNECT", with(":protocol", b"websocket"), reset.clone()),
        (
            "a pseudo-field behind a field",
            [&[post, https][..], &field("x-a", b"b"), &path, &authority].concat(),
            reset.clone(),
        ),
        ("a name in capitals", with("X-A", b"b"), broken.clone()),
        ("connection", with("connection", b"close"), reset.clone()),
        ("transfer-encoding", with("transfer-encoding", b"chunked"), reset.clone()),
        ("te other than trailers", with("te", b"gzip"), reset.clone()),
        ("upgrade", with("upgrade", b"h2c"), reset.clone()),
        ("keep-alive", with("keep-alive", b"1"), reset.clone()),
        ("CRLF in a value", with("x-a", b"a\r\nx-b: b"), broken.clone()),
        ("a line feed in a value", with("x-a", b"a\nb"), broken.clone()),
        ("NUL in a value", with("x-a", b"a\0b"), broken.clone()),
        ("a colon in a name", with("x:a", b"b"), broken.clone()),
        ("a space in a name", with("x a", b"b"), broken.clone()),
        ("CRLF in a name", with("x-a\r\nx-b", b"b"), broken.clone()),
        ("an empty name", with("", b"b"), broken.clone()),
        ("an index beyond the tables", [head(), vec![0xff, 0x20]].concat(), broken.clone()),
        ("a list of lengths", with("content-length", b"0, 0"), reset.clone()),
        ("another expectation", with("expect", b"200-ok"), "417 expectation_unsupported".into()),
    ];
    let mut wrong = String::new();
    for (what, block, expected) in rows {
        let came = verdict(&rig, &block).await;
        if came != expected {
            wrong.push_str(&format!("{what}: expected {expected}, came {came}\n"));
        }
    }
    for path in ["/below//a", "/below/%2e%2e/a", "/below/a b", "/below/..;/a", "*", "below/a"] {
        let length = u8::try_from(path.len()).unwrap();
        let block = [&[post, https, 0x04, length][..], path.as_bytes(), &authority].concat();
        let came = verdict(&rig, &block).await;
        if came != "400 head_malformed" && came != reset {
            wrong.push_str(&format!("{path}: came {came}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}

/// 39, 40: frames that cost the sender nothing and the relay an answer or a look. Beyond a budget the connection ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_beside_requests_have_a_budget() {
    let rig = Rig::start(setup()).await;
    let open = || frame(HEADERS, END_HEADERS, 1, &head());
    let floods: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("PING", vec![], frame(PING, 0, 0, &[7; 8])),
        ("answers to PING that nobody sent", vec![], frame(PING, 1, 0, &[7; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("frames of no known kind", vec![], frame(0xbe, 0, 0, &[])),
        ("DATA in single bytes", open(), frame(DATA, 0, 1, b"a")),
        ("DATA that is all padding", open(), frame(DATA, PADDED, 1, &[&[200][..], &[0; 200]].concat())),
    ];
    for (what, first, then) in floods {
        let said = Frames::open(&rig)
            .await
            .flood(50_000, |number| if number == 0 { [&first[..], &then].concat() } else { then.clone() })
            .await;
        let error = goodbye(&said);
        assert_eq!(error, Some(ENHANCE_YOUR_CALM), "{what}");
        assert_eq!(rig.send(Protocol::H2, &Call::post("/hooks/plain")).await.status, 200, "after {what}");
    }
    eventually("nothing is held", async || {
        rig.running().state().bodies.used() == 0 && rig.running().connections() == 0
    })
    .await;
    rig.finish().await;
}

/// 38: every way to make the relay reset a stream that its peer broke; `tests/relay/floods.rs` has the one that became known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_be_reset_has_an_end() {
    let rig = Rig::start(setup()).await;
    let open = |flags: u8, number: u32| frame(HEADERS, END_HEADERS | flags, number * 2 + 1, &head());
    let with = |name: &str, value: &[u8]| [head(), field(name, value)].concat();
    type Broken<'a> = Box<dyn Fn(u32) -> Vec<u8> + 'a>;
    let ways: [(&str, Broken<'_>); 6] = [
        ("a window beyond all windows", {
            Box::new(|n| [open(0, n), frame(WINDOW_UPDATE, 0, n * 2 + 1, &[0x7f, 0xff, 0xff, 0xff])].concat())
        }),
        ("DATA behind the end", Box::new(|n| [open(END_STREAM, n), frame(DATA, 0, n * 2 + 1, &[b'a'; 200])].concat())),
        ("a frame beyond all sizes", Box::new(|n| [open(0, n), frame(DATA, 0, n * 2 + 1, &[0; 20_000])].concat())),
        ("a head behind the end", Box::new(|n| open(END_STREAM, n).repeat(2))),
        ("a stream that depends on itself", {
            Box::new(|n| {
                [open(0, n), frame(PRIORITY, 0, n * 2 + 1, &[&(n * 2 + 1).to_be_bytes()[..], &[9]].concat())].concat()
            })
        }),
        ("a malformed head", {
            Box::new(|n| frame(HEADERS, END_HEADERS, n * 2 + 1, &with("transfer-encoding", b"chunked")))
        }),
    ];
    for (what, way) in &ways {
        let said = Frames::open(&rig).await.flood(5000, way).await;
        let resets = frames(&said).into_iter().filter(|(kind, ..)| *kind == RESET).count();
        assert!(goes_away(&said) && resets < 2000, "{what}: {resets} resets, then {:?}", goodbye(&said));
        assert_eq!(rig.send(Protocol::H2, &Call::post("/hooks/plain")).await.status, 200, "after {what}");
    }
    eventually("nothing is held", async || {
        rig.running().state().bodies.used() == 0 && rig.running().connections() == 0
    })
    .await;
    rig.finish().await;
}

/// What the library ends by itself has a line and a count, with the error that the peer was told: nothing that was refused is
/// unseen. What a sender does to its own streams accuses nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_refuses_is_told() {
    let rig = Rig::start(setup()).await;
    let told = |scope: &str, reason: &str| {
        let lines = rig.log.events("http2_ended");
        let lines = lines.iter().filter(|line| line["scope"] == scope && line["reason"] == reason);
        let labels = [("listener", "public"), ("scope", scope), ("reason", reason)];
        (lines.count(), rig.metric("dmz_relay_http2_ended_total", &labels))
    };
    let of_peer = |line: &serde_json::Value| line["source"] == "127.0.0.1" && line["listener"] == "public";
    assert_eq!(rig.send(Protocol::H2, &Call::post("/hooks/plain")).await.status, 200);
    let reset = async || {
        let mut own = Frames::open(&rig).await;
        let open = frame(HEADERS, END_HEADERS, 1, &head());
        own.send(&[open, frame(RESET, 0, 1, &[0, 0, 0, 8])].concat()).await.unwrap();
        eventually("the sender is gone", async || {
            rig.log.events("request").iter().any(|line| line["reason"] == "body_incomplete")
        })
        .await;
    };
    reset().await;
    assert_eq!(rig.log.events("http2_ended").len(), 0, "{}", rig.log.text());
    let malformed = [head(), field("connection", b"close")].concat();
    let broken = [head(), field("X-A", b"b")].concat();
    for (scope, reason, frames) in [
        ("stream", "protocol_error", frame(HEADERS, END_HEADERS | END_STREAM, 1, &malformed)),
        ("connection", "protocol_error", frame(HEADERS, END_HEADERS | END_STREAM, 1, &broken)),
        ("connection", "protocol_error", frame(HEADERS, END_HEADERS | END_STREAM, 2, &head())),
        ("connection", "frame_size_error", frame(DATA, 0, 1, &[0; 20_000])),
        ("connection", "protocol_error", frame(WINDOW_UPDATE, 0, 1, &[0; 4])),
        ("connection", "enhance_your_calm", frame(PING, 0, 0, &[0; 8]).repeat(20_000)),
    ] {
        let before = told(scope, reason);
        let mut frames_of = Frames::open(&rig).await;
        if frames[3] == WINDOW_UPDATE {
            frames_of.send(&frame(HEADERS, END_HEADERS, 1, &head())).await.unwrap();
        }
        let _ = frames_of.send(&frames).await;
        let expected = (before.0 + 1, before.1 + 1.0);
        eventually(&format!("{scope} {reason}, byte {}", frames[3]), async || told(scope, reason) == expected).await;
        assert!(rig.log.events("http2_ended").iter().all(of_peer));
    }
    // More streams than it may have: the library refuses the last one, and nothing else ends.
    let mut crowd = Frames::open(&rig).await;
    for number in 0..101 {
        crowd.send(&frame(HEADERS, END_HEADERS, number * 2 + 1, &head())).await.unwrap();
    }
    eventually("refused streams", async || told("stream", "refused_stream").0 > 0).await;
    drop(crowd);
    // What is not HTTP/2 although it was agreed on.
    let before = told("connection", "protocol_error");
    let tls = rig.tls();
    let mut stream = tls.over(tls.tcp(rig.address).await, tls.config(&[b"h2"])).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n").await.unwrap();
    eventually("told", async || told("connection", "protocol_error") == (before.0 + 1, before.1 + 1.0)).await;
    assert_eq!(rig.app.connections(), 1);
    rig.finish().await;
}

/// A flood of malformed heads is counted to the last and has as many lines as the configuration says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_refuses_cannot_flood_the_log() {
    let rig = Rig::start(setup()).await;
    rig.gate().observer.set_log(true, 3);
    let malformed = [head(), field("connection", b"close")].concat();
    let mut resets = 0;
    for _ in 0..4 {
        let mut frames_of = Frames::open(&rig).await;
        for number in 0..30 {
            let bytes = frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &malformed);
            frames_of.send(&bytes).await.unwrap();
        }
        resets += 30;
        let labels = [("scope", "stream"), ("reason", "protocol_error")];
        eventually("counted", async || rig.metric("dmz_relay_http2_ended_total", &labels) == f64::from(resets)).await;
    }
    let lines = rig.log.events("http2_ended").len();
    assert!((3..60).contains(&lines), "{lines} lines for {resets}");
    eventually("a summary", async || {
        rig.gate().observer.upkeep();
        !rig.log.events("http2_suppressed").is_empty()
    })
    .await;
    rig.finish().await;
}

/// The budget is no limit for who sends webhooks, many of them and with a PING each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_sender_never_meets_the_budget() {
    let rig = Rig::start(setup()).await;
    let mut h2 = rig.h2().await;
    let body = "a".repeat(2000);
    for _ in 0..300 {
        assert_eq!(h2.send(&Call::post("/hooks/plain").body(&body)).await.status, 200);
    }
    drop(h2);
    let mut frames_of = Frames::open(&rig).await;
    for number in 0..6000_u32 {
        let stream = number * 2 + 1;
        let bytes = [frame(PING, 0, 0, &[7; 8]), frame(HEADERS, END_HEADERS | END_STREAM, stream, &head())].concat();
        frames_of.send(&bytes).await.unwrap();
        let mut said = Vec::new();
        while !frames(&said).iter().any(|(kind, of, _)| (*kind, *of) == (HEADERS, stream)) {
            let read = timeout(LONG, frames_of.read.read_buf(&mut said)).await.expect("an answer in time");
            assert!(matches!(read, Ok(1..)), "the connection ended after {number} requests: {:?}", goodbye(&said));
        }
    }
    drop(frames_of);
    rig.finish().await;
}

/// 42: a small head that decodes into a large one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_decode_into_more_than_they_are() {
    let rig = Rig::start(setup()).await;
    // 4000 bytes go into the table once, and are then named 12 000 times: 48 MB.
    let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat();
    let bomb = [head(), entry, vec![0xbe; 12_000]].concat();
    let came = verdict(&rig, &bomb).await;
    assert_eq!(came, format!("goaway {ENHANCE_YOUR_CALM}"));
    // The table's size, changed ten thousand times before the first field.
    let came = verdict(&rig, &[vec![0x20; 10_000], head()].concat()).await;
    assert!(["200 ", "goaway 9"].contains(&came.as_str()), "{came}");
    rig.finish().await;
}

/// 45: HTTP/2 is agreed on in TLS and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_http2_without_tls() {
    let mut setup = setup();
    setup
        .rest
        .push_str("[[listeners]]\nname = \"plaintext\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n");
    let rig = Rig::start(setup).await;
    let address = rig.listener("plaintext");
    for (bytes, status) in [
        ([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat(), 505),
        (Call::post("/hooks/plain").field("Upgrade", "h2c").field("HTTP2-Settings", "AAMAAABkAAQAAP__").h1(), 400),
        (Call::post("/hooks/plain").field("Connection", "Upgrade, HTTP2-Settings").field("Upgrade", "h2c").h1(), 400),
    ] {
        let mut wire = crate::harness::Wire::new(rig.tls().tcp(address).await);
        wire.send(&bytes).await;
        assert_eq!(wire.answer().await.status, status);
        wire.ended().await;
    }
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}
