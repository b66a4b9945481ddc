//! Step 9: the proof, part by part, and what is behind a refusal.

use super::{Step, Subject, Verdict};
use crate::domain::{Doubt, Refusal};
use crate::gate::pipeline::verify::{prove, would_refuse};
use crate::runtime::snapshot::{ProviderRetries, Route, Snapshot, Verification};
use crate::scheme::{Aspect, Found, OtherRoute, Part, Verifier, span};

const STEP: &str = "verify";

/// The parts in the order of the gate, and what dedupe memory knows the request by.
#[derive(Default)]
pub(super) struct Judged {
    pub(super) steps: Vec<Step>,
    pub(super) dedupe: Option<Box<str>>,
}

pub(super) fn judge(snapshot: &Snapshot, route: &Route, subject: &Subject<'_>) -> Judged {
    let Verification::Signed(verifier) = &route.verify else {
        let because = "the route verifies nothing (verify.dangerously_none)";
        return Judged { steps: vec![Step::new(STEP, "signature", Verdict::Skipped, because)], dedupe: None };
    };
    let others = others(snapshot, route);
    let blanked = verifier.scheme().is_token() && subject.recorded.is_some();
    let mut steps = Vec::new();
    for part in verifier.examine(subject.head, subject.body, subject.at) {
        let part = if blanked && part.aspect == Aspect::Signature { kept(verifier, subject, part) } else { part };
        steps.push(step(verifier, route.provider_retries.as_ref(), subject, &others, part));
    }
    let proof = subject.body.map(|body| prove(route, subject.head, body, subject.at));
    // The parts are the gate's own functions; should they ever come to another end, the gate is right.
    if let Some(Err(refusal)) = proof
        && !blanked
        && verifier.unread().is_empty()
        && steps.iter().all(|step| step.verdict != Verdict::Refused)
    {
        steps.push(Step::refused(STEP, "signature", refusal.code(), "the request as a whole is not proven"));
    }
    let dedupe = proof.and_then(Result::ok).flatten().and_then(|proof| proof.dedupe);
    Judged { steps, dedupe }
}

/// What the route observes, where it observes anything: it never refuses.
pub(super) fn observed(route: &Route, subject: &Subject<'_>) -> Option<Step> {
    const CHECK: &str = "observe";
    route.observed.as_ref()?;
    let Some(body) = subject.body else {
        return Some(Step::new(STEP, CHECK, Verdict::Unknown, "the body was not kept"));
    };
    Some(match would_refuse(route, subject.head, body, subject.at) {
        None => Step::new(STEP, CHECK, Verdict::Passed, "what the route observes would take it too"),
        // A stored request lacks its tokens, and has them blanked.
        Some(refusal) if subject.recorded.is_some() && blanks(route) => {
            let because = format!("its token is not kept; without it, it would be refused ({})", refusal.code());
            Step::new(STEP, CHECK, Verdict::Unknown, because)
        }
        Some(refusal) => {
            let because = format!("would be refused ({}), but is only observed", refusal.code());
            Step::new(STEP, CHECK, Verdict::Passed, because)
        }
    })
}

fn blanks(route: &Route) -> bool {
    let verify = route.observed.as_ref().and_then(|observed| observed.verify.as_ref());
    verify.is_some_and(|verify| verify.scheme().is_token())
}

/// The routes beside this one that verify something.
pub(crate) fn others<'s>(snapshot: &'s Snapshot, route: &Route) -> Vec<OtherRoute<'s>> {
    let others = snapshot.routes.iter().filter(|other| other.name != route.name);
    let signed = others.filter_map(|other| match &other.verify {
        Verification::Signed(verifier) => Some((&*other.name, &**verifier)),
        Verification::DangerouslyNone => None,
    });
    signed.collect()
}

/// The token itself was blanked before the request was stored.
fn kept(verifier: &Verifier, subject: &Subject<'_>, part: Part) -> Part {
    const WHEN: &str = "the token was checked when it came and is not kept";
    let recorded = subject.recorded.filter(|recorded| recorded.key.is_some() || !recorded.reason.is_empty());
    let (found, because) = match recorded.map(|recorded| (recorded.key, recorded.reason)) {
        Some((Some(key), _)) if verifier.key_ids().any(|id| id == key) => {
            (Found::Good, format!("{WHEN}; key `{key}` matched"))
        }
        Some((Some(key), _)) => {
            (Found::Open, format!("{WHEN}; key `{key}` matched, which the route does not have any more"))
        }
        Some((None, reason)) => {
            match Refusal::ALL.iter().find(|refusal| of_token(**refusal) && refusal.code() == reason) {
                Some(refusal) => (Found::Bad(*refusal), format!("{WHEN}; it was refused then")),
                None => (Found::Open, format!("{WHEN}; the request was refused before anybody looked at it")),
            }
        }
        None => (Found::Open, WHEN.to_owned()),
    };
    Part { found, because, ..part }
}

fn of_token(refusal: Refusal) -> bool {
    use Refusal::{SignatureMalformed, SignatureMismatch, SignatureMissing, SignatureRepeated};
    matches!(refusal, SignatureMissing | SignatureRepeated | SignatureMalformed | SignatureMismatch)
}

/// How long the provider goes on sending a request again, beside the window that its time must be in.
pub(crate) fn schedule(retries: Option<&ProviderRetries>, verifier: &Verifier) -> Option<String> {
    let (retries, (back, _)) = (retries?, verifier.scheme().window()?);
    let (name, window, whole) = (&retries.provider, span(back), span(retries.span));
    Some(match (retries.keep_time, retries.span <= back) {
        (true, true) => {
            format!(
                "a retry of {name} says the first attempt's time and comes within {whole}; the window is {window} back"
            )
        }
        (true, false) => format!(
            "a retry of {name} says the first attempt's time and comes within {whole}, and the window is only {window} back: \
             widen `tolerance`"
        ),
        (false, _) => format!(
            "{name} sends a request again for up to {whole}, and signs each attempt with its own time as far as is known; the \
             window is {window} back"
        ),
    })
}

fn step(
    verifier: &Verifier,
    retries: Option<&ProviderRetries>,
    subject: &Subject<'_>,
    others: &[OtherRoute<'_>],
    part: Part,
) -> Step {
    let check = match part.aspect {
        Aspect::Shape => "shape",
        Aspect::Timestamp => "timestamp",
        Aspect::Signature => "signature",
        Aspect::Binding => "binding",
        Aspect::Id => "id",
    };
    let token = verifier.scheme().is_token() && subject.recorded.is_some();
    match part.found {
        Found::Good => Step::new(STEP, check, Verdict::Passed, part.because),
        Found::None => Step::new(STEP, check, Verdict::Skipped, part.because),
        Found::Open => {
            Step::new(STEP, check, Verdict::Unknown, format!("{}{}", part.because, recorded(subject, part.aspect)))
        }
        Found::Bad(_) if part.aspect == Aspect::Timestamp && was_unset(subject) => {
            let because = format!("{}; but the clock was not set when it came", part.because);
            Step { reason: Doubt::ClockUnset.code().into(), ..Step::new(STEP, check, Verdict::Unknown, because) }
        }
        Found::Bad(refusal) => {
            let step = Step::refused(STEP, check, refusal.code(), part.because);
            // A token that was blanked differs from every key: there is nothing to find out.
            if token && part.aspect == Aspect::Signature {
                return step;
            }
            let found = verifier.diagnose(subject.head, subject.body, refusal, subject.at, others);
            let stale = refusal == Refusal::TimestampStale;
            let retry = stale.then(|| schedule(retries, verifier)).flatten();
            let capture = (stale && subject.recorded.is_none())
                .then(|| "if it is an old capture, judge it by its own time: --at".to_owned());
            let (first, rest) = found.split_at(found.len().min(1));
            step.with_hints(first.iter().cloned().chain(retry).chain(rest.iter().cloned()).chain(capture))
        }
    }
}

/// Whether it came before the relay's machine knew the time.
fn was_unset(subject: &Subject<'_>) -> bool {
    subject.recorded.is_some_and(|recorded| recorded.reason == Doubt::ClockUnset.code())
}

/// What the relay found when it had the whole request.
fn recorded(subject: &Subject<'_>, aspect: Aspect) -> String {
    let recorded = subject.recorded.filter(|_| aspect == Aspect::Signature && subject.body.is_none());
    match recorded.map(|recorded| (recorded.key, recorded.reason)) {
        Some((Some(key), _)) => format!("; when it came, key `{key}` matched"),
        Some((None, reason)) if !reason.is_empty() => format!("; when it came, it was refused as {reason}"),
        _ => String::new(),
    }
}
