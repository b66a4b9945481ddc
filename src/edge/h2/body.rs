//! The body of an HTTP/2 stream. The peer's window is given back only as bytes are taken over, so what is in memory is
//! either in the window's bound or in the body budget's.

use ::h2::server::SendResponse;
use ::h2::{Reason, RecvStream};
use bytes::{Bytes, BytesMut};

use crate::gate::pipeline::read::{BodyBroken, BodySource};

/// A stream's two directions: the body, and the answer that waits for it.
pub(super) struct Body {
    stream: RecvStream,
    respond: SendResponse<Bytes>,
    owes_continue: bool,
    done: bool,
}

impl Body {
    pub(super) fn new(stream: RecvStream, respond: SendResponse<Bytes>, expects_continue: bool) -> Self {
        let done = stream.is_end_stream();
        Self { stream, respond, owes_continue: expects_continue && !done, done }
    }

    /// The way to answer. What was not read of the body is dropped with the stream, which tells the peer to stop.
    pub(super) fn into_respond(self) -> SendResponse<Bytes> {
        self.respond
    }

    /// The same where the rest of the body is still of interest once the answer is out.
    pub(super) fn split(self) -> (SendResponse<Bytes>, Rest) {
        (self.respond, Rest { stream: self.stream, done: self.done })
    }
}

/// What has not been read of a request that has its answer.
pub(super) struct Rest {
    stream: RecvStream,
    done: bool,
}

impl BodySource for Rest {
    async fn fill(&mut self, into: &mut BytesMut, room: usize) -> Result<bool, BodyBroken> {
        self.done = append(&mut self.stream, into, room).await?;
        Ok(self.done)
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

/// Appends the next frame's bytes; whether the body has ended.
async fn append(stream: &mut RecvStream, into: &mut BytesMut, room: usize) -> Result<bool, BodyBroken> {
    match stream.data().await {
        Some(Ok(data)) if data.len() > room => Err(BodyBroken::TooLarge),
        Some(Ok(data)) => {
            into.extend_from_slice(&data);
            let _ = stream.flow_control().release_capacity(data.len());
            Ok(stream.is_end_stream())
        }
        Some(Err(error)) if error.reason() == Some(Reason::PROTOCOL_ERROR) => Err(BodyBroken::Malformed),
        Some(Err(_)) => Err(BodyBroken::Incomplete),
        // Trailers, if any, are dropped with the stream.
        None => Ok(true),
    }
}

impl BodySource for Body {
    async fn fill(&mut self, into: &mut BytesMut, room: usize) -> Result<bool, BodyBroken> {
        if std::mem::take(&mut self.owes_continue) {
            let go_on = http::Response::builder().status(100).body(()).map_err(|_| BodyBroken::Malformed)?;
            self.respond.send_informational(go_on).map_err(|_| BodyBroken::Incomplete)?;
        }
        self.done = append(&mut self.stream, into, room).await?;
        Ok(self.done)
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
