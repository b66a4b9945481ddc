//! When what was not taken is tried again, how often, and in which order.

use std::time::Duration;

use dmz_relay::base::UnixMillis;

use crate::harness::peers::moody;
use crate::harness::{Answer, Call, NOW, Protocol, Rig, Setup, eventually};

fn queue(more: &str) -> Setup {
    Setup::stored(&format!(
        "[routes.plain]\npath = \"/hooks/plain\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
         delivery = \"queue\"\n{more}\n"
    ))
}

async fn accepted(rig: &Rig, body: &str) -> Answer {
    let answer = rig.send(Protocol::H1, &Call::post("/hooks/plain").body(body)).await;
    assert_eq!(answer.status, 200);
    answer
}

/// Waits until so many attempts were told of.
async fn told(rig: &Rig, attempts: usize) {
    eventually("an attempt", async || rig.log.events("delivery").len() == attempts).await;
    assert_eq!(rig.app.seen().len(), attempts);
}

/// When the one that waits is due, in milliseconds after the clock's present.
async fn due(rig: &Rig) -> i64 {
    let store = rig.store();
    eventually("it waits", async || store.backlog("plain").next_due.is_some()).await;
    store.backlog("plain").next_due.unwrap().0 - rig.clock.now().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_double_up_to_the_longest_with_half_of_them_left_to_chance() {
    let (app, _mood) = moody::moody(500).await;
    let rig = Rig::with_app(queue("retry = { first = \"10s\", max = \"1m\" }"), app).await;
    accepted(&rig, "a").await;
    for (attempts, whole) in [(1, 10_000), (2, 20_000), (3, 40_000), (4, 60_000), (5, 60_000)] {
        told(&rig, attempts).await;
        let due = due(&rig).await;
        assert!((whole / 2..=whole).contains(&due), "{attempts}: {due}");
        rig.clock.advance(Duration::from_millis(u64::try_from(due).unwrap() - 1));
        rig.clock.advance(Duration::from_millis(1));
    }
    let numbers: Vec<_> = rig.app.seen().iter().map(|seen| seen.field("Relay-Attempt").unwrap().to_owned()).collect();
    assert_eq!(numbers[..5], ["1", "2", "3", "4", "5"]);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_says_when_in_seconds_or_by_date_up_to_the_longest_wait() {
    let date = "Retry-After: Sun, 22 Nov 2026 10:20:00 GMT\r\n";
    for (field, wait) in
        [("Retry-After: 120\r\n", 120), (date, 1200), ("Retry-After: 999999\r\n", 1800), ("Retry-After: soon\r\n", 10)]
    {
        let (app, mood) = moody::moody(503).await;
        mood.status(503, field);
        let rig = Rig::with_app(queue("retry = { first = \"10s\", max = \"30m\" }"), app).await;
        assert_eq!(rig.clock.now(), UnixMillis::from_secs(NOW));
        accepted(&rig, "a").await;
        told(&rig, 1).await;
        let due = due(&rig).await;
        assert!((wait * 500..=wait * 1000).contains(&due), "{field}: {due}");
        if wait > 10 {
            assert_eq!(due, wait * 1000, "{field}");
        }
        mood.well();
        rig.clock.advance(Duration::from_millis(u64::try_from(due).unwrap()));
        rig.drained("plain").await;
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_attempt_makes_a_dead_letter_that_can_be_revived() {
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(queue("retry = { first = \"1s\", max = \"1s\", attempts = 3 }"), app).await;
    let answer = accepted(&rig, "a").await;
    for attempts in 1..=2 {
        told(&rig, attempts).await;
        rig.clock.advance(Duration::from_secs(1));
    }
    told(&rig, 3).await;
    rig.log.wait("delivery", |line| line["result"] == "dead").await;
    rig.drained("plain").await;
    assert_eq!(rig.store().backlog("plain").dead, 1);
    assert_eq!(rig.row(answer.id()).await.entry.outcome.as_str(), "dead");
    let (_, metrics) = rig.ask("GET", "/metrics").await;
    assert!(metrics.contains("dmz_relay_spool_dead{route=\"plain\"} 1"), "{metrics}");
    rig.clock.advance(Duration::from_secs(3600 * 24 * 30));

    let gate = rig.gate();
    assert!(dmz_relay::delivery::retry(&gate, answer.id()).await.is_ok());
    told(&rig, 4).await;
    assert_eq!(rig.app.last().field("Relay-Attempt"), Some("4"), "a fresh allowance, the same count");
    mood.well();
    rig.clock.advance(Duration::from_secs(1));
    rig.drained("plain").await;
    assert_eq!((rig.store().backlog("plain").dead, rig.app.seen().len()), (0, 5));
    assert!(dmz_relay::delivery::retry(&gate, answer.id()).await.is_err(), "it is no dead letter any more");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_makes_a_dead_letter_too() {
    let (app, _mood) = moody::moody(500).await;
    let rig = Rig::with_app(queue("retry = { first = \"1s\", max = \"1s\", give_up_after = \"1h\" }"), app).await;
    let answer = accepted(&rig, "a").await;
    told(&rig, 1).await;
    rig.clock.advance(Duration::from_secs(3599));
    told(&rig, 2).await;
    assert_eq!(rig.store().backlog("plain").dead, 0);
    rig.clock.advance(Duration::from_secs(1));
    rig.drained("plain").await;
    assert_eq!(rig.row(answer.id()).await.entry.outcome.as_str(), "dead");
    rig.finish().await;
}

/// One after the other, in the order of acceptance, whatever fails, also across a reload and a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordered_route_never_overtakes_itself() {
    let (app, mood) = moody::moody(500).await;
    let more = "ordered = true\nretry = { first = \"1s\", max = \"1s\", attempts = 5 }";
    let mut rig = Rig::with_app(queue(more), app).await;
    for body in ["a", "b", "c", "d"] {
        accepted(&rig, body).await;
    }
    told(&rig, 1).await;
    rig.clock.advance(Duration::from_secs(1));
    told(&rig, 2).await;
    rig.apply(|setup| setup.rest.push_str("description = \"changed\"\n")).await;
    rig.clock.advance(Duration::from_secs(1));
    told(&rig, 3).await;
    rig.restart().await;
    rig.clock.advance(Duration::from_secs(1));
    eventually("in its time", async || rig.log.events("delivery").len() == 1).await;
    assert_eq!(rig.app.texts(), ["a", "a", "a", "a"], "the head of the line, and nothing else");
    mood.well();
    rig.clock.advance(Duration::from_secs(1));
    rig.drained("plain").await;
    assert_eq!(rig.app.texts().split_off(4), ["a", "b", "c", "d"]);

    mood.status(500, "");
    accepted(&rig, "e").await;
    accepted(&rig, "f").await;
    for attempts in 9..=13 {
        eventually("an attempt", async || rig.log.events("delivery").len() + 3 >= attempts).await;
        rig.clock.advance(Duration::from_secs(1));
    }
    eventually("the head is dead", async || rig.store().backlog("plain").dead == 1).await;
    eventually("the next one is tried", async || rig.log.events("delivery").len() >= 11).await;
    mood.well();
    rig.clock.advance(Duration::from_secs(1));
    rig.drained("plain").await;
    assert_eq!(rig.app.texts().pop().unwrap(), "f", "a dead letter holds nobody up");
    rig.finish().await;
}

/// Health checks that rule out every server: nobody is asked, so no attempt counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_asks_nobody_does_not_count() {
    let (app, mood) = moody::moody(500).await;
    let setup = Setup {
        app: "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }".into(),
        ..queue("retry = { first = \"1s\", max = \"1s\", attempts = 1 }")
    };
    let rig = Rig::with_app(setup, app).await;
    rig.log.wait("server_health", |line| line["healthy"] == false).await;
    accepted(&rig, "a").await;
    for _ in 0..5 {
        let before = rig.log.events("delivery").len();
        rig.clock.advance(Duration::from_secs(60));
        eventually("a look", async || rig.log.events("delivery").len() > before).await;
    }
    assert!(rig.log.events("delivery").iter().all(|line| line["result"] == "released"));
    mood.well();
    rig.log.wait("server_health", |line| line["healthy"] == true).await;
    rig.drained("plain").await;
    let seen = rig.app.seen().into_iter().filter(|seen| seen.target() == "/hooks/plain").collect::<Vec<_>>();
    assert_eq!((seen.len(), seen[0].field("Relay-Attempt")), (1, Some("1")));
    rig.finish().await;
}
