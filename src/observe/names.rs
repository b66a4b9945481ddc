//! Every metric: its name with its unit, its labels, and what it says. `docs/metrics.md` lists the same; a test
//! compares.
//!
//! Labels come from closed sets or from `relay.toml`, never from a request: not a path, not a host, not an address.

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution over fixed buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// As `docs/metrics.md` and the exposition format name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// As Prometheus sees it.
    pub name: &'static str,
    /// What kind of metric it is.
    pub kind: Kind,
    /// Label names in order.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// Seconds; a signature check takes microseconds, a provider gives up after 30 seconds at most.
pub const SECONDS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
/// Bytes, up to the largest body a route is likely to take.
pub const BYTES: &[f64] =
    &[256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 26_214_400.0];

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:expr, [$($label:literal),*], $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };
        )+
        /// Every metric, in the order of `docs/metrics.md`.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    REQUESTS = "dmz_relay_requests_total", Kind::Counter, ["listener", "route", "provider", "outcome", "reason"],
        "Requests by what became of them; reason is a code of docs/request.md.";
    REQUESTS_OBSERVED = "dmz_relay_requests_observed_total", Kind::Counter, ["route", "reason", "outcome"],
        "Requests that what a route only observes would have refused (address_check, observe), by what became of them.";
    UNLISTED_SAMPLES = "dmz_relay_unlisted_samples_total", Kind::Counter, ["route", "result"],
        "Requests that were refused for their address alone, and verified after their answer. Result genuine: a list lacks the address. Result unread: the body did not come.";
    RESPONSES = "dmz_relay_responses_total", Kind::Counter, ["listener", "route", "class"],
        "Answers by status class (2xx to 5xx, none where nobody was left to answer).";
    REQUEST_SECONDS = "dmz_relay_request_duration_seconds", Kind::Histogram(SECONDS), ["route"],
        "From the first byte of a request to its answer.";
    READ_SECONDS = "dmz_relay_request_read_duration_seconds", Kind::Histogram(SECONDS), ["route"],
        "Time spent waiting for bodies that did not come with their heads.";
    VERIFY_SECONDS = "dmz_relay_request_verify_duration_seconds", Kind::Histogram(SECONDS), ["route"],
        "Time spent verifying signatures.";
    FORWARD_SECONDS = "dmz_relay_request_forward_duration_seconds", Kind::Histogram(SECONDS), ["route"],
        "Time spent on the upstream, every attempt together.";
    BODY_BYTES = "dmz_relay_request_body_bytes", Kind::Histogram(BYTES), ["route"],
        "Size of the bodies that were received.";
    UPSTREAM_ATTEMPTS = "dmz_relay_upstream_attempts_total", Kind::Counter, ["route"],
        "Requests sent to upstream servers, repeated attempts included.";
    UPSTREAM_RESPONSES = "dmz_relay_upstream_responses_total", Kind::Counter, ["route", "class"],
        "Answers of upstream servers by status class.";
    ATTEMPTS = "dmz_relay_attempts_total", Kind::Counter, ["route", "result"],
        "Attempts to deliver from the store: delivered, failed (tried again later), dead, released (nobody could be asked).";
    SPOOL_WAITING = "dmz_relay_spool_waiting", Kind::Gauge, ["route"],
        "Requests that were accepted and are neither delivered nor dead.";
    SPOOL_DEAD = "dmz_relay_spool_dead", Kind::Gauge, ["route"],
        "Dead letters: requests whose last attempt failed; an operator retries or discards them.";
    SPOOL_OLDEST = "dmz_relay_spool_oldest_seconds", Kind::Gauge, ["route"],
        "Age of the oldest waiting request; 0 where nothing waits.";
    BREAKER_OPEN = "dmz_relay_breaker_open", Kind::Gauge, ["upstream", "route"],
        "1 while only probes are sent from the store: to an upstream that nobody can connect to (route -), or for a route that it declines.";
    BREAKER_CHANGES = "dmz_relay_breaker_changes_total", Kind::Counter, ["upstream", "route", "state"],
        "How often such a breaker opened and closed.";
    STORE_UP = "dmz_relay_store_up", Kind::Gauge, [],
        "1 while the store takes writes, 0 while it does not or its disk does not answer; absent without a store.";
    STORE_FULL = "dmz_relay_store_full", Kind::Gauge, [],
        "1 while the store's quota or the disk's reserve is reached: nothing is accepted.";
    STORE_USED = "dmz_relay_store_used_bytes", Kind::Gauge, [],
        "Bytes that the store holds, free pages not counted, out of dmz_relay_store_limit_bytes.";
    STORE_LIMIT = "dmz_relay_store_limit_bytes", Kind::Gauge, [],
        "What the store may hold (store.keep.size).";
    STORE_DISK_FREE = "dmz_relay_store_disk_free_bytes", Kind::Gauge, [],
        "Free bytes of the store's file system.";
    STORE_SET_ASIDE = "dmz_relay_store_set_aside", Kind::Gauge, [],
        "Damaged files that were set aside and lie beside the store, until an operator removes them.";
    STORE_CHANGES = "dmz_relay_store_changes_total", Kind::Counter, ["state"],
        "How often the store failed, recovered, was full, had room again, set a damaged file aside (set_aside), waited long for \
         its disk (stalled), resumed.";
    HISTORY_DROPPED = "dmz_relay_history_dropped_total", Kind::Counter, [],
        "Rows of the history that were not written because the disk was too slow for them.";
    HISTORY_SKIPPED = "dmz_relay_history_skipped_total", Kind::Counter, [],
        "Rows of refused requests and of copies that were counted only, because there were too many of them.";
    REQUESTS_IN_FLIGHT = "dmz_relay_requests_in_flight", Kind::Gauge, [],
        "Requests whose answer is not yet out.";
    CONNECTIONS = "dmz_relay_connections_total", Kind::Counter, ["listener"],
        "Connections accepted.";
    CONNECTIONS_OPEN = "dmz_relay_connections_open", Kind::Gauge, ["listener"],
        "Connections open at this moment.";
    CONNECTIONS_REFUSED = "dmz_relay_connections_refused_total", Kind::Counter, ["listener", "reason"],
        "Connections closed before any request, by reason.";
    CONNECTIONS_UNUSED = "dmz_relay_connections_unused_total", Kind::Counter, ["listener"],
        "Connections that the peer closed before it sent anything, such as a balancer's TCP probes; they are not logged.";
    HTTP2_ENDED = "dmz_relay_http2_ended_total", Kind::Counter, ["listener", "scope", "reason"],
        "Streams and connections that HTTP/2 itself ended for their peer's error; reason is an error code of RFC 9113.";
    BODY_MEMORY = "dmz_relay_body_memory_bytes", Kind::Gauge, [],
        "Memory that request bodies hold, out of limits.body_memory.";
    REPLAY_ENTRIES = "dmz_relay_dedupe_entries", Kind::Gauge, [],
        "Ids that dedupe memory holds, out of limits.dedupe_entries.";
    SERVER_HEALTHY = "dmz_relay_upstream_server_healthy", Kind::Gauge, ["upstream", "server"],
        "1 while a server takes requests, 0 while it is ejected or unhealthy; NaN once it is configured no more.";
    SERVER_CHANGES = "dmz_relay_upstream_server_changes_total", Kind::Counter, ["upstream", "server"],
        "How often a server became healthy or unhealthy.";
    ERROR_BUDGET_LEFT = "dmz_relay_error_budget_left", Kind::Gauge, ["route"],
        "Failures until the provider may give the endpoint up; failures count for 24 hours.";
    PROVIDER_INACTIVE = "dmz_relay_provider_inactive", Kind::Gauge, ["route"],
        "1 while the route's provider is quiet against its baseline, or for longer than the configured time.";
    LAST_GENUINE = "dmz_relay_last_genuine_timestamp_seconds", Kind::Gauge, ["route"],
        "When the last genuine request came, seconds since the epoch.";
    CERTIFICATE_EXPIRY = "dmz_relay_certificate_not_after_timestamp_seconds", Kind::Gauge, ["listener", "name"],
        "When a served certificate expires, seconds since the epoch; NaN once it is served no more.";
    FEED_OLD_AFTER = "dmz_relay_feed_old_after_timestamp_seconds", Kind::Gauge, ["list"],
        "When the addresses of a feed are older than max_age, seconds since the epoch; NaN once it is configured no more.";
    FEED_REFUSED = "dmz_relay_feed_refused", Kind::Gauge, ["list"],
        "Whether the file of a feed was refused, and the addresses before stay in force (0 or 1).";
    ROUTES = "dmz_relay_routes", Kind::Gauge, [],
        "Routes in the running configuration.";
    ROUTES_UNVERIFIED = "dmz_relay_routes_unverified", Kind::Gauge, [],
        "Routes that accept requests without verification (verify.dangerously_none).";
    ROUTES_OBSERVED = "dmz_relay_routes_observed", Kind::Gauge, [],
        "Routes that observe something they do not enforce (address_check, observe).";
    RELOADS = "dmz_relay_config_reloads_total", Kind::Counter, ["outcome"],
        "Reloads by outcome: applied, unchanged, kept (the new files had problems).";
    ADMIN_ACTIONS = "dmz_relay_admin_actions_total", Kind::Counter, ["action", "result"],
        "Actions and body reads asked for over the admin socket: done, failed, refused (the caller has not the role).";
    RELOAD_SUCCESS = "dmz_relay_config_last_reload_success", Kind::Gauge, [],
        "1 when the files on disk are the running configuration, 0 when the last reload was kept out.";
    RELOAD_TIME = "dmz_relay_config_last_reload_timestamp_seconds", Kind::Gauge, [],
        "When the running configuration was loaded, seconds since the epoch.";
    PENDING = "dmz_relay_config_pending", Kind::Gauge, [],
        "1 while a saved relay.toml waits for a reload (reload = \"manual\"), else 0.";
    GENERATION = "dmz_relay_config_generation", Kind::Gauge, [],
        "Counts the configurations this process has run; 1 after the start.";
    LOG_LINES_DROPPED = "dmz_relay_log_lines_dropped_total", Kind::Counter, [],
        "Log lines that were lost because the log's reader was too slow.";
    LOG_LINES_SUPPRESSED = "dmz_relay_log_lines_suppressed_total", Kind::Counter, [],
        "Log lines that the rate limit held back.";
    PANICS = "dmz_relay_panics_total", Kind::Counter, [],
        "Panics that were caught: each one is a bug of the relay.";
    BUILD = "dmz_relay_build_info", Kind::Gauge, ["version"],
        "Always 1.";
    START_TIME = "dmz_relay_start_timestamp_seconds", Kind::Gauge, [],
        "When the process started, seconds since the epoch.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const DOCS: &str = include_str!("../../docs/metrics.md");

    fn row(metric: &Metric) -> String {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.as_str(), labels.join(", "), metric.help)
    }

    #[test]
    fn the_document_lists_exactly_these() {
        let listed: Vec<_> = DOCS.lines().filter(|line| line.starts_with("| `dmz_relay_")).collect();
        let expected: Vec<_> = ALL.iter().map(row).collect();
        assert_eq!(listed, expected, "docs/metrics.md should have:\n{}", expected.join("\n"));
    }

    #[test]
    fn names_are_unique_and_carry_their_unit() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            if let Kind::Histogram(buckets) = metric.kind {
                let unit = if buckets == BYTES { "_bytes" } else { "_seconds" };
                assert!(metric.name.ends_with(unit), "{}", metric.name);
                assert!(buckets.is_sorted());
            }
        }
    }
}
