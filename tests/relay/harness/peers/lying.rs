//! Reads a request and says whatever it was told to say, then hangs.

use std::future::pending;

use tokio::io::AsyncWriteExt;

use super::{Peer, read_request};

pub async fn says(answer: &'static str) -> Peer {
    Peer::start(move |mut stream, notes| async move {
        if let Some(seen) = read_request(&mut stream).await {
            notes.push(seen);
            let _ = stream.write_all(answer.as_bytes()).await;
            pending::<()>().await;
        }
    })
    .await
}
