//! What it costs to prove a request: one per family of schemes, with a body of 1.8 KiB.

#![expect(clippy::expect_used, reason = "a bench may stop")]

#[path = "../tests/fixtures/families.rs"]
mod families;
#[path = "subjects/verify.rs"]
mod subject;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use families::FAMILIES;
use subject::Subject;

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    let cases = FAMILIES.into_iter().map(|name| (name, 1)).chain([("stripe", 2)]);
    for (name, secrets) in cases {
        let subject = Subject::new(name, secrets);
        assert!(subject.verify(), "{name}");
        group.throughput(Throughput::Bytes(subject.body.len() as u64));
        group.bench_function(format!("{name}/{secrets}"), |b| b.iter(|| subject.verify()));
    }
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
