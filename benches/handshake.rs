//! A whole TLS 1.3 handshake in memory, both sides, with the key exchange that the relay prefers and the one before it.

#![expect(clippy::unwrap_used, reason = "a bench may stop")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName};

#[path = "subjects/any_certificate.rs"]
mod any_certificate;
use any_certificate::AnyCertificate;

fn provider(group: &'static dyn SupportedKxGroup) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![group], ..aws_lc_rs::default_provider() })
}

/// Both sides, with nothing to resume.
fn sides(group: &'static dyn SupportedKxGroup) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let versions = [&rustls::version::TLS13];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["relay.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider(group)).with_protocol_versions(&versions).unwrap();
    let mut server = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    server.send_tls13_tickets = 0;
    let builder = ClientConfig::builder_with_provider(provider(group)).with_protocol_versions(&versions).unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate));
    let mut client = builder.with_no_client_auth();
    client.resumption = rustls::client::Resumption::disabled();
    (Arc::new(client), Arc::new(server))
}

fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Option<HandshakeKind> {
    let name = ServerName::try_from("relay.example").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut said = wire.as_slice();
        while !said.is_empty() {
            client.read_tls(&mut said).unwrap();
            client.process_new_packets().unwrap();
        }
        wire.clear();
    }
    server.handshake_kind()
}

fn handshakes(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("handshake");
    for (name, exchange) in [("X25519", X25519), ("X25519MLKEM768", X25519MLKEM768)] {
        let (client, server) = sides(exchange);
        assert_eq!(shake(&client, &server), Some(HandshakeKind::Full), "{name}");
        group.bench_function(name, |bench| bench.iter(|| shake(black_box(&client), black_box(&server))));
    }
    group.finish();
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
