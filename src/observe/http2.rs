//! What the HTTP/2 library ended by itself, so that no request and no refusal of ours stands for it.

use std::net::IpAddr;

use crate::base::UnixMillis;
use crate::domain::refusal::codes;

use super::line::{Level, Line, Style};

codes! {
    /// A peer's error, named as RFC 9113 section 7 names it.
    Http2Error {
        /// A malformed head or frame, or a body that its length belies.
        Protocol = "protocol_error",
        /// More was sent than a window allowed.
        FlowControl = "flow_control_error",
        /// A frame for a stream that had ended.
        StreamClosed = "stream_closed",
        /// A frame of an impossible size.
        FrameSize = "frame_size_error",
        /// More streams at once than `limits.max_h2_streams`.
        RefusedStream = "refused_stream",
        /// A head that cannot be decoded.
        Compression = "compression_error",
        /// Resets, frames beside requests or heads beyond every budget.
        EnhanceYourCalm = "enhance_your_calm",
        /// Any other.
        Other = "other",
    }
}

impl Http2Error {
    /// What an error code says of the peer; `None` where it says nothing (`NO_ERROR`, `CANCEL`) or speaks of us
    /// (`INTERNAL_ERROR`).
    pub fn of(code: u32) -> Option<Self> {
        match code {
            0 | 2 | 8 => None,
            1 => Some(Self::Protocol),
            3 => Some(Self::FlowControl),
            5 => Some(Self::StreamClosed),
            6 => Some(Self::FrameSize),
            7 => Some(Self::RefusedStream),
            9 => Some(Self::Compression),
            11 => Some(Self::EnhanceYourCalm),
            _ => Some(Self::Other),
        }
    }
}

codes! {
    /// How much ended.
    Http2Scope {
        /// One stream.
        Stream = "stream",
        /// All of them.
        Connection = "connection",
    }
}

/// A stream or a connection that the HTTP/2 library ended for its peer's error.
#[derive(Clone, Copy, Debug)]
pub struct Http2Ended<'e> {
    /// From `relay.toml`.
    pub listener: &'e str,
    /// The connection's source; what `X-Forwarded-For` would have said was not read.
    pub source: IpAddr,
    /// How much ended.
    pub scope: Http2Scope,
    /// Why.
    pub error: Http2Error,
}

impl Http2Ended<'_> {
    pub(crate) fn line(&self, style: Style, at: UnixMillis) -> Vec<u8> {
        let mut line = Line::new(style, Level::Warn, at, "http2_ended");
        line.word("reason", self.error.code()).word("scope", self.scope.code()).text("listener", self.listener);
        line.address("source", self.source);
        line.finish()
    }
}
