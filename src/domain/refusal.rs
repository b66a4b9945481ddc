//! Everything that can be wrong with what a sender sent.
//!
//! Closed and `Copy`: the code is the metric label, and `pipeline::answer` maps each to its status in one match. The sender
//! never reads the code; the log, the metric and the history do.

use std::time::Duration;

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// Every variant, for tests and documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The reason code: log field, metric label and history column.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// Why a request was refused. See `docs/request.md` for the status each one gets.
    Refusal {
        /// The head is not HTTP as RFC 9112 or RFC 9113 has it.
        HeadMalformed = "head_malformed",
        /// Body length stated twice, in two ways, or in a way that two parsers could read differently.
        FramingAmbiguous = "framing_ambiguous",
        /// `Host` missing, repeated, malformed, or at odds with the request target.
        HostInvalid = "host_invalid",
        /// `Connection` names a field that must not be stripped.
        ConnectionOptionInvalid = "connection_option_invalid",
        /// The head did not arrive within its deadline.
        HeadTimeout = "head_timeout",
        /// The head is larger than the limit, or has more fields than the limit.
        HeadTooLarge = "head_too_large",
        /// A version other than HTTP/1.0, HTTP/1.1 or HTTP/2.
        VersionUnsupported = "version_unsupported",
        /// An expectation other than `100-continue`.
        ExpectationUnsupported = "expectation_unsupported",
        /// An upgrade, which no webhook needs.
        UpgradeUnsupported = "upgrade_unsupported",
        /// No route has this host and path.
        RouteUnknown = "route_unknown",
        /// The host is not served here, or is not the one this connection was opened for.
        HostMisdirected = "host_misdirected",
        /// The route does not allow the method.
        MethodNotAllowed = "method_not_allowed",
        /// The source address is not in the route's list.
        AddressNotAllowed = "address_not_allowed",
        /// The source address is in a `deny` of the route or of the listener.
        AddressDenied = "address_denied",
        /// Addresses are denied, and a listed proxy did not tell whose request it passed on.
        AddressUnknown = "address_unknown",
        /// A required header is absent or has another value.
        HeaderRequired = "header_required",
        /// The route wants a client certificate and the connection has none.
        ClientCertificateRequired = "client_certificate_required",
        /// The content type is not one the route accepts.
        ContentTypeUnsupported = "content_type_unsupported",
        /// The request has passed more relays than any that is not going round in circles.
        LoopDetected = "loop_detected",
        /// The body is, or says it is, larger than the route's limit.
        BodyTooLarge = "body_too_large",
        /// The route's token bucket is empty.
        RouteRateLimited = "route_rate_limited",
        /// The token bucket of this source on this route is empty.
        SourceRateLimited = "source_rate_limited",
        /// The route has as many requests in flight as it may.
        RouteBusy = "route_busy",
        /// The body did not arrive within its deadline.
        BodyTimeout = "body_timeout",
        /// The body came more slowly than the minimum rate once its grace was over.
        BodyTooSlow = "body_too_slow",
        /// The body's framing is broken.
        BodyMalformed = "body_malformed",
        /// The sender closed the connection before the body ended.
        BodyIncomplete = "body_incomplete",
        /// The signature is absent.
        SignatureMissing = "signature_missing",
        /// More than one line of a header that may come once.
        SignatureRepeated = "signature_repeated",
        /// The signature is not of its scheme's shape.
        SignatureMalformed = "signature_malformed",
        /// No secret of the route gives this signature.
        SignatureMismatch = "signature_mismatch",
        /// The request names a key that the route does not have.
        KeyUnknown = "key_unknown",
        /// A token names an algorithm that the scheme does not have.
        AlgorithmRefused = "algorithm_refused",
        /// A token's header brings a key or a rule of its own, or does not say what the scheme wants there.
        TokenHeaderRefused = "token_header_refused",
        /// A claim of a genuine token is absent, or another one than the route or the scheme wants.
        ClaimMismatch = "claim_mismatch",
        /// A part of the signed message is absent or unreadable.
        MessageIncomplete = "message_incomplete",
        /// The timestamp is absent.
        TimestampMissing = "timestamp_missing",
        /// The timestamp is not in its scheme's format.
        TimestampMalformed = "timestamp_malformed",
        /// The timestamp is older than the window.
        TimestampStale = "timestamp_stale",
        /// The timestamp is further in the future than the window.
        TimestampAhead = "timestamp_ahead",
        /// The id that dedupe memory needs is absent.
        IdMissing = "id_missing",
        /// An id or header has another shape than its scheme's.
        ShapeInvalid = "shape_invalid",
        /// A member of the body differs from the header it must equal.
        BindingMismatch = "binding_mismatch",
        /// A digest of the body differs from the body.
        BodyDigestMismatch = "body_digest_mismatch",
        /// The same request is being delivered at this moment.
        DuplicateInFlight = "duplicate_in_flight",
    }
}

/// A refusal and what the answer needs beside its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Why.
    pub refusal: Refusal,
    /// When the sender may try again, for `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, retry_after: None }
    }
}
