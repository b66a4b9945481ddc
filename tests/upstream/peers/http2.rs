//! HTTP/2 servers of which each stream does as it is told.

use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::net::TcpStream;

use super::{Log, Peer, Seen};

/// What becomes of a request.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// 200 and a body.
    Answers,
    /// 200 and a body before the request's body is read, which it never is: the stream is reset without an error.
    AnswersUnread,
    /// 413 before the body is read, which it never is.
    AnswersEarly,
    /// Nothing.
    Hangs,
    /// The stream is reset for this reason.
    Resets(Reason),
    /// The connection is gone, without a word.
    Dies,
    /// A shorter body than its length says.
    Lies,
}

/// `act` is asked with the numbers of the connection and of the request on it.
pub(crate) async fn h2c(act: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Peer {
    let act = Arc::new(act);
    Peer::start(move |stream, number, log| {
        let act = Arc::clone(&act);
        async move { speak(stream, number, log, move |request| act(number, request)).await }
    })
    .await
}

async fn speak(stream: TcpStream, connection: usize, log: Arc<Log>, act: impl Fn(usize) -> Does) {
    let Ok(mut server) = h2::server::handshake(stream).await else { return };
    let mut held = Vec::new();
    let mut count = 0;
    while let Some(Ok((request, respond))) = server.accept().await {
        log.push(Seen { connection, head: request.uri().to_string(), body: Vec::new() });
        let does = act(count);
        count += 1;
        if matches!(does, Does::Dies) {
            return;
        }
        // Dropped streams would be reset.
        held.push(tokio::spawn(one(does, request.into_body(), respond)));
    }
}

async fn one(does: Does, mut body: RecvStream, mut respond: SendResponse<Bytes>) {
    let answer = |status: u16, length: &str| {
        http::Response::builder().status(status).header("content-length", length).body(()).unwrap()
    };
    match does {
        Does::Answers | Does::AnswersUnread | Does::Lies => {
            while let Some(Ok(piece)) = if matches!(does, Does::AnswersUnread) { None } else { body.data().await } {
                let _ = body.flow_control().release_capacity(piece.len());
            }
            let length = if matches!(does, Does::Lies) { "5" } else { "2" };
            let mut stream = respond.send_response(answer(200, length), false).unwrap();
            stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
        Does::AnswersEarly => {
            respond.send_response(answer(413, "0"), true).unwrap();
            pending::<()>().await;
        }
        Does::Resets(reason) => respond.send_reset(reason),
        Does::Hangs | Does::Dies => pending().await,
    }
    drop(body);
}
