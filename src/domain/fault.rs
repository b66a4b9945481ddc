//! Everything that can go wrong on our side of a request, the upstream's included.

use super::refusal::codes;

codes! {
    /// Why a genuine request could not be delivered, or any request could not be served. Never the sender's doing.
    Fault {
        /// No server of the upstream could be connected to.
        UpstreamConnect = "upstream_connect",
        /// The upstream's TLS handshake failed: its certificate, its name, or ours was not accepted.
        UpstreamTls = "upstream_tls",
        /// The connection broke after the request was written.
        UpstreamReset = "upstream_reset",
        /// The answer was not HTTP.
        UpstreamMalformed = "upstream_malformed",
        /// The answer's body is larger than what is passed on to senders.
        UpstreamTooLarge = "upstream_too_large",
        /// The upstream answered with something other than success.
        UpstreamStatus = "upstream_status",
        /// No answer within the deadline.
        UpstreamTimeout = "upstream_timeout",
        /// Every server is ejected or failed its health check.
        UpstreamUnavailable = "upstream_unavailable",
        /// There is no room for the body, or it was evicted for another.
        BodyMemory = "body_memory",
        /// No place to verify a large body became free in time.
        VerificationBusy = "verification_busy",
        /// Dedupe memory is full of ids that are still inside their window.
        DedupeMemory = "dedupe_memory",
        /// The request could not be made durable: the store's quota or the disk's reserve is used up.
        StoreFull = "store_full",
        /// The request could not be made durable: the disk failed, or was too slow.
        StoreFailed = "store_failed",
        /// A panic in the pipeline: our bug.
        Internal = "internal",
    }
}
