//! HTTP/2. The h2 crate skips interim answers and checks lengths itself.

use std::future::Future;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::v2::{client::Http2Session, write_body};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use tokio::time::{Instant, timeout_at};

use super::{Keep, More, Outbound, Read, announced, content_type};
use crate::upstream::failure::Failure;

/// A stream that gives its share of the connection back when it is dropped, also in the middle of things: pingora would
/// otherwise keep the connection among those in use for ever.
pub(super) struct Stream<'a> {
    session: Option<Http2Session>,
    connector: &'a Connector<()>,
    peer: &'a HttpPeer,
    keepalive: Duration,
    /// The connection takes no further streams; those that run, run to their end.
    spent: bool,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        session: Http2Session,
        connector: &'a Connector<()>,
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
    ) -> Result<Read, Failure> {
        let session = self.session.as_mut().ok_or_else(|| Failure::malformed("no session"))?;
        let done = exchange(session, head, request, reused, deadline).await;
        self.spent |= done.is_err();
        done
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
        if tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let session = pingora_core::protocols::http::client::HttpSession::H2(session);
        let release = std::pin::pin!(self.connector.release_http_session(session, self.peer, Some(self.keepalive)));
        // Never waits for an HTTP/2 session.
        let _ = release.poll(&mut Context::from_waker(Waker::noop()));
    }
}

async fn exchange(
    session: &mut Http2Session,
    head: Box<RequestHeader>,
    request: &Outbound<'_>,
    reused: bool,
    deadline: Instant,
) -> Result<Read, Failure> {
    let failed = |error: &pingora_error::Error| Failure::exchanging(error, false, reused);
    session.write_request_header(head, request.body.is_empty()).map_err(|error| failed(&error))?;
    let head = timeout_at(deadline, write_and_wait(session, &request.body)).await;
    head.map_err(|_| Failure::timeout("waiting for the answer"))?.map_err(|error| failed(&error))?;
    read(session, request, reused, deadline).await
}

/// Writes the body and waits for the head of the answer, whichever is done first: a server may answer before it has read
/// everything, and one that resets the stream may have answered before.
async fn write_and_wait(session: &mut Http2Session, body: &Bytes) -> Result<(), pingora_error::BError> {
    let writer = if body.is_empty() { None } else { session.take_request_body_writer() };
    let Some(mut writer) = writer else { return session.read_response_header().await };
    let mut writing = std::pin::pin!(write_body(&mut writer, body.clone(), true, None));
    {
        let mut waiting = std::pin::pin!(session.read_response_header());
        tokio::select! {
            early = &mut waiting => early?,
            // A failed write is seen by the reader, too, and better: a reset stream may still hold an answer.
            _ = &mut writing => return waiting.await,
        }
    }
    // A success is only believed of a server that takes the whole request.
    if session.response_header().is_some_and(|head| head.status.is_success()) {
        let _ = writing.await;
    }
    Ok(())
}

async fn read(
    session: &mut Http2Session,
    request: &Outbound<'_>,
    reused: bool,
    deadline: Instant,
) -> Result<Read, Failure> {
    let length = session.response_header().and_then(|head| announced(&head.headers));
    let mut keep = Keep::new(request, length, deadline);
    let complete = loop {
        let More::Until(limit) = keep.more() else { break false };
        match timeout_at(limit, session.read_response_body()).await {
            Ok(Ok(Some(piece))) => keep.put(&piece),
            Ok(Ok(None)) => break true,
            // "Do not send the rest, I have answered" (RFC 9113, 8.1).
            Ok(Err(error)) if asks_to_stop(&error) && length.is_none_or(|length| length == keep.read()) => break true,
            Ok(Err(error)) => return Err(Failure::exchanging(&error, true, reused)),
            Err(_) => {
                keep.out_of_time()?;
                break false;
            }
        }
    };
    let head = session.response_header().ok_or_else(|| Failure::malformed("no head"))?;
    Ok(keep.finish(head.status.as_u16(), content_type(&head.headers), complete).noting(&head.headers))
}

fn asks_to_stop(error: &pingora_error::Error) -> bool {
    let reset = error.root_cause().downcast_ref::<h2::Error>();
    reset.is_some_and(|e| e.is_reset() && e.is_remote() && e.reason() == Some(h2::Reason::NO_ERROR))
}
