//! A relay without sockets, and requests for it: a signed GitHub ping goes through every step but the upstream's.

use std::sync::Arc;

use bytes::BytesMut;
use dmz_relay::base::Clock;
use dmz_relay::config::{self, Environment};
use dmz_relay::domain::{Framing, Head, Method, SourceAddress, Version, Via};
use dmz_relay::gate::pipeline::read::{BodyBroken, BodySource};
use dmz_relay::gate::pipeline::{self, Connection, Gate};
use dmz_relay::observe::{Observer, Sink};
use dmz_relay::runtime::snapshot::{Snapshot, Verification};
use dmz_relay::runtime::state::State;
use dmz_relay::scheme::SignDraft;

const CONFIG: &str = r#"
[[listeners]]
name = "public"
address = "127.0.0.1:0"
dangerously_plaintext = true

[log]
format = "json"

[upstreams.app]
servers = ["http://127.0.0.1:9"]

[routes.github]
path = "/hooks/github"
provider = "github"
secrets = [{ env = "SECRET" }]
upstream = "app"
"#;

/// A body that has already arrived.
struct Memory<'b>(&'b [u8]);

impl BodySource for Memory<'_> {
    async fn fill(&mut self, into: &mut BytesMut, room: usize) -> Result<bool, BodyBroken> {
        if self.0.len() > room {
            return Err(BodyBroken::TooLarge);
        }
        into.extend_from_slice(std::mem::take(&mut self.0));
        Ok(true)
    }

    fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// A relay without sockets.
pub(crate) struct Bench {
    gate: Gate,
    snapshot: Snapshot,
    connection: Connection,
    body: Vec<u8>,
}

impl Bench {
    /// `sink` takes the log; `body` is the length of each request's.
    pub(crate) fn new(sink: Sink, clock: Clock, body: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, CONFIG).expect("a config file");
        let environment = Environment::new([("SECRET".to_owned(), b"a secret of some length".to_vec())], None);
        let state = Arc::new(State::default());
        let loaded = config::load(&file, &environment, &state, clock.now()).expect("a good config");
        let observer = Observer::start(sink, clock.clone()).expect("a writer thread");
        let listener = Arc::clone(loaded.snapshot.listeners.first().expect("a listener"));
        let connection = Connection {
            listener,
            source: SourceAddress { ip: [127, 0, 0, 1].into(), via: Via::Socket },
            certificate: None,
            client_certificate: false,
            proven: Default::default(),
        };
        Self { gate: Gate { state, observer, clock }, snapshot: loaded.snapshot, connection, body: vec![b'x'; body] }
    }

    /// The genuine signature of the body.
    pub(crate) fn signature(&self) -> String {
        let route = self.snapshot.routes.iter().next().expect("a route");
        let Verification::Signed(verifier) = &route.verify else { unreachable!("the route is signed") };
        let draft = SignDraft {
            method: Method::Post,
            path_query: "/hooks/github",
            headers: &[],
            body: &self.body,
            id: "5f0c3a9e-6c1b-4c5e-9d8e-0a1b2c3d4e5f",
        };
        let signed = verifier.sign(&draft, self.gate.clock.now()).expect("a signature");
        signed.headers.into_iter().find(|(name, _)| name == "X-Hub-Signature-256").expect("its header").1
    }

    /// The head of a GitHub ping.
    pub(crate) fn head(&self, path: &str, signature: &str) -> Head {
        Head::builder(Method::Post, Version::Http11)
            .target(path)
            .host("hooks.example.com")
            .header("User-Agent", "GitHub-Hookshot/044aadd")
            .header("Accept", "*/*")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "ping")
            .header("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
            .header("X-Hub-Signature-256", signature)
            .header("Content-Length", self.body.len().to_string())
            .framing(Framing::Length(self.body.len() as u64))
            .build()
    }

    /// The status of its answer.
    pub(crate) async fn run(&self, head: &Head) -> u16 {
        let mut body = Memory(&self.body);
        pipeline::serve(&self.gate, &self.snapshot, &self.connection, head, &mut body).await.answer.status
    }
}
