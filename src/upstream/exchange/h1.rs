//! HTTP/1.1.

use std::future::Future;

use http::Version;
use pingora_core::protocols::http::v1::client::HttpSession;
use pingora_error::{BError, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use tokio::time::{Instant, timeout_at};

use super::{Keep, LOOK, MAX_INTERIM, More, Outbound, Read, announced, content_type};
use crate::domain::Fault;
use crate::upstream::failure::Failure;

pub(super) async fn exchange(
    session: &mut HttpSession,
    head: Box<RequestHeader>,
    request: &Outbound<'_>,
    reused: bool,
    deadline: Instant,
) -> Result<Read, Failure> {
    let status = match write(session, head, request, deadline).await {
        Ok(()) => read_head(session, reused, deadline).await?,
        // The server may have answered before it closed or stopped reading: "413", most often. The connection is spent
        // either way, because the request on it is not whole.
        Err(broken) => {
            let look_until = deadline.min(Instant::now() + LOOK);
            return match read_head(session, reused, look_until).await {
                Ok(status) => {
                    Ok(Read { complete: false, ..read_body(session, status, request, reused, look_until).await? })
                }
                // Nothing came: the write says more than the look did.
                Err(told) if told.fault == Fault::UpstreamTimeout => Err(broken.failure(reused)),
                Err(told) => Err(told),
            };
        }
    };
    read_body(session, status, request, reused, deadline).await
}

/// Why a request was not written whole.
enum Unwritten {
    Error(BError),
    Stalled,
}

impl Unwritten {
    fn failure(&self, reused: bool) -> Failure {
        match self {
            Self::Error(error) => Failure::exchanging(error, false, reused),
            Self::Stalled => Failure::timeout("writing the request"),
        }
    }
}

async fn write(
    session: &mut HttpSession,
    head: Box<RequestHeader>,
    request: &Outbound<'_>,
    deadline: Instant,
) -> Result<(), Unwritten> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = deadline - LOOK.min(left / 8);
    let writing = async {
        session.write_request_header(head).await?;
        if !request.body.is_empty() {
            session.write_body(&request.body).await?;
        }
        Ok(())
    };
    match timeout_at(limit, writing).await {
        Ok(done) => done.map_err(Unwritten::Error),
        Err(_) => Err(Unwritten::Stalled),
    }
}

/// The status of the final answer.
async fn read_head(session: &mut HttpSession, reused: bool, deadline: Instant) -> Result<u16, Failure> {
    for interim in 0..=MAX_INTERIM {
        let read = within(deadline, "waiting for the answer", session.read_response()).await?;
        read.map_err(|error| Failure::exchanging(&error, interim > 0 || !silent(&error), reused))?;
        let head = session.resp_header().ok_or_else(|| Failure::malformed("no head"))?;
        match head.status.as_u16() {
            101 => return Err(Failure::malformed("the server switched protocols")),
            100..=199 => {}
            status => {
                well_framed(head, &session.get_headers_raw_bytes()).map_err(Failure::malformed)?;
                return Ok(status);
            }
        }
    }
    Err(Failure::malformed("too many interim answers"))
}

async fn read_body(
    session: &mut HttpSession,
    status: u16,
    request: &Outbound<'_>,
    reused: bool,
    deadline: Instant,
) -> Result<Read, Failure> {
    let length = session.resp_header().and_then(|head| announced(&head.headers));
    let mut keep = Keep::new(request, length, deadline);
    let complete = loop {
        let More::Until(limit) = keep.more() else { break false };
        match timeout_at(limit, session.read_body_ref()).await {
            Ok(Ok(Some(piece))) => keep.put(piece),
            Ok(Ok(None)) => break true,
            Ok(Err(error)) => return Err(Failure::exchanging(&error, true, reused)),
            Err(_) => {
                keep.out_of_time()?;
                break false;
            }
        }
    };
    let head = session.resp_header().ok_or_else(|| Failure::malformed("no head"))?;
    Ok(keep.finish(status, content_type(&head.headers), complete).noting(&head.headers))
}

async fn within<T>(deadline: Instant, doing: &str, what: impl Future<Output = T>) -> Result<T, Failure> {
    timeout_at(deadline, what).await.map_err(|_| Failure::timeout(doing))
}

/// Whether a connection ended before a byte of the answer. pingora says so in words only; a test of ours reads them, too, and
/// other words would make this `false`, which is the safe side: nothing is repeated.
fn silent(error: &pingora_error::Error) -> bool {
    matches!(error.etype, ErrorType::ConnectionClosed | ErrorType::ReadError)
        && error.context.as_ref().is_some_and(|context| context.as_str().ends_with("bytes already read: 0"))
}

/// pingora resolves `Content-Length` beside `Transfer-Encoding` silently and takes any list that ends in `chunked`. Two
/// readers of such an answer may disagree where it ends, so it is not believed.
fn well_framed(head: &ResponseHeader, raw: &[u8]) -> Result<(), &'static str> {
    let mut codings = head.headers.get_all(http::header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") {
        return Err("a transfer coding other than chunked");
    }
    if head.version != Version::HTTP_11 {
        return Err("a transfer coding in HTTP/1.0");
    }
    let length = b"content-length";
    let has_length = raw.split(|byte| *byte == b'\n').any(|line| {
        line.get(..length.len()).is_some_and(|name| name.eq_ignore_ascii_case(length))
            && line.get(length.len()).is_some_and(|next| matches!(next, b':' | b' ' | b'\t'))
    });
    if has_length { Err("both a length and a transfer coding") } else { Ok(()) }
}
