//! G2: what of a genuine request's head goes to the upstream, behind every recipe. Nothing does that is not listed, whatever its
//! spelling; and what is listed is enough for the application to verify the request again.

use dmz_relay::base::UnixMillis;
use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::runtime::snapshot::{Route, Verification};
use dmz_relay::scheme::Verifier;

use crate::harness::{BOTH, Call, NOW, Protocol, Rig, Setup};
use crate::recipes::Sender;

pub const FORGED: &str = "forged-canary";

/// Names that steer some application, framework, agent or server; spellings that fold into one of the relay's; and names that
/// merely belong to no webhook.
pub const FIELDS: &[&str] = &[
    "Proxy",
    "Via",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Ssl",
    "X-Forwarded-Path",
    "X-Forwarded",
    "X_Forwarded_For",
    "X.Forwarded.For",
    "X-Forwarded_For",
    "X-Real-IP",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Cluster-Client-IP",
    "Client-IP",
    "X-Original-URL",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-Forwarded-For",
    "X-Rewrite-URL",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "X-HTTP-Method.Override",
    "X_HTTP_Method_Override",
    "X-Middleware-Subrequest",
    "X-Middleware-Rewrite",
    "X-Envoy-Original-Path",
    "X-Envoy-Internal",
    "X-Envoy-External-Address",
    "Remote-User",
    "Remote-Groups",
    "Remote_User",
    "X-Remote-User",
    "X-Auth-Request-User",
    "X-Authentik-Username",
    "X-Webauth-User",
    "SSL-Client-Verify",
    "SSL-Client-S-Dn",
    "X-SSL-Client-Verify",
    "X-SSL-Client-Cert",
    "X-Client-Cert",
    "Client-Cert",
    "X-ARR-ClientCert",
    "X-Amzn-Oidc-Data",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Mtls-Clientcert",
    "X-Goog-Authenticated-User-Email",
    "X-Goog-Iap-Jwt-Assertion",
    "X-Ms-Client-Principal",
    "X-Ms-Client-Principal-Id",
    "Cf-Access-Jwt-Assertion",
    "Tailscale-User-Login",
    "X-Accel-Redirect",
    "X-Accel-Buffering",
    "X-Sendfile",
    "X-Sendfile-Type",
    "Relay-Route",
    "Relay-Key",
    "Relay-Redelivery",
    "Relay.Replay",
    "Relay_Redelivery",
    "Relay-Anything",
    "relay+attempt",
    "Relay~Attempt",
    "Cookie",
    "Cookie2",
    "Authorization",
    "Proxy-Authorization",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "X-B3-TraceId",
    "X-B3-Sampled",
    "Uber-Trace-Id",
    "X-Request-Id",
    "X_Request_Id",
    "X-Correlation-Id",
    "X-Amzn-Trace-Id",
    "X-Cloud-Trace-Context",
    "Sentry-Trace",
    "X-Datadog-Trace-Id",
    "Newrelic",
    "Content_Type",
    "Content.Type",
    "Content-Type!",
    "X-Tenant",
    "X-Whatever",
    "Accept-Encoding",
    "Range",
    "If-Match",
    "Origin",
    "Referer",
    "X-Requested-With",
    "X-Debug",
    "X-Csrf-Token",
    "X!Bang",
    "X'Quote",
    "X^A",
    "X|A",
    "X~A",
];

/// Query members that steer, and spellings of the configured `api-key`.
pub const MEMBERS: &[&str] = &[
    "_method",
    "_METHOD",
    "%5Fmethod",
    "_method[]",
    "x-http-method-override",
    "X-HTTP-Method",
    "api-key",
    "API-KEY",
    "api_key",
    "api.key",
    "api+key",
    "api%2Dkey",
    "%61pi-key",
    "api-key[]",
    "api-key%5B%5D",
    "[api-key]",
    "+api-key",
    "api-key%00x",
];

/// One route for each recipe.
fn setup(senders: &[Sender]) -> Setup {
    let more = "upstream_query = { \"api-key\" = \"configured\" }";
    let routes: String = senders.iter().map(|sender| sender.route(more)).collect();
    let setup = Setup::routes(&routes).limits("max_headers = 250\nmax_head = \"64KiB\"");
    senders.iter().flat_map(Sender::files).fold(setup, |setup, (name, content)| setup.file(&name, content))
}

fn verifier(route: &Route) -> &Verifier {
    match &route.verify {
        Verification::Signed(verifier) => verifier,
        Verification::DangerouslyNone => panic!("{} verifies", route.name),
    }
}

/// A genuine request of the provider with these members before its own. Each number is another event.
pub fn genuine(sender: &Sender, path: &str, members: &str, number: usize) -> Call {
    let target = format!("{path}?a=1{members}&&b=2");
    let id = format!("0191e2a4-7b1c-7c3e-9f00-{number:012x}");
    let sent = sender.send(0, &target, &id, number, UnixMillis::from_secs(NOW));
    let call = Call::post(&sent.target).method(sent.method.as_str()).body(&sent.body);
    let call = sent.fields.iter().fold(call, |call, (name, value)| call.field(name, value));
    call.field("User-Agent", "provider/1")
}

/// Taken as the provider wants it, and seen inside once.
async fn delivers(rig: &Rig, protocol: Protocol, call: &Call) {
    let before = rig.app.count();
    let answer = rig.send(protocol, call).await;
    let line = || rig.log.text().lines().last().unwrap_or_default().to_owned();
    assert!((200..300).contains(&answer.status) && rig.app.count() == before + 1, "{answer:?} {call:?}: {}", line());
}

/// Names that HTTP/2 itself forbids, or that end a request before there is a question.
fn speakable(protocol: Protocol, name: &str) -> bool {
    protocol == Protocol::H1 || !["proxy-connection", "upgrade", "te"].contains(&name.to_ascii_lowercase().as_str())
}

/// Whatever stands beside a genuine request stays outside, and the rest is what the provider sent: the application verifies it with
/// the provider's own scheme.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_hostile_goes_to_an_application_behind_any_recipe() {
    assert!(FIELDS.len() >= 60 && MEMBERS.len() >= 10);
    let senders = Sender::all();
    let rig = Rig::start(setup(&senders)).await;
    let snapshot = rig.snapshot();
    let mut number = 0;
    for sender in &senders {
        let route = snapshot.routes.iter().find(|route| &*route.name == sender.name()).unwrap();
        for protocol in BOTH {
            number += 1;
            let read = sender.recipe.scheme.headers_read();
            let read = |name: &str| read.iter().any(|known| known.eq_ignore_ascii_case(name));
            let belongs = |name: &str| read(name) || sender.recipe.forwarded().passes(name);
            let hostile: Vec<_> = FIELDS.iter().filter(|name| speakable(protocol, name) && !belongs(name)).collect();
            // What belongs to a webhook is one of these at most, so that a list that lets everything in is noticed.
            let known = |name: &&&str| ["Authorization", "X-Request-Id"].contains(*name) || !belongs(name);
            assert!(FIELDS.iter().all(|name| known(&name)), "{}: too much belongs to it", route.name);
            let genuine = genuine(sender, &sender.path(), "", number);
            let call = hostile.iter().fold(genuine.clone(), |call, name| call.field(&name.to_lowercase(), FORGED));
            delivers(&rig, protocol, &call).await;
            let seen = rig.app.last();
            assert!(!seen.head.contains(FORGED), "{}: {}", route.name, seen.head);
            assert_eq!(seen.all("X-Forwarded-For"), ["127.0.0.1"], "{}", route.name);
            assert_eq!(seen.field("User-Agent"), Some("provider/1"), "{}", route.name);
            assert!(seen.target().ends_with("&api-key=configured"), "{}", seen.target());

            // The token in the query is the one thing that is taken out on purpose.
            if route.forward.strip_query.is_empty() {
                let target = seen.target().strip_suffix("&api-key=configured").unwrap();
                assert_eq!(target, genuine.target, "{}", route.name);
                let method = Method::parse(&genuine.method);
                let mut head = Head::builder(method, Version::Http11).target(target).host("relay.example");
                for (name, value) in seen.head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
                    head = head.header(name, value);
                }
                let again = verifier(route).verify(&head.build(), &seen.body, UnixMillis::from_secs(NOW));
                assert!(again.is_ok(), "{} cannot be verified again: {again:?}\n{}", route.name, seen.head);
            }
        }
    }
    rig.finish().await;
}

/// A member that steers, or that the configuration sets, is replaced in every spelling; what stands beside it is not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_member_of_the_query_passes_for_a_configured_one_behind_any_recipe() {
    let senders = Sender::all();
    let rig = Rig::start(setup(&senders)).await;
    let snapshot = rig.snapshot();
    for (at, sender) in senders.iter().enumerate() {
        let route = snapshot.routes.iter().find(|route| &*route.name == sender.name()).unwrap();
        // Where the token itself has the name, another one of it is a repetition, and refused.
        let is_token = |member: &str| ["api-key", "api%2Dkey", "%61pi-key"].contains(&member);
        let strips = !route.forward.strip_query.is_empty();
        let members: Vec<&str> = MEMBERS.iter().copied().filter(|member| !strips || !is_token(member)).collect();
        for (more, separator) in ["&", ";"].into_iter().enumerate() {
            let forged: String = members.iter().map(|member| format!("{separator}{member}={FORGED}")).collect();
            let number = 1_000 + 2 * at + more;
            delivers(&rig, Protocol::H1, &genuine(sender, &sender.path(), &forged, number)).await;
            let seen = rig.app.last();
            assert!(!seen.head.contains(FORGED), "{}: {}", route.name, seen.target());
            assert!(seen.target().contains("?a=1&&b=2"), "{}: {}", route.name, seen.target());
            assert!(seen.target().ends_with("&api-key=configured"), "{}: {}", route.name, seen.target());
        }
    }
    rig.finish().await;
}

/// An operator's list adds to the recipe's, in any case; what the file sets replaces the sender's in every spelling; and trace
/// context is kept for listed senders only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_names_more_and_sets_what_nobody_else_can() {
    let route = |name: &str, more: &str| {
        format!("[routes.{name}]\npath = \"/{name}\"\nverify.dangerously_none = true\nupstream = \"app\"\n{more}\n")
    };
    let routes = [
        route("bare", ""),
        route(
            "more",
            "forward_headers = [\"X-Acme-*\", \"x-tenant\", \"Cookie\"]\nheaders = { \"X-Required\" = true }",
        ),
        route(
            "set",
            "forward_headers = [\"X-Acme-*\"]\nupstream_headers = { \"X_Acme_Key\" = \"ours\", \"X-Tenant\" = \"ours\" }",
        ),
        route("traced", "trust_trace_from = [\"127.0.0.0/8\"]"),
        route("untraced", "trust_trace_from = [\"192.0.2.0/24\"]"),
    ];
    let rig = Rig::start(Setup::routes(&routes.concat())).await;
    for protocol in BOTH {
        let sent = |path: &str| {
            let fields = [
                "x-acme-event",
                "x-acme-key",
                "x-acme_more",
                "x-tenant",
                "x-required",
                "cookie",
                "traceparent",
                "baggage",
                "b3",
            ];
            fields.iter().fold(Call::post(path), |call, name| call.field(name, "theirs"))
        };
        for (path, theirs) in [
            ("/bare", &[][..]),
            ("/more", &["x-acme-event", "x-acme-key", "x-tenant", "x-required", "cookie"]),
            ("/set", &["x-acme-event"]),
            ("/traced", &["traceparent", "baggage"]),
            ("/untraced", &[]),
        ] {
            rig.delivers(protocol, &sent(path)).await;
            let seen = rig.app.last();
            let lines = seen.head.lines().filter_map(|line| line.split_once(": "));
            let came: Vec<&str> = lines.filter(|(_, value)| *value == "theirs").map(|(name, _)| name).collect();
            assert_eq!(came, theirs, "{path}: {}", seen.head);
            if path == "/set" {
                assert_eq!((seen.field("X_Acme_Key"), seen.field("X-Tenant")), (Some("ours"), Some("ours")));
            }
        }
    }
    rig.finish().await;
}
