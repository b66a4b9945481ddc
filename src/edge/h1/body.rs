//! The body of an HTTP/1.x request, read straight into the buffer that will be verified and forwarded.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::domain::Framing;
use crate::gate::pipeline::read::{BodyBroken, BodySource};

use super::super::wire::Wire;
use super::chunked::{Chunked, Step};

/// A body on a connection; what the connection's buffer holds of the next request stays in it.
#[derive(Debug)]
pub(super) struct Body<'c, S> {
    io: &'c mut S,
    buffer: &'c mut BytesMut,
    left: Left,
    owes_continue: bool,
}

#[derive(Debug)]
enum Left {
    Length(u64),
    Chunks(Chunked),
}

impl<'c, S> Body<'c, S> {
    pub(super) fn new(io: &'c mut S, buffer: &'c mut BytesMut, framing: Framing, expects_continue: bool) -> Self {
        let left = match framing {
            Framing::Empty => Left::Length(0),
            Framing::Length(length) => Left::Length(length),
            Framing::Unknown => Left::Chunks(Chunked::Size),
        };
        // A sender that did not wait needs no invitation.
        let owes_continue = expects_continue && buffer.is_empty();
        Self { io, buffer, left, owes_continue }
    }
}

impl<S: Wire> Body<'_, S> {
    async fn invite(&mut self) -> Result<(), BodyBroken> {
        if std::mem::take(&mut self.owes_continue) {
            self.io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| BodyBroken::Incomplete)?;
            self.io.flush().await.map_err(|_| BodyBroken::Incomplete)?;
        }
        Ok(())
    }

    /// What came behind the head first, then the socket, never past this body's end.
    async fn fill_length(&mut self, left: u64, into: &mut BytesMut, room: usize) -> Result<u64, BodyBroken> {
        if left > room as u64 {
            return Err(BodyBroken::TooLarge);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let here = most.min(self.buffer.len());
        if here > 0 {
            into.extend_from_slice(self.buffer.get(..here).unwrap_or_default());
            self.buffer.advance(here);
            if self.buffer.is_empty() {
                // As large as one read, which is not to be held for as long as the rest takes.
                *self.buffer = BytesMut::new();
            }
            return Ok(left - here as u64);
        }
        let read = (&mut *self.io).take(left).read_buf(into).await.map_err(|_| BodyBroken::Incomplete)?;
        if read == 0 { Err(BodyBroken::Incomplete) } else { Ok(left - (read as u64).min(left)) }
    }

    async fn fill_chunks(
        &mut self,
        mut state: Chunked,
        into: &mut BytesMut,
        room: usize,
    ) -> Result<Chunked, BodyBroken> {
        loop {
            match state.decode(self.buffer, into, room)? {
                Step::Done | Step::Appended => return Ok(state),
                Step::NeedsMore => {}
            }
            self.buffer.reserve(4096);
            let read = self.io.read_buf(self.buffer).await.map_err(|_| BodyBroken::Incomplete)?;
            if read == 0 {
                return Err(BodyBroken::Incomplete);
            }
        }
    }
}

impl<S: Wire> BodySource for Body<'_, S> {
    async fn fill(&mut self, into: &mut BytesMut, room: usize) -> Result<bool, BodyBroken> {
        self.invite().await?;
        self.left = match self.left {
            Left::Length(left) => Left::Length(self.fill_length(left, into, room).await?),
            Left::Chunks(state) => Left::Chunks(self.fill_chunks(state, into, room).await?),
        };
        Ok(self.is_done())
    }

    fn at_hand(&mut self, may: impl FnOnce(usize) -> bool) -> Option<Bytes> {
        let Left::Length(left) = self.left else { return None };
        let left = usize::try_from(left).ok().filter(|left| *left <= self.buffer.len() && may(*left))?;
        self.left = Left::Length(0);
        // Mostly nothing is behind it, and then the buffer itself is the body. What is behind it is not kept as long as that.
        if left == self.buffer.len() {
            return Some(std::mem::take(self.buffer).freeze());
        }
        let body = Bytes::copy_from_slice(self.buffer.get(..left).unwrap_or_default());
        self.buffer.advance(left);
        Some(body)
    }

    fn is_done(&self) -> bool {
        match self.left {
            Left::Length(left) => left == 0,
            Left::Chunks(state) => state == Chunked::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_hand(framing: Framing, arrived: &[u8], may: impl FnOnce(usize) -> bool) -> (Option<Bytes>, bool, BytesMut) {
        let (mut io, _peer) = tokio::io::duplex(64);
        let mut buffer = BytesMut::from(arrived);
        let mut body = Body::new(&mut io, &mut buffer, framing, false);
        let at_hand = body.at_hand(may);
        let is_done = body.is_done();
        (at_hand, is_done, buffer)
    }

    /// A sender that stops in the middle holds what it sent, and not the buffer that it came in as well.
    #[tokio::test]
    async fn what_the_first_part_came_in_is_given_back_while_the_rest_is_waited_for() {
        let (mut io, _peer) = tokio::io::duplex(64);
        let mut buffer = BytesMut::from([b'x'; 8192].as_slice());
        let mut body = Body::new(&mut io, &mut buffer, Framing::Length(9000), false);
        let mut into = BytesMut::new();
        assert_eq!(body.fill(&mut into, 9000).await, Ok(false));
        assert_eq!((into.len(), buffer.capacity()), (8192, 0));
    }

    #[test]
    fn a_body_that_came_with_its_head_is_handed_over() {
        for behind in [&b""[..], b"GET / HTTP/1.1\r\n"] {
            let (body, is_done, rest) = at_hand(Framing::Length(4), &[b"body", behind].concat(), |length| length == 4);
            assert_eq!((body.as_deref(), is_done, &rest[..]), (Some(&b"body"[..]), true, behind));
        }
    }

    #[test]
    fn what_is_not_whole_or_not_welcome_stays_where_it_is() {
        for (framing, welcome) in [
            (Framing::Length(5), true),
            (Framing::Length(u64::MAX), true),
            (Framing::Unknown, true),
            (Framing::Length(4), false),
        ] {
            let (body, is_done, rest) = at_hand(framing, b"body", |_| welcome);
            assert_eq!((body, is_done, &rest[..]), (None, false, &b"body"[..]), "{framing:?}");
        }
    }
}
