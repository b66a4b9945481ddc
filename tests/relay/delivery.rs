//! Internal servers, honest and otherwise: a fault of theirs is never the sender's, and nothing of theirs leaks out.

use std::time::Duration;

use dmz_relay::domain::Fault;
use tokio::time::Instant;

use crate::harness::peers::{held, honest, lying, nobody, resetting, silent, slow, tls};
use crate::harness::{Authority, BOTH, Call, PLAIN, Peer, Protocol, Rig, Setup, eventually};

/// The deadline of the route where it is what ends the attempt.
const DEADLINE: Duration = Duration::from_millis(400);

fn setup() -> Setup {
    Setup::routes(&format!("{PLAIN}deadline = \"400ms\"\n"))
}

/// The fault over both protocols, with nothing of the inside in it. One that is no timeout comes long before the deadline.
async fn fails(fault: Fault, app: Peer) {
    let patient = Setup::routes(&format!("{PLAIN}deadline = \"10m\"\n"));
    let rig = Rig::with_app(if fault == Fault::UpstreamTimeout { setup() } else { patient }, app).await;
    for protocol in BOTH {
        let answer = rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        assert!(answer.status >= 500);
        assert!(!format!("{answer:?}").contains("canary"));
        let line = rig.log.of(answer.id()).await;
        assert!(!line.to_string().contains("canary"), "{line}");
        assert_eq!((&line["upstream"], &line["attempts"]), (&"app".into(), &1.into()));
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead() {
    fails(Fault::UpstreamConnect, nobody().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent() {
    fails(Fault::UpstreamTimeout, silent::silent().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow() {
    fails(Fault::UpstreamTimeout, slow::slow().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resetting() {
    fails(Fault::UpstreamReset, resetting::resetting().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lying() {
    for answer in [
        "SSH-2.0-canary\r\n\r\n",
        "HTTP/1.1 2x0 canary\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncanary\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: canary\r\n\r\n",
    ] {
        fails(Fault::UpstreamMalformed, lying::says(answer).await).await;
    }
}

/// A server that stalls in its answer's body has taken the request, as far as its status says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_whose_body_never_ends_is_a_fault_or_a_success_but_in_time() {
    let rig = Rig::with_app(setup(), lying::says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncanary").await).await;
    let answer = rig.send(Protocol::H1, &Call::post("/hooks/plain")).await;
    assert!([200, 502, 504].contains(&answer.status), "{answer:?}");
    assert!(!format!("{answer:?}").contains("canary"));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_is_no_success() {
    for status in [300, 301, 302, 304, 307, 400, 401, 403, 404, 409, 410, 413, 429, 500, 501] {
        fails(Fault::UpstreamStatus, honest::status(status).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_success_is_the_success_that_the_provider_wants() {
    for status in [200, 201, 202, 206, 299] {
        let rig = Rig::with_app(setup(), honest::status(status).await).await;
        for protocol in BOTH {
            let answer = rig.delivers(protocol, &Call::post("/hooks/plain")).await;
            assert_eq!((answer.status, answer.text(), answer.field("content-type")), (200, "", None));
            assert!(!format!("{answer:?}").contains("canary"));
            assert_eq!(rig.log.of(answer.id()).await["upstream_status"], status);
        }
        rig.finish().await;
    }
    let app = honest::answers(|_| "HTTP/1.1 204 No Content\r\nX-Inside: canary\r\n\r\n".to_owned()).await;
    let rig = Rig::with_app(setup(), app).await;
    for protocol in BOTH {
        rig.delivers(protocol, &Call::post("/hooks/plain")).await;
    }
    assert_eq!(rig.app.connections(), 1, "connections inward are kept");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_files_choice() {
    let routes =
        format!("{PLAIN}answer = {{ status = 202, body = \"[accepted]\", content_type = \"text/x-thanks\" }}\n");
    let rig = Rig::with_app(Setup::routes(&routes), honest::status(200).await).await;
    for protocol in BOTH {
        let answer = rig.send(protocol, &Call::post("/hooks/plain")).await;
        assert_eq!((answer.status, answer.text()), (202, "[accepted]"));
        assert_eq!(answer.field("content-type"), Some("text/x-thanks"));
    }
    rig.finish().await;
}

/// Only status, content type and body go out, never another field.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_pass_where_the_route_says_so() {
    for status in [200, 201, 302, 404, 418, 500, 503] {
        let rig =
            Rig::with_app(Setup::routes(&format!("{PLAIN}answer = \"upstream\"\n")), honest::status(status).await)
                .await;
        for protocol in BOTH {
            let answer = rig.send(protocol, &Call::post("/hooks/plain")).await;
            assert_eq!((answer.status, answer.text()), (status, "inside-canary"));
            assert_eq!(answer.field("content-type"), Some("text/x-inside"));
        }
        rig.finish().await;
    }
    let rig = Rig::with_app(Setup::routes(&format!("{PLAIN}answer = \"upstream\"\n")), nobody().await).await;
    rig.ends(Fault::UpstreamConnect, rig.send(Protocol::H1, &Call::post("/hooks/plain"))).await;
    rig.finish().await;
}

/// Two servers: `app`, and another one behind it.
async fn two(first: Peer, second: &Peer) -> Rig {
    let mut setup = setup();
    let other = second.address;
    setup.rest = setup.rest.replace("upstream = \"app\"", "upstream = \"both\"");
    let rest =
        format!("{}[upstreams.both]\nservers = [\"http://{}\", \"http://{other}\"]\n", setup.rest, first.address);
    setup.rest = rest;
    Rig::with_app(setup, first).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_took_goes_to_the_next_server() {
    for status in [None, Some(502), Some(503), Some(504)] {
        let first = match status {
            Some(status) => honest::status(status).await,
            None => nobody().await,
        };
        let second = honest::ok().await;
        let rig = two(first, &second).await;
        for number in 1..=4 {
            let answer = rig.send(Protocol::H1, &Call::post("/hooks/plain")).await;
            assert_eq!((answer.status, second.seen().len()), (200, number));
        }
        // Nobody can say that the one that answered has not looked; one that was never connected to has not.
        let marked = second.seen().iter().filter(|seen| seen.field("Relay-Attempt") == Some("2")).count();
        let declined = rig.app.seen().len();
        assert_eq!(marked, declined);
        assert_eq!(declined > 0, status.is_some());
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_may_have_taken_does_not() {
    for first in [resetting::resetting().await, silent::silent().await, honest::status(500).await] {
        let second = honest::ok().await;
        let rig = two(first, &second).await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            statuses.push(rig.send(Protocol::H1, &Call::post("/hooks/plain")).await.status);
        }
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "the other one's turn");
        assert!([502, 504].contains(&statuses[1]), "{statuses:?}");
        assert_eq!(second.seen().len(), 1, "nothing was sent twice");
        rig.finish().await;
    }
}

/// The time that the sender took for its body is gone for the inside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_deadline_runs_from_the_head() {
    let rig = Rig::with_app(setup(), silent::silent().await).await;
    let call = Call::post("/hooks/plain").body("a body");
    let mut wire = rig.connect().await;
    let began = Instant::now();
    wire.send(call.h1_head()).await;
    wire.send(&call.body[..3]).await;
    eventually("half of the deadline", async || began.elapsed() > DEADLINE / 2).await;
    wire.send(&call.body[3..]).await;
    assert_eq!(wire.answer().await.status, 504);
    assert!(began.elapsed() >= DEADLINE, "{:?}", began.elapsed());
    rig.finish().await;
}

/// A stream that is reset after its request was verified is delivered all the same, once, and recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_stream_does_not_cut_a_delivery() {
    let (app, gate) = held::held().await;
    let rig = Rig::with_app(Setup::default(), app).await;
    let mut h2 = rig.h2().await;
    let (response, mut stream) = h2.open(&Call::post("/hooks/plain")).await;
    stream.send_data(bytes::Bytes::from_static(b"{}"), true).unwrap();
    eventually("it is inside", async || rig.app.seen().len() == 1).await;
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    gate.release(1);
    rig.log.wait("request", |line| line["outcome"] == "delivered").await;
    assert_eq!(rig.log.events("request").len(), 1);
    rig.finish().await;
}

/// The file's own words for a private authority, a client certificate and a name, all the way to the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inward_over_tls_both_sides_show_who_they_are() {
    let (inside, strangers) = (Authority::new(), Authority::new());
    let peer = tls::tls(&inside.issue(&["crm.internal"]), &inside).await;
    let (client, stranger) = (inside.issue(&["relay"]), strangers.issue(&["relay"]));
    let server = format!("servers = [\"https://{}\"]\n", peer.address);
    let good = "ca = \"inside/ca.crt\", client_cert = \"inside/relay.crt\", client_key = \"inside/relay.key\", \
                server_name = \"crm.internal\"";
    let upstream = |name: &str, tls: &str| {
        format!(
            "[upstreams.{name}]\n{server}tls = {{ {tls} }}\n[routes.{name}]\npath = \"/{name}\"\n\
             verify.dangerously_none = true\nupstream = \"{name}\"\n"
        )
    };
    let rest = [
        upstream("good", good),
        upstream("wrong-ca", &good.replace("ca.crt", "strangers.crt")),
        upstream("wrong-name", &good.replace("crm.internal", "erp.internal")),
        upstream("no-client", "ca = \"inside/ca.crt\", server_name = \"crm.internal\""),
        upstream("wrong-client", &good.replace("relay.", "stranger.")),
    ]
    .concat();
    let setup = Setup::routes(&rest)
        .file("inside/ca.crt", inside.pem())
        .file("inside/strangers.crt", strangers.pem())
        .file("inside/relay.crt", &client.chain)
        .file("inside/relay.key", &client.key)
        .file("inside/stranger.crt", &stranger.chain)
        .file("inside/stranger.key", &stranger.key);
    let rig = Rig::start(setup).await;
    for protocol in BOTH {
        assert_eq!(rig.send(protocol, &Call::post("/good").body("over TLS")).await.status, 200);
        assert_eq!(peer.last().body, b"over TLS");
        for route in ["/wrong-ca", "/wrong-name", "/no-client", "/wrong-client"] {
            rig.ends(Fault::UpstreamTls, rig.send(protocol, &Call::post(route))).await;
        }
    }
    assert_eq!(peer.seen().len(), 2);
    rig.finish().await;
}
