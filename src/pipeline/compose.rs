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
use crate::base::text::{self, Text};
use crate::domain::{Head, Sends, SourceAddress};
use crate::signature::{Resigned, form};
use crate::snapshot::{AnswerPolicy, Route};
use crate::store::StoredRequest;
use crate::upstream::{Fields, Outbound, Received, Undelivered};

use super::dedupe::Fresh;
use super::hops;
use super::record::Record;

/// The largest body that goes out on a route with `answer = "upstream"`.
const ANSWER_MAX: usize = 1024 * 1024;

/// A genuine request on its way inward. Nothing else can be sent: one that is here was verified, now or before it was stored.
#[derive(Debug)]
pub struct Inward<'r> {
    head: &'r Head,
    suffix: usize,
    source: IpAddr,
    https: bool,
    request_id: &'r str,
    received_at: UnixMillis,
    /// `None` where nothing was verified.
    key: Option<&'r str>,
    dedupe: Option<&'r str>,
    body: &'r Bytes,
    sends: &'r Sends,
    replay: bool,
    /// Somebody waits for the answer.
    live: bool,
}

impl<'r> Inward<'r> {
    /// A request whose sender waits.
    pub(super) fn live(fresh: &'r Fresh<'_>, head: &'r Head, source: SourceAddress, record: &'r Record<'_>) -> Self {
        Self {
            head,
            suffix: fresh.suffix(),
            source: source.ip,
            https: record.https(),
            request_id: record.request_id(),
            received_at: record.received_at(),
            key: fresh.proof().map(|proof| &*proof.key),
            dedupe: fresh.proof().and_then(|proof| proof.dedupe.as_deref()),
            body: fresh.body(),
            sends: record.sends(),
            replay: false,
            live: true,
        }
    }

    /// A request out of the store, with what was blanked in it: see [`super::held::restored`]. Whoever calls this knows that it
    /// passed verification: everything in the spool did.
    pub fn stored(request: &'r StoredRequest, sends: &'r Sends, replay: bool) -> Self {
        Self {
            head: &request.head,
            suffix: request.suffix,
            source: request.source,
            https: request.https,
            request_id: &request.request_id,
            received_at: request.received_at,
            key: request.key.as_deref(),
            dedupe: request.dedupe.as_deref(),
            body: &request.body,
            sends,
            replay,
            live: false,
        }
    }

    /// Sends it to the route's upstream, from now until then. `at` is what our own signature says.
    pub async fn forward(
        &self,
        route: &Route,
        at: UnixMillis,
        now: Instant,
        by: Instant,
    ) -> Result<Received, Undelivered> {
        let target = target(route, self.head, self.suffix);
        let pass_through = self.live && matches!(route.answer, AnswerPolicy::Upstream);
        let outbound = Outbound {
            method: self.head.method().as_str(),
            target: &target,
            headers: self.fields(route, at),
            body: Cow::Borrowed(self.body),
            sends: Some(self.sends),
            pass_through: pass_through.then_some(ANSWER_MAX),
        };
        // Boxed: it is copied once where it begins, and the future of a whole request is no larger for it.
        Box::pin(route.upstream.forward(&outbound, now, by)).await
    }

    fn fields(&self, route: &Route, at: UnixMillis) -> Fields {
        let set = &route.forward.headers;
        let room = set.iter().map(|(name, value)| name.len() + value.expose().len() + 4).sum::<usize>();
        let mut fields = Fields::with_capacity(self.head.footprint() + room + OURS);
        self.head
            .headers()
            .iter()
            .filter(|(name, _)| passes(route, name))
            .for_each(|(name, value)| fields.add_unless_underscored(name, value));
        fields.line(b"\r\nX-Forwarded-For: ").extend_from_slice(text::address(self.source).as_bytes());
        let scheme: &[u8] = if self.https { b"https" } else { b"http" };
        fields.line(b"\r\nX-Forwarded-Proto: ").extend_from_slice(scheme);
        fields.line(b"\r\nX-Forwarded-Host: ").extend_from_slice(self.head.host().as_bytes());
        fields.line(b"\r\nX-Request-Id: ").extend_from_slice(self.request_id.as_bytes());
        fields.line(b"\r\nRelay-Route: ").extend_from_slice(route.name.as_bytes());
        let provider = route.provider.as_deref().unwrap_or("custom");
        fields.line(b"\r\nRelay-Provider: ").extend_from_slice(provider.as_bytes());
        if let Some(key) = self.key {
            fields.line(b"\r\nRelay-Key: ").extend_from_slice(key.as_bytes());
        }
        if self.replay {
            fields.line(b"\r\nRelay-Replay: ").extend_from_slice(b"true");
        }
        text::push_number(fields.line(b"\r\nRelay-Hops: "), hops::next(self.head));
        let received_at = text::rfc3339(self.received_at);
        let received_at = received_at.as_ref().map(Text::as_bytes).unwrap_or_default();
        fields.line(b"\r\nRelay-Received-At: ").extend_from_slice(received_at);
        if let Some(resigned) = self.resigned(route, at) {
            fields.line(b"\r\nwebhook-id: ").extend_from_slice(resigned.id.as_bytes());
            fields.line(b"\r\nwebhook-timestamp: ").extend_from_slice(resigned.timestamp.as_bytes());
            fields.line(b"\r\nwebhook-signature: ").extend_from_slice(resigned.signature.as_bytes());
        }
        set.iter().for_each(|(name, value)| fields.add(name, value.expose()));
        fields
    }

    fn resigned(&self, route: &Route, at: UnixMillis) -> Option<Resigned> {
        let resigner = route.forward.resign.as_ref()?;
        // A full stop separates the parts of the signed text, so an id that has one would make it read two ways.
        let id = self.dedupe.map(bare).filter(|id| !id.contains('.')).unwrap_or(self.request_id);
        Some(resigner.sign(id, at, self.body))
    }
}

/// Fields that describe one hop, that steer an application behind the relay's back, or that the relay writes itself. They
/// never pass. The shortest first, so that a name is compared with those of its length only.
const NEVER: [&str; 28] = [
    "te",
    "via",
    "host",
    "expect",
    "trailer",
    "upgrade",
    "forwarded",
    "x-real-ip",
    "connection",
    "keep-alive",
    "x-request-id",
    "x-rewrite-url",
    "x-http-method",
    "content-length",
    "true-client-ip",
    "x-original-url",
    "x-forwarded-for",
    "proxy-connection",
    "x-forwarded-host",
    "x-forwarded-port",
    "cf-connecting-ip",
    "transfer-encoding",
    "x-forwarded-proto",
    "x-method-override",
    "proxy-authenticate",
    "x-forwarded-server",
    "proxy-authorization",
    "x-http-method-override",
];

/// How many of them are shorter than so many bytes.
#[expect(clippy::indexing_slicing, reason = "worked out by the compiler, which would refuse a place that is not there")]
const SHORTER: [u8; 25] = {
    let (mut shorter, mut length, mut at) = ([0; 25], 0, 0);
    while length < shorter.len() {
        while at < NEVER.len() && NEVER[at].len() < length {
            at += 1;
        }
        shorter[length] = at as u8;
        length += 1;
    }
    shorter
};

fn never(name: &str) -> bool {
    let shorter = |length: usize| SHORTER.get(length).map_or(NEVER.len(), |count| usize::from(*count));
    let same_length = NEVER.get(shorter(name.len())..shorter(name.len() + 1)).unwrap_or_default();
    // The last letter alone rules nearly all of them out.
    let last = name.as_bytes().last().map(u8::to_ascii_lowercase);
    same_length.iter().any(|never| never.as_bytes().last().copied() == last && name.eq_ignore_ascii_case(never))
}

/// Bytes of the fields that the relay sets by itself, more or less.
const OURS: usize = 400;

/// What stands there while our own signature is made: the sender's would be taken for it.
const RESIGNED: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Replay memory's name of an id without the letter that says where it stood: `h:evt_1` is the provider's `evt_1`.
fn bare(dedupe: &str) -> &str {
    dedupe.split_once(':').map_or(dedupe, |(_, id)| id)
}

/// Whether a field of the sender's goes on, its underscores aside.
fn passes(route: &Route, name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let is_relays = name.as_bytes().first_chunk().is_some_and(|start: &[u8; 6]| start.eq_ignore_ascii_case(b"relay-"));
    let is_resigned = || route.forward.resign.is_some() && RESIGNED.iter().any(|ours| is(ours));
    let is_set = || route.forward.headers.iter().any(|(set, _)| is(set));
    let stays_out = never(name) || is_relays || is_resigned() || is_set();
    !stays_out
}

/// The configured path with what follows a prefix, or the sender's; the sender's query without what stays outside, plus ours.
fn target<'h>(route: &Route, head: &'h Head, suffix: usize) -> Cow<'h, str> {
    let mut target = received_target(route, head, suffix);
    if !route.forward.query.is_empty() {
        let target = target.to_mut();
        let mut separator = match target.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        for (name, value) in &route.forward.query {
            let value = std::str::from_utf8(value.expose()).unwrap_or_default();
            let _ = write!(target, "{separator}{name}={value}");
            separator = "&";
        }
    }
    target
}

/// The part of it that the sender chose: as it was sent, but for what stays outside. `explain` shows this one, and only the names of ours.
pub(crate) fn received_target<'h>(route: &Route, head: &'h Head, suffix: usize) -> Cow<'h, str> {
    let received = head.path();
    let path = match &route.forward.path {
        Some(path) => {
            let rest = received.len().checked_sub(suffix).and_then(|at| received.get(at..)).unwrap_or_default();
            Cow::Owned(format!("{path}{rest}"))
        }
        None => Cow::Borrowed(received),
    };
    let Some(query) = head.query() else { return path };
    let mut target = path.into_owned();
    // Every spelling that verification would take for the name is the name: `api%2Dkey` holds the same secret.
    let stripped = |pair: &str| route.forward.strip_query.iter().any(|name| form::is_named(pair.as_bytes(), name));
    // A member that goes takes one separator along, and the rest stays as it was, empty members and all.
    let kept = query.split('&').filter(|pair| !stripped(pair));
    for (separator, pair) in std::iter::once('?').chain(std::iter::repeat('&')).zip(kept) {
        target.push(separator);
        target.push_str(pair);
    }
    Cow::Owned(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_passes_is_found_in_any_case_and_nothing_else_is() {
        assert!(NEVER.is_sorted_by_key(|name| name.len()), "the look-up goes by length");
        for name in NEVER {
            assert!(never(name) && never(&name.to_uppercase()), "{name}");
            let rest: String = name.chars().skip(1).collect();
            for other in [format!("{name}x"), format!("x{name}"), format!("_{rest}"), rest] {
                assert!(!never(&other), "{other}");
            }
        }
        assert!(!never("") && !never(&"x".repeat(300)));
    }
}
