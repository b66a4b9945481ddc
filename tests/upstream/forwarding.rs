//! What honest servers get, and what is made of their answers.

use bytes::Bytes;
use dmz_relay::domain::Fault;
use dmz_relay::upstream::spec::{EjectionSpec, Http2, UpstreamSpec};
use dmz_relay::upstream::{Outbound, Upstreams};

use crate::peers::{Peer, honest, liars, nobody};
use crate::pki::Authority;
use crate::rig::{LONG, noise, passing, post, send, server, spec, tls_spec, trusting, within};

const SIZES: [usize; 4] = [0, 1, 64 * 1024, 25 * 1024 * 1024];

async fn bodies_arrive_byte_for_byte(peer: &Peer, spec: UpstreamSpec) {
    let upstream = Upstreams::new().adopt(spec);
    for size in SIZES {
        let body = noise(size);
        let request = Outbound { pass_through: Some(64), ..post(body.clone()) };
        let received = send(&upstream, &request).await.unwrap();
        assert_eq!((received.status, &received.body[..], received.attempts), (200, &b"ok"[..], 1));
        let seen = peer.seen().pop().unwrap();
        assert!(seen.body == body, "{size} bytes");
    }
    assert_eq!(peer.connections(), 1, "one connection serves them all");
}

#[tokio::test]
async fn bodies_of_every_size_over_plain_http1() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    bodies_arrive_byte_for_byte(&peer, spec(&[peer.address])).await;
    let head = &peer.seen()[0].head;
    let expected = format!(
        "POST /hooks/a?b=%20c HTTP/1.1\r\nHost: {}\r\nX-Signature: s\r\nContent-Length: 0\r\n\r\n",
        peer.address
    );
    assert_eq!(*head, expected);
}

#[tokio::test]
async fn bodies_of_every_size_over_http1_and_tls() {
    let ca = Authority::new();
    let peer = honest::tls(ca.server(&["localhost"], &[b"http/1.1"], None)).await;
    bodies_arrive_byte_for_byte(&peer, tls_spec("localhost", peer.address.port(), Http2::Auto, trusting(&ca))).await;
    assert!(peer.seen()[0].head.contains("HTTP/1.1"));
}

#[tokio::test]
async fn bodies_of_every_size_over_http2_and_tls() {
    let ca = Authority::new();
    let peer = honest::tls(ca.server(&["localhost"], &[b"h2", b"http/1.1"], None)).await;
    bodies_arrive_byte_for_byte(&peer, tls_spec("localhost", peer.address.port(), Http2::Auto, trusting(&ca))).await;
    let head = &peer.seen()[2].head;
    assert!(head.contains(&format!("https://localhost:{}/hooks/a?b=%20c", peer.address.port())), "{head}");
    assert!(head.contains("\"content-length\": \"65536\""), "{head}");
}

#[tokio::test]
async fn bodies_of_every_size_over_http2_with_prior_knowledge() {
    let peer = honest::h2c(200).await;
    let spec = UpstreamSpec { http2: Http2::Only, ..spec(&[peer.address]) };
    bodies_arrive_byte_for_byte(&peer, spec).await;
}

#[tokio::test]
async fn a_plain_server_is_spoken_to_in_http1_when_the_protocol_is_open() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstream = Upstreams::new().adopt(UpstreamSpec { http2: Http2::Auto, ..spec(&[peer.address]) });
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_name_is_resolved_and_every_address_of_it_tried() {
    // "localhost" is often ::1 first, where this server does not listen.
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let servers = vec![server("http", "localhost", peer.address.port())];
    let upstream = Upstreams::new().adopt(UpstreamSpec { servers, ..spec(&[]) });
    assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, 1);
    assert!(peer.seen()[0].head.contains(&format!("Host: localhost:{}\r\n", peer.address.port())));
}

#[tokio::test]
async fn an_unknown_name_is_a_connect_fault() {
    let servers = vec![server("http", "no-such-host.invalid", 80)];
    let upstream = Upstreams::new().adopt(UpstreamSpec { servers, ..spec(&[]) });
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!(undelivered.fault, Fault::UpstreamConnect, "{}", undelivered.detail);
}

#[tokio::test]
async fn other_statuses_are_faults_unless_the_route_passes_them_through() {
    for status in [301, 400, 404, 413, 500] {
        let peer = honest::h1(move |_| {
            format!(
                "HTTP/1.1 {status} No\r\nContent-Type: text/plain\r\nLocation: http://127.0.0.1:1/\r\n\
                 Content-Length: 3\r\n\r\nno!"
            )
        })
        .await;
        let upstream = Upstreams::new().adopt(spec(&[peer.address]));
        let undelivered = send(&upstream, &post("x")).await.unwrap_err();
        assert_eq!((undelivered.fault, undelivered.status), (Fault::UpstreamStatus, Some(status)));
        let received = send(&upstream, &passing()).await.unwrap();
        assert_eq!((received.status, &received.body[..]), (status, &b"no!"[..]));
        assert_eq!(received.content_type.as_deref(), Some(&b"text/plain"[..]));
        assert_eq!((peer.seen().len(), peer.connections()), (2, 1));
    }
}

#[tokio::test]
async fn answers_that_nobody_wants_are_drained_for_reuse() {
    let peer =
        honest::h1(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}", "a".repeat(100_000))).await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for _ in 0..3 {
        let received = send(&upstream, &post("x")).await.unwrap();
        assert_eq!((received.status, received.body.len()), (200, 0));
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_answer_beyond_the_drain_limit_costs_its_connection() {
    let peer =
        honest::h1(|_| format!("HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n{}", "a".repeat(900_000))).await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for _ in 0..2 {
        assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
    }
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn chunked_and_bodiless_answers_leave_the_connection_usable() {
    let answers = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    ];
    let peer = honest::h1(move |seen| answers[usize::from(seen.body[0] - b'0')].to_owned()).await;
    let upstream = Upstreams::new().adopt(spec(&[peer.address]));
    for (body, status) in [("0", 200), ("1", 204), ("2", 202), ("0", 200)] {
        assert_eq!(send(&upstream, &post(body)).await.unwrap().status, status);
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn no_connection_is_kept_where_keepalive_is_zero() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let upstream =
        Upstreams::new().adopt(UpstreamSpec { keepalive: std::time::Duration::ZERO, ..spec(&[peer.address]) });
    for _ in 0..2 {
        send(&upstream, &post("x")).await.unwrap();
    }
    assert_eq!(peer.connections(), 2);
    assert!(peer.seen()[0].head.contains("Connection: close\r\n"));
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_read_is_heard() {
    const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!";
    for (hangs, limit) in [(false, LONG), (true, std::time::Duration::from_secs(10))] {
        let peer = liars::answers_early(TOO_LARGE, hangs).await;
        let upstream = Upstreams::new().adopt(spec(&[peer.address]));
        let request = Outbound { pass_through: Some(64), ..post(noise(25 * 1024 * 1024)) };
        let received = within(&upstream, &request, limit).await.unwrap();
        assert_eq!((received.status, received.body), (413, Bytes::from_static(b"no!")), "hangs: {hangs}");
    }
}

#[tokio::test]
async fn absurd_durations_overflow_no_clock() {
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let most = std::time::Duration::MAX;
    let ejection = EjectionSpec { after_failures: 1, duration: most };
    let servers = [nobody().await, peer.address];
    let upstream =
        Upstreams::new().adopt(UpstreamSpec { connect_timeout: most, keepalive: most, ejection, ..spec(&servers) });
    for attempts in [2, 1, 1] {
        assert_eq!(send(&upstream, &post("x")).await.unwrap().attempts, attempts);
    }
}
