//! G6: whose connection has to go when every place is taken and one more comes.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::exhaustion::event;
use crate::genuine::{Senders, first_time};
use crate::harness::{Rig, Wire, eventually};
use crate::table::setup;

/// 73: strangers hold one connection each, from so many addresses that all of them have as many. Who comes for the first time is not
/// the one that has to go for the next of them, whatever its address is beside theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_came_last_is_not_evicted_for_the_next_stranger() {
    let limits = "max_connections = 40\nhandshake_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup().limits(limits)).await;
    let mut genuine = Senders::of(&rig, event).await;
    let mut held = Vec::new();
    for last in 0..60 {
        held.push(rig.tls().from(&format!("127.0.2.{}", 60 + last)).tcp(rig.address).await);
        eventually("all of them are in", async || rig.running().connections() > held.len().min(38)).await;
    }
    // Below all of theirs and above them.
    for source in ["127.0.2.1".to_owned(), first_time()] {
        let comes = rig.tls().from(&source);
        let stream = comes.tcp(rig.address).await;
        let evicted = || rig.metric("dmz_relay_connections_refused_total", &[("reason", "evicted")]);
        let before = evicted();
        for last in 0..10 {
            held.push(rig.tls().from(&format!("127.0.3.{}", held.len() % 200 + last % 2)).tcp(rig.address).await);
        }
        eventually("strangers took the places of strangers", async || evicted() >= before + 5.0).await;
        let mut wire = Wire::new(comes.over(stream, comes.config(&[])).await.expect("it is still in"));
        wire.send(event().h1()).await;
        assert_eq!(wire.answer().await.status, 200, "{source}");
        genuine.are_served().await;
    }
    drop((genuine, held));
    rig.finish().await;
}

/// 73: behind a balancer, one stranger makes connections as fast as it can. They take the places of its own, and not those of
/// senders for whom the balancer speaks as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_balancer_a_stranger_evicts_its_own_connections() {
    let limits =
        "max_connections = 40\nmax_connections_per_address = 1000\nhandshake_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup().limits(limits).listener("proxy_protocol_from = [\"127.0.0.1\"]")).await;
    let through = async |source: &str| {
        let mut stream = rig.tls().tcp(rig.address).await;
        stream.write_all(format!("PROXY TCP4 {source} 10.0.0.1 51000 443\r\n").as_bytes()).await.unwrap();
        stream
    };
    let sends = async |stream: TcpStream, who: &str| {
        let tls = rig.tls();
        let mut wire = Wire::new(tls.over(stream, tls.config(&[])).await.expect(who));
        wire.send(event().h1()).await;
        assert_eq!(wire.answer().await.status, 200, "{who}");
        wire
    };
    let mut kept = sends(through("198.51.100.1").await, "who keeps a connection").await;
    drop(sends(through("198.51.100.2").await, "who opens a new one").await);
    let mut held = Vec::new();
    for round in 0..3 {
        for _ in 0..40 {
            held.push(through("203.0.113.66").await);
        }
        let evicted = || rig.metric("dmz_relay_connections_refused_total", &[("reason", "evicted")]);
        eventually("every place is taken", async || rig.running().connections() >= 40).await;
        let (new, first) = (through("198.51.100.2").await, through(&format!("192.0.2.{round}")).await);
        let before = evicted();
        for _ in 0..60 {
            held.push(through("203.0.113.66").await);
        }
        eventually("the stranger took places", async || evicted() >= before + 50.0).await;
        sends(new, "who opens a new one").await;
        sends(first, "who comes for the first time").await;
        kept.send(event().h1()).await;
        assert_eq!(kept.answer().await.status, 200, "who keeps a connection");
    }
    drop((kept, held));
    rig.finish().await;
}
