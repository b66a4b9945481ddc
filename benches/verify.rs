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
    // One of each kind of public key: Ed25519 over a copy and over a hash of the body, ECDSA, RSA.
    let public = ["discord", "fal", "sendgrid", "wise"];
    let cases = FAMILIES.into_iter().chain(public).map(|name| (name, 1)).chain([("stripe", 2)]);
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
