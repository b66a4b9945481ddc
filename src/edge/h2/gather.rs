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
