//! HTTP/2. The h2 crate skips interim answers and checks lengths itself.

use bytes::Bytes;
use pingora_core::protocols::http::v2::{client::Http2Session, write_body};
use pingora_http::RequestHeader;
use tokio::time::{Instant, timeout_at};

use super::{Keep, More, Outbound, Read, announced};
use crate::upstream::failure::Failure;

pub(super) async fn exchange(
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
            Ok(Err(error)) => return Err(Failure::exchanging(&error, true, reused)),
            Err(_) => {
                keep.out_of_time()?;
                break false;
            }
        }
    };
    let head = session.response_header().ok_or_else(|| Failure::malformed("no head"))?;
    Ok(keep.finish(head.status.as_u16(), &head.headers, complete))
}
