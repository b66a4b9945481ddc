//! From an [`Outbound`] to the head of a request: as pingora's type, or as the bytes of a connection of our own.
//!
//! Names keep the case they came in. The framing is always ours: one `Content-Length`, or none where a method has no body
//! by nature and none was given; never chunked.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use pingora_error::{BError, Error, ErrorType};
use pingora_http::RequestHeader;

use super::Outbound;
use super::failure::{Failure, Next};
use super::fields::any;
use crate::domain::Fault;

/// Methods for which an absent body is not announced (RFC 9110, 8.6).
const BODILESS: [&str; 3] = ["GET", "HEAD", "DELETE"];

/// Bytes of a head beside target, host and fields, at most: method, version, framing, connection.
const FRAME: usize = 96;

pub(super) fn head(
    request: &Outbound<'_>,
    authority: &HeaderValue,
    http2: bool,
    close: bool,
) -> Result<Box<RequestHeader>, BError> {
    let room = request.headers.len().saturating_add(3);
    let fields = request.headers.each().map_err(|what| Error::explain(ErrorType::InvalidHTTPHeader, what))?;
    let target = request.target.as_bytes();
    let mut head = if http2 {
        RequestHeader::build_no_case(request.method, target, Some(room))?
    } else {
        RequestHeader::build(request.method, target, Some(room))?
    };
    head.append_header("Host", authority.clone())?;
    for (name, value) in fields {
        head.append_header(Bytes::copy_from_slice(name), HeaderValue::from_bytes(value).map_err(bad)?)?;
    }
    if !request.body.is_empty() || !BODILESS.contains(&request.method) {
        head.append_header("Content-Length", HeaderValue::from(request.body.len()))?;
    }
    if close && !http2 {
        head.append_header("Connection", HeaderValue::from_static("close"))?;
    }
    Ok(Box::new(head))
}

/// The whole head as bytes, for a connection of our own. What cannot be written without becoming something else is our
/// fault and is not written. The buffer has room for at least `room` bytes.
pub(super) fn head_in_clear(
    request: &Outbound<'_>,
    authority: &HeaderValue,
    close: bool,
    room: usize,
) -> Result<BytesMut, Failure> {
    let ours =
        |what: &str| Failure::new(Fault::Internal, Next::Nowhere, format!("the request could not be written: {what}"));
    if any(request.target.as_bytes(), |byte| !byte.is_ascii_graphic()) {
        return Err(ours("the target has a forbidden byte"));
    }
    let fields = request.headers.lines().map_err(ours)?;
    let length = request.target.len() + authority.len() + fields.len() + FRAME;
    let mut head = BytesMut::with_capacity(length.max(room));
    for part in [
        request.method.as_bytes(),
        b" ",
        request.target.as_bytes(),
        b" HTTP/1.1\r\nHost: ",
        authority.as_bytes(),
        fields,
    ] {
        head.extend_from_slice(part);
    }
    if !request.body.is_empty() || !BODILESS.contains(&request.method) {
        head.extend_from_slice(b"\r\nContent-Length: ");
        head.extend_from_slice(itoa::Buffer::new().format(request.body.len()).as_bytes());
    }
    head.extend_from_slice(if close { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    Ok(head)
}

fn bad(_: http::header::InvalidHeaderValue) -> BError {
    // Without the value: it may be a secret.
    Error::explain(ErrorType::InvalidHTTPHeader, "a header value has a forbidden byte")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Fields;

    fn fields(headers: &[(&str, &[u8])]) -> Fields {
        let mut fields = Fields::default();
        headers.iter().for_each(|(name, value)| fields.add(name, value));
        fields
    }

    fn written(method: &'static str, headers: &[(&str, &[u8])], body: &'static [u8]) -> String {
        let request = Outbound {
            method,
            target: "//a/../b?c=%20",
            headers: fields(headers),
            body: std::borrow::Cow::Owned(Bytes::from_static(body)),
            keep_answer: 0,
            pass_through: false,
        };
        let head = head(&request, &HeaderValue::from_static("inside:8080"), false, false).unwrap();
        let wire = pingora_core::protocols::http::v1::client::http_req_header_to_wire(&head).unwrap();
        let in_clear = head_in_clear(&request, &HeaderValue::from_static("inside:8080"), false, 0).unwrap();
        assert_eq!(String::from_utf8_lossy(&in_clear), String::from_utf8_lossy(&wire), "the two writers differ");
        String::from_utf8(in_clear.to_vec()).unwrap()
    }

    #[test]
    fn names_keep_their_case_and_targets_their_bytes() {
        assert_eq!(
            written("POST", &[("X-ODD-case", b"1"), ("x-Odd-Case", b"2"), ("B", b"\xc3\xa9")], b"{}"),
            "POST //a/../b?c=%20 HTTP/1.1\r\nHost: inside:8080\r\nX-ODD-case: 1\r\nx-Odd-Case: 2\r\nB: é\r\n\
             Content-Length: 2\r\n\r\n"
        );
    }

    #[test]
    fn framing_and_host_are_ours() {
        let theirs: &[(&str, &[u8])] =
            &[("host", b"evil"), ("Content-Length", b"7"), ("TRANSFER-ENCODING", b"chunked"), ("connection", b"close")];
        assert_eq!(
            written("POST", theirs, b""),
            "POST //a/../b?c=%20 HTTP/1.1\r\nHost: inside:8080\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(written("GET", theirs, b""), "GET //a/../b?c=%20 HTTP/1.1\r\nHost: inside:8080\r\n\r\n");
    }
}
