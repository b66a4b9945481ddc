//! From an [`Outbound`] to the head of a request: as the bytes of HTTP/1.1, or as pingora's type for HTTP/2.
//!
//! `Relay-Attempt` is written here, because each send has a number of its own; everything else stays the same. Names keep the case they came in. The framing is always ours: one `Content-Length`, or none where a method has no body
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

/// Bytes of a head beside target, host and fields, at most: method, version, number, framing, connection.
const FRAME: usize = 128;

/// For HTTP/2. A send begins with it.
pub(super) fn http2_head(request: &Outbound<'_>, authority: &HeaderValue) -> Result<Box<RequestHeader>, Failure> {
    let fields = request.headers.each().map_err(ours)?;
    let mut head = bare_head(request, authority, fields).map_err(|error| ours(error.etype.as_str()))?;
    if let Some(sends) = request.sends {
        head.append_header("Relay-Attempt", HeaderValue::from(sends.begin())).map_err(|e| ours(e.etype.as_str()))?;
    }
    Ok(head)
}

fn bare_head<'f>(
    request: &Outbound<'_>,
    authority: &HeaderValue,
    fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
) -> Result<Box<RequestHeader>, BError> {
    let room = request.headers.len().saturating_add(3);
    let mut head = RequestHeader::build_no_case(request.method, request.target.as_bytes(), Some(room))?;
    head.append_header("Host", authority.clone())?;
    for (name, value) in fields {
        head.append_header(Bytes::copy_from_slice(name), HeaderValue::from_bytes(value).map_err(bad)?)?;
    }
    if !request.body.is_empty() || !BODILESS.contains(&request.method) {
        head.append_header("Content-Length", HeaderValue::from(request.body.len()))?;
    }
    Ok(Box::new(head))
}

/// For HTTP/1.1, as bytes. What cannot be written without becoming something else is our fault and is not written. The buffer
/// has room for at least `room` bytes. A send begins with it.
pub(super) fn http1_head(
    request: &Outbound<'_>,
    authority: &HeaderValue,
    close: bool,
    room: usize,
) -> Result<BytesMut, Failure> {
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
    if let Some(sends) = request.sends {
        head.extend_from_slice(b"\r\nRelay-Attempt: ");
        head.extend_from_slice(itoa::Buffer::new().format(sends.begin()).as_bytes());
    }
    if !request.body.is_empty() || !BODILESS.contains(&request.method) {
        head.extend_from_slice(b"\r\nContent-Length: ");
        head.extend_from_slice(itoa::Buffer::new().format(request.body.len()).as_bytes());
    }
    head.extend_from_slice(if close { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    Ok(head)
}

fn ours(what: &str) -> Failure {
    Failure::new(Fault::Internal, Next::Nowhere, format!("the request could not be written: {what}"))
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

    fn request<'r>(method: &'static str, headers: &[(&str, &[u8])], body: &'static [u8]) -> Outbound<'r> {
        Outbound {
            method,
            target: "//a/../b?c=%20",
            headers: fields(headers),
            body: std::borrow::Cow::Owned(Bytes::from_static(body)),
            sends: None,
            pass_through: None,
        }
    }

    fn written(method: &'static str, headers: &[(&str, &[u8])], body: &'static [u8]) -> String {
        let request = request(method, headers, body);
        let head = http1_head(&request, &HeaderValue::from_static("inside:8080"), false, 0).unwrap();
        String::from_utf8(head.to_vec()).unwrap()
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

    #[test]
    fn every_head_has_the_next_number() {
        let sends = crate::domain::Sends::from(3);
        let request = Outbound { sends: Some(&sends), ..request("POST", &[], b"{}") };
        let host = HeaderValue::from_static("inside");
        let first = http1_head(&request, &host, false, 0).unwrap();
        let second = http2_head(&request, &host).unwrap();
        assert!(first.ends_with(b"\r\nRelay-Attempt: 3\r\nContent-Length: 2\r\n\r\n"));
        assert_eq!(second.headers.get("relay-attempt").unwrap(), "4");
        assert_eq!(sends.last(), 4);
    }
}
