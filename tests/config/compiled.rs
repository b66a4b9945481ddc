//! What good files become.

use std::sync::Arc;
use std::time::Duration;

use dmz_relay::config::Loaded;
use dmz_relay::domain::Method;
use dmz_relay::guards::access::{IpSet, Verdict};
use dmz_relay::runtime::routing::Found;
use dmz_relay::runtime::snapshot::{
    AddressCheck, AnswerPolicy, Delivery, InactivityAlert, ListenAddress, Retry, Route, Snapshot, Verification,
};
use dmz_relay::runtime::state::State;
use dmz_relay::store::Settings;

use crate::material::{Material, fixtures};

fn good(material: &Material, name: &str) -> Loaded {
    let text = fixtures("good").into_iter().find(|(found, _)| found == name).expect("the fixture").1;
    material.load(&text).unwrap_or_else(|report| panic!("{report}"))
}

fn route<'s>(snapshot: &'s Snapshot, host: &str, path: &str) -> &'s Arc<Route> {
    match snapshot.routes.find(host, path) {
        Found::Route(route, _) => route,
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn the_least_file_has_the_recipe_s_and_the_house_s_defaults() {
    let material = Material::new();
    let Loaded { snapshot, warnings, .. } = good(&material, "least");
    assert!(warnings.is_empty(), "{warnings:?}");
    let route = route(&snapshot, "any.example", "/hooks/github");
    assert_eq!(route.provider.as_deref(), Some("github"));
    assert_eq!((route.methods.as_slice(), route.allow_header), (&[Method::Post][..], "POST"));
    assert!(matches!(route.verify, Verification::Signed(_)));
    assert!(!route.access.restricts());
    assert_eq!(route.address_check, AddressCheck::Enforce);
    assert_eq!(route.max_body, 25 << 20, "GitHub sends no more");
    assert!(route.deadline < Duration::from_secs(10), "below GitHub's limit: {:?}", route.deadline);
    assert!(!route.challenges.is_empty(), "GitHub's ping is answered here");
    assert!(matches!(&route.answer, AnswerPolicy::Fixed(answer) if answer.status / 100 == 2));
    let listener = &snapshot.listeners[0];
    assert_eq!(listener.address, ListenAddress::Tcp("127.0.0.1:8443".parse().expect("an address")));
    assert!(listener.admits.is_none(), "a route without a list admits every address");
    let tls = listener.tls.as_ref().expect("TLS");
    assert_eq!(tls.certificates[0].names, ["hooks.example.com", "*.hooks.example.com"]);
    assert_eq!(tls.server.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(tls.server.max_early_data_size, 0);
    assert!(snapshot.admin.is_none());
    assert_eq!(snapshot.limits.max_connections, 20_000);
}

#[test]
fn every_file_that_was_read_is_watched() {
    let material = Material::new();
    let snapshot = good(&material, "least").snapshot;
    let files: Vec<_> =
        ["relay.toml", "secrets/good", "certs/relay.crt", "certs/relay.key"].map(|f| material.path(f)).into();
    assert_eq!(snapshot.files, files);
}

#[test]
fn the_digest_follows_every_file() {
    let material = Material::new();
    let before = good(&material, "least").snapshot.digest;
    assert_eq!(good(&material, "least").snapshot.digest, before);
    material.put("secrets/good", "another-secret-0123456789", 0o600);
    assert_ne!(good(&material, "least").snapshot.digest, before);
}

#[test]
fn a_scheme_of_one_s_own_is_as_good_as_a_provider() {
    let material = Material::new();
    let snapshot = good(&material, "own-scheme-and-provider").snapshot;
    assert_eq!(route(&snapshot, "x", "/hooks/github").provider.as_deref(), Some("house"));
    let legacy = route(&snapshot, "HOOKS.example.com:8443", "/legacy/a/b");
    assert_eq!(legacy.provider, None);
    assert_eq!(legacy.allow_header, "POST, PUT");
    assert_eq!(legacy.forward.path.as_deref(), Some("/in"));
    assert_eq!(legacy.limits.rate.map(|rate| (rate.per_second, rate.burst)), Some((0.5, 1)));
    assert_eq!(legacy.headers.len(), 2);
    assert!(matches!(&legacy.answer, AnswerPolicy::Fixed(answer) if answer.status == 202 && &answer.body[..] == b"ok"));
    assert!(matches!(snapshot.routes.find("other.example", "/legacy/a"), Found::UnknownPath));
}

#[test]
fn values_of_the_forwarded_request_are_secrets() {
    let material = Material::new();
    let snapshot = good(&material, "every-form-of-secret").snapshot;
    let forward = &route(&snapshot, "x", "/hooks/github").forward;
    let header = |name: &str| forward.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.expose());
    assert_eq!(header("X-Source"), Some(&b"relay"[..]));
    assert_eq!(header("X-Key"), Some(&b"canary-7f3a-variable-0123456789"[..]));
    assert_eq!(forward.query[0].1.expose(), b"canary-7f3a-second-0123456789abcdef");
}

#[test]
fn a_listener_admits_the_union_of_lists_and_its_proxies() {
    let material = Material::new();
    let text = fixtures("good").into_iter().find(|(name, _)| name == "plain-behind-a-balancer").expect("one").1;
    let text = text.replace("provider = \"github\"", "provider = \"github\"\nallow = [\"198.51.100.7\"]");
    let snapshot = material.load(&text).unwrap_or_else(|report| panic!("{report}")).snapshot;
    let nets = ["192.0.2.0/24", "198.51.100.7/32"].map(|net| net.parse().expect("a network"));
    assert_eq!(snapshot.listeners[0].admits, Some(IpSet::new(nets)));
    assert_eq!(judged(&snapshot, "/hooks/github", "198.51.100.7"), Verdict::Admitted(Some("198.51.100.7")));
    assert_eq!(judged(&snapshot, "/hooks/github", "192.0.2.1"), Verdict::Unlisted);
    // What every route denies need not be let in; what one observes must be.
    let denying =
        text.replace("allow = [\"198.51.100.7\"]", "allow = [\"198.51.100.0/30\"]\ndeny = [\"198.51.100.2\"]");
    let snapshot = material.load(&denying).unwrap_or_else(|report| panic!("{report}")).snapshot;
    let nets = ["192.0.2.0/24", "198.51.100.0/31", "198.51.100.3/32"].map(|net| net.parse().expect("a network"));
    assert_eq!(snapshot.listeners[0].admits, Some(IpSet::new(nets)));
    assert_eq!(judged(&snapshot, "/hooks/github", "198.51.100.2"), Verdict::Denied("198.51.100.2"));
    let observing = denying.replace("deny =", "address_check = \"observe\"\ndeny =");
    let snapshot = material.load(&observing).unwrap_or_else(|report| panic!("{report}")).snapshot;
    assert_eq!(route(&snapshot, "x", "/hooks/github").address_check, AddressCheck::Observe);
    assert_eq!(snapshot.listeners[0].admits, None);
}

/// What a route's lists say of an address.
fn judged<'s>(snapshot: &'s Snapshot, path: &str, ip: &str) -> Verdict<'s> {
    route(snapshot, "x", path).access.judge(ip.parse().expect("an address"))
}

/// rustls does not ask again for a certificate when a session resumes, so ticket keys must differ with the policy.
#[test]
fn tickets_stay_within_their_client_certificate_policy() {
    let state = State::default();
    let one = state.ticketer([1; 32]).expect("a ticketer");
    let two = state.ticketer([2; 32]).expect("a ticketer");
    let sealed = one.encrypt(b"session").expect("seals");
    assert_eq!(state.ticketer([1; 32]).expect("a ticketer").decrypt(&sealed).as_deref(), Some(&b"session"[..]));
    assert_eq!(two.decrypt(&sealed), None);
}

#[test]
fn a_file_that_anybody_may_write_is_told() {
    let material = Material::new();
    let least = fixtures("good").into_iter().find(|(name, _)| name == "least").expect("one").1;
    let text = format!("{least}\n[address_lists]\npartners = {{ file = \"lists/partners.txt\" }}\n");
    assert!(material.load(&text).unwrap_or_else(|report| panic!("{report}")).warnings.is_empty());
    material.put("lists/partners.txt", "192.0.2.1\n", 0o646);
    let warnings = material.load(&text).unwrap_or_else(|report| panic!("{report}")).warnings;
    assert_eq!(warnings.len(), 1);
    let told = "relay.toml: lists/partners.txt is writable by everybody\n  help: chmod o-w lists/partners.txt";
    assert_eq!(material.told(&warnings[0]), told);
}

#[test]
fn the_shipped_file_is_taken() {
    let material = Material::new();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/relay.toml")).expect("reads");
    // Where the installation has its folder.
    let text = text.replace("/var/lib/dmz-relay/", "");
    let Loaded { snapshot, warnings, .. } = material.load(&text).unwrap_or_else(|report| panic!("{report}"));
    assert!(warnings.is_empty(), "{}", warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    assert_eq!(judged(&snapshot, "/hooks/dastra", "40.89.131.148"), Verdict::Admitted(Some("@dastra")));
    assert_eq!(judged(&snapshot, "/hooks/dastra", "::ffff:192.0.2.9"), Verdict::Admitted(Some("office")));
    assert_eq!(judged(&snapshot, "/hooks/dastra", "203.0.113.1"), Verdict::Unlisted);
    assert_eq!(route(&snapshot, "x", "/hooks/octolis").forward.strip_query, ["api-key"]);
    assert_eq!(snapshot.routes.iter().count(), 3);
    assert!(snapshot.store.is_some());
    assert!(snapshot.routes.iter().all(|route| route.delivery == Delivery::Failover));
}

/// A direct route with nothing behind it: there is no store to speak of.
#[test]
fn without_a_store_delivery_is_direct_and_silence_is_nobody_s() {
    let material = Material::new();
    let snapshot = good(&material, "least").snapshot;
    assert!(snapshot.store.is_none());
    let route = route(&snapshot, "x", "/hooks/github");
    assert_eq!((route.delivery, route.inactivity_alert), (Delivery::Direct, InactivityAlert::Off));
    assert_eq!((route.keep_body, route.error_budget), (false, None));
    assert!(route.forward.sign_with.is_none());
}

#[test]
fn a_store_has_defaults_and_makes_failover_one() {
    let material = Material::new();
    let least = fixtures("good").into_iter().find(|(name, _)| name == "least").expect("one").1;
    let text = format!("{least}\n[store]\nsqlite = {{ path = \"relay.db\" }}\n");
    let Loaded { snapshot, warnings, .. } = material.load(&text).unwrap_or_else(|report| panic!("{report}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let expected = Settings {
        path: material.path("relay.db"),
        keys: Vec::new(),
        keep_age: Duration::from_hours(14 * 24),
        keep_size: 2 << 30,
        disk_reserve: 256 << 20,
        refusals_per_second: 20,
    };
    assert_eq!(snapshot.store.as_deref(), Some(&expected));
    let route = route(&snapshot, "x", "/hooks/github");
    assert_eq!((route.delivery, route.inactivity_alert), (Delivery::Failover, InactivityAlert::Baseline));
    assert_eq!((route.ordered, route.concurrency), (false, 16));
    let patient = Retry {
        first: Duration::from_secs(1),
        max: Duration::from_mins(10),
        give_up_after: Duration::from_hours(72),
        attempts: None,
        timeout: Duration::from_secs(30),
    };
    assert_eq!(route.retry, patient);
    assert!(!snapshot.files.contains(&material.path("relay.db")), "the store is not watched: it changes all the time");
}

#[test]
fn what_the_file_says_of_delivery_is_in_the_route() {
    let material = Material::new();
    let snapshot = good(&material, "stored").snapshot;
    let store = snapshot.store.as_ref().expect("a store");
    let keys: Vec<_> = store.keys.iter().map(|key| key.0.expose()).collect();
    assert_eq!(keys, [&b"canary-7f3a-dastra-0123456789abcdef"[..], b"canary-7f3a-good-0123456789abcdef"]);
    assert_eq!((store.keep_age, store.disk_reserve, store.refusals_per_second), (Duration::from_hours(30 * 24), 0, 5));
    let queue = route(&snapshot, "x", "/queue");
    assert_eq!((queue.delivery, queue.ordered, queue.concurrency), (Delivery::Queue, true, 1));
    let retry = Retry {
        first: Duration::from_secs(2),
        max: Duration::from_mins(5),
        give_up_after: Duration::from_hours(24),
        attempts: Some(50),
        timeout: Duration::from_secs(10),
    };
    assert_eq!(queue.retry, retry);
    assert_eq!((queue.keep_body, queue.inactivity_alert), (true, InactivityAlert::After(Duration::from_hours(6))));
    let resigned = queue.forward.sign_with.as_ref().expect("signs").sign("id", crate::material::NOW, b"{}");
    assert_eq!(resigned.signature.split(' ').count(), 2);
    let direct = route(&snapshot, "x", "/direct");
    assert_eq!((direct.delivery, direct.inactivity_alert), (Delivery::Direct, InactivityAlert::Off));
    assert_eq!(route(&snapshot, "x", "/budget").error_budget, Some(5), "Dastra's");
    assert_eq!(route(&snapshot, "x", "/own-budget").error_budget, Some(3));
    assert_eq!(route(&snapshot, "x", "/hooks/github").delivery, Delivery::Failover);
}

/// What a reload compares: a key that was read anew and says the same is no change, another one is.
#[test]
fn two_stores_are_equal_by_content() {
    let material = Material::new();
    let store = || good(&material, "stored").snapshot.store.expect("a store");
    let before = store();
    assert_eq!(before, store());
    material.put("secrets/good", "another-key-of-thirty-two-bytes-or-more", 0o600);
    assert_ne!(before, store());
}
