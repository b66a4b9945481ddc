//! Changes while the relay runs: what takes effect, what does not, and that nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dmz_relay::control::app::ReloadOutcome;
use dmz_relay::domain::Refusal;

use crate::harness::peers::held;
use crate::harness::{Call, Oktave, PLAIN, Protocol, Rig, Setup, base64_hmac, eventually};

const ANOTHER: &str =
    "[routes.another]\npath = \"/hooks/another\"\nverify.dangerously_none = true\nupstream = \"app\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_takes_effect_on_open_connections_and_cuts_nothing() {
    let (app, gate) = held::held().await;
    let mut rig = Rig::with_app(Setup::default(), app).await;
    let (mut idle, mut idle2) = (rig.connect().await, rig.h2().await);
    let mut busy = rig.connect().await;
    busy.send(Call::post("/hooks/plain").h1()).await;
    eventually("one is inside", async || rig.app.seen().len() == 1).await;
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H1, &Call::post("/hooks/another"))).await;

    rig.apply(|setup| setup.rest = ANOTHER.into()).await;

    gate.release(1);
    assert_eq!(busy.answer().await.status, 200, "it ends under the configuration it began with");
    gate.release(2);
    idle.send(Call::post("/hooks/another").h1()).await;
    assert_eq!(idle.answer().await.status, 200);
    assert_eq!(idle2.send(&Call::post("/hooks/another")).await.status, 200);
    busy.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(busy.answer().await.status, 404);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_changes_nothing_and_everybody_can_see_why() {
    let rig = Rig::plain().await;
    let good = std::fs::read_to_string(rig.path("relay.toml")).unwrap();
    let bad = [
        ("not toml [".to_owned(), "relay.toml"),
        (good.replace("upstream = \"app\"", "upstream = \"nowhere\""), "nowhere"),
        (good.replace("dangerously_none", "dangerously_nine"), "dangerously_nine"),
        (format!("{good}\nunheard_of = 1\n"), "unheard_of"),
        (good.replace("certs/relay.crt", "certs/gone.crt"), "gone.crt"),
        (String::new(), "listeners"),
    ];
    let mut kept = 0.0;
    for (toml, why) in bad {
        rig.replace("relay.toml", toml);
        let outcome = rig.reload().await;
        let ReloadOutcome::Kept(report) = outcome else { panic!("taken: {why}: {outcome:?}") };
        assert!(report.to_string().contains(why), "{why}: {report}");
        let now = rig.metric("dmz_relay_config_reloads_total", &[("outcome", "kept")]);
        assert!(now > kept, "{why}");
        kept = now;
        assert_eq!(rig.metric("dmz_relay_config_last_reload_success", &[]), 0.0);
        assert_eq!(rig.metric("dmz_relay_config_generation", &[]), 1.0);
        rig.log.wait("config_problem", |line| line["problem"].as_str().unwrap().contains(why)).await;
        let status = rig.status().await;
        assert!(status["config"]["last_error"]["problems"].to_string().contains(why), "{status}");
        rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    }
    rig.log.wait("config_kept", |line| line["trigger"] == "admin").await;
    rig.replace("relay.toml", good);
    assert!(matches!(rig.reload().await, ReloadOutcome::Unchanged { generation: 1 }));
    assert_eq!(rig.metric("dmz_relay_config_last_reload_success", &[]), 1.0);
    assert!(rig.status().await["config"]["last_error"].is_null());
    rig.finish().await;
}

const SIGNED: &str = r#"
[routes.dastra]
path = "/hooks/dastra"
provider = "dastra"
secrets = [{ file = "secrets/new", id = "new" }, { file = "secrets/old", id = "old" }]
upstream = "app"
"#;

fn dastra(secret: &str, number: usize) -> Call {
    let body = format!("{{\"event\":{number}}}");
    Call::post("/hooks/dastra")
        .field("Content-Type", "application/json")
        .field("Dastra-Signature", &base64_hmac(secret, &body))
        .body(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_rotate() {
    let setup = Setup::routes(SIGNED).file("secrets/new", "the new one").file("secrets/old", "the old one");
    let mut rig = Rig::start(setup).await;
    let mut number = 0;
    let mut call = |secret| {
        number += 1;
        dastra(secret, number)
    };
    for (secret, key) in [("the new one", "new"), ("the old one", "old")] {
        rig.delivers(Protocol::H1, &call(secret)).await;
        assert_eq!(rig.app.last().field("relay-key"), Some(key));
    }
    rig.apply(|setup| setup.rest = SIGNED.replace(", { file = \"secrets/old\", id = \"old\" }", "")).await;
    rig.delivers(Protocol::H1, &call("the new one")).await;
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &call("the old one"))).await;
    // By content alone: the configuration stays as it is.
    rig.replace("secrets/new", "the newest one\n");
    rig.reload().await;
    rig.delivers(Protocol::H1, &call("the newest one")).await;
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &call("the new one"))).await;
    // An empty or public secret is worse than an old one.
    rig.replace("secrets/new", "\n");
    assert!(matches!(rig.reload().await, ReloadOutcome::Kept(_)));
    rig.replace("secrets/new", "public");
    std::fs::set_permissions(rig.path("secrets/new"), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let ReloadOutcome::Kept(report) = rig.reload().await else { panic!("a world-readable secret was taken") };
    assert!(!report.to_string().contains("public"), "{report}");
    rig.delivers(Protocol::H1, &call("the newest one")).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_read_again() {
    let routes = format!(
        "{PLAIN}allow = [\"partners\"]\n{ANOTHER}\n[address_lists]\npartners = {{ file = \"lists/partners\" }}\n"
    );
    let rig = Rig::start(Setup::routes(&routes).file("lists/partners", "192.0.2.0/24\n")).await;
    let call = Call::post("/hooks/plain");
    rig.refused(Refusal::AddressNotAllowed, rig.send(Protocol::H1, &call)).await;
    rig.replace("lists/partners", "192.0.2.0/24\n127.0.0.1 # us\n");
    rig.reload().await;
    rig.delivers(Protocol::H1, &call).await;
    rig.replace("lists/partners", "192.0.2.0/99\n");
    assert!(matches!(rig.reload().await, ReloadOutcome::Kept(_)));
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

/// Nobody asks: the files themselves say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_noticed() {
    let setup = Setup::routes(SIGNED).file("secrets/new", "the new one").file("secrets/old", "the old one");
    let mut rig = Rig::start(setup).await;
    rig.replace("secrets/new", "the newest one");
    // So soon after the start, the first look at the watched files may be what finds it.
    rig.log.wait("config_applied", |line| line["generation"] == 2 && line["trigger"] != "admin").await;
    rig.delivers(Protocol::H1, &dastra("the newest one", 1)).await;
    rig.setup.rest.push_str(ANOTHER);
    rig.rewrite_toml();
    rig.log.wait("config_applied", |line| line["generation"] == 3 && line["trigger"] == "file").await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    rig.replace("relay.toml", "broken = ");
    rig.log.wait("config_kept", |line| line["trigger"] == "file").await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    rig.rewrite_toml();
    rig.log.wait("config_unchanged", |line| line["trigger"] == "file").await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_reloads() {
    let rig = Rig::plain().await;
    let (status, body) = rig.ask("POST", "/api/v1/reload").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["outcome"], &report["generation"]), (200, &"unchanged".into(), &1.into()), "{body}");
    let good = std::fs::read_to_string(rig.path("relay.toml")).unwrap();
    rig.replace("relay.toml", format!("{good}{ANOTHER}"));
    let (status, body) = rig.ask("POST", "/api/v1/reload").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["outcome"], &report["generation"]), (200, &"applied".into(), &2.into()), "{body}");
    rig.replace("relay.toml", "broken = ");
    let (status, body) = rig.ask("POST", "/api/v1/reload").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["outcome"]), (422, &"kept".into()), "{body}");
    assert_eq!(report["problems"][0]["line"], 1, "{body}");
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn meters_and_dedupe_memory_survive() {
    let routes = format!(
        "{PLAIN}rate = {{ per_second = 0.01, burst = 1 }}\n[routes.oktave]\npath = \"/hooks/oktave\"\n\
         provider = \"oktave\"\nsecrets = [{{ file = \"secrets/oktave\" }}]\nupstream = \"app\"\n"
    );
    let mut rig = Rig::start(Setup::routes(&routes).file("secrets/oktave", "oktave-secret")).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    let event = Oktave::event("oktave-secret", 1).call("/hooks/oktave");
    rig.delivers(Protocol::H1, &event).await;
    rig.apply(|setup| setup.rest.push_str(ANOTHER)).await;
    rig.refused(Refusal::RouteRateLimited, rig.send(Protocol::H1, &Call::post("/hooks/plain"))).await;
    let again = rig.send(Protocol::H1, &event).await;
    assert_eq!(rig.log.of(again.id()).await["outcome"], "duplicate");
    assert_eq!(rig.app.seen().len(), 2);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_named_and_the_rest_applies() {
    let mut rig = Rig::plain().await;
    rig.setup.rest.push_str(ANOTHER);
    rig.setup
        .rest
        .push_str("[[listeners]]\nname = \"second\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n");
    rig.setup.rest.push_str("[store]\nsqlite = { path = \"relay.db\" }\n");
    rig.setup.admin = format!("[admin]\naddress = \"unix:{}\"", rig.path("other.sock").display());
    let toml = rig.setup.toml(rig.app.address).replacen("127.0.0.1:0", "127.0.0.2:0", 1);
    rig.replace("relay.toml", toml.clone());
    rig.reload().await;
    // Another change later does not hide what still waits for a restart.
    rig.replace("relay.toml", format!("{toml}\n[address_lists]\nlater = [\"192.0.2.1\"]\n"));
    rig.reload().await;
    let status = rig.status().await;
    assert_eq!(status["config"]["generation"], 3);
    let named = status["config"]["needs_restart"].to_string();
    for change in [
        "listener public has another address",
        "listener second is new",
        "[admin] has another address",
        "[store] is new",
    ] {
        assert!(named.contains(change), "{change}: {named}");
    }
    rig.log.wait("config_applied", |line| line["needs_restart"].to_string().contains("listener public")).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    rig.finish().await;
}

/// Senders of every kind, and a reload as fast as they come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_reloads_under_load_fail_no_request() {
    let mut rig = Rig::plain().await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (tls, address) = (rig.tls(), rig.address);
    let mut senders = tokio::task::JoinSet::new();
    for kind in 0..3 {
        let (stop, sent, tls) = (Arc::clone(&stop), Arc::clone(&sent), tls.clone());
        senders.spawn(async move {
            let call = Call::post("/hooks/plain").body("under load");
            let (mut wire, mut h2) = (tls.connect(address).await, tls.h2(address).await);
            while !stop.load(Ordering::SeqCst) {
                let answer = match kind {
                    0 => {
                        wire.send(call.h1()).await;
                        wire.answer().await
                    }
                    1 => h2.send(&call).await,
                    _ => {
                        let mut fresh = tls.connect(address).await;
                        fresh.send(call.h1()).await;
                        fresh.answer().await
                    }
                };
                assert_eq!(answer.status, 200);
                sent.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut reloads = 0;
    while reloads < 300 || sent.load(Ordering::SeqCst) < 300 {
        let route = ANOTHER.replace("another", &format!("another{}", reloads % 7));
        rig.setup.rest = format!("{PLAIN}{route}");
        rig.rewrite();
        let outcome = rig.reload().await;
        assert!(!matches!(outcome, ReloadOutcome::Kept(_)), "{outcome:?}");
        reloads += 1;
        assert!(senders.len() == 3 && senders.try_join_next().is_none(), "a sender failed");
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    assert!(rig.metric("dmz_relay_config_generation", &[]) > 200.0);
    assert_eq!(rig.app.seen().len(), sent.load(Ordering::SeqCst));
    for outcome in ["refused", "failed", "client_closed"] {
        assert_eq!(rig.metric("dmz_relay_requests_total", &[("outcome", outcome)]), 0.0, "{outcome}");
    }
    rig.finish().await;
}
