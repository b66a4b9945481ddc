//! Why a request was taken or refused: each step's verdict, with the list entry, key id or rule that decided.
//!
//! The steps are the pipeline's own functions, so an explanation cannot say otherwise than the gate does. Nothing is
//! forwarded, reserved, metered or recorded, and no secret and no MAC is ever in an explanation.

use std::net::IpAddr;

use crate::base::UnixMillis;
use crate::domain::Head;
use crate::snapshot::Snapshot;

/// A request to be explained.
#[derive(Debug)]
pub struct Subject<'r> {
    /// As received or captured.
    pub head: &'r Head,
    /// `None`: it was not kept or not captured; steps that need it say so.
    pub body: Option<&'r [u8]>,
    /// `None`: unknown, as in a capture.
    pub source: Option<IpAddr>,
    /// The instant to judge time windows by.
    pub at: UnixMillis,
}

/// How a step decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step's name in `docs/request.md`.
    pub step: &'static str,
    /// How it decided.
    pub verdict: Verdict,
    /// The reason code, where it refuses.
    pub reason: &'static str,
    /// What decided: the list entry, the key id, the rule; one sentence for people.
    pub because: String,
    /// What to look at, the likeliest first: findings of a diagnosis.
    pub hints: Vec<String>,
}

/// Every step's verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of the pipeline.
    pub steps: Vec<Step>,
    /// The route, once there is one.
    pub route: Option<String>,
}

/// Judges a request by the configuration.
pub fn explain(_snapshot: &Snapshot, _subject: &Subject<'_>) -> Explanation {
    Explanation::default()
}
