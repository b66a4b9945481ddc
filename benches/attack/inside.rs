//! The internal server: answers every request with 200, and counts those that no sender signed. It looks for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::wire;

/// What reached it.
#[derive(Debug, Default)]
pub struct Inside {
    pub genuine: AtomicU64,
    pub forged: AtomicU64,
}

/// Serves for as long as the runtime lives; gives its port.
pub async fn serve(seen: Arc<Inside>, secret: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let (seen, secret) = (Arc::clone(&seen), secret.clone());
            tokio::spawn(async move {
                let mut buffer = Vec::with_capacity(64 * 1024);
                while let Ok(1..) = stream.read_buf(&mut buffer).await {
                    while let Some((head, length)) = whole(&buffer) {
                        let genuine = is_genuine(&buffer[..head], &buffer[head..length], &secret);
                        let count = if genuine { &seen.genuine } else { &seen.forged };
                        count.fetch_add(1, Ordering::Relaxed);
                        buffer.drain(..length);
                        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    port
}

/// No genuine one is large, and hashing large ones would take the genuine senders' core.
fn is_genuine(head: &[u8], body: &[u8], secret: &str) -> bool {
    body.len() <= 64 * 1024 && memchr::memmem::find(head, wire::sign(secret.as_bytes(), body).as_bytes()).is_some()
}

/// The lengths of the first request's head and of all of it, once it is there.
fn whole(buffer: &[u8]) -> Option<(usize, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = request.parse(buffer) else { return None };
    let length = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |field| std::str::from_utf8(field.value).unwrap().parse().unwrap());
    (buffer.len() >= head + length).then_some((head, head + length))
}
