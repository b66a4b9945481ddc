//! Step 8: the body, whole, in one buffer: under the route's limit, a total deadline and the global budget.

use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout};

use crate::domain::{Fault, Framing, Head, Outcome, Refusal};
use crate::state::{BodyMemory, BodyShare};

use super::meter::Metered;

/// Memory is taken as bytes arrive, in steps no smaller than this: what a head declares costs the relay nothing.
const STEP: usize = 16 * 1024;
/// What a request that waits takes beside head and body: its task, mostly.
const REQUEST: usize = 16 * 1024;

/// Where a body comes from: an HTTP/1.1 connection, an HTTP/2 stream, or memory.
pub trait BodySource: Send {
    /// Appends what has arrived, at most `room` bytes. `Ok(true)`: the body has ended. The first call sends `100 Continue`
    /// where the sender waits for it. A body with more than `room` bytes to come is [`BodyBroken::TooLarge`].
    fn fill(&mut self, into: &mut BytesMut, room: usize) -> impl Future<Output = Result<bool, BodyBroken>> + Send;

    /// Whether the body was read to its end (an empty one always was).
    fn is_done(&self) -> bool;
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyBroken {
    /// There is more than was asked for.
    TooLarge,
    /// Its framing is wrong.
    Malformed,
    /// The sender went away in the middle.
    Incomplete,
}

/// A request with its body.
#[derive(Debug)]
pub struct Received<'s> {
    metered: Metered<'s>,
    body: Bytes,
    took: Duration,
    _share: BodyShare<'s>,
}

impl<'s> Received<'s> {
    /// Reads the body.
    pub(super) async fn read<B: BodySource>(
        metered: Metered<'s>,
        head: &Head,
        source: &mut B,
        memory: &'s BodyMemory,
        deadline: Duration,
    ) -> Result<Self, Outcome> {
        let started = Instant::now();
        let max = metered.route().max_body;
        let mut share = memory.share();
        let body = match timeout(deadline, whole(head, source, max, &mut share)).await {
            Ok(body) => body?,
            Err(_) => return Err(Refusal::BodyTimeout.into()),
        };
        Ok(Self { metered, body, took: started.elapsed(), _share: share })
    }

    /// The raw bytes: what was signed and what will be forwarded.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// How long it took to arrive.
    pub fn took(&self) -> Duration {
        self.took
    }
}

impl<'s> Deref for Received<'s> {
    type Target = Metered<'s>;

    fn deref(&self) -> &Self::Target {
        &self.metered
    }
}

async fn whole<B: BodySource>(
    head: &Head,
    source: &mut B,
    max: u64,
    share: &mut BodyShare<'_>,
) -> Result<Bytes, Outcome> {
    if source.is_done() {
        return Ok(Bytes::new());
    }
    // A head is held for as long as its body is waited for, and over HTTP/2 a hundred of them cost their sender very little.
    let held = REQUEST + head.footprint();
    if !share.grow_to(held as u64) {
        return Err(Fault::BodyMemory.into());
    }
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let expected = match head.framing() {
        Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX).min(max),
        Framing::Empty | Framing::Unknown => max,
    };
    let mut body = BytesMut::new();
    loop {
        let room = max - body.len().min(max);
        if body.len() == body.capacity() && room > 0 {
            let more = body.capacity().max(STEP).min(expected.saturating_sub(body.len())).max(1);
            reserve(&mut body, held, more, share)?;
        }
        match source.fill(&mut body, room).await {
            Ok(true) => return Ok(body.freeze()),
            // An HTTP/2 frame may be larger than the room that was made for it.
            Ok(false) => reserve(&mut body, held, 0, share)?,
            Err(BodyBroken::TooLarge) => return Err(Refusal::BodyTooLarge.into()),
            Err(BodyBroken::Malformed) => return Err(Refusal::BodyMalformed.into()),
            Err(BodyBroken::Incomplete) => return Err(Refusal::BodyIncomplete.into()),
        }
    }
}

/// Counts first, allocates after.
fn reserve(body: &mut BytesMut, held: usize, more: usize, share: &mut BodyShare<'_>) -> Result<(), Fault> {
    if !share.grow_to((held + body.capacity() + more) as u64) {
        return Err(Fault::BodyMemory);
    }
    body.reserve(more);
    Ok(())
}
