//! Token buckets and in-flight caps: of one route, and of whoever else counts sources. Arithmetic over a given instant, no
//! timer, bounded memory.
//!
//! Two kinds that never mix: what a source address may take before anything is proven, which only that address spends; and
//! what the whole route shares, which only verified requests spend that no one has delivered before.
//!
//! Each bucket is one atomic word (the generic cell rate algorithm): the time at which the bucket would be full again. A
//! request may pass while that time is not further ahead than the burst allows. No background task refills anything.
//!
//! A meter outlives a reload; the rates are handed in, because they may change with one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::source::network;
use crate::domain::{Refusal, Turned};

/// How many sources one table remembers. Whoever is new to a full one takes the place of a source that has little to be
/// remembered for: an owner of more addresses than this gains nothing by being forgotten, and a first request is never
/// refused because strangers came before it.
pub const SOURCES_MAX: usize = 65_536;
const SHARDS: usize = 16;
/// Sources of a full shard that are compared before one of them is forgotten.
const SAMPLE: usize = 8;

/// A rate: requests per second in the long run, and a burst.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// More than zero.
    pub per_second: f64,
    /// At least one.
    pub burst: u32,
}

/// What a route allows; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RouteLimits {
    /// For the verified requests of the route as a whole.
    pub rate: Option<Rate>,
    /// For each source address (an IPv6 source is its /64), before anything is verified.
    pub rate_per_source: Option<Rate>,
    /// Verified requests between their verification and their answer.
    pub max_in_flight: Option<usize>,
}

/// The meters of one route.
#[derive(Debug)]
pub struct RouteMeter {
    epoch: Instant,
    in_flight: AtomicUsize,
    route: Bucket,
    sources: Sources,
}

/// How much of a route's limits a request may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// Half of the burst and of the requests in flight: the other half is left to others.
    Half,
}

impl Part {
    fn of(self, whole: usize) -> usize {
        match self {
            Self::Whole => whole,
            Self::Half => whole / 2,
        }
    }
}

/// The right to be in flight; given back on drop.
#[derive(Debug)]
pub struct Permit<'m>(&'m AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for RouteMeter {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            in_flight: AtomicUsize::new(0),
            route: Bucket::default(),
            sources: Sources::default(),
        }
    }
}

impl RouteMeter {
    /// Takes one request's worth of what its source may send, verified or not.
    pub fn charge_source(&self, limits: &RouteLimits, source: IpAddr, now: Instant) -> Result<(), Turned> {
        let Some(rate) = limits.rate_per_source else { return Ok(()) };
        self.sources.take(rate, source, now).map_err(|wait| limited(Refusal::SourceRateLimited, wait))
    }

    /// Takes one request's worth of what the whole route shares, or says what ran out. Only for verified requests.
    pub fn charge_route(&self, limits: &RouteLimits, part: Part, now: Instant) -> Result<Permit<'_>, Turned> {
        let permit = self.enter(limits.max_in_flight.map(|most| part.of(most)))?;
        if let Some(rate) = limits.rate {
            // With a burst of one there is no half of it: whoever comes first has it.
            let burst = if part == Part::Half { (rate.burst / 2).max(1) } else { rate.burst };
            let rate = Rate { burst, ..rate };
            let now = nanos(now.saturating_duration_since(self.epoch));
            self.route.take(rate, now).map_err(|wait| limited(Refusal::RouteRateLimited, wait))?;
        }
        Ok(permit)
    }

    /// Requests in flight at this moment.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn enter(&self, most: Option<usize>) -> Result<Permit<'_>, Turned> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(&self.in_flight);
        match most {
            Some(most) if before >= most => Err(limited(Refusal::RouteBusy, Duration::from_secs(1))),
            Some(_) | None => Ok(permit),
        }
    }
}

/// One bucket for each source (an IPv6 source is its /64). No lock is held for longer than a look at one of its shards.
#[derive(Debug)]
pub struct Sources {
    epoch: Instant,
    /// Made when the first source is counted: most routes count none.
    shards: OnceLock<Box<[Shard]>>,
}

/// When the bucket of each source is full again.
type Shard = Mutex<HashMap<IpAddr, u64>>;

impl Default for Sources {
    fn default() -> Self {
        Self { epoch: Instant::now(), shards: OnceLock::new() }
    }
}

impl Sources {
    /// Takes one token of this source, or says how long until there is one.
    pub fn take(&self, rate: Rate, source: IpAddr, now: Instant) -> Result<(), Duration> {
        let now = nanos(now.saturating_duration_since(self.epoch));
        let source = network(source);
        let shards = self.shards.get_or_init(|| (0..SHARDS).map(|_| Shard::default()).collect());
        let Some(shard) = shards.get(shard_of(source)) else { return Ok(()) };
        let mut known = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = known.get_mut(&source) {
            return advance(full_at, rate, now);
        }
        if known.len() >= SOURCES_MAX / SHARDS {
            // Of a few, whose order nobody outside knows, the one whose bucket is full again first: often it is already, and
            // then it is indistinguishable from one never seen.
            let calmest = known.iter().take(SAMPLE).min_by_key(|(_, full_at)| **full_at).map(|(source, _)| *source);
            calmest.and_then(|source| known.remove(&source));
        }
        let mut full_at = now;
        let verdict = advance(&mut full_at, rate, now);
        known.insert(source, full_at);
        verdict
    }
}

/// One bucket: when it is full again, in nanoseconds since the meter's epoch.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

impl Bucket {
    fn take(&self, rate: Rate, now: u64) -> Result<(), Duration> {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let mut full_at = seen;
            advance(&mut full_at, rate, now)?;
            match self.0.compare_exchange_weak(seen, full_at, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => seen = other,
            }
        }
    }
}

/// Takes one token, or says how long until there is one.
fn advance(full_at: &mut u64, rate: Rate, now: u64) -> Result<(), Duration> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the rate is positive; `as` saturates")]
    let step = (1e9 / rate.per_second) as u64;
    let next = (*full_at).max(now).saturating_add(step);
    let most = step.saturating_mul(u64::from(rate.burst));
    let ahead = next.saturating_sub(now);
    if ahead > most {
        return Err(Duration::from_nanos(ahead - most));
    }
    *full_at = next;
    Ok(())
}

fn limited(refusal: Refusal, wait: Duration) -> Turned {
    Turned { refusal, retry_after: Some(wait) }
}

/// Spreads neighbours over the shards; an attacker who crowds one shard only crowds his own kind.
fn shard_of(ip: IpAddr) -> usize {
    let bits = match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or_default(),
    };
    usize::try_from(bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60).unwrap_or_default()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
