//! An answer, and how much of its body is read: the same rules whichever protocol it came over.
//!
//! Where the route does not pass answers on, status and head are the answer. Its body is read for a moment, so that the
//! connection can serve again, and whatever is wrong with that body only costs the connection: the server has said what it
//! did. Where the route passes answers on, the body is part of the answer: it comes whole and in time, or it is a fault.

use bytes::{Bytes, BytesMut};
use tokio::time::{Duration, Instant};

use super::Outbound;
use super::failure::{Failure, Next};
use super::retry_after::RetryAfter;
use crate::domain::Fault;

/// How much of a body that nobody wants is read, so that its connection can be used again.
const DRAIN_BYTES: usize = 256 * 1024;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// Of the time left, what a stalled write leaves for looking whether the server answered without reading the whole request.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// How long a server that has answered with success may read nothing more of the request until the rest is given up. Some
/// answer first and read on; others never read what they do not need.
pub(super) const STALL: Duration = Duration::from_millis(500);
/// No more of a body's announced length is believed when room is made for it.
const FIRST_ROOM: usize = 64 * 1024;

/// An answer as far as it matters.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: Option<Bytes>,
    pub(super) content_encoding: Option<Bytes>,
    pub(super) retry_after: Option<RetryAfter>,
    /// Empty unless the route passes answers on.
    pub(super) body: Bytes,
}

/// The body of an answer while it is read.
pub(super) struct Body {
    /// Kept up to that; `None`: nothing is kept.
    most: Option<usize>,
    kept: BytesMut,
    read: usize,
    deadline: Instant,
    /// Known once there is something to drain.
    drain_until: Option<Instant>,
}

/// What comes after a piece of body.
pub(super) enum More {
    /// Read on, until then.
    Until(Instant),
    /// It is not worth reading on.
    Enough,
}

impl Body {
    /// `announced`: its length, where the head has one. One that is too long is not waited for.
    pub(super) fn new(request: &Outbound<'_>, announced: Option<u64>, deadline: Instant) -> Result<Self, Failure> {
        let most = request.pass_through;
        if let (Some(most), Some(announced)) = (most, announced)
            && announced > most as u64
        {
            return Err(too_large());
        }
        let room = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(FIRST_ROOM);
        let kept = if most.is_some() { BytesMut::with_capacity(room) } else { BytesMut::new() };
        Ok(Self { most, kept, read: 0, deadline, drain_until: None })
    }

    pub(super) fn put(&mut self, piece: &[u8]) {
        self.read = self.read.saturating_add(piece.len());
        if self.most.is_some_and(|most| self.read <= most) {
            self.kept.extend_from_slice(piece);
        }
    }

    /// Bytes so far, kept or not.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    pub(super) fn more(&mut self) -> Result<More, Failure> {
        match self.most {
            Some(most) if self.read > most => Err(too_large()),
            Some(_) => Ok(More::Until(self.deadline)),
            None if self.read > DRAIN_BYTES => Ok(More::Enough),
            None => {
                let by = || self.deadline.min(Instant::now() + DRAIN_TIME);
                Ok(More::Until(*self.drain_until.get_or_insert_with(by)))
            }
        }
    }

    /// It ends before its end. A fault where it is wanted.
    pub(super) fn cut_short(&self, by: Failure) -> Result<(), Failure> {
        if self.most.is_some() { Err(by) } else { Ok(()) }
    }

    /// What was kept.
    pub(super) fn finish(self) -> Result<Bytes, Failure> {
        if self.most.is_some_and(|most| self.read > most) { Err(too_large()) } else { Ok(self.kept.freeze()) }
    }
}

fn too_large() -> Failure {
    Failure::new(Fault::UpstreamTooLarge, Next::Nowhere, "the body of the answer is larger than is passed on")
}
