//! What `h2` answers or swallows without asking anybody has a budget here: PING, SETTINGS, PRIORITY, window updates, resets,
//! unknown frames, and bodies in crumbs. A peer that spends it gets a GOAWAY that says so.
//!
//! The guard reads the nine bytes in front of each frame as they pass and changes nothing. Frames that begin a request earn,
//! because requests have limits of their own; so a busy honest sender never runs out, and an idle one has a refill.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::observe::{Http2Error, Http2Scope};

use super::fragment::{Blocks, Marked};
use super::outgoing::Outgoing;

/// Frames that a connection may send beside its requests before any was earned.
const BUDGET: u32 = 4096;
/// What a request earns: window updates for an answer of a mebibyte, a body in small pieces.
const EARNED: u32 = 256;
/// What a second earns.
const REFILL: u64 = 128;
/// Frames that earn nothing, after which everything else has its turn.
const TURN: u32 = 256;
/// DATA frames below this length are crumbs.
const CRUMB: u32 = 128;

const PREFACE: u32 = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
/// The bits of a stream's number.
const STREAM: u32 = 0x7fff_ffff;
const END_STREAM: u8 = 0x1;
const PADDED: u8 = 0x8;

/// The budget of a connection, and where in its bytes the next frame begins.
#[derive(Debug)]
pub(in crate::edge) struct Budget {
    left: u32,
    /// Spent since everything else had its turn.
    in_turn: u32,
    refilled: Instant,
    skip: u32,
    header: [u8; HEADER],
    have: usize,
    /// Whose bytes are passed over.
    in_block: bool,
    blocks: Blocks,
}

impl Budget {
    /// `head_most`: bytes of the largest head. What is found out about heads goes to `marked`.
    pub(in crate::edge) fn new(head_most: usize, marked: Arc<Marked>) -> Self {
        let (refilled, blocks) = (Instant::now(), Blocks::new(head_most, marked));
        Self {
            left: BUDGET,
            in_turn: 0,
            refilled,
            skip: PREFACE,
            header: [0; HEADER],
            have: 0,
            in_block: false,
            blocks,
        }
    }

    /// Looks at the next bytes of the connection, however they were cut. False when the budget is spent.
    pub(in crate::edge) fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            self.skip -= u32::try_from(skip).unwrap_or(self.skip);
            let (payload, rest) = bytes.split_at_checked(skip).unwrap_or_default();
            if self.in_block && skip > 0 {
                self.blocks.pass(payload, self.skip == 0);
            }
            bytes = rest;
            let Some((byte, rest)) = bytes.split_first().filter(|_| self.skip == 0) else { break };
            bytes = rest;
            if let Some(place) = self.header.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            if self.have == HEADER {
                self.have = 0;
                if !self.frame() {
                    return false;
                }
            }
        }
        true
    }

    fn frame(&mut self) -> bool {
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skip = length;
        self.in_block = matches!(kind, HEADERS | CONTINUATION);
        if self.in_block {
            self.blocks.begin(flags, u32::from_be_bytes(stream) & STREAM, kind == CONTINUATION);
            if length == 0 {
                self.blocks.pass(&[], true);
            }
        }
        match kind {
            HEADERS => {
                self.left = (self.left + EARNED).min(BUDGET);
                true
            }
            DATA if flags & END_STREAM != 0 || (length >= CRUMB && flags & PADDED == 0) => true,
            _ => self.spend(),
        }
    }

    fn spend(&mut self) -> bool {
        if self.left == 0 {
            // Asked only here, so that an honest connection never looks at the clock.
            let earned = self.refilled.elapsed().as_secs().saturating_mul(REFILL);
            if earned == 0 {
                return false;
            }
            self.refilled = Instant::now();
            self.left = u32::try_from(earned).unwrap_or(BUDGET).min(BUDGET);
        }
        self.left -= 1;
        self.in_turn += 1;
        true
    }

    /// Whether the connection has had its turn; the next one begins.
    fn turn_is_over(&mut self) -> bool {
        let over = self.in_turn >= TURN;
        if over {
            self.in_turn = 0;
        }
        over
    }
}

/// Tells the connection's task that the budget is spent.
#[derive(Debug, Default)]
pub(super) struct Spent {
    is: AtomicBool,
    told: Notify,
}

impl Spent {
    /// Waits until it is.
    pub(super) async fn happens(&self) {
        while !self.is.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }

    fn tell(&self) {
        self.is.store(true, Ordering::Release);
        // Stored for a task that does not wait yet.
        self.told.notify_one();
    }
}

/// What a connection's task learns from its guard.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) spent: Arc<Spent>,
    pub(super) marked: Arc<Marked>,
}

/// A stream whose frames are counted as they come and read for errors as they go.
#[derive(Debug)]
pub(super) struct Guarded<S, T> {
    io: S,
    budget: Budget,
    spent: Arc<Spent>,
    outgoing: Outgoing,
    told: T,
}

impl<S, T> Guarded<S, T> {
    /// `told` receives each stream and connection that is ended for the peer's error.
    pub(super) fn new(io: S, head_most: usize, told: T) -> (Self, Told) {
        let of = Told { spent: Arc::default(), marked: Arc::default() };
        let (budget, outgoing) = (Budget::new(head_most, Arc::clone(&of.marked)), Outgoing::default());
        (Self { io, budget, spent: Arc::clone(&of.spent), outgoing, told }, of)
    }
}

impl<S: AsyncRead + Unpin, T: Unpin> AsyncRead for Guarded<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.spent.is.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if self.budget.turn_is_over() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !self.budget.pass(new) {
            // What came with the last straw goes no further.
            buffer.set_filled(before);
            self.spent.tell();
            return Poll::Pending;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin, T: FnMut(Http2Scope, Http2Error) + Unpin> AsyncWrite for Guarded<S, T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = written {
            this.outgoing.pass(bytes.get(..written).unwrap_or_default(), &mut this.told);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.io).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(mut left)) = written {
            for slice in slices {
                let part = slice.get(..left.min(slice.len())).unwrap_or_default();
                this.outgoing.pass(part, &mut this.told);
                left -= part.len();
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags, 0, 0, 0, 1]);
        bytes.extend(vec![0xff; length as usize]);
        bytes
    }

    fn fresh() -> Budget {
        Budget::new(64 * 1024, Arc::default())
    }

    /// How many of these frames a fresh connection may send, in pieces of this size.
    fn allowed(frame: &[u8], piece: usize) -> usize {
        let mut budget = fresh();
        assert!(budget.pass(&[b'x'; PREFACE as usize]));
        (0..20_000).take_while(|_| frame.chunks(piece).all(|part| budget.pass(part))).count()
    }

    #[tokio::test(start_paused = true)]
    async fn what_costs_and_what_does_not() {
        for piece in [1, 4, 9, 10, 4096] {
            for (kind, flags, length) in
                [(6, 0, 8), (4, 0, 6), (2, 0, 5), (8, 0, 4), (3, 0, 4), (0xee, 0, 0), (0, 0, 1)]
            {
                assert_eq!(allowed(&frame(kind, flags, length), piece), BUDGET as usize, "{kind} in {piece}");
            }
            assert_eq!(allowed(&frame(DATA, PADDED, 200), piece), BUDGET as usize);
            for free in [frame(HEADERS, 4, 40), frame(DATA, 0, 128), frame(DATA, END_STREAM, 0)] {
                assert_eq!(allowed(&free, piece), 20_000, "in {piece}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_and_time_earn() {
        let ping = frame(6, 0, 8);
        let round = [frame(HEADERS, 4, 40), ping.repeat(EARNED as usize)].concat();
        assert_eq!(allowed(&round, 4096), 20_000);
        let mut budget = fresh();
        budget.pass(&[0; PREFACE as usize]);
        let empty = frame(0xee, 0, 0);
        while budget.pass(&empty) {}
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        assert_eq!((0..1000).take_while(|_| budget.pass(&empty)).count(), 256);
    }
}
