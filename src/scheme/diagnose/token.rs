//! Why a static secret did not match: another route's, blanks around it, a plus sign that became a blank, the wrong place.

use super::{Other, keys};
use crate::base::Secret;
use crate::domain::Head;
use crate::scheme::ReadyKey;
use crate::scheme::check::Kind;
use crate::scheme::check::token::TokenSpec;
use crate::scheme::form;
use crate::scheme::source::Facts;

/// Longest token that is looked at.
const MAX_TOKEN: usize = 4096;

/// What is behind a token that matches no key.
pub(super) fn findings(spec: &TokenSpec, ours: &[ReadyKey], facts: &Facts<'_>, others: &[Other<'_>]) -> Vec<String> {
    for place in &spec.places {
        let Ok(Some(text)) = place.read(facts) else { continue };
        if text.len() > MAX_TOKEN {
            continue;
        }
        let token = place.unwrap(&text);
        for (given, how) in writings(token.as_deref(), &text) {
            for key in ours {
                if key.configured.matches(&given) && !how.is_empty() {
                    return vec![format!("it is key `{}`, but {how}", key.id)];
                }
                let meant =
                    keys::meant(key.configured.expose()).into_iter().map(|(bare, how)| (Secret::new(bare), how));
                if let Some((_, how)) = { meant }.find(|(secret, _)| secret.matches(given.trim_ascii())) {
                    return vec![format!("it is key `{}` {how}: {}", key.id, keys::CLEAN)];
                }
            }
            for (route, other) in others {
                if let Some(key) = other.keys.iter().find(|key| key.configured.matches(&given)) {
                    return vec![format!(
                        "it is the secret of route `{route}` (key `{}`): the sender calls the wrong URL, or has the wrong secret for this one",
                        key.id
                    )];
                }
            }
        }
    }
    vec!["no secret of any route is this token: compare the secret at the sender with ours, and enter it again on both sides".to_owned()]
}

/// The right token in a place that the scheme does not read.
pub(super) fn misplaced(spec: &TokenSpec, ours: &[ReadyKey], head: &Head) -> Option<String> {
    let known = |value: &[u8]| {
        let value = value.trim_ascii();
        let bare = [&b"bearer "[..], b"basic ", b"token "]
            .iter()
            .find_map(|word| value.split_at_checked(word.len()).filter(|(start, _)| start.eq_ignore_ascii_case(word)))
            .map_or(value, |(_, rest)| rest);
        ours.iter().find(|key| key.configured.matches(value) || key.configured.matches(bare))
    };
    let expected = Kind::places(spec).join(", or ");
    for (name, value) in head.headers().iter() {
        if let Some(key) = known(value) {
            return Some(format!("key `{}` is there, but in the header {name}; the route reads {expected}", key.id));
        }
    }
    let fields = form::fields(head.query().unwrap_or_default().as_bytes()).ok()?;
    let (name, key) = fields.iter().find_map(|(name, value)| Some((name, known(value)?)))?;
    let name = String::from_utf8_lossy(name);
    Some(format!("key `{}` is there, but in the query parameter {name}; the route reads {expected}", key.id))
}

/// What was given, and what it may have been meant as.
fn writings(token: Option<&[u8]>, text: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut found: Vec<(Vec<u8>, &'static str)> = Vec::new();
    match token {
        Some(token) => found.push((token.to_vec(), "")),
        None => found.push((text.to_vec(), "without the word or prefix that stands before it in this scheme")),
    }
    let base = token.unwrap_or(text);
    found.push((base.trim_ascii().to_vec(), "with blanks around it: have the sender leave them out"));
    let plus: Vec<u8> = base.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
    found.push((plus, "its plus signs became blanks: the sender must write them as %2B in a URL"));
    if let Ok(Some(decoded)) = form::sole(&[b"t=", base].concat(), "t") {
        found.push((decoded.into_owned(), "percent-encoded once more than it should be"));
    }
    let quoted = base.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    found.extend(quoted.map(|bare| (bare.to_vec(), "with quotation marks around it")));
    if base.contains(&b',') {
        let parts = base.split(|byte| *byte == b',').take(4);
        let joined = "it stands in one field with other values, joined by commas: the field was there more than once";
        found.extend(parts.map(|part| (part.trim_ascii().to_vec(), joined)));
    }
    found
}
