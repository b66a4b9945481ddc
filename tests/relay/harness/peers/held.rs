//! Answers when the test says so.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

use super::{Peer, honest, read_request};

/// Lets requests go.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// So many may be answered.
    pub fn release(&self, requests: usize) {
        self.0.add_permits(requests);
    }
}

pub async fn held() -> (Peer, Gate) {
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let shared = gate.clone();
    let peer = Peer::start(move |mut stream, notes| {
        let gate = shared.clone();
        async move {
            while let Some(seen) = read_request(&mut stream).await {
                notes.push(seen);
                gate.0.acquire().await.unwrap().forget();
                if stream.write_all(honest::OK.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (peer, gate)
}
