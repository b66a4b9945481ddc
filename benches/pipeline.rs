//! One request through the whole pipeline in memory: no socket on either side.
//!
//! A signed GitHub ping goes through every step but the upstream's: it is answered here after it was verified. Beside it,
//! what an attacker can make the relay do: an unknown path, and a signature that is wrong.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dmz_relay::base::Clock;
use dmz_relay::config::{self, Environment};
use dmz_relay::domain::{Framing, Head, Method, SourceAddress, Version, Via};
use dmz_relay::observe::{Observer, Sink};
use dmz_relay::pipeline::read::{BodyBroken, BodySource};
use dmz_relay::pipeline::{self, Connection, Gate};
use dmz_relay::signature::SignDraft;
use dmz_relay::snapshot::{Snapshot, Verification};
use dmz_relay::state::State;

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

struct Bench {
    gate: Gate,
    snapshot: Snapshot,
    connection: Connection,
    body: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder");
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, CONFIG).expect("a config file");
        let environment = Environment::new([("SECRET".to_owned(), b"a secret of some length".to_vec())], None);
        let (state, clock) = (Arc::new(State::default()), Clock::system());
        let loaded = config::load(&file, &environment, &state, clock.now()).expect("a good config");
        let observer = Observer::start(Sink::to(io::sink()), clock.clone()).expect("a writer thread");
        let listener = Arc::clone(loaded.snapshot.listeners.first().expect("a listener"));
        let connection = Connection {
            listener,
            source: SourceAddress { ip: [127, 0, 0, 1].into(), via: Via::Socket },
            certificate: None,
            client_certificate: false,
            proven: Default::default(),
        };
        Self { gate: Gate { state, observer, clock }, snapshot: loaded.snapshot, connection, body: vec![b'x'; 1800] }
    }

    fn signature(&self) -> String {
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

    fn head(&self, path: &str, signature: &str) -> Head {
        Head::builder(Method::Post, Version::Http11)
            .target(path)
            .host("hooks.example.com")
            .header("User-Agent", "GitHub-Hookshot/044aadd")
            .header("Accept", "*/*")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "ping")
            .header("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
            .header("X-Hub-Signature-256", signature)
            .header("Content-Length", "1800")
            .framing(Framing::Length(1800))
            .build()
    }

    async fn run(&self, head: &Head) -> u16 {
        let mut body = Memory(&self.body);
        pipeline::serve(&self.gate, &self.snapshot, &self.connection, head, &mut body).await.0.status
    }
}

fn pipeline_in_memory(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bench = Bench::new();
    let genuine = bench.head("/hooks/github", &bench.signature());
    let forged = bench.head("/hooks/github", &format!("sha256={}", "0".repeat(64)));
    let unknown = bench.head("/wp-login.php", "");
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(1));
    for (name, head, status) in [("genuine", &genuine, 200), ("forged", &forged, 401), ("unknown_path", &unknown, 404)]
    {
        assert_eq!(runtime.block_on(bench.run(head)), status, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(bench.run(black_box(head)))));
    }
    group.finish();
}

criterion_group!(benches, pipeline_in_memory);
criterion_main!(benches);
