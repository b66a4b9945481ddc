//! G9: what the relay tells of strangers. They fill the log, the history and the metrics as far as they can, and are heard by the
//! watch over a provider's silence; what is told of genuine senders is whole, and they are served.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::genuine::{Senders, number};
use crate::harness::{Call, Rig, Setup, base64_hmac, eventually};
use crate::strangers::{files, flood, forged, genuine, routes, setup};

const SECRET: &str = "canary-of-shopify-0123456789";

/// 128: one kind of refusal takes no more than its part of the lines, so that the others are seen; a line of a genuine request is
/// never among those that are left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_kind_leaves_lines_for_the_others() {
    let rig = Rig::start(setup("", "")).await;
    rig.gate().observer.set_log(true, 20);
    let mut senders = Senders::of(&rig, genuine).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        let _ = flood(&rig, "127.0.0.66", (0..30).map(|_| forged())).await;
        ids.extend(senders.are_served().await);
    }
    let statuses = flood(&rig, "127.0.0.51", [Call::post("/hooks/nothing")]).await;
    assert_eq!(statuses, [404]);
    rig.log.wait("request", |line| line["reason"] == "route_unknown").await;
    for id in &ids {
        assert_eq!(rig.log.of(id).await["outcome"], "delivered");
    }
    let refusals = rig.log.events("request").iter().filter(|line| line["reason"] == "signature_mismatch").count();
    assert!(refusals < 300, "{refusals}: the bound was met");
    drop(senders);
    rig.finish().await;
}

/// 124: refusals of one kind take no more than their part of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_one_kind_leaves_rows_for_the_others() {
    let stored = files(Setup::stored(&routes("", "")));
    let rest = stored.rest.replace("refusals_per_second = 100000", "refusals_per_second = 20");
    let rig = Rig::start(Setup { rest, ..stored }).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        let _ = flood(&rig, "127.0.0.66", (0..30).map(|_| forged())).await;
        ids.extend(senders.are_served().await);
    }
    let answer = rig.raw(&Call::post("/hooks/nothing").h1()).await;
    assert_eq!(answer.status, 404);
    ids.push(answer.id().to_owned());
    let store = rig.store();
    store.flush().await.unwrap();
    for id in &ids {
        assert!(store.event(id).await.unwrap().is_some(), "{id}");
    }
    assert!(store.status().rows_skipped > 0, "the bound was met");
    drop(senders);
    rig.finish().await;
}

/// Every series, without its value.
fn series(rig: &Rig) -> BTreeSet<String> {
    let metrics = rig.metrics();
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// 139: whatever a stranger writes where a name could be, it becomes no label.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_stranger_writes_becomes_a_label() {
    let rig = Rig::start(setup("", "")).await;
    let mut senders = Senders::of(&rig, genuine).await;
    let strange = |number: u32| {
        let name = format!("stranger-{number}");
        [
            Call::post(&format!("/hooks/{name}")),
            Call::post("/hooks/oktave").host(&format!("{name}.example")),
            Call::post("/hooks/oktave").method(&format!("STRANGER{number}")),
            forged().field("user-agent", &name).field("content-type", &format!("application/{name}")),
            forged().set("oktave-event-id", &name),
            Call::post(&format!("/hooks/oktave?{name}={name}")),
        ]
    };
    // Reasons are names of the relay's own: each of them is there once before they are counted.
    let _ = flood(&rig, "127.0.0.66", (0..3).flat_map(strange)).await;
    let known = series(&rig);
    for round in 1..11 {
        let _ = flood(&rig, "127.0.0.66", (round * 20..round * 20 + 20).flat_map(strange)).await;
        senders.are_served().await;
    }
    let more: Vec<_> = series(&rig).difference(&known).cloned().collect();
    assert_eq!(more, [""; 0]);
    assert!(!rig.metrics().contains("stranger"));
    drop(senders);
    rig.finish().await;
}

fn shopify(id: &str, secret: &str, body: &str) -> Call {
    Call::post("/hooks/shopify")
        .field("content-type", "application/json")
        .field("x-shopify-webhook-id", id)
        .field("x-shopify-hmac-sha256", &base64_hmac(secret, body))
        .body(body)
}

fn order() -> Call {
    let number = number();
    shopify(&format!("genuine-{number}"), SECRET, &format!("{{\"order\":{number}}}"))
}

/// 139: forged requests, copies and repeats of a captured one never end a provider's silence, and a genuine one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_pass_for_a_provider_that_has_gone_silent() {
    let routes = "[routes.shopify]\npath = \"/hooks/shopify\"\nprovider = \"shopify\"\n\
                  secrets = [{ file = \"secrets/shopify\" }]\nupstream = \"app\"\ninactivity_alert = \"1h\"\n\
                  [routes.plain]\npath = \"/hooks/plain\"\nupstream = \"app\"\nverify.dangerously_none = true\n";
    let rig = Rig::start(Setup::routes(routes).file("secrets/shopify", SECRET)).await;
    let inactive = async || {
        let (_, metrics) = rig.ask("GET", "/metrics").await;
        metrics.lines().any(|line| line == "dmz_relay_provider_inactive{route=\"shopify\"} 1")
    };
    let captured = shopify("captured", SECRET, "{\"captured\":true}");
    assert_eq!(flood(&rig, "127.0.0.66", [captured.clone()]).await, [200]);
    let mut others = Senders::of(&rig, || Call::post("/hooks/plain")).await;
    rig.clock.advance(Duration::from_mins(61));
    assert!(inactive().await);
    for round in 0..10 {
        let forged = shopify(&format!("forged-{round}"), "canary-of-nobody", "{}");
        let repeat = shopify(&format!("repeat-{round}"), SECRET, "{\"captured\":true}");
        let _ = flood(&rig, "127.0.0.66", [forged, captured.clone(), repeat]).await;
        others.are_served().await;
    }
    assert!(inactive().await, "nobody who is known to be genuine has called");
    let mut senders = Senders::of(&rig, order).await;
    senders.are_served().await;
    assert!(!inactive().await);
    eventually("the end is told", async || rig.log.events("provider_active").len() == 1).await;
    drop((others, senders));
    rig.finish().await;
}
