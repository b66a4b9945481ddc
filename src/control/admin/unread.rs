//! A socket whose peer has to read: what is written has a deadline.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// For an answer, from the moment in which the socket takes no more of it until it has taken all. Not for each byte: who reads
/// one now and then is no better than who reads none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The socket.
pub(super) struct Unread<S> {
    stream: S,
    /// Runs while something is not yet taken.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Unread<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, deadline: None }
    }

    /// Ends what waits for a peer that does not read.
    fn hold<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            ready!(self.deadline.get_or_insert_with(|| Box::pin(sleep(ANSWER_TIMEOUT))).as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unread<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unread<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buf);
        if let Poll::Ready(Ok(written)) = written
            && written == buf.len()
        {
            self.deadline = None;
        }
        self.hold(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.hold(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.hold(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_ends_with_its_deadline() {
        let (peer, ours) = tokio::io::duplex(64);
        let began = Instant::now();
        let error = Unread::new(ours).write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), ANSWER_TIMEOUT);
        drop(peer);
    }

    /// A byte each second renews nothing.
    #[tokio::test(start_paused = true)]
    async fn who_reads_in_drops_has_no_more_time() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let drops = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                if peer.read_u8().await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        assert!(Unread::new(ours).write_all(&[0; 1000]).await.is_err());
        assert!(began.elapsed() <= ANSWER_TIMEOUT + Duration::from_secs(1));
        drops.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_that_is_read_has_its_own_time() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let mut ours = Unread::new(ours);
        for _ in 0..5 {
            let read = async {
                sleep(ANSWER_TIMEOUT / 2).await;
                peer.read_exact(&mut [0; 100]).await
            };
            let (wrote, read) = tokio::join!(ours.write_all(&[0; 100]), read);
            assert!(wrote.is_ok() && read.is_ok());
        }
    }
}
