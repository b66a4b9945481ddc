//! A stored row as it may be shown: everything but what verifies a request.

use std::time::Duration;

use crate::control::admin::events::{
    AttemptView, EventDetail, EventRow, FieldView, HeadView, RedeliveryReport, TookView,
};
use crate::delivery::Redelivered;
use crate::domain::sensitive::{MASK, View};
use crate::domain::{Head, Sensitive};
use crate::store::{Attempt, Entry, Event};

/// A row of a list.
pub(super) fn row(event: &Event, sensitive: &Sensitive) -> EventRow {
    let Event { reason, via, entry, stage, due, has_body, .. } = event;
    let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
    let boxed = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
    let view = entry.head.as_ref().map(|head| sensitive.view(head, &entry.marks));
    EventRow {
        id: entry.request_id.to_string(),
        received_at: format!("{:.3}", entry.received_at),
        listener: entry.listener.to_string(),
        route: text(&entry.route),
        provider: text(&entry.provider),
        method: entry.method.as_str().to_owned(),
        version: entry.version.as_str().to_owned(),
        path: view.as_ref().map(|view| view.path().into_owned()),
        host: view.as_ref().map(|view| view.host().to_owned()),
        source: entry.source.to_string(),
        via: via.to_string(),
        allowed_by: boxed(&entry.allowed_by),
        outcome: entry.outcome,
        reason: Some(reason.to_string()).filter(|reason| !reason.is_empty()),
        status: entry.status,
        state: stage.map(|stage| stage.as_str().to_owned()),
        key: text(&entry.key),
        dedupe: boxed(&entry.dedupe),
        timestamp: entry.timestamp.map(|at| format!("{at:.3}")),
        body_bytes: entry.body_bytes,
        has_body: *has_body,
        upstream: text(&entry.upstream),
        server: text(&entry.server),
        upstream_status: entry.upstream_status,
        attempts: entry.attempts,
        detail: boxed(&entry.detail),
        due: due.map(|at| format!("{at:.3}")),
    }
}

/// A row with all that is known of it.
pub(super) fn detail(event: &Event, sensitive: &Sensitive) -> EventDetail {
    let Entry { head, took, marks, .. } = &event.entry;
    EventDetail {
        row: row(event, sensitive),
        head: head.as_ref().map(|head| self::head(head, &sensitive.view(head, marks))),
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
        at: format!("{at:.3}"),
        kind: kind.as_str().to_owned(),
        server: server.as_deref().map(str::to_owned),
        status: *status,
        fault: fault.map(|fault| fault.code().to_owned()),
        detail: detail.as_deref().map(str::to_owned),
        took_ms: millis(*took),
    }
}

pub(super) fn redelivered(id: &str, redelivered: &Redelivered) -> RedeliveryReport {
    let Redelivered { attempt, server, status, fault, detail, took, timestamp_fresh } = redelivered;
    RedeliveryReport {
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

fn head(head: &Head, view: &View<'_>) -> HeadView {
    let field = |(name, value): (&str, Option<&[u8]>)| FieldView {
        name: name.to_owned(),
        value: value.map_or_else(|| MASK.to_owned(), |value| String::from_utf8_lossy(value).into_owned()),
        masked: value.is_none(),
    };
    HeadView {
        method: head.method().as_str().to_owned(),
        target: view.target(),
        host: view.host().to_owned(),
        headers: view.fields().map(field).collect(),
    }
}

/// To the microsecond, so that nothing is shown as 0.8170000000000001.
fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}
