//! What it costs to prove a request: one per family of schemes, with a body of 1.8 KiB.

#![expect(clippy::expect_used, reason = "a bench may stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dmz_relay::base::{Secret, UnixMillis};
use dmz_relay::config::recipe::{builtin, builtin_names};
use dmz_relay::domain::{Head, Method, Version};
use dmz_relay::signature::{Key, PublicUrl, SignDraft, Verifier};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
const ID: &str = "0191e2a4-7b1c-7c3e-9f00-0123456789ab";

/// A JSON object of about 1.8 KiB, with members that recipes look for at the end, where they cost most.
fn body() -> Vec<u8> {
    let items: Vec<String> =
        (0..34).map(|n| format!("{{\"item\":{n},\"note\":\"some text of an order line\"}}")).collect();
    format!("{{\"data\":[{}],\"id\":\"evt_1\",\"event_id\":\"{ID}\"}}", items.join(",")).into_bytes()
}

fn verifier(name: &str, secrets: usize) -> Verifier {
    let scheme = Arc::clone(&builtin(name).expect("a shipped recipe").scheme);
    let key = |at: usize| Key {
        id: format!("key-{at}").into(),
        secret: Secret::new(format!("whsec_AAECAwQFBgcICQoLDA0O{at}w==").into_bytes()),
    };
    let url = PublicUrl::parse("https://hooks.example.com").expect("a URL");
    Verifier::new(scheme, (0..secrets).map(key).collect(), Some(url)).expect("keys")
}

fn verify(c: &mut Criterion) {
    let mut group = c.benchmark_group("verify");
    let body = body();
    group.throughput(Throughput::Bytes(body.len() as u64));
    let cases = builtin_names().iter().map(|name| (*name, 1)).chain([("stripe", 2)]);
    for (name, secrets) in cases {
        let verifier = verifier(name, secrets);
        let headers = vec![
            ("User-Agent".to_owned(), "bench".to_owned()),
            ("Accept".to_owned(), "*/*".to_owned()),
            ("Content-Type".to_owned(), "application/json".to_owned()),
        ];
        let draft = SignDraft { method: Method::Post, path_query: "/hooks/x", headers: &headers, body: &body, id: ID };
        let signed = verifier.sign(&draft, NOW).expect("a signature");
        let mut head = Head::builder(Method::Post, Version::Http11).target(&signed.target("/hooks/x"));
        for (name, value) in headers.iter().chain(&signed.headers) {
            head = head.header(name, value);
        }
        let head = head.build();
        assert!(verifier.verify(&head, &signed.body, NOW).is_ok(), "{name}");
        group.bench_function(format!("{name}/{secrets}"), |b| {
            b.iter(|| verifier.verify(black_box(&head), black_box(&signed.body), NOW));
        });
    }
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
