//! The observer as the pipeline sees it: events in, lines and metrics out.

use std::io;

use super::*;
use crate::domain::{Fault, Method, Outcome, Refusal, Version, Via};
use journal::tests::Captured;
use serde_json::Value;

const AT: UnixMillis = UnixMillis(1_767_225_600_000);

/// An observer whose lines can be read.
pub(crate) struct Rig {
    pub(crate) observer: Arc<Observer>,
    captured: Captured,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let captured = Captured::default();
        let observer = Observer::start(Sink::to(captured.clone()), Clock::fixed(AT)).unwrap();
        Self { observer, captured }
    }

    /// Every line so far, summaries of what was held back not among them.
    pub(crate) fn lines(&self) -> Vec<Value> {
        assert!(self.observer.journal.flush(Duration::from_secs(10)));
        self.captured.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The value of one series.
    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.observer.render_metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        value.map(|value| value.parse().unwrap())
    }
}

pub(super) fn event(outcome: impl Into<Outcome>) -> RequestEvent<'static> {
    RequestEvent {
        request_id: "01j",
        received_at: AT,
        listener: "public",
        route: Some("github"),
        provider: Some("github"),
        method: Method::Post,
        version: Version::Http2,
        path: "/hooks/github",
        host: "hooks.example.com",
        source: "192.0.2.7".parse().unwrap(),
        via: Via::ProxyHeader,
        allowed_by: Some("@github"),
        denied_by: None,
        would_refuse: None,
        outcome: outcome.into(),
        status: 200,
        key: Some("credential:github"),
        dedupe: Some("id-1"),
        timestamp: Some(AT),
        body_bytes: 1800,
        upstream: Some("crm"),
        server: Some("http://127.0.0.1:9000"),
        upstream_status: Some(204),
        attempts: 2,
        detail: Some("connection reset"),
        read: Duration::from_micros(10),
        verify: Duration::from_micros(20),
        forward: Duration::from_micros(1500),
        total: Duration::from_micros(1600),
    }
}

fn labels(route: &str) -> RouteLabels {
    RouteLabels { route: route.into(), provider: Some("github".into()) }
}

const OPERATING: &str = include_str!("../../docs/operating.md");

#[test]
fn a_request_becomes_one_line_with_every_field() {
    let rig = Rig::new();
    rig.observer.request(&event(Fault::UpstreamReset));
    let [line] = &rig.lines()[..] else { panic!("one line expected") };
    let expected = serde_json::json!({
        "time": "2026-01-01T00:00:00.000Z", "level": "error", "event": "request",
        "outcome": "failed", "reason": "upstream_reset", "status": 200, "request_id": "01j", "listener": "public",
        "route": "github", "provider": "github", "method": "POST", "path": "/hooks/github",
        "host": "hooks.example.com", "version": "http/2", "source": "192.0.2.7", "via": "proxy-header",
        "allowed_by": "@github", "key": "credential:github", "dedupe": "id-1",
        "timestamp": "2026-01-01T00:00:00.000Z", "body_bytes": 1800, "upstream": "crm",
        "server": "http://127.0.0.1:9000", "upstream_status": 204, "attempts": 2, "detail": "connection reset",
        "read_ms": 0.01, "verify_ms": 0.02, "forward_ms": 1.5, "total_ms": 1.6,
    });
    assert_eq!(line, &expected);
    for field in line.as_object().unwrap().keys() {
        assert!(OPERATING.contains(&format!("| `{field}` |")), "docs/operating.md does not explain {field}");
    }
}

#[test]
fn a_query_is_never_logged() {
    let rig = Rig::new();
    rig.observer.request(&RequestEvent { path: "/hooks/octolis?api-key=canary", ..event(Outcome::Delivered) });
    let line = rig.lines().remove(0);
    assert_eq!(line["path"], "/hooks/octolis");
    assert!(!line.to_string().contains("canary"));
    assert!(!rig.observer.render_metrics().contains("canary"));
}

#[test]
fn only_what_a_stranger_can_repeat_is_throttled() {
    let delivered_and_failed = [Outcome::Delivered, Fault::UpstreamStatus.into(), Fault::Internal.into()];
    for outcome in delivered_and_failed {
        assert!(!event(outcome.clone()).is_throttled(), "{outcome:?}");
    }
    let cheap = [Outcome::ClientClosed, Outcome::Challenge, Outcome::Duplicate, Fault::BodyMemory.into()];
    for outcome in cheap.into_iter().chain(Refusal::ALL.iter().map(|refusal| Outcome::from(*refusal))) {
        assert!(event(outcome.clone()).is_throttled(), "{outcome:?}");
    }
}

#[test]
fn absent_facts_leave_no_field() {
    let rig = Rig::new();
    let bare = RequestEvent {
        route: None,
        provider: None,
        key: None,
        detail: None,
        attempts: 0,
        ..event(Outcome::ClientClosed)
    };
    rig.observer.request(&bare);
    let line = rig.lines().remove(0);
    for field in ["route", "provider", "key", "detail", "attempts", "reason"] {
        assert!(line.get(field).is_none(), "{field}");
    }
}

#[test]
fn lines_and_metrics_come_from_one_event() {
    let rig = Rig::new();
    rig.observer.set_shape(&Shape {
        listeners: vec!["public".into()],
        routes: vec![labels("github")],
        unverified: 1,
        observed: 2,
        certificates: vec![("public".into(), "hooks.example.com".into(), 1_800_000_000)],
        feeds: Vec::new(),
        servers: vec![("crm".into(), "http://127.0.0.1:9000".into(), true)],
    });
    for _ in 0..3 {
        rig.observer.request(&event(Outcome::Delivered));
    }
    rig.observer.request(&RequestEvent { status: 401, ..event(Refusal::SignatureMismatch) });
    let series = |outcome: &str, reason: &str| {
        format!(
            "dmz_relay_requests_total{{listener=\"public\",route=\"github\",provider=\"github\",outcome=\"{outcome}\",\
             reason=\"{reason}\"}}"
        )
    };
    assert_eq!(rig.metric(&series("delivered", "")), Some(3.0));
    assert_eq!(rig.metric(&series("refused", "signature_mismatch")), Some(1.0));
    let class = |class| format!("dmz_relay_responses_total{{listener=\"public\",route=\"github\",class=\"{class}\"}}");
    assert_eq!(rig.metric(&class("2xx")), Some(3.0));
    assert_eq!(rig.metric(&class("4xx")), Some(1.0));
    assert_eq!(rig.metric("dmz_relay_upstream_attempts_total{route=\"github\"}"), Some(8.0));
    assert_eq!(rig.metric("dmz_relay_upstream_responses_total{route=\"github\",class=\"2xx\"}"), Some(4.0));
    assert_eq!(rig.metric("dmz_relay_request_duration_seconds_count{route=\"github\"}"), Some(4.0));
    assert_eq!(rig.metric("dmz_relay_request_body_bytes_sum{route=\"github\"}"), Some(7200.0));
    assert_eq!(rig.metric("dmz_relay_routes_unverified"), Some(1.0));
    assert_eq!(rig.metric("dmz_relay_routes_observed"), Some(2.0));
    assert_eq!(
        rig.metric("dmz_relay_upstream_server_healthy{upstream=\"crm\",server=\"http://127.0.0.1:9000\"}"),
        Some(1.0)
    );
    assert_eq!(rig.lines().len(), 4);
}

#[test]
fn labels_never_come_from_a_request() {
    let rig = Rig::new();
    for n in 0..50 {
        let (path, host) = (format!("/scan/{n}"), format!("h{n}.example"));
        let stranger =
            RequestEvent { route: None, provider: None, path: &path, host: &host, ..event(Refusal::RouteUnknown) };
        rig.observer.request(&stranger);
    }
    let text = rig.observer.render_metrics();
    assert_eq!(text.lines().filter(|line| line.starts_with("dmz_relay_requests_total{")).count(), 1, "{text}");
    assert!(!text.contains("/scan/") && !text.contains("192.0.2.7") && !text.contains("example"), "{text}");
}

#[test]
fn a_request_of_a_removed_route_still_counts() {
    let rig = Rig::new();
    let listeners = vec![Arc::from("public")];
    rig.observer.set_shape(&Shape { listeners: listeners.clone(), routes: vec![labels("github")], ..Shape::default() });
    rig.observer.request(&event(Outcome::Delivered));
    rig.observer.set_shape(&Shape { listeners, ..Shape::default() });
    rig.observer.request(&event(Outcome::Delivered));
    assert_eq!(rig.metric("dmz_relay_request_duration_seconds_count{route=\"github\"}"), Some(2.0));
    let series = "dmz_relay_responses_total{listener=\"public\",route=\"github\",class=\"2xx\"}";
    assert_eq!(rig.metric(series), Some(2.0));
}

#[test]
fn tallies_outlive_a_reload() {
    let rig = Rig::new();
    let shape = Shape { listeners: vec!["public".into()], routes: vec![labels("github")], ..Shape::default() };
    rig.observer.set_shape(&shape);
    let outcomes = [Refusal::BodyTooLarge.into(), Fault::UpstreamTls.into(), Outcome::ClientClosed, Outcome::Challenge];
    for outcome in outcomes.into_iter().chain([Outcome::Delivered, Outcome::Delivered, Outcome::Duplicate]) {
        rig.observer.request(&event(outcome));
    }
    rig.observer.set_shape(&shape);
    let expected = Tally {
        delivered: 2,
        accepted: 0,
        challenge: 1,
        duplicate: 1,
        refused: 1,
        failed: 1,
        client_closed: 1,
        ..Tally::default()
    };
    assert_eq!(rig.observer.tally("github"), Some(expected));
    assert_eq!(rig.observer.tally("unknown"), None);
}

#[test]
fn a_flood_of_refusals_is_counted_but_not_logged() {
    let rig = Rig::new();
    rig.observer.set_log(true, 5);
    for _ in 0..1000 {
        rig.observer.request(&RequestEvent { route: None, provider: None, ..event(Refusal::RouteUnknown) });
    }
    rig.observer.request(&event(Outcome::Delivered));
    assert!(rig.observer.flush(Duration::from_secs(10)));
    let lines = rig.lines();
    let logged = lines.iter().filter(|line| line["outcome"] == "refused").count();
    let suppressed: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
    assert!(logged < 500, "{logged}");
    assert_eq!(logged as u64 + suppressed, 1000, "every refusal is in a line or in a summary");
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "delivered").count(), 1);
    assert_eq!(rig.metric("dmz_relay_log_lines_suppressed_total"), Some(suppressed as f64));
    assert_eq!(rig.metric("dmz_relay_request_duration_seconds_count{route=\"-\"}"), Some(1000.0));
}

#[test]
fn a_refused_connection_is_counted_by_its_reason() {
    let rig = Rig::new();
    let listener = rig.observer.listener("public");
    let source = Some("198.51.100.1".parse().unwrap());
    for reason in ConnectionRefusal::ALL {
        let refused = RefusedConnection { listener: "public", source, reason: *reason, detail: None };
        rig.observer.connection_refused(&listener, &refused);
    }
    for reason in ConnectionRefusal::ALL {
        let series = format!("dmz_relay_connections_refused_total{{listener=\"public\",reason=\"{}\"}}", reason.code());
        assert_eq!(rig.metric(&series), Some(1.0));
        assert!(OPERATING.contains(&format!("| `{}` |", reason.code())), "docs/operating.md lacks {}", reason.code());
    }
    let line = rig.lines().remove(0);
    assert_eq!((&line["event"], &line["source"]), (&"connection_refused".into(), &"198.51.100.1".into()));
}

#[test]
fn reloads_show_in_lines_and_gauges() {
    let rig = Rig::new();
    let applied = |generation| Event::Applied {
        generation,
        digest: "ab",
        trigger: "start",
        changes: &[],
        needs_restart: &[],
        took: Duration::from_millis(3),
    };
    rig.observer.record(&applied(1));
    assert_eq!(rig.metric("dmz_relay_config_reloads_total{outcome=\"applied\"}"), Some(0.0));
    rig.observer.record(&applied(2));
    assert_eq!(rig.metric("dmz_relay_config_last_reload_success"), Some(1.0));
    let problems: Vec<String> = (0..30).map(|n| format!("relay.toml:{n}:1: wrong\n  help: fix it")).collect();
    let problems: Vec<&dyn std::fmt::Display> = problems.iter().map(|text| text as &dyn std::fmt::Display).collect();
    rig.observer.record(&Event::Kept { trigger: "file", problems: &problems });
    assert_eq!(rig.metric("dmz_relay_config_last_reload_success"), Some(0.0));
    assert_eq!(rig.metric("dmz_relay_config_reloads_total{outcome=\"kept\"}"), Some(1.0));
    assert_eq!(rig.metric("dmz_relay_config_generation"), Some(2.0));
    assert_eq!(rig.metric("dmz_relay_config_last_reload_timestamp_seconds"), Some(1_767_225_600.0));
    let lines = rig.lines();
    assert_eq!(lines.len(), 2 + 1 + 20 + 1);
    assert_eq!(lines[2]["problems"], 30);
    assert!(lines[23]["problem"].as_str().unwrap().starts_with("and 10 more"));
}

#[test]
fn every_kind_of_event_is_one_valid_line_and_documented() {
    let rig = Rig::new();
    let why: &dyn std::fmt::Display = &"because \"x\"";
    let events = [
        Event::Started { version: "1", config: why },
        Event::Listening { listener: "public", address: why },
        Event::ConfigWarning { warning: why },
        Event::Applied {
            generation: 1,
            digest: "d",
            trigger: "t",
            changes: &["route crm added".into()],
            needs_restart: &["admin".into()],
            took: Duration::ZERO,
        },
        Event::Pending { trigger: "t", changes: &["route crm added".into()], problems: 1 },
        Event::VersionNotKept { why: &io::Error::other("the disk is full") },
        Event::Unchanged { trigger: "t" },
        Event::Kept { trigger: "t", problems: &[] },
        Event::WatchDegraded { why },
        Event::ServerHealth { upstream: "crm", server: "s", healthy: false, why: "refused" },
        Event::ErrorBudgetLow { route: "dastra", provider: Some("dastra"), spent: 4, budget: 5 },
        Event::ProviderInactive {
            route: "dastra",
            provider: Some("dastra"),
            quiet_for: Duration::from_hours(100),
            usual: Duration::from_hours(62),
        },
        Event::ProviderActive { route: "dastra", provider: None, quiet_for: Duration::from_hours(101) },
        Event::Draining { in_flight: 1, timeout: Duration::from_secs(30) },
        Event::Stopped { unfinished: 1, interrupted: 0 },
        Event::Delivery(DeliveryEvent {
            result: Delivered::Again(UnixMillis(0)),
            request_id: "id",
            route: "crm",
            upstream: "crm",
            attempt: 2,
            redelivery: true,
            server: Some("s"),
            status: Some(500),
            fault: Some(Fault::UpstreamStatus),
            detail: Some("status 500"),
            waited: Duration::from_secs(1),
            took: Duration::from_secs(1),
        }),
        Event::BreakerOpened { upstream: "crm", route: Some("a"), pause: Duration::from_secs(1) },
        Event::BreakerClosed { upstream: "crm", route: None },
        Event::Stranded { routes: &["gone".into()], waiting: 1 },
        Event::Interrupted { requests: 1 },
        Event::StoreFailed { detail: "disk I/O error" },
        Event::StoreRecovered,
        Event::StoreSetAside { detail: "a part of it" },
        Event::StoreStalled { since: Duration::from_secs(3) },
        Event::StoreResumed { after: Duration::from_secs(4) },
        Event::StoreFull,
        Event::StoreRoom,
        Event::HistoryDropped { count: 3 },
        Event::PanicCaught { place: why },
        Event::TaskEnded { task: "reload" },
        Event::TaskRestarted { task: "dispatcher", of: "github" },
        Event::Library { level: Level::Warn, target: "t", message: why },
    ];
    for event in &events {
        rig.observer.record(event);
    }
    let lines = rig.lines();
    assert_eq!(lines.len(), events.len());
    for (line, event) in lines.iter().zip(&events) {
        assert_eq!(line["event"], event.name());
        assert!(OPERATING.contains(&format!("| `{}` |", event.name())), "docs/operating.md lacks {}", event.name());
    }
    assert_eq!(rig.metric("dmz_relay_panics_total"), Some(1.0));
}

#[test]
fn providers_stand_in_gauges() {
    let rig = Rig::new();
    let status = |route: &str, budget_left, last_genuine: Option<UnixMillis>| ProviderStatus {
        route: route.into(),
        budget_left,
        inactive: last_genuine.is_some(),
        last_genuine,
    };
    rig.observer.set_providers(&[status("a", Some(4), Some(AT)), status("b", None, None)]);
    let gauge = |name: &str, route: &str| rig.metric(&format!("dmz_relay_{name}{{route=\"{route}\"}}"));
    assert_eq!((gauge("error_budget_left", "a"), gauge("error_budget_left", "b")), (Some(4.0), None));
    assert_eq!((gauge("provider_inactive", "a"), gauge("provider_inactive", "b")), (Some(1.0), Some(0.0)));
    assert_eq!(gauge("last_genuine_timestamp_seconds", "a"), Some(1_767_225_600.0));
    assert_eq!(gauge("last_genuine_timestamp_seconds", "b"), None);
    rig.observer.set_providers(&[]);
    assert!(gauge("provider_inactive", "a").unwrap().is_nan(), "the route is gone");
}

#[test]
fn two_relays_in_one_process_share_nothing() {
    let (first, second) = (Rig::new(), Rig::new());
    first.observer.request(&event(Outcome::Delivered));
    assert_eq!(first.lines().len(), 1);
    assert!(second.lines().is_empty());
    assert_eq!(second.metric("dmz_relay_responses_total{listener=\"public\",route=\"github\",class=\"2xx\"}"), None);
}

#[test]
fn every_series_has_help_and_is_listed() {
    let rig = Rig::new();
    rig.observer.request(&event(Outcome::Delivered));
    let text = rig.observer.render_metrics();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(names::ALL.iter().any(|metric| metric.name == name), "{name} is not in names.rs");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[test]
fn in_flight_follows_the_guards() {
    let rig = Rig::new();
    let guard = rig.observer.request_started();
    assert_eq!(rig.metric("dmz_relay_requests_in_flight"), Some(1.0));
    drop(guard);
    assert_eq!(rig.metric("dmz_relay_requests_in_flight"), Some(0.0));
}

#[test]
fn debug_of_an_observer_shows_no_event() {
    let rig = Rig::new();
    rig.observer.request(&event(Outcome::Delivered));
    assert!(!format!("{:?}", rig.observer).contains("hooks"));
}
