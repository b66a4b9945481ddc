//! Answers of streams that are ready together leave together: one TLS record and one `send` instead of one of each per answer.
//!
//! A stream that has its answer wakes the task of its connection, and the runtime runs what was woken last first: that task
//! would find one answer, write it, and be woken for the next. So it steps back once, behind everything that is ready.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ::h2::server::{Connection, SendResponse};
use ::h2::{Error, RecvStream};
use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;

/// What shares the count of `streams` when one is open: the connection and that stream.
const ONE: usize = 2;

/// Accepts the next stream, and lets `h2` read and write while it waits. Where several streams are open, each time it is woken
/// it first lets everything else that is ready have its turn; the runtime bounds how long that takes.
pub(super) async fn accept<S>(
    peer: &mut Connection<S, Bytes>,
    streams: &Arc<()>,
) -> Option<Result<(Request<RecvStream>, SendResponse<Bytes>), Error>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut waits = false;
    poll_fn(|context| {
        if std::mem::take(&mut waits) && Arc::strong_count(streams) > ONE {
            // Wakes this task once the queue was empty; it is not polled again.
            let woken_later = pin!(yield_now()).poll(context);
            if woken_later.is_pending() {
                return Poll::Pending;
            }
        }
        waits = true;
        peer.poll_accept(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Context;

    use http::Response;
    use tokio::io::{DuplexStream, ReadBuf};
    use tokio::sync::watch;

    use super::*;

    /// Counts how often something was written.
    struct Counted {
        io: DuplexStream,
        writes: Arc<AtomicUsize>,
    }

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.io).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.io).poll_shutdown(context)
        }
    }

    /// One worker, which runs what was woken last first, as each of the relay's does.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn answers_that_are_ready_together_are_written_together() {
        const STREAMS: usize = 8;
        let (near, far) = tokio::io::duplex(64 * 1024);
        let writes = Arc::new(AtomicUsize::new(0));
        let io = Counted { io: near, writes: Arc::clone(&writes) };
        let (go, told) = watch::channel(false);
        tokio::spawn(async move {
            let mut peer = ::h2::server::handshake(io).await.unwrap();
            let streams = Arc::new(());
            while let Some(Ok((_, mut respond))) = accept(&mut peer, &streams).await {
                let (stream, mut told) = (Arc::clone(&streams), told.clone());
                tokio::spawn(async move {
                    let _stream = stream;
                    told.wait_for(|go| *go).await.unwrap();
                    respond.send_response(Response::new(()), true).unwrap();
                });
            }
        });
        let (mut client, connection) = ::h2::client::handshake(far).await.unwrap();
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..STREAMS {
            client = client.ready().await.unwrap();
            let request = Request::post("https://relay.example/").body(()).unwrap();
            answers.push(client.send_request(request, true).unwrap().0);
        }
        while go.receiver_count() <= STREAMS {
            yield_now().await;
        }
        let before = writes.load(Ordering::Relaxed);
        // On the worker, so that all of them are woken before one of them runs.
        tokio::spawn(async move { go.send(true).unwrap() });
        for answer in answers {
            answer.await.unwrap();
        }
        let together = writes.load(Ordering::Relaxed) - before;
        assert!(together <= 2, "{STREAMS} answers in {together} writes");
    }
}
