//! HTTP/2 on one accepted connection: `h2` with bounds of our own, one task per stream.
//!
//! A stream's task owns its request to the end: a sender that resets the stream after its webhook was verified does not cut
//! a delivery in half.

mod body;
mod fragment;
mod gather;
pub(super) mod guard;
mod head;
mod huffman;
mod outgoing;

use std::future::poll_fn;
use std::sync::Arc;

use ::h2::server::{Builder, SendResponse};
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::base::UnixMillis;
use crate::base::catch::catch_panic;
use crate::domain::{Answer, Refusal, Version};
use crate::gate::pipeline::{self, Connection, Served};
use crate::observe::{Http2Ended, Http2Error, Http2Scope};
use crate::runtime::snapshot::{Limits, Snapshot};

use super::reply;
use super::{Draining, LINGER_TIME, Relay};
use body::Body;
use guard::Guarded;

/// What one stream may send before its body is read, and what all streams of a connection may.
const STREAM_WINDOW: u32 = 256 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Streams that a peer reset and that were not yet looked at; beyond it the connection ends (rapid reset).
const PENDING_RESETS: usize = 20;
/// Streams that we reset and still remember, and for how long.
const REMEMBERED_RESETS: usize = 16;
const REMEMBERED_FOR: Duration = Duration::from_secs(5);
/// Streams reset for the peer's errors; beyond it the connection ends (made-you-reset).
const ERROR_RESETS: usize = 64;
const SEND_BUFFER: usize = 64 * 1024;
/// `h2` answers a head beyond its own bound by itself, unseen by the log; up to this many times the limit the relay does.
pub(super) const HEAD_SLACK: u32 = 2;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// As many as an answer has at most.
const FIELDS: usize = 6;

/// Serves the connection to its end.
pub(super) async fn serve<S>(io: S, relay: &Arc<Relay>, connection: Connection, mut draining: Draining)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut current = relay.current();
    let limits = current.load().limits.clone();
    let connection = Arc::new(connection);
    let told = |scope, error| {
        let (listener, source) = (&*connection.listener.name, connection.source.ip);
        relay.gate.observer.http2_ended(&Http2Ended { listener, source, scope, error });
    };
    let (io, guarded) = Guarded::new(io, head_most(&limits), told);
    let mut last_call = draining.clone();
    let preface = tokio::select! {
        preface = timeout(limits.handshake_timeout, builder(&limits).handshake::<_, Bytes>(io)) => preface,
        () = last_call.last_call() => return,
    };
    let mut peer = match preface {
        Ok(Ok(peer)) => peer,
        // What is not HTTP/2 gets no frame; who says nothing gets no line, as over HTTP/1.1.
        Ok(Err(error)) if !error.is_io() => return told(Http2Scope::Connection, Http2Error::Protocol),
        Ok(Err(_)) | Err(_) => return,
    };
    let streams = Arc::new(());
    let mut idle_at = Instant::now() + limits.idle_timeout;
    let (mut fresh, mut drains, mut closing) = (true, false, false);
    loop {
        let accepted = tokio::select! {
            accepted = gather::accept(&mut peer, &streams) => accepted,
            () = guarded.spent.happens() => {
                peer.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                let _ = timeout(limits.write_timeout, poll_fn(|context| peer.poll_closed(context))).await;
                return;
            }
            last_call = draining.begun(), if !drains && !closing => {
                drains = true;
                if fresh {
                    // Its first request is on its way, and many senders take a GOAWAY before it for a refusal.
                    idle_at = idle_at.min(last_call);
                    continue;
                }
                peer.graceful_shutdown();
                closing = true;
                idle_at = Instant::now() + limits.drain_timeout;
                continue;
            }
            () = sleep_until(idle_at) => {
                if Arc::strong_count(&streams) > 1 && !closing {
                    idle_at = Instant::now() + limits.idle_timeout;
                } else if closing {
                    return;
                } else {
                    peer.graceful_shutdown();
                    closing = true;
                    idle_at = Instant::now() + limits.write_timeout;
                }
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else { return };
        fresh = false;
        if drains && !closing {
            peer.graceful_shutdown();
            closing = true;
            idle_at = Instant::now() + limits.drain_timeout;
        } else if !closing {
            idle_at = Instant::now() + limits.idle_timeout;
        }
        let exchange = Exchange {
            relay: Arc::clone(relay),
            snapshot: Arc::clone(current.load()),
            connection: Arc::clone(&connection),
            has_fragment: guarded.marked.take(request.body().stream_id().as_u32()),
            _stream: Arc::clone(&streams),
        };
        // Boxed: the runtime would copy it four times, and a task of an odd size at the runtime's alignment is the allocator's
        // slow path.
        tokio::spawn(Box::pin(exchange.serve(request, respond)));
    }
}

/// The largest head that `h2` lets through.
fn head_most(limits: &Limits) -> usize {
    limits.max_head.saturating_mul(HEAD_SLACK as usize)
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.max_h2_streams)
        .max_header_list_size(u32::try_from(head_most(limits)).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .reset_stream_duration(REMEMBERED_FOR)
        .max_local_error_reset_streams(Some(ERROR_RESETS))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// One stream.
struct Exchange {
    relay: Arc<Relay>,
    snapshot: Arc<Snapshot>,
    connection: Arc<Connection>,
    /// Its target had one, which `h2` took away.
    has_fragment: bool,
    _stream: Arc<()>,
}

impl Exchange {
    async fn serve(self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let limits = &self.snapshot.limits;
        let now = self.relay.gate.clock.now();
        let (parts, stream) = request.into_parts();
        let read = if self.has_fragment {
            Err(Refusal::HeadMalformed)
        } else {
            head::read(&parts, stream.is_end_stream(), limits)
        };
        let head = match read {
            Ok(head) => head,
            Err(refusal) => {
                let (answer, id) = self.relay.edge_refused(&self.connection, Version::Http2, refusal, None);
                return send(respond, &answer, &id, now, limits.write_timeout).await;
            }
        };
        drop(parts);
        let mut body = Body::new(stream, respond, head.expects_continue());
        // In a box, so that the task is small to move, and a stream whose peer takes no answer costs no more than the answer.
        let served = catch_panic(Box::pin(pipeline::serve(
            &self.relay.gate,
            &self.snapshot,
            &self.connection,
            &head,
            &mut body,
        )))
        .await;
        let Served { answer, request_id, unlisted } = served.unwrap_or_else(|_| Served::panicked());
        if let Some(unlisted) = unlisted {
            let (respond, mut body) = body.split();
            send(respond, &answer, &request_id, now, limits.write_timeout).await;
            let by = Instant::now() + LINGER_TIME;
            let _ = catch_panic(Box::pin(unlisted.verify(&self.relay.gate, &head, &mut body, by))).await;
            return;
        }
        drop(head);
        send(body.into_respond(), &answer, &request_id, now, limits.write_timeout).await;
    }
}

/// Sends an answer; a peer that does not take it in time loses the stream.
async fn send(mut respond: SendResponse<Bytes>, answer: &Answer, id: &str, now: UnixMillis, within: Duration) {
    let Some(response) = response(answer, id, now) else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return;
    };
    let Ok(mut stream) = respond.send_response(response, answer.body.is_empty()) else { return };
    if !answer.body.is_empty() && timeout(within, write(&mut stream, answer.body.clone())).await.is_err() {
        stream.send_reset(Reason::CANCEL);
    }
}

/// Writes no more than the peer's window allows, so that nothing piles up for a peer that does not read.
async fn write(stream: &mut SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(Ok(room)) = poll_fn(|context| stream.poll_capacity(context)).await else { return };
        let part = body.split_to(room.min(body.len()));
        if stream.send_data(part, body.is_empty()).is_err() {
            return;
        }
    }
}

fn response(answer: &Answer, request_id: &str, now: UnixMillis) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(answer.status).ok()?;
    let mut fields = HeaderMap::with_capacity(FIELDS);
    if reply::has_length(answer.status) {
        fields.insert(header::CONTENT_LENGTH, answer.body.len().into());
    }
    let mut date = None;
    reply::date(now, |text| date = HeaderValue::from_str(text).ok());
    fields.insert(header::DATE, date?);
    if !request_id.is_empty() {
        let mut id = HeaderValue::from_str(request_id).ok()?;
        // No two answers have the same, so it would only push what they have in common out of the peer's table, and `h2`
        // would compare it with every other that is still there.
        id.set_sensitive(true);
        fields.insert(REQUEST_ID, id);
    }
    if let Some(content_type) = answer.content_type.as_ref().filter(|_| !answer.body.is_empty()) {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_bytes(content_type).ok()?);
    }
    if let Some(encoding) = answer.content_encoding.as_ref().filter(|_| !answer.body.is_empty()) {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_bytes(encoding).ok()?);
    }
    if let Some(allow) = answer.allow {
        fields.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    for (name, value) in &answer.headers {
        fields.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    if let Some(wait) = answer.retry_after {
        fields.insert(header::RETRY_AFTER, reply::whole_seconds(wait).into());
    }
    *response.headers_mut() = fields;
    Some(response)
}
