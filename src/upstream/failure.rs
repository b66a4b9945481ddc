//! What went wrong in one attempt, and what may be done about it.
//!
//! pingora's errors carry a type, a cause and a context in words. The context may quote what the server sent, so only the
//! type and the cause are repeated, cut to a length that a log line bears.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use pingora_error::{Error, ErrorType};

use crate::domain::Fault;

/// Longest detail, in characters.
const MAX_DETAIL: usize = 200;

/// What may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The same server over a new connection: a kept one had died before the server saw anything.
    Fresh,
    /// Another server: this one has not processed the request.
    Server,
    /// Nothing: the server may have processed the request, and a second delivery would be a duplicate.
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

    /// A connection broke, or carried what is not HTTP. `seen` says whether any of the answer had come; `reused` whether
    /// the connection had served before.
    pub(super) fn exchanging(error: &Error, seen: bool, reused: bool) -> Self {
        let detail = words(error);
        match kind(error) {
            Kind::Unprocessed if reused => Self::new(Fault::UpstreamReset, Next::Fresh, detail),
            Kind::Unprocessed => Self::new(Fault::UpstreamReset, Next::Server, detail),
            Kind::Closed | Kind::Tls if reused && !seen => Self::new(Fault::UpstreamReset, Next::Fresh, detail),
            Kind::Tls if !seen => Self::new(Fault::UpstreamTls, Next::Server, detail),
            Kind::Closed | Kind::Tls => Self::new(Fault::UpstreamReset, Next::Nowhere, detail),
            Kind::Malformed => Self::new(Fault::UpstreamMalformed, Next::Nowhere, detail),
        }
    }
}

enum Kind {
    /// The protocol says that the server did not look at the request.
    Unprocessed,
    /// The transport ended.
    Closed,
    /// A TLS alert: with TLS 1.3 a refused client certificate shows here, after the handshake.
    Tls,
    /// Not HTTP.
    Malformed,
}

fn kind(error: &Error) -> Kind {
    let root = error.root_cause();
    if let Some(h2) = root.downcast_ref::<h2::Error>() {
        let no_error = h2.reason() == Some(h2::Reason::NO_ERROR);
        let refused = h2.is_reset() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
        return match h2.get_io() {
            Some(io) => io_kind(io),
            None if h2.is_remote() && (refused || (h2.is_go_away() && no_error)) => Kind::Unprocessed,
            None if h2.is_remote() => Kind::Closed,
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
        (Some(_), _) => Kind::Tls,
        (None, ErrorKind::InvalidData) => Kind::Malformed,
        (None, _) => Kind::Closed,
    }
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
        let failure = Failure::exchanging(&error, false, true);
        assert_eq!((failure.fault, failure.next), (Fault::UpstreamMalformed, Next::Nowhere));
        assert_eq!(failure.detail, "InvalidHTTPHeader: invalid token");
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "canary");
        assert_eq!(Failure::exchanging(&error, false, false).detail, "InvalidHTTPHeader");
    }

    #[test]
    fn only_an_unanswered_reused_connection_may_be_repeated() {
        let reset = || Error::because(ErrorType::ReadError, "", io::Error::from(ErrorKind::ConnectionReset));
        let next = |seen, reused| Failure::exchanging(&reset(), seen, reused).next;
        assert_eq!(next(false, true), Next::Fresh);
        assert_eq!(next(true, true), Next::Nowhere);
        assert_eq!(next(false, false), Next::Nowhere);
        assert_eq!(next(true, false), Next::Nowhere);
    }

    #[test]
    fn an_alert_after_the_handshake_is_a_tls_fault() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        let error = Error::because(ErrorType::ReadError, "", io::Error::new(ErrorKind::InvalidData, alert));
        let failure = Failure::exchanging(&error, false, false);
        assert_eq!((failure.fault, failure.next), (Fault::UpstreamTls, Next::Server));
        assert!(failure.detail.contains("CertificateRequired"));
    }

    #[test]
    fn details_are_cut_and_printable() {
        assert_eq!(cut(&"é\n".repeat(500)).chars().count(), MAX_DETAIL);
        assert!(!cut("a\r\nb\u{1b}").contains(char::is_control));
    }
}
