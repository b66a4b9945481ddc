//! What ends before there is a request: caps, the address filter, PROXY headers, handshakes that never end.

use std::time::Duration;

use dmz_relay::observe::ConnectionRefusal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Call, LONG, PLAIN, Rig, Setup, Wire, eventually};

/// The relay closed and said nothing, not even a TLS alert.
async fn closed_in_silence(stream: &mut TcpStream) {
    let mut said = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("the end in time");
    assert_eq!(said, b"", "nothing is owed to whom no route admits");
}

async fn tcp(rig: &Rig, source: &str) -> TcpStream {
    rig.tls().from(source).tcp(rig.address).await
}

const KEY: &str = "canary-of-who-is-proven";

/// Beside the route that verifies nothing, one that does.
fn with_token() -> Setup {
    let token = "[routes.token]\npath = \"/hooks/token\"\nverify.token = { header = \"X-Key\" }\nsecrets = [{ env = \"KEY\" }]\n";
    Setup::routes(&format!("{PLAIN}{token}upstream = \"app\"\n")).variable("KEY", KEY)
}

fn with_key() -> Call {
    Call::post("/hooks/token").field("X-Key", KEY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_no_route_admits_is_closed_before_tls() {
    let routes = format!("{PLAIN}allow = [\"127.0.0.2\", \"192.0.2.0/24\"]\n");
    let rig = Rig::start(Setup::routes(&routes)).await;
    rig.connection_refused("address_not_allowed", async {
        closed_in_silence(&mut tcp(&rig, "127.0.0.1").await).await;
    })
    .await;
    let mut wire = rig.tls().from("127.0.0.2").connect(rig.address).await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_listener_denies_is_closed_before_tls() {
    let lists = "[address_lists]\nscanners = [\"127.0.0.8/29\"]\n";
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}{lists}")).listener("deny = [\"scanners\"]")).await;
    for source in ["127.0.0.8", "127.0.0.15"] {
        rig.connection_refused("address_denied", async {
            closed_in_silence(&mut tcp(&rig, source).await).await;
        })
        .await;
        let line = rig.log.wait("connection_refused", |line| line["source"] == source).await;
        assert_eq!(line["detail"], "scanners", "{line}");
    }
    let mut wire = rig.tls().from("127.0.0.16").connect(rig.address).await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    rig.finish().await;
}

/// Whom the balancer's header names is denied, in every spelling; the balancer's own checks are not, but it may send nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_denies_whom_the_header_names() {
    let keys = "proxy_protocol_from = [\"127.0.0.1\"]\ndeny = [\"192.0.2.0/24\", \"2001:db8:bad::/48\"]";
    let rig = Rig::start(Setup::routes(PLAIN).listener(keys)).await;
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 8]);
    for header in [
        b"PROXY TCP4 192.0.2.6 10.0.0.1 51000 443\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:192.0.2.6 ::1 51000 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8:bad::6 ::1 51000 443\r\n".to_vec(),
        v2(1, 0x21, &mapped),
        v2(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 1, 187, 1, 187]),
    ] {
        rig.connection_refused("address_denied", async {
            let mut stream = tcp(&rig, "127.0.0.1").await;
            stream.write_all(&header).await.unwrap();
            closed_in_silence(&mut stream).await;
        })
        .await;
    }
    for (header, refused) in [
        (b"PROXY TCP4 198.51.100.1 10.0.0.1 51000 443\r\n".to_vec(), None),
        (v2(0, 0, &[]), Some("address_unknown")),
        (b"PROXY UNKNOWN\r\n".to_vec(), Some("address_unknown")),
    ] {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(&header).await.unwrap();
        let tls = rig.tls();
        let mut wire = Wire::new(tls.over(stream, tls.config(&[])).await.unwrap());
        wire.send(Call::post("/hooks/plain").h1()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, if refused.is_some() { 403 } else { 200 }, "{header:?}");
        assert_eq!(rig.log.of(answer.id()).await["reason"].as_str(), refused);
    }
    assert_eq!(rig.app.seen().len(), 1);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_of_all_connections() {
    let rig = Rig::start(with_token().limits("max_connections = 2\nmax_connections_per_address = 2")).await;
    let (mut first, mut second) = (rig.connect().await, rig.connect().await);
    for wire in [&mut first, &mut second] {
        wire.send(with_key().h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    rig.connection_refused("too_many_connections", async {
        closed_in_silence(&mut tcp(&rig, "127.0.0.3").await).await;
    })
    .await;
    second.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(second.answer().await.status, 200, "who is in stays in");
    drop(first);
    eventually("a place is free", async || rig.running().connections() == 1).await;
    let mut third = rig.connect().await;
    third.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(third.answer().await.status, 200);
    rig.finish().await;
}

/// Whoever said nothing gives way to whoever comes, and whoever was proven does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_proven_nothing_is_evicted() {
    let rig = Rig::start(with_token().limits("max_connections = 2")).await;
    let mut proven = rig.connect().await;
    proven.send(with_key().h1()).await;
    assert_eq!(proven.answer().await.status, 200);
    // A route that verifies nothing proves nothing.
    let mut unproven = rig.tls().from("127.0.0.3").connect(rig.address).await;
    unproven.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(unproven.answer().await.status, 200);
    let mut other = None;
    rig.connection_refused("evicted", async {
        other = Some(rig.tls().from("127.0.0.4").connect(rig.address).await);
        unproven.ended().await;
    })
    .await;
    for mut wire in [proven, other.unwrap()] {
        wire.send(Call::post("/hooks/plain").h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_of_one_address() {
    let rig = Rig::start(Setup::default().limits("max_connections_per_address = 1")).await;
    let first = rig.connect().await;
    rig.connection_refused("too_many_from_address", async {
        closed_in_silence(&mut tcp(&rig, "127.0.0.1").await).await;
    })
    .await;
    let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
    other.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(other.answer().await.status, 200);
    drop(first);
    eventually("a place is free", async || rig.running().connections() == 1).await;
    rig.connect().await;
    rig.finish().await;
}

/// The bucket of one address is empty, and that of another is not; a plaintext listener shakes no hands. A reload changes the
/// rate and not what was used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_rate_of_one_address() {
    let plaintext = format!(
        "{PLAIN}[[listeners]]\nname = \"plaintext\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n"
    );
    let rate = |burst: u32| format!("handshakes_per_address = {{ per_second = 0.01, burst = {burst} }}");
    let mut rig = Rig::start(Setup::routes(&plaintext).limits(&rate(2))).await;
    let mut inside = rig.connect().await;
    // One that comes to nothing counts as well: it is the relay's work that is rationed.
    rig.connection_refused("handshake_failed", async {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(&[0xff; 64]).await.unwrap();
        let _ = timeout(LONG, stream.read_to_end(&mut Vec::new())).await.unwrap();
    })
    .await;
    for _ in 0..3 {
        rig.connection_refused("too_many_handshakes", async {
            closed_in_silence(&mut tcp(&rig, "127.0.0.1").await).await;
        })
        .await;
    }
    let call = Call::post("/hooks/plain");
    let mut other = rig.tls().from("127.0.0.2").connect(rig.address).await;
    let mut plain = Wire::new(rig.tls().tcp(rig.listener("plaintext")).await);
    for wire in [&mut inside, &mut other, &mut plain] {
        wire.send(call.h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    rig.apply(|setup| setup.limits = rate(3)).await;
    rig.connect().await;
    rig.connection_refused("too_many_handshakes", async {
        closed_in_silence(&mut tcp(&rig, "127.0.0.1").await).await;
    })
    .await;
    rig.finish().await;
}

/// Behind a balancer it is the sender whose bucket is asked, and never the balancer's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handshake_rate_of_one_address_behind_a_balancer() {
    let setup = Setup::default()
        .listener("proxy_protocol_from = [\"127.0.0.1\"]")
        .limits("handshakes_per_address = { per_second = 0.01, burst = 1 }");
    let rig = Rig::start(setup).await;
    let announced = async |source: &str| {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        let family = if source.contains(':') { "TCP6" } else { "TCP4" };
        let header = format!("PROXY {family} {source} {source} 51000 443\r\n");
        stream.write_all(header.as_bytes()).await.unwrap();
        stream
    };
    for source in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"] {
        let tls = rig.tls();
        let mut wire = Wire::new(tls.over(announced(source).await, tls.config(&[])).await.unwrap());
        wire.send(Call::post("/hooks/plain").h1()).await;
        assert_eq!(wire.answer().await.status, 200, "{source}");
    }
    for source in ["192.0.2.1", "192.0.2.2", "2001:db8::2", "2001:db8::ffff:1"] {
        rig.connection_refused("too_many_handshakes", async {
            closed_in_silence(&mut announced(source).await).await;
        })
        .await;
    }
    let lines = rig.log.events("connection_refused");
    assert!(lines.iter().any(|line| line["source"] == "2001:db8::ffff:1"), "{lines:?}");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_has_a_deadline() {
    let rig = Rig::start(Setup::default().limits("handshake_timeout = \"500ms\"")).await;
    for start in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        rig.connection_refused("handshake_timeout", async {
            let mut stream = tcp(&rig, "127.0.0.1").await;
            stream.write_all(start).await.unwrap();
            closed_in_silence(&mut stream).await;
        })
        .await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_fails() {
    let rig = Rig::plain().await;
    let plain = Call::post("/hooks/plain").h1();
    for (bytes, detail) in [
        (&plain[..], "plain HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain HTTP"),
        (&[0xff; 64], "InvalidContentType"),
        // It begins well, and ends in the middle.
        (b"\x16\x03\x01\x02\x00\x01", "eof"),
    ] {
        rig.connection_refused("handshake_failed", async {
            let mut stream = tcp(&rig, "127.0.0.1").await;
            stream.write_all(bytes).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut said = Vec::new();
            let _ = timeout(LONG, stream.read_to_end(&mut said)).await.unwrap();
            assert!(!said.starts_with(b"HTTP"), "{said:?}");
        })
        .await;
        let line = rig.log.events("connection_refused").pop().unwrap();
        assert!(line["detail"].as_str().unwrap().contains(detail), "{line}");
    }
    rig.finish().await;
}

/// A listener behind a balancer at 127.0.0.1; one route for everybody, one for a network.
async fn behind_balancer() -> Rig {
    let routes = format!(
        "{PLAIN}[routes.listed]\npath = \"/hooks/listed\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
         allow = [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"
    );
    Rig::start(
        Setup::routes(&routes).listener("proxy_protocol_from = [\"127.0.0.1\"]").limits("handshake_timeout = \"2s\""),
    )
    .await
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, family][..], &length, addresses].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_of_a_listed_peer_is_believed() {
    let rig = behind_balancer().await;
    let four = [192, 0, 2, 7, 10, 0, 0, 1, 1, 187, 1, 187];
    let mut six = [0; 36];
    six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    six[15] = 1;
    let mut mapped = [0; 36];
    mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 8]);
    let tlv = [&four[..], &[0x04, 0, 2, 0, 0]].concat();
    for (header, source) in [
        (b"PROXY TCP4 192.0.2.6 10.0.0.1 51000 443\r\n".to_vec(), "192.0.2.6"),
        (b"PROXY TCP6 2001:db8::6 ::1 51000 443\r\n".to_vec(), "2001:db8::6"),
        (v2(1, 0x11, &four), "192.0.2.7"),
        (v2(1, 0x11, &tlv), "192.0.2.7"),
        (v2(1, 0x21, &six), "2001:db8::1"),
        (v2(1, 0x21, &mapped), "192.0.2.8"),
    ] {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(&header).await.unwrap();
        let tls = rig.tls();
        let mut wire = Wire::new(tls.over(stream, tls.config(&[])).await.unwrap());
        wire.send(Call::post("/hooks/listed").h1()).await;
        let answer = wire.answer().await;
        let line = rig.log.of(answer.id()).await;
        assert_eq!(
            (answer.status, &line["source"], &line["via"]),
            (200, &source.into(), &"proxy-header".into()),
            "{line}"
        );
        assert_eq!(rig.app.last().field("x-forwarded-for"), Some(source));
    }
    for (header, status) in [
        (b"PROXY TCP4 198.51.100.1 10.0.0.1 51000 443\r\n".to_vec(), 403),
        // The balancer speaks for itself, and it is not in the list.
        (b"PROXY UNKNOWN\r\n".to_vec(), 403),
        (v2(0, 0, &[]), 403),
    ] {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(&header).await.unwrap();
        let tls = rig.tls();
        let mut wire = Wire::new(tls.over(stream, tls.config(&[])).await.unwrap());
        wire.send(Call::post("/hooks/listed").h1()).await;
        assert_eq!(wire.answer().await.status, status, "{header:?}");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_peer_must_send_a_proxy_header() {
    let rig = behind_balancer().await;
    // A handshake, or a request, without a header before it; and nothing at all.
    let hello = b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03\x00\x00\x00\x00\x00";
    for bytes in [&b""[..], hello, b"POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n\r\n"] {
        rig.connection_refused("proxy_header_missing", async {
            let mut stream = tcp(&rig, "127.0.0.1").await;
            stream.write_all(bytes).await.unwrap();
            closed_in_silence(&mut stream).await;
        })
        .await;
    }
    for bytes in [
        &b"PROXY TCP4 192.0.2.1 10.0.0.1 51000\r\n"[..],
        b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 99999\r\n",
        b"PROXY TCP9 192.0.2.1 10.0.0.1 51000 443\r\n",
        &v2(1, 0x11, &[1, 2, 3]),
        &v2(1, 0x31, &[0; 216]),
        &v2(2, 0x11, &[0; 12]),
        &v2(1, 0x11, &[0; 5000]),
    ] {
        rig.connection_refused("proxy_header_malformed", async {
            let mut stream = tcp(&rig, "127.0.0.1").await;
            let _ = stream.write_all(bytes).await;
            closed_in_silence(&mut stream).await;
        })
        .await;
    }
    rig.finish().await;
}

/// Who is not listed speaks for itself only: its header is no TLS handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_header_of_another_peer_is_not_believed() {
    let rig = behind_balancer().await;
    for header in [b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 443\r\n".to_vec(), v2(1, 0x11, &[0; 12]), v2(0, 0, &[])] {
        rig.connection_refused("proxy_header_unexpected", async {
            let mut stream = tcp(&rig, "127.0.0.2").await;
            stream.write_all(&header).await.unwrap();
            let mut said = Vec::new();
            let _ = timeout(LONG, stream.read_to_end(&mut said)).await.unwrap();
        })
        .await;
        let line = rig.log.events("connection_refused").pop().unwrap();
        let told = "if 127.0.0.2 is your load balancer, add it to proxy_protocol_from of the listener public";
        assert_eq!((&line["source"], &line["detail"]), (&"127.0.0.2".into(), &told.into()), "{line}");
    }
    // A listed one may announce a sender once: what it announced is not to be listed.
    rig.connection_refused("proxy_header_unexpected", async {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(&b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 443\r\n".repeat(2)).await.unwrap();
        let _ = timeout(LONG, stream.read_to_end(&mut Vec::new())).await.unwrap();
    })
    .await;
    let line = rig.log.events("connection_refused").pop().unwrap();
    assert!(line["detail"].as_str().unwrap().starts_with("a second PROXY header"), "{line}");
    let mut wire = rig.tls().from("127.0.0.2").connect(rig.address).await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    let answer = wire.answer().await;
    let line = rig.log.of(answer.id()).await;
    assert_eq!((&line["source"], &line["via"]), (&"127.0.0.2".into(), &"socket".into()));
    rig.finish().await;
}

/// Without TLS it is refused as the request it is not, and the log says the same of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unexpected_proxy_header_is_named_without_tls_as_well() {
    let plaintext = format!(
        "{PLAIN}[[listeners]]\nname = \"plaintext\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n"
    );
    let rig = Rig::start(Setup::routes(&plaintext)).await;
    for header in [b"PROXY TCP4 192.0.2.1 10.0.0.1 51000 443\r\n".to_vec(), v2(1, 0x11, &[0; 12])] {
        let mut wire = Wire::new(rig.tls().tcp(rig.listener("plaintext")).await);
        wire.send([header, Call::post("/hooks/plain").h1()].concat()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 400);
        let line = rig.log.of(answer.id()).await;
        let told = "if 127.0.0.1 is your load balancer, add it to proxy_protocol_from of the listener plaintext";
        assert_eq!((&line["reason"], &line["detail"]), (&"head_malformed".into(), &told.into()), "{line}");
    }
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}

/// A balancer asks every second whether the port is open. That is counted; a line each time would hide the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_connects_and_leaves_writes_no_line() {
    let rig = behind_balancer().await;
    let unused = async |source: &str, sent: &[u8], reset: bool| {
        rig.connection_unused(async {
            let mut stream = tcp(&rig, source).await;
            stream.write_all(sent).await.unwrap();
            if reset {
                // As HAProxy leaves: a reset in place of an end.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        })
        .await;
    };
    for reset in [false, true] {
        // A peer that speaks for itself, one that should have sent a header, and one that sent it.
        unused("127.0.0.2", b"", reset).await;
        unused("127.0.0.1", b"", reset).await;
    }
    unused("127.0.0.1", b"PROXY UNKNOWN\r\n", false).await;
    unused("127.0.0.1", &v2(0, 0, &[]), false).await;
    // Half a header is not nothing.
    rig.connection_refused("proxy_header_missing", async {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(b"PROX").await.unwrap();
        stream.shutdown().await.unwrap();
        closed_in_silence(&mut stream).await;
    })
    .await;
    rig.finish().await;
}

/// What the header says is filtered as a socket's address would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_filter_looks_at_what_the_header_says() {
    let routes = format!("{PLAIN}allow = [\"192.0.2.0/24\"]\n");
    let rig = Rig::start(Setup::routes(&routes).listener("proxy_protocol_from = [\"127.0.0.1\"]")).await;
    rig.connection_refused("address_not_allowed", async {
        let mut stream = tcp(&rig, "127.0.0.1").await;
        stream.write_all(b"PROXY TCP4 198.51.100.1 10.0.0.1 51000 443\r\n").await.unwrap();
        closed_in_silence(&mut stream).await;
    })
    .await;
    rig.finish().await;
}

/// A connection that says nothing, or nothing more, ends by itself and without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_end() {
    let rig = Rig::start(Setup::default().limits("head_timeout = \"3s\"\nidle_timeout = \"200ms\"")).await;
    let mut silent = rig.connect().await;
    silent.ended().await;
    let mut wire = rig.connect().await;
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    wire.ended().await;
    let mut h2 = rig.h2().await;
    assert_eq!(h2.send(&Call::post("/hooks/plain")).await.status, 200);
    h2.ended().await;
    rig.finish().await;
}

/// What no test can bring about from outside: the process out of file descriptors, where `edge::listener` pauses.
const FROM_INSIDE: [ConnectionRefusal; 1] = [ConnectionRefusal::AcceptFailed];

#[test]
fn every_reason_has_a_test() {
    let tests = include_str!("connections.rs");
    for reason in ConnectionRefusal::ALL.iter().filter(|reason| !FROM_INSIDE.contains(reason)) {
        assert!(tests.contains(&format!("connection_refused(\"{}\"", reason.code())), "no test of {}", reason.code());
    }
}
