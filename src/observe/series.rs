//! What requests of one route on one listener count: for every thread that records a block of its own, added up when somebody
//! asks. A request touches no memory that another worker writes to, finds its block once, and adds to a dozen numbers in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::domain::Outcome;

use super::event::RequestEvent;
use super::names::{self, Metric};
use super::sharded::{CachePadded, Sharded};

/// Status classes, by their number.
pub(crate) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// What is measured of a request. The last one is in bytes, the others in seconds.
pub(crate) const HISTOGRAMS: [&Metric; 5] = [
    &names::REQUEST_SECONDS,
    &names::READ_SECONDS,
    &names::VERIFY_SECONDS,
    &names::FORWARD_SECONDS,
    &names::BODY_BYTES,
];
/// Buckets of a histogram, with the one that has no upper bound.
const BUCKETS: usize = names::SECONDS.len() + 1;
/// Labels that requests share, and what they counted. A series says nothing before its first request: a thousand routes that are
/// never called would otherwise make every scrape megabytes long.
pub(crate) struct Series {
    pub listener: Arc<str>,
    pub provider: Option<Arc<str>>,
    blocks: Sharded<OnceLock<Box<CachePadded<Counts<AtomicU64>>>>>,
}

impl Series {
    pub(crate) fn new(listener: Arc<str>, provider: Option<Arc<str>>) -> Self {
        Self { listener, provider, blocks: Sharded::default() }
    }

    pub(crate) fn record(&self, event: &RequestEvent<'_>) {
        self.blocks.mine().get_or_init(Box::default).0.record(event);
    }

    /// What all threads counted; `None` where no request ever came.
    pub(crate) fn totals(&self) -> Option<Counts<u64>> {
        let mut blocks = self.blocks.iter().filter_map(OnceLock::get).peekable();
        blocks.peek()?;
        let mut totals = Counts::default();
        blocks.for_each(|block| totals.add(&block.0.map(|count| count.load(Ordering::Relaxed))));
        Some(totals)
    }
}

/// One block of numbers: one thread's as it counts, or what they come to.
pub(crate) struct Counts<N> {
    outcomes: [N; Outcome::KINDS],
    pub classes: [N; CLASSES.len()],
    pub attempts: N,
    pub upstream: [N; CLASSES.len()],
    pub histograms: [Buckets<N>; HISTOGRAMS.len()],
    pub would_refuse: N,
    pub would_refuse_genuine: N,
}

/// One histogram.
#[derive(Default)]
pub(crate) struct Buckets<N> {
    /// Each without those below it.
    pub counts: [N; BUCKETS],
    /// In bytes or nanoseconds, so that adding to it is one instruction.
    pub sum: N,
}

impl<N: Default> Default for Counts<N> {
    fn default() -> Self {
        Self {
            outcomes: std::array::from_fn(|_| N::default()),
            classes: Default::default(),
            attempts: N::default(),
            upstream: Default::default(),
            histograms: Default::default(),
            would_refuse: N::default(),
            would_refuse_genuine: N::default(),
        }
    }
}

fn count(counter: Option<&AtomicU64>, by: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl Counts<AtomicU64> {
    fn record(&self, event: &RequestEvent<'_>) {
        count(self.outcomes.get(event.outcome.kind()), 1);
        count(self.classes.get(class(event.status)), 1);
        if event.would_refuse.is_some() {
            count(Some(&self.would_refuse), 1);
            if matches!(event.outcome, Outcome::Delivered | Outcome::Accepted | Outcome::Duplicate) {
                count(Some(&self.would_refuse_genuine), 1);
            }
        }
        if event.attempts > 0 {
            count(Some(&self.attempts), u64::from(event.attempts));
        }
        if let Some(status) = event.upstream_status {
            count(self.upstream.get(class(status)), 1);
        }
        let [total, read, verify, forward, body] = &self.histograms;
        total.time(event.total);
        read.time(event.read);
        verify.time(event.verify);
        forward.time(event.forward);
        #[expect(clippy::cast_precision_loss, reason = "bodies are far smaller than 2^53 bytes")]
        body.observe(event.body_bytes as f64, event.body_bytes, names::BYTES);
    }
}

impl Buckets<AtomicU64> {
    fn time(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.observe(time.as_secs_f64(), nanos, names::SECONDS);
    }

    /// Nothing for zero, which means that the request did not get that far.
    fn observe(&self, value: f64, sum: u64, bounds: &[f64]) {
        if value > 0.0 {
            count(self.counts.get(bounds.iter().filter(|bound| value > **bound).count()), 1);
            count(Some(&self.sum), sum);
        }
    }
}

impl<N> Counts<N> {
    fn map<M: Default>(&self, each: impl Fn(&N) -> M + Copy) -> Counts<M> {
        Counts {
            outcomes: self.outcomes.each_ref().map(each),
            classes: self.classes.each_ref().map(each),
            attempts: each(&self.attempts),
            upstream: self.upstream.each_ref().map(each),
            histograms: self
                .histograms
                .each_ref()
                .map(|histogram| Buckets { counts: histogram.counts.each_ref().map(each), sum: each(&histogram.sum) }),
            would_refuse: each(&self.would_refuse),
            would_refuse_genuine: each(&self.would_refuse_genuine),
        }
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut N> {
        let histograms = self.histograms.iter_mut();
        self.outcomes
            .iter_mut()
            .chain(&mut self.classes)
            .chain(&mut self.upstream)
            .chain(histograms.flat_map(|histogram| histogram.counts.iter_mut().chain([&mut histogram.sum])))
            .chain([&mut self.attempts, &mut self.would_refuse, &mut self.would_refuse_genuine])
    }
}

impl Counts<u64> {
    /// Adds another block to this one.
    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = other.map(|count| *count);
        self.each_mut().zip(other.each_mut()).for_each(|(total, count)| *total = total.wrapping_add(*count));
    }

    /// How many requests ended in each way, ways that none took left out.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::all().zip(self.outcomes).filter(|(_, count)| *count > 0)
    }
}

fn class(status: u16) -> usize {
    usize::from(status / 100).min(CLASSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_histogram_has_more_buckets_than_there_is_room_for() {
        for metric in HISTOGRAMS {
            let names::Kind::Histogram(bounds) = metric.kind else { panic!("{} is no histogram", metric.name) };
            assert!(bounds.len() < BUCKETS, "{}", metric.name);
        }
    }

    #[test]
    fn every_number_of_a_block_is_added() {
        let mut next = 0;
        let mut block = Counts::<u64>::default();
        block.each_mut().for_each(|count| {
            next += 1;
            *count = next;
        });
        let mut totals = block.map(|count| *count);
        totals.add(&block);
        assert_eq!(next as usize, size_of::<Counts<u64>>() / size_of::<u64>(), "each_mut leaves none out");
        assert!(totals.each_mut().zip(1..).all(|(total, count)| *total == 2 * count));
    }
}
