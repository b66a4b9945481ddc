//! HTTP/2 with prior knowledge, by a script.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{Notes, Peer, Seen};

/// What becomes of a stream once its request was read, except where it says otherwise.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// This status, without a body.
    Answers(u16),
    /// This status before the body is read, which it never is.
    AnswersUnread(u16),
    /// Nine interim answers, then 200.
    AnswersLate,
    /// 200 with a body that ends before its announced length.
    AnswersShort,
    /// So many bytes of body.
    AnswersLong(usize),
    Resets(Reason),
    /// The connection is gone, without a word.
    Dies,
}

/// `script` is asked with the numbers of the connection and of the request on it, both from zero.
pub async fn streams(script: impl Fn(usize, usize) -> Does + Send + Sync + 'static) -> Peer {
    let (script, connections) = (Arc::new(script), Arc::new(AtomicUsize::new(0)));
    Peer::start(move |stream, notes| {
        let script = Arc::clone(&script);
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        async move { speak(stream, notes, |request| script(connection, request)).await }
    })
    .await
}

/// Answers the first stream of its first connection, and says before the second that it looks at no more than the first. Later
/// connections answer.
pub async fn goes_away() -> Peer {
    let connections = AtomicUsize::new(0);
    Peer::start(move |stream, notes| {
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        async move {
            if connection > 0 {
                return speak(stream, notes, |_| Does::Answers(200)).await;
            }
            let _ = go_away(stream, notes).await;
        }
    })
    .await
}

/// In frames, because no library lets its user refuse what it has accepted.
async fn go_away(mut stream: BufReader<TcpStream>, notes: Arc<Notes>) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    // SETTINGS, empty.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await?;
        let length = usize::from(frame[1]) << 8 | usize::from(frame[2]);
        stream.read_exact(&mut vec![0; length]).await?;
        let (kind, ends, id) = (frame[3], frame[4] & 1 == 1, frame[8]);
        if kind == 4 && !ends {
            stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await?;
        } else if kind <= 1 && ends && id == 1 {
            notes.push(Seen { head: String::new(), body: Vec::new() });
            // HEADERS that end headers and stream: `:status 200` of the static table.
            stream.write_all(&[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]).await?;
        } else if kind <= 1 && id == 3 {
            // GOAWAY without an error; the last stream is the first one.
            stream.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).await?;
            pending::<()>().await;
        }
    }
}

async fn speak(stream: BufReader<TcpStream>, notes: Arc<Notes>, script: impl Fn(usize) -> Does) {
    let Ok(mut server) = h2::server::handshake(stream).await else { return };
    let mut held = Vec::new();
    let mut count = 0;
    let (died, mut dies) = tokio::sync::mpsc::unbounded_channel();
    loop {
        let accepted = tokio::select! {
            accepted = server.accept() => accepted,
            _ = dies.recv() => return,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let does = script(count);
        count += 1;
        held.push(tokio::spawn(one(does, request, respond, Arc::clone(&notes), died.clone())));
    }
}

async fn one(
    does: Does,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    notes: Arc<Notes>,
    died: tokio::sync::mpsc::UnboundedSender<()>,
) {
    let (head, mut stream) = request.into_parts();
    let fields = head.headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let head = format!("{} {} HTTP/2\r\n{}\r\n", head.method, head.uri.path(), fields.collect::<String>());
    let mut body = Vec::new();
    if !matches!(does, Does::AnswersUnread(_)) {
        while let Some(Ok(piece)) = stream.data().await {
            let _ = stream.flow_control().release_capacity(piece.len());
            body.extend_from_slice(&piece);
        }
    }
    notes.push(Seen { head, body });
    let answer = |status: u16| http::Response::builder().status(status);
    match does {
        Does::Answers(status) => {
            respond.send_response(answer(status).body(()).unwrap(), true).unwrap();
        }
        Does::AnswersUnread(status) => {
            respond.send_response(answer(status).body(()).unwrap(), true).unwrap();
            pending::<()>().await;
        }
        Does::AnswersLate => {
            for _ in 0..9 {
                respond.send_informational(answer(102).body(()).unwrap()).unwrap();
            }
            respond.send_response(answer(200).body(()).unwrap(), true).unwrap();
        }
        Does::AnswersShort => {
            let mut stream =
                respond.send_response(answer(200).header("content-length", "100").body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"abc"), true).unwrap();
        }
        Does::AnswersLong(length) => {
            let mut stream = respond.send_response(answer(200).body(()).unwrap(), false).unwrap();
            let _ = stream.send_data(vec![b'a'; length].into(), true);
        }
        Does::Resets(reason) => respond.send_reset(reason),
        Does::Dies => {
            let _ = died.send(());
            pending::<()>().await;
        }
    }
}
