//! The history over the admin listener: every filter, paging, masking, redeliver, retry, discard, and following it.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::harness::peers::{held, honest, nobody};
use crate::harness::{Call, Fetched, NOW, Oktave, Peer, Protocol, Rig, Setup, eventually, fetch, hex_hmac};

const SECRET: &str = "oktave-canary-secret";
const KEY: &str = "octolis-canary-key";

const ROUTES: &str = r#"
[store]
sqlite = { path = "relay.db" }
disk_reserve = "0B"

[routes.oktave]
path = "/hooks/oktave"
provider = "oktave"
secrets = [{ file = "secrets/oktave" }]
upstream = "app"
delivery = "direct"
keep_body = true

[routes.octolis]
path = "/hooks/octolis"
provider = "octolis"
secrets = [{ file = "secrets/octolis" }]
upstream = "app"
delivery = "direct"

[routes.queue]
path = "/hooks/queue"
verify.dangerously_none = true
upstream = "app"
delivery = "queue"
retry = { first = "1s", attempts = 1 }

[routes.plain]
path = "/hooks/plain"
verify.dangerously_none = true
upstream = "app"
delivery = "direct"
keep_body = true
"#;

fn setup() -> Setup {
    Setup::routes(ROUTES)
        .listener("trust_forwarded_from = [\"127.0.0.1\"]")
        .file("secrets/oktave", SECRET)
        .file("secrets/octolis", KEY)
}

async fn rig() -> Rig {
    Rig::start(setup()).await
}

fn oktave(number: u32) -> Oktave {
    Oktave::event(SECRET, number).at(NOW)
}

fn plain(body: &str) -> Call {
    Call::post("/hooks/plain").body(body)
}

/// Sends, waits for the row, and lets a second go by: what comes next is younger.
async fn recorded(rig: &Rig, call: &Call) -> String {
    let id = rig.send(Protocol::H1, call).await.id().to_owned();
    eventually("the row", async || rig.fetch("GET", &format!("/api/v1/events/{id}")).await.status == 200).await;
    rig.clock.advance(Duration::from_secs(1));
    id
}

async fn event(rig: &Rig, id: &str) -> Value {
    let fetched = rig.fetch("GET", &format!("/api/v1/events/{id}")).await;
    assert_eq!(fetched.status, 200, "{}", fetched.json());
    fetched.json()
}

async fn list(rig: &Rig, query: &str) -> Value {
    let fetched = rig.fetch("GET", &format!("/api/v1/events?{query}")).await;
    assert_eq!(fetched.status, 200, "{query}: {}", fetched.json());
    fetched.json()
}

fn ids(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

async fn act(rig: &Rig, id: &str, what: &str) -> Fetched {
    rig.fetch("POST", &format!("/api/v1/events/{id}/{what}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter() {
    let rig = rig().await;
    let first = recorded(&rig, &oktave(1).call("/hooks/oktave")).await;
    let refused = recorded(&rig, &oktave(2).call("/hooks/oktave").set("Oktave-Timestamp", "1")).await;
    let duplicate = recorded(&rig, &oktave(1).call("/hooks/oktave")).await;
    let moved = Call::post("/hooks/plain?shop=Ölberg&n=17".replace('Ö', "%C3%96").as_str())
        .field("X-Forwarded-For", "198.51.100.7")
        .field("X-Colour", "Turquoise");
    let moved = recorded(&rig, &moved).await;
    let nowhere = recorded(&rig, &Call::post("/nowhere")).await;
    let found = async |query: &str| {
        let mut found = ids(&list(&rig, query).await);
        found.reverse();
        found
    };
    let all = [&first, &refused, &duplicate, &moved, &nowhere];
    let named = |ids: &[&String]| ids.iter().map(|id| (*id).clone()).collect::<Vec<_>>();
    for (query, expected) in [
        ("", &all[..]),
        ("route=oktave", &[&first, &refused, &duplicate]),
        ("provider=oktave", &[&first, &refused, &duplicate]),
        ("route=queue", &[]),
        ("outcome=delivered", &[&first, &moved]),
        ("outcome=duplicate", &[&duplicate]),
        ("outcome=refused&route=oktave", &[&refused]),
        ("reason=route_unknown", &[&nowhere]),
        ("status=401", &[&refused]),
        ("status=4xx", &[&refused, &nowhere]),
        ("status=200-299", &[&first, &duplicate, &moved]),
        ("source=198.51.100.7", &[&moved]),
        ("source=198.51.100.0%2F24", &[&moved]),
        ("source=127.0.0.0/8&outcome=delivered", &[&first]),
        ("text=turquoise", &[&moved]),
        ("text=X-COLOUR", &[&moved]),
        ("text=n%3D17", &[&moved]),
        ("text=/nowhere", &[&nowhere]),
        // Five seconds have gone by since the first.
        ("since=3s", &[&duplicate, &moved, &nowhere]),
        ("until=3s", &[&first, &refused]),
        ("since=2026-11-22T10:00:01Z&until=2026-11-22T10:00:03Z", &[&refused, &duplicate]),
        (&format!("since={}", NOW + 4), &[&nowhere]),
        (&format!("id={refused}"), &[&refused]),
        (&format!("dedupe=h%3A{}", oktave(1).id), &[&first, &duplicate]),
        ("state=dead", &[]),
    ] {
        assert_eq!(found(query).await, named(expected), "{query}");
    }
    assert_eq!(ids(&list(&rig, "order=asc").await), named(&all));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_that_means_nothing_is_named() {
    let rig = rig().await;
    for (query, named) in [
        ("rout=x", "rout"),
        ("status=abc", "status"),
        ("since=yesterday", "since"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("source=office", "source"),
        ("order=up", "order"),
        ("after=x", "after"),
        ("after=f1.1.1", "after"),
        ("wait=20s", "wait"),
        ("state=gone", "state"),
        ("route=a&route=b", "route"),
        ("route=nobody", "there is no route \"nobody\""),
        ("provider=oktav", "did you mean \"oktave\""),
        ("outcome=delivred", "did you mean \"delivered\""),
    ] {
        let fetched = rig.fetch("GET", &format!("/api/v1/events?{query}")).await;
        let failure = fetched.json();
        assert_eq!((fetched.status, &failure["code"]), (400, &json!("bad_parameter")), "{query}");
        assert!(failure["error"].as_str().unwrap().contains(named), "{failure}");
    }
    rig.finish().await;
}

/// Requests go on arriving while somebody turns pages: what was there is seen once, from the newest to the oldest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_to_the_end_while_rows_arrive() {
    let rig = rig().await;
    let mut there = Vec::new();
    for number in 0..10 {
        there.push(recorded(&rig, &plain(&number.to_string())).await);
    }
    for order in ["desc", "asc"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = list(&rig, &format!("limit=3&order={order}{after}")).await;
            assert!(page["events"].as_array().unwrap().len() <= 3);
            seen.extend(ids(&page));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
            if seen.len() < 10 {
                recorded(&rig, &plain("later")).await;
            }
        }
        let mut expected = there.clone();
        if order == "desc" {
            expected.reverse();
            assert_eq!(seen, expected);
            // The younger ones come first from here on.
            there = ids(&list(&rig, "order=asc&limit=1000").await);
        } else {
            assert_eq!(seen[..expected.len()], expected[..]);
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "one came twice");
        }
    }
    rig.finish().await;
}

/// No secret and nothing that verifies a request in any answer; nor can it be searched for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_verifies_is_masked() {
    let rig = rig().await;
    let good = oktave(1).call("/hooks/oktave");
    let mac = hex_hmac(SECRET, format!("{}{NOW}", oktave(1).id));
    // A stranger's guess may be another route's secret, and a lost token may stand anywhere.
    let calls = [
        good.clone().field("Authorization", "Bearer canary-bearer").field("Cookie", "canary-cookie"),
        good.clone().set("Oktave-Timestamp", "1"),
        good.clone().field("X-Api-Key", "canary-header").field("X-Gitlab-Token", "canary-token"),
        Call::post(&format!("/hooks/octolis?a=1&api-key={KEY}&b=2")),
        Call::post("/hooks/octolis?api-key=canary-wrong"),
        Call::post(&format!("/hooks/octolis?api%2Dkey={KEY}")),
        Call::post(&format!("/hooks/plain?api-key={KEY}&token=canary-query&ok=visible")),
        Call::post(&format!("/hooks/plain?t%6Fken={KEY}")),
        Call::post("/hooks/plain").field("Oktave-Signature", &mac),
        Call::post(&format!("/nowhere?api-key={KEY}")).field("Authorization", "Basic canary-basic"),
    ];
    let mut said = Vec::new();
    for call in &calls {
        let id = recorded(&rig, call).await;
        for (method, what) in
            [("GET", ""), ("GET", "/body"), ("GET", "/explain"), ("POST", "/redeliver"), ("POST", "/retry")]
        {
            let fetched = rig.fetch(method, &format!("/api/v1/events/{id}{what}")).await;
            said.push(format!("{}\n{}", fetched.head, String::from_utf8(fetched.body).unwrap()));
        }
    }
    let page = list(&rig, "").await;
    assert_eq!(ids(&page).len(), calls.len());
    said.push(page.to_string());
    for text in &said {
        assert!(!text.contains("canary"), "{text}");
        assert!(!text.contains(&mac), "{text}");
    }
    let shown = said.concat();
    assert!(shown.contains("/hooks/octolis?a=1&api-key=***&b=2") && shown.contains("ok=visible"), "{shown}");
    assert!(shown.contains("{\"name\":\"Oktave-Signature\",\"value\":\"***\",\"masked\":true}"), "{shown}");
    assert!(shown.contains(&oktave(1).id), "ids are no secrets");
    for text in [&mac[..16], "octolis-canary"] {
        let found = list(&rig, &format!("text={text}&route=oktave")).await;
        assert_eq!(ids(&found), [""; 0], "{text}");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_in_full() {
    let rig = rig().await;
    let body = b"\x00\xff{\"body\":\x1b[2J}".to_vec();
    let id = recorded(&rig, &Call::post("/hooks/plain?a=1").field("X-Odd", "one").body(&body)).await;
    let shown = event(&rig, &id).await;
    assert_eq!((&shown["outcome"], &shown["status"]), (&json!("delivered"), &json!(200)));
    assert_eq!(shown["received_at"], "2026-11-22T10:00:00.000Z");
    assert_eq!(shown["head"]["target"], "/hooks/plain?a=1");
    assert_eq!(shown["head"]["host"], "relay.example");
    let field = json!({ "name": "X-Odd", "value": "one", "masked": false });
    assert!(shown["head"]["headers"].as_array().unwrap().contains(&field), "{shown}");
    assert!(shown["took"]["total_ms"].as_f64().unwrap() > 0.0);
    assert_eq!((&shown["has_body"], &shown["body_bytes"]), (&json!(true), &json!(body.len())));

    let path = format!("/api/v1/events/{id}/body");
    let fetched = rig.fetch("GET", &path).await;
    assert_eq!((fetched.status, fetched.body), (200, body));
    let head = fetched.head.to_lowercase();
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert!(head.contains("x-content-type-options: nosniff"), "{head}");
    assert!(head.contains(&format!("content-disposition: attachment; filename=\"{id}.body\"")), "{head}");

    let not_kept = recorded(&rig, &Call::post(&format!("/hooks/octolis?api-key={KEY}"))).await;
    let fetched = rig.fetch("GET", &format!("/api/v1/events/{not_kept}/body")).await;
    assert_eq!((fetched.status, &fetched.json()["code"]), (404, &json!("body_not_kept")));
    for unknown in ["1a2035baf19bf97aeced650444a", "hello", "1", "..%2f"] {
        for what in ["", "/body"] {
            let fetched = rig.fetch("GET", &format!("/api/v1/events/{unknown}{what}")).await;
            assert_eq!((fetched.status, &fetched.json()["code"]), (404, &json!("unknown_event")), "{unknown}{what}");
        }
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_says_what_came_of_it() {
    let mut rig = rig().await;
    let id = recorded(&rig, &oktave(1).call("/hooks/oktave")).await;
    let seen = rig.app.seen().len();
    let redelivered = act(&rig, &id, "redeliver").await;
    let report = redelivered.json();
    assert_eq!((redelivered.status, &report["delivered"], &report["fault"]), (200, &json!(true), &Value::Null));
    assert_eq!((&report["attempt"], &report["timestamp_fresh"]), (&json!(2), &json!(true)));
    assert_eq!(rig.app.seen().len(), seen + 1);
    let arrived = rig.app.last();
    assert_eq!(arrived.body, oktave(1).body().into_bytes());
    assert_eq!((arrived.field("relay-redelivery"), arrived.field("relay-attempt")), (Some("true"), Some("2")));
    assert_eq!(arrived.field("x-request-id"), Some(&*id));
    eventually("the attempt", async || event(&rig, &id).await["history"].as_array().unwrap().len() == 1).await;
    let attempt = &event(&rig, &id).await["history"][0];
    assert_eq!(
        (&attempt["number"], &attempt["kind"], &attempt["status"]),
        (&json!(2), &json!("redelivery"), &json!(200))
    );

    // Two hours later the provider's timestamp is too old for whoever checks it again.
    rig.clock.advance(Duration::from_secs(7200));
    assert_eq!(act(&rig, &id, "redeliver").await.json()["timestamp_fresh"], false);
    let plain = recorded(&rig, &plain("x")).await;
    assert_eq!(act(&rig, &plain, "redeliver").await.json()["timestamp_fresh"], Value::Null);

    let refused = recorded(&rig, &oktave(2).call("/hooks/oktave").set("Oktave-Timestamp", "1")).await;
    let not_kept = recorded(&rig, &Call::post(&format!("/hooks/octolis?api-key={KEY}"))).await;
    let seen = rig.app.seen().len();
    for (id, status, code) in [
        (&*refused, 409, "unverified"),
        (&*not_kept, 409, "body_not_kept"),
        ("1a2035baf19bf97aeced650444a", 404, "unknown_event"),
    ] {
        let fetched = act(&rig, id, "redeliver").await;
        assert_eq!((fetched.status, &fetched.json()["code"]), (status, &json!(code)));
    }
    rig.apply(|setup| setup.rest = setup.rest.replace("[routes.oktave]", "[routes.other]")).await;
    let fetched = act(&rig, &id, "redeliver").await;
    assert_eq!((fetched.status, &fetched.json()["code"]), (409, &json!("route_gone")));
    assert_eq!(rig.app.seen().len(), seen, "nothing of that went inward");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_redelivery_is_an_answer_too() {
    let rig = Rig::with_app(setup(), honest::status(500).await).await;
    let id = recorded(&rig, &plain("x")).await;
    let fetched = act(&rig, &id, "redeliver").await;
    let report = fetched.json();
    assert_eq!((fetched.status, &report["delivered"]), (200, &json!(false)));
    assert_eq!((&report["fault"], &report["status"]), (&json!("upstream_status"), &json!(500)));
    rig.finish().await;
}

/// The one attempt that the route allows fails.
async fn dead_letter(rig: &Rig) -> String {
    let answer = rig.send(Protocol::H1, &Call::post("/hooks/queue").body("dead")).await;
    assert_eq!(answer.status, 200);
    let id = answer.id().to_owned();
    eventually("a dead letter", async || event(rig, &id).await["state"] == "dead").await;
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_retried_or_given_up() {
    let rig = Rig::with_app(setup(), refuses_twice().await).await;
    let (first, second) = (dead_letter(&rig).await, dead_letter(&rig).await);
    let dead: BTreeSet<_> = ids(&list(&rig, "state=dead").await).into_iter().collect();
    assert_eq!(dead, [first.clone(), second.clone()].into());
    let fetched = act(&rig, &first, "redeliver").await;
    assert_eq!((fetched.status, &fetched.json()["code"]), (409, &json!("dead")));
    assert_eq!(rig.fetch("GET", &format!("/api/v1/events/{first}/body")).await.body, b"dead");

    let retried = act(&rig, &first, "retry").await;
    assert_eq!((retried.status, retried.json()), (200, json!({ "id": first, "state": "waiting" })));
    eventually("its delivery", async || event(&rig, &first).await["outcome"] == "delivered").await;
    let shown = event(&rig, &first).await;
    assert_eq!((&shown["state"], &shown["due"]), (&Value::Null, &Value::Null));
    assert_eq!(shown["history"].as_array().unwrap().len(), 2, "{shown}");
    let again = act(&rig, &first, "retry").await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("not_retryable")));

    let discarded = act(&rig, &second, "discard").await;
    assert_eq!((discarded.status, discarded.json()), (200, json!({ "id": second, "state": "discarded" })));
    let shown = event(&rig, &second).await;
    assert_eq!((&shown["outcome"], &shown["state"]), (&json!("discarded"), &Value::Null));
    let again = act(&rig, &second, "discard").await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!("not_waiting")));
    for what in ["retry", "discard"] {
        let fetched = act(&rig, "1a2035baf19bf97aeced650444a", what).await;
        assert_eq!((fetched.status, &fetched.json()["code"]), (404, &json!("unknown_event")), "{what}");
    }
    assert_eq!(ids(&list(&rig, "state=dead").await), [""; 0]);
    rig.finish().await;
}

/// An application that has trouble with its first two requests.
async fn refuses_twice() -> Peer {
    let left = std::sync::atomic::AtomicU32::new(2);
    honest::answers(move |_| {
        let trouble = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if trouble { "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n".to_owned() } else { honest::OK.to_owned() }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_shown_as_waiting() {
    let setup = Setup { rest: ROUTES.replace("attempts = 1", "attempts = 5"), ..setup() };
    let rig = Rig::with_app(setup, nobody().await).await;
    let answer = rig.send(Protocol::H1, &Call::post("/hooks/queue")).await;
    let id = answer.id();
    eventually("a failed attempt", async || event(&rig, id).await["due"].is_string()).await;
    let shown = event(&rig, id).await;
    assert_eq!((&shown["outcome"], &shown["state"]), (&json!("accepted"), &json!("waiting")));
    assert_eq!(ids(&list(&rig, "state=waiting").await), [id]);
    assert_eq!(act(&rig, id, "discard").await.status, 200);
    assert_eq!(ids(&list(&rig, "state=waiting").await), [""; 0]);
    rig.finish().await;
}

/// A request that took long is recorded late, with an earlier time than those before it: whoever follows sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_see_what_is_recorded_and_in_that_order() {
    let (app, gate) = held::held().await;
    let rig = Rig::with_app(setup(), app).await;
    gate.release(1);
    let before = recorded(&rig, &plain("before")).await;
    let start = list(&rig, "order=asc&wait=0s").await;
    assert_eq!(ids(&start), [""; 0], "from now on");
    let next = |page: &Value| page["next"].as_str().unwrap().to_owned();

    let mut slow = rig.connect().await;
    slow.send(&plain("slow").h1()).await;
    eventually("it is inside", async || rig.app.seen().len() == 2).await;
    rig.clock.advance(Duration::from_secs(5));
    // Refused at once, and so recorded first.
    let path = format!("order=asc&wait=20s&after={}", next(&start));
    let refused = Call::post("/hooks/octolis");
    let (page, quick) = tokio::join!(list(&rig, &path), rig.send(Protocol::H1, &refused));
    assert_eq!(ids(&page), [quick.id()]);
    gate.release(1);
    let answer = slow.answer().await;
    let path = format!("order=asc&wait=20s&after={}", next(&page));
    let late = list(&rig, &path).await;
    assert_eq!(ids(&late), [answer.id()]);
    assert!(late["events"][0]["received_at"].as_str() < page["events"][0]["received_at"].as_str());
    // Filters hold here too, and an answer without rows says where to go on.
    let none = list(&rig, &format!("order=asc&wait=0s&route=octolis&after={}", next(&page))).await;
    assert_eq!((ids(&none), next(&none) == next(&page)), (vec![], false));

    // From a time on: what is there, then what comes; another process's bookmark is one from a time on.
    for after in [format!("since={NOW}"), format!("after=f1.1.{}000", NOW + 1)] {
        let page = list(&rig, &format!("order=asc&wait=0s&{after}")).await;
        assert_eq!(ids(&page), [&before, answer.id(), quick.id()], "{after}");
        assert!(next(&page).starts_with('f'));
    }
    let page = list(&rig, &format!("order=asc&wait=1s&limit=2&since={NOW}")).await;
    assert_eq!(ids(&page), [&before, answer.id()]);
    let rest = list(&rig, &format!("order=asc&wait=1s&after={}", next(&page))).await;
    assert_eq!(ids(&rest), [quick.id()]);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_may_wait() {
    let rig = rig().await;
    let socket = rig.socket().to_owned();
    let path = "/api/v1/events?order=asc&wait=60s";
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let socket = socket.clone();
        waiting.spawn(async move {
            // The question below may have had the last place for a moment.
            while fetch(UnixStream::connect(&socket).await.unwrap(), "GET", path, "localhost").await.status == 503 {}
        });
    }
    eventually("all places are taken", async || {
        let fetched = rig.fetch("GET", "/api/v1/events?order=asc&wait=0s").await;
        fetched.status == 503 && fetched.json()["code"] == "busy"
    })
    .await;
    assert_eq!(rig.fetch("GET", "/api/v1/events").await.status, 200, "lists are not held up");
    waiting.shutdown().await;
    // Whoever goes away leaves its place.
    eventually("places are free", async || rig.fetch("GET", "/api/v1/events?order=asc&wait=0s").await.status == 200)
        .await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store() {
    let rig = Rig::plain().await;
    let id = "1a2035baf19bf97aeced650444a";
    for (method, path) in [
        ("GET", "/api/v1/events".to_owned()),
        ("GET", "/api/v1/events?order=asc&wait=20s".to_owned()),
        ("GET", format!("/api/v1/events/{id}")),
        ("GET", format!("/api/v1/events/{id}/body")),
        ("GET", format!("/api/v1/events/{id}/explain")),
        ("POST", format!("/api/v1/events/{id}/redeliver")),
        ("POST", format!("/api/v1/events/{id}/retry")),
        ("POST", format!("/api/v1/events/{id}/discard")),
        ("POST", "/api/v1/waiting/retry".to_owned()),
    ] {
        let fetched = rig.fetch(method, &path).await;
        let expected = json!({ "error": "no store is configured: add [store]", "code": "no_store" });
        assert_eq!((fetched.status, fetched.json()), (404, expected), "{method} {path}");
    }
    rig.finish().await;
}

/// Over TCP nobody knows who calls: metrics and health, and nothing of events.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_events_is_shown_or_done_over_tcp() {
    let rig = Rig::start(setup()).await;
    let id = recorded(&rig, &plain("canary-body")).await;
    for (method, path) in [
        ("GET", "/api/v1/events".to_owned()),
        ("GET", format!("/api/v1/events/{id}")),
        ("GET", format!("/api/v1/events/{id}/body")),
        ("GET", format!("/api/v1/events/{id}/explain")),
        ("POST", format!("/api/v1/events/{id}/redeliver")),
        ("POST", format!("/api/v1/events/{id}/discard")),
        ("POST", "/api/v1/waiting/retry".to_owned()),
    ] {
        let stream = TcpStream::connect(rig.scrape()).await.unwrap();
        let fetched = fetch(stream, method, &path, "localhost").await;
        let text = String::from_utf8(fetched.body).unwrap();
        assert_eq!(fetched.status, 403, "{method} {path}: {text}");
        assert!(text.contains("scrape_only") && !text.contains("canary"), "{text}");
    }
    assert_eq!(rig.app.seen().len(), 1, "nothing was redelivered");
    rig.finish().await;
}
