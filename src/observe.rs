//! One fact, one event: the log line and the metric come from the same struct, so they cannot drift apart.
//!
//! Nothing here waits: a line goes into a bounded queue that a thread of its own writes out, a metric is an atomic.
//! Deliberately absent: debug and trace levels. What an operator needs is in the events; what a developer needs is in
//! the tests.

mod action;
mod certificate;
mod delivery;
pub mod event;
mod http2;
mod journal;
mod library;
mod lifecycle;
mod line;
mod metrics;
pub mod names;
mod series;
mod sharded;
mod throttle;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::{Counter, Gauge};

use crate::base::{Clock, UnixMillis};
use crate::domain::Outcome;

pub use action::{ActionOrigin, AdminAction};
pub use certificate::CertificateEvent;
pub use delivery::{Delivered, DeliveryEvent};
pub use event::RequestEvent;
pub use http2::{Http2Ended, Http2Error, Http2Scope};
pub use journal::{Sink, stderr_is_journal};
pub use library::LibraryLog;
pub use lifecycle::{ConnectionRefusal, Event, RefusedConnection};
pub use line::Level;
pub use metrics::{Counted, InFlight, ListenerMetrics, RouteLabels, Tally};

use journal::Journal;
use line::{Line, Style};
use metrics::Metrics;
use throttle::{Kinds, Throttle};

/// Lines of libraries per second.
const LIBRARY_LINES: u32 = 10;
/// Lines for refusals per second until the configuration says how many.
const REFUSAL_LINES: u32 = 10;

/// Takes every event of one relay.
#[derive(Debug)]
pub struct Observer {
    journal: Journal,
    metrics: Metrics,
    clock: Clock,
    gauges: Gauges,
    refusals: Throttle,
    /// What of them each reason may have.
    kinds: Kinds,
    connections: Throttle,
    http2: Throttle,
    library: Throttle,
}

/// Handles of what has no labels.
struct Gauges {
    body_memory: Gauge,
    dedupe_entries: Gauge,
    routes: Gauge,
    routes_unverified: Gauge,
    routes_observed: Gauge,
    generation: Gauge,
    reload_success: Gauge,
    reload_time: Gauge,
    pending: Gauge,
    suppressed: Counter,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gauges")
    }
}

impl Gauges {
    fn new(metrics: &Metrics) -> Self {
        Self {
            body_memory: metrics.gauge(&names::BODY_MEMORY, &[]),
            dedupe_entries: metrics.gauge(&names::REPLAY_ENTRIES, &[]),
            routes: metrics.gauge(&names::ROUTES, &[]),
            routes_unverified: metrics.gauge(&names::ROUTES_UNVERIFIED, &[]),
            routes_observed: metrics.gauge(&names::ROUTES_OBSERVED, &[]),
            generation: metrics.gauge(&names::GENERATION, &[]),
            reload_success: metrics.gauge(&names::RELOAD_SUCCESS, &[]),
            reload_time: metrics.gauge(&names::RELOAD_TIME, &[]),
            pending: metrics.gauge(&names::PENDING, &[]),
            suppressed: metrics.counter(&names::LOG_LINES_SUPPRESSED, &[]),
        }
    }
}

/// What a running configuration looks like from outside.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Names of the listeners.
    pub listeners: Vec<Arc<str>>,
    /// Every route.
    pub routes: Vec<RouteLabels>,
    /// How many of them verify nothing.
    pub unverified: usize,
    /// How many have address lists that refuse nobody.
    pub observed: usize,
    /// Every served certificate: listener, first name, end of validity in seconds since the epoch.
    pub certificates: Vec<(Arc<str>, String, i64)>,
    /// Every list of addresses that is a provider's own file.
    pub feeds: Vec<FeedShape>,
    /// Every upstream server: upstream, server, whether it takes requests.
    pub servers: Vec<(Arc<str>, Arc<str>, bool)>,
}

/// A list of addresses that is a provider's own file.
#[derive(Clone, Debug)]
pub struct FeedShape {
    /// Its name.
    pub list: Arc<str>,
    /// When it becomes old, in seconds since the epoch.
    pub old_after: i64,
    /// Whether the file is not what is in force.
    pub refused: bool,
}

/// What verification said of a request that was refused for its address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// It is genuine: a list lacks its address.
    Genuine,
    /// It is not.
    Refused,
    /// Its body did not come, or there was no room for it.
    Unread,
}

impl Sampled {
    const ALL: [Self; 3] = [Self::Genuine, Self::Refused, Self::Unread];

    fn as_str(self) -> &'static str {
        match self {
            Self::Genuine => "genuine",
            Self::Refused => "refused",
            Self::Unread => "unread",
        }
    }
}

/// How a route's provider stands.
#[derive(Clone, Debug)]
pub struct ProviderStatus {
    /// The route's name.
    pub route: Arc<str>,
    /// Failures until it may give the endpoint up; `None`: nobody knows.
    pub budget_left: Option<u32>,
    /// Quiet against its habit.
    pub inactive: bool,
    /// When its last genuine request came.
    pub last_genuine: Option<UnixMillis>,
}

/// How the store stands.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "docs/metrics.md has the same")]
pub struct StoreStanding {
    pub up: bool,
    pub full: bool,
    pub used: u64,
    pub limit: u64,
    pub disk_free: u64,
    pub set_aside: u64,
}

/// What waits on one route.
#[derive(Clone, Debug)]
pub struct SpoolStanding {
    /// The label.
    pub route: Arc<str>,
    /// Accepted, neither delivered nor dead.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// Age of the oldest waiting one.
    pub oldest: Duration,
}

/// One circuit breaker.
#[derive(Clone, Debug)]
pub struct BreakerGauge {
    /// From `relay.toml`.
    pub upstream: Arc<str>,
    /// `None`: that of the whole upstream.
    pub route: Option<Arc<str>>,
    /// Only probes are sent.
    pub open: bool,
}

impl Observer {
    /// Starts the writer thread. Lines are JSON until [`Observer::set_log`] is called.
    pub fn start(sink: Sink, clock: Clock) -> io::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let journal = Journal::start(sink, clock.clone(), metrics.counter(&names::LOG_LINES_DROPPED, &[]))?;
        metrics.gauge(&names::BUILD, &[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.gauge(&names::START_TIME, &[]).set(seconds(clock.now()));
        // Present from the start, so that an alert on their increase sees the first one.
        metrics.counter(&names::PANICS, &[]).increment(0);
        for outcome in ["applied", "unchanged", "kept"] {
            metrics.counter(&names::RELOADS, &[outcome]).increment(0);
        }
        Ok(Arc::new(Self {
            gauges: Gauges::new(&metrics),
            journal,
            metrics,
            clock,
            refusals: Throttle::new(REFUSAL_LINES),
            kinds: Kinds::new(Outcome::KINDS, REFUSAL_LINES),
            connections: Throttle::new(REFUSAL_LINES),
            http2: Throttle::new(REFUSAL_LINES),
            library: Throttle::new(LIBRARY_LINES),
        }))
    }

    /// How lines look, and how many refusals of each kind (requests, connections, HTTP/2) get one per second.
    pub fn set_log(&self, json: bool, refusals_per_second: u32) {
        self.journal.set_json(json);
        self.refusals.set_rate(refusals_per_second);
        self.kinds.set_rate(refusals_per_second);
        self.connections.set_rate(refusals_per_second);
        self.http2.set_rate(refusals_per_second);
    }

    /// Prepares the metrics for a configuration; call it before the configuration takes its first request.
    pub fn set_shape(&self, shape: &Shape) {
        self.metrics.set_routes(&shape.listeners, &shape.routes);
        // Present from the start, so that an alert on their increase sees the first one.
        for (route, result) in shape.routes.iter().flat_map(|known| Sampled::ALL.map(|result| (&known.route, result))) {
            self.metrics.counter(&names::UNLISTED_SAMPLES, &[route, result.as_str()]).increment(0);
        }
        self.gauges.routes.set(count(shape.routes.len()));
        self.gauges.routes_unverified.set(count(shape.unverified));
        self.gauges.routes_observed.set(count(shape.observed));
        #[expect(clippy::cast_precision_loss, reason = "a date is far smaller than 2^53 seconds")]
        let certificates = shape
            .certificates
            .iter()
            .map(|(listener, name, not_after)| (vec![listener.to_string(), name.clone()], *not_after as f64));
        self.metrics.set_family(&names::CERTIFICATE_EXPIRY, certificates);
        #[expect(clippy::cast_precision_loss, reason = "a date is far smaller than 2^53 seconds")]
        let old_after = shape.feeds.iter().map(|feed| (vec![feed.list.to_string()], feed.old_after as f64));
        self.metrics.set_family(&names::FEED_OLD_AFTER, old_after);
        let refused = shape.feeds.iter().map(|feed| (vec![feed.list.to_string()], f64::from(feed.refused)));
        self.metrics.set_family(&names::FEED_REFUSED, refused);
        let servers = shape
            .servers
            .iter()
            .map(|(upstream, server, healthy)| (vec![upstream.to_string(), server.to_string()], f64::from(*healthy)));
        self.metrics.set_family(&names::SERVER_HEALTHY, servers);
    }

    /// How the providers of all routes stand at this moment.
    pub fn set_providers(&self, providers: &[ProviderStatus]) {
        let of = |value: fn(&ProviderStatus) -> Option<f64>| {
            providers.iter().filter_map(move |known| Some((vec![known.route.to_string()], value(known)?)))
        };
        self.metrics.set_family(&names::ERROR_BUDGET_LEFT, of(|known| known.budget_left.map(f64::from)));
        self.metrics.set_family(&names::PROVIDER_INACTIVE, of(|known| Some(f64::from(known.inactive))));
        self.metrics.set_family(&names::LAST_GENUINE, of(|known| known.last_genuine.map(seconds)));
    }

    /// One request, exactly once.
    pub fn request(&self, event: &RequestEvent<'_>) {
        self.metrics.request(event);
        if !event.is_throttled() || self.admits_request(event) {
            self.journal.append(|text| event.line(text, self.journal.style()));
        }
    }

    /// A request that was refused for its address alone was verified after its answer.
    pub fn sampled(&self, route: &str, result: Sampled) {
        self.metrics.counter(&names::UNLISTED_SAMPLES, &[route, result.as_str()]).increment(1);
    }

    /// What became of a route's requests since the start; `None` for a route that the configuration does not have.
    pub fn tally(&self, route: &str) -> Option<Tally> {
        self.metrics.tally(route)
    }

    /// Counts a request as in flight until what this gives is dropped.
    pub fn request_started(&self) -> InFlight<'_> {
        self.metrics.request_started()
    }

    /// What a listener's edge counts with.
    pub fn listener(&self, name: &str) -> ListenerMetrics {
        ListenerMetrics::new(&self.metrics, name)
    }

    /// A connection that carried no request.
    pub fn connection_refused(&self, listener: &ListenerMetrics, event: &RefusedConnection<'_>) {
        listener.refused(event.reason);
        if self.admits(&self.connections, "connections_suppressed") {
            self.journal.write(event.line(self.journal.style(), self.clock.now()));
        }
    }

    /// A stream or a connection that the HTTP/2 library ended by itself.
    pub fn http2_ended(&self, event: &Http2Ended<'_>) {
        let labels = [event.listener, event.scope.code(), event.error.code()];
        self.metrics.counter(&names::HTTP2_ENDED, &labels).increment(1);
        if self.admits(&self.http2, "http2_suppressed") {
            self.journal.write(event.line(self.journal.style(), self.clock.now()));
        }
    }

    /// Anything else that happens.
    pub fn record(&self, event: &Event<'_>) {
        self.count(event);
        event.lines(self.journal.style(), self.clock.now(), |line| self.journal.write(line));
    }

    fn count(&self, event: &Event<'_>) {
        let reload = |outcome| self.metrics.counter(&names::RELOADS, &[outcome]).increment(1);
        match *event {
            Event::Pending { .. } => self.gauges.pending.set(1.0),
            Event::Applied { generation, .. } => {
                self.gauges.pending.set(0.0);
                // The first one is the start, not a reload.
                if generation > 1 {
                    reload("applied");
                }
                #[expect(clippy::cast_precision_loss, reason = "nobody reloads 2^53 times")]
                self.gauges.generation.set(generation as f64);
                self.gauges.reload_success.set(1.0);
                self.gauges.reload_time.set(seconds(self.clock.now()));
            }
            Event::Unchanged { .. } => {
                self.gauges.pending.set(0.0);
                reload("unchanged");
                self.gauges.reload_success.set(1.0);
            }
            Event::Kept { .. } => {
                reload("kept");
                self.gauges.reload_success.set(0.0);
            }
            Event::ServerHealth { upstream, server, healthy, .. } => {
                self.metrics.gauge(&names::SERVER_HEALTHY, &[upstream, server]).set(f64::from(healthy));
                self.metrics.counter(&names::SERVER_CHANGES, &[upstream, server]).increment(1);
            }
            Event::AdminAction(AdminAction { action, result, .. }) => {
                self.metrics.counter(&names::ADMIN_ACTIONS, &[action, result.as_str()]).increment(1);
            }
            Event::Delivery(delivery) => {
                let labels = [delivery.route, delivery.result.as_str()];
                self.metrics.counter(&names::ATTEMPTS, &labels).increment(1);
                // A redelivery is no delivery of what waited.
                if delivery.result == Delivered::Taken && !delivery.redelivery {
                    self.metrics.delivered(delivery.route);
                }
            }
            Event::BreakerOpened { upstream, route, .. } => self.breaker_turned(upstream, route, "opened"),
            Event::BreakerClosed { upstream, route } => self.breaker_turned(upstream, route, "closed"),
            Event::StoreFailed { .. } => self.store_changed("failed"),
            Event::StoreRecovered => self.store_changed("recovered"),
            Event::StoreSetAside { .. } => self.store_changed("set_aside"),
            Event::StoreStalled { .. } => self.store_changed("stalled"),
            Event::StoreResumed { .. } => self.store_changed("resumed"),
            Event::StoreFull => self.store_changed("full"),
            Event::StoreRoom => self.store_changed("room"),
            Event::HistoryDropped { count } => self.metrics.counter(&names::HISTORY_DROPPED, &[]).increment(count),
            Event::RowsSkipped { count } => self.metrics.counter(&names::HISTORY_SKIPPED, &[]).increment(count),
            Event::PanicCaught { .. } => self.metrics.counter(&names::PANICS, &[]).increment(1),
            Event::Started { .. }
            | Event::Listening { .. }
            | Event::ConfigWarning { .. }
            | Event::VersionNotKept { .. }
            | Event::Certificate(_)
            | Event::WatchDegraded { .. }
            | Event::ErrorBudgetLow { .. }
            | Event::ProviderInactive { .. }
            | Event::ProviderActive { .. }
            | Event::GenuineUnlisted { .. }
            | Event::FeedRefused { .. }
            | Event::FeedOld { .. }
            | Event::FeedNotKept { .. }
            | Event::Draining { .. }
            | Event::Stopped { .. }
            | Event::TaskEnded { .. }
            | Event::TaskRestarted { .. }
            | Event::Stranded { .. }
            | Event::RouteFull { .. }
            | Event::RouteRoom { .. }
            | Event::Interrupted { .. }
            | Event::Library { .. } => {}
        }
    }

    /// Memory that request bodies hold, in bytes; read from the budget when metrics are asked for.
    pub fn set_body_memory(&self, bytes: u64) {
        #[expect(clippy::cast_precision_loss, reason = "memory is far smaller than 2^53 bytes")]
        self.gauges.body_memory.set(bytes as f64);
    }

    /// Ids in dedupe memory.
    pub fn set_dedupe_entries(&self, entries: usize) {
        self.gauges.dedupe_entries.set(count(entries));
    }

    fn breaker_turned(&self, upstream: &str, route: Option<&str>, state: &str) {
        let labels = [upstream, route.unwrap_or(metrics::NONE), state];
        self.metrics.counter(&names::BREAKER_CHANGES, &labels).increment(1);
    }

    /// Which breakers are open; read when metrics are asked for.
    pub fn set_breakers(&self, breakers: &[BreakerGauge]) {
        let members = breakers.iter().map(|breaker| {
            let route = breaker.route.as_deref().unwrap_or(metrics::NONE);
            (vec![breaker.upstream.to_string(), route.to_owned()], f64::from(breaker.open))
        });
        self.metrics.set_family(&names::BREAKER_OPEN, members);
    }

    fn store_changed(&self, state: &str) {
        self.metrics.counter(&names::STORE_CHANGES, &[state]).increment(1);
    }

    /// How the store stands; read from it when metrics are asked for.
    pub fn set_store(&self, store: &StoreStanding) {
        #[expect(clippy::cast_precision_loss, reason = "bytes of a disk, far smaller than 2^53")]
        let gauges = [
            (&names::STORE_UP, f64::from(store.up)),
            (&names::STORE_FULL, f64::from(store.full)),
            (&names::STORE_USED, store.used as f64),
            (&names::STORE_LIMIT, store.limit as f64),
            (&names::STORE_DISK_FREE, store.disk_free as f64),
            (&names::STORE_SET_ASIDE, store.set_aside as f64),
        ];
        for (metric, value) in gauges {
            self.metrics.gauge(metric, &[]).set(value);
        }
        // Present from the start, so that an alert on their increase sees the first one.
        self.metrics.counter(&names::HISTORY_DROPPED, &[]).increment(0);
        self.metrics.counter(&names::HISTORY_SKIPPED, &[]).increment(0);
        for state in ["failed", "recovered", "set_aside", "stalled", "resumed", "full", "room"] {
            self.metrics.counter(&names::STORE_CHANGES, &[state]).increment(0);
        }
    }

    /// What waits on each route; read from the store when metrics are asked for.
    pub fn set_spool(&self, routes: &[SpoolStanding]) {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests, far smaller than 2^53")]
        let value = |metric: &names::Metric, route: &SpoolStanding| match metric.name {
            name if name == names::SPOOL_WAITING.name => route.waiting as f64,
            name if name == names::SPOOL_DEAD.name => route.dead as f64,
            _ => route.oldest.as_secs_f64(),
        };
        for metric in [&names::SPOOL_WAITING, &names::SPOOL_DEAD, &names::SPOOL_OLDEST] {
            let members = routes.iter().map(|route| (vec![route.route.to_string()], value(metric, route)));
            self.metrics.set_family(metric, members);
        }
    }

    /// Every metric in Prometheus's text format.
    pub fn render_metrics(&self) -> String {
        self.metrics.render()
    }

    /// To be called every few seconds: writes pending summaries.
    pub fn upkeep(&self) {
        for (throttle, event) in self.throttles() {
            self.summarise(throttle.summary(throttle.now()), event);
        }
    }

    /// Writes out what is pending, at most this long. Blocks the thread: call it last.
    pub fn flush(&self, within: Duration) -> bool {
        for (throttle, event) in self.throttles() {
            self.summarise(throttle.remainder(), event);
        }
        self.journal.flush(within)
    }

    fn throttles(&self) -> [(&Throttle, &'static str); 4] {
        [
            (&self.refusals, "requests_suppressed"),
            (&self.connections, "connections_suppressed"),
            (&self.http2, "http2_suppressed"),
            (&self.library, "library_suppressed"),
        ]
    }

    pub(crate) fn admits_library_line(&self) -> bool {
        self.admits(&self.library, "library_suppressed")
    }

    fn admits_request(&self, event: &RequestEvent<'_>) -> bool {
        let now = self.refusals.now();
        self.said(
            &self.refusals,
            self.refusals.admits_of(&self.kinds, event.outcome.kind(), now),
            now,
            "requests_suppressed",
        )
    }

    fn admits(&self, throttle: &Throttle, event: &'static str) -> bool {
        let now = throttle.now();
        self.said(throttle, throttle.admits(now), now, event)
    }

    fn said(&self, throttle: &Throttle, admitted: bool, now: Duration, event: &'static str) -> bool {
        if !admitted {
            self.gauges.suppressed.increment(1);
        }
        self.summarise(throttle.summary(now), event);
        admitted
    }

    fn summarise(&self, suppressed: Option<u64>, event: &'static str) {
        if let Some(suppressed) = suppressed {
            let mut line = Line::new(self.style(), Level::Warn, self.clock.now(), event);
            line.number("count", suppressed);
            self.journal.write(line.finish());
        }
    }

    fn style(&self) -> Style {
        self.journal.style()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a date is far smaller than 2^53 milliseconds")]
fn seconds(at: UnixMillis) -> f64 {
    at.0 as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of things in memory are far smaller than 2^53")]
fn count(of: usize) -> f64 {
    of as f64
}

#[cfg(test)]
pub(crate) mod tests;
