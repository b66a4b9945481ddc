//! An address among 100 000 entries; the promise is 100 ns at most.

#[path = "subjects/addresses.rs"]
mod subject;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use dmz_relay::guards::access::IpSet;

use subject::{Make, admits, draw, list, v4, v6};

fn find(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("address among 100000");
    for (name, make) in [("v4", v4 as Make), ("v6", v6)] {
        let (nets, probes) = draw(100_000, make);
        let mut next = probes.iter().cycle();
        let set = IpSet::new(nets.iter().copied());
        group.bench_function(format!("{name} set"), |bench| {
            bench.iter(|| next.next().map(|ip| set.contains(black_box(*ip))));
        });
        let all = list(&[], &nets);
        group.bench_function(format!("{name} allow list"), |bench| {
            bench.iter(|| next.next().map(|ip| admits(&all, black_box(*ip))));
        });
        let (denied, admitted) = nets.split_at(nets.len() / 2);
        let both = list(denied, admitted);
        group.bench_function(format!("{name} deny and allow list"), |bench| {
            bench.iter(|| next.next().map(|ip| admits(&both, black_box(*ip))));
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
