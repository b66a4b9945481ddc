//! What a provider sees fail, counted before it gives the endpoint up.

use std::time::Duration;

use dmz_relay::domain::{Fault, Refusal};

use crate::harness::peers::honest;
use crate::harness::{BOTH, Call, Protocol, Rig, Setup, base64_hmac, eventually};

/// Dastra tolerates 5.
const ROUTE: &str = r#"
[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "secrets/dastra" }]
upstream = "app"
"#;

fn setup(keys: &str) -> Setup {
    Setup::routes(&format!("{ROUTE}{keys}\n")).file("secrets/dastra", "dastra-canary-secret")
}

fn dastra(body: &str) -> Call {
    Call::post("/hooks/dastra")
        .field("content-type", "application/json")
        .field("dastra-signature", &base64_hmac("dastra-canary-secret", body))
        .body(body)
}

const STORE: &str = "[store]\nsqlite = { path = \"{folder}/relay.db\" }\n";

/// With a store, and a direct route all the same.
fn stored() -> Setup {
    setup(&format!("delivery = \"direct\"\nretry = {{ first = \"1h\", max = \"1h\" }}\n{STORE}"))
}

async fn left(rig: &Rig) -> f64 {
    let (status, metrics) = rig.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    let series = "dmz_relay_error_budget_left{route=\"dastra\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_that_the_provider_sees_counts_and_the_last_but_one_alarms_once() {
    let rig = Rig::with_app(setup(""), honest::status(500).await).await;
    assert_eq!(left(&rig).await, 5.0);
    for number in 1..=5_u8 {
        assert_eq!(rig.log.events("error_budget_low").is_empty(), number <= 4, "before failure {number}");
        let call = dastra(&format!("{{\"number\":{number}}}"));
        rig.ends(Fault::UpstreamStatus, rig.send(BOTH[usize::from(number % 2)], &call)).await;
        assert_eq!(left(&rig).await, f64::from(5 - number));
        if number == 4 {
            rig.log.wait("error_budget_low", |_| true).await;
        }
    }
    let alarms = rig.log.events("error_budget_low");
    assert_eq!(alarms.len(), 1);
    assert_eq!((&alarms[0]["route"], &alarms[0]["provider"]), (&"dastra".into(), &"dastra".into()));
    assert_eq!((&alarms[0]["spent"], &alarms[0]["budget"]), (&4.into(), &5.into()));
    let status = rig.status().await;
    assert_eq!(status["routes"][0]["error_budget"], serde_json::json!({ "budget": 5, "spent": 5, "left": 0 }));

    // A day later it is forgotten, and a second time is news again.
    rig.clock.advance(Duration::from_hours(24));
    assert_eq!(left(&rig).await, 5.0);
    for number in 10..14 {
        rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &dastra(&format!("{number}")))).await;
    }
    eventually("the second alarm", async || rig.log.events("error_budget_low").len() == 2).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_cannot_spend_it_and_success_costs_nothing() {
    let rig = Rig::start(setup("")).await;
    for protocol in BOTH {
        let forged = dastra("{}").set("dastra-signature", &base64_hmac("another", "{}"));
        rig.refused(Refusal::SignatureMismatch, rig.send(protocol, &forged)).await;
        rig.refused(Refusal::MethodNotAllowed, rig.send(protocol, &dastra("{}").method("GET"))).await;
        rig.delivers(protocol, &dastra(&format!("{{\"by\":\"{protocol:?}\"}}"))).await;
    }
    assert_eq!(left(&rig).await, 5.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_keeps_what_was_spent_and_may_change_the_budget() {
    let mut rig = Rig::with_app(setup("error_budget = 9"), honest::status(500).await).await;
    for number in 0..3 {
        rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &dastra(&format!("{number}")))).await;
    }
    assert_eq!(left(&rig).await, 6.0);
    rig.apply(|setup| setup.rest = setup.rest.replace("= 9", "= 4")).await;
    assert_eq!(left(&rig).await, 1.0);
    assert_eq!(rig.log.wait("error_budget_low", |_| true).await["budget"], 4);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_last_safe_failure_a_direct_route_falls_over_to_the_store() {
    let rig = Rig::with_app(stored(), honest::status(500).await).await;
    for number in 1..=4 {
        rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &dastra(&format!("{number}")))).await;
    }
    for (number, protocol) in [(5, Protocol::H1), (6, Protocol::H2), (7, Protocol::H1)] {
        let answer = rig.send(protocol, &dastra(&format!("{number}"))).await;
        assert_eq!(answer.status, 200, "what would be the last failure is kept instead");
        assert_eq!(rig.log.of(answer.id()).await["outcome"], "accepted");
    }
    assert_eq!(left(&rig).await, 1.0);
    assert_eq!(rig.running().state().store().unwrap().backlog("dastra").waiting, 3);
    rig.finish().await;
}

/// All of them are on their way before the first one fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_fail_together_spend_no_more_than_is_safe() {
    let gate = honest::gate();
    let app = honest::behind(&gate, "HTTP/1.1 500 Inside\r\nContent-Length: 0\r\n\r\n").await;
    let rig = Rig::with_app(stored(), app).await;
    let mut sender = rig.h2().await;
    let mut answers = Vec::new();
    for number in 0..20 {
        answers.push(sender.start(&dastra(&format!("{number}"))).await.unwrap());
    }
    eventually("all of them are inside", async || rig.app.seen().len() == 20).await;
    gate.add_permits(20);
    let mut failed = 0;
    for answer in answers {
        match answer.await.unwrap().status {
            200 => {}
            502 => failed += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(failed, 4);
    assert_eq!(left(&rig).await, 1.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_no_failure() {
    let mut rig = Rig::with_app(stored(), honest::status(500).await).await;
    for number in 1..=4 {
        rig.ends(Fault::UpstreamStatus, rig.send(Protocol::H1, &dastra(&format!("{number}")))).await;
    }
    rig.log.wait("error_budget_low", |_| true).await;
    rig.restart().await;
    assert_eq!(left(&rig).await, 1.0);
    assert_eq!(rig.send(Protocol::H1, &dastra("5")).await.status, 200);
    assert!(rig.log.events("error_budget_low").is_empty(), "told before");
    rig.clock.advance(Duration::from_hours(24));
    assert_eq!(left(&rig).await, 5.0);
    rig.finish().await;
}
