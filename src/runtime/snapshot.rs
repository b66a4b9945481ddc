//! The compiled configuration: immutable, complete, cheap to read. A request loads it once.
//!
//! Only `config::compile` builds one. What must outlive a reload (server states, meters, dedupe memory, ticket keys) is in
//! [`crate::runtime::state::State`]; the snapshot only points to it.
//!
//! Deliberately absent: any type that mirrors `relay.toml`, any string that still has to be parsed, any secret outside a
//! [`crate::base::Secret`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Secret;
use crate::domain::{FieldList, Lifetime, Method, Sensitive};
use crate::guards::access::{AccessList, Feed, IpSet, RequiredHeader};
use crate::guards::baseline::TrafficBaseline;
use crate::guards::budget::Budget;
use crate::guards::dedupe::Share;
use crate::guards::meter::{Rate, RouteLimits, RouteMeter};
use crate::runtime::routing::RouteTable;
use crate::scheme::{Challenge, Verifier};
use crate::store;
use crate::upstream::Upstream;

/// What a request whose body is waited for takes beside its head's bytes: its task, and where its fields stand.
const REQUEST_MOST: u64 = 32 * 1024;

/// Everything that a request, a listener or an admin call can ask of the configuration.
#[derive(Debug)]
pub struct Snapshot {
    /// At least one.
    pub listeners: Vec<Arc<Listener>>,
    /// Where the admin listener stands; `None` switches it off.
    pub admin: Option<AdminAddress>,
    /// Where metrics and health are read over TCP, and nothing else.
    pub scrape: Option<SocketAddr>,
    /// Who may do more over the admin socket than look.
    pub roles: Roles,
    /// When a changed file comes into force.
    pub reload: Reload,
    /// How log lines look.
    pub log: LogSettings,
    /// Bounds that hold for the whole process.
    pub limits: Limits,
    /// Where accepted requests and the history are kept; `None`: nowhere.
    pub store: Option<Arc<store::Settings>>,
    /// Host and path to route.
    pub routes: RouteTable,
    /// What of a request is neither kept nor shown, whatever its route.
    pub sensitive: Arc<Sensitive>,
    /// By name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// Lists of addresses that are a provider's own file.
    pub feeds: Vec<Arc<Feed>>,
    /// Every file that was read, for the watcher.
    pub files: Vec<PathBuf>,
    /// SHA-256 over every byte that was read: two equal digests mean that nothing changed.
    pub digest: [u8; 32],
}

impl Snapshot {
    /// The most that one request takes of `limits.body_memory`, on whatever route.
    pub fn largest_request(&self) -> u64 {
        let largest = self.routes.iter().map(|route| route.max_body).max();
        self.limits.largest_request(largest.unwrap_or_default())
    }

    /// A listener by its name.
    pub fn listener(&self, name: &str) -> Option<&Arc<Listener>> {
        self.listeners.iter().find(|listener| &*listener.name == name)
    }
}

/// One public address.
#[derive(Debug)]
pub struct Listener {
    /// From `relay.toml`; the metric label.
    pub name: Arc<str>,
    /// Where it stands.
    pub address: ListenAddress,
    /// `None` only where the file says `dangerously_plaintext = true`.
    pub tls: Option<ListenerTls>,
    /// Peers whose PROXY header is required and believed.
    pub proxy_protocol_from: IpSet,
    /// Peers whose `X-Forwarded-For` is walked.
    pub trust_forwarded_from: IpSet,
    /// Whom no route serves: closed before TLS, and asked again for each request, so that a reload reaches open connections.
    pub deny: AccessList,
    /// The union of all routes' lists when every route has one: an address outside it is closed before TLS.
    pub admits: Option<IpSet>,
}

impl Listener {
    /// Whether this address speaks for others. As a source it only says that nobody told who sent the request.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        self.proxy_protocol_from.contains(ip) || self.trust_forwarded_from.contains(ip)
    }
}

/// Where a listener gets its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// Bound by the relay.
    Tcp(SocketAddr),
    /// Passed by systemd under this `FileDescriptorName`.
    Systemd(String),
}

impl ListenAddress {
    /// Whether the two cannot both be bound. A wildcard takes its port on every address of its family, and of that alone: IPv6
    /// sockets are bound without IPv4.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let is_wild = one.ip().is_unspecified() || other.ip().is_unspecified();
                let is_same = one.ip() == other.ip() || (is_wild && one.is_ipv4() == other.is_ipv4());
                one.port() != 0 && one.port() == other.port() && is_same
            }
            (Self::Systemd(one), Self::Systemd(other)) => one == other,
            _ => false,
        }
    }
}

/// When a changed `relay.toml` comes into force. Secrets, certificates and lists that it names are taken over by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// When it was saved.
    #[default]
    Auto,
    /// When somebody asks.
    Manual,
}

impl Reload {
    /// As `relay.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

/// A user or a group, by name or by decimal id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// `user:NAME`.
    User(String),
    /// `group:NAME`.
    Group(String),
}

/// Who may do more over the admin socket than look. Root and the relay's own user may do everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// They reload, retry, redeliver and discard.
    pub operators: Vec<Account>,
    /// They read bodies.
    pub readers: Vec<Account>,
}

/// Where the admin listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Bound by the relay.
    Tcp(SocketAddr),
    /// A Unix socket, created with mode 0660.
    Unix(PathBuf),
}

/// TLS of one listener, ready for a handshake.
#[derive(Debug)]
pub struct ListenerTls {
    /// Versions, ciphers, ALPN, client certificates and the certificate resolver.
    pub server: Arc<rustls::ServerConfig>,
    /// In the order of the file; the first serves a connection whose SNI matches none.
    pub certificates: Vec<ServedCertificate>,
}

impl ListenerTls {
    /// Whose names count for a connection with this SNI: an exact name, then a wildcard, then the first of the file. The
    /// handshake goes the same way; where several certificates have the name, it may serve a later one, for a client that
    /// cannot check the first, and the names that count are still those of the first.
    pub fn certificate_for(&self, sni: Option<&str>) -> usize {
        let Some(sni) = sni else { return 0 };
        let place = |test: &dyn Fn(&str) -> bool| {
            self.certificates.iter().position(|certificate| certificate.names.iter().any(|name| test(name)))
        };
        let parent = sni.split_once('.').map(|(_, parent)| parent);
        place(&|name| name.eq_ignore_ascii_case(sni))
            .or_else(|| {
                place(&|name| {
                    name.strip_prefix("*.").zip(parent).is_some_and(|(name, parent)| name.eq_ignore_ascii_case(parent))
                })
            })
            .unwrap_or(0)
    }
}

/// What the relay must know of a certificate beside its key.
#[derive(Debug)]
pub struct ServedCertificate {
    /// DNS names (a leading `*.` label included, lower case) and IP addresses of the leaf's SAN.
    pub names: Vec<String>,
    /// Of the leaf.
    pub lifetime: Lifetime,
}

/// How log lines look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// One JSON object per line instead of text for people.
    pub json: bool,
    /// Lines for refused requests per second; the rest are counted.
    pub refusals_per_second: u32,
}

/// Bounds that hold for the whole process.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "docs/config.md has a card for each, under the same name")]
pub struct Limits {
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub handshakes_per_address: Rate,
    pub handshake_timeout: Duration,
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    pub body_grace: Duration,
    /// Bytes per second; 0 asks nothing.
    pub min_body_rate: u64,
    pub idle_timeout: Duration,
    pub write_timeout: Duration,
    pub max_head: usize,
    pub max_headers: usize,
    pub max_body: u64,
    pub body_memory: u64,
    pub max_h2_streams: u32,
    /// How long a stopping relay waits for requests in flight.
    pub drain_timeout: Duration,
    pub dedupe_entries: usize,
}

impl Limits {
    /// The most that one request with a body of this many bytes takes of `body_memory`.
    pub fn largest_request(&self, max_body: u64) -> u64 {
        max_body.saturating_add(2 * self.max_head as u64).saturating_add(REQUEST_MOST)
    }
}

/// How a provider sends a failed request again.
#[derive(Clone, Debug)]
pub struct ProviderRetries {
    /// The provider's name, for people.
    pub provider: String,
    /// From the first attempt to the last one.
    pub span: Duration,
    /// Each carries the first one's time.
    pub keep_time: bool,
}

/// One route, ready to run.
#[derive(Debug)]
pub struct Route {
    /// From `relay.toml`; the metric label.
    pub name: Arc<str>,
    /// For people.
    pub description: Option<String>,
    /// As configured, for people; the route table has its own form.
    pub host: Option<String>,
    /// As configured, for people.
    pub path: String,
    /// The recipe's name; `None` for a scheme written in the file.
    pub provider: Option<Arc<str>>,
    /// Where the recipe knows it.
    pub provider_retries: Option<ProviderRetries>,
    /// Never empty.
    pub methods: Vec<Method>,
    /// `methods` as the `Allow` header has it; lives as long as the process.
    pub allow_header: &'static str,
    /// Who may send; shared by routes that say it alike.
    pub access: Arc<AccessList>,
    /// Whether `access` refuses anybody.
    pub address_check: AddressCheck,
    /// Whether the connection must have shown a client certificate.
    pub client_auth: bool,
    /// Headers that must be there, with the values they may have.
    pub headers: Vec<RequiredHeader>,
    /// What it is going to ask for; refuses nobody.
    pub observed: Option<Box<Observed>>,
    /// Media types that are accepted, lower case, without parameters; `None`: every one.
    pub content_types: Option<Vec<String>>,
    /// Bytes.
    pub max_body: u64,
    /// What the meter allows.
    pub limits: RouteLimits,
    /// Token buckets and the count of requests in flight; shared with older snapshots.
    pub meter: Arc<RouteMeter>,
    /// What its provider asks and the relay answers.
    pub challenges: Vec<RouteChallenge>,
    /// How a request proves that it is genuine.
    pub verify: Verification,
    /// The same as a name that a stored request carries: the shipped recipe's, or that of a scheme of the file with what it
    /// checks; `None` where nothing is verified.
    pub verified_by: Option<Arc<str>>,
    /// How long an id is remembered; `None`: dedupe memory is off for this route.
    pub dedupe: Option<Duration>,
    /// Its share of dedupe memory; outlives a reload.
    pub dedupe_share: Share,
    /// Where genuine requests go.
    pub upstream: Arc<Upstream>,
    /// How the target is written.
    pub forward: Forwarding,
    /// From the end of the head to the answer.
    pub deadline: Duration,
    /// When the sender receives success.
    pub delivery: Delivery,
    /// How often and how long delivery from the store is tried.
    pub retry: Retry,
    /// How many stored requests are delivered at once; 1 where `ordered`.
    pub concurrency: usize,
    /// Stored requests are delivered one after the other, in the order of their acceptance.
    pub ordered: bool,
    /// The history keeps the bodies of delivered and refused requests, so that they can be redelivered and explained.
    pub keep_body: bool,
    /// Failed requests after which the provider gives the endpoint up; from its recipe.
    pub error_budget: Option<u32>,
    /// The failures it was shown lately; shared with older snapshots.
    pub budget: Arc<Budget>,
    /// When the provider's inactivity is worth an alarm.
    pub inactivity_alert: InactivityAlert,
    /// When it usually calls; shared with older snapshots.
    pub baseline: Arc<TrafficBaseline>,
    /// What the sender receives.
    pub answer: AnswerPolicy,
}

impl Route {
    /// Whether bodies are verified in one piece, so that each is copied for that.
    pub fn copies_body(&self) -> bool {
        let own = match &self.verify {
            Verification::Signed(verifier) => verifier.scheme().copies_body(),
            Verification::DangerouslyNone => false,
        };
        let observed = self.observed.as_ref().and_then(|observed| observed.verify.as_ref());
        own || observed.is_some_and(|verifier| verifier.scheme().copies_body())
    }
}

/// How a request proves that it is genuine.
#[derive(Debug)]
pub enum Verification {
    /// By a scheme and its secrets.
    Signed(Box<Verifier>),
    /// Not at all: `verify.dangerously_none = true`.
    DangerouslyNone,
}

/// What a route is going to ask for: each genuine request is judged by it, and what it would refuse is counted and logged.
#[derive(Debug)]
pub struct Observed {
    /// Another scheme, or the same with other secrets.
    pub verify: Option<Box<Verifier>>,
    /// Further headers that must be there.
    pub headers: Vec<RequiredHeader>,
}

/// What comes of an address that a route's lists do not let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressCheck {
    /// It is refused.
    #[default]
    Enforce,
    /// It is counted and logged, and the request goes on: for lists that are being introduced.
    Observe,
}

impl AddressCheck {
    /// As `relay.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// How a request is written toward the upstream.
#[derive(Debug, Default)]
pub struct Forwarding {
    /// The sender's fields that go to the upstream; nothing else of its head does.
    pub fields: FieldList,
    /// Senders whose trace context goes with them; everybody else's starts at the edge.
    pub trust_trace_from: IpSet,
    /// Replaces the path; for a prefix route, what follows the prefix is appended.
    pub path: Option<String>,
    /// Set on the way in, replacing what the sender sent under the same name. The name is as configured.
    pub headers: Vec<(String, Secret)>,
    /// Appended to the query, percent-encoded already.
    pub query: Vec<(String, Secret)>,
    /// Signs what is forwarded with the relay's own key, as Standard Webhooks has it.
    pub sign_with: Option<crate::scheme::UpstreamSigner>,
    /// Query parameters of the sender that hold its secret, by their decoded names. They stay outside.
    pub strip_query: Vec<String>,
    /// Those and the names of `query`, as `signature::spelling::folded` has them: the sender's stay outside in every
    /// spelling.
    pub replaced_query: Vec<Box<[u8]>>,
    /// The sender's `X-Request-Id` is part of what its scheme reads, so it goes to the upstream as it came. The relay's own is
    /// `Relay-Request-Id` there.
    pub keeps_request_id: bool,
}

/// When the sender receives success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// When an internal server took the request.
    Direct,
    /// Then, or when no server did in time and the request is durable.
    Failover,
    /// When the request is durable.
    Queue,
}

impl Delivery {
    /// As `relay.toml` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Failover => "failover",
            Self::Queue => "queue",
        }
    }
}

/// How often and how long delivery from the store is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failed attempt; it doubles, with jitter, up to `max`.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
    /// A failed attempt later than this after the request was received (or revived) is the last, unless it was hardly tried.
    pub give_up_after: Duration,
    /// This many failed attempts are the last; `None`: only time decides.
    pub attempts: Option<u32>,
    /// What one attempt may take.
    pub timeout: Duration,
}

/// When a provider's inactivity is worth an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InactivityAlert {
    /// When it is quiet for clearly longer than it ever was in the last two weeks.
    Baseline,
    /// After this time.
    After(Duration),
    /// Never.
    Off,
}

/// What the sender receives.
#[derive(Debug)]
pub enum AnswerPolicy {
    /// Success is this status and this body, whatever 2xx the upstream gave.
    Fixed(FixedAnswer),
    /// Status, content type and body of the upstream go out (`answer = "upstream"`).
    Upstream,
}

/// An answer known in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedAnswer {
    /// HTTP status.
    pub status: u16,
    /// May be empty.
    pub body: Bytes,
    /// Of a body that is not empty.
    pub content_type: Option<String>,
}

/// A provider's challenge that a route answers.
#[derive(Clone, Debug)]
pub struct RouteChallenge {
    /// How it is recognised and answered.
    pub challenge: Arc<Challenge>,
    /// What the provider must say in it, or what its answer is computed with.
    pub secret: Option<Secret>,
}
