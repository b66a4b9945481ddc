//! Step 11: toward the inside. The bytes are those that were verified; the fields are those that may pass, plus our own.

use std::fmt::Write as _;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Head, Outcome, SourceAddress};
use crate::signature::form;
use crate::snapshot::{AnswerPolicy, Route};
use crate::upstream::{Outbound, Received};

use super::Reply;
use super::dedupe::Fresh;
use super::record::Record;

/// How much of an upstream's answer goes out on a route with `answer = "upstream"`.
const ANSWER_MAX: usize = 1024 * 1024;

/// A request that an internal server took.
#[derive(Debug)]
pub struct Delivered<'s> {
    fresh: Fresh<'s>,
    received: Received,
}

impl<'s> Delivered<'s> {
    /// Forwards to the route's upstream inside the route's deadline, which runs from the end of the head.
    pub(super) async fn forward(
        fresh: Fresh<'s>,
        head: &Head,
        source: SourceAddress,
        record: &mut Record<'_>,
    ) -> Result<Self, Outcome> {
        let route = fresh.route();
        let ours = Ours::new(&fresh, source, record);
        let target = target(route, head, fresh.suffix());
        let headers = fields(route, head, &ours);
        let pass_through = matches!(route.answer, AnswerPolicy::Upstream);
        let outbound = Outbound {
            method: head.method().as_str(),
            target: &target,
            headers: &headers,
            body: fresh.body().clone(),
            keep_answer: if pass_through { ANSWER_MAX } else { 0 },
            pass_through,
        };
        let sent = Instant::now();
        // Boxed: only a request that is being delivered pays for the size of this future, not every idle connection.
        let result = Box::pin(route.upstream.forward(&outbound, record.started() + route.deadline)).await;
        record.forwarded(&result, sent.elapsed());
        match result {
            Ok(received) => Ok(Self { fresh, received }),
            Err(undelivered) => Err(undelivered.fault.into()),
        }
    }

    /// Remembers a success; what the inside refused may come again.
    pub(super) fn commit(self, now: UnixMillis) -> Reply {
        let pass_through = matches!(self.fresh.route().answer, AnswerPolicy::Upstream);
        if (200..300).contains(&self.received.status) {
            self.fresh.commit(now);
        }
        if pass_through { Reply::Upstream(self.received) } else { Reply::Standard }
    }
}

/// Fields that describe one hop, or that steer an application behind the relay's back. They never pass.
const NEVER: [&str; 27] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// The values of the fields that the relay sets.
struct Ours<'a> {
    source: String,
    scheme: &'static [u8],
    received_at: String,
    request_id: &'a str,
    provider: &'a str,
    /// `None` where nothing was verified.
    key: Option<&'a str>,
}

impl<'a> Ours<'a> {
    fn new(fresh: &'a Fresh<'_>, source: SourceAddress, record: &'a Record<'_>) -> Self {
        Self {
            source: source.ip.to_string(),
            scheme: record.scheme(),
            received_at: rfc3339(record.received_at()),
            request_id: record.request_id(),
            provider: fresh.route().provider.as_deref().unwrap_or("custom"),
            key: fresh.proof().map(|proof| &*proof.key),
        }
    }
}

fn fields<'a>(route: &'a Route, head: &'a Head, ours: &'a Ours<'_>) -> Vec<(&'a str, &'a [u8])> {
    let mut fields: Vec<(&str, &[u8])> = Vec::with_capacity(head.headers().len() + 10);
    fields.extend(head.headers().iter().filter(|(name, _)| passes(route, name)));
    fields.push(("X-Forwarded-For", ours.source.as_bytes()));
    fields.push(("X-Forwarded-Proto", ours.scheme));
    fields.push(("X-Forwarded-Host", head.host().as_bytes()));
    fields.push(("X-Request-Id", ours.request_id.as_bytes()));
    fields.push(("Relay-Route", route.name.as_bytes()));
    fields.push(("Relay-Provider", ours.provider.as_bytes()));
    if let Some(key) = ours.key {
        fields.push(("Relay-Key", key.as_bytes()));
    }
    fields.push(("Relay-Attempt", b"1"));
    fields.push(("Relay-Received-At", ours.received_at.as_bytes()));
    fields.extend(route.forward.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
    fields
}

/// An underscore name passes nowhere: many application servers read `X_Signature` and `X-Signature` as one.
fn passes(route: &Route, name: &str) -> bool {
    !name.contains('_')
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
        && !name.eq_ignore_ascii_case("x-request-id")
        && !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("relay-"))
        && !route.forward.headers.iter().any(|(set, _)| name.eq_ignore_ascii_case(set))
}

/// The configured path with what follows a prefix, or the sender's; the sender's query without what stays outside, plus ours.
fn target(route: &Route, head: &Head, suffix: usize) -> String {
    let mut target = received_target(route, head, suffix);
    let mut separator = if target.contains('?') { '&' } else { '?' };
    for (name, value) in &route.forward.query {
        let value = std::str::from_utf8(value.expose()).unwrap_or_default();
        let _ = write!(target, "{separator}{name}={value}");
        separator = '&';
    }
    target
}

/// The part of it that the sender chose. `explain` shows this one, and only the names of ours.
pub(crate) fn received_target(route: &Route, head: &Head, suffix: usize) -> String {
    let received = head.path();
    let mut target = match &route.forward.path {
        Some(path) => {
            let rest = received.len().checked_sub(suffix).and_then(|at| received.get(at..)).unwrap_or_default();
            format!("{path}{rest}")
        }
        None => received.to_owned(),
    };
    // Every spelling that verification would take for the name is the name: `api%2Dkey` holds the same secret.
    let stripped = |pair: &str| route.forward.strip_query.iter().any(|name| form::is_named(pair.as_bytes(), name));
    let kept = head.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !stripped(pair));
    let mut separator = '?';
    for pair in kept {
        target.push(separator);
        target.push_str(pair);
        separator = '&';
    }
    target
}

/// `2026-11-22T10:15:30.123Z`.
pub(crate) fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
