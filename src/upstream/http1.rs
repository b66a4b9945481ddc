//! HTTP/1.1, with and without TLS: one request over one connection.
//!
//! A request is one write (head and body together) and, as a rule, one read. What the server says is received while the request
//! is still being written: a server may answer before it has read everything, and most that do read no more
//! (`docs/adr/0019-one-http1-client.md`).
//!
//! Every wait is bounded by the request's deadline. A connection is kept only after a complete, well-framed answer with
//! nothing behind it.

mod chunks;
mod head;
pub(super) mod kept;
pub(super) mod wire;

use std::future::{Future as _, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use super::Outbound;
use super::answer::{Answer, Body, LOOK, More, STALL};
use super::failure::{Failure, Next};
use crate::base::patience::by;
use crate::domain::Fault;
use chunks::Broken;
use head::{Ends, Head};
use wire::Wire;

/// What is read at a time; most answers fit whole. The buffer has held the request's head before.
pub(super) const READ: usize = 2 * 1024;
/// With less room than that a new buffer is taken.
const LEAST: usize = 512;
/// The head of an answer, together with the interim answers before it. Longer ones are not believed.
const MAX_HEAD: usize = 64 * 1024;

/// One connection with one request.
pub(super) struct Connection {
    pub(super) wire: Wire,
    reused: bool,
    /// The head of the request; once that is written, what was read ahead.
    buffer: BytesMut,
    /// Bytes of interim answers.
    interim: usize,
    /// One of them says that the connection ends, or that a body follows where none can.
    spent: bool,
}

/// How far the writing got.
enum Written {
    /// Everything is out, and the final answer is not here yet.
    Whole,
    /// The final answer came before everything was out; whether everything is out now.
    Answered(Head, bool),
    /// The connection broke, or the server reads no more.
    Broken(Failure),
}

/// What came first.
enum Pushed {
    /// Everything is out.
    All,
    /// This many bytes were read; none: the server has closed.
    Heard(usize),
}

impl Connection {
    /// `head`: of the request, as it goes out.
    pub(super) fn new(wire: Wire, reused: bool, head: BytesMut) -> Self {
        Self { wire, reused, buffer: head, interim: 0, spent: false }
    }

    /// The answer, and whether the connection may serve again.
    pub(super) async fn exchange(
        &mut self,
        request: &Outbound<'_>,
        deadline: Instant,
    ) -> Result<(Answer, bool), Failure> {
        let broken = match self.write(request, deadline).await? {
            Written::Whole => {
                let head = self.head(request, deadline).await?;
                return self.body(head, request, deadline).await;
            }
            Written::Answered(head, whole) => {
                let (answer, again) = self.body(head, request, deadline).await?;
                return Ok((answer, again && whole));
            }
            Written::Broken(broken) => broken,
        };
        // The server may have answered before it closed or stopped reading. The connection is spent either way, because the
        // request on it is not whole.
        let look_until = deadline.min(Instant::now() + LOOK);
        match self.head(request, look_until).await {
            Ok(head) => self.body(head, request, look_until).await.map(|(answer, _)| (answer, false)),
            // Nothing came: the write says more than the look did.
            Err(told) if told.fault == Fault::UpstreamTimeout => Err(broken),
            Err(told) => Err(told),
        }
    }

    async fn write(&mut self, request: &Outbound<'_>, deadline: Instant) -> Result<Written, Failure> {
        let limit = || {
            let left = deadline.saturating_duration_since(Instant::now());
            deadline - LOOK.min(left / 8)
        };
        let mut head = mem::take(&mut self.buffer);
        let mut rest = Buf::chain(&*head, &**request.body);
        loop {
            match by(limit, self.push(&mut rest)).await {
                Ok(Ok(Pushed::All)) => break,
                Ok(Ok(Pushed::Heard(0))) => return Ok(Written::Broken(self.ended())),
                Ok(Ok(Pushed::Heard(_))) => {}
                Ok(Err(error)) => return Ok(Written::Broken(self.broke(&error))),
                Err(_) => return Ok(Written::Broken(Failure::timeout("writing the request"))),
            }
            if let Some(answered) = self.answered(request)? {
                // A refusal is a refusal of the rest, too. A success may be said by a server that still reads.
                let whole = (200..300).contains(&answered.status) && self.push_on(&mut rest, deadline).await;
                return Ok(Written::Answered(answered, whole));
            }
        }
        if self.buffer.capacity() == 0 {
            head.clear();
            self.buffer = head;
        }
        Ok(Written::Whole)
    }

    /// Writes until everything is written or something is received. Nothing is read while the writing gets on.
    async fn push(&mut self, rest: &mut impl Buf) -> io::Result<Pushed> {
        poll_fn(|context| match self.poll_push(rest, context) {
            Poll::Ready(pushed) => Poll::Ready(pushed.map(|()| Pushed::All)),
            Poll::Pending => pin!(self.more()).poll(context).map_ok(Pushed::Heard),
        })
        .await
    }

    fn poll_push(&mut self, rest: &mut impl Buf, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while rest.has_remaining() {
            if ready!(pin!(self.wire.write_buf(rest)).poll(context))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Pin::new(&mut self.wire).poll_flush(context)
    }

    /// Writes the rest to a server that has answered with success, for as long as it reads; whether everything is out.
    async fn push_on(&mut self, rest: &mut impl Buf, deadline: Instant) -> bool {
        loop {
            let limit = deadline.min(Instant::now() + STALL);
            let before = rest.remaining();
            let some = poll_fn(|context| match self.poll_push(rest, context) {
                Poll::Pending if rest.remaining() < before => Poll::Ready(Ok(())),
                other => other,
            });
            match timeout_at(limit, some).await {
                Ok(Ok(())) if rest.remaining() < before && rest.has_remaining() => {}
                Ok(done) => return done.is_ok(),
                Err(_) => return false,
            }
        }
    }

    /// The head of the final answer.
    async fn head(&mut self, request: &Outbound<'_>, deadline: Instant) -> Result<Head, Failure> {
        loop {
            if let Some(head) = self.answered(request)? {
                return Ok(head);
            }
            match timeout_at(deadline, self.more()).await {
                Ok(Ok(0)) => return Err(self.ended()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.broke(&error)),
                Err(_) => return Err(Failure::timeout("waiting for the answer")),
            }
        }
    }

    /// The head of the final answer, once it is here. Interim ones are dropped, however many there are.
    fn answered(&mut self, request: &Outbound<'_>) -> Result<Option<Head>, Failure> {
        while !self.buffer.is_empty()
            && let Some((head, length)) = head::parse(&self.buffer, request)?
        {
            self.buffer.advance(length);
            match head.status {
                101 => return Err(Failure::malformed("the server switched protocols")),
                100..=199 => {
                    self.interim += length;
                    self.spent |= !head.keep_alive;
                }
                // What a server says as it closes an idle connection, crossed by our request. It was not looked at, but no
                // rule of the protocol says so: the new one is marked like any other.
                408 if self.reused && self.interim == 0 && !head.keep_alive => {
                    let detail = "the server closed an idle connection with status 408";
                    return Err(Failure::new(Fault::UpstreamReset, Next::Fresh, detail));
                }
                _ => return Ok(Some(head)),
            }
        }
        if self.interim + self.buffer.len() >= MAX_HEAD {
            return Err(Failure::malformed("the head of the answer has no end"));
        }
        Ok(None)
    }

    /// The body as far as it is wanted, and whether the connection is as good as new.
    async fn body(&mut self, head: Head, request: &Outbound<'_>, deadline: Instant) -> Result<(Answer, bool), Failure> {
        let Head { status, content_type, content_encoding, retry_after, mut ends, keep_alive } = head;
        let keep_alive = keep_alive && !self.spent;
        let answer = Answer { status, content_type, content_encoding, retry_after, body: Bytes::new() };
        if matches!(ends, Ends::Here) {
            return Ok((answer, keep_alive && self.buffer.is_empty()));
        }
        let mut body = Body::new(request, ends.announced(), deadline)?;
        let complete = loop {
            match ends.take(&mut self.buffer, &mut body) {
                Ok(true) => break true,
                Ok(false) => {}
                Err(broken) => {
                    body.cut_short(broken)?;
                    break false;
                }
            }
            let More::Until(limit) = body.more()? else { break false };
            let failure = match timeout_at(limit, self.more()).await {
                Ok(Ok(0)) if matches!(ends, Ends::WithConnection) => break true,
                Ok(Ok(0)) => Failure::reset("the server closed the connection within the answer"),
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => Failure::reset(&error.to_string()),
                Err(_) => Failure::timeout("reading the answer"),
            };
            body.cut_short(failure)?;
            break false;
        };
        let again = complete && keep_alive && self.buffer.is_empty() && !matches!(ends, Ends::WithConnection);
        Ok((Answer { body: body.finish()?, ..answer }, again))
    }

    async fn more(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < LEAST {
            self.buffer.reserve(READ);
        }
        self.wire.read_buf(&mut self.buffer).await
    }

    /// A kept connection that breaks before it says anything was most likely dead before: the request is sent again, with
    /// the next number. Any other may have been processed.
    fn broke(&self, error: &io::Error) -> Failure {
        if self.is_silent() { Failure::silent(error, self.reused) } else { Failure::reset(&error.to_string()) }
    }

    fn ended(&self) -> Failure {
        let failure = Failure::reset("the server closed the connection");
        if self.reused && self.is_silent() { Failure { next: Next::Fresh, ..failure } } else { failure }
    }

    /// Whether nothing of an answer has come.
    fn is_silent(&self) -> bool {
        self.interim == 0 && self.buffer.is_empty()
    }
}

impl Ends {
    /// Moves what was read of the body to `body`; whether that was all.
    fn take(&mut self, read: &mut BytesMut, body: &mut Body) -> Result<bool, Failure> {
        match self {
            Self::Here => Ok(true),
            Self::After(left) => {
                let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                body.put(read.get(..piece).unwrap_or_default());
                read.advance(piece);
                *left -= piece as u64;
                Ok(*left == 0)
            }
            Self::Chunks(chunks) => chunks.take(read, |piece| body.put(piece)).map_err(Broken::failure),
            Self::WithConnection => {
                body.put(read);
                read.clear();
                Ok(false)
            }
        }
    }
}
