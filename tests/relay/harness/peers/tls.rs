//! Honest, over TLS, and only to a client whose certificate an authority signed.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use super::{Peer, honest, read_request};
use crate::harness::{Authority, Pair};

pub async fn tls(pair: &Pair, clients: &Authority) -> Peer {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(clients.der())).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(pair.der.clone())],
            PrivateKeyDer::try_from(pair.key_der.clone()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Peer::start(move |stream, notes| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut stream = BufReader::new(stream);
            while let Some(seen) = read_request(&mut stream).await {
                notes.push(seen);
                if stream.write_all(honest::OK.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}
