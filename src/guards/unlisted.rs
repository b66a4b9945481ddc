//! Addresses that genuine requests came from and that no list of their route holds: what an operator should add.
//!
//! A published list grows old without a sound. One refused request per second of the whole process is verified after its
//! answer ([`Sampling`]); what proved genuine is remembered here, for status and log ([`Unlisted`]).
//!
//! Deliberately absent: the verification itself, and any way from here to an `allow`. Who copies a genuine request can send it
//! from anywhere, so an operator decides.

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::UnixMillis;

/// Addresses that one route remembers; another one takes the place of whichever was silent longest.
pub const ADDRESSES_MAX: usize = 8;
/// How long an address is remembered after its last genuine request.
pub const REMEMBERED: Duration = Duration::from_hours(24);
/// An address that goes on sending is reported again after this time.
const REPORTED_AGAIN: Duration = Duration::from_hours(1);
/// Between two samples, in milliseconds.
const INTERVAL: i64 = 1000;

/// One refused request per second, whoever sends how many, to whichever route.
#[derive(Debug)]
pub struct Sampling {
    /// When the last one was taken; milliseconds since the epoch.
    last: AtomicI64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { last: AtomicI64::new(i64::MIN) }
    }
}

impl Sampling {
    /// Whether this one is taken. A clock that was set back begins again instead of waiting for the time it had.
    pub fn takes(&self, now: UnixMillis) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let is_due = now.0 < last || now.0.saturating_sub(last) >= INTERVAL;
        is_due && self.last.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// What one route remembers. Outlives a reload.
#[derive(Debug, Default)]
pub struct Unlisted(Mutex<Vec<Remembered>>);

/// An address that is not listed, and what came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The source.
    pub address: IpAddr,
    /// Genuine requests among those that were verified; there may have been more.
    pub seen: u64,
    /// When the last of them came.
    pub last: UnixMillis,
    reported: UnixMillis,
}

impl Unlisted {
    /// A genuine request came from an address that is not listed. Whether to report that: it is new, or the last
    /// report is long ago.
    pub fn note(&self, address: IpAddr, now: UnixMillis) -> bool {
        let mut known = self.lock();
        forget(&mut known, now);
        if let Some(known) = known.iter_mut().find(|known| known.address == address) {
            known.seen += 1;
            known.last = now;
            let is_due = now >= known.reported.plus(REPORTED_AGAIN) || now < known.reported;
            if is_due {
                known.reported = now;
            }
            return is_due;
        }
        if known.len() >= ADDRESSES_MAX
            && let Some((oldest, _)) = known.iter().enumerate().min_by_key(|(_, known)| known.last)
        {
            known.swap_remove(oldest);
        }
        known.push(Remembered { address, seen: 1, last: now, reported: now });
        true
    }

    /// What is remembered, the latest first.
    pub fn remembered(&self, now: UnixMillis) -> Vec<Remembered> {
        let mut known = self.lock();
        forget(&mut known, now);
        let mut latest = known.clone();
        drop(known);
        latest.sort_by_key(|known| std::cmp::Reverse(known.last));
        latest
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(known: &mut Vec<Remembered>, now: UnixMillis) {
    known.retain(|known| known.last.plus(REMEMBERED) > now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMillis = UnixMillis(1_800_000_000_000);

    fn at(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn one_sample_per_second_however_many_ask() {
        let sampling = Sampling::default();
        assert_eq!((0..1000).filter(|_| sampling.takes(START)).count(), 1);
        assert!(!sampling.takes(START.plus(Duration::from_millis(999))));
        let next = START.plus(Duration::from_secs(1));
        let taken = std::thread::scope(|scope| {
            let ask = || (0..500).filter(|_| sampling.takes(next)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert_eq!(taken, 1);
        assert!(sampling.takes(START.minus(REMEMBERED)), "a clock set back does not end the samples");
    }

    #[test]
    fn an_address_is_reported_once_an_hour_and_forgotten_after_a_day() {
        let unlisted = Unlisted::default();
        assert!(unlisted.note(at(1), START));
        assert!(!unlisted.note(at(1), START.plus(Duration::from_mins(59))));
        assert!(unlisted.note(at(1), START.plus(REPORTED_AGAIN)));
        let [known] = unlisted.remembered(START.plus(REPORTED_AGAIN))[..] else { panic!("one address") };
        assert_eq!((known.address, known.seen, known.last), (at(1), 3, START.plus(REPORTED_AGAIN)));
        assert_eq!(unlisted.remembered(START.plus(REPORTED_AGAIN + REMEMBERED)), []);
    }

    #[test]
    fn however_many_addresses_there_are_only_a_few_are_kept() {
        let unlisted = Unlisted::default();
        for last in 0..100 {
            assert!(unlisted.note(at(last), START.plus(Duration::from_secs(last.into()))));
        }
        let kept: Vec<_> = unlisted.remembered(START).iter().map(|known| known.address).collect();
        assert_eq!(kept, (92..100).rev().map(at).collect::<Vec<_>>());
    }
}
