//! From an [`Outbound`] to the head of a request: as pingora's type, or as the bytes of a connection of our own.
//!
//! Names keep the case they came in. The framing is always ours: one `Content-Length`, or none where a method has no body
//! by nature and none was given; never chunked.

use std::io::Write as _;

use bytes::Bytes;
use http::HeaderValue;
use pingora_error::BError;
use pingora_http::RequestHeader;

use super::Outbound;
use super::failure::{Failure, Next};
use crate::domain::Fault;

/// Methods for which an absent body is not announced (RFC 9110, 8.6).
const BODILESS: [&str; 3] = ["GET", "HEAD", "DELETE"];

/// Where fields that frame or route are written here, a field of that name in `headers` is dropped: it would be a second one.
const OURS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "upgrade", "keep-alive", "proxy-connection"];

pub(super) fn head(
    request: &Outbound<'_>,
    authority: &HeaderValue,
    http2: bool,
    close: bool,
) -> Result<Box<RequestHeader>, BError> {
    let fields = request.headers.len().saturating_add(3);
    let target = request.target.as_bytes();
    let mut head = if http2 {
        RequestHeader::build_no_case(request.method, target, Some(fields))?
    } else {
        RequestHeader::build(request.method, target, Some(fields))?
    };
    head.append_header("Host", authority.clone())?;
    for (name, value) in request.headers {
        if !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            head.append_header(Bytes::copy_from_slice(name.as_bytes()), HeaderValue::from_bytes(value).map_err(bad)?)?;
        }
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
/// fault and is not written.
pub(super) fn head_in_clear(request: &Outbound<'_>, authority: &HeaderValue, close: bool) -> Result<Vec<u8>, Failure> {
    let ours =
        |what: &str| Failure::new(Fault::Internal, Next::Nowhere, format!("the request could not be written: {what}"));
    if any(request.target.as_bytes(), |byte| !byte.is_ascii_graphic()) {
        return Err(ours("the target has a forbidden byte"));
    }
    let fields = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
    let mut head = Vec::with_capacity(request.target.len() + fields + 128);
    for part in
        [request.method.as_bytes(), b" ", request.target.as_bytes(), b" HTTP/1.1\r\nHost: ", authority.as_bytes()]
    {
        head.extend_from_slice(part);
    }
    for (name, value) in request.headers {
        if OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            continue;
        }
        if name.is_empty() || any(name.as_bytes(), |byte| !is_token(byte)) {
            return Err(ours("a header name has a forbidden byte"));
        }
        if any(value, |byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(ours("a header value has a forbidden byte"));
        }
        for part in [b"\r\n", name.as_bytes(), b": ", value] {
            head.extend_from_slice(part);
        }
    }
    if !request.body.is_empty() || !BODILESS.contains(&request.method) {
        let _ = write!(head, "\r\nContent-Length: {}", request.body.len());
    }
    head.extend_from_slice(if close { b"\r\nConnection: close\r\n\r\n" } else { b"\r\n\r\n" });
    Ok(head)
}

/// Looks at every byte instead of stopping at the first: so the compiler looks at many of them at once.
fn any(bytes: &[u8], forbidden: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | forbidden(*byte))
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    /// One bit for each ASCII character.
    const TOKEN: u128 = {
        let (mut bits, mut byte) = (0, 0_u8);
        while byte < 0x80 {
            let sign = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~');
            bits |= ((sign || byte.is_ascii_alphanumeric()) as u128) << byte;
            byte += 1;
        }
        bits
    };
    byte < 0x80 && TOKEN >> byte & 1 == 1
}

fn bad(_: http::header::InvalidHeaderValue) -> BError {
    // Without the value: it may be a secret.
    pingora_error::Error::explain(pingora_error::ErrorType::InvalidHTTPHeader, "a header value has a forbidden byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(method: &'static str, headers: &[(&str, &[u8])], body: &'static [u8]) -> String {
        let request = Outbound {
            method,
            target: "//a/../b?c=%20",
            headers,
            body: Bytes::from_static(body),
            keep_answer: 0,
            pass_through: false,
        };
        let head = head(&request, &HeaderValue::from_static("inside:8080"), false, false).unwrap();
        let wire = pingora_core::protocols::http::v1::client::http_req_header_to_wire(&head).unwrap();
        let in_clear = head_in_clear(&request, &HeaderValue::from_static("inside:8080"), false).unwrap();
        assert_eq!(String::from_utf8_lossy(&in_clear), String::from_utf8_lossy(&wire), "the two writers differ");
        String::from_utf8(in_clear).unwrap()
    }

    #[test]
    fn token_characters() {
        for byte in 0..=255_u8 {
            let wanted = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(byte), wanted, "{byte:#x}");
        }
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
