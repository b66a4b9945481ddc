//! What waits, or is sent again by hand, while its route is changed: it was verified by something, and a route that asks for something
//! else does not pass it on.

use std::time::Duration;

use dmz_relay::delivery::{self, NotRedelivered};

use crate::harness::peers::moody;
use crate::harness::{Call, Protocol, Rig, Setup, eventually, hex_hmac};

const SECRET: &str = "secret-0123456789abcdef";
const NONE: &str = "verify.dangerously_none = true";
const GITHUB: &str = "provider = \"github\"\nsecrets = [{ env = \"SECRET\", id = \"one\" }]";
const ROTATED: &str = "provider = \"github\"\nsecrets = [{ env = \"OTHER\", id = \"two\" }]";
const BITBUCKET: &str = "provider = \"bitbucket\"\nsecrets = [{ env = \"SECRET\", id = \"one\" }]";

fn custom(message: &str, tolerance: &str) -> String {
    format!(
        "secrets = [{{ env = \"SECRET\", id = \"one\" }}]\n[routes.gh.verify.hmac]\nalgorithm = \"sha256\"\n\
         signature = {{ header = \"X-Hub-Signature-256\", prefix = \"sha256=\", encoding = \"hex\" }}\nmessage = \"{message}\"\n\
         timestamp = {{ header = \"X-Time\", format = \"unix\", tolerance = \"{tolerance}\" }}"
    )
}

fn route(verify: &str) -> String {
    format!(
        "[routes.gh]\npath = \"/hooks/gh\"\nupstream = \"app\"\ndelivery = \"queue\"\nkeep_body = true\nsign_with = [{{ env = \"RESIGN\" }}]\n{verify}\n"
    )
}

fn setup(verify: &str) -> Setup {
    Setup::stored(&route(verify))
        .variable("SECRET", SECRET)
        .variable("OTHER", "another-0123456789abcdef")
        .variable("RESIGN", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
}

fn call(number: u32) -> Call {
    let (body, time) = (format!("{{\"n\":{number}}}"), crate::harness::NOW);
    let github = hex_hmac(SECRET, &body);
    Call::post("/hooks/gh")
        .body(&body)
        .field("Content-Type", "application/json")
        .field("X-Hub-Signature-256", &format!("sha256={github}"))
        .field("X-Time", &time.to_string())
}

fn timed(number: u32) -> Call {
    let (body, time) = (format!("{{\"n\":{number}}}"), crate::harness::NOW);
    let signature = hex_hmac(SECRET, format!("{time}.{body}"));
    call(number).set("X-Hub-Signature-256", &format!("sha256={signature}"))
}

/// Accepted under one `verify` while the application is down, delivered under another one. Gives the rig and the request's id.
async fn changed(before: &str, after: &str, call: &Call) -> (Rig, String) {
    let (app, mood) = moody::moody(503).await;
    let mut rig = Rig::with_app(setup(before), app).await;
    let answer = rig.send(Protocol::H1, call).await;
    assert_eq!(answer.status, 200, "{}", rig.log.text());
    let id = answer.id().to_owned();
    eventually("an attempt", async || !rig.log.events("delivery").is_empty()).await;
    rig.apply(|setup| setup.rest = setup.rest.replace(&route(before), &route(after))).await;
    mood.well();
    rig.clock.advance(Duration::from_secs(3600));
    (rig, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_and_no_longer_fits_its_route_becomes_a_dead_letter() {
    let message = custom("{timestamp}.{body}", "5m");
    for (before, after, call, was) in [
        (NONE, GITHUB, call(1), "nothing"),
        (
            BITBUCKET,
            GITHUB,
            call(2)
                .without("X-Hub-Signature-256")
                .field("X-Hub-Signature", &format!("sha256={}", hex_hmac(SECRET, "{\"n\":2}"))),
            "bitbucket",
        ),
        (&message, GITHUB, timed(3), "custom:"),
        (GITHUB, &message, call(4), "github"),
        (&message, &custom("{timestamp}:{body}", "5m"), timed(5), "custom:"),
    ] {
        let (rig, id) = changed(before, after, &call).await;
        let told = rig.log.wait("delivery", |line| line["request_id"] == *id && line["result"] == "dead").await;
        let why = told["detail"].as_str().unwrap();
        assert!(why.starts_with(&format!("it was verified by {was}")) && why.contains("now asks for"), "{why}");
        eventually("a dead letter", async || rig.store().backlog("gh").dead == 1).await;
        let attempts = rig.app.seen().len();
        assert_eq!(rig.row(&id).await.entry.detail.as_deref(), Some(why));

        // Neither a retry nor a redelivery gets it through.
        delivery::retry(&rig.gate(), &id).await.unwrap();
        eventually("dead again", async || {
            rig.log.events("delivery").iter().filter(|line| line["result"] == "dead").count() == 2
        })
        .await;
        assert_eq!(rig.app.seen().len(), attempts, "it went to the upstream");
        assert!(rig.app.seen().iter().all(|seen| before != NONE || seen.field("Relay-Key").is_none()));
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_still_fits_its_route_is_delivered() {
    for (before, after, call) in [
        (GITHUB, ROTATED, call(1)),
        (GITHUB, NONE, call(2)),
        (&custom("{timestamp}.{body}", "5m"), &custom("{timestamp}.{body}", "10m"), timed(3)),
    ] {
        let (rig, id) = changed(before, after, &call).await;
        rig.drained("gh").await;
        assert_eq!(rig.row(&id).await.entry.outcome.as_str(), "delivered", "{before} to {after}");
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_the_history_that_no_longer_fits_is_not_redelivered() {
    let mut rig = Rig::start(setup(GITHUB)).await;
    let sent = rig.send(Protocol::H1, &call(1)).await;
    rig.drained("gh").await;
    let (id, seen) = (sent.id().to_owned(), rig.app.seen().len());
    assert!(delivery::redeliver(&rig.gate(), &rig.snapshot(), &id).await.is_ok());
    rig.apply(|setup| setup.rest = setup.rest.replace(&route(GITHUB), &route(&custom("{timestamp}.{body}", "5m"))))
        .await;
    let denied = delivery::redeliver(&rig.gate(), &rig.snapshot(), &id).await.unwrap_err();
    assert_eq!(denied, NotRedelivered::VerifiedOtherwise);
    let answer = rig.fetch("POST", &format!("/api/v1/events/{id}/redeliver")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (409, Some("verified_otherwise")));
    assert_eq!(rig.app.seen().len(), seen + 1);
    rig.finish().await;
}

/// `forward = true`: a query token arrives as it was sent, also from the store, where it does not lie.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_token_that_goes_on_arrives_from_the_store() {
    const ROUTE: &str = "[routes.gh]\npath = \"/hooks/gh\"\nverify.token = { query = \"api-key\", forward = true }\n\
                         secrets = [{ env = \"SECRET\" }]\nupstream = \"app\"\ndelivery = \"queue\"\nordered = true\n";
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(Setup::stored(ROUTE).variable("SECRET", "canary token&=+%"), app).await;
    let target = "/hooks/gh?a=1&&api-key=canary%20token%26%3D%2B%25&b";
    assert_eq!(rig.send(Protocol::H1, &Call::post(target)).await.status, 200);
    eventually("an attempt", async || !rig.log.events("delivery").is_empty()).await;
    mood.well();
    rig.clock.advance(Duration::from_secs(3600));
    rig.drained("gh").await;
    let seen = rig.app.last();
    assert_eq!((seen.target(), seen.field("Relay-Attempt")), (target, Some("2")));
    for name in ["relay.db", "relay.db-wal"] {
        let bytes = std::fs::read(rig.path(name)).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"canary%20tok"), "the token is in {name}");
    }
    rig.finish().await;
}
