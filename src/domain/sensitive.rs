//! What of a request is never shown, and what of it is not even kept: the one place that knows.
//!
//! Built from the whole configuration, because a sender that mixes two routes up sends one's secret to the other, and asked
//! about every request whatever became of it. Two classes: a *secret* (a token, a credential) is worth as much to whoever reads
//! it as to its owner, so only a blank is kept of it; a *signature* says nothing of its secret and is kept for `explain`, but
//! neither shown nor searched.
//!
//! Three ways to find one. By name: every place that a recipe or a route reads, and fields that hold credentials everywhere. By
//! what a name says of itself, for what nobody configured. By value: a configured token is found wherever it stands in the head,
//! in a path segment as well as under another name.

mod held;
mod marks;
mod names;
mod tokens;
mod view;

use std::borrow::Cow;

use crate::base::Secret;

use self::names::{Names, telling};
use self::tokens::Tokens;
use super::Head;

pub use held::Held;
pub use marks::{Mark, Marks};
pub use view::{MASK, View};

/// Fields that hold credentials, whatever the configuration says.
const CREDENTIALS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];
/// Credentials by their scheme, also where a provider signs in the same field.
const TOKEN_SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// What a part of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Read by a scheme, and neither secret nor signature, whatever its name sounds like.
    Plain,
    /// Kept, and never shown.
    Signature,
    /// Never kept in clear text, and never shown.
    Secret,
}

/// Where such a part stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'n> {
    /// A header field, in any case.
    Field(&'n str),
    /// A query parameter, by its decoded name; also a field of a form, since senders mix the two up.
    Member(&'n str),
}

/// What is sensitive under one configuration.
#[derive(Debug)]
pub struct Sensitive {
    fields: Names,
    members: Names,
    tokens: Tokens,
}

/// Where a request's own route reads signatures: what is a token elsewhere is a signature there.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Names of header fields.
    pub fields: Vec<Box<str>>,
    /// Decoded names of query parameters.
    pub members: Vec<Box<str>>,
}

/// A head as it is kept.
#[derive(Debug)]
pub struct Kept {
    /// `None`: as it came, there is nothing in it to be blanked.
    pub head: Option<Head>,
    /// What of it is not shown.
    pub marks: Marks,
    /// What was blanked, for a request that is delivered later.
    pub held: Held,
}

/// Of a configuration that names nothing.
impl Default for Sensitive {
    fn default() -> Self {
        Self::new([], Vec::new())
    }
}

impl Sensitive {
    /// From every place that the configuration and the recipes name, and every token that a route accepts.
    pub fn new<'n>(places: impl IntoIterator<Item = (Class, Place<'n>)>, tokens: Vec<Secret>) -> Self {
        let (fields, members) = (Names::default(), Names::default());
        let mut sensitive = Self { fields, members, tokens: Tokens::new(tokens) };
        for name in CREDENTIALS {
            sensitive.fields.add(name, Class::Secret);
        }
        for (class, place) in places {
            match place {
                Place::Field(name) => sensitive.fields.add(name, class),
                Place::Member(name) => sensitive.members.add(name, class),
            }
        }
        sensitive
    }

    /// The head as it may be kept. `own`: `None` where there is no route. Nobody knows then what a parameter means, so no value
    /// of the query is kept.
    pub fn keep(&self, head: &Head, own: Option<&Own>) -> Kept {
        let member = |piece: &str| match (self.member(piece), own) {
            (_, None) => Class::Secret,
            (Class::Secret, Some(own)) if is_own_member(own, piece) && !self.spelled_token(piece) => Class::Signature,
            (class, Some(_)) => class,
        };
        let (mut marks, mut held) = (Marks::default(), Held::default());
        let mut blanked = Vec::new();
        if self.spelled_token(head.path()) {
            marks.add(Mark::Path);
            held.path = Some(head.path().to_owned());
        }
        if self.tokens.found_in(head.host().as_bytes()) {
            marks.add(Mark::Host);
            held.host = Some(head.host().to_owned());
        }
        let mut keeps_query = true;
        for (at, piece) in pieces(head.query().unwrap_or_default()).enumerate() {
            let class = if piece.is_empty() { Class::Plain } else { member(piece) };
            if class != Class::Plain {
                marks.add(Mark::Member(at));
                keeps_query &= class != Class::Secret;
            }
        }
        for (at, (name, value)) in head.headers().iter().enumerate() {
            let class = match self.field(name, value) {
                Class::Secret if own.is_some_and(|own| is_own_field(own, name)) && !self.is_token(value) => {
                    Class::Signature
                }
                class => class,
            };
            if class != Class::Plain {
                marks.add(Mark::Field(at));
            }
            if class == Class::Secret {
                held.fields.push((at, value.to_vec()));
                blanked.push(at);
            }
        }
        if !keeps_query {
            held.query = head.query().map(str::to_owned);
        }
        let head = (!held.is_empty()).then(|| {
            let blank = |query| if keeps_query { Cow::Borrowed(query) } else { blank_query(query, member) };
            let query = head.query().map(blank);
            let path = if held.path.is_some() { self.masked_path(head.path()) } else { Cow::Borrowed(head.path()) };
            let host = if held.host.is_some() { MASK } else { head.host() };
            head.with(&path, query.as_deref(), host, |at| blanked.contains(&at).then_some(&[][..]))
        });
        Kept { head, marks, held }
    }

    /// The head as it may be shown: what was marked when it came, and what the configuration of today would mark.
    pub fn view<'h>(&'h self, head: &'h Head, marks: &'h Marks) -> View<'h> {
        View::new(self, head, marks)
    }

    /// A path as it may be shown: without a segment that holds a token.
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if self.spelled_token(path) { self.masked_path(path) } else { Cow::Borrowed(path) }
    }

    /// A host as it may be shown.
    pub fn host<'p>(&self, host: &'p str) -> &'p str {
        if self.tokens.found_in(host.as_bytes()) { MASK } else { host }
    }

    /// Any other text, without the tokens in it.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let found = self.tokens.ranges(text.as_bytes());
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        for range in found {
            out.push_str(text.get(from..range.start).unwrap_or_default());
            out.push_str(MASK);
            from = range.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// A query as it may be shown.
    pub fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        masked_query(query, |_, piece| self.member(piece) != Class::Plain)
    }

    /// Whether a field of this name is not shown, whatever its value.
    pub fn hides(&self, name: &str) -> bool {
        self.field(name, b"") != Class::Plain
    }

    /// Where in a body configured tokens stand.
    pub fn tokens_in(&self, body: &[u8]) -> Vec<std::ops::Range<usize>> {
        self.tokens.ranges(body)
    }

    /// A body as it may be shown: stars in the place of every configured token, as many as it has bytes.
    pub fn body<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        let found = self.tokens_in(body);
        if found.is_empty() { Cow::Borrowed(body) } else { Cow::Owned(starred(body, &found)) }
    }

    /// What a header field is.
    fn field(&self, name: &str, value: &[u8]) -> Class {
        let class = self.fields.find(name.as_bytes()).unwrap_or_else(|| telling(name));
        if class < Class::Secret && self.tokens.found_in(value) { Class::Secret } else { class }
    }

    /// What `name=value` of a query is, in every spelling of its name. A name that stays unknown and has an escape in it may be
    /// any name.
    fn member(&self, piece: &str) -> Class {
        let name = piece.split_once('=').map_or(piece, |(name, _)| name);
        let bare = name.split('[').next().unwrap_or_default();
        let spelled = bare.contains(['%', '+']);
        let decoded = if spelled { decoded(bare) } else { Cow::Borrowed(bare.as_bytes()) };
        let class = self.members.find(&decoded).unwrap_or_else(|| match std::str::from_utf8(&decoded) {
            _ if spelled => Class::Secret,
            Ok(text) => telling(text),
            Err(_) => Class::Secret,
        });
        if class < Class::Secret && self.spelled_token(piece) { Class::Secret } else { class }
    }

    fn is_token(&self, value: &[u8]) -> bool {
        let starts =
            |scheme: &str| value.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()));
        TOKEN_SCHEMES.iter().any(|scheme| starts(scheme)) || self.tokens.found_in(value)
    }

    /// Whether a token stands in a text of the target, in any spelling of it.
    fn spelled_token(&self, text: &str) -> bool {
        !self.tokens.is_empty()
            && (self.tokens.found_in(text.as_bytes())
                || (text.contains(['%', '+']) && self.tokens.found_in(&decoded(text)))
                || (text.contains('%') && self.tokens.found_in(&decoded(&text.replace('+', "%2B")))))
    }

    /// Segments that hold a token, or all of it where one reaches over several.
    fn masked_path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let segment = |segment: &'p str| if self.spelled_token(segment) { MASK } else { segment };
        let masked = path.split('/').map(segment).collect::<Vec<_>>().join("/");
        Cow::Owned(if self.spelled_token(&masked) { format!("/{MASK}") } else { masked })
    }
}

fn is_own_field(own: &Own, name: &str) -> bool {
    own.fields.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn is_own_member(own: &Own, piece: &str) -> bool {
    let name = decoded(piece.split_once('=').map_or(piece, |(name, _)| name));
    own.members.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(&name))
}

/// The parts of a query. A semicolon parts them for some servers.
fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';'])
}

/// A query whose pieces were each replaced or left; what stands between them stays.
fn rewritten<'q>(query: &'q str, mut with: impl FnMut(usize, &'q str) -> Cow<'q, str>) -> Cow<'q, str> {
    let mut out = String::with_capacity(query.len());
    for (at, piece) in query.split_inclusive(['&', ';']).enumerate() {
        let bare = piece.strip_suffix(['&', ';']).unwrap_or(piece);
        out.push_str(&with(at, bare));
        out.push_str(piece.get(bare.len()..).unwrap_or_default());
    }
    Cow::Owned(out)
}

/// A query without the values that are not shown.
fn masked_query(query: &str, mut hidden: impl FnMut(usize, &str) -> bool) -> Cow<'_, str> {
    rewritten(query, |at, piece| match piece.split_once('=') {
        _ if piece.is_empty() || !hidden(at, piece) => Cow::Borrowed(piece),
        Some((name, _)) => Cow::Owned(format!("{name}={MASK}")),
        None => Cow::Borrowed(MASK),
    })
}

/// A query without the values that are not kept.
fn blank_query(query: &str, mut class: impl FnMut(&str) -> Class) -> Cow<'_, str> {
    rewritten(query, |_, piece| match piece.split_once('=') {
        _ if class(piece) != Class::Secret => Cow::Borrowed(piece),
        Some((name, _)) => Cow::Owned(format!("{name}=")),
        None => Cow::Borrowed(""),
    })
}

/// What percent-encoding and plus signs stand for. A broken escape stands for itself: nothing is to be verified here, and what
/// reads it leniently must not find what was missed.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escape = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let value = escape.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, value) {
            (_, Some(value)) => {
                out.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// A body with stars in these places.
pub fn starred(body: &[u8], places: &[std::ops::Range<usize>]) -> Vec<u8> {
    let mut out = body.to_vec();
    for place in places {
        if let Some(bytes) = out.get_mut(place.clone()) {
            bytes.fill(b'*');
        }
    }
    out
}

#[cfg(test)]
mod tests;
