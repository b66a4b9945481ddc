//! What moves on to another server or another connection, and what must not.

use std::time::Duration;

use dmz_relay::domain::Fault;
use dmz_relay::upstream::Upstreams;
use dmz_relay::upstream::spec::UpstreamSpec;
use tokio::time::Instant;

use crate::peers::{honest, liars, nobody};
use crate::rig::{LONG, SHORT, passing, post, send, spec, within};

const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";

#[tokio::test]
async fn a_refused_connection_moves_on() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstream = Upstreams::new().adopt(spec(&[nobody().await, nobody().await, peer.address]));
    let received = send(&upstream, &post("x")).await.unwrap();
    assert_eq!((received.attempts, &*received.server), (3, format!("http://{}", peer.address).as_str()));
}

#[tokio::test]
async fn every_server_is_tried_once() {
    let upstream = Upstreams::new().adopt(spec(&[nobody().await, nobody().await]));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamConnect, 2));
}

#[tokio::test]
async fn a_server_that_declines_moves_on() {
    for status in [502, 503, 504] {
        let busy = honest::h1(move |_| BUSY.replace("503", &status.to_string())).await;
        let peer = honest::h1(|_| honest::OK.to_owned()).await;
        let upstream = Upstreams::new().adopt(spec(&[busy.address, peer.address]));
        assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, 2);
        assert_eq!((busy.seen().len(), peer.seen().len()), (1, 1));
    }
}

#[tokio::test]
async fn an_error_of_the_application_does_not_move_on() {
    let broken = honest::h1(|_| "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstream = Upstreams::new().adopt(spec(&[broken.address, peer.address]));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.status, undelivered.attempts), (Fault::UpstreamStatus, Some(500), 1));
}

#[tokio::test]
async fn when_everybody_declines_the_answer_is_a_fault_or_passed_through() {
    let busy = honest::h1(|_| BUSY.to_owned()).await;
    let upstream = Upstreams::new().adopt(spec(&[busy.address, nobody().await]));
    for _ in 0..2 {
        let undelivered = send(&upstream, &post("x")).await.unwrap_err();
        assert_eq!((undelivered.status, undelivered.attempts), (Some(503), 2));
        let received = send(&upstream, &passing()).await.unwrap();
        assert_eq!((received.status, &received.body[..], received.attempts), (503, &b"busy"[..], 2));
    }
}

#[tokio::test]
async fn what_a_server_may_have_processed_is_not_sent_again() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    for (rude, limit, fault) in [
        (liars::resets().await, LONG, Fault::UpstreamReset),
        (liars::says("").await, LONG, Fault::UpstreamReset),
        (liars::says_and_hangs("junk\r\n\r\n").await, LONG, Fault::UpstreamMalformed),
        (liars::says_and_hangs("").await, SHORT, Fault::UpstreamTimeout),
    ] {
        let upstream = Upstreams::new().adopt(spec(&[rude.address, peer.address]));
        let undelivered = within(&upstream, &post("x"), limit).await.unwrap_err();
        assert_eq!((undelivered.fault, undelivered.attempts), (fault, 1), "{}", undelivered.detail);
        assert_eq!(rude.seen().len(), 1);
    }
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn a_dead_kept_connection_is_replaced_on_the_same_server() {
    let peer = liars::dies_on_reuse("").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    send(&upstream, &post("1")).await.unwrap();
    let received = send(&upstream, &post("2")).await.unwrap();
    assert_eq!((received.attempts, peer.connections()), (1, 2));
    send(&upstream, &post("3")).await.unwrap();
    let seen: Vec<_> = peer.seen().iter().map(|seen| (seen.connection, seen.body.clone())).collect();
    let expected = [(0, b"1"), (0, b"2"), (1, b"2"), (1, b"3")].map(|(number, body)| (number, body.to_vec()));
    assert_eq!(seen, expected, "and the new connection is kept");
}

#[tokio::test]
async fn a_kept_connection_that_dies_inside_an_answer_is_not_replaced() {
    let peer = liars::dies_on_reuse("HTTP/1.1 2").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    send(&upstream, &post("1")).await.unwrap();
    let undelivered = send(&upstream, &post("2")).await.unwrap_err();
    assert_eq!((undelivered.fault, peer.connections()), (Fault::UpstreamReset, 1));
}

#[tokio::test]
async fn a_connect_timeout_moves_on() {
    // TEST-NET-1 is routed nowhere: packets vanish, or the kernel says at once that there is no route.
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let nowhere = "192.0.2.1:9".parse().unwrap();
    let spec = UpstreamSpec { connect_timeout: Duration::from_secs(2), ..spec(&[nowhere, peer.address]) };
    let received = send(&Upstreams::new().adopt(spec), &post("x")).await.unwrap();
    assert_eq!((received.attempts, &*received.server), (2, format!("http://{}", peer.address).as_str()));
}

#[tokio::test]
async fn a_cancelled_request_is_not_in_flight() {
    let peer = liars::says_and_hangs("").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    let running = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.forward(&post("x"), Instant::now(), Instant::now() + LONG).await }
    });
    while peer.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.status()[0].in_flight, 1);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(upstream.status()[0].in_flight, 0);
}
