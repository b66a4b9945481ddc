//! Reads a request and resets the connection.

use std::time::Duration;

use super::{Peer, read_request};

pub async fn resetting() -> Peer {
    Peer::start(move |mut stream, notes| async move {
        if let Some(seen) = read_request(&mut stream).await {
            notes.push(seen);
            socket2::SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        }
    })
    .await
}
