//! A stored request: judged by the running configuration as of the moment it came and as of today, and what became of it.

use serde::{Deserialize, Serialize};

use super::{Explanation, Recorded, Step, Subject, Verdict, explain};
use crate::base::UnixMillis;
use crate::domain::{Doubt, Fault, HistoryOutcome};
use crate::runtime::snapshot::Snapshot;
use crate::store::{Attempt, AttemptKind, Event, Stage};

/// `GET /api/v1/events/{id}/explain`. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventExplanation {
    /// The request's id.
    pub id: String,
    /// When its head was complete.
    pub received_at: String,
    /// The route that it had then.
    pub route: Option<String>,
    /// What was recorded of it: `delivered`, `refused` and so on.
    pub outcome: HistoryOutcome,
    /// The code of a refusal or failure.
    pub reason: Option<String>,
    /// What the sender was answered; zero where nobody was left.
    pub status: u16,
    /// What the running configuration says of it, judged at the moment it came; `null` for what never became a request.
    pub then: Option<Explanation>,
    /// The same judged now, where that is otherwise.
    pub today: Option<Explanation>,
    /// Where record and explanation part, and why.
    pub notes: Vec<String>,
    /// What became of it after its sender was answered, in order.
    pub afterwards: Vec<String>,
}

/// Explains one row of the history.
pub fn explain_event(snapshot: &Snapshot, event: &Event, now: UnixMillis) -> EventExplanation {
    let entry = &event.entry;
    let judged_at = |at: UnixMillis| {
        let head = entry.head.as_ref()?;
        Some(explain(
            snapshot,
            &Subject {
                head,
                body: entry.body.as_deref(),
                source: Some(entry.source),
                at,
                listener: Some(&entry.listener),
                recorded: Some(Recorded { outcome: entry.outcome, reason: &event.reason, key: entry.key.as_deref() }),
            },
        ))
    };
    let then = judged_at(entry.received_at);
    let today = judged_at(now).filter(|today| then.as_ref().is_none_or(|then| !alike(then, today)));
    EventExplanation {
        id: entry.request_id.to_string(),
        received_at: format!("{:.3}", entry.received_at),
        route: entry.route.as_deref().map(str::to_owned),
        outcome: entry.outcome,
        reason: Some(event.reason.to_string()).filter(|reason| !reason.is_empty()),
        status: entry.status,
        notes: notes(event, then.as_ref()),
        then,
        today,
        afterwards: afterwards(event),
    }
}

/// Whether each step comes to the same end; what it says of the time that has passed may differ.
fn alike(one: &Explanation, other: &Explanation) -> bool {
    let ends = |explanation: &Explanation| -> Vec<_> {
        explanation.steps.iter().map(|step| (step.check.clone(), step.verdict, step.reason.clone())).collect()
    };
    one.route == other.route && ends(one) == ends(other)
}

fn notes(event: &Event, then: Option<&Explanation>) -> Vec<String> {
    let Some(then) = then else {
        if event.entry.outcome == HistoryOutcome::Duplicate {
            let id = event.entry.dedupe.as_deref().unwrap_or_default();
            return vec![format!(
                "it is a copy of a request that was taken before ({id}): that one's row has head and body"
            )];
        }
        if matches!(event.entry.outcome, HistoryOutcome::Failed | HistoryOutcome::ClientClosed)
            && event.entry.key.is_some()
        {
            return vec![
                "it is one more try of a request that failed shortly before: that one's row has head and body"
                    .to_owned(),
            ];
        }
        return vec!["it never became a request: its head was refused before there was a route".to_owned()];
    };
    let mut notes = Vec::new();
    let recorded_route = event.entry.route.as_deref();
    if let (Some(was), Some(is)) = (recorded_route, then.route.as_deref())
        && was != is
    {
        notes.push(format!("it came to route `{was}`; the running configuration gives it to `{is}`"));
    }
    let refusal = then.refusal().map(|step| &*step.reason);
    let was_refused = event.entry.outcome == HistoryOutcome::Refused;
    let passed = event.entry.outcome.passed();
    // A failed or abandoned request may have ended before a step that refuses it; that is no contradiction.
    match refusal {
        Some(reason) if passed => notes.push(format!(
            "it was taken when it came, and the running configuration refuses it ({reason}): the configuration or a secret was changed since"
        )),
        Some(reason) if was_refused && reason != &*event.reason => notes.push(format!(
            "it was refused as {} when it came, and the running configuration refuses it as {reason}: the configuration or a secret was changed since",
            event.reason
        )),
        None if was_refused && judged(then, &event.reason) => notes.push(format!(
            "it was refused as {} when it came, and the running configuration takes it: the configuration or a secret was changed since",
            event.reason
        )),
        None if was_refused => notes.push(format!(
            "it was refused as {} when it came; that cannot be judged again from what was kept",
            event.reason
        )),
        _ => {}
    }
    if let Some(doubt) = Doubt::ALL
        .iter()
        .find(|doubt| doubt.code() == &*event.reason)
        .filter(|_| event.entry.outcome == HistoryOutcome::Undecided)
    {
        let code = doubt.code();
        notes.push(format!("nobody could tell whether it is genuine ({code}): that is our fault, and its sender was asked to come again"));
    }
    if let Some(fault) = Fault::ALL
        .iter()
        .find(|fault| fault.code() == &*event.reason)
        .filter(|_| event.entry.outcome == HistoryOutcome::Failed)
    {
        notes.push(format!("it failed on our side or the upstream's ({}), not by its sender's doing", fault.code()));
    }
    notes
}

/// Whether everything was judged; a step that is not known may be the one that refused.
fn judged(then: &Explanation, reason: &str) -> bool {
    let of_connection = ["body_timeout", "body_too_slow", "body_malformed", "body_incomplete"].contains(&reason);
    let open =
        |step: &Step| step.verdict == Verdict::Unknown && !["limits", "route limits", "dedupe"].contains(&&*step.check);
    !of_connection && !then.steps.iter().any(open)
}

fn afterwards(event: &Event) -> Vec<String> {
    let entry = &event.entry;
    let mut lines: Vec<String> = Vec::new();
    if let (Some(server), Some(status), HistoryOutcome::Delivered) =
        (&entry.server, entry.upstream_status, entry.outcome)
    {
        lines.push(format!("{server} took it with {status}"));
    }
    lines.extend(event.history.iter().map(attempt));
    match (event.stage, event.due) {
        (Some(Stage::Waiting), Some(due)) => lines.push(format!("it waits; the next attempt is due at {due:.3}")),
        (Some(Stage::Waiting), None) => {
            lines.push("it waits; an attempt is under way, or its turn has not come".to_owned())
        }
        (Some(Stage::Dead), _) => lines.push(format!(
            "it is a dead letter: nothing is tried any more until `dmz-relay events retry {}`",
            entry.request_id
        )),
        (None, _) if entry.outcome == HistoryOutcome::Discarded => lines.push("an operator discarded it".to_owned()),
        (None, _) => {}
    }
    lines
}

fn attempt(attempt: &Attempt) -> String {
    let Attempt { number, at, kind, server, status, fault, detail, took } = attempt;
    let kind = match kind {
        AttemptKind::Direct => "while the sender waited",
        AttemptKind::Spooled => "from the store",
        AttemptKind::Redelivery => "asked for by an operator",
    };
    let server = server.as_deref().map_or_else(String::new, |server| format!("{server} "));
    let result = match (fault, status) {
        (None, Some(status)) => format!("{server}took it with {status}"),
        (None, None) => format!("{server}took it"),
        (Some(fault), Some(status)) => format!("{server}answered {status} ({})", fault.code()),
        (Some(fault), None) => format!("{server}{}", fault.code()),
    };
    // The status says it already.
    let detail = detail.as_deref().filter(|_| status.is_none() || fault.is_none());
    let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
    format!("attempt {number} at {at:.3}, {kind}: {result}{detail}, after {} ms", took.as_millis())
}
