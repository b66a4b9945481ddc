//! Why a request was taken or refused: each step's verdict, with the list entry, key id or rule that decided.
//!
//! The steps are the pipeline's own functions, so an explanation cannot say otherwise than the gate does. Nothing is
//! forwarded, reserved, metered or recorded, and no secret and no MAC is ever in an explanation.
//!
//! Deliberately absent: what only a connection knows. Whether a PROXY header was right, a handshake was made or a head was
//! well-formed cannot be judged from a request that is already one.

mod admit;
mod onward;
mod proof;
mod route;
mod stored;

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::base::UnixMillis;
use crate::domain::{Head, HistoryOutcome};
use crate::gate::pipeline::challenge;
use crate::runtime::snapshot::Snapshot;

pub(crate) use proof::{others, schedule};
pub use stored::{EventExplanation, explain_event};

/// A request to be explained.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'r> {
    /// As received or captured.
    pub head: &'r Head,
    /// `None`: it was not kept or not captured; steps that need it say so.
    pub body: Option<&'r [u8]>,
    /// `None`: unknown, as in a capture.
    pub source: Option<IpAddr>,
    /// The instant to judge time windows by.
    pub at: UnixMillis,
    /// Where it came in; `None`: unknown, and the first listener is asked.
    pub listener: Option<&'r str>,
    /// What the relay recorded of it when it came; `None` for a capture.
    pub recorded: Option<Recorded<'r>>,
}

/// What the relay recorded of a request when it came.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'r> {
    /// What became of it.
    pub outcome: HistoryOutcome,
    /// The reason code; empty where the outcome says it all.
    pub reason: &'r str,
    /// The key that matched.
    pub key: Option<&'r str>,
}

/// How a step decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes.
    Passed,
    /// It is refused or fails here; later steps are judged nevertheless where they can be.
    Refused,
    /// It cannot be known from what is there.
    Unknown,
    /// It does not apply to this route.
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The step's name in `docs/request.md`.
    pub step: Cow<'static, str>,
    /// What of it is judged: `address`, `signature`.
    pub check: Cow<'static, str>,
    /// How it decided.
    pub verdict: Verdict,
    /// The reason code, where it refuses.
    pub reason: Cow<'static, str>,
    /// What decided: the list entry, the key id, the rule; one sentence for people.
    pub because: String,
    /// What to look at, the likeliest first: findings of a diagnosis.
    pub hints: Vec<String>,
    /// Whether the gate comes this far with the request.
    pub reached: bool,
}

/// Every step's verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The route, once there is one.
    pub route: Option<String>,
    /// In the order of the pipeline.
    pub steps: Vec<Step>,
}

/// What comes of a request as far as it can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sum {
    /// Nothing refuses it.
    Taken,
    /// A step refuses it.
    Refused,
    /// Nothing refuses it, but the proof cannot be judged.
    Unknown,
}

impl Step {
    fn new(step: &'static str, check: &'static str, verdict: Verdict, because: impl Into<String>) -> Self {
        Self {
            step: step.into(),
            check: check.into(),
            verdict,
            reason: "".into(),
            because: because.into(),
            hints: Vec::new(),
            reached: true,
        }
    }

    fn refused(step: &'static str, check: &'static str, reason: &'static str, because: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::new(step, check, Verdict::Refused, because) }
    }

    fn with_hints(self, hints: impl IntoIterator<Item = String>) -> Self {
        Self { hints: hints.into_iter().collect(), ..self }
    }
}

impl Explanation {
    /// The step that refuses it.
    pub fn refusal(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.verdict == Verdict::Refused)
    }

    /// What comes of the request.
    pub fn sum(&self) -> Sum {
        let open = |step: &Step| step.step == "verify" && step.reached && step.verdict == Verdict::Unknown;
        match self.refusal() {
            Some(_) => Sum::Refused,
            None if self.steps.iter().any(open) => Sum::Unknown,
            None => Sum::Taken,
        }
    }

    /// Adds a step; `reached` is what the steps before it say.
    fn push(&mut self, step: Step, reached: &mut bool) {
        let refused = step.verdict == Verdict::Refused;
        self.steps.push(Step { reached: *reached, ..step });
        *reached = *reached && !refused;
    }
}

/// Judges a request by the configuration.
pub fn explain(snapshot: &Snapshot, subject: &Subject<'_>) -> Explanation {
    let mut explanation = judge(snapshot, subject);
    // A step may quote what the sender wrote, and a token may stand anywhere in it.
    for step in &mut explanation.steps {
        for text in std::iter::once(&mut step.because).chain(&mut step.hints) {
            if let Cow::Owned(masked) = snapshot.sensitive.text(text) {
                *text = masked;
            }
        }
    }
    explanation
}

fn judge(snapshot: &Snapshot, subject: &Subject<'_>) -> Explanation {
    let mut explanation = Explanation::default();
    let mut reached = true;
    if let Some(step) = admit::denials(snapshot, subject) {
        explanation.push(step, &mut reached);
    }
    let (step, routed) = route::judge(snapshot, subject);
    explanation.push(step, &mut reached);
    let Some(routed) = routed else { return explanation };
    let route = routed.route();
    explanation.route = Some(route.name.to_string());
    for step in admit::judge(snapshot, route, subject) {
        explanation.push(step, &mut reached);
    }
    let body = subject.body.unwrap_or_default();
    let unsigned = challenge::unsigned(route, subject.head).or_else(|| challenge::in_body(route, subject.head, body));
    let (step, answered) = onward::challenge(route, unsigned.as_ref(), "challenge");
    explanation.push(step, &mut reached);
    reached = reached && !answered;
    explanation.push(admit::body(route, subject), &mut reached);
    let judged = proof::judge(snapshot, route, subject);
    for step in judged.steps {
        explanation.push(step, &mut reached);
    }
    if let Some(step) = proof::observed(route, subject) {
        explanation.push(step, &mut reached);
    }
    let signed = challenge::signed(route, subject.head, body);
    let (step, answered) = onward::challenge(route, signed.as_ref(), "signed challenge");
    explanation.push(step, &mut reached);
    reached = reached && !answered;
    explanation.push(onward::dedupe(route, subject, judged.dedupe.as_deref()), &mut reached);
    explanation.push(admit::route_limits(route, subject), &mut reached);
    explanation.push(onward::delivery(&routed, subject, &snapshot.sensitive), &mut reached);
    explanation.push(onward::fields(route, subject), &mut reached);
    explanation
}

#[cfg(test)]
mod tests;
