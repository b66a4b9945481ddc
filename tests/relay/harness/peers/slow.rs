//! Begins an answer and goes on with it byte by byte, for ever.

use tokio::io::AsyncWriteExt;

use super::{Peer, read_request};

pub async fn slow() -> Peer {
    Peer::start(move |mut stream, notes| async move {
        let Some(seen) = read_request(&mut stream).await else { return };
        notes.push(seen);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Never: ").await;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if stream.write_all(b"a").await.is_err() {
                return;
            }
        }
    })
    .await
}
