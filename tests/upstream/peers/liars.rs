//! Servers that are slow, rude or broken.

use std::future::pending;

use tokio::io::AsyncWriteExt;

use super::{Peer, Seen, read_head, read_request};

/// Reads requests, says `answer` to each, then closes.
pub(crate) async fn says(answer: &'static str) -> Peer {
    Peer::start(move |mut stream, number, log| async move {
        if let Some(seen) = read_request(&mut stream, number).await {
            log.push(seen);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

/// Reads a request, says `answer` and then keeps the connection open without another word.
pub(crate) async fn says_and_hangs(answer: &'static str) -> Peer {
    Peer::start(move |mut stream, number, log| async move {
        if let Some(seen) = read_request(&mut stream, number).await {
            log.push(seen);
            let _ = stream.write_all(answer.as_bytes()).await;
            pending::<()>().await;
        }
    })
    .await
}

/// Reads a request, says `start` and then `again` for as long as anybody listens.
pub(crate) async fn never_ends(start: &'static str, again: &'static str) -> Peer {
    Peer::start(move |mut stream, number, log| async move {
        let Some(seen) = read_request(&mut stream, number).await else { return };
        log.push(seen);
        let _ = stream.write_all(start.as_bytes()).await;
        while stream.write_all(again.as_bytes()).await.is_ok() {}
    })
    .await
}

/// Reads a request and resets the connection.
pub(crate) async fn resets() -> Peer {
    Peer::start(move |mut stream, number, log| async move {
        if let Some(seen) = read_request(&mut stream, number).await {
            log.push(seen);
            socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    })
    .await
}

/// Answers the first request of its first connection, and closes that connection when the second request comes; `tail` is
/// what it says before it does. Later connections are honest.
pub(crate) async fn dies_on_reuse(tail: &'static str) -> Peer {
    Peer::start(move |mut stream, number, log| async move {
        let mut count = 0;
        while let Some(seen) = read_request(&mut stream, number).await {
            log.push(seen);
            count += 1;
            let answer = if number == 0 && count == 2 { tail } else { super::honest::OK };
            let _ = stream.write_all(answer.as_bytes()).await;
            if number == 0 && count == 2 {
                return;
            }
        }
    })
    .await
}

/// Answers after the head, without reading the body; then closes, or hangs without reading on.
pub(crate) async fn answers_early(answer: &'static str, hangs: bool) -> Peer {
    Peer::start(move |mut stream, connection, log| async move {
        let Some(head) = read_head(&mut stream).await else { return };
        log.push(Seen { connection, head, body: Vec::new() });
        let _ = stream.write_all(answer.as_bytes()).await;
        if hangs {
            pending::<()>().await;
        }
    })
    .await
}
