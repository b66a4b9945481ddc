//! What an application may answer: one set of rules, whichever protocol it speaks.

use dmz_relay::domain::Fault;
use h2::Reason;

use crate::harness::peers::scripted::{Says, scripted};
use crate::harness::peers::streams::{Does, streams};
use crate::harness::{Authority, BOTH, Call, Peer, Protocol, Rig, Setup, eventually};

/// HTTP/1.1 to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Clear,
    Tls,
}

pub const OVER: [Over; 2] = [Over::Clear, Over::Tls];

/// A relay with one route before an application by a script.
pub async fn http1(
    over: Over,
    keys: &str,
    limits: &str,
    script: impl Fn(usize, usize) -> Says + Send + Sync + 'static,
) -> Rig {
    let inside = Authority::new();
    let pair = inside.issue(&["crm.internal"]);
    let app = scripted((over == Over::Tls).then_some(&pair), script).await;
    let (upstream, secure) = match over {
        Over::Clear => ("app", String::new()),
        Over::Tls => (
            "secure",
            format!(
                "[upstreams.secure]\nservers = [\"https://{}\"]\n\
                 tls = {{ ca = \"inside/ca.crt\", server_name = \"crm.internal\" }}\n",
                app.address
            ),
        ),
    };
    let setup = Setup::stored(&format!("{secure}{}", route(upstream, keys)));
    Rig::with_app(setup.limits(limits).file("inside/ca.crt", inside.pem()), app).await
}

/// The same before one that speaks HTTP/2.
pub async fn http2(keys: &str, limits: &str, app: Peer) -> Rig {
    let setup = Setup { app: "http2 = \"only\"".into(), ..Setup::stored(&route("app", keys)) };
    Rig::with_app(setup.limits(limits), app).await
}

fn route(upstream: &str, keys: &str) -> String {
    format!(
        "[routes.plain]\npath = \"/hooks/plain\"\nverify.dangerously_none = true\nupstream = \"{upstream}\"\n{keys}\n"
    )
}

const DIRECT: &str = "delivery = \"direct\"";
const PASSED_ON: &str = "delivery = \"direct\"\nanswer = \"upstream\"";
/// Room for the large bodies of these tests.
const LARGE: &str = "max_body = \"8MiB\"\nbody_memory = \"64MiB\"";

fn call() -> Call {
    Call::post("/hooks/plain").body("a body")
}

fn with_fields(count: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", "X-Field: value\r\n".repeat(count))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_is_a_success_in_every_form_and_a_doubtful_connection_is_not_used_again() {
    let interim = |count: usize, last: &str| format!("{}{last}", "HTTP/1.1 102 Processing\r\n\r\n".repeat(count));
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    // The answer, and how many connections two requests take.
    let rows: Vec<(String, usize)> = vec![
        ("HTTP/1.1 204 No Content\r\n\r\n".into(), 1),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".into(), 1),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n".into(), 2),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 2),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n".into(), 2),
        (format!("HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\n{ok}"), 2),
        (interim(9, ok), 1),
        (interim(200, ok), 1),
        (with_fields(130), 1),
        (with_fields(400), 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok".into(), 1),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok".into(), 1),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok".into(), 1),
        ("HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nok".into(), 1),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok".into(), 1),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok".into(), 1),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".into(), 1),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokno\r\n".into(), 2),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(), 2),
    ];
    for over in OVER {
        for (answer, connections) in &rows {
            let text = answer.clone();
            let rig = http1(over, DIRECT, "", move |_, _| Says::new(text.clone())).await;
            for _ in 0..2 {
                let told = rig.send(Protocol::H1, &call()).await;
                assert_eq!(told.status, 200, "{over:?} {answer:?}");
            }
            assert_eq!((rig.app.connections(), rig.app.seen().len()), (*connections, 2), "{over:?} {answer:?}");
            rig.finish().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_two_readers_could_read_in_two_ways_is_malformed() {
    let rows: Vec<String> = vec![
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab".into(),
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\nab".into(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".into(),
        with_fields(600),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(70_000)),
        "HTTP/1.1 102 Processing\r\n\r\n".repeat(3_000),
    ];
    for over in OVER {
        for answer in &rows {
            let text = answer.clone();
            let rig = http1(over, DIRECT, "", move |_, _| Says::new(text.clone()).and_hangs()).await;
            rig.ends(Fault::UpstreamMalformed, rig.send(Protocol::H1, &call())).await;
            rig.finish().await;
        }
    }
}

/// Status and head are the answer; a body that nobody wants cannot take it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_whose_body_is_short_is_delivered_once() {
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc",
    ];
    for over in OVER {
        for answer in answers {
            for delivery in ["direct", "failover", "queue"] {
                let rig =
                    http1(over, &format!("delivery = \"{delivery}\""), "", move |_, _| Says::new(answer).and_closes())
                        .await;
                let told = rig.send(Protocol::H1, &call()).await;
                assert_eq!(told.status, 200, "{over:?} {delivery} {answer:?}");
                rig.drained("plain").await;
                let row = rig.row(told.id()).await;
                assert_eq!(
                    (row.entry.outcome.as_str(), rig.app.seen().len()),
                    ("delivered", 1),
                    "{over:?} {delivery} {answer:?}"
                );
                rig.finish().await;
            }
            let rig = http1(over, PASSED_ON, "", move |_, _| Says::new(answer).and_closes()).await;
            rig.ends(Fault::UpstreamReset, rig.send(Protocol::H1, &call())).await;
            rig.finish().await;
        }
    }
    let short = || streams(|_, _| Does::AnswersShort);
    let rig = http2(DIRECT, "", short().await).await;
    assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
    rig.finish().await;
    let rig = http2(PASSED_ON, "", short().await).await;
    rig.ends(Fault::UpstreamMalformed, rig.send(Protocol::H1, &call())).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoding_stays_with_its_body() {
    for over in OVER {
        let rig = http1(over, PASSED_ON, "", |_, _| {
            Says::new(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\
                 \u{1}\u{2}\u{3}\u{4}",
            )
        })
        .await;
        for protocol in BOTH {
            let told = rig.send(protocol, &call()).await;
            assert_eq!((told.status, told.text()), (200, "\u{1}\u{2}\u{3}\u{4}"));
            assert_eq!(told.field("content-encoding"), Some("gzip"));
            assert_eq!(told.field("content-type"), Some("application/json"));
        }
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_passed_on_whole_or_not_at_all() {
    let most = "a".repeat(1024 * 1024);
    let large = format!("{most}a");
    let with_length = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let chunked = |body: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    for over in OVER {
        for answer in [with_length(&large), chunked(&large), format!("HTTP/1.1 200 OK\r\n\r\n{large}")] {
            let rig = http1(over, PASSED_ON, "", move |_, _| Says::new(answer.clone()).and_closes()).await;
            let told = rig.ends(Fault::UpstreamTooLarge, rig.send(Protocol::H1, &call())).await;
            assert_eq!(told.text(), "bad gateway\n");
            rig.finish().await;
        }
        for answer in [with_length(&most), chunked(&most), format!("HTTP/1.1 200 OK\r\n\r\n{most}")] {
            let rig = http1(over, PASSED_ON, "", move |_, _| Says::new(answer.clone()).and_closes()).await;
            let told = rig.send(Protocol::H1, &call()).await;
            assert_eq!((told.status, told.text().len()), (200, most.len()));
            rig.finish().await;
        }
    }
    let rig = http2(PASSED_ON, "", streams(|_, _| Does::AnswersLong(1024 * 1024 + 1)).await).await;
    rig.ends(Fault::UpstreamTooLarge, rig.send(Protocol::H1, &call())).await;
    rig.finish().await;
    let rig = http2(PASSED_ON, "", streams(|_, _| Does::AnswersLong(1024 * 1024)).await).await;
    assert_eq!(rig.send(Protocol::H1, &call()).await.text().len(), 1024 * 1024);
    rig.finish().await;
}

/// The server has refused and reads no more: nobody waits for the deadline, which is longer than this test waits for anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_heard_while_the_body_is_written() {
    let keys = format!("{DIRECT}\ndeadline = \"10m\"");
    let large = Call::post("/hooks/plain").body(vec![b'a'; 8 * 1024 * 1024]);
    let refused = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    for over in OVER {
        for hints in ["", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
            let answer = format!("{hints}{refused}");
            let rig =
                http1(over, &keys, LARGE, move |_, _| Says::new(answer.clone()).without_reading_on().and_hangs()).await;
            let told = rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &large)).await;
            assert_eq!(rig.log.of(told.id()).await["upstream_status"], 413);
            rig.finish().await;
        }
        // A success is heard at once as well, and believed, if the server takes nothing more.
        let rig = http1(over, &keys, LARGE, |_, _| Says::ok().without_reading_on().and_hangs()).await;
        assert_eq!(rig.send(Protocol::H1, &large).await.status, 200);
        rig.finish().await;
    }
    for (status, expected) in [(413, 502), (200, 200)] {
        let rig = http2(&keys, LARGE, streams(move |_, _| Does::AnswersUnread(status)).await).await;
        assert_eq!(rig.send(Protocol::H1, &large).await.status, expected);
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_over_http2_are_skipped() {
    let rig = http2(DIRECT, "", streams(|_, _| Does::AnswersLate).await).await;
    for _ in 0..2 {
        assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
    }
    rig.finish().await;
}

const IDLE: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What a server says as it closes an idle connection is no answer to the request that crossed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_connection_that_is_closed_with_408_is_replaced() {
    for over in OVER {
        let rig = http1(over, DIRECT, "", |connection, request| match (connection, request) {
            (0, 1) => Says::new(IDLE).and_closes(),
            _ => Says::ok(),
        })
        .await;
        for _ in 0..2 {
            assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200, "{over:?}");
        }
        assert_eq!(numbers(&rig.app), [1, 1, 2]);
        rig.finish().await;
        let rig = http1(over, DIRECT, "", |_, _| Says::new(IDLE).and_closes()).await;
        rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &call())).await;
        assert_eq!(rig.app.seen().len(), 1, "on a new connection it is an answer");
        rig.finish().await;
    }
}

/// `Relay-Attempt` of everything that arrived, in order.
pub fn numbers(app: &Peer) -> Vec<u32> {
    app.seen().iter().map(|seen| seen.field("Relay-Attempt").unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_connection_swallowed_is_sent_again_with_the_next_number() {
    for delivery in ["direct", "failover", "queue"] {
        let keys = format!("delivery = \"{delivery}\"");
        let mut rigs = Vec::new();
        for over in OVER {
            rigs.push(
                http1(over, &keys, "", |connection, request| match (connection, request) {
                    (0, 1) => Says::new("").and_closes(),
                    _ => Says::ok(),
                })
                .await,
            );
        }
        let dies = |connection, request| if (connection, request) == (0, 1) { Does::Dies } else { Does::Answers(200) };
        rigs.push(http2(&keys, "", streams(dies).await).await);
        for rig in rigs {
            let mut last = None;
            for count in 1..=2 {
                let told = rig.send(Protocol::H1, &call()).await;
                assert_eq!(told.status, 200, "{delivery}");
                eventually("it arrives", async || rig.app.seen().len() >= count).await;
                rig.drained("plain").await;
                last = Some(told);
            }
            assert_eq!(numbers(&rig.app), [1, 1, 2], "{delivery}");
            let id = last.unwrap().id().to_owned();
            let seen = rig.app.seen();
            assert_eq!(seen[1].field("X-Request-Id"), Some(&*id));
            assert_eq!(seen[2].field("X-Request-Id"), Some(&*id));
            assert_eq!(seen[1].body, seen[2].body);
            assert_eq!(rig.row(&id).await.entry.attempts, 2, "{delivery}");
            if delivery == "queue" {
                // Written behind the arrival that was waited for.
                rig.log.wait("delivery", |line| line["request_id"] == *id && line["attempt"] == 2).await;
            } else {
                assert_eq!(rig.log.of(&id).await["attempts"], 2, "{delivery}");
            }
            rig.finish().await;
        }
    }
}

/// The server that ends one stream of a living connection has looked at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_the_application_reset_is_not_repeated_unless_it_was_refused() {
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL, Reason::NO_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let rig = http2(DIRECT, "", streams(move |_, request| second(request, Does::Resets(reason))).await).await;
        assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
        rig.ends(Fault::UpstreamReset, rig.send(Protocol::H1, &call())).await;
        assert_eq!(numbers(&rig.app), [1, 1], "{reason:?}");
        rig.finish().await;
    }
    let refuses = |connection, request| match (connection, request) {
        (0, 1) => Does::Resets(Reason::REFUSED_STREAM),
        _ => Does::Answers(200),
    };
    let rig = http2(DIRECT, "", streams(refuses).await).await;
    for _ in 0..2 {
        assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
    }
    assert_eq!(numbers(&rig.app), [1, 1, 2]);
    rig.finish().await;
    let rig = http2(DIRECT, "", crate::harness::peers::streams::goes_away().await).await;
    for _ in 0..2 {
        assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
    }
    assert_eq!(rig.app.last().field("Relay-Attempt"), Some("2"));
    rig.finish().await;
}

fn second(request: usize, does: Does) -> Does {
    if request == 1 { does } else { Does::Answers(200) }
}
