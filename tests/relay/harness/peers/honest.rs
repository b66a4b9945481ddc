//! Does what HTTP says, over connections that stay open.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::{Peer, Seen, read_request};

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub async fn ok() -> Peer {
    answers(|_| OK.to_owned()).await
}

/// A status with a body and fields that nobody outside may see.
pub async fn status(status: u16) -> Peer {
    answers(move |_| {
        format!(
            "HTTP/1.1 {status} Inside\r\nServer: inside-canary\r\nSet-Cookie: inside-canary\r\nX-Inside: inside-canary\r\n\
             Location: http://inside-canary/\r\nContent-Type: text/x-inside\r\nContent-Length: 13\r\n\r\ninside-canary"
        )
    })
    .await
}

/// Opened by whoever holds it.
pub fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// One answer for each permit of the gate; requests are noted when they come.
pub async fn behind(gate: &Arc<Semaphore>, answer: &'static str) -> Peer {
    let gate = Arc::clone(gate);
    Peer::start(move |mut stream, notes| {
        let gate = Arc::clone(&gate);
        async move {
            while let Some(seen) = read_request(&mut stream).await {
                notes.push(seen);
                gate.acquire().await.unwrap().forget();
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// `answer` gives the whole answer to a request.
pub async fn answers(answer: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Peer {
    let answer = Arc::new(answer);
    Peer::start(move |mut stream, notes| {
        let answer = Arc::clone(&answer);
        async move {
            while let Some(seen) = read_request(&mut stream).await {
                let text = answer(&seen);
                notes.push(seen);
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}
