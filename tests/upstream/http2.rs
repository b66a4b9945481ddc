//! HTTP/2 connections are shared: what one stream suffers must not spread, and a dead connection must not linger.

use dmz_relay::domain::Fault;
use dmz_relay::upstream::spec::{Http2, UpstreamSpec};
use dmz_relay::upstream::{Outbound, Upstreams};
use h2::Reason;
use tokio::time::Instant;

use crate::peers::http2::{Does, h2c};
use crate::peers::{Peer, honest};
use crate::rig::{LONG, SHORT, noise, passing, post, send, spec, within};

fn only(servers: &[&Peer]) -> UpstreamSpec {
    let servers: Vec<_> = servers.iter().map(|peer| peer.address).collect();
    UpstreamSpec { http2: Http2::Only, ..spec(&servers) }
}

#[tokio::test]
async fn streams_share_a_connection() {
    let peer = h2c(|_, _| Does::Answers).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    send(&upstream, &post("x")).await.unwrap();
    let request = post("x");
    let deadline = Instant::now() + LONG;
    let both = tokio::join!(
        upstream.forward(&request, Instant::now(), deadline),
        upstream.forward(&request, Instant::now(), deadline)
    );
    assert!(both.0.is_ok() && both.1.is_ok());
    assert!(peer.connections() <= 2, "{}", peer.connections());
    for _ in 0..10 {
        send(&upstream, &post("x")).await.unwrap();
    }
    assert!(peer.connections() <= 2, "{}", peer.connections());
}

#[tokio::test]
async fn a_dead_kept_connection_is_replaced() {
    let peer =
        h2c(|connection, request| if (connection, request) == (0, 1) { Does::Dies } else { Does::Answers }).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    send(&upstream, &post("x")).await.unwrap();
    let received = send(&upstream, &post("x")).await.unwrap();
    assert_eq!((received.attempts, peer.connections()), (1, 2));
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_a_reset() {
    let peer = h2c(|_, _| Does::Dies).await;
    let other = h2c(|_, _| Does::Answers).await;
    let upstream = Upstreams::new().adopt(only(&[&peer, &other]));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamReset, 1), "{}", undelivered.detail);
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_refused_stream_moves_on_and_a_broken_one_does_not() {
    let other = h2c(|_, _| Does::Answers).await;
    let refuses = h2c(|_, _| Does::Resets(Reason::REFUSED_STREAM)).await;
    let received = send(&Upstreams::new().adopt(only(&[&refuses, &other])), &post("x")).await.unwrap();
    assert_eq!(received.attempts, 2);
    let breaks = h2c(|_, _| Does::Resets(Reason::INTERNAL_ERROR)).await;
    let undelivered = send(&Upstreams::new().adopt(only(&[&breaks, &other])), &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamReset, 1));
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_that_swallowed_a_request_gets_no_other() {
    let peer = h2c(|connection, _| if connection == 0 { Does::Hangs } else { Does::Answers }).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    let undelivered = within(&upstream, &post("x"), SHORT).await.unwrap_err();
    assert_eq!(undelivered.fault, Fault::UpstreamTimeout);
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_cancelled_request_leaves_its_connection_to_others() {
    let peer = h2c(|_, request| if request == 0 { Does::Hangs } else { Does::Answers }).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    let running = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.forward(&post("x"), Instant::now(), Instant::now() + LONG).await }
    });
    while peer.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
    assert_eq!((peer.connections(), upstream.status()[0].in_flight), (1, 0));
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_read_is_heard() {
    let peer = h2c(|_, _| Does::AnswersEarly).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    let request = Outbound { pass_through: Some(64), ..post(noise(25 * 1024 * 1024)) };
    assert_eq!(send(&upstream, &request).await.unwrap().status, 413);
}

#[tokio::test]
async fn a_success_of_a_server_that_does_not_want_the_rest_is_a_success() {
    let peer = h2c(|_, _| Does::AnswersUnread).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    let request = Outbound { pass_through: Some(64), ..post(noise(25 * 1024 * 1024)) };
    let received = send(&upstream, &request).await.unwrap();
    assert_eq!((received.status, &received.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn a_body_of_another_length_is_malformed() {
    let peer = h2c(|_, _| Does::Lies).await;
    let upstream = Upstreams::new().adopt(only(&[&peer]));
    for round in 1..=2 {
        let undelivered = send(&upstream, &passing()).await.unwrap_err();
        assert_eq!(
            (undelivered.fault, peer.connections()),
            (Fault::UpstreamMalformed, round),
            "{}",
            undelivered.detail
        );
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_a_fault() {
    let peer = honest::h1(|_| "HTTP/1.1 400 What\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let undelivered = within(&Upstreams::new().adopt(only(&[&peer])), &post("x"), LONG).await.unwrap_err();
    assert!(
        matches!(undelivered.fault, Fault::UpstreamMalformed | Fault::UpstreamConnect),
        "{:?} {}",
        undelivered.fault,
        undelivered.detail
    );
}
