//! What a request looks like toward the inside: the fields that may pass, our own, the target, and our own signature.
//!
//! A request that is delivered while its sender waits and one that comes out of the store are written by the same code from the
//! same facts, so the application cannot tell them apart but by `Relay-Attempt` and `Relay-Replay`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Head, SourceAddress};
use crate::signature::{Resigned, form};
use crate::snapshot::{AnswerPolicy, Route, Verification};
use crate::store::StoredRequest;
use crate::upstream::{Outbound, Received, Undelivered};

use super::dedupe::Fresh;
use super::hops;
use super::record::Record;

/// How much of an upstream's answer goes out on a route with `answer = "upstream"`.
const ANSWER_MAX: usize = 1024 * 1024;

/// A genuine request on its way inward. Nothing else can be sent: one that is here was verified, now or before it was stored.
#[derive(Debug)]
pub struct Inward<'r> {
    head: Cow<'r, Head>,
    suffix: usize,
    source: IpAddr,
    https: bool,
    request_id: &'r str,
    received_at: UnixMillis,
    /// `None` where nothing was verified.
    key: Option<&'r str>,
    dedupe: Option<&'r str>,
    body: &'r Bytes,
    attempt: u32,
    replay: bool,
    /// Somebody waits for the answer.
    live: bool,
}

impl<'r> Inward<'r> {
    /// A request whose sender waits.
    pub(super) fn live(fresh: &'r Fresh<'_>, head: &'r Head, source: SourceAddress, record: &'r Record<'_>) -> Self {
        Self {
            head: Cow::Borrowed(head),
            suffix: fresh.suffix(),
            source: source.ip,
            https: record.https(),
            request_id: record.request_id(),
            received_at: record.received_at(),
            key: fresh.proof().map(|proof| &*proof.key),
            dedupe: fresh.proof().and_then(|proof| proof.dedupe.as_deref()),
            body: fresh.body(),
            attempt: 1,
            replay: false,
            live: true,
        }
    }

    /// A request out of the store. Whoever calls this knows that it passed verification: everything in the spool did. A
    /// token that was blanked before it was stored is put back.
    pub fn stored(route: &Route, request: &'r StoredRequest, attempt: u32, replay: bool) -> Self {
        let key = request.key.as_deref();
        let restored = match &route.verify {
            Verification::Signed(verifier) => key.and_then(|key| verifier.restored(&request.head, key)),
            Verification::DangerouslyNone => None,
        };
        Self {
            head: restored.map_or(Cow::Borrowed(&request.head), Cow::Owned),
            suffix: request.suffix,
            source: request.source,
            https: request.https,
            request_id: &request.request_id,
            received_at: request.received_at,
            key,
            dedupe: request.dedupe.as_deref(),
            body: &request.body,
            attempt,
            replay,
            live: false,
        }
    }

    /// Sends it to the route's upstream. `now` is what our own signature says.
    pub async fn forward(&self, route: &Route, now: UnixMillis, by: Instant) -> Result<Received, Undelivered> {
        let ours = Ours::new(self, route, now);
        let target = target(route, &self.head, self.suffix);
        let headers = self.fields(route, &ours);
        let pass_through = self.live && matches!(route.answer, AnswerPolicy::Upstream);
        let outbound = Outbound {
            method: self.head.method().as_str(),
            target: &target,
            headers: &headers,
            body: self.body.clone(),
            keep_answer: if pass_through { ANSWER_MAX } else { 0 },
            pass_through,
        };
        // Boxed: only a request that is being delivered pays for the size of this future, not every idle connection.
        Box::pin(route.upstream.forward(&outbound, by)).await
    }

    fn fields<'f>(&'f self, route: &'f Route, ours: &'f Ours) -> Vec<(&'f str, &'f [u8])> {
        let mut fields: Vec<(&str, &[u8])> = Vec::with_capacity(self.head.headers().len() + 15);
        fields.extend(self.head.headers().iter().filter(|(name, _)| passes(route, name)));
        fields.push(("X-Forwarded-For", ours.source.as_bytes()));
        fields.push(("X-Forwarded-Proto", if self.https { b"https" } else { b"http" }));
        fields.push(("X-Forwarded-Host", self.head.host().as_bytes()));
        fields.push(("X-Request-Id", self.request_id.as_bytes()));
        fields.push(("Relay-Route", route.name.as_bytes()));
        fields.push(("Relay-Provider", route.provider.as_deref().unwrap_or("custom").as_bytes()));
        if let Some(key) = self.key {
            fields.push(("Relay-Key", key.as_bytes()));
        }
        fields.push(("Relay-Attempt", ours.attempt.as_bytes()));
        if self.replay {
            fields.push(("Relay-Replay", b"true"));
        }
        fields.push((hops::FIELD, ours.hops.as_bytes()));
        fields.push(("Relay-Received-At", ours.received_at.as_bytes()));
        if let Some(resigned) = &ours.resigned {
            fields.push(("webhook-id", resigned.id.as_bytes()));
            fields.push(("webhook-timestamp", resigned.timestamp.as_bytes()));
            fields.push(("webhook-signature", resigned.signature.as_bytes()));
        }
        fields.extend(route.forward.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        fields
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

/// What stands there while our own signature is made: the sender's would be taken for it.
const RESIGNED: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// The values of the fields that the relay sets, as far as they have to be written first.
struct Ours {
    source: String,
    received_at: String,
    attempt: Cow<'static, str>,
    hops: Cow<'static, str>,
    resigned: Option<Resigned>,
}

impl Ours {
    fn new(inward: &Inward<'_>, route: &Route, now: UnixMillis) -> Self {
        // A full stop separates the parts of the signed text, so an id that has one would make it read two ways.
        let id = inward.dedupe.map(bare).filter(|id| !id.contains('.')).unwrap_or(inward.request_id);
        Self {
            source: inward.source.to_string(),
            received_at: rfc3339(inward.received_at),
            attempt: if inward.attempt == 1 { "1".into() } else { inward.attempt.to_string().into() },
            hops: hops::next(&inward.head),
            resigned: route.forward.resign.as_ref().map(|resigner| resigner.sign(id, now, inward.body)),
        }
    }
}

/// Replay memory's name of an id without the letter that says where it stood: `h:evt_1` is the provider's `evt_1`.
fn bare(dedupe: &str) -> &str {
    dedupe.split_once(':').map_or(dedupe, |(_, id)| id)
}

/// An underscore name passes nowhere: many application servers read `X_Signature` and `X-Signature` as one.
fn passes(route: &Route, name: &str) -> bool {
    let resigned = || route.forward.resign.is_some() && RESIGNED.iter().any(|ours| name.eq_ignore_ascii_case(ours));
    !name.contains('_')
        && !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
        && !name.eq_ignore_ascii_case("x-request-id")
        && !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("relay-"))
        && !resigned()
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
