//! One request over one connection: taken from the pool or made, written, answered, given back or closed.
//!
//! Every wait is bounded by the request's deadline. A connection goes back to the pool only after a complete, well-framed
//! answer; whatever else happens, it is closed.

mod h1;
mod h2;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use tokio::time::{Instant, timeout_at};

use super::Outbound;
use super::failure::{Failure, Next};
use super::resolve::Peers;
use super::retry_after::RetryAfter;
use crate::domain::Fault;

/// How much of an answer is read and dropped beyond what is kept, so that its connection can be reused.
const DRAIN_BYTES: usize = 256 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// Interim answers (1xx) that are skipped.
pub(super) const MAX_INTERIM: usize = 8;
/// Of the time left, what a stalled write leaves for looking whether the server answered without reading the whole request.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What one connection attempt needs to know of its server.
pub(super) struct Link<'a> {
    pub(super) connector: &'a Connector<()>,
    pub(super) peers: &'a Peers,
    pub(super) authority: &'a HeaderValue,
    pub(super) connect_timeout: Duration,
    /// Zero: no connection is kept.
    pub(super) keepalive: Duration,
    /// HTTP/1.1 is not acceptable.
    pub(super) http2_only: bool,
}

/// Which connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A kept one where there is one.
    Any,
    /// A new one, because a kept one was dead; kept afterwards.
    Fresh,
    /// A new one, closed afterwards: a health check must not be fooled by a connection from better days.
    Once,
}

/// A whole answer, as far as it is kept.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<Bytes>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) body: Bytes,
    /// More came than is kept.
    pub(super) truncated: bool,
}

/// An answer's head and what was kept of its body; `complete` when nothing of it is left on the connection.
pub(super) struct Read {
    pub(super) answer: Answer,
    complete: bool,
}

impl Link<'_> {
    /// Sends the request once. A kept connection that turns out to be dead is replaced by a new one, once.
    pub(super) async fn send(
        &self,
        request: &Outbound<'_>,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        match self.attempt(request, wanted, deadline).await {
            Err(failure) if failure.next == Next::Fresh && wanted == Wanted::Any => {
                self.attempt(request, Wanted::Fresh, deadline).await
            }
            other => other,
        }
    }

    async fn attempt(&self, request: &Outbound<'_>, wanted: Wanted, deadline: Instant) -> Result<Answer, Failure> {
        let connected = self.connect(wanted, deadline).await?;
        let keep = !self.keepalive.is_zero() && wanted != Wanted::Once;
        let Connected { session, reused, home, used } = connected;
        match session {
            HttpSession::H1(_) if self.http2_only => {
                Err(Failure::new(Fault::UpstreamTls, Next::Server, "the server did not agree to HTTP/2"))
            }
            HttpSession::H1(mut session) => {
                let head = super::request::head(request, self.authority, false, !keep).map_err(|e| ours(&e))?;
                let read = h1::exchange(&mut session, head, request, reused, deadline).await?;
                session.respect_keepalive();
                if keep && read.complete && session.will_keepalive() {
                    self.connector.release_http_session(HttpSession::H1(session), home, Some(self.keepalive)).await;
                }
                Ok(read.answer)
            }
            HttpSession::H2(session) => {
                let head = super::request::head(request, self.authority, true, false).map_err(|e| ours(&e))?;
                // A connection of its own has no place in the pool.
                let spent = !keep || used.is_some();
                let peer = used.as_ref().unwrap_or(home);
                let mut stream = h2::Stream::new(session, self.connector, peer, self.keepalive, spent);
                let read = stream.exchange(head, request, reused, deadline).await?;
                stream.finished();
                Ok(read.answer)
            }
            HttpSession::Custom(()) => Err(Failure::new(Fault::Internal, Next::Nowhere, "a custom session")),
        }
    }

    /// The server's addresses in turn, each for at most the connect timeout.
    async fn connect(&self, wanted: Wanted, deadline: Instant) -> Result<Connected<'_>, Failure> {
        let mut last = Failure::new(Fault::UpstreamConnect, Next::Server, "the server has no address");
        for (index, home) in self.peers.in_order() {
            let limit = deadline.min(Instant::now() + self.connect_timeout);
            let mut used = (wanted != Wanted::Any).then(|| alone(home));
            let got = match timeout_at(limit, self.session(home, &mut used)).await {
                Ok(got) => got,
                Err(_) if limit == deadline => return Err(Failure::timeout("connecting")),
                Err(_) => Err(Failure::new(Fault::UpstreamConnect, Next::Server, "the connect timeout passed")),
            };
            match got {
                Ok((session, reused)) => {
                    self.peers.prefer(index);
                    return Ok(Connected { session, reused, home, used });
                }
                Err(failure) if failure.fault == Fault::UpstreamConnect => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
    }

    async fn session(&self, home: &HttpPeer, used: &mut Option<HttpPeer>) -> Result<(HttpSession, bool), Failure> {
        // Boxed: pingora's future holds a whole TLS handshake, 30 KiB that every idle connection of ours would carry along.
        let first = Box::pin(self.connector.get_http_session(used.as_ref().unwrap_or(home))).await;
        match first {
            Ok(got) => Ok(got),
            // A kept HTTP/2 connection that died shows here, before anything of the request is sent.
            Err(error) if used.is_none() && error.etype == pingora_error::ErrorType::H2Error => {
                let peer = used.insert(alone(home));
                Box::pin(self.connector.get_http_session(peer)).await.map_err(|e| Failure::connecting(&e))
            }
            Err(error) => Err(Failure::connecting(&error)),
        }
    }
}

struct Connected<'a> {
    session: HttpSession,
    reused: bool,
    /// Whose pool it goes back to.
    home: &'a HttpPeer,
    /// The peer it was made for, where that is another.
    used: Option<HttpPeer>,
}

/// The same peer under a pool key of its own: the pool has nothing for it, so a new connection is made.
fn alone(home: &HttpPeer) -> HttpPeer {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut peer = home.clone();
    peer.group_key ^= NEXT.fetch_add(1, Ordering::Relaxed);
    peer
}

fn ours(error: &pingora_error::Error) -> Failure {
    let failure = Failure::exchanging(error, true, false);
    Failure::new(Fault::Internal, Next::Nowhere, format!("the request could not be written: {}", failure.detail))
}

/// Collects what is kept of an answer's body and says when to stop reading.
pub(super) struct Keep {
    room: usize,
    kept: BytesMut,
    read: usize,
    deadline: Instant,
    /// Known once there is something to drain.
    drain_until: Option<Instant>,
    /// Whether what is missing of the first `room` bytes is worth the deadline.
    wants_body: bool,
}

/// What comes after a piece of body.
pub(super) enum More {
    /// Read on, until then.
    Until(Instant),
    /// It is not worth reading on.
    Enough,
}

impl Keep {
    pub(super) fn new(request: &Outbound<'_>, announced: Option<usize>, deadline: Instant) -> Self {
        let kept = BytesMut::with_capacity(announced.unwrap_or(0).min(request.keep_answer).min(64 * 1024));
        let wants_body = request.pass_through && request.keep_answer > 0;
        Self { room: request.keep_answer, kept, read: 0, deadline, drain_until: None, wants_body }
    }

    pub(super) fn put(&mut self, piece: &[u8]) {
        let room = self.room.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        self.read = self.read.saturating_add(piece.len());
    }

    /// Bytes of body so far, kept or not.
    fn read(&self) -> usize {
        self.read
    }

    pub(super) fn more(&mut self) -> More {
        if self.read > self.room.saturating_add(DRAIN_BYTES) {
            More::Enough
        } else if self.wants_body && self.kept.len() < self.room {
            More::Until(self.deadline)
        } else {
            let by = || self.deadline.min(Instant::now() + DRAIN_TIME);
            More::Until(*self.drain_until.get_or_insert_with(by))
        }
    }

    /// Time ran out on a piece: that is the end of draining, but a missing body is missing.
    pub(super) fn out_of_time(&self) -> Result<(), Failure> {
        if self.wants_body && self.kept.len() < self.room {
            return Err(Failure::timeout("reading the answer"));
        }
        Ok(())
    }

    pub(super) fn finish(self, status: u16, content_type: Option<Bytes>, complete: bool) -> Read {
        let truncated = !complete || self.read > self.kept.len();
        let body = self.kept.freeze();
        Read { answer: Answer { status, content_type, retry_after: None, body, truncated }, complete }
    }
}

impl Read {
    /// Notes what a head says beside its body.
    pub(super) fn noting(mut self, headers: &HeaderMap) -> Self {
        let value = headers.get(http::header::RETRY_AFTER);
        self.answer.retry_after = value.and_then(|value| RetryAfter::parse(value.as_bytes()));
        self
    }
}

fn content_type(headers: &HeaderMap) -> Option<Bytes> {
    headers.get(http::header::CONTENT_TYPE).map(|value| Bytes::copy_from_slice(value.as_bytes()))
}

/// A `Content-Length` that pingora has validated already.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.split(',').next()?.trim().parse().ok()
}
