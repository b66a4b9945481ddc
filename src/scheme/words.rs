//! Parts of a request and their shapes in words, for people who have not read the grammar of recipes.

use super::check::envelope::Envelope;
use super::compiled::{Scheme, TimePlace, TimeSpec};
use super::shape::{Look, Shape};
use super::source::{Facts, Source};
use super::url::PublicUrl;
use super::wrapping::{Item, Named, SignatureSpec, Wrapping};

/// Names of a list's items that are shown.
const MAX_NAMES: usize = 4;
/// Longest name of an item that is shown: a longer one names no version.
const MAX_NAME: usize = 8;
/// Longest name of a query's member that is shown.
const MAX_MEMBER: usize = 32;

/// `header webhook-id`.
pub(super) fn source(source: &Source) -> String {
    match source {
        Source::Header(name) => format!("header {name}"),
        Source::Query(name) => format!("query parameter {name}"),
        Source::Form(name) => format!("form field {name}"),
        Source::Json(path) => format!("JSON member {path}"),
        Source::Claim(path) => format!("claim {path} of the token"),
    }
}

/// Where the time is.
pub(super) fn time_place(time: &TimeSpec) -> String {
    match &time.place {
        TimePlace::Source(at) => source(at),
        TimePlace::Item(Item::Named(name)) => format!("item `{name}` beside the signature"),
        TimePlace::Item(Item::Position(at)) => format!("item {at} beside the signature"),
    }
}

/// Where a signature or token is looked for.
pub(super) fn proof_places(scheme: &Scheme) -> String {
    scheme.check.kind().places().join(", or ")
}

/// What a part must look like: follows "is" and "must be".
pub(super) fn look(look: &Look) -> String {
    match look {
        Look::Of(of) => shape(*of).to_owned(),
        Look::Like(_) => format!("like {look}"),
    }
}

/// What of a value does not fit.
pub(super) fn odd(look: &Look, value: &[u8]) -> String {
    match look {
        Look::Of(shape) => misfit(*shape, value),
        Look::Like(_) => "it is another address".to_owned(),
    }
}

/// What a shape allows: follows "is" and "must be".
pub(super) fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Uuid => "a UUID (8-4-4-4-12 hexadecimal digits)",
        Shape::Token => "1 to 256 letters, digits, hyphens and underscores",
        Shape::Digits => "1 to 20 digits",
        Shape::Base64 => "1 to 256 characters of base64",
        Shape::Line => "one line without control characters",
    }
}

/// What of a value does not fit. Of the value itself no more than one character is shown.
pub(super) fn misfit(shape: Shape, value: &[u8]) -> String {
    match first_odd(value, |byte| shape.allows(byte)) {
        Some(odd) => odd,
        None if shape == Shape::Uuid && value.len() == 36 => "its hyphens stand elsewhere".to_owned(),
        None => format!("it has {} characters", value.len()),
    }
}

/// Why a value is no id; `None` where it is one.
pub(super) fn no_id(value: &[u8], most: usize) -> Option<String> {
    let long = (value.len() > most).then(|| format!("it has {} characters", value.len()));
    first_odd(value, |byte| byte.is_ascii_graphic()).or(long)
}

fn first_odd(value: &[u8], allowed: impl Fn(u8) -> bool) -> Option<String> {
    if value.is_empty() {
        return Some("it is empty".to_owned());
    }
    let (at, byte) = value.iter().enumerate().find(|(_, byte)| !allowed(**byte))?;
    let what = match byte {
        b' ' | b'\t' => "a blank".to_owned(),
        byte if byte.is_ascii_graphic() => format!("the character `{}`", char::from(*byte)),
        _ => "something other than visible ASCII".to_owned(),
    };
    Some(format!("it has {what} at position {}", at + 1))
}

/// What a place holds that is there and has no signature in it: `holds only v1a, which the scheme does not take (it takes v1)`.
/// `None`: the place is not there.
pub(super) fn without_signature(scheme: &Scheme, spec: &SignatureSpec, facts: &Facts<'_>) -> Option<String> {
    let (place, text) = spec.places.iter().find_map(|place| Some((place, facts.read(place).ok().flatten()?)))?;
    let place = source(place);
    Some(match &spec.wrapping {
        _ if text.is_empty() => format!("{place} is there, but empty"),
        Wrapping::Named(Named { names: taken, .. }) => {
            let taken = taken.join(" or ");
            let found = spec.item_names(&text).into_iter().filter(|name| is_name(name) && !is_time(scheme, name));
            let mut found: Vec<String> = found.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            found.sort();
            found.dedup();
            found.truncate(MAX_NAMES);
            if found.is_empty() {
                format!("{place} is there, but nothing in it is marked as {taken}")
            } else {
                format!("{place} is there, but holds only {}; the scheme takes {taken} alone", found.join(", "))
            }
        }
        Wrapping::Positional { from, .. } => {
            format!("{place} is there, but its list ends before position {from}, where signatures begin")
        }
        Wrapping::Dictionary { label: Some(label) } => format!("{place} is there, but has no signature called {label}"),
        Wrapping::Bare | Wrapping::Dictionary { label: None } => {
            format!("{place} is there, but has no signature in it")
        }
    })
}

/// The item that holds the time, which is no signature.
fn is_time(scheme: &Scheme, name: &[u8]) -> bool {
    let time = scheme.timestamp.as_ref().map(|time| &time.place);
    matches!(time, Some(TimePlace::Item(Item::Named(item))) if item.as_bytes() == name)
}

fn is_name(name: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
}

/// The public URL that a signature is compared with. Of a query the names alone are shown: a value may be a secret.
pub(super) fn url_used(envelope: &Envelope, url: &PublicUrl, facts: &Facts<'_>) -> String {
    let path = url.path().unwrap_or_else(|| facts.head.path());
    let names = facts.head.query().map_or_else(String::new, |query| {
        let names: Vec<String> = query.split('&').map(hidden).collect();
        format!("?{}", names.join("&"))
    });
    let ports = if envelope.both_ports { " (with its port and without)" } else { "" };
    format!("{}{path}{names}{ports}", url.origin(false))
}

/// `a=…`.
fn hidden(field: &str) -> String {
    match field.split_once('=') {
        Some((name, _)) if name.len() <= MAX_MEMBER => format!("{}=…", name.escape_debug()),
        // It may be a value without a name, or in the place of one.
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misfit_is_named_by_its_first_fault() {
        for (form, value, words) in [
            (Shape::Token, &b"evt:1"[..], "the character `:` at position 4"),
            (Shape::Token, b"a b", "a blank at position 2"),
            (Shape::Token, b"", "it is empty"),
            (Shape::Token, "é".as_bytes(), "other than visible ASCII at position 1"),
            (Shape::Token, &[b'a'; 257], "it has 257 characters"),
            (Shape::Uuid, b"0191e2a4", "it has 8 characters"),
            (Shape::Uuid, b"{0191e2a4}", "the character `{` at position 1"),
            (Shape::Uuid, &[b'a'; 36], "its hyphens stand elsewhere"),
            (Shape::Digits, b"-1", "the character `-` at position 1"),
        ] {
            assert!(!form.fits(value));
            assert!(misfit(form, value).contains(words), "{}", misfit(form, value));
        }
    }

    #[test]
    fn values_of_a_query_are_hidden() {
        assert_eq!(hidden("api-key=s3cret=="), "api-key=…");
        assert_eq!(hidden("s3cret-without-a-name"), "…");
    }
}
