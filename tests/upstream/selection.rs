//! Who is chosen: distribution, ejection, and what a reload keeps.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dmz_relay::domain::Fault;
use dmz_relay::upstream::spec::{Balance, EjectionSpec, UpstreamSpec};
use dmz_relay::upstream::{ServerTurn, Upstreams};
use tokio::time::Instant;

use crate::peers::{Peer, honest, liars, nobody};
use crate::rig::{LONG, post, send, spec};

async fn three() -> [Peer; 3] {
    [
        honest::h1(|_| honest::OK.to_owned()).await,
        honest::h1(|_| honest::OK.to_owned()).await,
        honest::h1(|_| honest::OK.to_owned()).await,
    ]
}

fn ejecting(servers: &[SocketAddr], duration: Duration) -> UpstreamSpec {
    UpstreamSpec { ejection: EjectionSpec { after_failures: 1, duration }, ..spec(servers) }
}

#[tokio::test]
async fn in_turn_everybody_gets_the_same() {
    let peers = three().await;
    let upstream = Upstreams::new().adopt(spec(&peers.each_ref().map(|peer| peer.address)));
    for _ in 0..12 {
        send(&upstream, &post("x")).await.unwrap();
    }
    assert_eq!(peers.each_ref().map(|peer| peer.seen().len()), [4, 4, 4]);
}

#[tokio::test]
async fn the_share_of_an_ejected_server_goes_to_all_others() {
    let peers = three().await;
    let dead = nobody().await;
    let servers = [dead, peers[0].address, peers[1].address, peers[2].address];
    let upstream = Upstreams::new().adopt(ejecting(&servers, Duration::from_secs(600)));
    assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, 2, "the dead one is found out");
    for _ in 0..12 {
        assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, 1);
    }
    let shares = peers.each_ref().map(|peer| peer.seen().len());
    assert!(shares.iter().all(|share| (4..=5).contains(share)), "{shares:?}");
}

#[tokio::test]
async fn with_least_connections_nobody_queues_behind_a_busy_server() {
    let busy = liars::says_and_hangs("").await;
    let peers = three().await;
    let servers = [busy.address, peers[0].address];
    let spec = UpstreamSpec { balance: Balance::LeastConnections, ..spec(&servers) };
    let upstream = Upstreams::new().adopt(spec);
    let waiting = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.forward(&post("x"), Instant::now(), Instant::now() + LONG).await }
    });
    while busy.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..6 {
        let deadline = Instant::now() + LONG;
        upstream.forward(&post("x"), Instant::now(), deadline).await.unwrap();
    }
    assert_eq!((busy.seen().len(), peers[0].seen().len()), (1, 6));
    waiting.abort();
}

#[tokio::test]
async fn with_least_connections_idle_servers_take_turns() {
    let peers = three().await;
    let spec = UpstreamSpec { balance: Balance::LeastConnections, ..spec(&peers.each_ref().map(|peer| peer.address)) };
    let upstream = Upstreams::new().adopt(spec);
    for _ in 0..12 {
        send(&upstream, &post("x")).await.unwrap();
    }
    assert_eq!(peers.each_ref().map(|peer| peer.seen().len()), [4, 4, 4]);
}

#[tokio::test]
async fn an_ejected_server_comes_back_after_a_probe() {
    let well = Arc::new(AtomicBool::new(false));
    let sick = honest::h1({
        let well = Arc::clone(&well);
        move |_| match well.load(Ordering::SeqCst) {
            true => honest::OK.to_owned(),
            false => "HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n".to_owned(),
        }
    })
    .await;
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstreams = Upstreams::new();
    let mut changes = upstreams.subscribe();
    let upstream = upstreams.adopt(ejecting(&[sick.address, peer.address], Duration::from_millis(50)));
    send(&upstream, &post("x")).await.unwrap();
    let change = changes.recv().await.unwrap();
    assert_eq!((change.now, &*change.upstream, change.detail.as_str()), (ServerTurn::Ejected, "crm", "status 503"));

    well.store(true, Ordering::SeqCst);
    let readmitted = async {
        while upstream.status()[0].ejected {
            send(&upstream, &post("x")).await.unwrap();
        }
    };
    tokio::time::timeout(LONG, readmitted).await.unwrap();
    assert_eq!(changes.recv().await.unwrap().now, ServerTurn::Readmitted);
    assert_eq!(sick.seen().len(), 2, "one failure, one probe");
}

#[tokio::test]
async fn ejected_servers_are_the_last_resort() {
    let peer = liars::dies_on_reuse("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n").await;
    let upstream = Upstreams::new().adopt(ejecting(&[peer.address], Duration::from_secs(600)));
    send(&upstream, &post("1")).await.unwrap();
    assert_eq!(send(&upstream, &post("2")).await.unwrap_err().fault, Fault::UpstreamStatus);
    assert!(upstream.status()[0].ejected);
    send(&upstream, &post("3")).await.unwrap();
    assert!(!upstream.status()[0].ejected, "a success readmits");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_a_removal_forgets_it() {
    let peers = three().await;
    let servers = [nobody().await, peers[0].address];
    let upstreams = Upstreams::new();
    let before = upstreams.adopt(ejecting(&servers, Duration::from_secs(600)));
    send(&before, &post("x")).await.unwrap();
    assert!(before.status()[0].ejected);

    let after = upstreams.adopt(ejecting(&[servers[1], servers[0]], Duration::from_secs(600)));
    drop(before);
    assert_eq!(after.status().iter().map(|server| server.ejected).collect::<Vec<_>>(), [false, true]);
    send(&after, &post("x")).await.unwrap();
    assert_eq!(peers[0].connections(), 1, "pooled connections outlive a reload, too");

    let other = UpstreamSpec { name: "erp".into(), ..ejecting(&servers, Duration::from_secs(600)) };
    assert!(!upstreams.adopt(other).status()[0].ejected, "another upstream has its own view");
    drop(after);
    assert!(!upstreams.adopt(ejecting(&servers, Duration::from_secs(600))).status()[0].ejected);
}

#[tokio::test]
async fn an_upstream_without_servers_is_unavailable() {
    let upstream = Upstreams::new().adopt(spec(&[]));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamUnavailable, 0));
}
