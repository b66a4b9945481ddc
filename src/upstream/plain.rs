//! HTTP/1.1 in clear, the most common way inward, over connections of our own.
//!
//! A request is one write (head and body together) and, as a rule, one read. pingora's client needs two writes, a
//! `getpeername` and a background task for each returned connection, and builds header maps that nobody reads
//! (`docs/adr/0008-plain-upstreams.md` has the measurement). It keeps everything that needs TLS or HTTP/2.
//!
//! The rules are those of `exchange`: every wait is bounded by the request's deadline, and a connection is kept only after a
//! complete, well-framed answer with nothing behind it.

mod answer;
mod chunks;
pub(super) mod kept;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderValue;
use pingora_core::upstreams::peer::Peer as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Outbound;
use super::exchange::{Answer, Keep, LOOK, MAX_INTERIM, More, Wanted};
use super::failure::{Failure, Next, cut};
use super::request;
use super::resolve::Peers;
use crate::base::patience::by;
use crate::domain::Fault;
use answer::{Ends, Head};
use chunks::Broken;
use kept::Kept;

/// What is read at a time; most answers fit whole. The buffer has held the request's head before.
const READ: usize = 2 * 1024;
/// With less room than that a new buffer is taken.
const LEAST: usize = 512;
/// The head of an answer. Longer ones are not believed.
const MAX_HEAD: usize = 64 * 1024;

/// What one attempt needs to know of its server.
pub(super) struct Plain<'a> {
    pub(super) kept: &'a Kept,
    pub(super) peers: &'a Peers,
    pub(super) authority: &'a HeaderValue,
    pub(super) connect_timeout: Duration,
    /// Zero: no connection is kept.
    pub(super) keepalive: Duration,
}

impl Plain<'_> {
    /// Sends the request once. A kept connection that turns out to be dead is replaced by a new one, once.
    pub(super) async fn send(
        &self,
        request: &Outbound<'_>,
        wanted: Wanted,
        now: Instant,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let keep = !self.keepalive.is_zero() && wanted != Wanted::Once;
        let head = || request::head_in_clear(request, self.authority, !keep, READ);
        let mut buffer = head()?;
        if wanted == Wanted::Any
            && let Some((stream, address)) = self.kept.take(now, |address| self.leads_to(address))
        {
            let mut connection = Connection { stream, reused: true, buffer };
            match connection.exchange(request, deadline).await {
                Err(failure) if failure.next == Next::Fresh => buffer = head()?,
                done => return self.done(connection.stream, address, keep, done),
            }
        }
        // Boxed, because it is rare: a request over a kept connection should not pay for its size.
        let (stream, address) = Box::pin(self.connect(deadline)).await?;
        let mut connection = Connection { stream, reused: false, buffer };
        let done = connection.exchange(request, deadline).await;
        self.done(connection.stream, address, keep, done)
    }

    /// Whether the server's name still stands for the address that a kept connection goes to.
    fn leads_to(&self, address: SocketAddr) -> bool {
        self.peers.in_order().any(|(_, peer)| peer.address().as_inet() == Some(&address))
    }

    /// The server's addresses in turn, each for at most the connect timeout.
    async fn connect(&self, deadline: Instant) -> Result<(TcpStream, SocketAddr), Failure> {
        let failed = |why: &str| Failure::new(Fault::UpstreamConnect, Next::Server, cut(why));
        let mut last = failed("the server has no address");
        for (index, peer) in self.peers.in_order() {
            let Some(address) = peer.address().as_inet().copied() else { continue };
            let limit = deadline.min(Instant::now() + self.connect_timeout);
            match timeout_at(limit, connect(address)).await {
                Ok(Ok(stream)) => {
                    self.peers.prefer(index);
                    return Ok((stream, address));
                }
                Ok(Err(error)) => last = failed(&format!("connecting: {error}")),
                Err(_) if limit == deadline => return Err(Failure::timeout("connecting")),
                Err(_) => last = failed("the connect timeout passed"),
            }
        }
        Err(last)
    }

    /// Keeps the connection where it may serve again.
    fn done(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        keep: bool,
        done: Result<(Answer, bool), Failure>,
    ) -> Result<Answer, Failure> {
        let (answer, again) = done?;
        if keep && again {
            self.kept.put(stream, address, Instant::now() + self.keepalive);
        }
        Ok(answer)
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A firewall between DMZ and inside forgets idle connections without telling.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// One connection.
struct Connection {
    stream: TcpStream,
    reused: bool,
    /// The head of the request; once that is written, what was read ahead.
    buffer: BytesMut,
}

impl Connection {
    /// The answer, and whether the connection may serve again.
    async fn exchange(&mut self, request: &Outbound<'_>, deadline: Instant) -> Result<(Answer, bool), Failure> {
        let written = self.write(request, deadline).await;
        self.buffer.clear();
        let Err(broken) = written else {
            let head = self.head(request, deadline).await?;
            return self.body(head, request, deadline).await;
        };
        // The server may have answered before it closed or stopped reading: "413", most often. The connection is spent
        // either way, because the request on it is not whole.
        let look_until = deadline.min(Instant::now() + LOOK);
        match self.head(request, look_until).await {
            Ok(head) => self.body(head, request, look_until).await.map(|(answer, _)| (answer, false)),
            // Nothing came: the write says more than the look did.
            Err(told) if told.fault == Fault::UpstreamTimeout => Err(broken),
            Err(told) => Err(told),
        }
    }

    async fn write(&mut self, request: &Outbound<'_>, deadline: Instant) -> Result<(), Failure> {
        let limit = || {
            let left = deadline.saturating_duration_since(Instant::now());
            deadline - LOOK.min(left / 8)
        };
        let mut whole = bytes::Buf::chain(&*self.buffer, &**request.body);
        match by(limit, self.stream.write_all_buf(&mut whole)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broke(&error, false)),
            Err(_) => Err(Failure::timeout("writing the request")),
        }
    }

    /// The head of the final answer.
    async fn head(&mut self, request: &Outbound<'_>, deadline: Instant) -> Result<Head, Failure> {
        let mut interim = 0;
        loop {
            if !self.buffer.is_empty()
                && let Some((head, length)) = answer::parse(&self.buffer, request)?
            {
                self.buffer.advance(length);
                match head.status {
                    101 => return Err(Failure::malformed("the server switched protocols")),
                    100..=199 if interim == MAX_INTERIM => return Err(Failure::malformed("too many interim answers")),
                    100..=199 => interim += 1,
                    _ => return Ok(head),
                }
                continue;
            }
            if self.buffer.len() >= MAX_HEAD {
                return Err(Failure::malformed("the head of the answer has no end"));
            }
            let seen = interim > 0 || !self.buffer.is_empty();
            match timeout_at(deadline, self.more()).await {
                Ok(Ok(0)) => return Err(self.ended(seen)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.broke(&error, seen)),
                Err(_) => return Err(Failure::timeout("waiting for the answer")),
            }
        }
    }

    /// The body as far as it is wanted, and whether the connection is as good as new.
    async fn body(&mut self, head: Head, request: &Outbound<'_>, deadline: Instant) -> Result<(Answer, bool), Failure> {
        let Head { status, content_type, retry_after, ends, keep_alive } = head;
        if matches!(ends, Ends::Here) {
            let answer = Answer { status, content_type, retry_after, body: Bytes::new(), truncated: false };
            return Ok((answer, keep_alive && self.buffer.is_empty()));
        }
        let mut keep = Keep::new(request, ends.announced(), deadline);
        let mut ends = ends;
        let complete = loop {
            if ends.take(&mut self.buffer, &mut keep)? {
                break true;
            }
            let More::Until(limit) = keep.more() else { break false };
            match timeout_at(limit, self.more()).await {
                Ok(Ok(0)) if matches!(ends, Ends::WithConnection) => break true,
                Ok(Ok(0)) => return Err(self.ended(true)),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(self.broke(&error, true)),
                Err(_) => {
                    keep.out_of_time()?;
                    break false;
                }
            }
        };
        let again = complete && keep_alive && self.buffer.is_empty() && !matches!(ends, Ends::WithConnection);
        let answer = keep.finish(status, content_type, complete).answer;
        Ok((Answer { retry_after, ..answer }, again))
    }

    async fn more(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < LEAST {
            self.buffer.reserve(READ);
        }
        self.stream.read_buf(&mut self.buffer).await
    }

    /// `seen`: whether any of the answer had come. A kept connection that says nothing had died before, and nobody looked
    /// at the request; any other may have been processed.
    fn broke(&self, error: &io::Error, seen: bool) -> Failure {
        let next = if self.reused && !seen { Next::Fresh } else { Next::Nowhere };
        Failure::new(Fault::UpstreamReset, next, cut(&error.to_string()))
    }

    fn ended(&self, seen: bool) -> Failure {
        let next = if self.reused && !seen { Next::Fresh } else { Next::Nowhere };
        Failure::new(Fault::UpstreamReset, next, "the server closed the connection")
    }
}

impl Ends {
    /// Moves what was read of the body to `keep`; whether that was all.
    fn take(&mut self, read: &mut BytesMut, keep: &mut Keep) -> Result<bool, Failure> {
        match self {
            Self::Here => Ok(true),
            Self::After(left) => {
                let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                keep.put(read.get(..piece).unwrap_or_default());
                read.advance(piece);
                *left -= piece as u64;
                Ok(*left == 0)
            }
            Self::Chunks(chunks) => chunks.take(read, |piece| keep.put(piece)).map_err(Broken::failure),
            Self::WithConnection => {
                keep.put(read);
                read.clear();
                Ok(false)
            }
        }
    }
}
