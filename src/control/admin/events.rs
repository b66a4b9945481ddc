//! The history as the admin listener shows it: `/api/v1/events` and what stands below it.
//!
//! Members may be added; none is renamed or changes its type within `v1`. `docs/openapi.json` describes every one, and a test
//! holds real answers against it. Values that verify a request never appear: they are `***`.

mod answer;
pub(super) mod filter;
mod wait;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::UnixMillis;
use crate::domain::HistoryOutcome;
use crate::gate::explain::EventExplanation;
use crate::store::{ActionPage, ActionQuery, Bookmark, Cursor, Query};

pub(crate) use answer::is_id;
pub(super) use answer::{
    Count, Token, body, discard, event, events, explanation, export, failure, of_export, redeliver, retry,
    retry_waiting,
};
pub(super) use wait::Waiting;

/// An answer under way.
pub type Asking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denied>> + Send + 'a>>;

/// Ids, and where to go on; `None`: nobody knows any more.
pub type Recorded = Option<(Vec<Box<str>>, Bookmark)>;

/// Where events come from, and who sends them to the upstream again.
pub trait EventSource: Send + Sync + 'static {
    /// The time that "2 h ago" is judged by.
    fn now(&self) -> UnixMillis;
    /// A page of the history.
    fn page(&self, query: Query) -> Asking<'_, Listed>;
    /// Where the recording of events stands.
    fn bookmark(&self) -> Result<Bookmark, Denied>;
    /// Ids of at most this many that were recorded since, as soon as there are some; see [`crate::store::Store`].
    fn recorded_since(&self, since: Bookmark, most: usize, wait: Duration) -> Asking<'_, Recorded>;
    /// One row with all that is known of it.
    fn event<'a>(&'a self, id: &'a str) -> Asking<'a, EventDetail>;
    /// Its body as received, but for tokens.
    fn body<'a>(&'a self, id: &'a str) -> Asking<'a, Bytes>;
    /// Why it was taken or refused.
    fn explanation<'a>(&'a self, id: &'a str) -> Asking<'a, EventExplanation>;
    /// Sends it to the upstream once more, now.
    fn redeliver<'a>(&'a self, id: &'a str) -> Asking<'a, RedeliveryReport>;
    /// Makes a dead letter wait for delivery again, and tries one that waits now.
    fn retry<'a>(&'a self, id: &'a str) -> Asking<'a, ()>;
    /// Gives a waiting request or a dead letter up.
    fn discard<'a>(&'a self, id: &'a str) -> Asking<'a, ()>;
    /// Tries what waits now, whatever it waits for. Gives the number of requests that waited.
    fn retry_waiting(&self, whose: Whose) -> Asking<'_, u64>;
    /// A page of what was done over the admin socket.
    fn actions(&self, query: ActionQuery) -> Asking<'_, ActionPage>;
    /// One more body was read that belongs to this export.
    fn exported(&self, token: &str);
}

/// Whose waiting requests are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of every route.
    All,
    /// Of this route.
    Route(String),
    /// Of every route of this upstream.
    Upstream(String),
}

/// Some rows, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// In the order that was asked for.
    pub events: Vec<EventRow>,
    /// `None`: that was all.
    pub next: Option<Cursor>,
}

/// Why there is no answer. The codes are part of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// A parameter is unknown or has a bad value.
    BadParameter(String),
    /// Over TCP there are metrics and health alone.
    ScrapeOnly,
    /// The caller is no operator.
    NotOperator,
    /// The caller is no reader.
    NotReader,
    /// The configuration has no `[store]`.
    NoStore,
    /// No such version of the configuration.
    VersionUnknown,
    /// No such event.
    Unknown,
    /// Its body was not kept, or is gone by now.
    BodyNotKept,
    /// It never passed verification, so it is never forwarded.
    Unverified,
    /// It was verified by something else than its route asks for now.
    VerifiedOtherwise,
    /// The configuration has no route of its name any more.
    RouteGone,
    /// The configuration has no such route.
    RouteUnknown,
    /// The configuration has no such upstream.
    UpstreamUnknown,
    /// It waits for delivery: the relay sends it by itself.
    Waiting,
    /// It is a dead letter: retry it instead.
    Dead,
    /// A retry of what neither waits nor is dead.
    NotRetryable,
    /// A discard of what neither waits nor is dead.
    NotWaiting,
    /// Too many are at work on the same; ask again.
    Busy,
    /// The store could not be read or written.
    StoreFailed,
}

impl Denied {
    /// The code of the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadParameter(_) => "bad_parameter",
            Self::ScrapeOnly => "scrape_only",
            Self::NotOperator => "not_operator",
            Self::NotReader => "not_reader",
            Self::NoStore => "no_store",
            Self::VersionUnknown => "unknown_version",
            Self::Unknown => "unknown_event",
            Self::BodyNotKept => "body_not_kept",
            Self::Unverified => "unverified",
            Self::VerifiedOtherwise => "verified_otherwise",
            Self::RouteGone => "route_gone",
            Self::RouteUnknown => "unknown_route",
            Self::UpstreamUnknown => "unknown_upstream",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::NotRetryable => "not_retryable",
            Self::NotWaiting => "not_waiting",
            Self::Busy => "busy",
            Self::StoreFailed => "store_failed",
        }
    }

    /// For people.
    pub fn text(&self) -> &str {
        match self {
            Self::BadParameter(what) => what,
            Self::ScrapeOnly => "this address answers /metrics, /healthz and /readyz only; use the Unix socket",
            Self::NotOperator => {
                "this needs the role operator: add \"user:NAME\" or \"group:NAME\" to operators in [admin], or use sudo"
            }
            Self::NotReader => {
                "this shows a body and needs the role reader: add \"user:NAME\" or \"group:NAME\" to readers in [admin], \
                 or use sudo"
            }
            Self::NoStore => "no store is configured: add [store]",
            Self::VersionUnknown => "no version with this number is kept",
            Self::Unknown => "there is no event with this id",
            Self::BodyNotKept => "its body was not kept; keep_body = true on the route keeps those to come",
            Self::Unverified => "it never passed verification, so it is never forwarded",
            Self::VerifiedOtherwise => "it was verified by something else than its route asks for now",
            Self::RouteGone => "the configuration has no route of its name any more",
            Self::RouteUnknown => "the configuration has no such route",
            Self::UpstreamUnknown => "the configuration has no such upstream",
            Self::Waiting => "it waits for delivery; events retry tries it now, events retry --waiting all that wait",
            Self::Dead => "it is a dead letter; `events retry` queues it again",
            Self::NotRetryable => "it neither waits for its next attempt nor is a dead letter",
            Self::NotWaiting => "it neither waits for delivery nor is a dead letter",
            Self::Busy => "too many requests of this kind are under way; ask again",
            Self::StoreFailed => "the store could not be read or written; the log says why",
        }
    }
}

/// The body of an answer that is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For people.
    pub error: String,
    /// For programs: [`Denied::code`].
    pub code: String,
}

/// `GET /api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    /// May be empty although there is more.
    pub events: Vec<EventRow>,
    /// For `after=`; `null` when that was all.
    pub next: Option<String>,
}

/// One row. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "docs/openapi.json explains each, docs/operating.md most under the same name")]
pub struct EventRow {
    pub id: String,
    pub received_at: String,
    pub listener: String,
    pub route: Option<String>,
    pub provider: Option<String>,
    pub method: String,
    pub version: String,
    pub path: Option<String>,
    pub host: Option<String>,
    pub source: String,
    pub via: String,
    pub allowed_by: Option<String>,
    pub outcome: HistoryOutcome,
    pub reason: Option<String>,
    pub status: u16,
    /// `waiting`, or `dead` after the last attempt; `null` otherwise.
    pub state: Option<String>,
    pub key: Option<String>,
    pub dedupe: Option<String>,
    pub timestamp: Option<String>,
    pub body_bytes: u64,
    pub has_body: bool,
    pub upstream: Option<String>,
    pub server: Option<String>,
    pub upstream_status: Option<u16>,
    pub attempts: u32,
    pub detail: Option<String>,
    /// When it is tried next, while it waits.
    pub due: Option<String>,
}

/// `GET /api/v1/events/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventDetail {
    /// The row as in a list.
    #[serde(flatten)]
    pub row: EventRow,
    /// `None` for what never became a head.
    pub head: Option<HeadView>,
    /// How long its parts took.
    pub took: TookView,
    /// Attempts beyond the first, and every failed one.
    pub history: Vec<AttemptView>,
}

/// A head, with every value that verifies masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// The request method.
    pub method: String,
    /// Path and query as received.
    pub target: String,
    /// As the sender named it.
    pub host: String,
    /// In the order in which they came.
    pub headers: Vec<FieldView>,
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldView {
    /// As the sender wrote it.
    pub name: String,
    /// What is no UTF-8 is replaced.
    pub value: String,
    /// The value is not shown because it verifies the request.
    pub masked: bool,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the log has them under the same names")]
pub struct TookView {
    pub read_ms: f64,
    pub verify_ms: f64,
    pub forward_ms: f64,
    pub total_ms: f64,
}

/// One attempt to deliver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub struct AttemptView {
    pub number: u32,
    pub at: String,
    /// `direct`, `spooled` or `redeliver`.
    pub kind: String,
    pub server: Option<String>,
    pub status: Option<u16>,
    /// `null`: it was taken.
    pub fault: Option<String>,
    pub detail: Option<String>,
    pub took_ms: f64,
}

/// `POST /api/v1/events/{id}/redeliver`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedeliveryReport {
    /// The event.
    pub id: String,
    /// An internal server took it.
    pub delivered: bool,
    /// What the application read in `Relay-Attempt`.
    pub attempt: u32,
    /// The last server tried.
    pub server: Option<String>,
    /// What it answered.
    pub status: Option<u16>,
    /// `null`: it was taken.
    pub fault: Option<String>,
    /// The upstream library's own words on a fault.
    pub detail: Option<String>,
    /// How long it took.
    pub took_ms: f64,
    /// Whether an application that checks the provider's timestamp again would still take it; `null` where the scheme has
    /// none.
    pub timestamp_fresh: Option<bool>,
}

/// `POST /api/v1/events/{id}/retry` and `/discard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The event.
    pub id: String,
    /// `waiting` after a retry, `discarded` after a discard.
    pub state: String,
}

/// `POST /api/v1/exports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exporting {
    /// For `export=` of each body.
    pub export: String,
}

/// `POST /api/v1/waiting/retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Requests that waited and are tried now.
    pub waiting: u64,
}
