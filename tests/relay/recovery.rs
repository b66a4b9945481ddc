//! An upstream that was away takes requests again: what waits for it follows within seconds, however long it was away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::peers::{held, honest, moody, nobody};
use crate::harness::{Call, Peer, Protocol, Rig, Setup, eventually};

/// Back-off that no test waits for.
const LONG: &str = "retry = { first = \"1h\", max = \"2h\" }";
/// The longest pause between two probes.
const PAUSE: Duration = Duration::from_secs(5);

fn queue(route: &str, more: &str) -> String {
    format!(
        "[routes.{route}]\npath = \"/hooks/{route}\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
         delivery = \"queue\"\n{more}\n"
    )
}

fn stored(more: &str) -> Setup {
    Setup::stored(&queue("plain", more))
}

async fn accepted(rig: &Rig, route: &str, count: usize) {
    for number in 0..count {
        let answer = rig.send(Protocol::H1, &Call::post(&format!("/hooks/{route}")).body(number.to_string())).await;
        assert_eq!(answer.status, 200);
    }
}

/// Waits until nothing waits on a route. The clock stands still: nothing comes of itself.
async fn arrives(rig: &Rig, route: &str) {
    let store = rig.store();
    eventually("nothing waits", async || store.backlog(route).waiting == 0).await;
    assert_eq!(store.backlog(route).dead, 0);
}

/// Waits until everything that was accepted waits, and nothing is on its way.
async fn waits(rig: &Rig, route: &str) {
    let store = rig.store();
    eventually("nothing is on its way", async || {
        let backlog = store.backlog(route);
        backlog.claimed == 0 && rig.log.events("delivery").len() == rig.app.seen().len()
    })
    .await;
}

fn told(rig: &Rig) -> usize {
    rig.log.events("delivery").len()
}

async fn attempts(rig: &Rig, count: usize) {
    eventually("an attempt", async || told(rig) >= count).await;
}

/// The fewer wait, the sooner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_that_waits_alone_follows_within_a_second() {
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(stored(LONG), app).await;
    accepted(&rig, "plain", 1).await;
    attempts(&rig, 1).await;
    mood.well();
    rig.clock.advance(Duration::from_secs(1));
    arrives(&rig, "plain").await;
    assert_eq!(rig.app.last().field("Relay-Attempt"), Some("2"));
    rig.finish().await;
}

/// Probes of a long outage use up no allowance, and everything follows the first one that is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_any_length_costs_what_waits_nothing() {
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(stored("retry = { first = \"1h\", max = \"2h\", attempts = 2 }"), app).await;
    accepted(&rig, "plain", 7).await;
    rig.log.wait("breaker_opened", |line| line["route"] == "plain").await;
    waits(&rig, "plain").await;
    let before = rig.app.seen().len();
    for probe in 1..=30 {
        let known = told(&rig);
        rig.clock.advance(PAUSE);
        attempts(&rig, known + 1).await;
        assert_eq!(rig.app.seen().len(), before + probe, "one probe for each pause");
    }
    assert_eq!(rig.store().backlog("plain").dead, 0);
    mood.well();
    let down = rig.app.seen().len();
    rig.clock.advance(PAUSE);
    arrives(&rig, "plain").await;
    let mut bodies = rig.app.texts().split_off(down);
    bodies.sort();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6"], "each of them once");
    rig.log.wait("breaker_closed", |line| line["route"] == "plain").await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_of_an_hour_shuts_nobody_out_for_an_hour() {
    let (app, mood) = moody::moody(503).await;
    mood.status(503, "Retry-After: 3600\r\n");
    let rig = Rig::with_app(stored("retry = { first = \"1s\", max = \"10m\" }"), app).await;
    accepted(&rig, "plain", 4).await;
    rig.log.wait("breaker_opened", |_| true).await;
    let (_, metrics) = rig.ask("GET", "/metrics").await;
    assert!(metrics.contains("dmz_relay_breaker_open{upstream=\"app\",route=\"plain\"} 1"), "{metrics}");
    assert!(metrics.contains("dmz_relay_breaker_open{upstream=\"app\",route=\"-\"} 0"), "{metrics}");
    let status = rig.fetch("GET", "/api/v1/status").await.json();
    let next: jiff::Timestamp = status["routes"][0]["breaker"]["next_probe"].as_str().unwrap().parse().unwrap();
    let left = next.as_second() - rig.clock.now().secs();
    assert!((0..=5).contains(&left), "{status}");
    assert_eq!(status["upstreams"][0]["breaker"], Value::Null);
    mood.well();
    rig.clock.advance(PAUSE);
    arrives(&rig, "plain").await;
    let status = rig.status().await;
    assert_eq!(status["routes"][0]["breaker"], Value::Null);
    rig.finish().await;
}

/// Other servers by a reload are asked at once, and nothing that the old ones did counts against them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_servers_get_what_waits_at_once() {
    let (gone, new) = (nobody().await, honest::ok().await);
    let upstream = |peer: &Peer| format!("[upstreams.crm]\nservers = [\"http://{}\"]\n", peer.address);
    let route = queue("plain", LONG).replace("\"app\"", "\"crm\"");
    let mut rig = Rig::start(Setup::stored(&format!("{}{route}", upstream(&gone)))).await;
    accepted(&rig, "plain", 9).await;
    rig.log.wait("breaker_opened", |line| line["upstream"] == "crm" && line["route"].is_null()).await;
    let status = rig.fetch("GET", "/api/v1/status").await.json();
    let crm = status["upstreams"].as_array().unwrap().iter().find(|upstream| upstream["name"] == "crm").unwrap();
    assert!(crm["breaker"]["failures"].as_u64().unwrap() >= 3, "{status}");
    rig.apply(|setup| setup.rest = setup.rest.replace(&upstream(&gone), &upstream(&new))).await;
    arrives(&rig, "plain").await;
    assert_eq!(new.seen().len(), 9);
    rig.finish().await;
}

/// Whatever the servers said before the restart: nobody knows what they say now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_asks_again_at_once() {
    let (app, mood) = moody::moody(503).await;
    let mut rig = Rig::with_app(stored(LONG), app).await;
    accepted(&rig, "plain", 5).await;
    rig.log.wait("breaker_opened", |_| true).await;
    rig.stop().await;
    mood.well();
    rig.start_again().await;
    arrives(&rig, "plain").await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_check_that_passes_again_draws_what_waits() {
    let (app, mood) = moody::moody(503).await;
    let health = "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 1, healthy_after = 1 }";
    let rig = Rig::with_app(Setup { app: health.into(), ..stored(LONG) }, app).await;
    rig.log.wait("server_health", |line| line["healthy"] == false).await;
    accepted(&rig, "plain", 3).await;
    rig.log.wait("breaker_opened", |_| true).await;
    mood.well();
    // The clock stands still: no pause of a breaker ends.
    arrives(&rig, "plain").await;
    rig.finish().await;
}

/// A refusal of one route holds up no other one of the same upstream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_route_is_refused_holds_up_no_other() {
    for status in [429, 503] {
        let app = honest::answers(move |seen| match seen.target() {
            "/hooks/refused" => format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n"),
            _ => honest::OK.to_owned(),
        })
        .await;
        let failover = queue("failover", "").replace("\"queue\"", "\"failover\"");
        let routes = format!("{}{}{failover}", queue("refused", LONG), queue("plain", LONG));
        let rig = Rig::with_app(Setup::stored(&routes), app).await;
        accepted(&rig, "refused", 9).await;
        rig.log.wait("breaker_opened", |line| line["route"] == "refused").await;
        accepted(&rig, "plain", 9).await;
        arrives(&rig, "plain").await;
        rig.delivers(Protocol::H1, &Call::post("/hooks/failover")).await;
        assert_eq!(rig.log.events("breaker_opened").len(), 1);
        assert!(rig.store().backlog("refused").waiting == 9);
        rig.finish().await;
    }
}

/// A request that fails by itself keeps its back-off, whatever becomes of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_by_itself_is_not_drawn_forward() {
    let down = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&down);
    let app = honest::answers(move |seen| {
        let status = match (shared.load(Ordering::SeqCst), &seen.body[..]) {
            (true, _) => 503,
            (false, b"poison") => 500,
            (false, _) => 200,
        };
        format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let rig = Rig::with_app(stored(LONG), app).await;
    assert_eq!(rig.send(Protocol::H1, &Call::post("/hooks/plain").body("poison")).await.status, 200);
    attempts(&rig, 1).await;
    down.store(true, Ordering::SeqCst);
    accepted(&rig, "plain", 4).await;
    rig.log.wait("breaker_opened", |_| true).await;
    down.store(false, Ordering::SeqCst);
    rig.clock.advance(PAUSE);
    let store = rig.store();
    eventually("the others have arrived", async || store.backlog("plain").waiting == 1).await;
    let poison = rig.app.texts().iter().filter(|text| *text == "poison").count();
    assert_eq!(poison, 1);
    rig.finish().await;
}

/// By command, whatever it waits for, and of the route that was named alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_what_waits_tried_now() {
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(&format!("{}{}", queue("a", LONG), queue("b", LONG))), app).await;
    accepted(&rig, "a", 3).await;
    accepted(&rig, "b", 2).await;
    attempts(&rig, 5).await;
    let store = rig.store();
    eventually("all wait", async || ["a", "b"].iter().all(|route| store.backlog(route).claimed == 0)).await;
    let ask = async |query: &str| {
        let fetched = rig.fetch("POST", &format!("/api/v1/waiting/retry{query}")).await;
        (fetched.status, fetched.json())
    };
    for (query, status, code) in [
        ("?route=nobody", 404, "unknown_route"),
        ("?upstream=nobody", 404, "unknown_upstream"),
        ("?route=a&upstream=app", 400, "bad_parameter"),
        ("?status=500", 400, "bad_parameter"),
        ("?route=%zz", 400, "bad_parameter"),
    ] {
        let (answered, body) = ask(query).await;
        assert_eq!((answered, &body["code"]), (status, &json!(code)), "{query}");
    }
    mood.well();
    assert_eq!(told(&rig), 5, "nothing was tried");
    assert_eq!(ask("?route=a").await, (200, json!({ "waiting": 3 })));
    arrives(&rig, "a").await;
    // The line follows the row.
    attempts(&rig, 8).await;
    assert_eq!((store.backlog("b").waiting, told(&rig)), (2, 8));
    assert_eq!(ask("?upstream=app").await, (200, json!({ "waiting": 2 })));
    arrives(&rig, "b").await;
    assert_eq!(ask("").await, (200, json!({ "waiting": 0 })));
    rig.finish().await;
}

/// An open breaker is asked by one probe, however often an operator asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_who_is_too_early_costs_one_probe_each_time() {
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(stored("retry = { first = \"1h\", max = \"2h\", attempts = 50 }"), app).await;
    accepted(&rig, "plain", 20).await;
    rig.log.wait("breaker_opened", |_| true).await;
    waits(&rig, "plain").await;
    for _ in 0..3 {
        let before = told(&rig);
        assert_eq!(rig.fetch("POST", "/api/v1/waiting/retry").await.status, 200);
        attempts(&rig, before + 1).await;
        waits(&rig, "plain").await;
        assert_eq!(told(&rig), before + 1);
    }
    mood.well();
    assert_eq!(rig.fetch("POST", "/api/v1/waiting/retry?route=plain").await.json(), json!({ "waiting": 20 }));
    arrives(&rig, "plain").await;
    rig.finish().await;
}

/// Acting on one route moves no other, and not the head of its own line either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reviving_dead_letters_moves_no_line() {
    let routes = format!(
        "{}{}",
        queue("x", "retry = { attempts = 1 }"),
        queue("line", "ordered = true\nretry = { first = \"1h\", max = \"1h\", attempts = 3 }")
    );
    let (app, _mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(&routes), app).await;
    let mut dead = Vec::new();
    for _ in 0..10 {
        dead.push(rig.send(Protocol::H1, &Call::post("/hooks/x")).await.id().to_owned());
    }
    let store = rig.store();
    eventually("dead letters", async || store.backlog("x").dead == 10).await;
    let mut tail = String::new();
    for _ in 0..3 {
        tail = rig.send(Protocol::H1, &Call::post("/hooks/line")).await.id().to_owned();
    }
    attempts(&rig, 11).await;
    for id in &dead {
        assert_eq!(rig.fetch("POST", &format!("/api/v1/events/{id}/retry")).await.status, 200);
    }
    eventually("they are dead again", async || store.backlog("x").dead == 10).await;
    attempts(&rig, 21).await;
    // Its own tail, given up, leaves the head where it is too. (A list would not do to find it: requests of one millisecond are
    // listed in any order.)
    assert_eq!(rig.fetch("POST", &format!("/api/v1/events/{tail}/discard")).await.status, 200);
    assert_eq!(rig.send(Protocol::H1, &Call::post("/hooks/x")).await.status, 200);
    eventually("another one is dead", async || store.backlog("x").dead == 11).await;
    let line = rig.log.events("delivery").iter().filter(|told| told["route"] == "line").count();
    assert_eq!((line, store.backlog("line").waiting), (1, 2));
    rig.finish().await;
}

/// An attempt that our own end cut off is counted for the application and for nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_attempt_spends_neither_allowance_nor_back_off() {
    let (app, gate) = held::held().await;
    let setup = Setup { drain: "50ms".into(), ..stored("retry = { first = \"1h\", max = \"1h\", attempts = 2 }") };
    let mut rig = Rig::with_app(setup, app).await;
    accepted(&rig, "plain", 1).await;
    for restarts in 1..=4 {
        eventually("it is inside", async || rig.app.seen().len() == restarts).await;
        rig.stop().await;
        rig.start_again().await;
    }
    eventually("it is inside", async || rig.app.seen().len() == 5).await;
    let claimed = rig.store().backlog("plain");
    assert_eq!((claimed.claimed, claimed.dead), (1, 0));
    gate.release(9);
    arrives(&rig, "plain").await;
    let number = |text: &str| text.parse::<u32>().unwrap();
    let numbers: Vec<_> = rig.app.seen().iter().map(|seen| number(seen.field("Relay-Attempt").unwrap())).collect();
    assert!(numbers.len() == 5 && numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    rig.finish().await;
}

/// While the relay did not run nobody was asked: age alone makes no dead letter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_off_for_days_gives_nothing_up_at_its_start() {
    let (app, mood) = moody::moody(503).await;
    let retry = "retry = { first = \"1s\", max = \"1s\", give_up_after = \"3d\" }";
    let mut rig = Rig::with_app(stored(retry), app).await;
    accepted(&rig, "plain", 20).await;
    rig.log.wait("breaker_opened", |_| true).await;
    for _ in 0..30 {
        let known = told(&rig);
        rig.clock.advance(PAUSE);
        attempts(&rig, known + 1).await;
    }
    rig.stop().await;
    rig.clock.advance(Duration::from_secs(4 * 24 * 3600));
    rig.start_again().await;
    rig.log.wait("breaker_opened", |_| true).await;
    for _ in 0..5 {
        let known = told(&rig);
        rig.clock.advance(PAUSE);
        attempts(&rig, known + 1).await;
    }
    assert_eq!(rig.store().backlog("plain").dead, 0);
    mood.well();
    rig.clock.advance(PAUSE);
    arrives(&rig, "plain").await;
    rig.finish().await;
}
