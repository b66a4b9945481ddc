//! Step 9: the proof that the provider sent exactly these bytes.

use std::ops::Deref;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout_at};

use crate::base::{Clock, UnixMillis};
use crate::domain::{Doubt, Fault, Head, Refusal, Unproven};
use crate::runtime::snapshot::{Observed, Route, Verification};
use crate::runtime::state::{BodyShare, Place, VerifyPlaces};
use crate::scheme::Proof;

use super::admit;
use super::read::Received;

/// A body of this many bytes is hashed apart from everything else: once for each key, it would hold up a worker's other requests.
pub(super) const LARGE: usize = 64 * 1024;

/// A genuine request. Nothing else can be forwarded.
#[derive(Debug)]
pub struct Verified<'s> {
    received: Received<'s>,
    proof: Option<Proof>,
    would_refuse: Option<Refusal>,
    at: UnixMillis,
    took: Duration,
    done: Instant,
}

impl<'s> Verified<'s> {
    /// Checks signature, time, shapes and bindings over the raw bytes.
    pub(super) fn check(
        mut received: Received<'s>,
        place: Option<Place<'_>>,
        head: &Head,
        clock: &Clock,
    ) -> Result<Self, Unproven> {
        let (started, now, is_set) = (Instant::now(), clock.now(), clock.is_set());
        received.settle();
        let work = || {
            let (route, body) = (received.route(), received.body());
            let proof = prove(route, head, body, now).map_err(Unproven::from);
            let proof = if is_set { proof } else { untimed(route, proof) };
            proof.map(|proof| (proof, would_refuse(route, head, body, now)))
        };
        let (proof, would_refuse) = if place.is_some() { apart(work) } else { work() }?;
        drop(place);
        let done = Instant::now();
        Ok(Self { received, proof, would_refuse, at: now, took: done - started, done })
    }

    /// What was proven; `None` where the route says `dangerously_none`.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Why it will be refused once what the route observes is in force.
    pub fn would_refuse(&self) -> Option<Refusal> {
        self.would_refuse
    }

    /// The wall clock's time that it was judged by.
    pub fn at(&self) -> UnixMillis {
        self.at
    }

    /// When that was done. What follows takes no time worth another look at the clock.
    pub fn done(&self) -> Instant {
        self.done
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// What takes long over a body of this many bytes waits for a place: until `by`, and no longer than others can do without its memory.
pub(super) async fn place<'p>(
    route: &Route,
    body: usize,
    share: &BodyShare<'_>,
    places: &'p VerifyPlaces,
    by: Instant,
) -> Result<Option<Place<'p>>, Fault> {
    let hashes_nothing = matches!(route.verify, Verification::DangerouslyNone) && route.observed.is_none();
    if body.saturating_add(cost(route)) < LARGE || hashes_nothing {
        return Ok(None);
    }
    tokio::select! {
        biased;
        place = timeout_at(by, places.enter(share)) => place.map(Some).map_err(|_| Fault::VerificationBusy),
        () = share.evicted() => Err(Fault::BodyMemory),
    }
}

/// What the route's keys cost, whatever the size of the body: a public key as much as thousands of bytes.
fn cost(route: &Route) -> usize {
    let own = match &route.verify {
        Verification::Signed(verifier) => verifier.cost(),
        Verification::DangerouslyNone => 0,
    };
    let observed = route.observed.as_ref().and_then(|observed| observed.verify.as_ref());
    observed.map_or(own, |verifier| own.saturating_add(verifier.cost()))
}

/// Where it holds up nobody: the tasks of this worker go to another thread for as long as it takes.
pub(super) fn apart<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        // Nobody could take them.
        _ => work(),
    }
}

/// The proof itself, so that `explain` asks the same function; `None` where the route says `dangerously_none`.
pub(crate) fn prove(route: &Route, head: &Head, body: &[u8], now: UnixMillis) -> Result<Option<Proof>, Refusal> {
    match &route.verify {
        Verification::Signed(verifier) => verifier.verify(head, body, now).map(Some),
        Verification::DangerouslyNone => Ok(None),
    }
}

/// What can be said while the clock is not set: nothing of a request whose time is judged, unless something else is wrong with it.
fn untimed(route: &Route, proof: Result<Option<Proof>, Unproven>) -> Result<Option<Proof>, Unproven> {
    let timed = matches!(&route.verify, Verification::Signed(verifier) if verifier.scheme().judges_time());
    match proof {
        Ok(_) | Err(Unproven::Refused(Refusal::TimestampStale | Refusal::TimestampAhead)) if timed => {
            Err(Doubt::ClockUnset.into())
        }
        proof => proof,
    }
}

/// What the route's observed headers and scheme would say of a genuine request, so that `explain` asks the same function.
pub(crate) fn would_refuse(route: &Route, head: &Head, body: &[u8], now: UnixMillis) -> Option<Refusal> {
    let Observed { verify, headers } = route.observed.as_deref()?;
    if let Some(refusal) = headers.iter().find_map(|required| admit::required_header(required, head).err()) {
        return Some(refusal);
    }
    verify.as_ref()?.verify(head, body, now).err()
}

impl<'s> Deref for Verified<'s> {
    type Target = Received<'s>;

    fn deref(&self) -> &Self::Target {
        &self.received
    }
}
