//! Step 8: the body, whole, in one buffer: under the route's limit, a total deadline, a minimum rate and the global budget.
//!
//! One timer serves deadline and rate. It is moved when it rings and not when bytes come, so a frame costs no more for it.

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::ops::Deref;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::domain::source::network;
use crate::domain::{Fault, Framing, Head, Outcome, Refusal, SourceAddress, Via};
use crate::runtime::snapshot::Limits;
use crate::runtime::state::{BodyMemory, BodyShare};

use super::Connection;
use super::meter::Metered;
use super::verify::LARGE;

/// Memory is taken as bytes arrive, in steps no smaller than this: what a stranger's head declares costs the relay nothing.
const STEP: usize = 16 * 1024;
/// What a request that waits takes beside head and body: its task, mostly.
const REQUEST: usize = 16 * 1024;
/// A sender near the minimum rate is looked at no more often than this, whatever it sends.
const LOOK: Duration = Duration::from_millis(250);

/// Where a body comes from: an HTTP/1.1 connection, an HTTP/2 stream, or memory.
pub trait BodySource: Send {
    /// Appends what has arrived, at most `room` bytes. `Ok(true)`: the body has ended. The first call sends `100 Continue`
    /// where the sender waits for it. A body with more than `room` bytes to come is [`BodyBroken::TooLarge`].
    fn fill(&mut self, into: &mut BytesMut, room: usize) -> impl Future<Output = Result<bool, BodyBroken>> + Send;

    /// The body, if the whole of it is here already and `may` says that this many bytes are welcome. Only asked before the first
    /// [`BodySource::fill`].
    fn at_hand(&mut self, may: impl FnOnce(usize) -> bool) -> Option<Bytes> {
        let _ = may;
        None
    }

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
    share: BodyShare<'s>,
    waited: bool,
}

/// Whose body it is.
#[derive(Debug)]
pub(super) struct Sender<'s> {
    pub(super) connection: &'s Connection,
    pub(super) source: SourceAddress,
}

impl Sender<'_> {
    /// Memory is taken for what the head declares, and out of all there is. A proxy's connection is proven by whom it speaks
    /// for, and strangers come over it as well.
    fn is_believed(&self) -> bool {
        self.connection.proven.is() && self.source.via != Via::ForwardedFor
    }
}

/// An unproven sender whose body was not there with its head.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    source: IpAddr,
    /// A genuine request came from its address before, over another connection.
    known: bool,
}

impl<'s> Received<'s> {
    /// Reads the body.
    pub(super) async fn read<B: BodySource>(
        metered: Metered<'s>,
        head: &Head,
        body: &mut B,
        sender: Sender<'_>,
        memory: &'s BodyMemory,
        limits: &Limits,
    ) -> Result<Self, Outcome> {
        let max = metered.route().max_body;
        let believed = sender.is_believed();
        let mut share = memory.share();
        let held = held(head) as u64;
        // A large one of a stranger may have to wait for its verification, which is waiting like any other.
        let most = if believed { max } else { max.min(LARGE as u64 - 1) };
        let may = |length: usize| length as u64 <= most && share.grow_to(held.saturating_add(length as u64));
        if let Some(body) = body.at_hand(may) {
            return Ok(Self { metered, body, took: Duration::ZERO, share, waited: false });
        }
        if body.is_done() {
            return Ok(Self { metered, body: Bytes::new(), took: Duration::ZERO, share, waited: false });
        }
        let stranger = (!believed).then(|| {
            let source = network(sender.source.ip);
            Stranger { source, known: sender.connection.proven.knows(source) }
        });
        let pace = Pace::begin(limits);
        let body = whole(head, body, max, stranger, &mut share, &pace).await?;
        Ok(Self { metered, body, took: pace.started.elapsed(), share, waited: true })
    }

    /// Whether its body was not there with its head.
    pub(super) fn has_waited(&self) -> bool {
        self.waited
    }

    /// What it takes of the memory for bodies.
    pub(super) fn share(&self) -> &BodyShare<'s> {
        &self.share
    }

    /// Nothing of it is waited for any more.
    pub(super) fn settle(&mut self) {
        self.share.settle();
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

/// How slowly a body may come: nothing is asked of it during its grace, and each byte buys it more time behind that, up to
/// its deadline.
#[derive(Debug)]
struct Pace {
    started: Instant,
    /// The end of the grace.
    grace: Instant,
    /// Bytes per second; 0 asks nothing.
    rate: u64,
    deadline: Instant,
}

impl Pace {
    fn begin(limits: &Limits) -> Self {
        let started = Instant::now();
        Self {
            started,
            grace: started + limits.body_grace,
            rate: limits.min_body_rate,
            deadline: started + limits.body_timeout,
        }
    }

    /// Until when this much is enough.
    fn enough_until(&self, received: usize) -> Instant {
        match (received as u64).saturating_mul(1000).checked_div(self.rate) {
            Some(bought) => (self.grace + Duration::from_millis(bought)).min(self.deadline),
            None => self.deadline,
        }
    }

    /// The timer rang, and this much is there: when it shall ring next, unless the sender had its time.
    fn next(&self, received: usize, now: Instant) -> Result<Instant, Refusal> {
        let enough_until = self.enough_until(received);
        match () {
            () if now >= self.deadline => Err(Refusal::BodyTimeout),
            () if now >= enough_until => Err(Refusal::BodyTooSlow),
            () => Ok(enough_until.max(now + LOOK).min(self.deadline)),
        }
    }
}

async fn whole<B: BodySource>(
    head: &Head,
    source: &mut B,
    max: u64,
    mut stranger: Option<Stranger>,
    share: &mut BodyShare<'_>,
    pace: &Pace,
) -> Result<Bytes, Outcome> {
    let believed = stranger.is_none();
    let held = held(head);
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let declared = match head.framing() {
        Framing::Length(length) => Some(usize::try_from(length).unwrap_or(usize::MAX).min(max)),
        Framing::Empty | Framing::Unknown => None,
    };
    let expected = declared.unwrap_or(max);
    let mut body = BytesMut::new();
    // Growing copies every byte of a large body once and leaves as much behind, so who is believed gets all at once. Where
    // memory runs short nobody is.
    if let Some(declared) = declared.filter(|declared| believed && *declared > STEP)
        && share.grow_in_plenty((held + declared) as u64)
    {
        body = BytesMut::with_capacity(declared);
    }
    // A small body that is here at the first look is not waited for, and needs no entry among those that are.
    if declared.is_none_or(|declared| declared >= LARGE) {
        wait(&mut stranger, share);
    }
    let mut timer = pin!(sleep_until(pace.enough_until(0)));
    loop {
        let room = max - body.len().min(max);
        if body.len() == body.capacity() && room > 0 {
            let more = body.capacity().max(STEP).min(expected.saturating_sub(body.len())).max(1);
            reserve(&mut body, held, more, &mut stranger, share, pace).await?;
        }
        let received = body.len();
        let filled = {
            // Kept while the timer is moved: a source need not bear being asked twice.
            let mut fill = pin!(source.fill(&mut body, room));
            let first = match stranger {
                Some(_) => poll_fn(|context| Poll::Ready(fill.as_mut().poll(context))).await,
                None => Poll::Pending,
            };
            if let Poll::Ready(filled) = first {
                filled
            } else {
                let had = wait(&mut stranger, share);
                room_for(had, &mut stranger, share, pace).await?;
                loop {
                    tokio::select! {
                        biased;
                        filled = &mut fill => break filled,
                        () = share.evicted() => return Err(Fault::BodyMemory.into()),
                        () = &mut timer => timer.as_mut().reset(pace.next(received, Instant::now())?),
                    }
                }
            }
        };
        match filled {
            Ok(true) => return Ok(body.freeze()),
            // A piece may be larger than the room that was made for it. The buffer doubles then, also beyond what is to come.
            Ok(false) if body.capacity() > expected.max(body.len()) => {
                let mut fit = BytesMut::with_capacity(expected.max(body.len()));
                fit.extend_from_slice(&body);
                body = fit;
                reserve(&mut body, held, 0, &mut stranger, share, pace).await?;
            }
            Ok(false) => reserve(&mut body, held, 0, &mut stranger, share, pace).await?,
            Err(BodyBroken::TooLarge) => return Err(Refusal::BodyTooLarge.into()),
            Err(BodyBroken::Malformed) => return Err(Refusal::BodyMalformed.into()),
            Err(BodyBroken::Incomplete) => return Err(Refusal::BodyIncomplete.into()),
        }
    }
}

/// A head is held for as long as its body is waited for, and over HTTP/2 a hundred of them cost their sender very little.
pub(super) fn held(head: &Head) -> usize {
    REQUEST + head.footprint()
}

/// From now on the stranger, if it is one still, is among those whose bodies are waited for. What it had is given back: this much.
fn wait(stranger: &mut Option<Stranger>, share: &mut BodyShare<'_>) -> u64 {
    stranger.take().map_or(0, |Stranger { source, known }| share.wait_unproven(source, known))
}

/// This many bytes in all; others may be evicted for it. A stranger outside its share has them only where there is plenty.
async fn room_for(
    bytes: u64,
    stranger: &mut Option<Stranger>,
    share: &mut BodyShare<'_>,
    pace: &Pace,
) -> Result<(), Fault> {
    if stranger.is_some() {
        if share.grow_in_plenty(bytes) {
            return Ok(());
        }
        wait(stranger, share);
    }
    let has_room = share.grow_to(bytes) || timeout_at(pace.deadline, share.grow_or_evict(bytes)).await == Ok(true);
    if has_room { Ok(()) } else { Err(Fault::BodyMemory) }
}

/// Counts first, allocates after.
async fn reserve(
    body: &mut BytesMut,
    held: usize,
    more: usize,
    stranger: &mut Option<Stranger>,
    share: &mut BodyShare<'_>,
    pace: &Pace,
) -> Result<(), Fault> {
    room_for((held + body.capacity() + more) as u64, stranger, share, pace).await?;
    if more > 0 {
        // Exactly that much: left to itself the buffer would double, and a body could be refused for bytes that nobody sent.
        let mut grown = BytesMut::with_capacity(body.capacity() + more);
        grown.extend_from_slice(body);
        *body = grown;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Method, Version};

    fn pace(grace: u64, rate: u64, deadline: u64) -> Pace {
        let started = Instant::now();
        let [grace, deadline] = [grace, deadline].map(|seconds| started + Duration::from_secs(seconds));
        Pace { started, grace, rate, deadline }
    }

    fn refused(next: Result<Instant, Refusal>) -> Option<Refusal> {
        next.err()
    }

    #[test]
    fn each_byte_buys_time_behind_the_grace_and_none_behind_the_deadline() {
        let pace = pace(5, 1024, 15);
        let until = |received| (pace.enough_until(received) - pace.started).as_millis();
        assert_eq!([0, 512, 1024, 10 * 1024, usize::MAX].map(until), [5000, 5500, 6000, 15_000, 15_000]);
        let at = |millis: u64, received| pace.next(received, pace.started + Duration::from_millis(millis));
        assert_eq!(refused(at(5000, 0)), Some(Refusal::BodyTooSlow));
        assert_eq!(refused(at(6000, 1024)), Some(Refusal::BodyTooSlow));
        assert_eq!(refused(at(15_000, 1 << 20)), Some(Refusal::BodyTimeout));
        assert_eq!(at(5000, 4096), Ok(pace.started + Duration::from_secs(9)));
        assert_eq!(at(5000, 1 << 20), Ok(pace.deadline));
    }

    /// A sender that stays a hair above the rate does not make the timer ring for each of its bytes.
    #[test]
    fn the_timer_rings_a_few_times_a_second_at_most() {
        let pace = pace(5, 1024, 600);
        let now = pace.grace;
        assert_eq!(pace.next(2, now), Ok(now + LOOK));
    }

    /// A body that comes in pieces, each there when it is asked for.
    struct Pieces(Vec<u8>);

    impl BodySource for Pieces {
        async fn fill(&mut self, into: &mut BytesMut, _: usize) -> Result<bool, BodyBroken> {
            let length = (into.capacity() - into.len()).min(self.0.len());
            into.extend(self.0.drain(..length));
            Ok(self.0.is_empty())
        }

        fn is_done(&self) -> bool {
            self.0.is_empty()
        }
    }

    /// What it took where there was plenty is part of its share from then on, and given back with it.
    #[tokio::test]
    async fn a_stranger_that_outgrows_plenty_is_counted_whole() {
        const BODY: usize = 60 * 1024;
        let memory = BodyMemory::default();
        memory.set_max(100 * 1024, 100 * 1024);
        let head = Head::builder(Method::Post, Version::Http11).framing(Framing::Length(BODY as u64)).build();
        // As many as would not fit if anything were left of those before.
        for _ in 0..3 {
            let stranger = Stranger { source: [192, 0, 2, 1].into(), known: false };
            let mut share = memory.share();
            let pace = pace(5, 0, 15);
            let body = whole(&head, &mut Pieces(vec![0; BODY]), BODY as u64, Some(stranger), &mut share, &pace).await;
            assert_eq!(body.map(|body| body.len()), Ok(BODY));
            assert!(share.turn().is_some(), "half of the budget is not plenty for it");
            drop(share);
            assert_eq!(memory.used(), 0);
        }
    }

    #[test]
    fn a_rate_of_zero_and_a_grace_beyond_the_deadline_ask_nothing() {
        for pace in [pace(5, 0, 15), pace(20, 1024, 15)] {
            assert_eq!(pace.enough_until(0), pace.deadline);
            assert_eq!(refused(pace.next(0, pace.deadline)), Some(Refusal::BodyTimeout));
        }
    }
}
