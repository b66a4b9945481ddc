//! Step 7: provider handshakes that the relay answers itself. What the provider signs is answered only after verification; of the
//! rest some are known by the head alone, and some need the body.

use crate::domain::Head;
use crate::runtime::snapshot::{Challenge, Route, Verification};
use crate::scheme::{HandshakeAnswer, HandshakeSecrets, MAX_HANDSHAKE};

/// Whether the head announces one, so that the request needs neither method nor content type of a webhook. What it is in the end
/// is seen by the functions below; where none of them answers, it needs both after all.
pub(crate) fn is_announced(route: &Route, head: &Head) -> bool {
    route.challenges.iter().any(|challenge| challenge.handshake.is_announced(head, &secrets(route, challenge)))
}

/// One that carries no signature and is known by its head.
pub(crate) fn unsigned(route: &Route, head: &Head) -> Option<HandshakeAnswer> {
    find(route, head, b"", |challenge| !challenge.handshake.is_signed() && !challenge.handshake.reads_body())
}

/// One that carries no signature and is known by its body.
pub(crate) fn in_body(route: &Route, head: &Head, body: &[u8]) -> Option<HandshakeAnswer> {
    if body.len() > MAX_HANDSHAKE {
        return None;
    }
    find(route, head, body, |challenge| !challenge.handshake.is_signed() && challenge.handshake.reads_body())
}

/// One that the provider signs; ask only about verified requests.
pub(crate) fn signed(route: &Route, head: &Head, body: &[u8]) -> Option<HandshakeAnswer> {
    find(route, head, body, |challenge| challenge.handshake.is_signed())
}

fn find(route: &Route, head: &Head, body: &[u8], which: impl Fn(&Challenge) -> bool) -> Option<HandshakeAnswer> {
    let mut asked = route.challenges.iter().filter(|challenge| which(challenge));
    asked.find_map(|challenge| challenge.handshake.answer(head, body, &secrets(route, challenge)))
}

fn secrets<'r>(route: &'r Route, challenge: &'r Challenge) -> HandshakeSecrets<'r> {
    let verifier = match &route.verify {
        Verification::Signed(verifier) => Some(&**verifier),
        Verification::DangerouslyNone => None,
    };
    HandshakeSecrets { verifier, handshake: challenge.secret.as_ref() }
}
