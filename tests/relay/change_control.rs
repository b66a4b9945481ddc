//! What a saved file changes when nobody asked for it, and the configurations that were in force.

use serde_json::{Value, json};

use dmz_relay::domain::Refusal;

use crate::harness::{Call, PLAIN, Protocol, Rig, Setup, base64_hmac, eventually};

const ANOTHER: &str =
    "[routes.another]\npath = \"/hooks/another\"\nverify.dangerously_none = true\nupstream = \"app\"\n";
const SIGNED: &str = "[routes.dastra]\npath = \"/hooks/dastra\"\nprovider = \"dastra\"\n\
                      secrets = [{ file = \"secrets/dastra\" }]\nupstream = \"app\"\n";

fn dastra(secret: &str, body: &str) -> Call {
    Call::post("/hooks/dastra")
        .field("Content-Type", "application/json")
        .field("Dastra-Signature", &base64_hmac(secret, body))
        .body(body)
}

/// A relay whose file is taken only when somebody asks.
async fn manual(rest: &str) -> Rig {
    let setup = Setup { top: "reload = \"manual\"".into(), ..Setup::routes(rest) };
    Rig::start(setup.file("secrets/dastra", "the first one")).await
}

async fn pending(rig: &Rig) -> Value {
    rig.fetch("GET", "/api/v1/status").await.json()["config"]["pending"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saved_file_waits_until_somebody_asks() {
    let mut rig = manual(SIGNED).await;
    assert_eq!(rig.status().await["config"]["reload"], "manual");
    rig.setup.rest.push_str(ANOTHER);
    rig.rewrite_toml();
    let line = rig.log.wait("config_pending", |line| line["changes"] == "route another added").await;
    assert_eq!((&line["level"], &line["problems"]), (&json!("warn"), &json!(0)));
    assert_eq!(pending(&rig).await["changes"], json!(["route another added"]));
    assert_eq!(rig.metric("dmz_relay_config_pending", &[]), 1.0);
    assert_eq!(rig.metric("dmz_relay_config_generation", &[]), 1.0);
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H1, &Call::post("/hooks/another"))).await;

    // A new secret is no change of what the file says: it is taken over at once, and the file goes on waiting.
    rig.replace("secrets/dastra", "the second one");
    rig.log.wait("config_applied", |line| line["changes"].to_string().contains("dastra has new content")).await;
    rig.delivers(Protocol::H1, &dastra("the second one", "{}")).await;
    rig.refused(Refusal::SignatureMismatch, rig.send(Protocol::H1, &dastra("the first one", "{\"a\":1}"))).await;
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H1, &Call::post("/hooks/another"))).await;
    assert_eq!(rig.metric("dmz_relay_config_pending", &[]), 1.0);

    let (status, body) = rig.ask("POST", "/api/v1/reload").await;
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["changes"]), (200, &json!(["route another added"])), "{body}");
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    assert_eq!(rig.status().await["config"]["changes"], json!(["route another added"]));
    assert_eq!(pending(&rig).await, Value::Null);
    assert_eq!(rig.metric("dmz_relay_config_pending", &[]), 0.0);
    rig.finish().await;
}

/// What would be kept out is known before anybody asks for it, and nothing counts as refused meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_waits_is_checked_already() {
    let rig = manual(PLAIN).await;
    let good = std::fs::read_to_string(rig.path("relay.toml")).unwrap();
    rig.replace("relay.toml", format!("{good}\nunheard_of = 1\n"));
    rig.log.wait("config_pending", |line| line["problems"] == 1).await;
    assert!(pending(&rig).await["problems"].to_string().contains("unheard_of"));
    assert_eq!(rig.metric("dmz_relay_config_last_reload_success", &[]), 1.0);
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    // Put back, it waits no longer.
    rig.replace("relay.toml", good);
    eventually("nothing waits", async || rig.metric("dmz_relay_config_pending", &[]) == 0.0).await;
    assert_eq!(pending(&rig).await, Value::Null);
    assert_eq!(rig.metric("dmz_relay_config_generation", &[]), 1.0);
    rig.finish().await;
}

/// Whoever turns `manual` on or off asks for it like for anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mode_itself_is_a_change_that_waits() {
    let mut rig = manual(PLAIN).await;
    rig.setup.top = "reload = \"auto\"".into();
    rig.setup.rest.push_str(ANOTHER);
    rig.rewrite_toml();
    rig.log.wait("config_pending", |line| line["changes"].to_string().contains("reload")).await;
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H1, &Call::post("/hooks/another"))).await;
    rig.apply(|_| ()).await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    rig.setup.rest = PLAIN.into();
    rig.rewrite_toml();
    rig.log.wait("config_applied", |line| line["changes"] == "route another removed").await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_that_were_in_force_are_kept() {
    let mut rig = Rig::start(Setup::stored(SIGNED).file("secrets/dastra", "not-in-a-version")).await;
    assert_eq!(rig.status().await["config"]["version"], 1);
    rig.apply(|setup| setup.rest.push_str(ANOTHER)).await;
    rig.apply(|setup| setup.rest = setup.rest.replace("/hooks/another", "/hooks/other")).await;
    eventually("the third is kept", async || rig.status().await["config"]["version"] == 3).await;
    let list = rig.fetch("GET", "/api/v1/config/versions").await.json();
    assert_eq!(list["running"], 3);
    let rows = list["versions"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["version"].as_u64().unwrap()).collect::<Vec<_>>(), [3, 2, 1]);
    let changed = "route another: path changed from \"/hooks/another\" to \"/hooks/other\"";
    assert_eq!((&rows[0]["changes"], &rows[1]["changes"]), (&json!([changed]), &json!(["route another added"])));
    assert_eq!((&rows[2]["trigger"], &rows[2]["changes"]), (&json!("start"), &json!([])));

    let running = rig.fetch("GET", "/api/v1/config").await.json();
    assert_eq!(running["text"], std::fs::read_to_string(rig.path("relay.toml")).unwrap());
    assert_eq!((&running["version"], &running["changed_files"]), (&json!(3), &json!([])));
    let second = rig.fetch("GET", "/api/v1/config/versions/2").await.json();
    assert!(second["text"].as_str().unwrap().contains("/hooks/another"));
    for unknown in ["4", "0", "-1", "x"] {
        let answer = rig.fetch("GET", &format!("/api/v1/config/versions/{unknown}")).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("unknown_version")), "{unknown}");
    }
    for version in std::fs::read_dir(rig.path("versions")).unwrap() {
        let text = std::fs::read_to_string(version.unwrap().path()).unwrap();
        assert!(!text.contains("not-in-a-version"), "{text}");
    }

    // The next process goes on where this one ended.
    rig.stop().await;
    rig.start_again().await;
    assert_eq!(rig.status().await["config"]["version"], 3);
    rig.stop().await;
    rig.setup.rest = rig.setup.rest.replace(ANOTHER, "").replace("/hooks/other", "/hooks/new");
    rig.rewrite();
    rig.start_again().await;
    let config = rig.status().await["config"].clone();
    assert_eq!(config["version"], 4);
    assert!(config["changes"].to_string().contains("/hooks/new"), "what changed over a restart is told: {config}");
    rig.finish().await;
}

/// A disk that takes no version is told of, and keeps no configuration out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_be_kept_keeps_nothing_out() {
    let mut rig = Rig::start(Setup::stored(PLAIN)).await;
    std::fs::remove_dir_all(rig.path("versions")).unwrap();
    std::fs::write(rig.path("versions"), "in the way").unwrap();
    rig.apply(|setup| setup.rest.push_str(ANOTHER)).await;
    let line = rig.log.wait("config_not_kept", |_| true).await;
    assert_eq!(line["level"], "warn");
    rig.delivers(Protocol::H1, &Call::post("/hooks/another")).await;
    let answer = rig.fetch("GET", "/api/v1/config/versions").await;
    assert_eq!((answer.status, &answer.json()["code"]), (503, &json!("store_failed")));
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_store_there_are_no_versions() {
    let rig = Rig::plain().await;
    assert_eq!(rig.status().await["config"]["version"], Value::Null);
    assert_eq!(rig.fetch("GET", "/api/v1/config").await.json()["version"], Value::Null);
    for path in ["/api/v1/config/versions", "/api/v1/config/versions/1"] {
        let answer = rig.fetch("GET", path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("no_store")), "{path}");
    }
    rig.finish().await;
}
