//! What is recorded beside requests: one variant per fact.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::refusal::codes;

use super::action::AdminAction;
use super::certificate::CertificateEvent;
use super::delivery::DeliveryEvent;
use super::line::{Level, Line, Style};

codes! {
    /// Why a connection was closed before it carried a request.
    ConnectionRefusal {
        /// No route of the listener admits the peer.
        AddressNotAllowed = "address_not_allowed",
        /// The peer, or whom its PROXY header names, is in the listener's `deny`.
        AddressDenied = "address_denied",
        /// `limits.max_connections` are open.
        TooManyConnections = "too_many_connections",
        /// Every place was taken, and its address had most of those that have proven nothing.
        Evicted = "evicted",
        /// The address has `limits.max_connections_per_address` open.
        TooManyFromAddress = "too_many_from_address",
        /// The address begins more handshakes than `limits.handshakes_per_address`.
        TooManyHandshakes = "too_many_handshakes",
        /// The peer must send a PROXY header and sent something else, or nothing.
        ProxyHeaderMissing = "proxy_header_missing",
        /// A PROXY header came from a peer that `proxy_protocol_from` does not list.
        ProxyHeaderUnexpected = "proxy_header_unexpected",
        /// The PROXY header cannot be read.
        ProxyHeaderMalformed = "proxy_header_malformed",
        /// The TLS handshake did not end within its deadline.
        HandshakeTimeout = "handshake_timeout",
        /// The TLS handshake failed.
        HandshakeFailed = "handshake_failed",
        /// The system gave no connection although one was waiting: out of file descriptors or memory.
        AcceptFailed = "accept_failed",
    }
}

/// A connection that was closed before it carried a request.
#[derive(Clone, Copy, Debug)]
pub struct RefusedConnection<'e> {
    /// From `relay.toml`.
    pub listener: &'e str,
    /// The source as far as it is known: the socket's peer, or what its PROXY header said.
    pub source: Option<IpAddr>,
    /// Why.
    pub reason: ConnectionRefusal,
    /// What was wrong and what helps, the TLS library's own words, or the entry of `deny`; never bytes of the peer.
    pub detail: Option<&'e str>,
}

impl RefusedConnection<'_> {
    pub(crate) fn line(&self, style: Style, at: UnixMillis) -> Vec<u8> {
        let mut line = Line::new(style, Level::Warn, at, "connection_refused");
        line.word("reason", self.reason.code()).text("listener", self.listener);
        if let Some(source) = self.source {
            line.address("source", source);
        }
        if let Some(detail) = self.detail {
            line.long("detail", detail);
        }
        line.finish()
    }
}

/// What a log line says of how many problems at most; the report of `check` and of the admin call is complete.
const MOST_PROBLEMS: usize = 20;

/// A fact about the process.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "the names are those of the log fields, which docs/operating.md explains")]
pub enum Event<'e> {
    /// The process began; nothing listens yet.
    Started { version: &'e str, config: &'e dyn fmt::Display },
    /// A listener accepts connections.
    Listening { listener: &'e str, address: &'e dyn fmt::Display },
    /// Something in the configuration that works but should not stay.
    ConfigWarning { warning: &'e dyn fmt::Display },
    /// A configuration is in force, the first one included.
    Applied {
        generation: u64,
        digest: &'e str,
        trigger: &'e str,
        changes: &'e [String],
        needs_restart: &'e [String],
        took: Duration,
    },
    /// The files say what the running configuration says.
    Unchanged { trigger: &'e str },
    /// The new files have problems: the running configuration stays.
    Kept { trigger: &'e str, problems: &'e [&'e dyn fmt::Display] },
    /// The file says something else than what runs, and waits until somebody asks for a reload.
    Pending { trigger: &'e str, changes: &'e [String], problems: usize },
    /// The text of the configuration in force could not be kept among the versions.
    VersionNotKept { why: &'e dyn fmt::Display },
    /// File changes are found by looking every few seconds.
    WatchDegraded { why: &'e dyn fmt::Display },
    /// A server takes requests again, or no more.
    ServerHealth { upstream: &'e str, server: &'e str, healthy: bool, why: &'e str },
    /// One more failure, and the provider may give the endpoint up.
    ErrorBudgetLow { route: &'e str, provider: Option<&'e str>, spent: u32, budget: u32 },
    /// A provider has gone quiet against its baseline.
    ProviderInactive { route: &'e str, provider: Option<&'e str>, quiet_for: Duration, usual: Duration },
    /// A provider's file of addresses is not taken; the list that was in force stays.
    FeedRefused { list: &'e str, file: &'e dyn fmt::Display, why: &'e str },
    /// The addresses in force are older than they may be.
    FeedOld { list: &'e str, file: &'e dyn fmt::Display, date: i64 },
    /// What is in force could not be kept for the next start.
    FeedNotKept { why: &'e dyn fmt::Display },
    /// A request that was refused for its address alone proved genuine: a list lacks the address.
    GenuineUnlisted { route: &'e str, provider: Option<&'e str>, source: IpAddr, request_id: &'e str, add: &'e str },
    /// It is back.
    ProviderActive { route: &'e str, provider: Option<&'e str>, quiet_for: Duration },
    /// An attempt to deliver from the store.
    Delivery(DeliveryEvent<'e>),
    /// An upstream accepts no requests (of one route, or of any): nothing is sent but probes, the first after this long.
    BreakerOpened { upstream: &'e str, route: Option<&'e str>, pause: Duration },
    /// It takes requests again.
    BreakerClosed { upstream: &'e str, route: Option<&'e str> },
    /// Somebody acted over the admin socket, read a body, or was refused it.
    AdminAction(AdminAction<'e>),
    /// A served certificate ends, or has.
    Certificate(CertificateEvent<'e>),
    /// Requests wait for routes that the configuration does not have.
    Stranded { routes: &'e [Arc<str>], waiting: u64 },
    /// The last process ended in the middle of deliveries; each may have arrived, and is sent again.
    Interrupted { requests: u64 },
    /// The store accepts no requests any more.
    StoreFailed { detail: &'e str },
    /// The store was opened again and takes requests again.
    StoreRecovered,
    /// A part of the store could not be read and was set aside.
    StoreSetAside { detail: &'e str },
    /// The disk has not answered the store for so long.
    StoreStalled { since: Duration },
    /// It answers again, after so long.
    StoreResumed { after: Duration },
    /// The store's quota or the disk's reserve is reached: nothing more is accepted.
    StoreFull,
    /// There is room in the store again.
    StoreRoom,
    /// A route's share of the store is used up: nothing more is accepted for it.
    RouteFull { route: &'e str },
    /// There is room in it again.
    RouteRoom { route: &'e str },
    /// Rows of the history were not written because the disk was too slow for them.
    HistoryDropped { count: u64 },
    /// Rows of what anybody can bring about were counted only, because there were too many of them.
    RowsSkipped { count: u64 },
    /// No new connections; requests in flight go on.
    Draining { in_flight: u64, timeout: Duration },
    /// The end. `unfinished` requests and `interrupted` deliveries were cut off.
    Stopped { unfinished: u64, interrupted: u64 },
    /// A bug of the relay. The message is left out: it may quote what the code was working on.
    PanicCaught { place: &'e dyn fmt::Display },
    /// A background task ended that never should.
    TaskEnded { task: &'e str },
    /// A task panicked and was begun again, by what it is and whose.
    TaskRestarted { task: &'e str, of: &'e str },
    /// A warning of a library.
    Library { level: Level, target: &'e str, message: &'e dyn fmt::Display },
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Event<'_> {
    /// The `event` field of its lines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Listening { .. } => "listening",
            Self::ConfigWarning { .. } => "config_warning",
            Self::Applied { .. } => "config_applied",
            Self::Unchanged { .. } => "config_unchanged",
            Self::Kept { .. } => "config_kept",
            Self::Pending { .. } => "config_pending",
            Self::VersionNotKept { .. } => "config_not_kept",
            Self::WatchDegraded { .. } => "watch_degraded",
            Self::ServerHealth { .. } => "server_health",
            Self::ErrorBudgetLow { .. } => "error_budget_low",
            Self::ProviderInactive { .. } => "provider_inactive",
            Self::ProviderActive { .. } => "provider_active",
            Self::GenuineUnlisted { .. } => "genuine_unlisted",
            Self::FeedRefused { .. } => "feed_refused",
            Self::FeedOld { .. } => "feed_old",
            Self::FeedNotKept { .. } => "feed_not_kept",
            Self::Delivery(_) => "delivery",
            Self::BreakerOpened { .. } => "breaker_opened",
            Self::BreakerClosed { .. } => "breaker_closed",
            Self::AdminAction(_) => "admin_action",
            Self::Certificate(event) => event.name(),
            Self::Stranded { .. } => "stranded",
            Self::Interrupted { .. } => "interrupted",
            Self::StoreFailed { .. } => "store_failed",
            Self::StoreRecovered => "store_recovered",
            Self::StoreSetAside { .. } => "store_set_aside",
            Self::StoreStalled { .. } => "store_stalled",
            Self::StoreResumed { .. } => "store_resumed",
            Self::StoreFull => "store_full",
            Self::StoreRoom => "store_room",
            Self::RouteFull { .. } => "store_route_full",
            Self::RouteRoom { .. } => "store_route_room",
            Self::HistoryDropped { .. } => "history_dropped",
            Self::RowsSkipped { .. } => "history_skipped",
            Self::Draining { .. } => "draining",
            Self::Stopped { .. } => "stopped",
            Self::PanicCaught { .. } => "panic_caught",
            Self::TaskEnded { .. } => "task_ended",
            Self::TaskRestarted { .. } => "task_restarted",
            Self::Library { .. } => "library",
        }
    }

    fn level(&self) -> Level {
        match self {
            Self::Started { .. }
            | Self::Listening { .. }
            | Self::Applied { .. }
            | Self::Unchanged { .. }
            | Self::ProviderActive { .. }
            | Self::Draining { .. }
            | Self::BreakerClosed { .. }
            | Self::StoreRecovered
            | Self::StoreResumed { .. }
            | Self::StoreRoom
            | Self::RouteRoom { .. }
            | Self::Stopped { unfinished: 0, interrupted: 0 }
            | Self::ServerHealth { healthy: true, .. } => Level::Info,
            Self::ConfigWarning { .. }
            | Self::Pending { .. }
            | Self::VersionNotKept { .. }
            | Self::WatchDegraded { .. }
            | Self::ErrorBudgetLow { .. }
            | Self::ProviderInactive { .. }
            | Self::GenuineUnlisted { .. }
            | Self::FeedRefused { .. }
            | Self::FeedOld { .. }
            | Self::FeedNotKept { .. }
            | Self::Stopped { .. }
            | Self::BreakerOpened { .. }
            | Self::Stranded { .. }
            | Self::Interrupted { .. }
            | Self::HistoryDropped { .. }
            | Self::RowsSkipped { .. }
            | Self::ServerHealth { healthy: false, .. } => Level::Warn,
            Self::Kept { .. }
            | Self::PanicCaught { .. }
            | Self::TaskEnded { .. }
            | Self::TaskRestarted { .. }
            | Self::StoreFailed { .. }
            | Self::StoreSetAside { .. }
            | Self::StoreStalled { .. }
            | Self::StoreFull
            | Self::RouteFull { .. } => Level::Error,
            Self::Delivery(event) => event.level(),
            Self::AdminAction(event) => event.level(),
            Self::Certificate(event) => event.level(),
            Self::Library { level, .. } => *level,
        }
    }

    /// Calls back with each line: one, but for a configuration with problems, which get one each.
    pub(crate) fn lines(&self, style: Style, at: UnixMillis, mut write: impl FnMut(Vec<u8>)) {
        let mut line = Line::new(style, self.level(), at, self.name());
        match *self {
            Self::Started { version, config } => {
                line.text("version", version).long("config", &config.to_string());
            }
            Self::Listening { listener, address } => {
                line.text("listener", listener).text("address", &address.to_string());
            }
            Self::ConfigWarning { warning } => {
                line.long("warning", &warning.to_string());
            }
            Self::Applied { generation, digest, trigger, changes, needs_restart, took } => {
                line.number("generation", generation).text("trigger", trigger).text("digest", digest);
                line.millis("took_ms", took);
                several(&mut line, "changes", changes, "; ");
                several(&mut line, "needs_restart", needs_restart, ", ");
            }
            Self::Unchanged { trigger } => {
                line.text("trigger", trigger);
            }
            Self::Kept { trigger, problems } => {
                line.text("trigger", trigger).number("problems", problems.len() as u64);
                write(line.finish());
                return problem_lines(style, at, problems, write);
            }
            Self::Pending { trigger, changes, problems } => {
                line.text("trigger", trigger).number("problems", problems as u64);
                several(&mut line, "changes", changes, "; ");
            }
            Self::VersionNotKept { why } | Self::WatchDegraded { why } => {
                line.long("why", &why.to_string());
            }
            Self::ServerHealth { upstream, server, healthy, why } => {
                line.text("upstream", upstream).text("server", server).boolean("healthy", healthy);
                line.maybe("why", Some(why));
            }
            Self::ErrorBudgetLow { route, provider, spent, budget } => {
                line.text("route", route).maybe("provider", provider).number("spent", spent).number("budget", budget);
            }
            Self::ProviderInactive { route, provider, quiet_for, usual } => {
                line.text("route", route).maybe("provider", provider);
                line.millis("quiet_for_ms", quiet_for).millis("usual_ms", usual);
            }
            Self::ProviderActive { route, provider, quiet_for } => {
                line.text("route", route).maybe("provider", provider).millis("quiet_for_ms", quiet_for);
            }
            Self::GenuineUnlisted { route, provider, source, request_id, add } => {
                line.text("request_id", request_id).text("route", route).maybe("provider", provider);
                line.address("source", source).long("add", add);
            }
            Self::FeedRefused { .. } | Self::FeedOld { .. } | Self::FeedNotKept { .. } => self.feed(&mut line),
            Self::Delivery(event) => event.write(&mut line),
            Self::BreakerOpened { upstream, route, pause } => {
                line.text("upstream", upstream).maybe("route", route).millis("pause_ms", pause);
            }
            Self::BreakerClosed { upstream, route } => {
                line.text("upstream", upstream).maybe("route", route);
            }
            Self::AdminAction(event) => event.write(&mut line),
            Self::Certificate(event) => event.write(&mut line),
            Self::Stranded { routes, waiting } => {
                line.long("routes", &routes.join(", ")).number("waiting", waiting);
            }
            Self::StoreStalled { since: time } | Self::StoreResumed { after: time } => {
                line.millis("for_ms", time);
            }
            Self::StoreFailed { detail } | Self::StoreSetAside { detail } => {
                line.long("detail", detail);
            }
            Self::StoreRecovered | Self::StoreFull | Self::StoreRoom => {}
            Self::RouteFull { route } | Self::RouteRoom { route } => {
                line.text("route", route);
            }
            Self::HistoryDropped { count } | Self::RowsSkipped { count } => drop(line.number("count", count)),
            Self::Interrupted { requests } => drop(line.number("requests", requests)),
            Self::Draining { in_flight, timeout } => {
                line.number("in_flight", in_flight).millis("timeout_ms", timeout);
            }
            Self::Stopped { unfinished, interrupted } => {
                line.number("unfinished", unfinished).number("interrupted", interrupted);
            }
            Self::PanicCaught { .. } | Self::TaskEnded { .. } | Self::TaskRestarted { .. } => self.bug(&mut line),
            Self::Library { target, message, .. } => {
                line.text("target", target).long("message", &message.to_string());
            }
        }
        write(line.finish());
    }

    /// What is wrong with a list of addresses that a provider publishes.
    fn feed(&self, line: &mut Line) {
        match *self {
            Self::FeedRefused { list, file, why } => {
                line.text("list", list).text("file", &file.to_string()).long("why", why)
            }
            Self::FeedOld { list, file, date } => {
                line.text("list", list).text("file", &file.to_string()).time("date", UnixMillis::from_secs(date))
            }
            Self::FeedNotKept { why } => line.long("why", &why.to_string()),
            _ => line,
        };
    }

    /// What only a bug of the relay brings about.
    fn bug(&self, line: &mut Line) {
        match self {
            Self::PanicCaught { place } => line.long("place", &place.to_string()),
            Self::TaskEnded { task } => line.text("task", task),
            Self::TaskRestarted { task, of } => line.text("task", task).text("of", of),
            _ => line,
        };
    }
}

/// Several texts as one, where there are any.
fn several(line: &mut Line, name: &'static str, texts: &[String], between: &str) {
    if !texts.is_empty() {
        line.long(name, &texts.join(between));
    }
}

fn problem_lines(style: Style, at: UnixMillis, problems: &[&dyn fmt::Display], mut write: impl FnMut(Vec<u8>)) {
    for problem in problems.iter().take(MOST_PROBLEMS) {
        let mut line = Line::new(style, Level::Error, at, "config_problem");
        line.long("problem", &problem.to_string());
        write(line.finish());
    }
    if let Some(more) = problems.len().checked_sub(MOST_PROBLEMS).filter(|more| *more > 0) {
        let mut line = Line::new(style, Level::Error, at, "config_problem");
        line.long("problem", &format!("and {more} more: run `dmz-relay check`"));
        write(line.finish());
    }
}
