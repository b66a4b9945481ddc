//! Host and path to route with 1 000 routes: what every request pays before anything is known of it.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use dmz_relay::routing::{Entry, Found, PathPattern, RouteTable};

/// 1 000 routes: half exact, half prefixes of many lengths, one in ten for a host of its own.
fn table() -> RouteTable<usize> {
    RouteTable::new((0..1000).map(|number| {
        let path = format!("/hooks/{}/{number}", "x".repeat(number % 40));
        let path = path.into_boxed_str();
        Entry {
            host: (number % 10 == 0).then(|| format!("host{}.example.com", number % 50).into_boxed_str()),
            path: if number % 2 == 0 { PathPattern::Exact(path) } else { PathPattern::Prefix(path) },
            route: Arc::new(number),
        }
    }))
}

fn find(bench: &mut Criterion) {
    let table = table();
    let exact = format!("/hooks/{}/732", "x".repeat(732 % 40));
    let prefix = format!("/hooks/{}/733/events/created", "x".repeat(733 % 40));
    let slashes = "/".repeat(8000);
    assert!(matches!(table.find("any.example.com", &exact), Found::Route(route, 0) if **route == 732));
    assert!(matches!(table.find("any.example.com", &prefix), Found::Route(route, 15) if **route == 733));
    let mut group = bench.benchmark_group("route among 1000");
    for (name, host, path) in [
        ("exact", "any.example.com", exact.as_str()),
        ("prefix", "any.example.com", prefix.as_str()),
        ("host of its own", "HOST10.example.com:8443", exact.as_str()),
        ("unknown", "any.example.com", "/robots.txt"),
        ("8000 slashes", "any.example.com", slashes.as_str()),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| matches!(table.find(black_box(host), black_box(path)), Found::Route(..)))
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
