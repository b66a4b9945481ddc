//! Says what a script has for each request, over HTTP/1.1 in clear or over TLS.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use super::{Notes, Peer, Seen, honest, read_request};
use crate::harness::Pair;

/// One turn of a script.
#[derive(Clone, Debug)]
pub struct Says {
    text: Vec<u8>,
    /// It answers the head; the body is never read.
    unread: bool,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Reads,
    Closes,
    Hangs,
}

impl Says {
    /// And then reads the next request.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self { text: text.into(), unread: false, then: Then::Reads }
    }

    pub fn ok() -> Self {
        Self::new(honest::OK)
    }

    pub fn and_closes(self) -> Self {
        Self { then: Then::Closes, ..self }
    }

    /// Keeps the connection and does nothing more on it.
    pub fn and_hangs(self) -> Self {
        Self { then: Then::Hangs, ..self }
    }

    pub fn without_reading_on(self) -> Self {
        Self { unread: true, ..self }
    }
}

/// `script` is asked with the numbers of the connection and of the request on it, both from zero. With a certificate: over TLS.
pub async fn scripted(pair: Option<&Pair>, script: impl Fn(usize, usize) -> Says + Send + Sync + 'static) -> Peer {
    let acceptor = pair.map(acceptor);
    let (script, connections) = (Arc::new(script), Arc::new(AtomicUsize::new(0)));
    Peer::start(move |stream, notes| {
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        async move {
            let script = |request| script(connection, request);
            match acceptor {
                None => speak(stream, notes, script).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        speak(BufReader::new(stream), notes, script).await;
                    }
                }
            }
        }
    })
    .await
}

async fn speak(
    mut stream: BufReader<impl AsyncRead + AsyncWrite + Unpin>,
    notes: Arc<Notes>,
    script: impl Fn(usize) -> Says,
) {
    for request in 0.. {
        let says = script(request);
        let seen = if says.unread { read_head(&mut stream).await } else { read_request(&mut stream).await };
        let Some(seen) = seen else { return };
        notes.push(seen);
        if stream.write_all(&says.text).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match says.then {
            Then::Reads => {}
            Then::Closes => {
                let _ = stream.shutdown().await;
                return;
            }
            Then::Hangs => pending().await,
        }
    }
}

async fn read_head(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Seen> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen { head, body: Vec::new() })
}

fn acceptor(pair: &Pair) -> TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(pair.der.clone())],
            PrivateKeyDer::try_from(pair.key_der.clone()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}
