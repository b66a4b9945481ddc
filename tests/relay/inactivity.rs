//! A provider that stops calling.

use std::time::Duration;

use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::{Call, NOW, PLAIN, Protocol, Rig, Setup, eventually, hex_hmac};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// What an alert would read; to ask is also to look.
async fn gauge(rig: &Rig, name: &str) -> Option<f64> {
    let (status, metrics) = rig.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    let prefix = format!("dmz_relay_{name}{{route=");
    metrics.lines().find(|line| line.starts_with(&prefix)).map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

async fn inactive(rig: &Rig) -> bool {
    gauge(rig, "provider_inactive").await.unwrap() == 1.0
}

/// So many lines, and no more.
async fn told(rig: &Rig, event: &str, times: usize) -> Vec<Value> {
    eventually(event, async || rig.log.events(event).len() == times).await;
    rig.log.events(event)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fixed_time() {
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}inactivity_alert = \"1h\"\n"))).await;
    assert!(!inactive(&rig).await);
    assert_eq!(gauge(&rig, "last_genuine_timestamp_seconds").await, None);
    rig.clock.advance(HOUR + MINUTE);
    assert!(inactive(&rig).await, "also before the first request");
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    assert!(!inactive(&rig).await);
    #[expect(clippy::cast_precision_loss, reason = "a date")]
    let at = (NOW + 3660) as f64;
    assert_eq!(gauge(&rig, "last_genuine_timestamp_seconds").await, Some(at));
    rig.clock.advance(HOUR);
    assert!(!inactive(&rig).await);
    rig.clock.advance(MINUTE);
    assert!(inactive(&rig).await);
    assert_eq!(rig.status().await["routes"][0]["inactive"], true);
    rig.clock.advance(9 * HOUR);
    assert!(inactive(&rig).await);
    rig.delivers(Protocol::H2, &Call::post("/hooks/plain")).await;
    assert!(!inactive(&rig).await);
    let (alarms, ends) = (told(&rig, "provider_inactive", 2).await, told(&rig, "provider_active", 2).await);
    assert_eq!((&alarms[1]["route"], &alarms[1]["quiet_for_ms"]), (&"plain".into(), &3_660_000.0.into()));
    assert_eq!(alarms[1]["usual_ms"], 3_600_000.0);
    assert_eq!(ends[1]["quiet_for_ms"], 36_060_000.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_does_not_break_the_silence() {
    let route = r#"
[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ file = "secrets/github" }]
upstream = "app"
inactivity_alert = "1h"
"#;
    let rig = Rig::start(Setup::routes(route).file("secrets/github", "github-canary-secret")).await;
    let call = |signature: String| {
        Call::post("/hooks/github")
            .field("content-type", "application/json")
            .field("x-github-event", "push")
            .field("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
            .field("x-hub-signature-256", &format!("sha256={signature}"))
    };
    assert!(!inactive(&rig).await);
    rig.clock.advance(HOUR + MINUTE);
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &call("0".repeat(64)))).await;
    assert!(inactive(&rig).await);
    rig.delivers(Protocol::H1, &call(hex_hmac("github-canary-secret", "{}"))).await;
    assert!(!inactive(&rig).await);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn off_is_off_and_a_reload_changes_it() {
    let mut rig = Rig::start(Setup::routes(&format!("{PLAIN}inactivity_alert = \"off\"\n"))).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.clock.advance(9 * HOUR);
    assert!(!inactive(&rig).await);
    rig.apply(|setup| setup.rest = setup.rest.replace("\"off\"", "\"2h\"")).await;
    assert!(inactive(&rig).await, "the time before the reload counts");
    rig.apply(|setup| setup.rest = setup.rest.replace("\"2h\"", "\"10h\"")).await;
    assert!(!inactive(&rig).await);
    told(&rig, "provider_inactive", 1).await;
    rig.finish().await;
}

/// A habit that has been learnt survives a restart, and so does the quiet that has begun; the time in between is neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_does_not_reset_a_habit() {
    let store = "[store]\nsqlite = { path = \"{folder}/relay.db\" }\n";
    let mut rig = Rig::start(Setup::routes(&format!("{PLAIN}{store}"))).await;
    let mut wire = rig.connect().await;
    for _ in 0..60 {
        rig.clock.advance(HOUR);
        wire.send(Call::post("/hooks/plain").h1()).await;
        assert_eq!(wire.answer().await.status, 200);
        assert!(!inactive(&rig).await);
    }
    drop(wire);
    rig.clock.advance(HOUR);
    let last = gauge(&rig, "last_genuine_timestamp_seconds").await;
    rig.restart().await;
    assert_eq!(gauge(&rig, "last_genuine_timestamp_seconds").await, last);
    assert!(!inactive(&rig).await);
    rig.clock.advance(HOUR / 2);
    assert!(!inactive(&rig).await, "as long again as half the longest pause");
    rig.clock.advance(MINUTE);
    assert!(inactive(&rig).await);
    let alarm = &told(&rig, "provider_inactive", 1).await[0];
    assert_eq!((&alarm["quiet_for_ms"], &alarm["usual_ms"]), (&5_460_000.0.into(), &3_600_000.0.into()));
    rig.restart().await;
    rig.clock.advance(HOUR);
    assert!(inactive(&rig).await);
    told(&rig, "provider_inactive", 0).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    assert!(!inactive(&rig).await);
    rig.finish().await;
}
