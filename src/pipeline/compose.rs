//! What a request looks like toward the inside: the fields that may pass, our own, the target, and our own signature.
//!
//! A request that is delivered while its sender waits and one that comes out of the store are written by the same code from the
//! same facts, so the application cannot tell them apart but by `Relay-Attempt` and `Relay-Replay`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Head, SourceAddress};
use crate::signature::{Resigned, form};
use crate::snapshot::{AnswerPolicy, Route, Verification};
use crate::store::StoredRequest;
use crate::upstream::{Fields, Outbound, Received, Undelivered};

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

    /// Sends it to the route's upstream, from now until then. `at` is what our own signature says.
    pub async fn forward(
        &self,
        route: &Route,
        at: UnixMillis,
        now: Instant,
        by: Instant,
    ) -> Result<Received, Undelivered> {
        let target = target(route, &self.head, self.suffix);
        let pass_through = self.live && matches!(route.answer, AnswerPolicy::Upstream);
        let outbound = Outbound {
            method: self.head.method().as_str(),
            target: &target,
            headers: self.fields(route, at),
            body: Cow::Borrowed(self.body),
            keep_answer: if pass_through { ANSWER_MAX } else { 0 },
            pass_through,
        };
        // Boxed: only a request that is being delivered pays for the size of this future, not every idle connection.
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
            .for_each(|(name, value)| fields.add(name, value));
        push_ip(fields.line(b"\r\nX-Forwarded-For: "), self.source);
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
        push_number(fields.line(b"\r\nRelay-Attempt: "), self.attempt);
        if self.replay {
            fields.line(b"\r\nRelay-Replay: ").extend_from_slice(b"true");
        }
        push_number(fields.line(b"\r\nRelay-Hops: "), hops::next(&self.head));
        push_rfc3339(fields.line(b"\r\nRelay-Received-At: "), self.received_at);
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

/// Where in it the names of each length begin, and behind the last one its end.
const OF_LENGTH: [u8; LONGEST + 2] = {
    let (mut begins, mut length, mut at) = ([0; LONGEST + 2], 0, 0);
    while length < begins.len() {
        while at < NEVER.len() && NEVER[at].len() < length {
            at += 1;
        }
        begins[length] = at as u8;
        length += 1;
    }
    begins
};
const LONGEST: usize = NEVER[NEVER.len() - 1].len();

fn never(name: &str) -> bool {
    let begin = |length: usize| OF_LENGTH.get(length).map_or(NEVER.len(), |at| usize::from(*at));
    let same_length = NEVER.get(begin(name.len())..begin(name.len() + 1)).unwrap_or_default();
    // The last letter alone rules nearly all of them out.
    let last = |name: &str| name.as_bytes().last().map(u8::to_ascii_lowercase);
    same_length.iter().any(|never| last(never) == last(name) && name.eq_ignore_ascii_case(never))
}

/// Bytes of the fields that the relay sets by itself, more or less.
const OURS: usize = 400;

/// What stands there while our own signature is made: the sender's would be taken for it.
const RESIGNED: [&str; 3] = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/// Replay memory's name of an id without the letter that says where it stood: `h:evt_1` is the provider's `evt_1`.
fn bare(dedupe: &str) -> &str {
    dedupe.split_once(':').map_or(dedupe, |(_, id)| id)
}

/// An underscore name passes nowhere: many application servers read `X_Signature` and `X-Signature` as one.
fn passes(route: &Route, name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    !name.contains('_')
        && !never(name)
        && !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("relay-"))
        && !(route.forward.resign.is_some() && RESIGNED.iter().any(|ours| is(ours)))
        && !route.forward.headers.iter().any(|(set, _)| is(set))
}

/// The configured path with what follows a prefix, or the sender's; the sender's query without what stays outside, plus ours.
fn target<'h>(route: &Route, head: &'h Head, suffix: usize) -> Cow<'h, str> {
    let mut target = received_target(route, head, suffix);
    if !route.forward.query.is_empty() {
        let target = target.to_mut();
        let mut separator = if target.contains('?') { '&' } else { '?' };
        for (name, value) in &route.forward.query {
            let value = std::str::from_utf8(value.expose()).unwrap_or_default();
            let _ = write!(target, "{separator}{name}={value}");
            separator = '&';
        }
    }
    target
}

/// The part of it that the sender chose. `explain` shows this one, and only the names of ours.
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
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !stripped(pair));
    let mut separator = '?';
    for pair in kept {
        target.push(separator);
        target.push_str(pair);
        separator = '&';
    }
    Cow::Owned(target)
}

/// An address as `Display` writes it; the usual kind without the machinery of `fmt`.
fn push_ip(text: &mut Vec<u8>, ip: IpAddr) {
    let IpAddr::V4(ip) = ip else {
        let _ = write!(text, "{ip}");
        return;
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

fn push_number(text: &mut Vec<u8>, number: u32) {
    match u8::try_from(number) {
        Ok(digit @ 0..=9) => text.push(b'0' + digit),
        _ => drop(write!(text, "{number}")),
    }
}

/// `2026-11-22T10:15:30.123Z`. Each thread remembers the second that it wrote last: there are many requests in one.
fn push_rfc3339(text: &mut Vec<u8>, at: UnixMillis) {
    thread_local! {
        static SECOND: Cell<(i64, [u8; 20])> = const { Cell::new((i64::MIN, [0; 20])) };
    }
    let (second, millis) = (at.0.div_euclid(1000), at.0.rem_euclid(1000));
    let (known, start) = SECOND.get();
    if known == second {
        text.extend_from_slice(&start);
        let digit = |of: i64| b'0' + (millis / of % 10) as u8;
        text.extend_from_slice(&[digit(100), digit(10), digit(1), b'Z']);
        return;
    }
    let whole = rfc3339(at);
    text.extend_from_slice(whole.as_bytes());
    // Other years than those of four digits are longer.
    if let (24, Some(start)) = (whole.len(), whole.as_bytes().first_chunk()) {
        SECOND.set((second, *start));
    }
}

fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_they_are_displayed() {
        let octets = [0, 1, 9, 10, 42, 99, 100, 101, 199, 200, 255];
        let v4 = octets.iter().map(|octet| IpAddr::from([*octet, 0, 255, *octet]));
        let v6 = ["::1", "2001:db8::1", "::ffff:192.0.2.1"].iter().map(|ip| ip.parse().unwrap());
        for ip in v4.chain(v6) {
            let mut text = Vec::new();
            push_ip(&mut text, ip);
            assert_eq!(String::from_utf8(text).unwrap(), ip.to_string());
        }
    }

    #[test]
    fn times_are_written_alike_whether_their_second_is_known_or_not() {
        let second = 1_795_342_530_000;
        for at in [second, second + 7, second + 42, second + 999, second + 1000, -1, -1, 0, -62_167_219_200_001] {
            let (mut first, mut again) = (Vec::new(), Vec::new());
            push_rfc3339(&mut first, UnixMillis(at));
            push_rfc3339(&mut again, UnixMillis(at));
            assert_eq!(String::from_utf8(first).unwrap(), rfc3339(UnixMillis(at)), "{at}");
            assert_eq!(String::from_utf8(again).unwrap(), rfc3339(UnixMillis(at)), "{at}, again");
        }
        assert_eq!(rfc3339(UnixMillis(second + 123)), "2026-11-22T10:15:30.123Z");
    }

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 255, 256, u32::MAX] {
            let mut text = Vec::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string().as_bytes());
        }
    }

    #[test]
    fn what_never_passes_is_found_in_any_case_and_nothing_else_is() {
        assert!(NEVER.is_sorted_by_key(|name| name.len()), "the look-up goes by length");
        for name in NEVER {
            assert!(never(name) && never(&name.to_uppercase()), "{name}");
            assert!(!never(&format!("{name}x")) && !never(&format!("x{name}")) && !never(&name[1..]), "{name}");
            assert!(!never(&format!("_{}", &name[1..])), "{name}");
        }
        assert!(!never("") && !never(&"x".repeat(300)));
    }
}
