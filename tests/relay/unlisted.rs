//! Genuine requests from addresses that no list holds: refused as ever, and told to the operator.

use std::time::Duration;

use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::{Answer, BOTH, Call, H2, Oktave, Protocol, Rig, Setup, Wire, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SECOND: Duration = Duration::from_secs(1);

/// A listed proxy at 127.0.0.1 says who sent it.
fn setup() -> Setup {
    let route = "[routes.oktave]\npath = \"/hooks/oktave\"\nprovider = \"oktave\"\nsecrets = [{ env = \"SECRET\" }]\n\
                 upstream = \"app\"\ndelivery = \"direct\"\nallow = [\"192.0.2.0/24\"]\ndeny = [\"198.51.100.66\"]\n\
                 content_types = [\"application/json\"]\nmax_body = \"8MiB\"\n";
    Setup::stored(route).variable("SECRET", SECRET).listener("trust_forwarded_from = [\"127.0.0.1\"]")
}

fn from(source: &str, number: u32) -> Call {
    Oktave::event(SECRET, number).call("/hooks/oktave").field("X-Forwarded-For", source)
}

fn forged(source: &str, number: u32) -> Call {
    from(source, number).set("Oktave-Signature", &"0".repeat(64))
}

fn samples(rig: &Rig, result: &str) -> f64 {
    rig.metric("dmz_relay_unlisted_samples_total", &[("route", "oktave"), ("result", result)])
}

fn all_samples(rig: &Rig) -> f64 {
    ["genuine", "refused", "unread"].map(|result| samples(rig, result)).iter().sum()
}

/// The connection stays for the next one: a client that goes away with its answer resets it, and its body is lost.
async fn refused(rig: &Rig, open: &mut Open, protocol: Protocol, call: &Call) -> Answer {
    let exchange = async {
        match protocol {
            Protocol::H2 => open.h2.send(call).await,
            Protocol::H1 => {
                let mut wire = rig.connect().await;
                wire.send(call.h1()).await;
                let answer = wire.answer().await;
                open.h1.push(wire);
                answer
            }
        }
    };
    rig.refused(Refusal::AddressNotAllowed, exchange).await
}

/// The same, a second later, until it was looked at with this result. A client over HTTP/2 takes its body back when the answer
/// comes first, and then nothing could be read.
async fn sampled(rig: &Rig, open: &mut Open, protocol: Protocol, call: &Call, result: &str) -> Answer {
    loop {
        let (all, before) = (all_samples(rig), samples(rig, result));
        rig.clock.advance(SECOND);
        let answer = refused(rig, open, protocol, call).await;
        eventually("it is looked at", async || all_samples(rig) > all).await;
        if samples(rig, result) > before {
            return answer;
        }
        assert_eq!((protocol, all_samples(rig)), (Protocol::H2, all + 1.0), "{result}");
    }
}

/// Connections that their senders keep open.
struct Open {
    h1: Vec<Wire>,
    h2: H2,
}

impl Open {
    async fn of(rig: &Rig) -> Self {
        Self { h1: Vec::new(), h2: rig.h2().await }
    }
}

async fn status(rig: &Rig) -> Value {
    rig.status().await["routes"][0]["unlisted"].clone()
}

/// All that a sender can tell answers apart by, but the id.
fn seen_by_sender(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let fields = answer.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("x-request-id"));
    (answer.status, fields.cloned().collect(), answer.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_request_that_is_not_listed_is_refused_and_told() {
    let mut rig = Rig::start(setup()).await;
    let mut open = Open::of(&rig).await;
    for result in ["genuine", "refused", "unread"] {
        assert!(
            rig.metrics().contains(&format!("samples_total{{route=\"oktave\",result=\"{result}\"}} 0")),
            "{result}"
        );
    }
    for (number, protocol) in (1..).zip(BOTH) {
        let unlooked = sampled(&rig, &mut open, protocol, &forged("203.0.113.1", number), "refused").await;
        let answer = sampled(&rig, &mut open, protocol, &from("203.0.113.7", number), "genuine").await;
        assert_eq!(seen_by_sender(&answer).0, seen_by_sender(&unlooked).0);
        assert_eq!(seen_by_sender(&answer).2, seen_by_sender(&unlooked).2);
        let fields =
            |answer| seen_by_sender(answer).1.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        assert_eq!(fields(&answer).collect::<Vec<_>>(), fields(&unlooked).collect::<Vec<_>>());
        let line = rig.log.wait("genuine_unlisted", |_| true).await;
        assert_eq!(
            (&line["route"], &line["source"], &line["level"]),
            (&"oktave".into(), &"203.0.113.7".into(), &"warn".into())
        );
        assert_eq!(line["add"], "[routes.oktave] allow = [\"192.0.2.0/24\", \"203.0.113.7\"]");
    }
    assert_eq!(rig.log.events("genuine_unlisted").len(), 1, "once an hour for each address");
    let told = status(&rig).await;
    assert_eq!((&told["addresses"][0]["address"], &told["addresses"][0]["seen"]), (&"203.0.113.7".into(), &2.into()));
    assert_eq!(told["add"], "[routes.oktave] allow = [\"192.0.2.0/24\", \"203.0.113.7\"]");
    // Nobody was proven, nothing was remembered: the same deliveries pass from a listed address.
    assert_eq!(rig.gate().state.dedupe.len(), 0);
    rig.delivers(Protocol::H1, &from("192.0.2.1", 1)).await;
    rig.delivers(Protocol::H2, &from("192.0.2.1", 2)).await;
    // Once it is listed, it is no more told.
    rig.apply(|setup| setup.rest = setup.rest.replace("[\"192.0.2.0/24\"]", "[\"192.0.2.0/24\", \"203.0.113.7\"]"))
        .await;
    assert_eq!(status(&rig).await, Value::Null);
    rig.delivers(Protocol::H1, &from("203.0.113.7", 3)).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_request_is_not_told() {
    let rig = Rig::start(setup()).await;
    let mut open = Open::of(&rig).await;
    for (number, protocol) in (1..).zip(BOTH) {
        sampled(&rig, &mut open, protocol, &forged("203.0.113.7", number), "refused").await;
    }
    // A genuine one that its age or its own denial keeps out is none that a list lacks.
    let stale =
        Oktave::event(SECRET, 3).at(1_000_000_000).call("/hooks/oktave").field("X-Forwarded-For", "203.0.113.7");
    sampled(&rig, &mut open, Protocol::H1, &stale, "refused").await;
    rig.clock.advance(SECOND);
    rig.refused(Refusal::AddressDenied, rig.send(Protocol::H1, &from("198.51.100.66", 4))).await;
    refused(&rig, &mut open, Protocol::H1, &from("203.0.113.7", 5).set("Content-Type", "text/plain")).await;
    // None of these took the place of one that would be taken.
    let all = all_samples(&rig);
    refused(&rig, &mut open, Protocol::H1, &forged("203.0.113.7", 7)).await;
    eventually("it is looked at", async || samples(&rig, "refused") == 4.0).await;
    assert_eq!((all_samples(&rig), rig.log.events("genuine_unlisted").len()), (all + 1.0, 0));
    assert_eq!(status(&rig).await, Value::Null);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_costs_one_verification_per_second() {
    let rig = Rig::start(setup()).await;
    let mut open = Open::of(&rig).await;
    for second in 1..=3 {
        rig.clock.advance(SECOND);
        for number in 0..20 {
            for protocol in BOTH {
                refused(&rig, &mut open, protocol, &from(&format!("203.0.113.{number}"), number)).await;
            }
        }
        eventually("one is looked at", async || all_samples(&rig) == f64::from(second)).await;
    }
    rig.clock.advance(SECOND);
    refused(&rig, &mut open, Protocol::H1, &from("203.0.113.200", 200)).await;
    eventually("the last one is looked at", async || all_samples(&rig) >= 4.0).await;
    assert_eq!(all_samples(&rig), 4.0, "whatever the flood");
    assert_eq!(samples(&rig, "refused"), 0.0, "all of them were genuine");
    rig.finish().await;
}

/// The answer does not wait for the body, and a body that does not come costs nothing but the wait that the edge has anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_comes_first() {
    let rig = Rig::start(setup()).await;
    let call = from("203.0.113.7", 1);
    let (mut wire, whole) = (rig.connect().await, call.h1());
    let head = call.h1_head();
    wire.send(&head).await;
    assert_eq!(wire.answer().await.status, 403);
    assert_eq!(all_samples(&rig), 0.0);
    wire.send(&whole[head.len()..]).await;
    eventually("the body came after its answer", async || samples(&rig, "genuine") == 1.0).await;
    rig.clock.advance(SECOND);
    let mut silent = rig.connect().await;
    silent.send(&head).await;
    assert_eq!(silent.answer().await.status, 403);
    drop(silent);
    eventually("it went away", async || samples(&rig, "unread") == 1.0).await;
    // Larger than what is looked at, though the route would take it.
    rig.clock.advance(SECOND);
    let large = from("203.0.113.7", 2).body(vec![b' '; 2 * 1024 * 1024]);
    let (mut wire, bytes) = (rig.connect().await, large.h1());
    let _ = wire.try_send(bytes).await;
    eventually("it is too large", async || samples(&rig, "unread") == 2.0).await;
    assert_eq!(rig.gate().state.bodies.used(), 0);
    rig.finish().await;
}
