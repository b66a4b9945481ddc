//! `relay.toml` as it is written: no rules, no defaults, and a place for everything that a rule may reject.
//!
//! A key that is added here is added to the table in `keys.rs` as well: a test compares them.
//!
//! Serde stops at its first error, so this stays lenient (strings, integers, tables) and the rules live in `compile`,
//! which does not stop. Sum types are tables with one key each (`verify.hmac`), never `type = "…"`: only then do places
//! stay exact. An absent list is `None` and an empty one is `Some([])`, because they differ.

mod either;

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub use self::either::{
    RawAddressList, RawAnswer, RawHeaderRule, RawListFile, RawPublicKeyEntry, RawPublicKeySource, RawQuantity,
    RawSecret, RawSecretEntry, RawSecrets, RawValue,
};
use crate::config::recipe::{RawRecipe, RawVerify};

/// A value and its place.
pub type Placed<T> = Option<Spanned<T>>;
/// Named things: the name, with its place, and what it stands for.
pub type Table<T> = BTreeMap<Spanned<String>, T>;
/// Claims by their paths, and the values that are right.
pub type RawClaims = Table<Spanned<Vec<Spanned<String>>>>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawConfig {
    pub reload: Placed<String>,
    pub listeners: Option<Vec<Spanned<RawListener>>>,
    pub admin: Placed<RawAdmin>,
    pub log: Option<RawLog>,
    pub limits: Option<RawLimits>,
    pub store: Placed<RawStore>,
    #[serde(default)]
    pub address_lists: Table<Spanned<RawAddressList>>,
    #[serde(default)]
    pub upstreams: Table<RawUpstream>,
    #[serde(default)]
    pub providers: Table<RawRecipe>,
    #[serde(default)]
    /// In boxes: they are large, and there may be thousands.
    pub routes: Table<Box<RawRoute>>,
}

/// `[[listeners]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawListener {
    pub name: Placed<String>,
    pub address: Placed<String>,
    pub proxy_protocol_from: Option<Vec<Spanned<String>>>,
    pub trust_forwarded_from: Option<Vec<Spanned<String>>>,
    pub deny: Placed<Vec<Spanned<String>>>,
    pub dangerously_plaintext: Placed<bool>,
    pub tls: Placed<RawTls>,
}

/// `[listeners.tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawTls {
    pub min_version: Placed<String>,
    pub certificates: Placed<Vec<Spanned<RawCertificate>>>,
    pub client_auth: Placed<RawClientAuth>,
}

/// `{ chain = "…", key = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawCertificate {
    pub chain: Placed<String>,
    pub key: Placed<RawValue>,
}

/// `client_auth`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawClientAuth {
    pub ca: Placed<String>,
    pub required: Option<bool>,
    pub crls: Placed<Vec<Spanned<String>>>,
    pub expired_crl: Placed<String>,
}

/// `[admin]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawAdmin {
    pub address: Placed<String>,
    pub operators: Placed<Vec<Spanned<String>>>,
    pub readers: Placed<Vec<Spanned<String>>>,
    pub scrape_address: Placed<String>,
    pub dangerously_exposed: Placed<bool>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawLog {
    pub format: Placed<String>,
    pub refusals_per_second: Placed<i64>,
}

/// `[limits]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawLimits {
    pub max_connections: Placed<i64>,
    pub max_connections_per_address: Placed<i64>,
    pub handshakes_per_address: Placed<RawRate>,
    pub handshake_timeout: Placed<RawQuantity>,
    pub head_timeout: Placed<RawQuantity>,
    pub body_timeout: Placed<RawQuantity>,
    pub body_grace: Placed<RawQuantity>,
    pub min_body_rate: Placed<RawQuantity>,
    pub idle_timeout: Placed<RawQuantity>,
    pub write_timeout: Placed<RawQuantity>,
    pub drain_timeout: Placed<RawQuantity>,
    pub max_head: Placed<RawQuantity>,
    pub max_headers: Placed<i64>,
    pub max_body: Placed<RawQuantity>,
    pub body_memory: Placed<RawQuantity>,
    pub max_h2_streams: Placed<i64>,
    pub dedupe_entries: Placed<i64>,
}

/// `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawStore {
    pub sqlite: Placed<RawSqlite>,
    /// Known, and refused: a server that several relays share is not in this version.
    pub postgres: Placed<toml::Value>,
    pub encryption_key: Placed<RawSecrets>,
    pub keep: Option<RawKeep>,
    pub disk_reserve: Placed<RawQuantity>,
    pub refusals_per_second: Placed<i64>,
}

/// `{ path = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawSqlite {
    pub path: Placed<String>,
}

/// `{ age = "…", size = "…" }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawKeep {
    pub age: Placed<RawQuantity>,
    pub size: Placed<RawQuantity>,
}

/// `[upstreams.<name>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawUpstream {
    pub servers: Placed<Vec<Spanned<String>>>,
    pub balance: Placed<String>,
    pub http2: Placed<String>,
    pub connect_timeout: Placed<RawQuantity>,
    pub keepalive: Placed<RawQuantity>,
    pub health: Placed<RawHealth>,
    pub ejection: Placed<RawEjection>,
    pub tls: Placed<RawUpstreamTls>,
}

/// `[upstreams.<name>.health]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawHealth {
    pub path: Placed<String>,
    pub interval: Placed<RawQuantity>,
    pub timeout: Placed<RawQuantity>,
    pub unhealthy_after: Placed<i64>,
    pub healthy_after: Placed<i64>,
}

/// `[upstreams.<name>.ejection]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawEjection {
    pub after_failures: Placed<i64>,
    pub duration: Placed<RawQuantity>,
}

/// `[upstreams.<name>.tls]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawUpstreamTls {
    pub ca: Placed<String>,
    pub client_cert: Placed<String>,
    pub client_key: Placed<RawValue>,
    pub server_name: Placed<String>,
}

/// `[routes.<name>]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawRoute {
    pub description: Option<String>,
    pub path: Placed<String>,
    pub host: Placed<String>,
    pub public_url: Placed<String>,
    pub provider: Placed<String>,
    pub verify: Placed<RawVerify>,
    pub secrets: Placed<Vec<Spanned<RawSecretEntry>>>,
    pub public_keys: Placed<Vec<Spanned<RawPublicKeyEntry>>>,
    pub claims: Option<RawClaims>,
    pub challenge_secret: Placed<RawSecretEntry>,
    pub methods: Placed<Vec<Spanned<String>>>,
    pub allow: Placed<Vec<Spanned<String>>>,
    pub deny: Placed<Vec<Spanned<String>>>,
    pub address_check: Placed<String>,
    pub headers: Option<Table<Spanned<RawHeaderRule>>>,
    pub observe: Placed<RawObserve>,
    pub content_types: Placed<Vec<Spanned<String>>>,
    pub client_auth: Placed<bool>,
    pub max_body: Placed<RawQuantity>,
    pub rate: Placed<RawRate>,
    pub rate_per_source: Placed<RawRate>,
    pub max_in_flight: Placed<i64>,
    pub dedupe: Placed<RawDedupe>,
    pub upstream: Placed<String>,
    pub upstream_path: Placed<String>,
    pub forward_headers: Placed<Vec<Spanned<String>>>,
    pub trust_trace_from: Option<Vec<Spanned<String>>>,
    pub upstream_headers: Option<Table<Spanned<RawValue>>>,
    pub upstream_query: Option<Table<Spanned<RawValue>>>,
    pub sign_with: Placed<Vec<Spanned<RawSecretEntry>>>,
    pub delivery: Placed<String>,
    pub deadline: Placed<RawQuantity>,
    pub ordered: Placed<bool>,
    pub concurrency: Placed<i64>,
    pub retry: Placed<RawRetry>,
    pub keep_body: Placed<bool>,
    pub error_budget: Placed<i64>,
    pub inactivity_alert: Placed<RawQuantity>,
    pub answer: Placed<RawAnswer>,
}

/// `[routes.<name>.observe]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawObserve {
    pub provider: Placed<String>,
    pub verify: Placed<RawVerify>,
    pub secrets: Placed<Vec<Spanned<RawSecretEntry>>>,
    pub public_keys: Placed<Vec<Spanned<RawPublicKeyEntry>>>,
    pub headers: Option<Table<Spanned<RawHeaderRule>>>,
}

/// `{ per_second = …, burst = … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawRate {
    pub per_second: Placed<f64>,
    pub burst: Placed<i64>,
}

/// `{ window = "…" }` or `{ off = true }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawDedupe {
    pub window: Placed<RawQuantity>,
    pub off: Placed<bool>,
}

/// `{ first = "…", max = "…", give_up_after = "…", attempts = …, timeout = "…" }`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawRetry {
    pub first: Placed<RawQuantity>,
    pub max: Placed<RawQuantity>,
    pub give_up_after: Placed<RawQuantity>,
    pub attempts: Placed<i64>,
    pub timeout: Placed<RawQuantity>,
}

/// `{ status = …, body = "…", content_type = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawFixedAnswer {
    pub status: Placed<i64>,
    pub body: Placed<String>,
    pub content_type: Placed<String>,
}
