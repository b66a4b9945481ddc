//! `challenge`, compiled: how a challenge is recognised, and what it is answered with.
//!
//! The rule that keeps a challenge honest lives here: what is computed with a secret that proves webhooks must be kept apart from
//! their signatures.

use std::ops::Range;

use bytes::Bytes;
use toml::Spanned;

use super::keys::key;
use super::raw::{RawChallenge, RawChallengeAnswer, RawCondition, RawPiece, RawPieceTable};
use super::words::Scope;
use crate::domain::Method;
use crate::scheme::Challenge;
use crate::scheme::algorithm::Algorithm;
use crate::scheme::challenge::{Body, Computed, Condition, Guard, Is, Reply, Value, With};
use crate::scheme::check::Check;
use crate::scheme::check::mac::Function;
use crate::scheme::compiled::Scheme;
use crate::scheme::shape::Shape;
use crate::scheme::source::Source;
use crate::scheme::template::{Segment, Template};

/// Conditions of one challenge.
const MAX_CONDITIONS: usize = 8;
/// Pieces of one answer.
const MAX_PIECES: usize = 8;
/// Fields that no challenge may write: what they say is the relay's to say, or opens a door in a browser.
const OWN_FIELDS: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "location",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];

/// A challenge, and the shapes that bodies of webhooks may not have beside it.
pub(super) fn compile(raw: &RawChallenge, scheme: &Scheme, scope: &mut Scope<'_>) -> Option<(Challenge, Vec<Shape>)> {
    let when = conditions(&raw.when, scope);
    let reply = reply(&raw.answer, scope);
    let challenge = Challenge::new(when?, raw.signed, reply?);
    let mut reserved = Vec::new();
    for computed in challenge.computed() {
        match guard(computed, scheme, raw.signed) {
            Guard::Apart => {}
            Guard::Bodies(shape) => reserved.push(shape),
            Guard::Open => {
                let what = "is computed as the signatures of webhooks are, so whoever asks could get the signature of a webhook";
                let help = "compute it of one part of the request, and give that a shape: shape = \"token\" (uuid, digits, base64)";
                scope.problem(Some(raw.answer.span()), "challenge.answer", what, Some(help));
                return None;
            }
        }
    }
    Some((challenge, reserved))
}

/// What keeps it apart from every message that the scheme signs. One that is signed itself is asked for by the provider alone.
fn guard(computed: &Computed, scheme: &Scheme, signed: bool) -> Guard {
    let Check::Mac(mac) = &scheme.check else { return Guard::Apart };
    let mut found = Guard::Apart;
    for message in mac.envelope.messages() {
        match computed.guard(mac.function, mac.algorithm, &message.template) {
            Guard::Apart => {}
            Guard::Open if signed => {}
            Guard::Open => return Guard::Open,
            bodies @ Guard::Bodies(_) => found = bodies,
        }
    }
    found
}

fn conditions(raw: &Spanned<Vec<Spanned<RawCondition>>>, scope: &mut Scope<'_>) -> Option<Vec<Condition>> {
    if !(1..=MAX_CONDITIONS).contains(&raw.get_ref().len()) {
        let what = format!("expected 1 to {MAX_CONDITIONS} conditions, found {}", raw.get_ref().len());
        scope.problem(
            Some(raw.span()),
            "challenge.when",
            what,
            Some("for instance [{ method = \"GET\" }, { query = \"challenge\" }]"),
        );
        return None;
    }
    let found: Vec<Option<Condition>> = raw.get_ref().iter().map(|raw| condition(raw, scope)).collect();
    found.into_iter().collect()
}

fn condition(at: &Spanned<RawCondition>, scope: &mut Scope<'_>) -> Option<Condition> {
    const NAME: &str = "challenge.when";
    let raw = at.get_ref();
    let places = places([&raw.header, &raw.query, &raw.form, &raw.json], NAME, scope);
    match (&raw.method, places.len()) {
        (Some(text), 0) => {
            let method = Method::parse(text.get_ref());
            if method == Method::Other || raw.equals.is_some() || raw.is_secret {
                let what = format!("expected an upper-case method and nothing beside it, found `{}`", text.get_ref());
                scope.problem(Some(text.span()), NAME, what, None);
                return None;
            }
            Some(Condition::Method(method))
        }
        (None, 1) => {
            let is = match (&raw.equals, raw.is_secret) {
                (None, false) => Is::There,
                (Some(text), false) => Is::Equal(text.as_str().into()),
                (None, true) => Is::Secret,
                (Some(_), true) => {
                    scope.problem(Some(at.span()), NAME, "equals and is_secret exclude each other", None);
                    return None;
                }
            };
            Some(Condition::Part(places.into_iter().next().flatten()?, is))
        }
        _ => {
            let what = "expected one of method, header, query, form and json";
            scope.problem(Some(at.span()), NAME, what, Some("each condition is a table of its own in the list"));
            None
        }
    }
}

fn places(texts: [&Option<Spanned<String>>; 4], name: &str, scope: &mut Scope<'_>) -> Vec<Option<Source>> {
    let [header, query, form, json] = texts;
    let mut places = Vec::new();
    places.extend(header.as_ref().map(|text| scope.header(text, name)));
    places.extend(query.as_ref().map(|text| scope.query(text, name)));
    places.extend(form.as_ref().map(|text| scope.form(text, name)));
    places.extend(json.as_ref().map(|text| scope.json(text, name).map(Source::Json)));
    places
}

fn reply(at: &Spanned<RawChallengeAnswer>, scope: &mut Scope<'_>) -> Option<Reply> {
    const NAME: &str = "challenge.answer";
    let (span, raw) = (at.span(), at.get_ref());
    let status = *raw.status.get_ref();
    if !(200..=299).contains(&status) && status != 404 {
        let what = format!("expected a status from 200 to 299, or 404, found {status}");
        scope.problem(Some(raw.status.span()), NAME, what, None);
        return None;
    }
    let body = match (&raw.body, &raw.text, &raw.json) {
        (None, None, None) => Body::Fixed(Bytes::new()),
        (Some(text), None, None) => Body::Fixed(Bytes::from(text.clone())),
        (None, Some(pieces), None) => Body::Text(pieces_of(pieces.iter(), span.clone(), scope)?),
        (None, None, Some(members)) => {
            let values = pieces_of(members.values(), span.clone(), scope)?;
            Body::Json(members.keys().map(|name| name.as_str().into()).zip(values).collect())
        }
        _ => {
            scope.problem(Some(span), NAME, "body, text and json exclude each other", None);
            return None;
        }
    };
    let fixed = matches!(body, Body::Fixed(_));
    if let (Some(text), true) = (&raw.content_type, !fixed || !is_plain(raw.content_type.as_deref())) {
        let what = format!("`{text}` is no content type of an answer: text/plain and application/json are");
        scope.problem(Some(span), NAME, what, Some("text and json have one of their own; leave content_type out"));
        return None;
    }
    let mut headers = Vec::new();
    for (name, piece) in &raw.headers {
        let known = OWN_FIELDS.iter().any(|own| name.get_ref().eq_ignore_ascii_case(own));
        if known {
            let what = format!("`{}` is the relay's to write", name.get_ref());
            scope.problem(Some(name.span()), NAME, what, None);
            return None;
        }
        scope.header(name, NAME)?;
        headers.push((name.get_ref().to_ascii_lowercase().into(), value(piece, name.span(), scope)?));
    }
    let content_type =
        raw.content_type.clone().or_else(|| raw.body.as_ref().map(|_| "text/plain; charset=utf-8".to_owned()));
    Some(Reply { status, content_type: content_type.map(Into::into), headers, body })
}

/// Never HTML, nor anything else that a browser runs.
fn is_plain(content_type: Option<&str>) -> bool {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    ["text/plain", "application/json"].iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

fn pieces_of<'p>(
    pieces: impl ExactSizeIterator<Item = &'p RawPiece>,
    span: Range<usize>,
    scope: &mut Scope<'_>,
) -> Option<Vec<Value>> {
    if !(1..=MAX_PIECES).contains(&pieces.len()) {
        let what = format!("expected 1 to {MAX_PIECES} pieces, found {}", pieces.len());
        scope.problem(Some(span), "challenge.answer", what, None);
        return None;
    }
    let values: Vec<Option<Value>> = pieces.map(|piece| value(piece, span.clone(), scope)).collect();
    values.into_iter().collect()
}

fn value(raw: &RawPiece, span: Range<usize>, scope: &mut Scope<'_>) -> Option<Value> {
    const NAME: &str = "challenge.answer";
    let table = match raw {
        RawPiece::Text(text) => return Some(Value::Literal(text.as_str().into())),
        RawPiece::Table(table) => table,
    };
    let mut places = places([&table.header, &table.query, &table.form, &table.json], NAME, scope);
    let functions = [(&table.hmac, Function::Hmac), (&table.digest, Function::Digest)];
    let mut functions = functions.into_iter().filter_map(|(text, function)| Some((text.as_ref()?, function)));
    match (places.pop(), functions.next(), places.len() + functions.count()) {
        (Some(place), None, 0) => {
            if is_bare(table) {
                return place.map(Value::Echo);
            }
            let what = "a part of the request is said again as it is: of, shape, prefix, encoding and key are for hmac and digest";
            scope.problem(Some(span), NAME, what, None);
            None
        }
        (None, Some((text, function)), 0) => {
            let algorithm = scope.algorithm(text, NAME);
            computed(table, function, algorithm?, span, scope).map(Value::Computed)
        }
        _ => {
            scope.problem(Some(span), NAME, "expected one of header, query, form, json, hmac and digest", None);
            None
        }
    }
}

fn is_bare(table: &RawPieceTable) -> bool {
    let texts = table.of.is_none() && table.shape.is_none() && table.prefix.is_none() && table.encoding.is_none();
    texts && table.key.is_none() && !table.with_challenge_secret
}

fn computed(
    table: &RawPieceTable,
    function: Function,
    algorithm: Algorithm,
    span: Range<usize>,
    scope: &mut Scope<'_>,
) -> Option<Computed> {
    const NAME: &str = "challenge.answer";
    let Some(of) = &table.of else {
        scope.problem(Some(span), NAME, "does not say of what", Some("for instance of = \"{query:challenge}\""));
        return None;
    };
    let template = match Template::parse(of.get_ref()) {
        Ok(template) => template,
        Err(fault) => {
            scope.problem(Some(of.span()), NAME, fault.what, fault.help.as_deref());
            return None;
        }
    };
    let allowed = |segment: &Segment| matches!(segment, Segment::Literal(_) | Segment::Source(_) | Segment::Secret);
    let secret = template.has(&Segment::Secret);
    let sound = match function {
        Function::Hmac => !secret,
        Function::Digest => secret,
    };
    if !template.segments().iter().all(allowed) || !sound {
        let what = "has parts of the request and fixed text in it, and {secret} exactly where it is a digest";
        scope.problem(Some(of.span()), NAME, what, None);
        return None;
    }
    let shape = match &table.shape {
        Some(text) => Some(scope.word(text, NAME, &Shape::ALL, Shape::as_str)?),
        None => None,
    };
    let encoding = scope.encoding(table.encoding.as_ref(), NAME)?;
    let key = match &table.key {
        Some(raw) => Some(key(Some(raw), scope)?),
        None => None,
    };
    let with = if table.with_challenge_secret { With::Challenge } else { With::Secrets };
    let prefix = table.prefix.as_deref().unwrap_or_default().into();
    Some(Computed { function, algorithm, of: template, shape, prefix, encoding, key, with })
}

#[cfg(test)]
mod tests;
