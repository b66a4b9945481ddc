//! Active checks decide alone who is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dmz_relay::domain::Fault;
use dmz_relay::upstream::spec::{HealthSpec, UpstreamSpec};
use dmz_relay::upstream::{ServerTurn, Upstreams};
use tokio::time::timeout;

use crate::peers::{honest, liars};
use crate::rig::{LONG, post, send, spec};

fn rule() -> Option<HealthSpec> {
    Some(HealthSpec {
        path: "/healthz".into(),
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(20),
        unhealthy_after: 2,
        healthy_after: 2,
    })
}

#[tokio::test]
async fn a_server_goes_and_comes_back_with_its_checks() {
    let well = Arc::new(AtomicBool::new(false));
    let peer = honest::h1({
        let well = Arc::clone(&well);
        move |seen| match seen.head.starts_with("GET /healthz ") && !well.load(Ordering::SeqCst) {
            true => "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n".to_owned(),
            false => honest::OK.to_owned(),
        }
    })
    .await;
    let upstreams = Upstreams::new();
    let mut changes = upstreams.subscribe();
    let upstream = upstreams.adopt(UpstreamSpec { health: rule(), ..spec(&[peer.address]) });
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200, "unknown is healthy");
    let watch = tokio::spawn(Arc::clone(&upstream).watch());

    let change = timeout(LONG, changes.recv()).await.unwrap().unwrap();
    assert_eq!((change.now, change.detail.as_str()), (ServerTurn::Unhealthy, "status 500"));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamUnavailable, 0));
    assert!(!upstream.status()[0].healthy);

    well.store(true, Ordering::SeqCst);
    assert_eq!(timeout(LONG, changes.recv()).await.unwrap().unwrap().now, ServerTurn::Healthy);
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);

    let checks: Vec<_> = peer.seen().into_iter().filter(|seen| seen.head.starts_with("GET /healthz")).collect();
    assert!(checks.len() >= 4);
    assert!(checks.iter().all(|check| check.head.contains("Connection: close") && !check.head.contains("Length")));
    let mut connections: Vec<_> = checks.iter().map(|check| check.connection).collect();
    connections.dedup();
    assert_eq!(connections.len(), checks.len(), "each over a connection of its own");
    watch.abort();
}

#[tokio::test]
async fn an_unhealthy_server_is_passed_over() {
    let silent = liars::says_and_hangs("").await;
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstreams = Upstreams::new();
    let mut changes = upstreams.subscribe();
    let health = rule().map(|rule| HealthSpec { timeout: Duration::from_millis(30), ..rule });
    let upstream = upstreams.adopt(UpstreamSpec { health, ..spec(&[silent.address, peer.address]) });
    let watch = tokio::spawn(Arc::clone(&upstream).watch());
    let unhealthy = async {
        loop {
            let change = changes.recv().await.unwrap();
            if change.now == ServerTurn::Unhealthy && change.server.ends_with(&silent.address.to_string()) {
                return change;
            }
        }
    };
    assert!(timeout(LONG, unhealthy).await.unwrap().detail.contains("deadline"));
    watch.abort();
    assert!(watch.await.unwrap_err().is_cancelled());
    for _ in 0..4 {
        assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, 1);
    }
    let posted = silent.seen().iter().filter(|seen| seen.head.starts_with("POST")).count();
    assert_eq!(posted, 0);
}

#[tokio::test]
async fn without_checks_there_is_nothing_to_watch() {
    let upstream = Upstreams::new().adopt(spec(&["127.0.0.1:9".parse().unwrap()]));
    timeout(LONG, upstream.watch()).await.unwrap();
}
