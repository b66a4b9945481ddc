//! A row for every request, whatever became of it.

use std::sync::Arc;

use dmz_relay::domain::sensitive::Mark;
use dmz_relay::store::Query;

use crate::harness::peers::moody;
use crate::harness::{Call, Oktave, Protocol, Rig, Setup, eventually};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const ROUTES: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
delivery = "direct"

[routes.kept]
path = "/hooks/kept/*"
verify.token = { query = "api-key" }
secrets = [{ env = "SECRET", id = "first" }]
upstream = "app"
keep_body = true
"#;

fn setup() -> Setup {
    Setup::stored(ROUTES).variable("SECRET", SECRET)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_has_its_row() {
    let (app, mood) = moody::moody(200).await;
    let rig = Rig::with_app(setup(), app).await;
    let oktave = |number| Oktave::event(SECRET, number).call("/hooks/oktave");
    let delivered = rig.delivers(Protocol::H1, &oktave(1)).await;
    let duplicate = rig.send(Protocol::H2, &oktave(1)).await;
    let forged = rig.send(Protocol::H1, &oktave(2).set("Oktave-Signature", &"0".repeat(64))).await;
    let unknown = rig.send(Protocol::H1, &Call::post("/nothing?api-key=canary").field("Authorization", "canary")).await;
    let edge = rig.raw(b"POST / HTTP/3.0\r\n\r\n").await;
    mood.status(500, "");
    let failed = rig.send(Protocol::H1, &oktave(3)).await;
    let accepted = rig.send(Protocol::H1, &Call::post(&format!("/hooks/kept/a?api-key={SECRET}"))).await;
    let expected = [
        (&delivered, "delivered", "", 200, Some("oktave")),
        (&duplicate, "duplicate", "", 200, Some("oktave")),
        (&forged, "refused", "signature_mismatch", 401, Some("oktave")),
        (&unknown, "refused", "route_unknown", 404, None),
        (&edge, "refused", "version_unsupported", 505, None),
        (&failed, "failed", "upstream_status", 502, Some("oktave")),
        (&accepted, "accepted", "", 200, Some("kept")),
    ];
    for (answer, outcome, reason, status, route) in expected {
        let row = rig.row(answer.id()).await;
        assert_eq!((row.entry.outcome.as_str(), row.reason.as_ref()), (outcome, reason));
        assert_eq!((row.entry.status, row.entry.route.as_deref()), (status, route), "{reason}");
        assert_eq!(row.entry.source.to_string(), "127.0.0.1");
        let has_head = reason != "version_unsupported" && outcome != "duplicate";
        assert_eq!(row.entry.head.is_some(), has_head, "{outcome} {reason}");
        assert!(!format!("{:?}", row.entry.head.as_ref().and_then(|head| head.query())).contains("canary"));
    }
    let row = rig.row(delivered.id()).await;
    assert_eq!(row.entry.dedupe.as_deref(), Some("h:0191e2a4-7b1c-7c3e-9f00-000000000001"));
    assert_eq!(
        (row.entry.upstream.as_deref(), row.entry.upstream_status, row.entry.attempts),
        (Some("app"), Some(200), 1)
    );
    assert!(!row.has_body, "keep_body is off by default");
    let at = row.entry.head.as_ref().unwrap().headers().iter().position(|(name, _)| name == "Oktave-Signature");
    assert!(row.entry.marks.has(Mark::Field(at.unwrap())), "{row:?}");
    let rows = rig.store().page(Query { limit: 100, ..Query::default() }, Arc::default()).await.unwrap().events;
    assert_eq!(rows.len(), expected.len(), "one row for each");
    rig.finish().await;
}

/// Bodies where the route keeps them, refused requests included; a token nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_kept_where_the_route_says_so_and_tokens_nowhere() {
    let rig = Rig::with_app(setup(), moody::moody(200).await.0).await;
    let call = |key: &str| Call::post(&format!("/hooks/kept/deep?a=1&api%2Dkey={key}")).body("a kept body");
    let delivered = rig.delivers(Protocol::H1, &call(SECRET)).await;
    let refused = rig.send(Protocol::H1, &call("an-old-secret")).await;
    assert_eq!(refused.status, 401);
    for answer in [&delivered, &refused] {
        let row = rig.row(answer.id()).await;
        assert_eq!(row.entry.body.as_deref(), Some(&b"a kept body"[..]));
        let head = row.entry.head.unwrap();
        assert_eq!((head.path(), head.query()), ("/hooks/kept/deep", Some("a=1&api%2Dkey=")));
        assert_eq!(row.entry.suffix, "/deep".len());
    }
    rig.finish().await;
}

/// What strangers bring about is written so many times in a second, a quarter of it for one reason, and counted beyond that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_bounded_and_genuine_rows_are_not() {
    let setup = setup();
    let rest = setup.rest.replace("refusals_per_second = 100000", "refusals_per_second = 12");
    let rig = Rig::with_app(Setup { rest, ..setup }, moody::moody(200).await.0).await;
    let mut wire = rig.connect().await;
    for _ in 0..50 {
        wire.send(Call::post("/nothing").h1()).await;
        assert_eq!(wire.answer().await.status, 404);
        wire = rig.connect().await;
    }
    let mut last = None;
    for number in 0..20 {
        last = Some(rig.delivers(Protocol::H1, &Oktave::event(SECRET, number).call("/hooks/oktave")).await);
    }
    rig.row(last.unwrap().id()).await;
    let count = async |outcome: &str| {
        let query = Query { outcome: Some(outcome.into()), limit: 100, ..Query::default() };
        rig.store().page(query, Arc::default()).await.unwrap().events.len()
    };
    assert_eq!((count("refused").await, count("delivered").await), (3, 20));
    rig.finish().await;
}

/// A sender that went away has a row too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_went_away_has_a_row() {
    let rig = Rig::with_app(setup(), moody::moody(200).await.0).await;
    let call = Oktave::event(SECRET, 1).call("/hooks/oktave");
    let mut wire = rig.connect().await;
    wire.send(call.h1_head()).await;
    wire.send(&call.body[..3]).await;
    let state = Arc::clone(rig.running().state());
    eventually("half of it is there", async || state.bodies.used() > 0).await;
    drop(wire);
    let line = rig.log.wait("request", |_| true).await;
    let row = rig.row(line["request_id"].as_str().unwrap()).await;
    assert_eq!(row.entry.outcome.as_str(), line["outcome"].as_str().unwrap());
    rig.finish().await;
}
