//! Step 12: what the sender receives. One exhaustive match from outcome to status; the body never says why.
//!
//! `docs/request.md` shows this table, and a test compares the two.

use std::time::Duration;

use bytes::Bytes;

use crate::domain::{Answer, Doubt, Fault, Head, Method, Outcome, Refusal};
use crate::runtime::snapshot::{AnswerPolicy, FixedAnswer, Route};

use super::{End, Reply};

/// A clock is set soon after the network is there.
const CLOCK_WAIT: Duration = Duration::from_secs(60);
/// A disk that is full or failing is seldom well again sooner.
const STORE_WAIT: Duration = Duration::from_secs(30);

/// The status of a refusal.
pub fn refusal_status(refusal: Refusal) -> u16 {
    match refusal {
        Refusal::HeadMalformed
        | Refusal::FramingAmbiguous
        | Refusal::HostInvalid
        | Refusal::ConnectionOptionInvalid
        | Refusal::UpgradeUnsupported
        | Refusal::BodyMalformed
        | Refusal::BodyIncomplete => 400,
        Refusal::SignatureMissing
        | Refusal::SignatureRepeated
        | Refusal::SignatureMalformed
        | Refusal::SignatureMismatch
        | Refusal::KeyUnknown
        | Refusal::AlgorithmRefused
        | Refusal::TokenHeaderRefused
        | Refusal::ClaimMismatch
        | Refusal::MessageIncomplete
        | Refusal::TimestampMissing
        | Refusal::TimestampMalformed
        | Refusal::TimestampStale
        | Refusal::TimestampAhead
        | Refusal::IdMissing
        | Refusal::ShapeInvalid
        | Refusal::BindingMismatch
        | Refusal::BodyDigestMismatch => 401,
        Refusal::AddressNotAllowed
        | Refusal::AddressDenied
        | Refusal::AddressUnknown
        | Refusal::HeaderRequired
        | Refusal::ClientCertificateRequired => 403,
        Refusal::RouteUnknown => 404,
        Refusal::MethodNotAllowed => 405,
        Refusal::HeadTimeout | Refusal::BodyTimeout | Refusal::BodyTooSlow => 408,
        Refusal::DuplicateInFlight => 409,
        Refusal::BodyTooLarge => 413,
        Refusal::ContentTypeUnsupported => 415,
        Refusal::ExpectationUnsupported => 417,
        Refusal::HostMisdirected => 421,
        Refusal::RouteRateLimited | Refusal::SourceRateLimited => 429,
        Refusal::HeadTooLarge => 431,
        Refusal::RouteBusy => 503,
        Refusal::VersionUnsupported => 505,
        Refusal::LoopDetected => 508,
    }
}

/// The status of a fault: always 5xx, because it is never the sender's doing.
pub fn fault_status(fault: Fault) -> u16 {
    match fault {
        Fault::Internal => 500,
        Fault::UpstreamConnect
        | Fault::UpstreamTls
        | Fault::UpstreamReset
        | Fault::UpstreamMalformed
        | Fault::UpstreamTooLarge
        | Fault::UpstreamStatus => 502,
        Fault::UpstreamUnavailable
        | Fault::BodyMemory
        | Fault::VerificationBusy
        | Fault::DedupeMemory
        | Fault::StoreFull
        | Fault::StoreFailed => 503,
        Fault::UpstreamTimeout => 504,
    }
}

/// When a sender may try again after a fault that is likely to last.
fn fault_retry_after(fault: Fault) -> Option<Duration> {
    matches!(fault, Fault::StoreFull | Fault::StoreFailed).then_some(STORE_WAIT)
}

/// The status of a doubt: the relay's own trouble, whatever it is.
pub fn doubt_status(doubt: Doubt) -> u16 {
    match doubt {
        Doubt::ClockUnset => 503,
    }
}

/// When it may be over.
fn doubt_retry_after(doubt: Doubt) -> Duration {
    match doubt {
        Doubt::ClockUnset => CLOCK_WAIT,
    }
}

/// The fixed text of a status: enough for a person with `curl`, nothing for an attacker.
pub fn text(status: u16) -> &'static str {
    match status {
        200 => "",
        400 => "bad request\n",
        401 => "unauthorized\n",
        403 => "forbidden\n",
        404 => "not found\n",
        405 => "method not allowed\n",
        408 => "request timeout\n",
        409 => "conflict\n",
        413 => "content too large\n",
        415 => "unsupported media type\n",
        417 => "expectation failed\n",
        421 => "misdirected request\n",
        429 => "too many requests\n",
        431 => "request header fields too large\n",
        500 => "internal server error\n",
        502 => "bad gateway\n",
        503 => "service unavailable\n",
        504 => "gateway timeout\n",
        505 => "http version not supported\n",
        508 => "loop detected\n",
        _ => "",
    }
}

/// The answer to a request that reached the pipeline.
pub(super) fn answer(end: &End, head: &Head, route: Option<&Route>) -> Answer {
    let mut answer = match &end.outcome {
        Outcome::Delivered | Outcome::Accepted | Outcome::Duplicate | Outcome::Challenge => match &end.reply {
            Reply::Challenge(answer) => Answer {
                body: answer.body.clone(),
                content_type: answer.content_type.clone(),
                headers: answer.headers.clone(),
                ..plain(answer.status)
            },
            Reply::Upstream(received) => Answer {
                status: received.status,
                body: received.body.clone(),
                content_type: received.content_type.clone(),
                content_encoding: received.content_encoding.clone(),
                ..plain(received.status)
            },
            Reply::Standard => success(route),
        },
        Outcome::Refused(turned) => Answer { retry_after: turned.retry_after, ..refused(turned.refusal, route) },
        Outcome::Undecided(doubt) => {
            Answer { retry_after: Some(doubt_retry_after(*doubt)), ..plain(doubt_status(*doubt)) }
        }
        Outcome::Failed(fault) => Answer { retry_after: fault_retry_after(*fault), ..plain(fault_status(*fault)) },
        Outcome::ClientClosed => plain(refusal_status(Refusal::BodyIncomplete)),
    };
    answer.close = !end.body_done;
    if head.method() == Method::Head {
        answer.body = Bytes::new();
    }
    answer
}

/// The answer to what never became a request: the edge's own refusals. The connection ends with it.
pub fn edge_refused(refusal: Refusal) -> Answer {
    Answer { close: true, ..refused(refusal, None) }
}

/// The answer to a fault outside the pipeline.
pub fn edge_failed(fault: Fault) -> Answer {
    Answer { close: true, ..plain(fault_status(fault)) }
}

fn refused(refusal: Refusal, route: Option<&Route>) -> Answer {
    let mut answer = plain(refusal_status(refusal));
    if refusal == Refusal::MethodNotAllowed {
        answer.allow = Some(route.map_or("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", |route| route.allow_header));
    }
    answer
}

/// What a sender receives when its request is done with.
pub(super) fn success(route: Option<&Route>) -> Answer {
    match route.map(|route| &route.answer) {
        Some(AnswerPolicy::Fixed(answer)) => fixed(answer),
        Some(AnswerPolicy::Upstream) | None => plain(200),
    }
}

fn fixed(answer: &FixedAnswer) -> Answer {
    Answer {
        body: answer.body.clone(),
        content_type: answer.content_type.as_ref().map(|text| Bytes::copy_from_slice(text.as_bytes())),
        ..plain(answer.status)
    }
}

fn plain(status: u16) -> Answer {
    let text = text(status);
    let content_type = (!text.is_empty()).then(|| Bytes::from_static(b"text/plain"));
    Answer {
        status,
        body: Bytes::from_static(text.as_bytes()),
        content_type,
        content_encoding: None,
        allow: None,
        headers: Vec::new(),
        retry_after: None,
        close: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_senders_doing_except_where_the_route_is_busy() {
        for refusal in Refusal::ALL {
            let status = refusal_status(*refusal);
            let ours = matches!(refusal, Refusal::RouteBusy | Refusal::VersionUnsupported | Refusal::LoopDetected);
            assert_eq!((400..500).contains(&status), !ours, "{}", refusal.code());
            assert_ne!(text(status), "", "{status}");
        }
    }

    #[test]
    fn a_doubt_asks_the_sender_to_come_again() {
        for doubt in Doubt::ALL {
            assert_eq!(doubt_status(*doubt), 503, "{}", doubt.code());
            assert!(!doubt_retry_after(*doubt).is_zero());
        }
    }

    #[test]
    fn a_fault_is_never_a_4xx() {
        for fault in Fault::ALL {
            assert!((500..600).contains(&fault_status(*fault)), "{}", fault.code());
            assert_ne!(text(fault_status(*fault)), "");
        }
    }
}
