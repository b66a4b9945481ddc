//! Queue: the sender hears of success when the request is durable, and the inside gets it behind the sender's back.

use std::time::Duration;

use crate::harness::peers::{Seen, held, honest, moody};
use crate::harness::{BOTH, Call, NOW, Oktave, Protocol, Rig, Setup, base64_hmac, eventually};

const QUEUE: &str = r#"
[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
delivery = "queue"
"#;

fn numbered(number: usize) -> Call {
    Call::post("/hooks/plain").body(number.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_and_delivered_once() {
    let rig = Rig::start(Setup::stored(QUEUE)).await;
    for (count, protocol) in BOTH.into_iter().enumerate() {
        let answer = rig.send(protocol, &numbered(count)).await;
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(rig.log.of(answer.id()).await["outcome"], "accepted");
        eventually("it arrives", async || rig.app.seen().len() == count + 1).await;
        rig.drained("plain").await;
        let seen = rig.app.last();
        assert_eq!((seen.field("X-Request-Id"), seen.field("Relay-Attempt")), (Some(answer.id()), Some("1")));
        assert_eq!(seen.field("Relay-Redelivery"), None);
        let told = rig.log.wait("delivery", |line| line["request_id"] == answer.id()).await;
        assert_eq!(
            (&told["result"], &told["attempt"], &told["route"]),
            (&"delivered".into(), &1.into(), &"plain".into())
        );
        assert_eq!(rig.row(answer.id()).await.entry.outcome.as_str(), "delivered");
    }
    assert_eq!(rig.app.texts(), ["0", "1"]);
    assert_eq!(rig.metric("dmz_relay_attempts_total", &[("route", "plain"), ("result", "delivered")]), 2.0);
    rig.finish().await;
}

/// What waits is counted while it waits, and as delivered once it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_counts_what_waits_now() {
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(Setup::stored(QUEUE), app).await;
    for number in 0..3 {
        assert_eq!(rig.send(Protocol::H1, &numbered(number)).await.status, 200);
    }
    let counts = async || {
        let route = rig.status().await["routes"][0].clone();
        assert_eq!(route["counts"].get("accepted"), None, "{route}");
        (route["counts"]["delivered"].as_u64().unwrap(), route["spool"]["waiting"].as_u64().unwrap())
    };
    assert_eq!(counts().await, (0, 3));
    mood.well();
    rig.drained("plain").await;
    assert_eq!(counts().await, (3, 0));
    rig.finish().await;
}

/// A route of each kind; the application sees the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_out_of_the_store_looks_as_if_it_came_directly() {
    const ROUTES: &str = r#"
[routes.direct]
path = "/hooks/direct/*"
verify.token = { header = "X-Token", prefix = "t=" }
secrets = [{ env = "SECRET", id = "first" }]
upstream = "app"
upstream_path = "/in"
upstream_headers = { "X-Source" = "relay" }
upstream_query = { "key" = "a b" }
delivery = "direct"

[routes.queue]
path = "/hooks/queue/*"
verify.token = { header = "X-Token", prefix = "t=" }
secrets = [{ env = "SECRET", id = "first" }]
upstream = "app"
upstream_path = "/in"
upstream_headers = { "X-Source" = "relay" }
upstream_query = { "key" = "a b" }
delivery = "queue"
ordered = true
"#;
    let (app, mood) = moody::moody(500).await;
    let rig = Rig::with_app(Setup::stored(ROUTES).variable("SECRET", "canary-secret"), app).await;
    let call = |route: &str| {
        Call::post(&format!("/hooks/{route}/deep?a=1&&b=%20"))
            .field("X-Token", "t=canary-secret")
            .field("x-Odd-CASE", "  kept  ")
            .field("Content-Type", "application/json; charset=utf-8")
            .field("X_Under", "never")
            .field("Relay-Key", "forged")
            .body([0, 159, 146, 150, 13, 10])
    };
    let queued = rig.send(Protocol::H1, &call("queue")).await;
    assert_eq!(queued.status, 200);
    eventually("an attempt", async || !rig.log.events("delivery").is_empty()).await;
    mood.well();
    assert_eq!(rig.send(Protocol::H1, &call("direct")).await.status, 200);
    let direct = rig.app.last();
    rig.clock.advance(Duration::from_secs(60));
    rig.drained("queue").await;
    let stored = rig.app.last();
    assert_eq!(stored.field("Relay-Attempt"), Some("2"));
    assert_eq!(stored.field("X-Token"), Some("t=canary-secret"), "put back");
    let normal = |seen: &Seen| {
        let varies = ["X-Request-Id: ", "Relay-Route: ", "Relay-Attempt: "];
        let lines = seen.head.lines().filter(|line| !varies.iter().any(|name| line.starts_with(name)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(normal(&stored), normal(&direct));
    assert_eq!(stored.body, direct.body);
    let file = std::fs::read(rig.path("relay.db")).unwrap();
    let log = std::fs::read(rig.path("relay.db-wal")).unwrap();
    for bytes in [file, log] {
        assert!(!bytes.windows(13).any(|window| window == b"canary-secret"), "the token is on disk");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_inside_costs_the_senders_nothing() {
    let (app, mood) = moody::moody(503).await;
    let rig = Rig::with_app(Setup::stored(QUEUE), app).await;
    let mut wire = rig.connect().await;
    for number in 0..100 {
        wire.send(numbered(number).h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    let status = rig.status().await;
    assert_eq!(status["store"]["spool"]["waiting"], 100);
    assert_eq!(status["routes"][0]["spool"]["waiting"], 100);
    assert_eq!(status["routes"][0]["spool"]["oldest"], jiff::Timestamp::from_second(NOW).unwrap().to_string());
    rig.log.wait("breaker_opened", |line| line["upstream"] == "app").await;
    mood.well();
    let attempts = rig.app.seen().len();
    rig.clock.advance(Duration::from_secs(3600));
    rig.drained("plain").await;
    rig.log.wait("breaker_closed", |line| line["upstream"] == "app").await;
    let mut arrived = rig.app.texts().split_off(attempts);
    arrived.sort_by_key(|text| text.parse::<usize>().unwrap());
    assert_eq!(arrived, (0..100).map(|number| number.to_string()).collect::<Vec<_>>(), "every one, once");
    let (status, metrics) = rig.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("dmz_relay_spool_waiting{route=\"plain\"} 0"), "{metrics}");
    assert!(metrics.contains("dmz_relay_store_up 1"), "{metrics}");
    rig.finish().await;
}

/// Nothing goes on its way while the inside is dead, but one probe at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_inside_is_not_run_into() {
    let (app, _mood) = moody::moody(503).await;
    let rig = Rig::with_app(Setup::stored(&format!("{QUEUE}concurrency = 8\n")), app).await;
    let mut wire = rig.connect().await;
    for number in 0..200 {
        wire.send(numbered(number).h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    rig.log.wait("breaker_opened", |_| true).await;
    let first = rig.app.seen().len();
    assert!(first <= 11, "{first} attempts");
    for probes in 1..=5 {
        rig.clock.advance(Duration::from_secs(31));
        let before = rig.app.seen().len();
        eventually("a probe", async || rig.app.seen().len() > before).await;
        let told = || rig.log.events("delivery").len() == rig.app.seen().len();
        eventually("it is told", async || told()).await;
        assert_eq!(rig.app.seen().len(), first + probes, "one probe for each pause");
    }
    assert_eq!(rig.store().backlog("plain").waiting, 200, "nothing is lost");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_at_once_than_the_route_says() {
    let (app, gate) = held::held().await;
    let rig = Rig::with_app(Setup::stored(&format!("{QUEUE}concurrency = 3\n")), app).await;
    let mut wire = rig.connect().await;
    for number in 0..10 {
        wire.send(numbered(number).h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    for released in 0..7 {
        eventually("the next ones are inside", async || rig.app.seen().len() == 3 + released).await;
        assert_eq!(rig.store().backlog("plain").claimed, 3);
        gate.release(1);
    }
    gate.release(3);
    rig.drained("plain").await;
    assert_eq!(rig.app.seen().len(), 10);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_where_it_stopped() {
    let (app, mood) = moody::moody(503).await;
    let mut rig = Rig::with_app(Setup::stored(QUEUE), app).await;
    for number in 0..20 {
        assert_eq!(rig.send(Protocol::H1, &numbered(number)).await.status, 200);
    }
    rig.restart().await;
    mood.well();
    let before = rig.app.seen().len();
    rig.clock.advance(Duration::from_secs(3600));
    rig.drained("plain").await;
    let mut arrived = rig.app.texts().split_off(before);
    arrived.sort();
    arrived.dedup();
    assert_eq!((arrived.len(), rig.app.seen().len()), (20, before + 20));
    rig.finish().await;
}

/// What was on its way when the process ended may have arrived: it is sent again and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_delivery_is_sent_again_and_marked() {
    let (app, gate) = held::held().await;
    let setup = Setup { drain: "200ms".into(), ..Setup::stored(QUEUE) };
    let mut rig = Rig::with_app(setup, app).await;
    let answer = rig.send(Protocol::H1, &numbered(1)).await;
    assert_eq!(answer.status, 200);
    eventually("it is inside", async || rig.app.seen().len() == 1).await;
    rig.stop().await;
    let stopped = rig.log.wait("stopped", |_| true).await;
    assert_eq!(stopped["interrupted"], 1);
    rig.start_again().await;
    assert_eq!(rig.log.wait("interrupted", |_| true).await["requests"], 1);
    eventually("it is inside again", async || rig.app.seen().len() == 2).await;
    gate.release(2);
    rig.drained("plain").await;
    let seen = rig.app.last();
    // Beyond every number that the interrupted attempt may have used.
    assert_eq!((seen.field("Relay-Attempt"), seen.field("X-Request-Id")), (Some("17"), Some(answer.id())));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_route_that_is_gone_wait_for_it() {
    let (app, mood) = moody::moody(503).await;
    let mut rig = Rig::with_app(Setup::stored(QUEUE), app).await;
    for number in 0..5 {
        assert_eq!(rig.send(Protocol::H1, &numbered(number)).await.status, 200);
    }
    rig.log.wait("breaker_opened", |_| true).await;
    let with = rig.setup.rest.clone();
    rig.apply(|setup| setup.rest = setup.rest.replace("plain", "other")).await;
    let told = rig.log.wait("stranded", |_| true).await;
    assert_eq!((&told["routes"], &told["waiting"]), (&"plain".into(), &5.into()));
    mood.well();
    rig.clock.advance(Duration::from_secs(3600));
    let status = rig.status().await;
    assert_eq!(status["store"]["stranded"][0]["route"], "plain");
    assert_eq!(status["store"]["stranded"][0]["spool"]["waiting"], 5);
    let before = rig.app.seen().len();
    rig.apply(|setup| setup.rest = with).await;
    rig.drained("plain").await;
    assert_eq!(rig.app.seen().len(), before + 5);
    rig.finish().await;
}

/// A twin of an accepted request is a duplicate at once, whatever became of the delivery, and after a restart too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_duplicate_of_an_accepted_request_is_one_across_a_restart() {
    const OKTAVE: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
delivery = "queue"
"#;
    let setup = Setup::stored(OKTAVE).variable("SECRET", "0123456789abcdef0123456789abcdef");
    let mut rig = Rig::with_app(setup, honest::ok().await).await;
    let call = Oktave::event("0123456789abcdef0123456789abcdef", 1).call("/hooks/oktave");
    let first = rig.send(Protocol::H1, &call).await;
    assert_eq!((first.status, rig.log.of(first.id()).await["outcome"].as_str()), (200, Some("accepted")));
    for _ in 0..2 {
        let twin = rig.send(Protocol::H1, &call).await;
        assert_eq!((twin.status, rig.log.of(twin.id()).await["outcome"].as_str()), (200, Some("duplicate")));
        rig.drained("oktave").await;
        assert_eq!(rig.app.seen().len(), 1);
        rig.restart().await;
    }
    rig.finish().await;
}

/// Our own signature, of each attempt anew, in place of whatever the sender put there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_of_our_own_is_that_of_the_attempt() {
    const ROUTE: &str = r#"
[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ env = "SECRET" }]
upstream = "app"
sign_with = [{ env = "APP" }]
"#;
    let (secret, ours) = ("0123456789abcdef0123456789abcdef", "abcdefabcdefabcdefabcdefabcdef");
    let (app, mood) = moody::moody(500).await;
    let setup = Setup::stored(ROUTE).variable("SECRET", secret).variable("APP", ours);
    let rig = Rig::with_app(setup, app).await;
    let event = Oktave::event(secret, 1);
    let call = event.call("/hooks/oktave").field("Webhook-Id", "forged").field("webhook-signature", "v1,forged");
    assert_eq!(rig.send(Protocol::H1, &call).await.status, 200);
    mood.well();
    rig.clock.advance(Duration::from_secs(60));
    eventually("it is taken", async || rig.store().backlog("oktave").waiting == 0).await;
    let ids = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let signed = |seen: &Seen| {
        let at = seen.field("webhook-timestamp").unwrap().to_owned();
        let id = seen.field("webhook-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        ids.lock().unwrap().insert(id.to_owned());
        let message = format!("{id}.{at}.{}", String::from_utf8_lossy(&seen.body));
        assert_eq!(seen.field("webhook-signature"), Some(format!("v1,{}", base64_hmac(ours, message)).as_str()));
        assert!(seen.field("Oktave-Signature").is_some(), "the provider's stays beside it");
        at.parse::<i64>().unwrap() - NOW
    };
    assert_eq!(rig.app.seen().iter().map(signed).collect::<Vec<_>>(), [0, 60]);
    assert_eq!(ids.into_inner().unwrap().len(), 1, "every attempt has the same");
    rig.finish().await;
}
