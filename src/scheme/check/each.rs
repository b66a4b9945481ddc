//! A signature in every element of an array: each is over its own element, and all must be right, by one key.
//!
//! Paths of the signature and of the message begin in the element. Who looks at the first one alone lets forged ones through behind it.

use super::mac::{self, MacSpec};
use crate::domain::Refusal;
use crate::scheme::algorithm::{Algorithm, State};
use crate::scheme::json::{JsonFault, JsonPath, text};
use crate::scheme::source::Facts;
use crate::scheme::{Matched, Stamp, Verifier};

/// Elements of one request. Each costs as much as a request.
pub(in crate::scheme) const MAX_ELEMENTS: usize = 100;

/// The texts of the elements; at least one.
pub(in crate::scheme) fn elements<'a>(facts: &Facts<'a>, path: &JsonPath) -> Result<Vec<&'a [u8]>, Refusal> {
    match text::elements(facts.body, path, MAX_ELEMENTS) {
        Ok(Some(elements)) if !elements.is_empty() => Ok(elements),
        Ok(_) | Err(JsonFault::Invalid) => Err(Refusal::SignatureMissing),
        Err(JsonFault::Ambiguous) => Err(Refusal::MessageIncomplete),
    }
}

/// The one key that proves every element, and a hash of all their signatures.
pub(in crate::scheme) fn prove<'v>(
    spec: &MacSpec,
    path: &JsonPath,
    verifier: &'v Verifier,
    facts: &Facts<'_>,
    stamp: Option<&Stamp<'_>>,
) -> Result<Matched<'v>, Refusal> {
    let mut proven: Option<Matched<'v>> = None;
    let mut tags = State::plain(Algorithm::Sha256);
    for element in elements(facts, path)? {
        let matched = mac::prove_one(spec, verifier, &facts.within(element), stamp)?;
        if proven.as_ref().is_some_and(|first| first.key.id != matched.key.id) {
            return Err(Refusal::SignatureMismatch);
        }
        tags.update(matched.tag.as_ref().map(|tag| tag.as_bytes()).unwrap_or_default());
        proven = Some(matched);
    }
    let key = proven.ok_or(Refusal::SignatureMissing)?.key;
    Ok(Matched { key, tag: Some(tags.finish()) })
}

/// Which elements are wrong, for an explanation.
pub(in crate::scheme) fn findings(
    spec: &MacSpec,
    path: &JsonPath,
    verifier: &Verifier,
    facts: &Facts<'_>,
) -> Vec<String> {
    let Ok(elements) = elements(facts, path) else {
        return vec![format!(
            "each element of the array {path} has a signature of its own, and the body has no such array with 1 to \
             {MAX_ELEMENTS} elements"
        )];
    };
    let count = elements.len();
    let wrong = elements.into_iter().enumerate().filter_map(|(at, element)| {
        let refusal = mac::prove_one(spec, verifier, &facts.within(element), None).err()?;
        Some(format!("element {} of the {count} in {path} is refused by itself: {}", at + 1, refusal.code()))
    });
    let found: Vec<String> = wrong.take(4).collect();
    match found.is_empty() {
        true => vec![format!("every element of {path} is proven, but not all of them by one key")],
        false => found,
    }
}
