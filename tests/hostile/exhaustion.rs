//! G6: time, memory and descriptors. Each attack runs beside genuine senders, who are served all the while.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dmz_relay::domain::Refusal::BodyTooLarge;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

use crate::genuine::{Senders, number};
use crate::harness::frames::*;
use crate::harness::peers::honest;
use crate::harness::{Authority, Call, LONG, Protocol, Rig, Setup, Tls, Wire, eventually, hex_hmac};
use crate::table::{Case, SECRET, post, row, run, setup};

pub fn cases() -> Vec<Case> {
    vec![
        row(74, "a length of 10 TiB", post("Content-Length: 10995116277760\r\n", ""), BodyTooLarge),
        row(74, "a length of one byte too many", post("Content-Length: 1048577\r\n", ""), BodyTooLarge),
        row(74, "a chunk of one byte too many", post("Transfer-Encoding: chunked\r\n", "100001\r\n"), BodyTooLarge),
        row(74, "a chunk of 10 TiB", post("Transfer-Encoding: chunked\r\n", "a0000000000\r\n"), BodyTooLarge),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_g6() {
    run(&cases()).await;
}

/// 70, 71: hundreds of senders that each write a byte now and then, in the handshake, in the head and in the body. Every one
/// is gone with its own deadline, which no byte renews.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_end_with_their_deadline() {
    let limits = "handshake_timeout = \"5s\"\nhead_timeout = \"5s\"\nbody_timeout = \"5s\"\n\
                  max_connections_per_address = 1000";
    let rig = Rig::start(setup().limits(limits)).await;
    let mut genuine = Senders::of(&rig, event).await;
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..240 {
        let (tls, address) = (rig.tls().from("127.0.0.66"), rig.address);
        senders.spawn(async move {
            let drops = |first: &'static str| async move {
                // On a busy machine its handshake may be what ends with the deadline.
                let Ok(stream) = tls.clone().try_connect(address).await else { return };
                let mut wire = Wire::new(stream);
                let mut pace = interval(Duration::from_millis(100));
                let _ = wire.try_send(first).await;
                while wire.try_send("a").await.is_ok() {
                    pace.tick().await;
                }
            };
            match number % 3 {
                0 => drops("POST /hooks/plain HTTP/1.1\r\nX-Slow: ").await,
                1 => drops("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nContent-Length: 100000\r\n\r\n").await,
                _ => {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    let mut pace = interval(Duration::from_millis(100));
                    // A record's head, and then never the whole record.
                    while stream.write_all(&[0x16]).await.is_ok() {
                        pace.tick().await;
                    }
                }
            }
        });
    }
    for _ in 0..20 {
        genuine.are_served().await;
    }
    drop(genuine);
    timeout(LONG, senders.join_all()).await.expect("every slow sender is cut off");
    eventually("nothing is left of them", async || rig.running().connections() == 0).await;
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.delivers(Protocol::H2, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// 71: a deadline of minutes, for bodies that are large, is none for senders of drops. Who is slow and keeps to the rate is
/// heard to the end, over both protocols and in pieces of any size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_below_the_minimum_rate_end_long_before_the_deadline() {
    let limits = "body_timeout = \"10m\"\nbody_grace = \"1s\"\nmin_body_rate = \"128B\"";
    let rig = Rig::start(setup().limits(limits)).await;
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..60 {
        let (tls, address) = (rig.tls(), rig.address);
        senders.spawn(async move {
            let framing = ["Content-Length: 100000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"][number % 2];
            let mut wire = tls.connect(address).await;
            wire.send(format!("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\n{framing}")).await;
            let mut pace = interval(Duration::from_millis(100));
            // Ten bytes a second, or ten chunks of one.
            while wire.try_send(["a", "1\r\na\r\n"][number % 2]).await.is_ok() {
                pace.tick().await;
            }
        });
    }
    // 4 KiB a second in pieces of 200 bytes, for three times as long as the grace.
    let slow = async {
        let body = vec![b'a'; 12_000];
        let call = Call::post("/hooks/plain").body(&body);
        let mut wire = rig.connect().await;
        let mut h2 = rig.h2().await;
        let (response, mut stream) = h2.open(&call).await;
        wire.send(call.h1_head()).await;
        let mut pace = interval(Duration::from_millis(50));
        for (number, part) in body.chunks(200).enumerate() {
            pace.tick().await;
            wire.send(part).await;
            stream.send_data(part.to_vec().into(), number == 59).unwrap();
        }
        assert_eq!(wire.answer().await.status, 200);
        assert_eq!(crate::harness::read_h2(response).await.unwrap().status, 200);
    };
    timeout(LONG, slow).await.expect("a slow sender is heard to the end");
    timeout(LONG, senders.join_all()).await.expect("every sender of drops is cut off");
    assert_eq!(rig.counted("refused", "body_too_slow"), 60.0);
    assert_eq!(rig.app.seen().len(), 2);
    assert_eq!(rig.running().state().bodies.used(), 0);
    rig.finish().await;
}

/// 53: two thousand handshakes of one address, as fast as it can, and most of them are not begun; genuine senders are served
/// all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_from_one_address() {
    let limits = "handshakes_per_address = { per_second = 10, burst = 50 }\nmax_connections_per_address = 1000";
    let rig = Rig::start(setup().limits(limits)).await;
    let began = tokio::time::Instant::now();
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (tls, address) = (rig.tls().from("127.0.0.7"), rig.address);
        floods.spawn(async move {
            let mut made = 0_u32;
            for _ in 0..250 {
                made += u32::from(tls.try_connect(address).await.is_ok());
            }
            made
        });
    }
    let mut genuine = Senders::of(&rig, event).await;
    for _ in 0..20 {
        genuine.are_served().await;
    }
    let made: u32 = timeout(LONG, floods.join_all()).await.unwrap().into_iter().sum();
    let most = 50 + 10 * u32::try_from(began.elapsed().as_secs() + 1).unwrap();
    assert!((50..=most).contains(&made), "{made} of 2000 in {:?}", began.elapsed());
    let refused = rig.metric("dmz_relay_connections_refused_total", &[("reason", "too_many_handshakes")]);
    assert_eq!(refused, f64::from(2000 - made));
    rig.finish().await;
}

/// 75: connections that come and go and never say a word. The admin listener answers, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_come_and_go() {
    let limits = "handshakes_per_address = { per_second = 10000, burst = 10000 }";
    let rig = Rig::start(setup().limits(limits)).await;
    for round in 0..20 {
        for _ in 0..50 {
            drop(rig.tls().tcp(rig.address).await);
        }
        assert_eq!(rig.ask("GET", "/healthz").await.0, 200, "round {round}");
        rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    }
    eventually("nothing is left of them", async || rig.running().connections() == 0).await;
    rig.finish().await;
}

/// The binary itself, in a process with few descriptors; dropping it kills it.
pub struct Scarce {
    pub child: Child,
    lines: std::sync::mpsc::Receiver<serde_json::Value>,
    _folder: TempDir,
}

impl Scarce {
    pub fn start(descriptors: u32, setup: &Setup, authority: &Authority, app: std::net::SocketAddr) -> Self {
        let folder = TempDir::new().unwrap();
        setup.write(folder.path(), authority, app);
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {descriptors} && exec \"$0\" run --threads 2 --config \"$1\""))
            .arg(env!("CARGO_BIN_EXE_dmz-relay"))
            .arg(folder.path().join("relay.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let parsed = log.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
            parsed.for_each(|line: serde_json::Value| drop(sender.send(line)));
        });
        Self { child, lines, _folder: folder }
    }

    pub fn line(&self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(LONG).unwrap_or_else(|_| panic!("no line: {what}"));
            if wanted(&line) {
                return line;
            }
        }
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// 73: more connections than the process has descriptors for. Those that are in are served, up to the inside and back; the
/// admin listener answers; and when the attacker is gone, so is the trouble.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptors_are_kept_for_those_who_are_in() {
    let (app, authority) = (honest::ok().await, Authority::new());
    let setup =
        setup().limits("max_connections_per_address = 1000\nidle_timeout = \"60s\"\nhandshake_timeout = \"60s\"");
    let relay = Scarce::start(128, &setup, &authority, app.address);
    let address = |line: serde_json::Value| line["address"].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap();
    let listening =
        |name: &'static str| move |line: &serde_json::Value| line["event"] == "listening" && line["listener"] == name;
    let public = address(relay.line("listening", listening("public")));
    let tls = Tls::trusting(&authority);
    let mut inside = Wire::new(tls.try_connect(public).await.unwrap());
    inside.send(genuine(0).h1()).await;
    assert_eq!(inside.answer().await.status, 200);
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(tls.tcp(public).await);
    }
    relay.line("the cap", |line| line["event"] == "connection_refused" && line["reason"] == "too_many_connections");
    for _ in 0..3 {
        inside.send(Call::post("/hooks/plain").h1()).await;
        assert_eq!(inside.answer().await.status, 200, "who was proven stays, and is served");
    }
    // Those beyond the cap were closed at once: the address has sent a genuine request, so none of its connections gives way.
    let has_ended = |stream: &TcpStream| match stream.try_read(&mut [0; 1]) {
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        Ok(read) => read == 0,
    };
    let ended = || held.iter().filter(|stream| has_ended(stream)).count();
    eventually("those beyond the cap are closed", async || ended() >= 100).await;
    assert!(ended() < 190, "{} of 200 were refused", ended());
    drop(held);
    eventually("the attacker's places are free again", async || match tls.try_connect(public).await {
        Ok(stream) => {
            let mut wire = Wire::new(stream);
            wire.try_send(Call::post("/hooks/plain").h1()).await.is_ok()
                && wire.try_answer().await.is_some_and(|answer| answer.status == 200)
        }
        Err(_) => false,
    })
    .await;
}

/// No two are alike, or the second would be a duplicate.
pub fn genuine(number: u32) -> Call {
    let body = format!("{{\"number\":{number}}}");
    let signature = format!("sha256={}", hex_hmac(SECRET, &body));
    Call::post("/hooks/signed").field("X-Hub-Signature-256", &signature).body(body)
}

/// The next one.
pub fn event() -> Call {
    genuine(number())
}

/// 73: all places are taken by connections that say nothing, from more addresses than caps by address could answer, and whoever
/// is ended comes again. Genuine senders get in and are served, every one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_proven_nothing_is_evicted() {
    let limits = "max_connections = 40\nhandshake_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup().limits(limits)).await;
    let mut genuine = Senders::of(&rig, event).await;
    let mut attackers = tokio::task::JoinSet::new();
    for number in 0..80 {
        let (tls, address) = (rig.tls().from(&format!("127.0.1.{}", number + 1)), rig.address);
        attackers.spawn(async move {
            // Again and again, and not so fast that the log is all that is tested.
            let mut pace = interval(Duration::from_millis(250));
            loop {
                pace.tick().await;
                let mut stream = tls.tcp(address).await;
                let _ = stream.read_u8().await;
            }
        });
    }
    eventually("every place is taken", async || rig.running().connections() >= 40).await;
    rig.log.wait("connection_refused", |line| line["reason"] == "evicted").await;
    for _ in 0..20 {
        genuine.are_served().await;
        let open = rig.running().connections();
        assert!(open <= 45, "{open} places of 40, and five for those on their way out");
    }
    attackers.shutdown().await;
    rig.finish().await;
}

/// 73: all places are taken where descriptors are what is scarce: senders may hold three quarters of them, and strangers hold all of those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_hold_no_descriptor_that_a_genuine_sender_needs() {
    let (app, authority) = (honest::ok().await, Authority::new());
    let setup = setup().limits("idle_timeout = \"60s\"\nhandshake_timeout = \"60s\"");
    let relay = Scarce::start(128, &setup, &authority, app.address);
    let listening = relay.line("listening", |line| line["event"] == "listening" && line["listener"] == "public");
    let public = listening["address"].as_str().unwrap().parse().unwrap();
    let tls = Tls::trusting(&authority);
    let mut genuine = Senders::at(tls.clone(), public, event).await;
    let mut held = Vec::new();
    for number in 0..200 {
        held.push(tls.clone().from(&format!("127.0.2.{}", number % 100 + 1)).tcp(public).await);
    }
    relay.line("the cap", |line| line["event"] == "connection_refused" && line["reason"] == "evicted");
    for _ in 0..10 {
        genuine.are_served().await;
    }
    drop((genuine, held));
}

/// 72: answers that nobody reads, on as many streams as there may be, end with their deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_end_with_their_deadline() {
    let rig = Rig::start(setup().limits("write_timeout = \"2s\"")).await;
    let mut genuine = Senders::of(&rig, event).await;
    // No answer to any of them may be written: the stranger's window has room for nothing.
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let head = head_to("/hooks/signed");
    let unsigned: Vec<u8> =
        (0..100).flat_map(|of| frame(HEADERS, END_HEADERS | END_STREAM, of * 2 + 1, &head)).collect();
    let mut strangers = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let tls = rig.tls().from("127.0.0.66");
        let stream = tls.over(tls.tcp(rig.address).await, tls.config(&[b"h2"])).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        let sent = [PREFACE, &no_window, &unsigned].concat();
        strangers.spawn(async move {
            write.write_all(&sent).await.unwrap();
            let mut said = Vec::new();
            while frames(&said).iter().filter(|(kind, ..)| *kind == RESET).count() < 100 {
                assert!(
                    read.read_buf(&mut said).await.unwrap() > 0,
                    "every stream is reset, and the connection goes on"
                );
            }
        });
    }
    for _ in 0..10 {
        genuine.are_served().await;
    }
    timeout(LONG, strangers.join_all()).await.expect("each of their streams is reset");
    genuine.are_served().await;
    drop(genuine);
    eventually("nothing is left of them", async || rig.running().connections() == 0).await;
    rig.finish().await;
}
