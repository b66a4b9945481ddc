//! Pieces of the configuration as messages repeat them: without what may be a password.
//!
//! A URL may have a user and a password before its host and a token in its query. Both are mistakes wherever the relay wants a
//! URL, so it is exactly then that the value would be repeated.

use std::borrow::Cow;

const MASK: &str = "***";

/// A value of the file without what stands before an `@` or behind a URL's `?`. A leading `@`, as in `@github`, hides nothing.
pub(super) fn masked(value: &str) -> Cow<'_, str> {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    let user = rest.rfind('@').filter(|at| *at > 0);
    let host = user.map_or(rest, |at| rest.get(at..).unwrap_or_default());
    let query = if value.contains("://") { host.find('?') } else { None };
    if user.is_none() && query.is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    if value.contains("://") {
        out.push_str(scheme);
        out.push_str("://");
    }
    if user.is_some() {
        out.push_str(MASK);
    }
    match query.and_then(|at| host.get(..at)) {
        Some(before) => out.extend([before, "?", MASK]),
        None => out.push_str(host),
    }
    Cow::Owned(out)
}

/// A sentence in which values of the file may stand, in quotation marks of either kind or bare.
pub(super) fn sentence(text: String) -> String {
    if !text.contains('@') && !text.contains("://") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['"', '`']) {
        let (before, quoted) = rest.split_at(at);
        let mark = if quoted.starts_with('"') { '"' } else { '`' };
        let inner = quoted.get(1..).unwrap_or_default();
        let Some(end) = closing(inner, mark) else { break };
        let (value, after) = inner.split_at(end);
        words(before, &mut out);
        out.push(mark);
        out.push_str(&masked(value));
        out.push(mark);
        rest = after.get(1..).unwrap_or_default();
    }
    words(rest, &mut out);
    out
}

/// The mark that closes a value; one behind a backslash is a part of it.
fn closing(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, char)| {
        let closes = char == mark && !escaped;
        escaped = char == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn words(text: &str, out: &mut String) {
    for word in text.split_inclusive(' ') {
        out.push_str(&masked(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_host_or_behind_it_is_not_repeated() {
        for (value, shown) in [
            ("http://user:password@10.0.0.1:9", "http://***@10.0.0.1:9"),
            ("https://u:p@ss/w?rd@h/x", "https://***@h/x"),
            ("user:password@10.0.0.1", "***@10.0.0.1"),
            ("https://h/hook?token=canary", "https://h/hook?***"),
            ("https://u:p@h/hook?token=canary", "https://***@h/hook?***"),
            ("http://10.0.0.1:9", "http://10.0.0.1:9"),
            ("@github", "@github"),
            ("no?url", "no?url"),
            ("", ""),
        ] {
            assert_eq!(masked(value), shown);
        }
    }

    #[test]
    fn a_sentence_is_masked_value_by_value() {
        let said = |text: &str| sentence(text.to_owned());
        assert_eq!(said("\"http://u:p w@h\" is not \"a@b\" `c:d@e`"), "\"http://***@h\" is not \"***@b\" `***@e`");
        assert_eq!(said("http://u:p@h is listed twice"), "http://***@h is listed twice");
        assert_eq!(said("\"http://u:p\\\"w@h\" is odd"), "\"http://***@h\" is odd", "a quotation mark in it");
        assert_eq!(said("\"@github\" stays, and it's \"open"), "\"@github\" stays, and it's \"open");
    }
}
