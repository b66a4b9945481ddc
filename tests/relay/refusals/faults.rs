//! What is never the sender's doing.

use super::*;

pub async fn upstream_connect(fault: Fault) {
    fails(fault, nobody().await, "").await;
}

pub async fn upstream_tls(fault: Fault) {
    let plaintext = lying::says("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let more = format!(
        "[upstreams.tls]\nservers = [\"https://{}\"]\n[routes.tls]\npath = \"/hooks/tls\"\n\
         verify.dangerously_none = true\nupstream = \"tls\"\n",
        plaintext.address
    );
    let rig = Rig::start(Setup::routes(&format!("{PLAIN}{more}"))).await;
    rig.refused(fault, rig.send(Protocol::H1, &Call::post("/hooks/tls"))).await;
    rig.finish().await;
}

pub async fn upstream_reset(fault: Fault) {
    fails(fault, resetting::resetting().await, "").await;
}

pub async fn upstream_malformed(fault: Fault) {
    fails(fault, lying::says("SSH-2.0-inside\r\n\r\n").await, "").await;
}

pub async fn upstream_too_large(fault: Fault) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n";
    let setup = Setup::routes(&format!("{PLAIN}answer = \"upstream\"\n"));
    for protocol in BOTH {
        let rig = Rig::with_app(setup.clone(), lying::says(answer).await).await;
        rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        rig.finish().await;
    }
}

pub async fn upstream_status(fault: Fault) {
    fails(fault, honest::status(418).await, "").await;
}

pub async fn upstream_timeout(fault: Fault) {
    let setup = Setup::routes(&format!("{PLAIN}deadline = \"200ms\"\n"));
    let rig = Rig::with_app(setup, silent::silent().await).await;
    for protocol in BOTH {
        rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
    }
    rig.finish().await;
}

pub async fn upstream_unavailable(fault: Fault) {
    let app = honest::answers(|seen| match seen.target() {
        "/healthz" => "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => honest::OK.to_owned(),
    })
    .await;
    let setup = Setup {
        app: "health = { path = \"/healthz\", interval = \"100ms\", unhealthy_after = 1 }".into(),
        ..Setup::default()
    };
    let rig = Rig::with_app(setup, app).await;
    rig.log.wait("server_health", |line| line["healthy"] == false).await;
    for protocol in BOTH {
        rig.ends(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
    }
    assert!(rig.app.seen().iter().all(|seen| seen.target() == "/healthz"));
    rig.finish().await;
}

pub async fn body_memory(fault: Fault) {
    let limits = "body_memory = \"1MiB\"\nmax_body = \"1MiB\"";
    let rig = Rig::start(setup().limits(limits)).await;
    let state = std::sync::Arc::clone(rig.running().state());
    let call = Call::post("/hooks/plain").body(vec![b'a'; 1_020_000]);
    // Comes together with its head, and is refused all the same.
    let small = Call::post("/hooks/plain").body(vec![b'a'; 10]);
    // What is no longer waited for has all of it.
    let mut held = state.bodies.share();
    assert!(held.grow_to(1_040_000));
    for protocol in BOTH {
        rig.refused(fault, rig.send(protocol, &call)).await;
        rig.refused(fault, rig.send(protocol, &small)).await;
    }
    drop(held);
    // One that is still waited for makes room for the next.
    let mut first = rig.connect().await;
    first.send(call.h1_head()).await;
    first.send(&call.body[..1_000_000]).await;
    eventually("the first is in memory", async || state.bodies.used() >= 1_000_000).await;
    let evicted = async {
        rig.delivers(Protocol::H2, &call).await;
        first.answer().await
    };
    rig.ends(fault, evicted).await;
    eventually("memory is given back", async || state.bodies.used() == 0).await;
    assert_eq!(rig.app.seen().len(), 1);
    rig.delivers(Protocol::H1, &call).await;
    rig.finish().await;
}

/// Every place where large bodies are verified is taken, for longer than the route's deadline.
pub async fn verification_busy(fault: Fault) {
    let mut setup = setup();
    setup.rest = setup.rest.replace("provider = \"dastra\"", "provider = \"dastra\"\ndeadline = \"300ms\"");
    let rig = Rig::start(setup).await;
    let state = std::sync::Arc::clone(rig.running().state());
    let mut places = Vec::new();
    for _ in 0..state.verify_places.count() {
        places.push(state.verify_places.enter(&state.bodies.share()).await);
    }
    let body = "x".repeat(100_000);
    let large = Call::post("/hooks/dastra")
        .field("Content-Type", "application/json")
        .field("Dastra-Signature", &base64_hmac("dastra-secret", &body))
        .body(body);
    for protocol in BOTH {
        rig.refused(fault, rig.send(protocol, &large)).await;
    }
    drop(places);
    eventually("it is taken when there is a place", async || rig.send(Protocol::H1, &large).await.status == 200).await;
    assert_eq!((rig.app.seen().len(), state.bodies.used()), (1, 0));
    rig.finish().await;
}

pub async fn dedupe_memory(fault: Fault) {
    let rig = Rig::start(setup().limits("dedupe_entries = 1000")).await;
    let mut wire = rig.connect().await;
    // The route's share of it: other routes of this rig remember ids too.
    let mut taken = 0;
    for number in 0..1000 {
        wire.send(oktave(number).call("/hooks/oktave").h1()).await;
        if wire.answer().await.status != 200 {
            break;
        }
        taken += 1;
    }
    assert!((250..1000).contains(&taken), "{taken}");
    for protocol in BOTH {
        rig.refused(fault, rig.send(protocol, &oktave(1000).call("/hooks/oktave"))).await;
    }
    let old = rig.send(Protocol::H1, &oktave(0).call("/hooks/oktave")).await;
    assert_eq!((old.status, rig.app.seen().len()), (200, taken), "nothing was forgotten");
    rig.clock.advance(std::time::Duration::from_secs(3 * 3600));
    let late = oktave(1000).at(rig.clock.now().secs());
    rig.delivers(Protocol::H1, &late.call("/hooks/oktave")).await;
    rig.finish().await;
}

const QUEUE: &str = "[routes.plain]\npath = \"/hooks/plain\"\nverify.dangerously_none = true\nupstream = \"app\"\n\
     delivery = \"queue\"\ndeadline = \"10s\"\n";

/// Nobody inside takes anything, so that the store fills up; then there is room again.
pub async fn store_full(fault: Fault) {
    let (app, mood) = moody::moody(503).await;
    let setup = Setup::stored_with("keep = { size = \"16MiB\" }", QUEUE);
    let rig = Rig::with_app(setup, app).await;
    let call = Call::post("/hooks/plain").body(vec![b'a'; 1_000_000]);
    let mut accepted = 0;
    eventually("it is full", async || {
        let answer = rig.send(Protocol::H1, &call).await;
        accepted += usize::from(answer.status == 200);
        answer.status != 200
    })
    .await;
    assert!((4..=20).contains(&accepted), "{accepted}");
    rig.log.wait("store_full", |_| true).await;
    for protocol in BOTH {
        let answer = rig.ends(fault, rig.send(protocol, &call)).await;
        assert_eq!(answer.field("retry-after"), Some("30"));
    }
    mood.well();
    let before = rig.app.seen().len();
    rig.clock.advance(std::time::Duration::from_secs(3600));
    rig.drained("plain").await;
    assert_eq!(rig.app.seen().len(), before + accepted, "what was accepted arrives, and nothing else");
    rig.log.wait("store_room", |_| true).await;
    assert_eq!(rig.send(Protocol::H1, &call).await.status, 200);
    rig.drained("plain").await;
    rig.finish().await;
}

/// Somebody else holds the file for longer than a write waits.
pub async fn store_failed(fault: Fault) {
    let rig = Rig::start(Setup::stored(QUEUE)).await;
    let other = rusqlite::Connection::open(rig.path("relay.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for protocol in BOTH {
        let answer = rig.refused(fault, rig.send(protocol, &Call::post("/hooks/plain"))).await;
        assert_eq!(answer.field("retry-after"), Some("30"));
    }
    drop(other);
    rig.log.wait("store_recovered", |_| true).await;
    assert_eq!(rig.send(Protocol::H1, &Call::post("/hooks/plain")).await.status, 200);
    rig.drained("plain").await;
    assert_eq!(rig.app.seen().len(), 1);
    rig.finish().await;
}

/// A panic of the relay, or a request that cannot be written toward the inside. Neither can be had from outside; the places that
/// turn them into this fault are these, and `edge::catch` has the test of its own.
pub async fn internal(_: Fault) {
    let expected = [
        "src/gate/pipeline.rs",
        "src/gate/pipeline/accept.rs",
        "src/gate/pipeline/record.rs",
        "src/store/sqlite/spool/claim.rs",
        "src/upstream/request.rs",
    ];
    assert_eq!(makers("Fault::Internal"), expected);
}

/// The files that make a fault; the table of statuses and reactions to it are none.
fn makers(fault: &str) -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains(fault) {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let reacts = |path: &String| {
        path.starts_with("src/observe/")
            || ["src/gate/pipeline/answer.rs", "src/upstream.rs", "src/delivery/attempt.rs", "src/store/sqlite/read.rs"]
                .contains(&path.as_str())
    };
    found.retain(|path| !reacts(path));
    found.sort();
    found
}
