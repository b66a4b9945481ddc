//! The metrics of one relay. The recorder is its own, not the process's, so several relays can run in one process.
//!
//! What a request counts is laid out when a configuration is swapped in (`series`): recording costs one look-up by the route's
//! name and otherwise additions to numbers of this thread's own. Everything rarer is the recorder's.

mod exposition;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, Key, Label, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::domain::Outcome;

use super::event::RequestEvent;
use super::lifecycle::ConnectionRefusal;
use super::names::{self, Kind, Metric};
use super::series::{Counts, Series};
use super::sharded::{CachePadded, Sharded};

const METADATA: metrics::Metadata<'static> = metrics::Metadata::new("dmz_relay", metrics::Level::INFO, None);
/// The label value for what does not apply.
pub(crate) const NONE: &str = "-";

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
    /// At once, or out of the store since.
    pub delivered: u64,
    /// Whatever became of it since.
    pub accepted: u64,
    pub challenge: u64,
    pub duplicate: u64,
    pub refused: u64,
    pub undecided: u64,
    pub failed: u64,
    pub client_closed: u64,
    /// Of all these: those that address lists would have refused, had they been enforced.
    pub would_refuse: u64,
    /// Of these: the genuine ones.
    pub would_refuse_genuine: u64,
}

impl Tally {
    fn add(&mut self, counts: &Counts<u64>) {
        for (outcome, count) in counts.outcomes() {
            *match outcome {
                Outcome::Delivered => &mut self.delivered,
                Outcome::Accepted => &mut self.accepted,
                Outcome::Challenge => &mut self.challenge,
                Outcome::Duplicate => &mut self.duplicate,
                Outcome::Refused(_) => &mut self.refused,
                Outcome::Undecided(_) => &mut self.undecided,
                Outcome::Failed(_) => &mut self.failed,
                Outcome::ClientClosed => &mut self.client_closed,
            } += count;
        }
        self.would_refuse += counts.would_refuse;
        self.would_refuse_genuine += counts.would_refuse_genuine;
    }
}

/// Series by the name of their route, one for each listener and provider.
type Routes = HashMap<Arc<str>, Vec<Arc<Series>>, foldhash::fast::RandomState>;

/// Registers and renders.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// What requests of the running configuration count.
    routes: ArcSwap<Routes>,
    /// The same for every configuration so far: a counter that restarts would look like a restart of the process.
    known: Mutex<Routes>,
    sets: Mutex<HashMap<&'static str, BTreeMap<Vec<String>, Gauge>>>,
    /// What was delivered out of the store, by route.
    delivered: Mutex<HashMap<Box<str>, u64>>,
    in_flight: Sharded<CachePadded<AtomicI64>>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in names::ALL {
            match metric.kind {
                Kind::Counter => recorder.describe_counter(metric.name.into(), None, metric.help.into()),
                Kind::Gauge => recorder.describe_gauge(metric.name.into(), None, metric.help.into()),
                // Written by `exposition`, like everything that requests count.
                Kind::Histogram(_) => {}
            }
        }
        let handle = recorder.handle();
        Self {
            recorder,
            handle,
            routes: ArcSwap::default(),
            known: Mutex::default(),
            sets: Mutex::default(),
            delivered: Mutex::default(),
            in_flight: Sharded::default(),
        }
    }

    pub(crate) fn counter(&self, metric: &Metric, values: &[&str]) -> Counter {
        self.recorder.register_counter(&key(metric, values), &METADATA)
    }

    pub(crate) fn gauge(&self, metric: &Metric, values: &[&str]) -> Gauge {
        self.recorder.register_gauge(&key(metric, values), &METADATA)
    }

    pub(crate) fn render(&self) -> String {
        let in_flight: i64 = self.in_flight.iter().map(|count| count.0.load(Ordering::Relaxed)).sum();
        #[expect(clippy::cast_precision_loss, reason = "counts of things in memory are far smaller than 2^53")]
        self.gauge(&names::REQUESTS_IN_FLIGHT, &[]).set(in_flight as f64);
        let mut text = self.handle.render();
        exposition::requests(&mut text, &self.known.lock().unwrap_or_else(PoisonError::into_inner));
        text
    }

    /// Prepares what requests of these routes need. A request that matched no route is recorded under `-`.
    pub(crate) fn set_routes(&self, listeners: &[Arc<str>], routes: &[RouteLabels]) {
        let nowhere = RouteLabels { route: NONE.into(), provider: None };
        let map = routes.iter().chain([&nowhere]).map(|labels| {
            let on = |listener: &Arc<str>| self.series(listener, &labels.route, labels.provider.as_ref());
            (Arc::clone(&labels.route), listeners.iter().map(on).collect())
        });
        self.routes.store(Arc::new(map.collect()));
    }

    /// Makes it where it is new.
    fn series(&self, listener: &Arc<str>, route: &Arc<str>, provider: Option<&Arc<str>>) -> Arc<Series> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_route = known.entry(Arc::clone(route)).or_default();
        let is_it = |series: &&Arc<Series>| series.listener == *listener && series.provider.as_ref() == provider;
        if let Some(series) = of_route.iter().find(is_it) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(Arc::clone(listener), provider.cloned()));
        of_route.push(Arc::clone(&series));
        series
    }

    pub(crate) fn request(&self, event: &RequestEvent<'_>) {
        let route = event.route.unwrap_or(NONE);
        let routes = self.routes.load();
        let of_route = routes.get(route).map(Vec::as_slice).unwrap_or_default();
        // Few, so a scan beats a hash.
        if let Some(series) = of_route.iter().find(|series| *series.listener == *event.listener) {
            series.record(event);
        } else {
            // Its route was removed by a reload while it ran: the same series, found the slow way.
            self.series(&event.listener.into(), &route.into(), event.provider.map(Into::into).as_ref()).record(event);
        }
        if let Some(refusal) = event.would_refuse {
            let labels = [route, refusal.code(), event.outcome.as_str()];
            self.counter(&names::REQUESTS_OBSERVED, &labels).increment(1);
        }
    }

    /// Counts a request as in flight until what this gives is dropped.
    pub(crate) fn request_started(&self) -> InFlight<'_> {
        self.in_flight.mine().0.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// `None` for a route that the configuration does not have.
    pub(crate) fn tally(&self, route: &str) -> Option<Tally> {
        self.routes.load().get(route)?;
        let mut tally = Tally::default();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let series = known.get(route).into_iter().flatten();
        series.filter_map(|series| series.totals()).for_each(|counts| tally.add(&counts));
        let delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        tally.delivered += delivered.get(route).copied().unwrap_or_default();
        Some(tally)
    }

    /// One that had been accepted was delivered.
    pub(crate) fn delivered(&self, route: &str) {
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        *delivered.entry(route.into()).or_default() += 1;
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

pub(super) fn key(metric: &Metric, values: &[&str]) -> Key {
    debug_assert_eq!(metric.labels.len(), values.len(), "{}", metric.name);
    let labels: Vec<_> =
        metric.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(metric.name, labels)
}

/// What one listener counts; its edge keeps it for as long as the listener stands.
pub struct ListenerMetrics {
    accepted: Counter,
    open: Gauge,
    unused: Counter,
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
            unused: metrics.counter(&names::CONNECTIONS_UNUSED, &[listener]),
            refused: refused.map(|reason| metrics.counter(&names::CONNECTIONS_REFUSED, &[listener, reason])).collect(),
        }
    }

    /// Counts a connection as open until what this gives is dropped.
    pub fn connection(&self) -> Counted {
        self.accepted.increment(1);
        Counted::new(&self.open)
    }

    /// A connection that its peer closed before it sent anything.
    pub fn unused(&self) {
        self.unused.increment(1);
    }

    pub(crate) fn refused(&self, reason: ConnectionRefusal) {
        if let Some(counter) = self.refused.get(reason as usize) {
            counter.increment(1);
        }
    }
}

/// One request under way. It may end on another thread than it began on: only all counts together mean something.
pub struct InFlight<'m>(&'m Sharded<CachePadded<AtomicI64>>);

impl std::fmt::Debug for InFlight<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFlight")
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.mine().0.fetch_sub(1, Ordering::Relaxed);
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
