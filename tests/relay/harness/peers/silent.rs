//! Accepts and reads, and never says a word.

use std::future::pending;

use super::{Peer, read_request};

pub async fn silent() -> Peer {
    Peer::start(move |mut stream, notes| async move {
        if let Some(seen) = read_request(&mut stream).await {
            notes.push(seen);
            pending::<()>().await;
        }
    })
    .await
}
