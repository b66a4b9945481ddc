//! The memory formula (docs/operating.md): the binary is driven toward it by everything that a sender can have it hold, and stays
//! below; and it comes near enough that a larger cost of any of them would show.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use crate::exhaustion::{Scarce, genuine};
use crate::harness::peers::honest;
use crate::harness::{Authority, Call, Setup, Tls, eventually};
use crate::table::setup;

const MIB: u64 = 1 << 20;
/// `limits.body_memory` here.
const BODIES: u64 = 96 * MIB;

fn limited() -> Setup {
    setup().limits(
        "max_connections = 64\nmax_connections_per_address = 64\nmax_h2_streams = 16\nmax_body = \"1MiB\"\n\
         body_memory = \"96MiB\"\ndedupe_entries = 1000\nhandshake_timeout = \"60s\"\nhead_timeout = \"60s\"\n\
         body_timeout = \"10m\"\nmin_body_rate = \"0B\"",
    )
}

/// What `check` says, in bytes: all of it, and one of its parts.
fn formula(authority: &Authority) -> serde_json::Value {
    let folder = TempDir::new().unwrap();
    limited().write(folder.path(), authority, SocketAddr::from(([127, 0, 0, 1], 9)));
    let check = Command::new(env!("CARGO_BIN_EXE_dmz-relay"))
        .args(["check", "--format", "json", "--config"])
        .arg(folder.path().join("relay.toml"))
        .output()
        .unwrap();
    serde_json::from_slice::<serde_json::Value>(&check.stdout).unwrap()["memory"].clone()
}

/// Resident bytes of the process: now, and at most so far.
fn resident(relay: &Scarce) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.child.id())).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<u64>().unwrap() * 1024
    };
    (of("VmRSS"), of("VmHWM"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_formula_holds_and_is_not_idle_talk() {
    let (app, authority) = (honest::ok().await, Authority::new());
    let formula = formula(&authority);
    let bound = formula["bytes"].as_u64().unwrap();
    assert_eq!(formula["requests"].as_u64(), Some(BODIES));
    let relay = Scarce::start(1024, &limited(), &authority, app.address);
    let listening = relay.line("listening", |line| line["event"] == "listening" && line["listener"] == "public");
    let address: SocketAddr = listening["address"].as_str().unwrap().parse().unwrap();
    let (tls, idle) = (Tls::trusting(&authority), resident(&relay).0);

    // Heads that lack their last byte.
    let mut heads = Vec::new();
    for _ in 0..32 {
        let mut wire = tls.connect(address).await;
        wire.send(format!("POST /hooks/plain HTTP/1.1\r\nHost: relay.example\r\nX-Long: {}", "a".repeat(32_000))).await;
        heads.push(wire);
    }
    // Streams with a large head each, and as much of a body as the relay takes: together more than the budget.
    let mut connections = Vec::new();
    for number in 0..16 {
        let mut h2 = tls.h2(address).await;
        // Who has proven nothing would have a part of it only. All of them before the first fills it.
        assert_eq!(h2.send(&genuine(number)).await.status, 200);
        connections.push(h2);
    }
    let mut streams = tokio::task::JoinSet::new();
    for h2 in &mut connections {
        for _ in 0..16 {
            let call = Call::post("/hooks/plain").chunked().field("X-Long", &"b".repeat(12_000));
            let (response, mut stream) = h2.open(&call).await;
            streams.spawn(async move {
                let mut left = 900_000;
                while left > 0 {
                    stream.reserve_capacity(left);
                    let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                    let Some(Ok(room @ 1..)) = room else { break };
                    let part = room.min(left);
                    if stream.send_data(vec![b'c'; part].into(), false).is_err() {
                        break;
                    }
                    left -= part;
                }
                // Held, like its head, until the test is over; one that was refused has its answer.
                let answer = response.await.map(|answer| answer.status().as_u16());
                (answer, stream)
            });
        }
    }
    // Above the budget somebody is refused, and below it nobody: it is full.
    let (answer, _stream) = streams.join_next().await.unwrap().unwrap();
    assert_eq!(answer.unwrap(), 503);
    eventually("the budget is in use", async || resident(&relay).0 >= idle + BODIES * 3 / 4).await;
    let peak = resident(&relay).1;
    assert!(peak <= bound, "{peak} bytes, more than the formula's {bound}: {formula}");
    assert!(peak >= bound / 2, "{peak} bytes: the formula's {bound} say nothing: {formula}");

    streams.shutdown().await;
    drop((connections, heads));
    let call = Call::post("/hooks/plain");
    eventually("everything is given back", async || {
        let mut wire = tls.connect(address).await;
        wire.try_send(call.h1()).await.is_ok() && wire.try_answer().await.is_some_and(|answer| answer.status == 200)
    })
    .await;
}
