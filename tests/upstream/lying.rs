//! Servers that break HTTP: each gives its fault inside the deadline, and its connection is never used again.

use dmz_relay::domain::Fault;
use dmz_relay::upstream::{Fields, Outbound, Upstreams};

use crate::peers::{Peer, liars, nobody};
use crate::rig::{LONG, SHORT, passing, post, send, spec, within};

/// Two requests: both fail the same way, and on connections of their own.
async fn fails(peer: Peer, expected: Fault) {
    fails_with(peer, expected, || post("x")).await;
}

async fn fails_with(peer: Peer, expected: Fault, request: impl Fn() -> Outbound<'static>) {
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for round in 1..=2 {
        let undelivered = send(&upstream, &request()).await.unwrap_err();
        assert_eq!(undelivered.fault, expected, "{}", undelivered.detail);
        assert_eq!(undelivered.attempts, 1);
        assert!(!undelivered.detail.contains("canary"), "{}", undelivered.detail);
        assert_eq!((peer.seen().len(), peer.connections()), (round, round));
    }
}

#[tokio::test]
async fn what_is_not_http_is_malformed() {
    for answer in [
        "SSH-2.0-canary\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon canary\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        fails(liars::says_and_hangs(answer).await, Fault::UpstreamMalformed).await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_is_a_reset() {
    for answer in ["", "HTTP/1.1 20", "HTTP/1.1 100 Continue\r\n\r\n"] {
        fails(liars::says(answer).await, Fault::UpstreamReset).await;
    }
    fails(liars::resets().await, Fault::UpstreamReset).await;
}

#[tokio::test]
async fn a_broken_body_is_a_fault_only_where_it_is_wanted() {
    for (answer, fault) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ncan", Fault::UpstreamReset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nca", Fault::UpstreamReset),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", Fault::UpstreamMalformed),
    ] {
        fails_with(liars::says(answer).await, fault, passing).await;
        let peer = liars::says(answer).await;
        let upstream = Upstreams::new().adopt(spec(&[peer.address]));
        for round in 1..=2 {
            assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
            assert_eq!(peer.connections(), round);
        }
    }
}

#[tokio::test]
async fn what_never_ends_is_cut_off() {
    fails(
        liars::never_ends("HTTP/1.1 200 OK\r\n", "X-Canary: canary canary canary canary\r\n").await,
        Fault::UpstreamMalformed,
    )
    .await;
    fails(liars::never_ends("", "HTTP/1.1 100 Continue\r\n\r\n").await, Fault::UpstreamMalformed).await;
}

#[tokio::test]
async fn a_hundred_gibibytes_of_success_are_a_success() {
    for head in ["HTTP/1.1 200 OK\r\nContent-Length: 107374182400\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
        let peer = liars::never_ends(head, "a lie, and another lie, and another lie").await;
        let upstream = Upstreams::new().adopt(spec(&[peer.address]));
        for round in 1..=2 {
            assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
            assert_eq!(peer.connections(), round);
        }
    }
}

#[tokio::test]
async fn bytes_after_an_answer_cost_the_connection() {
    let peer = liars::says_and_hangs("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for round in 1..=2 {
        assert_eq!(&send(&upstream, &passing()).await.unwrap().body[..], b"ok");
        assert_eq!(peer.connections(), round);
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let peer = liars::says_and_hangs(said).await;
        let upstream = Upstreams::new().adopt(spec(&[peer.address]));
        for round in 1..=2 {
            let undelivered = within(&upstream, &post("x"), SHORT).await.unwrap_err();
            assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamTimeout, 1));
            assert_eq!(peer.connections(), round);
        }
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_waited_for_only_where_it_is_wanted() {
    let peer = liars::says_and_hangs("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    let received = within(&upstream, &post("x"), LONG).await.unwrap();
    assert_eq!(received.status, 200);
    let undelivered = within(&upstream, &passing(), SHORT).await.unwrap_err();
    assert_eq!(undelivered.fault, Fault::UpstreamTimeout);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_a_timeout() {
    let peer = Peer::start(|stream, _, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    let request = post(crate::rig::noise(25 * 1024 * 1024));
    assert_eq!(within(&upstream, &request, SHORT).await.unwrap_err().fault, Fault::UpstreamTimeout);
}

#[tokio::test]
async fn a_passed_deadline_opens_no_connection() {
    let peer = liars::says_and_hangs("").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    let undelivered = within(&upstream, &post("x"), std::time::Duration::ZERO).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamTimeout, 0));
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn nobody_listening_is_a_connect_fault() {
    let upstream = Upstreams::new().adopt(spec(&[nobody().await]));
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!((undelivered.fault, undelivered.attempts), (Fault::UpstreamConnect, 1));
    assert!(undelivered.detail.contains("refused"), "{}", undelivered.detail);
}

#[tokio::test]
async fn what_cannot_be_written_is_our_fault_and_is_not_sent() {
    let peer = liars::says_and_hangs("").await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for request in [
        Outbound { headers: Fields::from([("X", b"a\r\ncanary: 1")]), ..post("x") },
        Outbound { headers: Fields::from([("X Y", b"canary")]), ..post("x") },
        Outbound { target: "/a canary", ..post("x") },
    ] {
        let undelivered = send(&upstream, &request).await.unwrap_err();
        assert_eq!(undelivered.fault, Fault::Internal);
        assert!(!undelivered.detail.contains("canary"), "{}", undelivered.detail);
    }
    assert!(peer.seen().is_empty());
}
