//! HTTP/2, over pingora's connector and the h2 crate, which skips interim answers and checks lengths itself.

use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use pingora_core::connectors::http::v2::{Connector, H2HandshakeSettings, handshake};
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::protocols::{ALPN, Stream as Transport};
use pingora_core::upstreams::peer::{HttpPeer, Peer as _};
use pingora_error::{BError, Error, ErrorType};
use pingora_http::RequestHeader;
use tokio::time::{Instant, timeout, timeout_at};

use super::Outbound;
use super::answer::{Answer, Body, More, STALL};
use super::failure::Failure;
use super::retry_after::RetryAfter;

/// Streams that share one connection.
const MAX_STREAMS: usize = 100;
/// Answers are small or dropped: a window of this size per stream bounds what a lying server makes us hold.
const STREAM_WINDOW: u32 = 256 * 1024;
/// For all streams of a connection.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Whether the TLS handshake agreed on HTTP/2.
pub(super) fn is_agreed(transport: &Transport) -> bool {
    matches!(transport.selected_alpn_proto(), Some(ALPN::H2))
}

/// A new connection with one stream. `keep`: others may have streams on it, too.
pub(super) async fn begin(
    transport: Transport,
    connector: &Connector,
    peer: &HttpPeer,
    keep: bool,
) -> Result<Http2Session, BError> {
    let mut settings = H2HandshakeSettings::new();
    settings.max_streams = MAX_STREAMS;
    settings.stream_window_size = Some(STREAM_WINDOW);
    settings.connection_window_size = Some(CONNECTION_WINDOW);
    let connection = handshake(transport, settings).await?;
    let session = connection.spawn_stream().await?;
    let session = session.ok_or_else(|| Error::explain(ErrorType::H2Error, "a new connection takes no stream"))?;
    if keep && connection.more_streams_allowed() {
        connector.in_use_pool().insert(peer.reuse_hash(), connection);
    }
    Ok(session)
}

/// A stream that gives its share of the connection back when it is dropped, also in the middle of things: pingora would
/// otherwise keep the connection among those in use for ever.
pub(super) struct Stream<'a> {
    session: Option<Http2Session>,
    connector: &'a Connector,
    peer: &'a HttpPeer,
    keepalive: Duration,
    /// The connection takes no further streams; those that run, run to their end.
    spent: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        session: Http2Session,
        connector: &'a Connector,
        peer: &'a HttpPeer,
        keepalive: Duration,
        spent: bool,
    ) -> Self {
        Self { session: Some(session), connector, peer, keepalive, spent }
    }

    /// On an error the connection is spent: one that timed out may be a black hole that every later request would fall into,
    /// and one that failed is not to be trusted.
    pub(super) async fn exchange(
        &mut self,
        head: Box<RequestHeader>,
        request: &Outbound<'_>,
        reused: bool,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let session = self.session.as_mut().ok_or_else(|| Failure::malformed("no session"))?;
        let done = exchange(session, head, request, reused, deadline).await;
        self.spent |= !matches!(done, Ok((_, true)));
        done.map(|(answer, _)| answer)
    }

    /// Says in words what the drop does.
    pub(super) fn finished(self) {}
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if self.spent {
            session.conn.mark_shutdown();
        }
        // pingora starts a task that closes the connection when it was idle for long; without a runtime everything ends.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.connector.release_http_session(session, self.peer, Some(self.keepalive));
        }
    }
}

/// The answer, and whether the connection is still to be trusted.
async fn exchange(
    session: &mut Http2Session,
    head: Box<RequestHeader>,
    request: &Outbound<'_>,
    reused: bool,
    deadline: Instant,
) -> Result<(Answer, bool), Failure> {
    let failed = |error: &BError| Failure::exchanging(error, reused);
    session.write_request_header(head, request.body.is_empty()).map_err(|error| failed(&error))?;
    let head = timeout_at(deadline, write_and_wait(session, &request.body)).await;
    head.map_err(|_| Failure::timeout("waiting for the answer"))?.map_err(|error| failed(&error))?;
    read(session, request, deadline).await
}

/// Writes the body and waits for the head of the answer, whichever is done first: a server may answer before it has read
/// everything, and one that resets the stream may have answered before.
async fn write_and_wait(session: &mut Http2Session, body: &Bytes) -> Result<(), BError> {
    let writer = if body.is_empty() { None } else { session.take_request_body_writer() };
    let Some(mut writer) = writer else { return session.read_response_header().await };
    let mut rest = body.clone();
    {
        let mut waiting = std::pin::pin!(session.read_response_header());
        while !rest.is_empty() {
            tokio::select! {
                early = &mut waiting => {
                    early?;
                    break;
                }
                pushed = push(&mut writer, &mut rest) => {
                    // A failed write is seen by the reader, too, and better: a reset stream may still hold an answer.
                    if pushed.is_err() || rest.is_empty() {
                        return waiting.await;
                    }
                }
            }
        }
    }
    // A refusal is a refusal of the rest, too. A success may be said by a server that still reads.
    if session.response_header().is_some_and(|head| head.status.is_success()) {
        while !rest.is_empty() && matches!(timeout(STALL, push(&mut writer, &mut rest)).await, Ok(Ok(()))) {}
    }
    Ok(())
}

/// Writes as much as the server's window has room for, once it has some.
async fn push(writer: &mut SendStream<Bytes>, rest: &mut Bytes) -> Result<(), h2::Error> {
    writer.reserve_capacity(rest.len());
    let room = std::future::poll_fn(|context| writer.poll_capacity(context)).await;
    // `None`: the stream takes nothing more.
    let room = room.unwrap_or(Err(h2::Reason::STREAM_CLOSED.into()))?;
    let piece = rest.split_to(room.min(rest.len()));
    writer.send_data(piece, rest.is_empty())
}

async fn read(
    session: &mut Http2Session,
    request: &Outbound<'_>,
    deadline: Instant,
) -> Result<(Answer, bool), Failure> {
    let head = session.response_header().ok_or_else(|| Failure::malformed("no head"))?;
    let answer = of_head(head.status.as_u16(), &head.headers, request.pass_through.is_some());
    let announced = announced(&head.headers);
    let mut body = Body::new(request, announced, deadline)?;
    let sound = loop {
        // What is left of a stream is reset, and the connection is as good as before.
        let More::Until(limit) = body.more()? else { break true };
        let Ok(piece) = timeout_at(limit, session.read_response_body()).await else {
            body.cut_short(Failure::timeout("reading the answer"))?;
            break true;
        };
        match piece {
            Ok(Some(piece)) => body.put(&piece),
            Ok(None) => break true,
            // "Do not send the rest, I have answered" (RFC 9113, 8.1).
            Err(error) if asks_to_stop(&error) && announced.is_none_or(|length| length == body.read() as u64) => {
                break true;
            }
            Err(error) => {
                body.cut_short(Failure::exchanging(&error, false))?;
                break false;
            }
        }
    };
    Ok((Answer { body: body.finish()?, ..answer }, sound))
}

fn of_head(status: u16, fields: &HeaderMap, passed_on: bool) -> Answer {
    let list = fields.get_all(CONTENT_ENCODING).iter().map(http::HeaderValue::as_bytes).collect::<Vec<_>>();
    Answer {
        status,
        content_type: fields
            .get(CONTENT_TYPE)
            .filter(|_| passed_on)
            .map(|value| Bytes::copy_from_slice(value.as_bytes())),
        content_encoding: (passed_on && !list.is_empty()).then(|| Bytes::from(list.join(&b", "[..]))),
        retry_after: fields.get(RETRY_AFTER).and_then(|value| RetryAfter::parse(value.as_bytes())),
        body: Bytes::new(),
    }
}

fn asks_to_stop(error: &Error) -> bool {
    let reset = error.root_cause().downcast_ref::<h2::Error>();
    reset.is_some_and(|e| e.is_reset() && e.is_remote() && e.reason() == Some(h2::Reason::NO_ERROR))
}

/// A `Content-Length` that was validated already.
fn announced(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.split(',').next()?.trim().parse().ok()
}
