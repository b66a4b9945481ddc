//! Which requests are one: ids of events and of deliveries, two secrets on one route, bodies that repeat, late retries.

use std::time::Duration;

use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::peers::honest;
use crate::harness::{Answer, Call, NOW, Protocol, Rig, Setup, base64_hmac, hex_hmac};

const A: &str = "secret-0123456789abcdef";
const B: &str = "secret-fedcba9876543210";

/// A route of a recipe with two secrets and nothing else said.
fn route(provider: &str) -> Setup {
    let route = format!(
        "[routes.hook]\npath = \"/hook\"\nprovider = \"{provider}\"\nupstream = \"app\"\n\
         secrets = [{{ file = \"a\" }}, {{ file = \"b\" }}]\n"
    );
    Setup::routes(&route).file("a", A).file("b", B)
}

fn github(event: &str, secret: &str, id: &str, body: &str) -> Call {
    Call::post("/hook")
        .field("Content-Type", "application/json")
        .field("X-GitHub-Event", event)
        .field("X-GitHub-Delivery", id)
        .field("X-Hub-Signature-256", &format!("sha256={}", hex_hmac(secret, body)))
        .body(body)
}

fn gitlab(event: &str, body: &str) -> Call {
    Call::post("/hook").field("X-Gitlab-Token", A).field("X-Gitlab-Event-UUID", event).body(body)
}

fn stripe(target: &str, secret: &str, at: i64, body: &str) -> Call {
    let signature = format!("t={at},v1={}", hex_hmac(secret, format!("{at}.{body}")));
    Call::post(target).field("Stripe-Signature", &signature).body(body)
}

/// Answered as a success, told as a duplicate, and not seen inside.
async fn duplicate(rig: &Rig, call: &Call) {
    let before = rig.app.count();
    let answer = rig.send(Protocol::H1, call).await;
    assert_eq!(answer.status, 200, "{call:?}");
    assert_eq!(rig.log.of(answer.id()).await["outcome"], "duplicate", "{call:?}");
    assert_eq!(rig.app.count(), before, "{call:?}");
}

async fn delivered(rig: &Rig, call: &Call) -> Answer {
    rig.delivers(Protocol::H1, call).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_of_github_goes_to_every_hook() {
    let rig = Rig::start(route("github")).await;
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let (first, second) = (github("push", A, id, "{\"a\":1}"), github("push", B, id, "{\"a\":2}"));
    delivered(&rig, &first).await;
    delivered(&rig, &second).await;
    // A third hook whose copy is the first one's, byte for byte.
    delivered(&rig, &github("push", B, id, "{\"a\":1}")).await;
    delivered(&rig, &github("push", A, id, "{\"a\":3}")).await;
    for redelivered in [&first, &second] {
        duplicate(&rig, redelivered).await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invented_ids_and_events_make_no_new_request_of_a_captured_one() {
    let rig = Rig::start(route("github")).await;
    let body = "{\"ref\":\"refs/heads/main\"}";
    delivered(&rig, &github("push", A, "first", body)).await;
    let remembered = rig.running().state().dedupe.len();
    for event in ["push", "member", "workflow_dispatch", "label"] {
        for invented in 0..20 {
            duplicate(&rig, &github(event, A, &format!("invented-{invented}"), body)).await;
        }
    }
    assert_eq!(rig.running().state().dedupe.len(), remembered, "they take no room either");
    rig.finish().await;
}

/// Somebody is added, removed and added again: GitHub's words are the same both times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_twice_in_the_same_words_arrives_twice() {
    let rig = Rig::start(route("github")).await;
    for (event, body) in [
        ("member", "{\"action\":\"added\",\"member\":{\"id\":7}}"),
        ("workflow_dispatch", "{\"inputs\":null,\"workflow\":\".github/workflows/x.yml\"}"),
        ("repository_dispatch", "{\"action\":\"go\",\"branch\":\"main\",\"client_payload\":{}}"),
    ] {
        let (once, again) = (github(event, A, "d-1", body), github(event, A, "d-2", body));
        delivered(&rig, &once).await;
        delivered(&rig, &again).await;
        duplicate(&rig, &once).await;
        duplicate(&rig, &again).await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_one_push_to_gitlab_all_arrive() {
    let rig = Rig::start(route("gitlab")).await;
    for tag in 1..=3 {
        delivered(&rig, &gitlab("e-1", &format!("{{\"ref\":\"refs/tags/v{tag}\"}}"))).await;
    }
    duplicate(&rig, &gitlab("e-1", "{\"ref\":\"refs/tags/v2\"}")).await;
    // A tag that was made, deleted and made again.
    delivered(&rig, &gitlab("e-2", "{\"ref\":\"refs/tags/v2\"}")).await;
    // Two hooks that have one secret.
    for hook in ["project", "group"] {
        let call = gitlab("e-3", "{}").field("X-Gitlab-Webhook-UUID", hook);
        delivered(&rig, &call).await;
        duplicate(&rig, &call).await;
    }
    // From 17.4 on each delivery has a key of its own.
    for key in ["k-1", "k-2"] {
        let call = gitlab("e-3", "{}").field("Idempotency-Key", key);
        delivered(&rig, &call).await;
        duplicate(&rig, &call).await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_endpoints_of_stripe_on_one_url_both_get_the_event() {
    let rig = Rig::start(route("stripe")).await;
    let body = "{\"id\":\"evt_1\",\"pending_webhooks\":1}";
    delivered(&rig, &stripe("/hook?version=new", B, NOW, body)).await;
    delivered(&rig, &stripe("/hook", A, NOW, body)).await;
    // A retry has a time, a signature and a count of its own.
    let retried = body.replace(":1}", ":0}");
    duplicate(&rig, &stripe("/hook?version=new", B, NOW + 60, &retried)).await;
    duplicate(&rig, &stripe("/hook", A, NOW + 60, &retried)).await;
    delivered(&rig, &stripe("/hook", A, NOW, "{\"id\":\"evt_2\"}")).await;
    rig.finish().await;
}

/// What `check` says of this route beforehand is in tests/fixtures/config/good/without-an-id.toml.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_id_equal_bodies_are_one_request() {
    let scheme = "[routes.hook]\npath = \"/hook\"\nsecrets = [{ file = \"a\" }]\nupstream = \"app\"\n\
                  verify.hmac = { algorithm = \"sha256\", signature = { header = \"X-Sig\" }, message = \"{body}\" }\n";
    let call = |body: &str| Call::post("/hook").field("X-Sig", &hex_hmac(A, body)).body(body);
    let mut rig = Rig::start(Setup::routes(scheme).file("a", A)).await;
    delivered(&rig, &call("{}")).await;
    duplicate(&rig, &call("{}")).await;
    delivered(&rig, &call("{} ")).await;
    rig.apply(|setup| setup.rest.push_str("dedupe = { off = true }\n")).await;
    delivered(&rig, &call("{}")).await;
    delivered(&rig, &call("{}")).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_line_is_known_by_all_of_its_events() {
    let rig = Rig::start(route("line")).await;
    let batch = |ids: &[&str], again: bool| {
        let event =
            |id: &&str| format!("{{\"webhookEventId\":\"{id}\",\"deliveryContext\":{{\"isRedelivery\":{again}}}}}");
        let body = format!("{{\"events\":[{}]}}", ids.iter().map(event).collect::<Vec<_>>().join(","));
        Call::post("/hook").field("X-Line-Signature", &base64_hmac(A, &body)).body(body)
    };
    delivered(&rig, &batch(&["01A"], false)).await;
    delivered(&rig, &batch(&["01A", "01B"], false)).await;
    duplicate(&rig, &batch(&["01A"], true)).await;
    duplicate(&rig, &batch(&["01A", "01B"], true)).await;
    rig.finish().await;
}

/// Linear's retries are the same bytes after a minute, an hour and six more; Zoom's may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_retry_of_a_provider_is_still_taken_and_known() {
    let linear = |at: i64, n: u32| {
        let body = format!("{{\"webhookTimestamp\":{},\"n\":{n}}}", at * 1000);
        Call::post("/hook").field("Linear-Delivery", "d").field("Linear-Signature", &hex_hmac(A, &body)).body(body)
    };
    let zoom = |at: i64, n: u32| {
        let body = format!("{{\"event_ts\":{},\"n\":{n}}}", at * 1000);
        let signature = hex_hmac(A, format!("v0:{at}:{body}"));
        Call::post("/hook")
            .field("x-zm-request-timestamp", &at.to_string())
            .field("x-zm-signature", &format!("v0={signature}"))
            .body(body)
    };
    for (provider, late, stale) in
        [("linear", [61, 3661, 7 * 3600 + 60], 8 * 3600 + 1), ("zoom", [301, 35 * 60, 125 * 60], 3 * 3600 + 1)]
    {
        let call = |at, n| if provider == "linear" { linear(at, n) } else { zoom(at, n) };
        let rig = Rig::start(route(provider)).await;
        for (age, n) in late.iter().zip(0..) {
            delivered(&rig, &call(NOW - age, n)).await;
            duplicate(&rig, &call(NOW - age, n)).await;
        }
        rig.refused(Refusal::TimestampStale, rig.send(Protocol::H1, &call(NOW - stale, 9))).await;
        // What was delivered once is known for as long as its time is good.
        let first = call(NOW, 10);
        delivered(&rig, &first).await;
        rig.clock.advance(Duration::from_secs(u64::try_from(stale - 2).unwrap()));
        duplicate(&rig, &first).await;
        rig.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_push_of_github_is_taken_by_default() {
    let rig = Rig::start(route("github")).await;
    let pushed = |bytes: usize| github("push", A, "d", &"x".repeat(bytes));
    delivered(&rig, &pushed(1_572_864)).await;
    assert_eq!(rig.app.last().body.len(), 1_572_864);
    // Refused by its length, before any of it is read; a byte less is waited for.
    let head = pushed((25 << 20) + 1).h1_head();
    rig.refused(Refusal::BodyTooLarge, rig.raw(&head)).await;
    assert!(rig.snapshot().routes.iter().all(|route| route.max_body == 25 << 20));
    rig.finish().await;

    let mut own = route("github");
    own.rest.push_str("max_body = \"1MiB\"\n");
    let rig = Rig::start(own).await;
    rig.refused(Refusal::BodyTooLarge, rig.raw(&pushed(1_572_864).h1_head())).await;
    rig.finish().await;
}

/// The application may trust the id of our own signature: one for each request, the same for each attempt at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_we_sign_with_tells_requests_apart() {
    let mut setup = route("github").variable("APP", "abcdefabcdefabcdefabcdefabcdef");
    setup.rest.push_str("sign_with = [{ env = \"APP\" }]\n");
    let rig = Rig::with_app(setup, honest::ok().await).await;
    let id = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let mut ids = std::collections::BTreeSet::new();
    for (secret, body) in [(A, "{\"a\":1}"), (B, "{\"a\":1}"), (A, "{\"a\":2}")] {
        delivered(&rig, &github("push", secret, id, body)).await;
        ids.insert(rig.app.last().field("webhook-id").unwrap().to_owned());
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
    rig.finish().await;
}

/// An operator who looks for a delivery's id finds it, whatever stands beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_found_by_its_id_and_by_all_it_is_known_by() {
    let routes = route("shopify").rest;
    let rig = Rig::start(Setup::stored(&routes).file("a", A).file("b", B)).await;
    let call =
        Call::post("/hook").field("X-Shopify-Webhook-Id", "w-1").field("X-Shopify-Hmac-Sha256", &base64_hmac(A, "{}"));
    let answer = delivered(&rig, &call).await;
    let known = rig.row(answer.id()).await.entry.dedupe.unwrap();
    assert!(known.starts_with("h:w-1 s:"), "{known}");
    for (text, found) in [("h:w-1", 1), (&*known, 1), ("h:w", 0), ("h:w-1 s", 0)] {
        let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page: Value = rig.fetch("GET", &format!("/api/v1/events?dedupe={text}")).await.json();
        assert_eq!(page["events"].as_array().unwrap().len(), found, "{text}");
    }
    rig.finish().await;
}
