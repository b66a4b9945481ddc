//! HTTP/1.1 (and 1.0) on one accepted connection.
//!
//! One buffer holds what was read; a head is looked at only when it is complete, within its own total deadline and size.
//! Requests are answered one after another, so a pipelined one waits its turn and is verified like any other. After
//! anything that could leave bytes of doubtful meaning in the buffer, the connection ends.

mod body;
pub(super) mod chunked;
mod idle;
pub(super) mod parse;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use crate::base::catch::catch_panic;
use crate::base::patience::within;
use crate::domain::{Answer, Head, Refusal, Version};
use crate::gate::pipeline::unlisted::Unlisted;
use crate::gate::pipeline::{self, Connection, Served};
use crate::runtime::snapshot::{Limits, Snapshot};

use super::wire::Wire;
use super::{Draining, LINGER_TIME, Relay};
use super::{opening, proxy_header, reply};
use body::Body;
use idle::Idle;
use parse::Parsed;

/// How much of an unwanted body is read and dropped so that its sender can read the answer, and for how long ([`LINGER_TIME`]).
const LINGER_BYTES: usize = 1024 * 1024;
/// How much of it is read at a time.
const LINGER_READ: usize = 4096;
/// A body may keep the buffer that it came in, and with it the head before it; not one of more than this.
const HEAD_KEPT: usize = 4096;
/// Empty lines that may stand before a request line. One is what old clients write behind a body (RFC 9112 section 2.2).
const EMPTY_LINES: usize = 8;

/// Why there is no next request.
enum NoHead {
    /// The peer closed, or stayed idle, or the relay is draining: nothing to say.
    Silent,
    /// Something to say, and then the end.
    Refused(Refusal),
}

struct Session<S> {
    io: S,
    /// What has arrived and was not used; an idle connection has none.
    buffer: BytesMut,
    out: Vec<u8>,
}

/// Serves the connection to its end.
pub(super) async fn serve<S: Wire>(io: S, relay: &Arc<Relay>, connection: Connection, draining: Draining) {
    let mut session = Session { io, buffer: BytesMut::new(), out: Vec::with_capacity(512) };
    let mut current = relay.current();
    let mut told = draining.clone();
    let (timer, begun) = (pin!(sleep(current.load().limits.head_timeout)), pin!(told.begun()));
    let mut idle = Idle::new(timer, begun, &draining);
    let mut first = true;
    loop {
        let limits = &current.load().limits;
        let is_first = std::mem::replace(&mut first, false);
        let wait = if is_first { limits.head_timeout } else { limits.idle_timeout };
        let parsed = match session.head(wait, limits, &mut idle).await {
            Ok(parsed) => parsed,
            Err(NoHead::Silent) => break,
            Err(NoHead::Refused(refusal)) => {
                let why = (is_first && proxy_header::is_left_of(&session.buffer))
                    .then(|| opening::unexpected_header(connection.source, &connection.listener.name));
                let (answer, id) = relay.edge_refused(&connection, Version::Http11, refusal, why.as_deref());
                session.end(&answer, &id, None, relay, limits).await;
                return;
            }
        };
        // The current snapshot, also when the reload came while this connection was idle.
        if !session.exchange(relay, current.load(), &connection, parsed, &draining).await {
            return;
        }
        // A sender that does not wait for its answers takes turns with those that do.
        if !session.buffer.is_empty() {
            yield_now().await;
        }
    }
    let _ = timeout(LINGER_TIME, session.io.shutdown()).await;
}

impl<S: Wire> Session<S> {
    /// One request and its answer; false when the connection ended with it.
    async fn exchange(
        &mut self,
        relay: &Arc<Relay>,
        snapshot: &Snapshot,
        connection: &Connection,
        parsed: Parsed,
        draining: &Draining,
    ) -> bool {
        let Parsed { head, keep_alive } = parsed;
        let mut body = Body::new(&mut self.io, &mut self.buffer, head.framing(), head.expects_continue());
        // In a box, so that an idle connection does not carry the size of a request under way; boxed before anything else takes
        // it, because each of them would copy that size.
        let served = catch_panic(Box::pin(pipeline::serve(&relay.gate, snapshot, connection, &head, &mut body))).await;
        let Served { answer, request_id, unlisted } = served.unwrap_or_else(|_| Served::panicked());
        let unlisted = unlisted.map(|unlisted| (unlisted, &head));
        if answer.close {
            self.end(&answer, &request_id, unlisted, relay, &snapshot.limits).await;
            return false;
        }
        let close = !keep_alive || draining.is_draining();
        let written = self.write(&answer, &request_id, close, relay, &snapshot.limits).await;
        if written && let Some((unlisted, head)) = unlisted {
            self.verify(unlisted, head, relay, Instant::now() + LINGER_TIME).await;
        }
        written && !close
    }

    /// The sender has its answer; what was not read of the body is still to come.
    async fn verify(&mut self, unlisted: Unlisted, head: &Head, relay: &Relay, by: Instant) {
        let mut body = Body::new(&mut self.io, &mut self.buffer, head.framing(), false);
        let _ = catch_panic(Box::pin(unlisted.verify(&relay.gate, head, &mut body, by))).await;
    }

    /// Reads until the empty line. The first byte has `wait`; from then on the whole head has `head_timeout`. Empty lines before
    /// the request line begin no head: the connection is as idle as it was.
    async fn head(
        &mut self,
        wait: Duration,
        limits: &Limits,
        idle: &mut Idle<'_, impl Future<Output = Instant>>,
    ) -> Result<Parsed, NoHead> {
        let Self { io, buffer, .. } = self;
        let mut skipped = 0;
        if !begins(buffer, &mut skipped)? {
            let begun = |context: &mut Context<'_>| loop {
                match ready!(io.poll_arrived(context, buffer)) {
                    Ok(1..) if begins(buffer, &mut skipped)? => return Poll::Ready(Ok(())),
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Err(NoHead::Silent)),
                }
            };
            idle.wait(wait, begun).await.unwrap_or(Err(NoHead::Silent))?;
        }
        let mut deadline = None;
        let mut scanned = 0;
        loop {
            if let Some(end) = head_end(buffer, &mut scanned).map_err(NoHead::Refused)? {
                if end > limits.max_head {
                    return Err(NoHead::Refused(Refusal::HeadTooLarge));
                }
                let bytes = buffer.get(..end).unwrap_or_default();
                let parsed = parse::parse(bytes, limits.max_headers).map_err(NoHead::Refused)?;
                if end > HEAD_KEPT {
                    *buffer = BytesMut::from(buffer.get(end..).unwrap_or_default());
                } else {
                    buffer.advance(end);
                }
                return Ok(parsed);
            }
            if buffer.len() >= limits.max_head {
                return Err(NoHead::Refused(Refusal::HeadTooLarge));
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + limits.head_timeout);
            match timeout_at(deadline, poll_fn(|context| io.poll_arrived(context, buffer))).await {
                Ok(Ok(1..)) => {}
                Ok(_) => return Err(NoHead::Silent),
                Err(_) => return Err(NoHead::Refused(Refusal::HeadTimeout)),
            }
        }
    }

    /// With the last answer the sending side is closed, so that both go out together.
    async fn write(&mut self, answer: &Answer, id: &str, close: bool, relay: &Relay, limits: &Limits) -> bool {
        reply::write_h1(&mut self.out, answer, id, close, relay.gate.clock.now());
        let sent = async {
            self.io.write_all(&self.out).await?;
            if close { self.io.shutdown().await } else { self.io.flush().await }
        };
        matches!(within(limits.write_timeout, sent).await, Ok(Ok(())))
    }

    /// Answers, closes the sending side, and reads on for a moment: closing a socket with unread bytes in it would reset the
    /// connection, and the reset could reach the sender before the answer does.
    async fn end(
        &mut self,
        answer: &Answer,
        request_id: &str,
        unlisted: Option<(Unlisted, &Head)>,
        relay: &Relay,
        limits: &Limits,
    ) {
        if !self.write(answer, request_id, true, relay, limits).await {
            return;
        }
        let by = Instant::now() + LINGER_TIME;
        if let Some((unlisted, head)) = unlisted {
            self.verify(unlisted, head, relay, by).await;
        }
        let linger = async {
            let mut left = LINGER_BYTES;
            while left > 0 {
                self.buffer.clear();
                self.buffer.reserve(LINGER_READ);
                match self.io.read_buf(&mut self.buffer).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            std::io::Result::Ok(())
        };
        let _ = timeout_at(by, linger).await;
    }
}

/// Drops empty lines at the beginning, of which there may be a few in all, and says whether a head begins behind them. An idle
/// connection is left without a buffer.
fn begins(buffer: &mut BytesMut, skipped: &mut usize) -> Result<bool, NoHead> {
    while buffer.starts_with(b"\r\n") {
        *skipped += 1;
        if *skipped > EMPTY_LINES {
            return Err(NoHead::Refused(Refusal::HeadMalformed));
        }
        buffer.advance(2);
    }
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
    // The first half of an empty line is no more of a head than a whole one.
    Ok(!matches!(buffer.as_ref(), [] | [b'\r']))
}

/// The length of the head, once its empty line is there. A line feed without a carriage return is refused where it stands,
/// not waited out: some servers would take it for the end of the head.
pub(super) fn head_end(buffer: &[u8], scanned: &mut usize) -> Result<Option<usize>, Refusal> {
    let start = *scanned;
    for feed in memchr::memchr_iter(b'\n', buffer.get(start..).unwrap_or_default()) {
        let at = start + feed;
        let before = at.checked_sub(1).and_then(|before| buffer.get(before));
        if before != Some(&b'\r') {
            return Err(Refusal::HeadMalformed);
        }
        if at.checked_sub(3).and_then(|from| buffer.get(from..at)) == Some(b"\r\n\r") {
            return Ok(Some(at + 1));
        }
    }
    *scanned = buffer.len();
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for cut in 0..head.len() {
            let mut scanned = 0;
            let first = head_end(&head[..cut], &mut scanned).unwrap();
            assert_eq!(first, (cut >= 28).then_some(28), "cut at {cut}");
            if first.is_none() {
                assert_eq!(head_end(head, &mut scanned).unwrap(), Some(28), "cut at {cut}");
            }
        }
    }

    #[test]
    fn bare_line_feeds_are_refused_at_once() {
        for text in ["POST / HTTP/1.1\n", "POST / HTTP/1.1\r\nHost: a\n\r\n", "\n"] {
            assert_eq!(head_end(text.as_bytes(), &mut 0), Err(Refusal::HeadMalformed), "{text:?}");
        }
    }
}
