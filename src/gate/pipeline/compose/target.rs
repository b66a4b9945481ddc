//! The target of a request: the configured path or the sender's, the sender's query as it was sent without what is taken out
//! on purpose, and the configured members behind it.

use std::borrow::Cow;

use crate::domain::Head;
use crate::runtime::snapshot::Route;
use crate::scheme::spelling;

/// Members that frameworks take for another method, as [`spelling::folded`] has them. Symfony, Laravel, Express and others look
/// at the query for them.
const STEERING: [&str; 6] =
    ["_method", "_http_method", "http_method_override", "x_http_method", "x_http_method_override", "x_method_override"];

/// The whole target, with the configured members.
pub(super) fn target<'h>(route: &Route, head: &'h Head, suffix: usize) -> Cow<'h, str> {
    let mut target = received_target(route, head, suffix);
    if !route.forward.query.is_empty() {
        let target = target.to_mut();
        let mut separator = match target.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        for (name, value) in &route.forward.query {
            target.push_str(separator);
            target.push_str(name);
            target.push('=');
            target.push_str(std::str::from_utf8(value.expose()).unwrap_or_default());
            separator = "&";
        }
    }
    target
}

/// The part of it that the sender chose. `explain` shows this one, and only the names of ours.
pub(crate) fn received_target<'h>(route: &Route, head: &'h Head, suffix: usize) -> Cow<'h, str> {
    let received = head.path();
    let path = match &route.forward.path {
        Some(path) => {
            let rest = received.len().checked_sub(suffix).and_then(|at| received.get(at..)).unwrap_or_default();
            Cow::Owned(format!("{path}{rest}"))
        }
        None => Cow::Borrowed(received),
    };
    let Some(query) = head.query().and_then(|query| kept(query, &route.forward.replaced_query)) else { return path };
    let mut target = path.into_owned();
    target.reserve(query.len() + 1);
    target.push('?');
    target.push_str(&query);
    Cow::Owned(target)
}

/// Names of the sender's members that stay out, as they were sent; for `explain`.
pub(crate) fn dropped_members<'h>(route: &'h Route, head: &'h Head) -> impl Iterator<Item = &'h str> {
    let pieces = head.query().into_iter().flat_map(|query| query.split(SEPARATORS));
    let dropped = pieces.filter(|piece| is_taken_out(piece, &route.forward.replaced_query));
    dropped.map(|piece| piece.split('=').next().unwrap_or_default())
}

/// Older versions of some servers take a semicolon for a separator.
const SEPARATORS: [char; 2] = ['&', ';'];

/// The query without what is taken out; `None` where nothing is left of it.
fn kept<'q>(query: &'q str, replaced: &[Box<[u8]>]) -> Option<Cow<'q, str>> {
    if !query.split(SEPARATORS).any(|piece| is_taken_out(piece, replaced)) {
        return Some(Cow::Borrowed(query));
    }
    // What goes takes the separator before it along, or the one behind it where it was the first.
    let mut left: Option<String> = None;
    let mut at = 0;
    for piece in query.split(SEPARATORS) {
        if !is_taken_out(piece, replaced) {
            match &mut left {
                Some(left) => left.push_str(query.get(at - 1..at).unwrap_or_default()),
                None => left = Some(String::with_capacity(query.len())),
            }
            left.get_or_insert_default().push_str(piece);
        }
        at += piece.len() + 1;
    }
    left.map(Cow::Owned)
}

fn is_taken_out(piece: &str, replaced: &[Box<[u8]>]) -> bool {
    let name = piece.split('=').next().unwrap_or_default().as_bytes();
    let is = |known: &[u8]| spelling::folded(name).eq(known.iter().copied());
    !name.is_empty() && (STEERING.iter().any(|known| is(known.as_bytes())) || replaced.iter().any(|known| is(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(query: &str) -> Option<String> {
        let replaced = [Box::from(&b"api_key"[..])];
        kept(query, &replaced).map(Cow::into_owned)
    }

    #[test]
    fn what_is_not_taken_out_stays_as_it_was_sent() {
        for query in ["", "a=1&&b=2", "&", "a;b", "a=%zz&%", "apikey=1", "x-api-key=1", "a=api-key", "a==b&a=1&a"] {
            assert_eq!(left(query).as_deref(), Some(query));
        }
    }

    #[test]
    fn a_replaced_or_steering_member_goes_in_every_spelling() {
        for name in [
            "api-key",
            "API-KEY",
            "api_key",
            "api.key",
            "api+key",
            "api%20key",
            "api%2Dkey",
            "%61pi-key",
            "api-key[]",
            "api-key[0]",
            "[api-key]",
            "%5Bapi-key%5D",
            "api-key%5B%5D",
            "api-key[a]",
            "+api-key",
            "%20api-key",
            "api-key%00",
            "api-key%00x",
            "api-key%00%zz",
            "%u0061pi-key",
            "_method",
            "_METHOD",
            "%5Fmethod",
            "_method[]",
            "x-http-method-override",
        ] {
            for query in [format!("a=1&{name}=EVIL&b=2"), format!("a=1;{name}=EVIL&b=2"), format!("a=1&{name}&b=2")] {
                let separator = if query.contains(';') { ';' } else { '&' };
                let kept = left(&query).unwrap();
                assert!(kept == "a=1&b=2" || kept == format!("a=1{separator}b=2"), "{query}: {kept}");
            }
            assert_eq!(left(&format!("{name}=EVIL")), None, "{name}");
        }
        for (query, kept) in
            [("api-key=1&&b=2", "&b=2"), ("api-key=1&", ""), ("&api-key=1", ""), ("a&&api-key&&b", "a&&&b")]
        {
            assert_eq!(left(query).as_deref(), Some(kept), "{query}");
        }
    }
}
