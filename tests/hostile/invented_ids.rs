//! G9: one captured request under as many ids as its holder likes, where the provider does not sign its ids. Each is delivered, for
//! it may be a second event with the same words. None of them takes what genuine requests of the same route need.

use crate::genuine::{Senders, number};
use crate::harness::peers::honest;
use crate::harness::{Call, Protocol, Rig, Setup, base64_hmac};

const SECRET: &str = "canary-of-shopify-0123456789";

fn setup(route: &str, stored: Option<&str>) -> Setup {
    let routes = format!(
        "[routes.shopify]\npath = \"/hooks/shopify\"\nprovider = \"shopify\"\n\
         secrets = [{{ file = \"secrets/shopify\" }}]\nupstream = \"app\"\n{route}\n"
    );
    match stored {
        Some(store) => Setup::stored_with(store, &routes),
        None => Setup::routes(&routes),
    }
    .file("secrets/shopify", SECRET)
}

fn shopify(id: &str, body: &str) -> Call {
    Call::post("/hooks/shopify")
        .field("content-type", "application/json")
        .field("x-shopify-webhook-id", id)
        .field("x-shopify-hmac-sha256", &base64_hmac(SECRET, body))
        .body(body)
}

fn genuine() -> Call {
    let number = number();
    shopify(&format!("genuine-{number}"), &format!("{{\"order\":{number}}}"))
}

/// The captured request under a new id.
fn invented() -> Call {
    shopify(&format!("invented-{}", number()), "{\"captured\":true}")
}

/// How many of them were answered with each status, over a connection of the holder's own.
async fn flood(rig: &Rig, count: usize) -> Vec<u16> {
    let mut wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        wire.send(invented().h1()).await;
        let answer = wire.answer().await;
        statuses.push(answer.status);
        if answer.closes() {
            wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
        }
    }
    statuses
}

/// 138: dedupe memory, of which such a request would take a place for each id, for the whole window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_take_one_place_in_dedupe_memory() {
    let rig = Rig::start(setup("", None).limits("dedupe_entries = 1000")).await;
    let statuses = flood(&rig, 1200).await;
    assert!(statuses.iter().all(|status| *status == 200), "they may be second events: {statuses:?}");
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..20 {
        senders.are_served().await;
    }
    assert_eq!(rig.counted("fault", "dedupe_memory"), 0.0);
    // The retry of a genuine one is known all the while, and one of the captured request's last ids as well.
    let (once, captured) = (genuine(), invented());
    for call in [&once, &captured] {
        assert_eq!(rig.send(Protocol::H1, call).await.status, 200);
    }
    let before = rig.counted("duplicate", "");
    for call in [&once, &captured] {
        assert_eq!(rig.send(Protocol::H1, call).await.status, 200);
    }
    assert_eq!(rig.counted("duplicate", "") - before, 2.0);
    drop(senders);
    rig.finish().await;
}

/// 138: the rate of the route, of which they have half of the burst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_leave_half_of_the_routes_rate() {
    let rig = Rig::start(setup("rate = { per_second = 0.01, burst = 60 }", None)).await;
    let statuses = flood(&rig, 100).await;
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((25..=32).contains(&passed), "{passed}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)), "{statuses:?}");
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..5 {
        senders.are_served().await;
    }
    drop(senders);
    rig.finish().await;
}

/// 138: the route's room in the store, of which they have half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_leave_half_of_the_routes_room() {
    let waiting = "delivery = \"queue\"\nretry = { first = \"1h\", max = \"1h\" }";
    let rig = setup(waiting, Some("keep = { size = \"16MiB\" }"));
    let rig = Rig::with_app(rig, honest::status(500).await).await;
    let padding = "x".repeat(28_000);
    let mut wire = rig.tls().from("127.0.0.66").connect(rig.address).await;
    let mut full = 0;
    for _ in 0..450 {
        wire.send(invented().field("x-padding", &padding).h1()).await;
        full += usize::from(wire.answer().await.status == 503);
    }
    assert!((100..420).contains(&full), "{full} of 450 found no room");
    let mut senders = Senders::of(&rig, genuine).await;
    for _ in 0..20 {
        senders.are_served().await;
    }
    drop(senders);
    rig.finish().await;
}

/// 138: a place among those who are known. Connections of holders are closed for the ones that come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_prove_nobody() {
    let limits = "max_connections = 40\nidle_timeout = \"60s\"\nhead_timeout = \"60s\"";
    let rig = Rig::start(setup("", None).limits(limits)).await;
    let mut senders = Senders::of(&rig, genuine).await;
    assert_eq!(rig.send(Protocol::H1, &invented()).await.status, 200);
    let mut holders = Vec::new();
    for number in 0..60 {
        let mut wire = rig.tls().from(&format!("127.0.2.{}", number + 1)).connect(rig.address).await;
        wire.send(invented().h1()).await;
        assert_eq!(wire.answer().await.status, 200);
        holders.push(wire);
        senders.are_served().await;
    }
    assert_eq!(rig.metric("dmz_relay_connections_refused_total", &[("reason", "too_many_connections")]), 0.0);
    assert!(rig.metric("dmz_relay_connections_refused_total", &[("reason", "evicted")]) > 0.0);
    drop((senders, holders));
    rig.finish().await;
}
