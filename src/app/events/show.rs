//! A stored row as it may be shown: everything but what verifies a request.

use std::time::Duration;

use crate::admin::events::{AttemptView, EventDetail, EventRow, FieldView, HeadView, MASK, ReplayReport, TookView};
use crate::base::UnixMillis;
use crate::delivery::Replayed;
use crate::domain::Head;
use crate::signature::form;
use crate::snapshot::{Snapshot, Verification};
use crate::store::{Attempt, Entry, Event};

/// A row of a list.
pub(super) fn row(event: &Event) -> EventRow {
    let Event { outcome, reason, via, entry, stage, due, has_body, .. } = event;
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    let boxed = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let head = entry.head.as_ref();
    EventRow {
        id: entry.request_id.to_string(),
        received_at: rfc3339(entry.received_at),
        listener: entry.listener.to_string(),
        route: text(&entry.route),
        provider: text(&entry.provider),
        method: entry.method.as_str().to_owned(),
        version: entry.version.as_str().to_owned(),
        path: head.map(|head| head.path().to_owned()),
        host: head.map(|head| head.host().to_owned()),
        source: entry.source.to_string(),
        via: via.to_string(),
        allowed_by: boxed(&entry.allowed_by),
        outcome: outcome.to_string(),
        reason: Some(reason.to_string()).filter(|reason| !reason.is_empty()),
        status: entry.status,
        state: stage.map(|stage| stage.as_str().to_owned()),
        key: text(&entry.key),
        dedupe: boxed(&entry.dedupe),
        timestamp: entry.timestamp.map(rfc3339),
        body_bytes: entry.body_bytes,
        has_body: *has_body,
        upstream: text(&entry.upstream),
        server: text(&entry.server),
        upstream_status: entry.upstream_status,
        attempts: entry.attempts,
        detail: boxed(&entry.detail),
        due: due.map(rfc3339),
    }
}

/// A row with all that is known of it.
pub(super) fn detail(event: &Event, snapshot: &Snapshot) -> EventDetail {
    let Entry { head, took, sensitive, .. } = &event.entry;
    EventDetail {
        row: row(event),
        head: head.as_ref().map(|head| self::head(head, &Veil::of(sensitive, snapshot))),
        took: TookView {
            read_ms: millis(took.read),
            verify_ms: millis(took.verify),
            forward_ms: millis(took.forward),
            total_ms: millis(took.total),
        },
        history: event.history.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> AttemptView {
    let Attempt { number, at, kind, server, status, fault, detail, took } = attempt;
    AttemptView {
        number: *number,
        at: rfc3339(*at),
        kind: kind.as_str().to_owned(),
        server: server.as_deref().map(str::to_owned),
        status: *status,
        fault: fault.map(|fault| fault.code().to_owned()),
        detail: detail.as_deref().map(str::to_owned),
        took_ms: millis(*took),
    }
}

pub(super) fn replayed(id: &str, replayed: &Replayed) -> ReplayReport {
    let Replayed { attempt, server, status, fault, detail, took, timestamp_fresh } = replayed;
    ReplayReport {
        id: id.to_owned(),
        delivered: fault.is_none(),
        attempt: *attempt,
        server: server.as_deref().map(str::to_owned),
        status: *status,
        fault: fault.map(|fault| fault.code().to_owned()),
        detail: detail.as_deref().map(str::to_owned),
        took_ms: millis(*took),
        timestamp_fresh: *timestamp_fresh,
    }
}

fn head(head: &Head, veil: &Veil<'_>) -> HeadView {
    let field = |(name, value): (&str, &[u8])| {
        let masked = veil.header(name);
        let value = if masked { MASK.to_owned() } else { String::from_utf8_lossy(value).into_owned() };
        FieldView { name: name.to_owned(), value, masked }
    };
    let mut target = head.path().to_owned();
    if let Some(query) = head.query() {
        target.push('?');
        target.push_str(&veil.query(query));
    }
    HeadView {
        method: head.method().as_str().to_owned(),
        target,
        host: head.host().to_owned(),
        headers: head.headers().iter().map(field).collect(),
    }
}

/// What is not shown: what verified the request when it came; what verifies requests now, on any route, because a sender
/// that mixes two routes up sends one's secret to the other; and what its name gives away.
struct Veil<'s> {
    headers: Vec<&'s str>,
    parameters: Vec<&'s str>,
}

/// Fields that hold credentials, whatever a scheme says.
const CREDENTIALS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
/// Parts of names that give a secret or a signature away.
const TELLING: [&str; 9] = ["sign", "hmac", "secret", "token", "passw", "credential", "api-key", "api_key", "apikey"];
/// Names that end like one of a secret, and are none.
const INNOCENT: [&str; 1] = ["idempotency-key"];

impl<'s> Veil<'s> {
    fn of(sensitive: &'s [Box<str>], snapshot: &'s Snapshot) -> Self {
        let mut veil = Self { headers: Vec::new(), parameters: Vec::new() };
        for name in sensitive {
            match name.strip_prefix('?') {
                Some(parameter) => veil.parameters.push(parameter),
                None => veil.headers.push(name),
            }
        }
        for route in snapshot.routes.iter() {
            if let Verification::Signed(verifier) = &route.verify {
                veil.headers.extend(verifier.scheme().redacted_headers());
                veil.parameters.extend(verifier.scheme().redacted_query_parameters());
            }
            veil.parameters.extend(route.forward.strip_query.iter().map(String::as_str));
        }
        veil
    }

    fn header(&self, name: &str) -> bool {
        self.headers.iter().chain(&CREDENTIALS).any(|known| name.eq_ignore_ascii_case(known)) || telling(name)
    }

    /// Every spelling that verification would take for the name is the name.
    fn query(&self, query: &str) -> String {
        let pair = |pair: &str| {
            let name = pair.split_once('=').map(|(name, _)| name);
            let known = self.parameters.iter().any(|known| form::is_named(pair.as_bytes(), known));
            // What has an escape in its name is not read further: it may be any name.
            match name {
                Some(name) if known || telling(name) || name.contains('%') => format!("{name}={MASK}"),
                _ => pair.to_owned(),
            }
        };
        query.split('&').map(pair).collect::<Vec<_>>().join("&")
    }
}

fn telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let tells = TELLING.iter().any(|part| name.contains(part)) || name.ends_with("key");
    tells && !INNOCENT.contains(&&*name)
}

/// `2026-11-22T10:15:30.123Z`.
fn rfc3339(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
