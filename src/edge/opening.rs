//! What a connection began with, where that is not what its listener speaks: the log names the cause, because the error of a
//! parser does not.

use std::fmt;

use crate::domain::{SourceAddress, Via};

use super::proxy_header;

/// Letters of the longest method that is looked for at the beginning of a request line.
const METHOD_MAX: usize = 8;

/// What came in place of a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotTls {
    /// The header of a balancer from which the listener expects none.
    ProxyHeader,
    /// A request without TLS.
    PlainHttp,
}

impl NotTls {
    /// Recognises it by the first bytes that came. A balancer writes its header at once (section 2 of `proxy-protocol.txt`), so
    /// they are there together.
    pub(super) fn recognise(bytes: &[u8]) -> Option<Self> {
        if proxy_header::begins(bytes) {
            return Some(Self::ProxyHeader);
        }
        let method = bytes.iter().take(METHOD_MAX).take_while(|byte| byte.is_ascii_uppercase()).count();
        (method >= 3 && bytes.get(method) == Some(&b' ')).then_some(Self::PlainHttp)
    }
}

impl fmt::Display for NotTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProxyHeader => "a PROXY header in place of a TLS handshake",
            Self::PlainHttp => "plain HTTP in place of a TLS handshake",
        })
    }
}

impl std::error::Error for NotTls {}

/// What a log line says of a PROXY header that the listener does not expect from this peer.
pub(super) fn unexpected_header(source: SourceAddress, listener: &str) -> String {
    let SourceAddress { ip, via } = source;
    if via == Via::ProxyHeader {
        return "a second PROXY header follows the first: only one balancer on the way may add one".to_owned();
    }
    format!("if {ip} is your load balancer, add it to proxy_protocol_from of the listener {listener}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_requests_are_recognised_and_handshakes_are_not() {
        let header = Some(NotTls::ProxyHeader);
        assert_eq!(NotTls::recognise(b"PROXY TCP4 192.0.2.1 10.0.0.1 1 443\r\n"), header);
        assert_eq!(NotTls::recognise(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), header);
        for request in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            assert_eq!(NotTls::recognise(request.as_bytes()), Some(NotTls::PlainHttp), "{request}");
        }
        for other in
            [&b""[..], b"\x16\x03\x01\x02\x00", b"SSH-2.0-x\r\n", b"PROX", b"ABCDEFGHI / ", b"\xff\xff", b"\r\n\r\n"]
        {
            assert_eq!(NotTls::recognise(other), None, "{other:?}");
        }
    }
}
