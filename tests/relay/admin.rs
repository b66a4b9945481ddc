//! The private listener: what it tells, over TCP and a Unix socket, and that nobody outside reaches it.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

use dmz_relay::domain::Refusal;
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{Answer, BOTH, Call, PLAIN, Protocol, Rig, Setup, ask, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_tells() {
    let rig = Rig::plain().await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.refused(Refusal::RouteUnknown, rig.send(Protocol::H2, &Call::post("/nowhere"))).await;
    assert_eq!(rig.ask("GET", "/healthz").await, (200, "ok\n".into()));
    assert_eq!(rig.ask("GET", "/readyz").await, (200, "ready\n".into()));
    assert_eq!(rig.ask("GET", "/").await.0, 404);
    assert_eq!(rig.ask("POST", "/metrics").await.0, 405);
    assert_eq!(rig.ask("GET", "/api/v1/reload").await.0, 405);
    let (status, metrics) = rig.ask("GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "dmz_relay_requests_total{listener=\"public\",route=\"plain\",provider=\"-\",outcome=\"delivered\",reason=\"\"} 1",
        "dmz_relay_routes_unverified 1",
        "dmz_relay_config_generation 1",
        "# TYPE dmz_relay_request_duration_seconds histogram",
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} in {metrics}");
    }
    assert!(metrics.contains("reason=\"route_unknown\"} 1"), "{metrics}");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status() {
    let rig = Rig::plain().await;
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    let status = rig.status().await;
    assert_eq!(status["state"], "running");
    assert_eq!(status["config"]["generation"], 1);
    assert_eq!(status["listeners"][0]["address"], rig.address.to_string());
    assert_eq!(status["listeners"][0]["certificates"][0]["names"][0], "relay.example");
    let route = &status["routes"][0];
    assert_eq!(
        (&route["name"], &route["verification"], &route["upstream"]),
        (&"plain".into(), &"none".into(), &"app".into())
    );
    assert_eq!((&route["counts"]["delivered"], &route["counts"]["refused"]), (&1.into(), &0.into()));
    assert_eq!(status["upstreams"][0]["servers"][0]["healthy"], true);
    assert!(status["warnings"].to_string().contains("dangerously_none"), "{status}");
    eventually("the connection is closed", async || rig.status().await["usage"]["connections"]["used"] == 0).await;
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_unix_socket() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("admin.sock");
    let setup = Setup { admin: format!("[admin]\naddress = \"unix:{}\"", path.display()), ..Setup::default() };
    let rig = Rig::start(setup).await;
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    for (method, target, expected) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/v1/status", 200),
        ("POST", "/api/v1/reload", 200),
    ] {
        let stream = UnixStream::connect(&path).await.unwrap();
        assert_eq!(ask(stream, method, target, "localhost").await.0, expected, "{target}");
    }
    rig.finish().await;
    assert!(!path.exists(), "its socket goes with the relay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exposed_scrape_address_is_taken_where_the_file_says_so_and_answers_scrapers_alone() {
    let admin =
        "[admin]\naddress = \"unix:{folder}/admin.sock\"\nscrape_address = \"0.0.0.0:0\"\ndangerously_exposed = true";
    let rig = Rig::start(Setup { admin: admin.to_owned(), ..Setup::default() }).await;
    assert!(rig.status().await["warnings"].to_string().contains("can be reached from outside"));
    let address = SocketAddr::from(([127, 0, 0, 1], rig.scrape().port()));
    let before = rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    for (method, path, expected) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/v1/status", 403),
        ("GET", "/api/v1/events", 403),
        ("POST", "/api/v1/reload", 403),
        ("POST", "/api/v1/waiting/retry", 403),
    ] {
        let (status, body) = ask(TcpStream::connect(address).await.unwrap(), method, path, "localhost").await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert_eq!(body.contains("use the Unix socket"), expected == 403, "{body}");
    }
    let after = rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    // What the start tells may still be on its way: only what stands between two requests counts.
    let lines = rig.log.lines();
    let at = |answer: &Answer| lines.iter().position(|line| line["request_id"] == answer.id()).unwrap();
    assert_eq!(&lines[at(&before) + 1..at(&after)], &[] as &[serde_json::Value], "no line for a probe");
    assert_eq!(rig.metric("dmz_relay_config_reloads_total", &[("outcome", "applied")]), 0.0);
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_outside_reaches_it() {
    let routes = format!(
        "{PLAIN}[routes.all]\npath = \"/*\"\nverify.dangerously_none = true\nmethods = [\"POST\"]\nupstream = \"app\"\n"
    );
    for routes in [PLAIN, routes.as_str()] {
        let rig = Rig::start(Setup::routes(routes)).await;
        for path in ["/healthz", "/readyz", "/metrics", "/api/v1/status", "/api/v1/reload"] {
            for protocol in BOTH {
                let answer = rig.send(protocol, &Call::post(path).method("GET").body("")).await;
                assert!([404, 405].contains(&answer.status), "{path}: {answer:?}");
            }
        }
        assert_eq!(rig.app.connections(), 0);
        assert_eq!(rig.metric("dmz_relay_config_reloads_total", &[("outcome", "applied")]), 0.0);
        rig.finish().await;
    }
}

/// A web page that a browser on the same machine shows must not reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_for_this_machine_is_refused() {
    let rig = Rig::plain().await;
    for (host, expected) in [("rebound.example", 403), ("localhost", 200)] {
        let stream = TcpStream::connect(rig.scrape()).await.unwrap();
        assert_eq!(ask(stream, "GET", "/metrics", host).await.0, expected, "{host}");
    }
    rig.finish().await;
}
