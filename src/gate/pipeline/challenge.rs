//! Step 7: provider handshakes that the relay answers itself. What the provider signs is answered only after verification.

use crate::domain::Head;
use crate::runtime::snapshot::{Challenge, ChallengeMatch, FixedAnswer, Route};

/// A handshake that carries no signature.
pub(crate) fn unsigned<'s>(route: &'s Route, head: &Head) -> Option<&'s FixedAnswer> {
    find(route, head, false)
}

/// A handshake that the provider signs; ask only about verified requests.
pub(crate) fn signed<'s>(route: &'s Route, head: &Head) -> Option<&'s FixedAnswer> {
    find(route, head, true)
}

fn find<'s>(route: &'s Route, head: &Head, signed: bool) -> Option<&'s FixedAnswer> {
    let recognised = |challenge: &&Challenge| challenge.signed == signed && matches(&challenge.when, head);
    route.challenges.iter().find(recognised).map(|challenge| &challenge.answer)
}

fn matches(when: &ChallengeMatch, head: &Head) -> bool {
    match when {
        ChallengeMatch::Header { name, value } => head.headers().sole(name) == Ok(Some(value.as_bytes())),
    }
}
