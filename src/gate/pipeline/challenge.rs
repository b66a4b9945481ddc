//! Step 7: provider challenges that the relay answers itself. What the provider signs is answered only after verification; of the
//! rest some are known by the head alone, and some need the body.

use crate::domain::Head;
use crate::runtime::snapshot::{Route, RouteChallenge, Verification};
use crate::scheme::{ChallengeAnswer, ChallengeSecrets, MAX_CHALLENGE};

/// Whether the head announces one, so that the request needs neither method nor content type of a webhook. What it is in the end
/// is seen by the functions below; where none of them answers, it needs both after all.
pub(crate) fn is_announced(route: &Route, head: &Head) -> bool {
    route.challenges.iter().any(|asked| asked.challenge.is_announced(head, &secrets(route, asked)))
}

/// One that carries no signature and is known by its head.
pub(crate) fn unsigned(route: &Route, head: &Head) -> Option<ChallengeAnswer> {
    find(route, head, b"", |asked| !asked.challenge.is_signed() && !asked.challenge.reads_body())
}

/// One that carries no signature and is known by its body.
pub(crate) fn in_body(route: &Route, head: &Head, body: &[u8]) -> Option<ChallengeAnswer> {
    if body.len() > MAX_CHALLENGE {
        return None;
    }
    find(route, head, body, |asked| !asked.challenge.is_signed() && asked.challenge.reads_body())
}

/// One that the provider signs; ask only about verified requests.
pub(crate) fn signed(route: &Route, head: &Head, body: &[u8]) -> Option<ChallengeAnswer> {
    find(route, head, body, |asked| asked.challenge.is_signed())
}

fn find(route: &Route, head: &Head, body: &[u8], which: impl Fn(&RouteChallenge) -> bool) -> Option<ChallengeAnswer> {
    let mut all = route.challenges.iter().filter(|asked| which(asked));
    all.find_map(|asked| asked.challenge.answer(head, body, &secrets(route, asked)))
}

fn secrets<'r>(route: &'r Route, asked: &'r RouteChallenge) -> ChallengeSecrets<'r> {
    let verifier = match &route.verify {
        Verification::Signed(verifier) => Some(&**verifier),
        Verification::DangerouslyNone => None,
    };
    ChallengeSecrets { verifier, challenge: asked.secret.as_ref() }
}
