//! Step 10: dedupe memory, then the route's own limits. The key is reserved before anything is forwarded.
//!
//! `rate` and `max_in_flight` are charged here and not before: neither a forged request nor a copy of a genuine one may use up
//! what genuine requests need.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::{Clock, Moment, UnixMillis};
use crate::domain::{Fault, Outcome, Refusal, Turned};
use crate::guards::dedupe::{DedupeKey, DedupeMemory, Known, Reservation, Seen};
use crate::guards::meter::{Part, Permit};
use crate::runtime::snapshot::Verification;
use crate::store::Store;

use super::verify::Verified;

/// When a duplicate may be sent again: long enough for most deliveries to have ended.
const TWIN_WAIT: Duration = Duration::from_secs(2);

/// A genuine request that was not delivered before, and that no copy can overtake.
#[derive(Debug)]
pub struct Fresh<'s> {
    verified: Verified<'s>,
    reservation: Option<(Reservation<&'s DedupeMemory>, Duration)>,
    _permit: Permit<'s>,
}

/// A reservation that is in the hands of the task that makes its request durable.
#[derive(Debug)]
pub(super) struct Pending {
    reservation: Reservation<Arc<DedupeMemory>>,
    until: Moment,
}

impl Pending {
    /// What the store remembers in the same transaction: nothing of a repeat, of which anybody can make more.
    pub(super) fn key(&self) -> Option<(DedupeKey, UnixMillis)> {
        (!self.reservation.is_repeat()).then(|| (self.reservation.key(), self.until.wall))
    }

    /// The request is durable: its copies are duplicates. Dropped instead, it leaves no trace.
    pub(super) fn commit(self) {
        self.reservation.commit(self.until);
    }
}

/// What dedupe memory said.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one match; a box would be an allocation for each request")]
pub enum Deduped<'s> {
    /// New.
    Fresh(Fresh<'s>),
    /// Delivered before, inside the window.
    Duplicate,
}

impl<'s> Fresh<'s> {
    /// Reserves the request's id, where the route remembers ids and the request has one; then one request's worth of what the
    /// route's genuine requests share. A request that is turned away leaves no trace.
    pub(super) fn reserve(
        verified: Verified<'s>,
        memory: &'s DedupeMemory,
        clock: &Clock,
        now: Instant,
    ) -> Result<Deduped<'s>, Outcome> {
        let route = verified.route();
        let known = verified.proof().and_then(|proof| {
            let key = |id: &str| DedupeKey::new(&route.name, &proof.key, id);
            Some(Known { key: key(proof.dedupe.as_deref()?), words: proof.signed_words().map(key) })
        });
        let reservation = match (route.dedupe, known) {
            (Some(window), Some(known)) => match memory.reserve(known, route.dedupe_share, clock.moment()) {
                Ok(reservation) => Some((reservation, window)),
                Err(Seen::Committed) => return Ok(Deduped::Duplicate),
                Err(Seen::InFlight) => {
                    return Err(Turned { refusal: Refusal::DuplicateInFlight, retry_after: Some(TWIN_WAIT) }.into());
                }
                Err(Seen::Full) => return Err(Fault::DedupeMemory.into()),
            },
            _ => None,
        };
        // Repeats leave half to those whose words are new: a captured request comes under as many ids as somebody likes.
        let is_repeat = reservation.as_ref().is_some_and(|(reservation, _)| reservation.is_repeat());
        let part = if is_repeat { Part::Half } else { Part::Whole };
        let permit = route.meter.charge_route(&route.limits, part, now)?;
        Ok(Deduped::Fresh(Self { verified, reservation, _permit: permit }))
    }

    /// Whether its delivery proves who sent it: a copy of it would be known from then on, or is worth as much, because whoever
    /// has one has the token in it. Of a copy that passes again and again nobody can tell who sends it, nor of a repeat.
    pub(super) fn proves(&self) -> bool {
        let by_token = || match &self.route().verify {
            Verification::Signed(verifier) => verifier.scheme().is_token(),
            Verification::DangerouslyNone => false,
        };
        (self.reservation.is_some() && !self.is_repeat()) || by_token()
    }

    /// Whether its signed words came before, under another id that nobody signs.
    pub(super) fn is_repeat(&self) -> bool {
        self.reservation.as_ref().is_some_and(|(reservation, _)| reservation.is_repeat())
    }

    /// Remembers the request as delivered; with a store, beyond this process.
    pub(super) fn commit(self, clock: &Clock, store: Option<&Store>) {
        if let Some((reservation, window)) = self.reservation {
            let until = clock.moment().plus(window);
            if let Some(store) = store.filter(|_| !reservation.is_repeat()) {
                store.remember(reservation.key(), until.wall, &self.verified.route().name);
            }
            reservation.commit(until);
        }
    }

    /// Leaves the reservation to the task that makes the request durable.
    pub(super) fn pending(self, memory: &Arc<DedupeMemory>, now: Moment) -> Option<Pending> {
        let (reservation, window) = self.reservation?;
        Some(Pending { reservation: reservation.hand_over(Arc::clone(memory)), until: now.plus(window) })
    }
}

impl<'s> Deref for Fresh<'s> {
    type Target = Verified<'s>;

    fn deref(&self) -> &Self::Target {
        &self.verified
    }
}
