//! Step 9: the proof that the provider sent exactly these bytes.

use std::ops::Deref;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Head, Refusal};
use crate::signature::Proof;
use crate::snapshot::{Route, Verification};

use super::read::Received;

/// A genuine request. Nothing else can be forwarded.
#[derive(Debug)]
pub struct Verified<'s> {
    received: Received<'s>,
    proof: Option<Proof>,
    at: UnixMillis,
    took: Duration,
    done: Instant,
}

impl<'s> Verified<'s> {
    /// Checks signature, time, shapes and bindings over the raw bytes.
    pub(super) fn check(received: Received<'s>, head: &Head, now: UnixMillis) -> Result<Self, Refusal> {
        let started = Instant::now();
        let proof = prove(received.route(), head, received.body(), now)?;
        let done = Instant::now();
        Ok(Self { received, proof, at: now, took: done - started, done })
    }

    /// What was proven; `None` where the route says `dangerously_none`.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
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

/// The proof itself, so that `explain` asks the same function; `None` where the route says `dangerously_none`.
pub(crate) fn prove(route: &Route, head: &Head, body: &[u8], now: UnixMillis) -> Result<Option<Proof>, Refusal> {
    match &route.verify {
        Verification::Signed(verifier) => verifier.verify(head, body, now).map(Some),
        Verification::DangerouslyNone => Ok(None),
    }
}

impl<'s> Deref for Verified<'s> {
    type Target = Received<'s>;

    fn deref(&self) -> &Self::Target {
        &self.received
    }
}
