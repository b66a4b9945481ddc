//! What `GET /api/v1/status` and `POST /api/v1/reload` answer; the `status` command reads the same types.
//!
//! Members may be added; none is renamed or changes its type within `v1`. No secret has a place here: keys appear by
//! their ids only.

mod rfc3339;

use serde::{Deserialize, Serialize};

use crate::config::report;
use crate::domain::Lifetime;
use crate::observe::Tally;

/// The whole status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation, docs/operating.md shows an example")]
pub struct Status {
    pub version: String,
    /// Seconds since the epoch; RFC 3339 in JSON, as all times here.
    #[serde(with = "rfc3339")]
    pub started_at: i64,
    pub uptime_seconds: u64,
    /// `running` or `draining`.
    pub state: State,
    pub config: ConfigStatus,
    pub listeners: Vec<ListenerStatus>,
    pub routes: Vec<RouteStatus>,
    pub upstreams: Vec<UpstreamStatus>,
    #[serde(default)]
    pub feeds: Vec<FeedStatus>,
    pub usage: Usage,
    /// `null` where nothing is stored.
    #[serde(default)]
    pub store: Option<StoreStatus>,
    /// What works but should not stay, from the last load.
    pub warnings: Vec<String>,
}

/// Whether the relay takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Listeners are not up yet.
    #[default]
    Starting,
    /// Connections are accepted.
    Running,
    /// No new connections; requests in flight go on.
    Draining,
}

/// The running configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct ConfigStatus {
    pub path: String,
    /// SHA-256 over every byte that was read, in hexadecimal.
    pub digest: String,
    pub generation: u64,
    /// Seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub loaded_at: i64,
    /// Its number among the versions that are kept; `null` where none is.
    #[serde(default)]
    pub version: Option<u64>,
    /// `auto` or `manual`.
    #[serde(default)]
    pub reload: String,
    /// What it says and the one before did not, one line each.
    #[serde(default)]
    pub changes: Vec<String>,
    /// Set while a saved file waits for a reload.
    #[serde(default)]
    pub pending: Option<PendingStatus>,
    /// Set while the files on disk are not the running configuration.
    pub last_error: Option<ReloadError>,
    /// Changes on disk that only a restart brings.
    pub needs_restart: Vec<String>,
}

/// A saved file that waits for a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub since: i64,
    /// What it says and the running one does not.
    pub changes: Vec<String>,
    /// What would keep it out.
    pub problems: Vec<Problem>,
}

/// Why the last reload was kept out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReloadError {
    /// Seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub at: i64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// One problem of the configuration, as `check --format json` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "config::report::Problem has the same fields")]
pub struct Problem {
    pub file: String,
    pub line: Option<usize>,
    pub column: Option<usize>,
    pub key: String,
    pub what: String,
    pub help: Option<String>,
}

impl From<&report::Problem> for Problem {
    fn from(problem: &report::Problem) -> Self {
        Self {
            file: problem.file.display().to_string(),
            line: problem.at.map(|(line, _)| line),
            column: problem.at.map(|(_, column)| column),
            key: problem.key.clone(),
            what: problem.what.clone(),
            help: problem.help.clone(),
        }
    }
}

/// One listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct ListenerStatus {
    pub name: String,
    /// Where it really stands: with the port that the kernel chose.
    pub address: String,
    pub tls: bool,
    pub certificates: Vec<CertificateStatus>,
}

/// One served certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// From its SAN.
    pub names: Vec<String>,
    /// Seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub not_before: i64,
    /// Seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub not_after: i64,
}

impl CertificateStatus {
    /// From when to when it is good.
    pub fn lifetime(&self) -> Lifetime {
        Lifetime { not_before: self.not_before, not_after: self.not_after }
    }
}

/// A list of addresses that is a provider's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct FeedStatus {
    pub list: String,
    pub file: String,
    /// In force, once those that touch are one.
    pub networks: u64,
    /// When they were published, seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub date: i64,
    /// Older than `max_age`.
    pub old: bool,
    /// Why the file is not what is in force.
    pub refused: Option<String>,
}

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct RouteStatus {
    pub name: String,
    pub description: Option<String>,
    pub host: Option<String>,
    pub path: String,
    pub provider: Option<String>,
    pub upstream: String,
    /// `signed` or `none`.
    pub verification: String,
    /// `enforce` or `observe`; `null` where every address may send.
    #[serde(default)]
    pub address_check: Option<String>,
    /// Whether it observes another scheme, other secrets or further headers.
    #[serde(default)]
    pub observes: bool,
    /// Ids of its keys, the current one first.
    pub keys: Vec<String>,
    pub counts: RouteCounts,
    /// Where it is known how many failures the provider tolerates.
    #[serde(default)]
    pub error_budget: Option<BudgetStatus>,
    /// Seconds since the epoch; also from before the start, where there is a store.
    #[serde(default, with = "rfc3339::optional")]
    pub last_genuine: Option<i64>,
    /// Quiet against its baseline.
    #[serde(default)]
    pub inactive: bool,
    /// Set while genuine requests are refused because no list holds their addresses.
    #[serde(default)]
    pub unlisted: Option<UnlistedStatus>,
    /// `direct`, `failover` or `queue`.
    #[serde(default)]
    pub delivery: String,
    #[serde(default)]
    pub spool: SpoolStatus,
    /// Set while only probes are sent for this route: the upstream declines its requests, or does not answer them.
    #[serde(default)]
    pub breaker: Option<OpenBreaker>,
}

/// An open circuit breaker: only probes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBreaker {
    /// Refusals in a row.
    pub failures: u32,
    /// When the next probe may go, seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub next_probe: i64,
}

/// Addresses that a route's lists lack: genuine requests came from them within the last 24 hours, and were refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedStatus {
    /// The latest first.
    pub addresses: Vec<UnlistedAddress>,
    /// What to write in `relay.toml`.
    pub add: String,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedAddress {
    /// The source.
    pub address: String,
    /// Genuine requests among those that were looked at, at most one per second.
    pub seen: u64,
    /// When the last of them came, seconds since the epoch.
    #[serde(with = "rfc3339")]
    pub last: i64,
}

/// The failures that a provider was shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// As many as it tolerates.
    pub budget: u32,
    /// Within the last 24 hours.
    pub spent: u32,
    /// Until it may give the endpoint up.
    pub left: u32,
}

/// What waits in the store for one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Accepted, neither delivered nor dead.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest waiting one was received, seconds since the epoch.
    #[serde(with = "rfc3339::optional")]
    pub oldest: Option<i64>,
}

/// How the store stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its file.
    pub path: String,
    /// Writes are taken.
    pub open: bool,
    /// Why not, in the engine's words.
    pub problem: Option<String>,
    /// Damaged files that were set aside and lie beside it.
    #[serde(default)]
    pub set_aside: u64,
    /// The quota or the disk's reserve is reached: nothing is accepted.
    pub full: bool,
    /// Bytes.
    pub size: Used,
    /// Free bytes of the file system.
    pub disk_free: u64,
    /// Over all routes.
    pub spool: SpoolStatus,
    /// Rows of the history that were dropped since the start.
    pub history_dropped: u64,
    /// Routes that have something waiting or dead and are not configured.
    pub stranded: Vec<StrandedStatus>,
}

/// What waits for a route that is not configured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StrandedStatus {
    /// The route's name.
    pub route: String,
    /// What it has.
    pub spool: SpoolStatus,
}

/// What became of a route's requests since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the outcomes")]
pub struct RouteCounts {
    /// At once, or out of the store since. What waits is in `spool`.
    pub delivered: u64,
    pub challenge: u64,
    pub duplicate: u64,
    pub refused: u64,
    #[serde(default)]
    pub undecided: u64,
    pub failed: u64,
    pub client_closed: u64,
    /// Of all these: what only `address_check = "observe"` or `observe` let pass.
    #[serde(default)]
    pub would_refuse: u64,
    /// Of these: the genuine ones.
    #[serde(default)]
    pub would_refuse_genuine: u64,
}

impl From<Tally> for RouteCounts {
    fn from(tally: Tally) -> Self {
        let Tally {
            delivered,
            accepted: _,
            challenge,
            duplicate,
            refused,
            undecided,
            failed,
            client_closed,
            would_refuse,
            would_refuse_genuine,
        } = tally;
        Self {
            delivered,
            challenge,
            duplicate,
            refused,
            undecided,
            failed,
            client_closed,
            would_refuse,
            would_refuse_genuine,
        }
    }
}

/// One upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct UpstreamStatus {
    pub name: String,
    pub servers: Vec<ServerStatus>,
    /// Set while only probes are sent for all its routes: nobody can connect.
    #[serde(default)]
    pub breaker: Option<OpenBreaker>,
}

/// One upstream server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct ServerStatus {
    pub address: String,
    pub healthy: bool,
    /// Why it is not.
    pub why: Option<String>,
    pub in_flight: u64,
}

/// What is used of each limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of the limits")]
pub struct Usage {
    pub connections: Used,
    pub body_memory: Used,
    pub dedupe_entries: Used,
    pub requests_in_flight: u64,
}

/// A bounded resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// At this moment.
    pub used: u64,
    /// As configured.
    pub limit: u64,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum ReloadReport {
    /// The new configuration is in force.
    Applied {
        /// Its number.
        generation: u64,
        /// What it says and the one before did not.
        #[serde(default)]
        changes: Vec<String>,
        /// Changes that only a restart brings.
        needs_restart: Vec<String>,
        /// What works but should not stay.
        warnings: Vec<String>,
    },
    /// The files say what the running configuration says.
    Unchanged {
        /// Of the running configuration.
        generation: u64,
    },
    /// The new files have problems: the running configuration stays.
    Kept {
        /// Everything that is wrong.
        problems: Vec<Problem>,
    },
}
