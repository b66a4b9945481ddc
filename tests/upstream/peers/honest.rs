//! Servers that do what HTTP says.

use std::sync::Arc;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::{Io, Log, Peer, Seen, read_request};

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// HTTP/1.1 with keep-alive; `answer` gives the whole answer to a request.
pub(crate) async fn h1(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Peer {
    let answer = Arc::new(answer);
    Peer::start(move |stream, number, log| speak_h1(stream, number, log, Arc::clone(&answer))).await
}

async fn speak_h1(
    mut stream: impl Io,
    number: usize,
    log: Arc<Log>,
    answer: Arc<impl Fn(&Seen) -> String + Send + Sync + 'static>,
) {
    while let Some(seen) = read_request(&mut stream, number).await {
        let answer = answer(&seen);
        log.push(seen);
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What the handshake agrees on, over TLS.
pub(crate) async fn tls(config: Arc<ServerConfig>) -> Peer {
    Peer::start(move |stream, number, log| {
        let acceptor = TlsAcceptor::from(Arc::clone(&config));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                speak_h2(stream, number, log, 200).await;
            } else {
                speak_h1(stream, number, log, Arc::new(|_: &Seen| OK.to_owned())).await;
            }
        }
    })
    .await
}

/// HTTP/2 with prior knowledge.
pub(crate) async fn h2c(status: u16) -> Peer {
    Peer::start(move |stream, number, log| speak_h2(stream, number, log, status)).await
}

async fn speak_h2(stream: impl Io + 'static, number: usize, log: Arc<Log>, status: u16) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let (head, mut stream) = request.into_parts();
            let mut body = Vec::new();
            while let Some(Ok(piece)) = stream.data().await {
                let _ = stream.flow_control().release_capacity(piece.len());
                body.extend_from_slice(&piece);
            }
            log.push(Seen {
                connection: number,
                head: format!("{} {} {:?}", head.method, head.uri, head.headers),
                body,
            });
            let answer =
                http::Response::builder().status(status).header("content-type", "text/plain").body(()).unwrap();
            let Ok(mut stream) = respond.send_response(answer, false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"ok"), true);
        });
    }
}
