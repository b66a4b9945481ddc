//! The metrics of one relay. The recorder is its own, not the process's, so several relays can run in one process.
//!
//! Slots for what a request counts are laid out when a configuration is swapped in: recording costs one look-up by the
//! route's name and otherwise atomics only.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::domain::{Fault, Outcome, Refusal};

use super::event::RequestEvent;
use super::lifecycle::ConnectionRefusal;
use super::names::{self, Kind, Metric};

const METADATA: metrics::Metadata<'static> = metrics::Metadata::new("dmz_relay", metrics::Level::INFO, None);
/// The label value for what does not apply.
pub(crate) const NONE: &str = "-";
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What a route is called in labels.
#[derive(Clone, Debug)]
pub struct RouteLabels {
    /// From `relay.toml`.
    pub route: Arc<str>,
    /// The recipe's name, where it has one.
    pub provider: Option<Arc<str>>,
}

/// What became of a route's requests since the start, by [`Outcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the outcomes")]
pub struct Tally {
    pub delivered: u64,
    pub accepted: u64,
    pub handshake: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub failed: u64,
    pub gone: u64,
    /// Of all these: those that address lists would have refused, had they been enforced.
    pub would_refuse: u64,
    /// Of these: the genuine ones.
    pub would_refuse_genuine: u64,
}

/// The same while it grows. It outlives reloads.
#[derive(Debug, Default)]
struct Tallies {
    delivered: AtomicU64,
    accepted: AtomicU64,
    handshake: AtomicU64,
    duplicate: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    gone: AtomicU64,
    would_refuse: AtomicU64,
    would_refuse_genuine: AtomicU64,
}

impl Tallies {
    fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::Accepted => &self.accepted,
            Outcome::Handshake => &self.handshake,
            Outcome::Duplicate => &self.duplicate,
            Outcome::Refused(_) => &self.refused,
            Outcome::Failed(_) => &self.failed,
            Outcome::Gone => &self.gone,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn observe(&self, outcome: &Outcome) {
        self.would_refuse.fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Delivered | Outcome::Accepted | Outcome::Duplicate) {
            self.would_refuse_genuine.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> Tally {
        Tally {
            delivered: self.delivered.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            handshake: self.handshake.load(Ordering::Relaxed),
            duplicate: self.duplicate.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            gone: self.gone.load(Ordering::Relaxed),
            would_refuse: self.would_refuse.load(Ordering::Relaxed),
            would_refuse_genuine: self.would_refuse_genuine.load(Ordering::Relaxed),
        }
    }
}

/// Registers and renders.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    routes: ArcSwap<HashMap<Arc<str>, RouteMetrics>>,
    sets: Mutex<HashMap<&'static str, BTreeMap<Vec<String>, Gauge>>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in names::ALL {
            if let Kind::Histogram(buckets) = metric.kind {
                // Refused for an empty list only, which `names` does not have (its test looks).
                builder = builder
                    .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets)
                    .unwrap_or_else(|_| PrometheusBuilder::new());
            }
        }
        let recorder = builder.build_recorder();
        for metric in names::ALL {
            match metric.kind {
                Kind::Counter => recorder.describe_counter(metric.name.into(), None, metric.help.into()),
                Kind::Gauge => recorder.describe_gauge(metric.name.into(), None, metric.help.into()),
                Kind::Histogram(_) => recorder.describe_histogram(metric.name.into(), None, metric.help.into()),
            }
        }
        let handle = recorder.handle();
        let metrics = Self { recorder, handle, routes: ArcSwap::default(), sets: Mutex::default() };
        metrics.set_routes(&[], &[]);
        metrics
    }

    pub(crate) fn counter(&self, metric: &Metric, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    pub(crate) fn gauge(&self, metric: &Metric, values: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, values), &METADATA)
    }

    pub(crate) fn histogram(&self, metric: &Metric, values: &[&str]) -> Histogram {
        self.recorder.register_histogram(&key(metric, values), &METADATA)
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds samples into their buckets; without it they pile up until someone asks for the metrics.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Prepares what requests of these routes need. A request that matched no route is recorded under `-`.
    pub(crate) fn set_routes(&self, listeners: &[Arc<str>], routes: &[RouteLabels]) {
        let nowhere = RouteLabels { route: NONE.into(), provider: None };
        let before = self.routes.load_full();
        let map = routes
            .iter()
            .chain(std::iter::once(&nowhere))
            .map(|labels| {
                let tallies = before.get(&labels.route).map(|known| Arc::clone(&known.tallies)).unwrap_or_default();
                (Arc::clone(&labels.route), RouteMetrics::new(labels, listeners, tallies))
            })
            .collect();
        self.routes.store(Arc::new(map));
    }

    pub(crate) fn request(&self, event: &RequestEvent<'_>) {
        let routes = self.routes.load();
        if let Some(metrics) = routes.get(event.route.unwrap_or(NONE)) {
            metrics.record(self, event);
        } else {
            // Its route was removed by a reload while it ran: the same series, found the slow way.
            let route = event.route.unwrap_or(NONE).into();
            let labels = RouteLabels { route, provider: event.provider.map(Into::into) };
            RouteMetrics::new(&labels, &[event.listener.into()], Arc::default()).record(self, event);
        }
    }

    /// `None` for a route that the configuration does not have.
    pub(crate) fn tally(&self, route: &str) -> Option<Tally> {
        self.routes.load().get(route).map(|metrics| metrics.tallies.read())
    }

    /// Sets a whole family of gauges; members that are gone read NaN, because a stale value would lie.
    pub(crate) fn set_family(&self, metric: &Metric, members: impl IntoIterator<Item = (Vec<String>, f64)>) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let family = sets.entry(metric.name).or_default();
        let mut gone = std::mem::take(family);
        for (values, value) in members {
            let gauge = gone.remove(&values).unwrap_or_else(|| {
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                self.gauge(metric, &values)
            });
            gauge.set(value);
            family.insert(values, gauge);
        }
        for gauge in gone.values() {
            gauge.set(f64::NAN);
        }
    }
}

fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<_> =
        metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// What requests of one route count. A series is registered when it first has something to say: a thousand routes that
/// are never called would otherwise make every scrape megabytes long.
struct RouteMetrics {
    labels: RouteLabels,
    tallies: Arc<Tallies>,
    histograms: [OnceLock<Histogram>; HISTOGRAMS.len()],
    attempts: OnceLock<Counter>,
    upstream: [OnceLock<Counter>; CLASSES.len()],
    /// Few, so a scan beats a hash.
    listeners: Vec<(Arc<str>, ListenerRoute)>,
}

const HISTOGRAMS: [&Metric; 5] = [
    &names::REQUEST_SECONDS,
    &names::READ_SECONDS,
    &names::VERIFY_SECONDS,
    &names::FORWARD_SECONDS,
    &names::BODY_BYTES,
];

/// Counters of one route on one listener.
struct ListenerRoute {
    outcomes: Box<[OnceLock<Counter>]>,
    classes: [OnceLock<Counter>; CLASSES.len()],
}

impl RouteMetrics {
    fn new(labels: &RouteLabels, listeners: &[Arc<str>], tallies: Arc<Tallies>) -> Self {
        Self {
            tallies,
            histograms: Default::default(),
            attempts: OnceLock::new(),
            upstream: Default::default(),
            listeners: listeners.iter().map(|name| (Arc::clone(name), ListenerRoute::default())).collect(),
            labels: labels.clone(),
        }
    }

    fn record(&self, metrics: &Metrics, event: &RequestEvent<'_>) {
        let route = &*self.labels.route;
        self.tallies.count(&event.outcome);
        if let Some(refusal) = event.would_refuse {
            self.tallies.observe(&event.outcome);
            let labels = [route, refusal.code(), event.outcome.as_str()];
            metrics.counter(&names::REQUESTS_OBSERVED, &labels).increment(1);
        }
        #[expect(clippy::cast_precision_loss, reason = "bodies are far smaller than 2^53 bytes")]
        let body = event.body_bytes as f64;
        let seconds = [event.total, event.read, event.verify, event.forward].map(|time| time.as_secs_f64());
        for ((slot, metric), value) in self.histograms.iter().zip(HISTOGRAMS).zip(seconds.into_iter().chain([body])) {
            // Zero means that the request did not get that far.
            if value > 0.0 {
                slot.get_or_init(|| metrics.histogram(metric, &[route])).record(value);
            }
        }
        if event.attempts > 0 {
            let counter = self.attempts.get_or_init(|| metrics.counter(&names::UPSTREAM_ATTEMPTS, &[route]));
            counter.increment(u64::from(event.attempts));
        }
        if let Some((slot, class)) = event.upstream_status.and_then(|status| class_of(&self.upstream, status)) {
            slot.get_or_init(|| metrics.counter(&names::UPSTREAM_RESPONSES, &[route, class])).increment(1);
        }
        match self.listeners.iter().find(|(name, _)| **name == *event.listener) {
            Some((_, listener)) => listener.record(metrics, &self.labels, event),
            None => ListenerRoute::default().record(metrics, &self.labels, event),
        }
    }
}

impl Default for ListenerRoute {
    fn default() -> Self {
        Self { outcomes: (0..OUTCOMES).map(|_| OnceLock::new()).collect(), classes: Default::default() }
    }
}

impl ListenerRoute {
    fn record(&self, metrics: &Metrics, labels: &RouteLabels, event: &RequestEvent<'_>) {
        if let Some(slot) = self.outcomes.get(index(&event.outcome)) {
            slot.get_or_init(|| {
                let provider = labels.provider.as_deref().unwrap_or(NONE);
                let (outcome, reason) = (event.outcome.as_str(), event.outcome.reason());
                metrics.counter(&names::REQUESTS, &[event.listener, &labels.route, provider, outcome, reason])
            })
            .increment(1);
        }
        if let Some((slot, class)) = class_of(&self.classes, event.status) {
            slot.get_or_init(|| metrics.counter(&names::RESPONSES, &[event.listener, &labels.route, class]))
                .increment(1);
        }
    }
}

const PLAIN_OUTCOMES: usize = 5;
const OUTCOMES: usize = PLAIN_OUTCOMES + Refusal::ALL.len() + Fault::ALL.len();

fn index(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Delivered => 0,
        Outcome::Handshake => 1,
        Outcome::Duplicate => 2,
        Outcome::Gone => 3,
        Outcome::Accepted => 4,
        Outcome::Refused(turned) => PLAIN_OUTCOMES + turned.refusal as usize,
        Outcome::Failed(fault) => PLAIN_OUTCOMES + Refusal::ALL.len() + *fault as usize,
    }
}

fn class_of<T>(slots: &[T; CLASSES.len()], status: u16) -> Option<(&T, &'static str)> {
    let class = usize::from(status / 100).min(CLASSES.len() - 1);
    Some((slots.get(class)?, CLASSES.get(class)?))
}

/// What one listener counts; its edge keeps it for as long as the listener stands.
pub struct ListenerMetrics {
    accepted: Counter,
    open: Gauge,
    refused: Vec<Counter>,
}

impl std::fmt::Debug for ListenerMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListenerMetrics")
    }
}

impl ListenerMetrics {
    pub(crate) fn new(metrics: &Metrics, listener: &str) -> Self {
        let refused = ConnectionRefusal::ALL.iter().map(|reason| reason.code());
        Self {
            accepted: metrics.counter(&names::CONNECTIONS, &[listener]),
            open: metrics.gauge(&names::CONNECTIONS_OPEN, &[listener]),
            refused: refused.map(|reason| metrics.counter(&names::CONNECTIONS_REFUSED, &[listener, reason])).collect(),
        }
    }

    /// Counts a connection as open until what this gives is dropped.
    pub fn connection(&self) -> Counted {
        self.accepted.increment(1);
        Counted::new(&self.open)
    }

    pub(crate) fn refused(&self, reason: ConnectionRefusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.increment(1);
        }
    }
}

/// One thing that a gauge counts for as long as this lives.
pub struct Counted(Gauge);

impl Counted {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge.clone())
    }
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counted")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_own_slot() {
        let refused = Refusal::ALL.iter().map(|refusal| Outcome::from(*refusal));
        let failed = Fault::ALL.iter().map(|fault| Outcome::from(*fault));
        let plain = [Outcome::Delivered, Outcome::Handshake, Outcome::Duplicate, Outcome::Gone, Outcome::Accepted];
        let slots: Vec<_> = plain.into_iter().chain(refused).chain(failed).map(|outcome| index(&outcome)).collect();
        assert_eq!(slots, (0..OUTCOMES).collect::<Vec<_>>());
    }

    #[test]
    fn buckets_are_ours() {
        let metrics = Metrics::new();
        for metric in names::ALL.iter().filter(|metric| matches!(metric.kind, Kind::Histogram(_))) {
            metrics.histogram(metric, &["r"]).record(1.0);
        }
        let text = metrics.render();
        assert!(text.contains("dmz_relay_request_duration_seconds_bucket{route=\"r\",le=\"0.00005\"} 0"), "{text}");
        assert!(text.contains("dmz_relay_request_body_bytes_bucket{route=\"r\",le=\"26214400\"} 1"), "{text}");
        assert!(!text.contains("quantile"), "a histogram without buckets would be a summary:\n{text}");
    }

    #[test]
    fn a_member_that_is_gone_reads_nan() {
        let metrics = Metrics::new();
        let member = |name: &str| vec!["public".to_owned(), name.to_owned()];
        metrics.set_family(&names::CERTIFICATE_EXPIRY, [(member("a"), 1.0), (member("b"), 2.0)]);
        metrics.set_family(&names::CERTIFICATE_EXPIRY, [(member("b"), 3.0)]);
        let text = metrics.render();
        assert!(text.contains("{listener=\"public\",name=\"a\"} NaN"), "{text}");
        assert!(text.contains("{listener=\"public\",name=\"b\"} 3"), "{text}");
    }

    #[test]
    fn open_connections_are_counted_while_they_live() {
        let metrics = Metrics::new();
        let listener = ListenerMetrics::new(&metrics, "public");
        let first = listener.connection();
        let second = listener.connection();
        drop(first);
        assert!(metrics.render().contains("dmz_relay_connections_open{listener=\"public\"} 1"));
        drop(second);
        let text = metrics.render();
        assert!(text.contains("dmz_relay_connections_open{listener=\"public\"} 0"), "{text}");
        assert!(text.contains("dmz_relay_connections_total{listener=\"public\"} 2"), "{text}");
    }
}
