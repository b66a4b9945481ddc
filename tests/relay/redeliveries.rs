//! What an operator asks for: a request sent inward again, a dead letter, something given up.

use std::time::Duration;

use dmz_relay::delivery::{self, NotRedelivered};
use dmz_relay::domain::Fault;

use crate::harness::peers::{honest, moody};
use crate::harness::{Call, Oktave, Protocol, Rig, Setup, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
keep_body = true

[routes.bodiless]
path = "/hooks/bodiless"
verify.dangerously_none = true
upstream = "app"

[routes.queue]
path = "/hooks/queue"
verify.dangerously_none = true
upstream = "app"
delivery = "queue"
retry = { first = "1s", max = "1s", attempts = 1 }
"#;

fn setup() -> Setup {
    Setup::stored(ROUTES).variable("SECRET", SECRET)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_is_the_same_request_and_says_that_it_is_one() {
    let (app, mood) = moody::moody(200).await;
    let rig = Rig::with_app(setup(), app).await;
    let (gate, snapshot) = (rig.gate(), rig.snapshot());
    let call = Oktave::event(SECRET, 1).call("/hooks/oktave");
    let answer = rig.delivers(Protocol::H1, &call).await;
    rig.row(answer.id()).await;
    let first = rig.app.last();

    let redelivered = delivery::redeliver(&gate, &snapshot, answer.id()).await.unwrap();
    assert_eq!((redelivered.attempt, redelivered.status, redelivered.fault), (2, Some(200), None));
    assert_eq!(redelivered.timestamp_fresh, Some(true));
    let again = rig.app.last();
    let expected = first.head.replace("Relay-Hops: ", "Relay-Redelivery: true\r\nRelay-Hops: ");
    let expected = expected.replace("Relay-Attempt: 1\r\n", "Relay-Attempt: 2\r\n");
    assert_eq!((again.head, again.body), (expected, first.body));

    mood.status(503, "");
    rig.clock.advance(Duration::from_secs(2 * 3600));
    let redelivered = delivery::redeliver(&gate, &snapshot, answer.id()).await.unwrap();
    assert_eq!(
        (redelivered.attempt, redelivered.status, redelivered.fault),
        (3, Some(503), Some(Fault::UpstreamStatus))
    );
    assert_eq!(redelivered.timestamp_fresh, Some(false));
    let row = rig.row(answer.id()).await;
    assert_eq!(row.entry.outcome.as_str(), "delivered", "a failed redelivery takes nothing back");
    assert_eq!(row.history.iter().filter(|attempt| attempt.kind.as_str() == "redelivery").count(), 2);
    let told = || rig.log.events("delivery").iter().filter(|line| line["redelivery"] == true).count();
    eventually("both are told of", async || told() == 2).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_redelivered() {
    let (app, mood) = moody::moody(200).await;
    let mut rig = Rig::with_app(setup(), app).await;
    let redeliver =
        async |rig: &Rig, id: &str| delivery::redeliver(&rig.gate(), &rig.snapshot(), id).await.unwrap_err();
    assert_eq!(redeliver(&rig, "0197f3c2a4b0000000000000000").await, NotRedelivered::Unknown);
    assert_eq!(redeliver(&rig, "no id at all").await, NotRedelivered::Unknown);

    let forged = Oktave::event("another secret of some length here", 1).call("/hooks/oktave");
    let refused = rig.send(Protocol::H1, &forged).await;
    assert_eq!(refused.status, 401);
    rig.row(refused.id()).await;
    assert_eq!(redeliver(&rig, refused.id()).await, NotRedelivered::Unverified);

    let bodiless = rig.delivers(Protocol::H1, &Call::post("/hooks/bodiless")).await;
    rig.row(bodiless.id()).await;
    assert_eq!(redeliver(&rig, bodiless.id()).await, NotRedelivered::BodyNotKept);

    mood.status(500, "");
    let dead = rig.send(Protocol::H1, &Call::post("/hooks/queue")).await;
    eventually("a dead letter", async || rig.store().backlog("queue").dead == 1).await;
    assert_eq!(redeliver(&rig, dead.id()).await, NotRedelivered::Dead);

    let known = rig.send(Protocol::H1, &Oktave::event(SECRET, 2).call("/hooks/oktave")).await;
    assert_eq!(known.status, 200);
    mood.well();
    rig.clock.advance(Duration::from_secs(60));
    rig.drained("oktave").await;
    rig.apply(|setup| setup.rest = setup.rest.replace("oktave]", "renamed]")).await;
    assert_eq!(redeliver(&rig, known.id()).await, NotRedelivered::RouteGone);
    rig.finish().await;

    let plain = Rig::plain().await;
    assert_eq!(redeliver(&plain, "x").await, NotRedelivered::NoStore);
    plain.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_gone_and_its_row_stays() {
    let rig = Rig::with_app(setup(), honest::status(500).await).await;
    let dead = rig.send(Protocol::H1, &Call::post("/hooks/queue")).await;
    eventually("a dead letter", async || rig.store().backlog("queue").dead == 1).await;
    let gate = rig.gate();
    assert!(delivery::discard(&gate, dead.id()).await.is_ok());
    assert_eq!(rig.store().backlog("queue").dead, 0);
    assert_eq!(rig.row(dead.id()).await.entry.outcome.as_str(), "discarded");
    assert!(delivery::discard(&gate, dead.id()).await.is_err());
    assert!(delivery::retry(&gate, dead.id()).await.is_err());
    assert_eq!(rig.app.seen().len(), 1);
    rig.finish().await;
}
