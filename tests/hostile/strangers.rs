//! G9: what strangers can spend. The rows are those of the table "What strangers can spend" in docs/operating.md: a stranger
//! drives each resource to its bound, while three genuine senders are served (`genuine`), every request of theirs.

use dmz_relay::gate::pipeline::{Known, Proven};
use dmz_relay::guards::meter::SOURCES_MAX;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::genuine::{Senders, number};
use crate::harness::peers::honest;
use crate::harness::{Call, Oktave, Protocol, Rig, Setup, base64_hmac, eventually};

pub const OKTAVE: &str = "canary-of-oktave-0123456789";
const DASTRA: &str = "canary-of-dastra-0123456789";

/// Two routes: one that is attacked and one beside it.
const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/oktave" }]
upstream = "app"
{oktave}
[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "secrets/dastra" }]
upstream = "app"
{dastra}
"#;

pub fn routes(oktave: &str, dastra: &str) -> String {
    ROUTES.replace("{oktave}", oktave).replace("{dastra}", dastra)
}

pub fn files(setup: Setup) -> Setup {
    setup.file("secrets/oktave", OKTAVE).file("secrets/dastra", DASTRA)
}

pub fn setup(oktave: &str, dastra: &str) -> Setup {
    files(Setup::routes(&routes(oktave, dastra)))
}

pub fn genuine() -> Call {
    Oktave::event(OKTAVE, number()).call("/hooks/oktave")
}

pub fn forged() -> Call {
    Oktave::event("canary-of-nobody", number()).call("/hooks/oktave")
}

pub fn dastra(body: &str) -> Call {
    Call::post("/hooks/dastra")
        .field("content-type", "application/json")
        .field("dastra-signature", &base64_hmac(DASTRA, body))
        .body(body)
}

/// As many as a stranger likes, over a connection of its own, and a new one whenever it is closed.
pub async fn flood(rig: &Rig, source: &str, calls: impl IntoIterator<Item = Call>) -> Vec<u16> {
    let mut wire = rig.tls().from(source).connect(rig.address).await;
    let mut statuses = Vec::new();
    for call in calls {
        wire.send(call.h1()).await;
        let answer = wire.answer().await;
        statuses.push(answer.status);
        if answer.closes() {
            wire = rig.tls().from(source).connect(rig.address).await;
        }
    }
    statuses
}

/// 120: forged requests, many more than the route may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_requests_spend_no_rate_of_the_route() {
    let rig = Rig::start(setup("rate = { per_second = 0.01, burst = 40 }", "")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let statuses = flood(&rig, "127.0.0.66", (0..200).map(|_| forged())).await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
    for _ in 0..3 {
        senders.are_served().await;
    }
    assert_eq!(rig.counted("refused", "route_rate_limited"), 0.0);
    // Genuine ones do spend it.
    let mut limited = 0;
    for _ in 0..60 {
        limited += u32::from(flood(&rig, "127.0.0.51", [genuine()]).await == [429]);
    }
    assert!(limited >= 20, "{limited}");
    rig.finish().await;
}

/// 120: one captured request, sent again and again, is as little of the route's as a forged one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_genuine_request_spend_no_rate_of_the_route() {
    let rig = Rig::start(setup("rate = { per_second = 0.01, burst = 40 }", "")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let captured = genuine();
    let statuses = flood(&rig, "127.0.0.66", (0..200).map(|_| captured.clone())).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(rig.counted("duplicate", ""), 199.0);
    for _ in 0..3 {
        senders.are_served().await;
    }
    assert_eq!(rig.counted("refused", "route_rate_limited"), 0.0);
    rig.finish().await;
}

/// 120: bodies that never come hold no place of the route's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_bodies_hold_no_place_of_the_route() {
    let rig = Rig::start(setup("max_in_flight = 3", "").limits("body_grace = \"60s\"\nbody_timeout = \"60s\"")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
        wire.send(forged().h1_head()).await;
        held.push(wire);
    }
    eventually("all of them are waited for", async || rig.metric("dmz_relay_requests_in_flight", &[]) >= 50.0).await;
    for _ in 0..5 {
        senders.are_served().await;
    }
    assert_eq!(rig.counted("refused", "route_busy"), 0.0);
    assert_eq!(rig.snapshot().routes.iter().map(|route| route.meter.in_flight()).sum::<usize>(), 0);
    drop(held);
    rig.finish().await;
}

/// 121: what an address may send is its own, also when more addresses than can be remembered send.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bucket_of_an_address_is_spent_by_that_address_only() {
    let rig = Rig::start(setup("rate_per_source = { per_second = 0.01, burst = 30 }", "")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let statuses = flood(&rig, "127.0.0.66", (0..100).map(|_| forged())).await;
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 70, "{statuses:?}");
    // Others fill the table of addresses, by the call that each request makes.
    let snapshot = rig.snapshot();
    let route = snapshot.routes.iter().find(|route| &*route.name == "oktave").unwrap();
    for number in 0..u32::try_from(SOURCES_MAX).unwrap() * 2 {
        let source = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number);
        route.meter.charge_source(&route.limits, source.into(), tokio::time::Instant::now()).unwrap();
    }
    for _ in 0..5 {
        senders.are_served().await;
    }
    rig.finish().await;
}

/// 122: ids without end on one route, each of them signed. The other route has its room, after a restart too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_on_one_route_take_no_room_of_another() {
    let rig = files(Setup::stored(&routes("", ""))).limits("dedupe_entries = 1000");
    let mut rig = Rig::start(rig).await;
    let mut flooded = JoinSet::new();
    for part in 0..4 {
        let (tls, address) = (rig.tls().from("127.0.0.66"), rig.address);
        flooded.spawn(async move {
            let mut wire = tls.connect(address).await;
            let mut full = 0;
            for number in 0..300 {
                wire.send(dastra(&format!("{{\"part\":{part},\"number\":{number}}}")).h1()).await;
                full += u32::from(wire.answer().await.status == 503);
            }
            full
        });
    }
    let full: u32 = flooded.join_all().await.into_iter().sum();
    assert!((200..1100).contains(&full), "{full} of 1200 found no room");
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..20 {
        senders.are_served().await;
    }
    drop(senders);
    rig.restart().await;
    assert_eq!(flood(&rig, "127.0.0.66", [dastra("one more")]).await, [503]);
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..20 {
        senders.are_served().await;
    }
    drop(senders);
    rig.finish().await;
}

/// 123: one route's application is away and its backlog fills its share of the store. The other route accepts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_routes_backlog_takes_no_room_of_another() {
    let waiting = "delivery = \"queue\"\nretry = { first = \"1h\", max = \"1h\" }";
    let stored = Setup::stored_with("keep = { size = \"16MiB\" }", &routes(waiting, waiting));
    let rig = Rig::with_app(files(stored), honest::status(500).await).await;
    let padding = "x".repeat(28_000);
    let calls = (0..450).map(|number| dastra(&format!("{{\"number\":{number}}}")).field("x-padding", &padding));
    let full = flood(&rig, "127.0.0.66", calls).await.iter().filter(|status| **status == 503).count();
    assert!((20..350).contains(&full), "its share has a bound: {full} of 450 found no room");
    let line = rig.log.wait("store_route_full", |line| line["route"] == "dastra").await;
    assert_eq!(line["level"], "error");
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..20 {
        senders.are_served().await;
    }
    assert_eq!(rig.log.events("store_route_full").len(), 1);
    drop(senders);
    rig.finish().await;
}

/// 124: one captured request with a large head, for as long as it likes: the history has every genuine request, and says how many
/// copies it has no row of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_do_not_erase_the_history() {
    let stored = files(Setup::stored_with("keep = { size = \"16MiB\" }", &routes("", "")));
    // As it is by default.
    let stored =
        Setup { rest: stored.rest.replace("refusals_per_second = 100000", "refusals_per_second = 20"), ..stored };
    let rig = Rig::start(stored).await;
    let genuine_id = rig.delivers(Protocol::H1, &genuine()).await.id().to_owned();
    let captured = dastra("captured").field("x-padding", &"x".repeat(28_000));
    let mut last = String::new();
    let mut senders = Senders::of(&rig, genuine).await;
    let mut ids = Vec::new();
    let mut wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
    for round in 0..1500 {
        wire.send(captured.h1()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 200);
        last = answer.id().to_owned();
        if round % 30 == 29 {
            ids.extend(senders.are_served().await);
            rig.clock.advance(std::time::Duration::from_secs(1));
        }
    }
    let store = rig.store();
    store.flush().await.unwrap();
    for id in &ids {
        assert!(store.event(id).await.unwrap().is_some(), "each genuine request has its row");
    }
    assert!(store.event(&genuine_id).await.unwrap().is_some(), "the first row of all is there");
    assert!(store.status().used < 2 << 20, "{} bytes", store.status().used);
    assert!(store.status().rows_skipped > 1000);
    rig.log.wait("history_skipped", |line| line["count"].as_u64().is_some()).await;
    assert!(rig.metric("dmz_relay_history_skipped_total", &[]) > 0.0);
    let page = rig.fetch("GET", "/api/v1/events?outcome=duplicate").await.json();
    let copy = &page["events"][0];
    assert!(copy["dedupe"].is_string(), "{copy}");
    let id = copy["id"].as_str().unwrap();
    let explained = rig.fetch("GET", &format!("/api/v1/events/{id}/explain")).await.json();
    assert!(explained["notes"][0].as_str().unwrap().contains("copy of a request that was taken before"), "{explained}");
    let row = store.event(id).await.unwrap().unwrap();
    assert!(row.entry.head.is_none() && !row.has_body);
    assert!(!last.is_empty());
    drop((senders, wire));
    rig.finish().await;
}

/// 124: a captured request that nobody could deliver yet fails as often as it is sent. One row of it has everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_again_and_again_is_kept_once() {
    let rig =
        Rig::with_app(files(Setup::stored(&routes("delivery = \"direct\"", ""))), honest::status(500).await).await;
    let captured = genuine().field("x-padding", &"x".repeat(28_000));
    let mut ids = Vec::new();
    let mut wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
    for _ in 0..20 {
        wire.send(captured.h1()).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, 502);
        ids.push(answer.id().to_owned());
    }
    assert!(rig.row(&ids[0]).await.entry.head.is_some());
    for id in &ids[1..] {
        assert!(rig.row(id).await.entry.head.is_none());
    }
    drop(wire);
    rig.finish().await;
}

/// 125: who only has copies proves nothing: its connections give way, and those of genuine senders do not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_prove_nobody() {
    let limits = "max_connections = 40\nidle_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup("", "").limits(limits)).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let mut attackers = Vec::new();
    for number in 0..60 {
        // Each of them captured one request of its own.
        let captured = genuine();
        assert_eq!(rig.send(Protocol::H1, &captured).await.status, 200);
        let mut wire = rig.tls().from(&format!("127.0.2.{}", number + 1)).connect(rig.address).await;
        wire.send(captured.h1()).await;
        assert_eq!(wire.answer().await.status, 200);
        attackers.push(wire);
        senders.are_served().await;
    }
    assert!(rig.counted("duplicate", "") >= 60.0);
    assert_eq!(rig.metric("dmz_relay_connections_refused_total", &[("reason", "too_many_connections")]), 0.0);
    assert!(rig.metric("dmz_relay_connections_refused_total", &[("reason", "evicted")]) > 0.0);
    drop((senders, attackers));
    rig.finish().await;
}

/// 125: nor does a request that could not be delivered: until it is, a copy of it is as fresh as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_delivered_proves_nobody() {
    let limits = "max_connections = 10\nidle_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let setup = setup("", "").limits(limits);
    let rig = Rig::with_app(setup, honest::status(500).await).await;
    let captured = genuine();
    let mut attackers = Vec::new();
    for number in 0..20 {
        let mut wire = rig.tls().from(&format!("127.0.2.{}", number + 1)).connect(rig.address).await;
        wire.send(captured.h1()).await;
        assert_eq!(wire.answer().await.status, 502);
        attackers.push(wire);
    }
    assert_eq!(rig.metric("dmz_relay_connections_refused_total", &[("reason", "too_many_connections")]), 0.0);
    drop(attackers);
    rig.finish().await;
}

/// 125: more addresses are proven than can be remembered. Who is forgotten is served like anybody else, and is proven again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_forgotten_among_proven_addresses_is_served_and_proven_again() {
    let limits = "max_connections = 40\nidle_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup("", "").limits(limits)).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let (known, new) = (rig.running().known(), std::net::IpAddr::from([127, 0, 0, 51]));
    let mut held = Vec::new();
    for round in 0..3_u32 {
        // By the call that each fresh request makes.
        for number in 0..u32::try_from(Known::MOST).unwrap() * 2 {
            let source = std::net::Ipv4Addr::from_bits((round << 24) + number);
            Proven::default().telling(known, source.into()).set();
        }
        for last in 0..60 {
            held.push(rig.tls().from(&format!("127.0.{}.{}", 2 + round, last + 1)).tcp(rig.address).await);
        }
        senders.are_served().await;
        eventually("it is proven again", async || known.has(new)).await;
    }
    drop((senders, held));
    rig.finish().await;
}

/// 126: the admin listener's places are filled and its answers are not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_answers_whoever_fills_its_places() {
    let rig = Rig::start(setup("", "")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let mut held = Vec::new();
    for number in 0..150 {
        let mut stream = tokio::net::UnixStream::connect(rig.socket()).await.unwrap();
        let unread = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(if number % 2 == 0 { 2000 } else { 0 });
        let _ = stream.write_all(unread.as_bytes()).await;
        held.push(stream);
        if number % 30 == 0 {
            senders.are_served().await;
            assert_eq!(rig.ask("GET", "/healthz").await.0, 200);
            assert_eq!(rig.ask("POST", "/api/v1/reload").await.0, 200);
        }
    }
    drop((held, senders));
    rig.finish().await;
}

/// 127: strangers spend less than half of an error budget, and genuine requests that are turned away spend it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_budget_counts_what_may_have_been_genuine_and_strangers_do_not_spend_it() {
    let route = "error_budget = 5\nrate_per_source = { per_second = 0.01, burst = 20 }";
    let rig = Rig::start(setup(route, "")).await;
    let left = async || {
        let metrics = rig.ask("GET", "/metrics").await.1;
        let series = "dmz_relay_error_budget_left{route=\"oktave\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse::<f64>().unwrap()
    };
    let mut senders = Senders::of(&rig, genuine).await;
    assert_eq!(left().await, 5.0);
    let statuses = flood(&rig, "127.0.0.66", (0..20).map(|_| forged())).await;
    assert!(statuses.iter().all(|status| *status == 401));
    assert_eq!(left().await, 5.0, "a forged request is no failure");
    let statuses = flood(&rig, "127.0.0.66", (0..100).map(|_| forged())).await;
    assert!(statuses.iter().all(|status| *status == 429));
    assert_eq!(left().await, 3.0, "one of them may have been genuine; never more than two count");
    rig.clock.advance(std::time::Duration::from_mins(5));
    flood(&rig, "127.0.0.66", (0..100).map(|_| forged())).await;
    assert_eq!(left().await, 3.0);
    assert!(rig.log.events("error_budget_low").is_empty());
    senders.are_served().await;
    drop(senders);
    rig.finish().await;
}

/// 127: what the route has no more room for was genuine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_request_that_is_turned_away_spends_the_error_budget() {
    let rig = Rig::start(setup("error_budget = 5\nrate = { per_second = 0.01, burst = 3 }", "")).await;
    let statuses = flood(&rig, "127.0.0.51", (0..5).map(|_| genuine())).await;
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let spent = &rig.status().await["routes"][1]["error_budget"];
    assert_eq!(spent, &serde_json::json!({ "budget": 5, "spent": 2, "left": 3 }));
    rig.finish().await;
}
