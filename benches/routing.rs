//! Host and path to route with 1 000 routes: what every request pays before anything is known of it.

#[path = "subjects/routing.rs"]
mod subject;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

use subject::{cases, table};

fn find(bench: &mut Criterion) {
    let table = table();
    let mut group = bench.benchmark_group("route among 1000");
    for (name, host, path, expected) in cases() {
        assert_eq!(subject::find(&table, host, &path), expected, "{name}");
        group.bench_function(name, |bench| {
            bench.iter(|| subject::find(&table, black_box(host), black_box(&path)));
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
