//! Denials, and lists that are only observed: what the sender sees, what the log and the counts say, what goes inward.

use dmz_relay::control::app::ReloadOutcome;
use dmz_relay::domain::Refusal;
use serde_json::Value;

use crate::harness::{BOTH, Call, Oktave, PLAIN, Protocol, Rig, Setup};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A listed proxy at 127.0.0.1 says who sent it.
fn behind_proxy(routes: &str) -> Setup {
    Setup::routes(routes).listener("trust_forwarded_from = [\"127.0.0.1\"]")
}

fn from(target: &str, source: &str) -> Call {
    Call::post(target).field("x-forwarded-for", source)
}

fn route(name: &str, keys: &str) -> String {
    format!("[routes.{name}]\npath = \"/hooks/{name}\"\nverify.dangerously_none = true\nupstream = \"app\"\n{keys}\n")
}

/// The metric of what lists would have refused.
fn observed(rig: &Rig, route: &str, reason: &str, outcome: &str) -> f64 {
    let labels = [("route", route), ("reason", reason), ("outcome", outcome)];
    rig.metric("dmz_relay_requests_observed_total", &labels)
}

async fn status_of(rig: &Rig, route: &str) -> Value {
    let status = rig.status().await;
    status["routes"].as_array().unwrap().iter().find(|known| known["name"] == route).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_wins_whatever_else_admits_the_source() {
    let listed = route(
        "listed",
        "allow = [\"192.0.2.0/24\", \"198.51.100.7\", \"@dastra\"]\n\
         deny = [\"192.0.2.0/28\", \"blocked\", \"40.89.131.148\"]",
    );
    let open = route("open", "deny = [\"@dastra\", \"blocked\", \"2001:db8::/48\"]");
    let lists = "[address_lists]\nblocked = { file = \"lists/blocked\" }\n";
    let setup = behind_proxy(&format!("{listed}{open}{lists}"));
    let rig = Rig::start(setup.file("lists/blocked", "198.51.100.0/24\n203.0.113.9\n")).await;
    for (target, source, entry) in [
        ("/hooks/listed", "192.0.2.1", "192.0.2.0/28"),
        ("/hooks/listed", "::ffff:192.0.2.15", "192.0.2.0/28"),
        ("/hooks/listed", "198.51.100.7", "blocked"),
        ("/hooks/listed", "40.89.131.148", "40.89.131.148"),
        ("/hooks/open", "40.89.131.148", "@dastra"),
        ("/hooks/open", "203.0.113.9", "blocked"),
        ("/hooks/open", "::ffff:203.0.113.9", "blocked"),
        ("/hooks/open", "[::ffff:203.0.113.9]:443", "blocked"),
        ("/hooks/open", "2001:db8:0:ffff::1", "2001:db8::/48"),
        // Whatever stands left of the first address that is no proxy was written by the sender.
        ("/hooks/open", "192.0.2.200, 203.0.113.9", "blocked"),
    ] {
        for protocol in BOTH {
            let answer = rig.refused(Refusal::AddressDenied, rig.send(protocol, &from(target, source))).await;
            let line = rig.log.of(answer.id()).await;
            assert_eq!((&line["denied_by"], &line["allowed_by"]), (&entry.into(), &Value::Null), "{line}");
        }
    }
    for (target, source, entry) in [
        ("/hooks/listed", "192.0.2.16", Some("192.0.2.0/24")),
        ("/hooks/listed", "40.89.142.231", Some("@dastra")),
        ("/hooks/open", "203.0.113.8", None),
        ("/hooks/open", "2001:db8:1::1", None),
    ] {
        let answer = rig.delivers(Protocol::H1, &from(target, source)).await;
        let line = rig.log.of(answer.id()).await;
        assert_eq!((line["allowed_by"].as_str(), &line["denied_by"]), (entry, &Value::Null), "{line}");
    }
    // A stranger is no denied one.
    let stranger = from("/hooks/listed", "10.1.1.1");
    let answer = rig.refused(Refusal::AddressNotAllowed, rig.send(Protocol::H1, &stranger)).await;
    assert_eq!(rig.log.of(answer.id()).await["denied_by"], Value::Null);
    rig.finish().await;
}

/// An empty `deny` denies nobody, and says so at the start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_deny_denies_nobody() {
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}deny = []\n"))).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    let warned = rig.log.wait("config_warning", |line| line["warning"].to_string().contains("no address is denied"));
    assert!(warned.await["warning"].to_string().contains("routes.plain.deny"));
    rig.finish().await;
}

/// Who might be anybody might be denied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_tell_is_refused_where_anybody_is_denied() {
    let routes = [
        route("open", ""),
        route("listed", "allow = [\"127.0.0.1\", \"192.0.2.1\"]"),
        route("denying", "deny = [\"203.0.113.0/24\"]"),
        route("both", "allow = [\"127.0.0.1\", \"192.0.2.1\"]\ndeny = [\"203.0.113.0/24\"]"),
    ];
    let rig = Rig::start(behind_proxy(&routes.concat())).await;
    for target in ["/hooks/denying", "/hooks/both"] {
        let call = Call::post(target);
        for untold in [
            call.clone(),
            call.clone().field("X-Forwarded-For", ""),
            call.clone().field("X-Forwarded-For", "unknown"),
            call.clone().field("X-Forwarded-For", "203.0.113.1, unknown"),
            call.clone().field("X-Forwarded-For", "203.0.113.1, [192.0.2.1"),
            call.clone().field("X-Forwarded-For", "203.0.113.1, ::ffff:192.0.2.1]"),
        ] {
            rig.refused(Refusal::AddressUnknown, rig.send(Protocol::H1, &untold)).await;
        }
        rig.delivers(Protocol::H2, &from(target, "192.0.2.1").set("x-forwarded-for", "192.0.2.1")).await;
    }
    for target in ["/hooks/open", "/hooks/listed"] {
        rig.delivers(Protocol::H1, &Call::post(target)).await;
    }
    rig.finish().await;
}

/// Behind a proxy only the request tells who sent it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_denies_for_every_route_and_none() {
    let routes = [route("open", ""), route("listed", "allow = [\"203.0.113.9\", \"192.0.2.1\"]")].concat();
    let lists = "[address_lists]\nscanners = [\"203.0.113.0/24\"]\n";
    let keys = "trust_forwarded_from = [\"127.0.0.1\"]\ndeny = [\"scanners\"]";
    let rig = Rig::start(Setup::routes(&format!("{routes}{lists}")).listener(keys)).await;
    for target in ["/hooks/open", "/hooks/listed", "/nothing"] {
        for source in ["203.0.113.9", "::ffff:203.0.113.9", "192.0.2.1, 203.0.113.9"] {
            for protocol in BOTH {
                let answer = rig.refused(Refusal::AddressDenied, rig.send(protocol, &from(target, source))).await;
                let line = rig.log.of(answer.id()).await;
                assert_eq!((&line["denied_by"], &line["route"]), (&"scanners".into(), &Value::Null), "{line}");
            }
        }
        rig.refused(Refusal::AddressUnknown, rig.send(Protocol::H1, &Call::post(target))).await;
    }
    for target in ["/hooks/open", "/hooks/listed"] {
        rig.delivers(Protocol::H1, &from(target, "192.0.2.1")).await;
    }
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H1, &from("/nothing", "192.0.2.1"))).await;
    rig.finish().await;
}

/// An attacker who is connected already is cut off by the reload, not by the end of its connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_reaches_connections_that_are_open() {
    let mut rig = Rig::plain().await;
    let call = Call::post("/hooks/plain");
    let (mut h1, mut h2) = (rig.connect().await, rig.h2().await);
    h1.send(call.h1()).await;
    assert_eq!(h1.answer().await.status, 200);
    assert_eq!(h2.send(&call).await.status, 200);
    rig.apply(|setup| setup.listener = "deny = [\"127.0.0.0/28\"]".into()).await;
    let answer = rig
        .refused(Refusal::AddressDenied, async {
            h1.send(call.h1()).await;
            h1.answer().await
        })
        .await;
    assert_eq!(rig.log.of(answer.id()).await["denied_by"], "127.0.0.0/28");
    h1.ended().await;
    rig.refused(Refusal::AddressDenied, async { h2.send(&call).await }).await;
    rig.connection_refused("address_denied", async {
        let mut said = Vec::new();
        let mut stream = rig.tls().tcp(rig.address).await;
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await;
        assert_eq!(said, b"");
    })
    .await;
    let mut other = rig.tls().from("127.0.0.16").connect(rig.address).await;
    other.send(call.h1()).await;
    assert_eq!(other.answer().await.status, 200);
    rig.apply(|setup| setup.listener.clear()).await;
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

/// A list's file that contradicts an `allow` is in force at once, with a warning; a broken one leaves what was in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urgent_denial_waits_for_nobody() {
    let routes = route("listed", "allow = [\"127.0.0.1\"]\ndeny = [\"blocked\"]");
    let lists = "[address_lists]\nblocked = { file = \"lists/blocked\" }\n";
    // The other route keeps the listener's filter open, so that the route itself is asked.
    let setup = Setup::routes(&format!("{PLAIN}{routes}{lists}")).file("lists/blocked", "192.0.2.1\n");
    let rig = Rig::start(setup).await;
    let call = Call::post("/hooks/listed");
    rig.delivers(Protocol::H1, &call).await;
    rig.replace("lists/blocked", "127.0.0.0/8\n");
    assert!(!matches!(rig.reload().await, ReloadOutcome::Kept(_)));
    rig.refused(Refusal::AddressDenied, rig.send(Protocol::H1, &call)).await;
    rig.log.wait("config_warning", |line| line["warning"].to_string().contains("admits nobody")).await;
    rig.replace("lists/blocked", "127.0.0.0/99\n");
    assert!(matches!(rig.reload().await, ReloadOutcome::Kept(_)));
    rig.refused(Refusal::AddressDenied, rig.send(Protocol::H1, &call)).await;
    rig.finish().await;
}

fn observing(keys: &str) -> Setup {
    let keyed = format!(
        "[routes.oktave]\npath = \"/hooks/oktave\"\nprovider = \"oktave\"\nsecrets = [{{ env = \"SECRET\" }}]\n\
         upstream = \"app\"\ndelivery = \"direct\"\nallow = [\"192.0.2.0/24\"]\ndeny = [\"192.0.2.66\"]\n{keys}\n"
    );
    let setup = Setup::stored(&keyed).variable("SECRET", SECRET);
    setup.listener("trust_forwarded_from = [\"127.0.0.1\"]")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observed_list_refuses_nobody_and_counts() {
    let mut rig = Rig::start(observing("address_check = \"observe\"")).await;
    let warning = rig.log.wait("config_warning", |line| line["warning"].to_string().contains("address_check")).await;
    assert!(warning["warning"].to_string().contains("refuse nobody"), "{warning}");
    assert_eq!(rig.metric("dmz_relay_routes_observed", &[]), 1.0);
    let event = |number| Oktave::event(SECRET, number).call("/hooks/oktave");
    for (number, (source, reason, entry)) in (1..).zip([
        (Some("203.0.113.1"), "address_not_allowed", None),
        (Some("192.0.2.66"), "address_denied", Some("192.0.2.66")),
        (Some("::ffff:192.0.2.66"), "address_denied", Some("192.0.2.66")),
        // The list does not name the proxy itself.
        (None, "address_not_allowed", None),
    ]) {
        let before = observed(&rig, "oktave", reason, "delivered");
        let call = source.into_iter().fold(event(number), |call, source| call.field("X-Forwarded-For", source));
        let answer = rig.delivers(Protocol::H1, &call).await;
        let line = rig.log.of(answer.id()).await;
        assert_eq!((&line["would_refuse"], &line["level"]), (&reason.into(), &"warn".into()), "{line}");
        assert_eq!((line["denied_by"].as_str(), &line["allowed_by"]), (entry, &Value::Null), "{line}");
        assert_eq!(observed(&rig, "oktave", reason, "delivered") - before, 1.0);
        let row = rig.row(answer.id()).await;
        assert_eq!(row.entry.allowed_by.as_deref(), Some(&*format!("observe:{reason}")));
    }
    // Who is listed is not marked.
    let answer = rig.delivers(Protocol::H1, &event(8).field("X-Forwarded-For", "192.0.2.1")).await;
    let line = rig.log.of(answer.id()).await;
    assert_eq!((&line["allowed_by"], &line["would_refuse"]), (&"192.0.2.0/24".into(), &Value::Null), "{line}");
    assert_eq!(line["level"], "info");
    // Verification is never relaxed.
    let forged = event(9).set("Oktave-Signature", &"0".repeat(64)).field("X-Forwarded-For", "203.0.113.1");
    let answer = rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &forged)).await;
    assert_eq!(rig.log.of(answer.id()).await["would_refuse"], "address_not_allowed");
    assert_eq!(observed(&rig, "oktave", "address_not_allowed", "refused"), 1.0);
    let route = status_of(&rig, "oktave").await;
    assert_eq!(route["address_check"], "observe");
    assert_eq!((&route["counts"]["would_refuse"], &route["counts"]["would_refuse_genuine"]), (&5.into(), &4.into()));
    assert!(rig.status().await["warnings"].to_string().contains("address_check"));
    // In force, the same requests are refused.
    rig.apply(|setup| setup.rest = setup.rest.replace("address_check = \"observe\"", "")).await;
    let stranger = event(10).field("X-Forwarded-For", "203.0.113.1");
    rig.refused(Refusal::AddressNotAllowed, rig.send(Protocol::H1, &stranger)).await;
    let denied = event(11).field("X-Forwarded-For", "192.0.2.66");
    rig.refused(Refusal::AddressDenied, rig.send(Protocol::H1, &denied)).await;
    let route = status_of(&rig, "oktave").await;
    assert_eq!((&route["address_check"], &route["counts"]["would_refuse"]), (&"enforce".into(), &5.into()));
    assert_eq!(rig.metric("dmz_relay_routes_observed", &[]), 0.0);
    rig.finish().await;
}

/// Where every other route has a list, the listener's filter would close what an observing route must see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observed_list_is_no_filter_of_connections() {
    let routes = [
        route("listed", "allow = [\"192.0.2.0/24\"]"),
        route("observing", "allow = [\"192.0.2.0/24\"]\naddress_check = \"observe\""),
    ];
    let mut rig = Rig::start(Setup::routes(&routes.concat())).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/observing")).await;
    rig.refused(Refusal::AddressNotAllowed, rig.send(Protocol::H1, &Call::post("/hooks/listed"))).await;
    assert_eq!(status_of(&rig, "listed").await["address_check"], "enforce");
    rig.apply(|setup| setup.rest = setup.rest.replace("\"observe\"", "\"enforce\"")).await;
    rig.connection_refused("address_not_allowed", async {
        let mut said = Vec::new();
        let mut stream = rig.tls().tcp(rig.address).await;
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await;
        assert_eq!(said, b"");
    })
    .await;
    rig.finish().await;
}

/// What a listener denies is denied, whatever a route observes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observing_does_not_open_what_the_listener_denies() {
    let mut setup = observing("address_check = \"observe\"");
    setup.listener.push_str("\ndeny = [\"203.0.113.0/24\"]");
    let rig = Rig::start(setup).await;
    let event = |number| Oktave::event(SECRET, number).call("/hooks/oktave");
    let denied = event(1).field("X-Forwarded-For", "203.0.113.1");
    rig.refused(Refusal::AddressDenied, rig.send(Protocol::H1, &denied)).await;
    rig.delivers(Protocol::H1, &event(2).field("X-Forwarded-For", "198.51.100.1")).await;
    rig.finish().await;
}
