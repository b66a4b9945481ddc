//! One request through the whole pipeline in memory: no socket on either side.
//!
//! A signed GitHub ping goes through every step but the upstream's: it is answered here after it was verified. Beside it,
//! what an attacker can make the relay do: an unknown path, and a signature that is wrong.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up should say so and stop")]

#[path = "subjects/pipeline.rs"]
mod subject;

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dmz_relay::base::Clock;
use dmz_relay::observe::Sink;

use subject::Bench;

fn pipeline_in_memory(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bench = Bench::new(Sink::to(io::sink()), Clock::system(), 1800);
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
