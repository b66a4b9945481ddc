//! What was blanked in a genuine request before it was kept, and how it comes back for its delivery.
//!
//! It is locked with the secret that proved the request. A route that verifies nothing, or with a
//! public key, has none: there it lies as the body does,
//! sealed where the store seals.

use std::borrow::Cow;

use crate::base::Secret;
use crate::domain::Held;
use crate::runtime::snapshot::{Route, Verification};
use crate::scheme::Proof;
use crate::store::StoredRequest;

/// The first byte: with which secret it is locked, if with any.
const OPEN: u8 = 0;
const LOCKED: u8 = 1;

/// As the store keeps it; `None`: it cannot be locked, and is lost rather than kept in clear text.
pub(super) fn hold(
    verify: Option<&Verification>,
    proof: Option<&Proof>,
    request_id: &str,
    held: &Held,
) -> Option<Secret> {
    let held = Secret::new(held.to_bytes());
    let (kind, bytes) = match (verify?, proof) {
        (Verification::Signed(verifier), Some(_)) if verifier.scheme().takes_public_keys() => {
            (OPEN, Cow::Borrowed(held.expose()))
        }
        (Verification::Signed(verifier), Some(proof)) => {
            (LOCKED, Cow::Owned(verifier.lock(&proof.key, request_id, held.expose())?))
        }
        (Verification::Signed(_), None) => return None,
        (Verification::DangerouslyNone, _) => (OPEN, Cow::Borrowed(held.expose())),
    };
    let mut kept = Vec::with_capacity(bytes.len() + 1);
    kept.push(kind);
    kept.extend_from_slice(&bytes);
    Some(Secret::new(kept))
}

/// The request as it came. Where the secret that proved it is not configured any more, blanks stay blank.
pub fn restored<'r>(route: &Route, request: &'r StoredRequest) -> Cow<'r, StoredRequest> {
    let Some(held) = request.held.as_ref().and_then(|held| open(route, request, held)) else {
        return Cow::Borrowed(request);
    };
    let body = held.body(&request.body).map_or_else(|| request.body.clone(), Into::into);
    Cow::Owned(StoredRequest { head: held.head(&request.head), body, held: None, ..request.clone() })
}

fn open(route: &Route, request: &StoredRequest, held: &Secret) -> Option<Held> {
    match (held.expose().split_first()?, &route.verify) {
        ((&OPEN, held), _) => Held::from_bytes(held),
        ((&LOCKED, locked), Verification::Signed(verifier)) => {
            let held = verifier.unlock(request.key.as_deref()?, &request.request_id, locked)?;
            Held::from_bytes(held.expose())
        }
        _ => None,
    }
}
