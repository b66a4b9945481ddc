//! An attempt whose code panics, over a real store.

use std::net::IpAddr;

use bytes::Bytes;
use tokio::sync::watch;

use super::*;
use crate::base::Clock;
use crate::config::{self, Environment};
use crate::domain::{Framing, Head, HistoryOutcome, Marks, Method, Version};
use crate::observe::{Observer, Sink};
use crate::runtime::snapshot::Snapshot;
use crate::runtime::state::State;
use crate::store::{Accept, Early, Entry, Store, Took};

const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

const ID: &str = "1a2035baf19bf97aeced650444a";

const CONFIG: &str = r#"
[[listeners]]
name = "public"
address = "127.0.0.1:0"
dangerously_plaintext = true

[store]
sqlite = { path = "relay.db" }
disk_reserve = "0B"

[upstreams.app]
servers = ["http://127.0.0.1:9"]

[routes.open]
path = "/open"
verify.dangerously_none = true
upstream = "app"
delivery = "queue"
retry = { attempts = 2, first = "1s", max = "1s" }
"#;

/// A store with one request that waits, and whoever delivers it.
async fn waiting(folder: &std::path::Path) -> (DeliveryContext, Snapshot, Clock) {
    let file = folder.join("relay.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let state = std::sync::Arc::new(State::default());
    let loaded = config::load(&file, &Environment::new([], None), &state, NOW);
    let snapshot = loaded.unwrap_or_else(|report| panic!("{report}")).snapshot;
    let clock = Clock::fixed(NOW);
    let (store, _) = Store::open(snapshot.store.as_ref().unwrap(), clock.clone(), |_| {}).unwrap();
    store.accept(accepted()).await.unwrap();
    state.set_store(std::sync::Arc::clone(&store));
    let observer = Observer::start(Sink::to(std::io::sink()), clock.clone()).unwrap();
    let gate = Gate { state, observer, clock: clock.clone() };
    let (routes, cut) = (watch::channel(std::sync::Arc::default()).1, watch::channel(false).1);
    (DeliveryContext { gate, store, routes, cut, since: 0 }, snapshot, clock)
}

fn accepted() -> Accept {
    let head = Head::builder(Method::Post, Version::Http11).host("a.example").target("/open");
    let entry = Entry {
        request_id: ID.into(),
        received_at: NOW,
        listener: "public".into(),
        route: Some("open".into()),
        provider: None,
        method: Method::Post,
        version: Version::Http11,
        head: Some(head.framing(Framing::Length(2)).build()),
        marks: Marks::default(),
        held: None,
        suffix: 0,
        https: false,
        source: IpAddr::from([192, 0, 2, 7]),
        via: "socket",
        allowed_by: None,
        outcome: HistoryOutcome::Accepted,
        reason: "",
        status: 200,
        key: None,
        verified_by: None,
        dedupe: None,
        timestamp: None,
        body_bytes: 2,
        body: Some(Bytes::from_static(b"{}")),
        upstream: None,
        server: None,
        upstream_status: None,
        attempts: 0,
        detail: None,
        took: Took::default(),
    };
    Accept { entry, dedupe: None, tried: None, due: Some(NOW), refused: None, keep_body: false, repeat: false }
}

/// With the panic let through, the first attempt ends this test, as it would end its task.
#[tokio::test]
async fn an_attempt_that_panics_has_failed_and_its_request_is_tried_again_and_then_dead() {
    let folder = tempfile::tempdir().unwrap();
    let (context, snapshot, clock) = waiting(folder.path()).await;
    let route = snapshot.routes.iter().next().unwrap();
    for (round, waits) in [(1, 1), (2, 0)] {
        let claimed = context.store.claim(&route.name, 1, false, Early::Nothing).await.unwrap().pop().unwrap();
        let sent = Sent::begin(clock.now(), claimed.attempt);
        let panicking = Box::pin(async { panic!("expected by this test") });
        let due = ended(&context, route, &claimed, &sent, None, panicking).await;
        assert_eq!(due.is_some(), waits == 1, "round {round}");
        let backlog = context.store.backlog(&route.name);
        assert_eq!((backlog.waiting, backlog.claimed), (waits, 0), "round {round}");
        clock.advance(Duration::from_secs(2));
    }
    let event = context.store.event(ID).await.unwrap().unwrap();
    assert_eq!(event.entry.outcome, HistoryOutcome::Dead);
}
