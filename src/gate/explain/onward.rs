//! Steps 7, 10 and 11: challenges, dedupe memory, and the way to the upstream.

use super::{Step, Subject, Verdict};
use std::net::{IpAddr, Ipv4Addr};

use crate::domain::field_list::reserved;
use crate::domain::sensitive::MASK;
use crate::domain::{HistoryOutcome, Sensitive};
use crate::gate::pipeline::compose::{dropped_members, passes, received_target};
use crate::gate::pipeline::route::Routed;
use crate::runtime::snapshot::{Delivery, Route};
use crate::scheme::ChallengeAnswer;

/// Longest target that is shown in full.
const MAX_TARGET: usize = 500;
/// Names that are shown of one kind.
const MAX_NAMES: usize = 40;

/// Whether it is a challenge that the relay answers itself.
pub(super) fn challenge(route: &Route, answer: Option<&ChallengeAnswer>, check: &'static str) -> (Step, bool) {
    let signed = check != "challenge";
    let step = match answer {
        Some(answer) => {
            let because =
                format!("the provider's challenge: answered here with {}, nothing is forwarded", answer.status);
            Step::new("challenge", check, Verdict::Passed, because)
        }
        None if route.challenges.iter().any(|asked| asked.challenge.is_signed() == signed) => {
            Step::new("challenge", check, Verdict::Passed, "no challenge")
        }
        None => Step::new("challenge", check, Verdict::Skipped, "the route answers no challenge here"),
    };
    (step, answer.is_some())
}

/// What dedupe memory does with it. It is not asked: an explanation reserves nothing.
pub(super) fn dedupe(route: &Route, subject: &Subject<'_>, dedupe: Option<&str>) -> Step {
    let step = |verdict, because: String| Step::new("dedupe", "dedupe", verdict, because);
    let recorded =
        subject.recorded.map_or((HistoryOutcome::Unknown, ""), |recorded| (recorded.outcome, recorded.reason));
    let Some(window) = route.dedupe else {
        return step(Verdict::Skipped, "dedupe memory is off for this route".to_owned());
    };
    let window = crate::scheme::span(window);
    match recorded {
        (HistoryOutcome::Duplicate, _) => step(
            Verdict::Passed,
            format!("a duplicate of a request that was taken within {window}: answered with success, not forwarded"),
        ),
        (_, "duplicate_in_flight") => Step::refused(
            "dedupe",
            "dedupe",
            "duplicate_in_flight",
            "the same request was being delivered at that moment",
        ),
        (_, "dedupe_memory") => {
            Step::refused("dedupe", "dedupe", "dedupe_memory", "dedupe memory was full of ids inside their windows")
        }
        (
            HistoryOutcome::Delivered | HistoryOutcome::Accepted | HistoryOutcome::Dead | HistoryOutcome::Discarded,
            _,
        ) => step(Verdict::Passed, format!("new when it came; a copy is known as a duplicate for {window} from then")),
        _ => match dedupe {
            Some(id) => step(
                Verdict::Unknown,
                format!("a request with the id {id} is taken once in {window}; dedupe memory was not asked"),
            ),
            None => step(Verdict::Unknown, format!("an id is remembered for {window}; this request's is not known")),
        },
    }
}

/// Where it would go, with every secret masked.
pub(super) fn delivery(routed: &Routed<'_>, subject: &Subject<'_>, sensitive: &Sensitive) -> Step {
    let route = routed.route();
    let servers: Vec<String> = route.upstream.status().iter().map(|server| server.url.to_string()).collect();
    let mode = match route.delivery {
        Delivery::Direct if route.error_budget.is_some() => {
            "direct: the sender receives the upstream's answer; with a store, a failure that its provider would not tolerate is kept instead"
        }
        Delivery::Direct => "direct: the sender receives the upstream's answer",
        Delivery::Failover => "failover: if the upstream does not take it in time, it is kept and delivered later",
        Delivery::Queue => "queue: it is kept, the sender receives success, and it is delivered later",
    };
    let target = shown_target(route, routed, subject, sensitive);
    let because = format!(
        "{} {target} to upstream `{}` ({}); {mode}",
        subject.head.method().as_str(),
        route.upstream.name,
        servers.join(", ")
    );
    Step::new("deliver", "delivery", Verdict::Passed, because)
}

/// Which of its fields and query members go to the upstream. Names only: each value may be a secret.
pub(super) fn fields(route: &Route, subject: &Subject<'_>) -> Step {
    // An unknown source is in no list.
    let source = subject.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let names = subject.head.headers().iter().map(|(name, _)| name);
    let (kept, dropped): (Vec<&str>, Vec<&str>) = names.partition(|name| passes(route, source, name));
    let mut because = if kept.is_empty() { "none".to_owned() } else { shown_names(&kept) };
    because.push_str(" to the upstream");
    if !dropped.is_empty() {
        because.push_str(&format!("; dropped: {}", shown_names(&dropped)));
        if dropped.iter().any(|name| reserved(name).is_none()) {
            because.push_str(" (a field that the application needs is named in forward_headers)");
        }
    }
    let members: Vec<&str> = dropped_members(route, subject.head).collect();
    if !members.is_empty() {
        because.push_str(&format!("; query without {}", shown_names(&members)));
    }
    Step::new("deliver", "fields", Verdict::Passed, because)
}

/// Names, each once, and not too many: a sender chose them.
fn shown_names(names: &[&str]) -> String {
    let mut shown: Vec<String> = Vec::new();
    for name in names {
        let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        if !shown.contains(&name) {
            shown.push(name);
        }
    }
    let more = shown.len().saturating_sub(MAX_NAMES);
    shown.truncate(MAX_NAMES);
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

fn shown_target(route: &Route, routed: &Routed<'_>, subject: &Subject<'_>, sensitive: &Sensitive) -> String {
    let target = received_target(route, subject.head, routed.suffix());
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    let path = sensitive.path(path);
    let theirs = query.map(|query| sensitive.query(query).into_owned());
    let ours = route.forward.query.iter().map(|(name, _)| format!("{name}={MASK}"));
    let query: Vec<String> = theirs.into_iter().chain(ours).collect();
    let mut shown = if query.is_empty() { path.into_owned() } else { format!("{path}?{}", query.join("&")) };
    if let Some((cut, _)) = shown.char_indices().nth(MAX_TARGET) {
        shown.truncate(cut);
        shown.push('…');
    }
    shown
}
