//! Failover: the inside's answer where it comes in time, the store where it does not.

use std::time::Duration;

use dmz_relay::domain::Fault;

use crate::harness::peers::{held, honest, lying, moody, nobody, resetting, silent};
use crate::harness::{BOTH, Call, Oktave, Peer, Protocol, Rig, Setup, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// `failover` is the default with a store.
const ROUTES: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
deadline = "1s"
"#;

const OKTAVE: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
deadline = "1s"
"#;

fn call() -> Call {
    Call::post("/hooks/plain").body("a body")
}

/// The sender hears of success within the deadline, and one request waits.
async fn is_kept(app: Peer, reason: Fault) {
    // Only who says nothing runs into the deadline, however busy the machine is.
    let deadline = if reason == Fault::UpstreamTimeout { "1s" } else { "10m" };
    let routes = ROUTES.replace("\"1s\"", &format!("\"{deadline}\""));
    let rig = Rig::with_app(Setup::stored(&routes), app).await;
    for (count, protocol) in BOTH.into_iter().enumerate() {
        let answer = rig.send(protocol, &call()).await;
        assert_eq!((answer.status, answer.text()), (200, ""), "{reason:?}");
        assert_eq!(rig.log.of(answer.id()).await["outcome"], "accepted");
        assert_eq!(rig.store().backlog("plain").waiting, count as u64 + 1);
        let row = rig.row(answer.id()).await;
        assert_eq!((row.entry.outcome.as_str(), row.history.len()), ("accepted", 1), "{row:?}");
        assert_eq!((row.history[0].fault, row.history[0].number), (Some(reason), 1));
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_inside_costs_the_sender_nothing() {
    is_kept(nobody().await, Fault::UpstreamConnect).await;
    is_kept(silent::silent().await, Fault::UpstreamTimeout).await;
    is_kept(resetting::resetting().await, Fault::UpstreamReset).await;
    is_kept(lying::says("SSH-2.0-inside\r\n\r\n").await, Fault::UpstreamMalformed).await;
    for status in [302, 404, 429, 500, 503] {
        is_kept(honest::status(status).await, Fault::UpstreamStatus).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_inside_takes_in_time_never_waits() {
    let rig = Rig::start(Setup::stored(ROUTES)).await;
    for protocol in BOTH {
        let answer = rig.delivers(protocol, &call()).await;
        assert_eq!(rig.app.last().field("Relay-Attempt"), Some("1"));
        assert_eq!(rig.row(answer.id()).await.entry.outcome.as_str(), "delivered");
    }
    assert_eq!(rig.store().backlog("plain").waiting, 0);
    rig.finish().await;
}

/// What can neither be kept nor is wanted by anybody waits for no upstream. The pause of a probe later a request is forwarded again, though
/// there is no room yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_store_an_open_breaker_refuses_until_the_next_probe_and_no_longer() {
    let (app, mood) = moody::moody(503).await;
    let routes = ROUTES.replace("\"1s\"", "\"10m\"");
    let rig = Rig::with_app(Setup::stored_with("keep = { size = \"16MiB\" }", &routes), app).await;
    let call = Call::post("/hooks/plain").body(vec![b'a'; 1_000_000]);
    eventually("it is full", async || rig.send(Protocol::H1, &call).await.status != 200).await;
    rig.log.wait("store_full", |_| true).await;
    let before = rig.app.seen().len();
    mood.well();
    for protocol in BOTH {
        let answer = rig.send(protocol, &call).await;
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("30")));
        assert_eq!(rig.log.of(answer.id()).await["reason"], "store_full");
    }
    assert_eq!(rig.app.seen().len(), before, "and nobody was asked");
    // What waits and what comes may both be the probe.
    rig.clock.advance(Duration::from_secs(5));
    eventually("a request is forwarded", async || {
        let answer = rig.send(Protocol::H1, &call).await;
        answer.status == 200 && rig.log.of(answer.id()).await["outcome"] == "delivered"
    })
    .await;
    rig.log.wait("breaker_closed", |_| true).await;
    rig.drained("plain").await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_is_the_second_attempt() {
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(ROUTES), app).await;
    let answer = rig.send(Protocol::H1, &call()).await;
    assert_eq!((answer.status, rig.app.seen().len()), (200, 1));
    mood.well();
    rig.clock.advance(Duration::from_secs(2));
    rig.drained("plain").await;
    let (first, second) = (rig.app.seen()[0].clone(), rig.app.last());
    assert_eq!((first.field("Relay-Attempt"), second.field("Relay-Attempt")), (Some("1"), Some("2")));
    assert_eq!(first.head.replace("Relay-Attempt: 1", "Relay-Attempt: 2"), second.head);
    assert_eq!(first.body, second.body);
    let row = rig.row(answer.id()).await;
    let attempts: Vec<_> = row.history.iter().map(|attempt| (attempt.number, attempt.kind.as_str())).collect();
    assert_eq!((row.entry.outcome.as_str(), attempts), ("delivered", vec![(1, "direct"), (2, "spooled")]));
    rig.finish().await;
}

/// Two servers, each asked by each attempt: no two sends have the same number, while the sender waits, out of the store, and by
/// an operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_send_has_a_higher_number_than_the_one_before() {
    let ((first, one), (second, other)) = (moody::moody(503).await, moody::moody(503).await);
    let both = format!(
        "[upstreams.both]\nservers = [\"http://{}\", \"http://{}\"]\n{}keep_body = true\n",
        first.address,
        second.address,
        ROUTES.replace("upstream = \"app\"", "upstream = \"both\"")
    );
    let rig = Rig::with_app(Setup::stored(&both), first).await;
    let answer = rig.send(Protocol::H1, &call()).await;
    assert_eq!((answer.status, rig.app.seen().len(), second.seen().len()), (200, 1, 1));
    rig.clock.advance(Duration::from_secs(3));
    eventually("an attempt out of the store", async || rig.app.seen().len() == 2 && second.seen().len() == 2).await;
    one.well();
    other.well();
    rig.drained("plain").await;
    let redelivered = dmz_relay::delivery::redeliver(&rig.gate(), &rig.snapshot(), answer.id()).await.unwrap();
    let mut numbers: Vec<u32> = [rig.app.seen(), second.seen()]
        .iter()
        .flatten()
        .map(|seen| seen.field("Relay-Attempt").unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    let row = rig.row(answer.id()).await;
    let history: Vec<_> = row.history.iter().map(|attempt| (attempt.number, attempt.kind.as_str())).collect();
    assert_eq!(history[..3], [(2, "direct"), (4, "spooled"), (5, "spooled")]);
    assert_eq!((redelivered.attempt, row.entry.attempts), (6, 6));
    rig.finish().await;
}

/// Once it is known that the inside takes nothing, no sender waits for it any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_inside_is_not_waited_for_by_every_sender() {
    let rig = Rig::with_app(Setup::stored(&ROUTES.replace("1s", "4s")), nobody().await).await;
    for _ in 0..3 {
        assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200);
    }
    rig.log.wait("breaker_opened", |_| true).await;
    let answer = rig.send(Protocol::H1, &call()).await;
    assert_eq!(answer.status, 200);
    let line = rig.log.of(answer.id()).await;
    assert_eq!(
        (&line["outcome"], &line["attempts"]),
        (&"accepted".into(), &serde_json::Value::Null),
        "nobody was asked"
    );
    rig.clock.advance(Duration::from_secs(2));
    eventually("a probe", async || !rig.log.events("delivery").is_empty()).await;
    rig.finish().await;
}

/// A twin on its way, one of a kept request, and one of a delivered request are told apart, across a restart too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins() {
    let (app, gate) = held::held().await;
    let mut rig = Rig::with_app(Setup::stored(OKTAVE).variable("SECRET", SECRET), app).await;
    let event = |number| Oktave::event(SECRET, number).call("/hooks/oktave");
    let mut wire = rig.connect().await;
    wire.send(event(1).h1()).await;
    eventually("it is inside", async || rig.app.seen().len() == 1).await;
    let twin = rig.send(Protocol::H2, &event(1)).await;
    assert_eq!((twin.status, twin.field("retry-after")), (409, Some("2")));
    assert_eq!(wire.answer().await.status, 200, "kept, because nobody answered");
    let twin = rig.send(Protocol::H1, &event(1)).await;
    assert_eq!((twin.status, rig.log.of(twin.id()).await["outcome"].as_str()), (200, Some("duplicate")));

    gate.release(2);
    rig.clock.advance(Duration::from_secs(5));
    rig.drained("oktave").await;
    assert_eq!(rig.app.seen().len(), 2);
    gate.release(1);
    let other = rig.send(Protocol::H1, &event(2)).await;
    assert_eq!((other.status, rig.log.of(other.id()).await["outcome"].as_str()), (200, Some("delivered")));
    rig.restart().await;
    for number in [1, 2] {
        let twin = rig.send(Protocol::H1, &event(number)).await;
        let line = rig.log.of(twin.id()).await;
        assert_eq!((twin.status, line["outcome"].as_str()), (200, Some("duplicate")), "{number}");
    }
    assert_eq!(rig.app.seen().len(), 3);
    rig.finish().await;
}

/// A failed direct delivery leaves no trace in dedupe memory: the provider's next try is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_of_a_failed_one_is_taken() {
    let (app, mood) = moody::moody(500).await;
    let setup = Setup::stored(&format!("{OKTAVE}delivery = \"direct\"\n")).variable("SECRET", SECRET);
    let mut rig = Rig::with_app(setup, app).await;
    let call = Oktave::event(SECRET, 1).call("/hooks/oktave");
    rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &call)).await;
    rig.restart().await;
    mood.well();
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

/// On an ordered route a new request goes behind what waits, never past it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_route_keeps_its_order() {
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(&format!("{ROUTES}ordered = true\n")), app).await;
    for number in 0..10 {
        assert_eq!(rig.send(Protocol::H1, &call().body(number.to_string())).await.status, 200);
    }
    assert!(rig.app.texts().iter().all(|text| text == "0"), "{:?}", rig.app.texts());
    let before = rig.app.seen().len();
    mood.well();
    for number in 10..12 {
        assert_eq!(rig.send(Protocol::H1, &call().body(number.to_string())).await.status, 200);
    }
    rig.clock.advance(Duration::from_secs(3600));
    rig.drained("plain").await;
    let arrived = rig.app.texts().split_off(before);
    assert_eq!(arrived, (0..12).map(|number| number.to_string()).collect::<Vec<_>>());
    let answer = rig.send(Protocol::H1, &call().body("12")).await;
    assert_eq!(rig.log.of(answer.id()).await["outcome"], "delivered", "nothing waits, so it goes straight in");
    rig.finish().await;
}

/// Somebody else writes to the file, so that accepting takes a while.
fn hold(rig: &Rig) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(rig.path("relay.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// Whoever goes away while its request becomes durable leaves a request that is delivered all the same, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_goes_away_takes_nothing_with_it() {
    let routes = format!("{OKTAVE}delivery = \"queue\"\n").replace("1s", "10s");
    let rig = Rig::start(Setup::stored(&routes).variable("SECRET", SECRET)).await;
    let call = Oktave::event(SECRET, 1).call("/hooks/oktave");
    let state = std::sync::Arc::clone(rig.running().state());
    // On a slow machine the store may give up waiting for the file before it is let go; then nothing was kept, as if the disk
    // had failed, and the sender tries again.
    while rig.app.seen().is_empty() {
        let other = hold(&rig);
        let mut wire = rig.connect().await;
        wire.send(call.h1()).await;
        let ended = rig.log.events("request").len();
        let begun = || state.dispatch.going_on() > 0 || rig.log.events("request").len() > ended;
        eventually("it is being kept", async || begun()).await;
        drop(wire);
        other.execute_batch("ROLLBACK").unwrap();
        eventually("nothing is left over", async || state.dispatch.going_on() == 0).await;
        eventually("the store is well", async || rig.store().status().open).await;
    }
    let twin = rig.send(Protocol::H1, &call).await;
    assert_eq!((twin.status, rig.log.of(twin.id()).await["outcome"].as_str()), (200, Some("duplicate")));
    assert_eq!(rig.app.seen().len(), 1);
    rig.finish().await;
}

/// No room: the sender hears what the inside did, and the log says both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_neither_be_delivered_nor_kept() {
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(&ROUTES.replace("1s", "10s")), app).await;
    let other = hold(&rig);
    let answer = rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &call())).await;
    let line = rig.log.of(answer.id()).await;
    assert!(line["detail"].as_str().unwrap().ends_with("it could not be kept: store_failed"), "{line}");
    drop(other);
    rig.log.wait("store_failed", |_| true).await;
    rig.log.wait("store_recovered", |_| true).await;
    assert_eq!(rig.send(Protocol::H1, &call()).await.status, 200, "kept again");
    mood.well();
    rig.clock.advance(Duration::from_secs(60));
    rig.drained("plain").await;
    rig.finish().await;
}
