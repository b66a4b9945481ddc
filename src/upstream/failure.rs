//! What went wrong in one attempt, and what may be done about it.
//!
//! pingora's errors carry a type, a cause and a context in words. The context may quote what the server sent, so only the
//! type and the cause are repeated, cut to a length that a log line bears.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use pingora_error::{Error, ErrorType};
use rustls::AlertDescription;

use crate::domain::Fault;

/// Longest detail, in characters.
const MAX_DETAIL: usize = 200;

/// What may follow. Whatever is sent again carries the next `Relay-Attempt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same server over a new connection: a kept one was dead, or the server refused to look at the request on it.
    Fresh,
    /// Another server: this one has not processed the request.
    Server,
    /// Nothing: the server may have processed the request. Whether it gets it again is for the route's rules to say.
    Nowhere,
}

/// Why an attempt gave no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) next: Next,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(fault: Fault, next: Next, detail: impl Into<String>) -> Self {
        Self { fault, next, detail: detail.into() }
    }

    pub(super) fn timeout(doing: &str) -> Self {
        Self::new(Fault::UpstreamTimeout, Next::Nowhere, format!("the deadline passed while {doing}"))
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Fault::UpstreamMalformed, Next::Nowhere, detail)
    }

    /// The connection ended, and the server may have processed the request.
    pub(super) fn reset(detail: &str) -> Self {
        Self::new(Fault::UpstreamReset, Next::Nowhere, cut(detail))
    }

    /// An HTTP/1.1 connection broke before the server said anything. `reused`: it had served before.
    pub(super) fn silent(error: &io::Error, reused: bool) -> Self {
        let detail = cut(&error.to_string());
        match io_kind(error) {
            _ if reused => Self::new(Fault::UpstreamReset, Next::Fresh, detail),
            Kind::Handshake => Self::new(Fault::UpstreamTls, Next::Server, detail),
            Kind::Malformed => Self::malformed(detail),
            Kind::Unprocessed | Kind::Closed | Kind::Reset => Self::reset(&detail),
        }
    }

    /// No connection: nothing was sent, so another server may be tried.
    pub(super) fn connecting(error: &Error) -> Self {
        use ErrorType::{InvalidCert, TLSHandshakeFailure, TLSHandshakeTimedout, TLSWantX509Lookup};
        match &error.etype {
            InvalidCert | TLSHandshakeFailure | TLSHandshakeTimedout | TLSWantX509Lookup => {
                // pingora keeps rustls' words in the context here; no request exists yet that it could quote.
                let context = error.context.as_ref().map_or("", |context| context.as_str());
                let cause = context.rsplit("cause: ").next().unwrap_or_default();
                let detail = cut(&format!("{}: {cause}", error.etype.as_str()));
                Self::new(Fault::UpstreamTls, Next::Server, detail)
            }
            _ => Self::new(Fault::UpstreamConnect, Next::Server, words(error)),
        }
    }

    /// An HTTP/2 stream failed, or carried what is not HTTP, before its answer came. `reused`: the connection had served
    /// before.
    pub(super) fn exchanging(error: &Error, reused: bool) -> Self {
        let detail = words(error);
        match kind(error) {
            Kind::Unprocessed if reused => Self::new(Fault::UpstreamReset, Next::Fresh, detail),
            Kind::Unprocessed => Self::new(Fault::UpstreamReset, Next::Server, detail),
            Kind::Closed | Kind::Handshake if reused => Self::new(Fault::UpstreamReset, Next::Fresh, detail),
            Kind::Handshake => Self::new(Fault::UpstreamTls, Next::Server, detail),
            Kind::Closed | Kind::Reset => Self::reset(&detail),
            Kind::Malformed => Self::malformed(detail),
        }
    }
}

enum Kind {
    /// The protocol says that the server did not look at the request: REFUSED_STREAM, or GOAWAY below the stream.
    Unprocessed,
    /// The transport ended.
    Closed,
    /// The server ended the stream; the connection lives, so it was not dead before.
    Reset,
    /// A TLS alert about certificates: with TLS 1.3 a refused client certificate shows here, after our side of the handshake.
    Handshake,
    /// Not HTTP.
    Malformed,
}

fn kind(error: &Error) -> Kind {
    let root = error.root_cause();
    if let Some(h2) = root.downcast_ref::<h2::Error>() {
        let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
        return match h2.get_io() {
            Some(io) => io_kind(io),
            // A stream notices the server's GOAWAY only where it is beyond the last one that the server looks at; others run
            // on until they are answered or the transport ends.
            None if h2.is_remote() && (refused || h2.is_go_away()) => Kind::Unprocessed,
            None if h2.is_remote() => Kind::Reset,
            None => Kind::Malformed,
        };
    }
    if let Some(io) = root.downcast_ref::<io::Error>() {
        return io_kind(io);
    }
    match error.etype {
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => Kind::Closed,
        _ => Kind::Malformed,
    }
}

fn io_kind(io: &io::Error) -> Kind {
    let tls = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, io.kind()) {
        (Some(rustls::Error::AlertReceived(alert)), _) if ends_handshake(*alert) => Kind::Handshake,
        (Some(_), _) => Kind::Closed,
        (None, ErrorKind::InvalidData) => Kind::Malformed,
        (None, _) => Kind::Closed,
    }
}

/// Whether a server that sends this alert has refused the handshake, and so has not read what came behind it.
fn ends_handshake(alert: AlertDescription) -> bool {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        DecryptError, HandshakeFailure, NoCertificate, UnknownCA, UnsupportedCertificate,
    };
    matches!(
        alert,
        AccessDenied
            | BadCertificate
            | CertificateExpired
            | CertificateRequired
            | CertificateRevoked
            | CertificateUnknown
            | DecryptError
            | HandshakeFailure
            | NoCertificate
            | UnknownCA
            | UnsupportedCertificate
    )
}

/// Type and root cause, never a context.
fn words(error: &Error) -> String {
    let root: &(dyn StdError + Send + Sync + 'static) = error.root_cause();
    let mut kind = error.etype.as_str();
    if let Some(inner) = root.downcast_ref::<Error>() {
        kind = inner.etype.as_str();
        return cut(kind);
    }
    cut(&format!("{kind}: {root}"))
}

/// Bounded, on one line, printable.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(MAX_DETAIL).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_that_may_quote_the_answer_is_not_repeated() {
        let error = Error::because(ErrorType::InvalidHTTPHeader, "buf: canary", httparse::Error::Token);
        let failure = Failure::exchanging(&error, true);
        assert_eq!((failure.fault, failure.next), (Fault::UpstreamMalformed, Next::Nowhere));
        assert_eq!(failure.detail, "InvalidHTTPHeader: invalid token");
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "canary");
        assert_eq!(Failure::exchanging(&error, false).detail, "InvalidHTTPHeader");
    }

    #[test]
    fn only_a_reused_connection_that_broke_is_repeated() {
        let broke = || Error::because(ErrorType::ReadError, "", io::Error::from(ErrorKind::ConnectionReset));
        assert_eq!(Failure::exchanging(&broke(), true).next, Next::Fresh);
        assert_eq!(Failure::exchanging(&broke(), false).next, Next::Nowhere);
        let broke = io::Error::from(ErrorKind::ConnectionReset);
        assert_eq!(Failure::silent(&broke, true).next, Next::Fresh);
        assert_eq!(Failure::silent(&broke, false).next, Next::Nowhere);
    }

    #[test]
    fn a_stream_of_ours_that_we_gave_up_is_not_repeated() {
        let ours = Error::because(ErrorType::H2Error, "", h2::Error::from(h2::Reason::REFUSED_STREAM));
        assert_eq!(Failure::exchanging(&ours, true).next, Next::Nowhere);
    }

    #[test]
    fn an_alert_after_the_handshake_is_a_tls_fault() {
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let error = Error::because(ErrorType::ReadError, "", io::Error::new(ErrorKind::InvalidData, alert));
        let failure = Failure::exchanging(&error, false);
        assert_eq!((failure.fault, failure.next), (Fault::UpstreamTls, Next::Server));
        assert!(failure.detail.contains("CertificateRequired"));
    }

    #[test]
    fn an_alert_that_may_come_after_the_request_was_read_proves_nothing() {
        let alert = rustls::Error::AlertReceived(AlertDescription::InternalError);
        let broke = io::Error::new(ErrorKind::InvalidData, alert);
        let failure = Failure::silent(&broke, false);
        assert_eq!((failure.fault, failure.next), (Fault::UpstreamReset, Next::Nowhere));
    }

    #[test]
    fn details_are_cut_and_printable() {
        assert_eq!(cut(&"é\n".repeat(500)).chars().count(), MAX_DETAIL);
        assert!(!cut("a\r\nb\u{1b}").contains(char::is_control));
    }
}
