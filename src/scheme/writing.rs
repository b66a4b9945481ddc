//! Messages that are another writing of a request, and not pieces of its text: sorted fields, PHP's serialisation, JSON with
//! sorted keys, a URL escaped once more, headers that the request lists.
//!
//! Each is as one provider's own library has it. What two readers could write differently is no message: a field, a key or a
//! header that is there twice.

use std::borrow::Cow;
use std::fmt;

use super::form::Field;
use super::json::{JsonPath, text};
use super::message::{Feed, Sink};
use super::message_signature::Base;
use super::source::{Facts, Source};
use super::template::{Segment, bare, is_token, placeholder};
use super::url::PublicUrl;
use super::wrapping::SignatureSpec;
use crate::domain::Refusal;

/// Headers that a request may list.
const MAX_HEADERS: usize = 32;
/// Parts of `{sorted(…)}`.
const MAX_PARTS: usize = 8;

/// How the request is written once more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Writing {
    /// `a=1&b=2`, sorted by name and not encoded, without the signature and these fields.
    Pairs(Box<[Box<str>]>),
    /// As PHP's `serialize` writes an array of them, without the signature and these fields.
    Php(Box<[Box<str>]>),
    /// The public URL with its query sorted and the sorted form behind it.
    UrlForm,
    /// The public URL's host, without its port.
    UrlHost,
    /// The public URL's path, and the query.
    UrlTarget,
    /// The same, with the query escaped once and everything a second time.
    UrlEscaped,
    /// The body, which is JSON, with the keys of every object sorted and without blanks.
    SortedJson,
    /// The body as a JSON string.
    JsonString,
    /// A member as it is written.
    Raw(JsonPath),
    /// `name:value;name:value` of the headers that one header lists, in its order. The others must be among them.
    Headers { list: Source, required: Box<[Source]> },
    /// The values of these one behind the other, in the order of their bytes.
    Sorted(Vec<Segment>),
    /// Of an HTTP message signature.
    SignatureBase(Box<Base>),
}

impl Writing {
    /// `pairs(form,sign_type)`; `None`: it is nothing of the kind.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let arguments = |function: &str| {
            let inner = name.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')')?;
            let list: Vec<&str> = inner.split(',').collect();
            list.iter().all(|argument| !argument.is_empty()).then_some(list)
        };
        let of_form = |function: &str| {
            let list = arguments(function)?;
            let (form, without) = list.split_first()?;
            (*form == "form").then(|| without.iter().map(|name| Box::from(*name)).collect())
        };
        Some(match name {
            "url:form" => Self::UrlForm,
            "url:host" => Self::UrlHost,
            "url:target" => Self::UrlTarget,
            "url:escaped" => Self::UrlEscaped,
            "sorted-json(body)" => Self::SortedJson,
            "json-string(body)" => Self::JsonString,
            _ if name.starts_with("pairs(") => Self::Pairs(of_form("pairs")?),
            _ if name.starts_with("php(") => Self::Php(of_form("php")?),
            _ if name.starts_with("sorted(") => {
                let list = arguments("sorted")?;
                let known = |segment: &Segment| matches!(segment, Segment::Source(_) | Segment::Secret);
                let parts: Vec<Segment> =
                    list.into_iter().filter_map(|name| placeholder(name).ok()).filter(known).collect();
                let sound = parts.len() == arguments("sorted")?.len() && (2..=MAX_PARTS).contains(&parts.len());
                return sound.then_some(Self::Sorted(parts));
            }
            _ => {
                if let Some(path) = name.strip_prefix("raw:") {
                    return JsonPath::parse(path).filter(|path| !path.is_list()).map(Self::Raw);
                }
                let names: Vec<&str> = name.strip_prefix("headers:")?.split(',').collect();
                let (list, required) = names.split_first()?;
                if !names.iter().all(|name| is_token(name)) {
                    return None;
                }
                let header = |name: &str| Source::Header(name.to_ascii_lowercase().into());
                Self::Headers { list: header(list), required: required.iter().map(|name| header(name)).collect() }
            }
        })
    }

    /// Whether every byte of the body is in it; of a form every field but the signature and those that are left out.
    pub(super) fn covers_body(&self) -> bool {
        matches!(self, Self::Pairs(_) | Self::Php(_) | Self::UrlForm | Self::SortedJson | Self::JsonString)
    }

    pub(super) fn signs_url(&self) -> bool {
        match self {
            Self::SignatureBase(base) => base.signs_url(),
            other => matches!(other, Self::UrlForm | Self::UrlHost | Self::UrlTarget | Self::UrlEscaped),
        }
    }

    /// Whether a part of the request cannot be changed without changing it.
    pub(super) fn covers(&self, wanted: &Source) -> bool {
        match (self, wanted) {
            (Self::Pairs(without) | Self::Php(without), Source::Form(name)) => !without.contains(name),
            (Self::UrlForm, Source::Form(_))
            | (Self::UrlForm | Self::UrlTarget | Self::UrlEscaped, Source::Query(_))
            | (Self::SortedJson | Self::JsonString, Source::Json(_)) => true,
            (Self::Raw(path), Source::Json(wanted)) => wanted.is_in(path),
            (Self::Headers { list, required }, wanted) => list == wanted || required.contains(wanted),
            (Self::SignatureBase(base), wanted) => base.covers(wanted),
            (Self::Sorted(parts), wanted) => {
                parts.iter().any(|part| matches!(part, Segment::Source(source) if source == wanted))
            }
            _ => false,
        }
    }

    /// What a sender has to make before it can be written: headers that list others, and members.
    pub(super) fn made(&self) -> Option<(Source, String)> {
        match self {
            Self::Headers { list, required } => {
                let mut names: Vec<&str> = required.iter().chain([list]).filter_map(Source::header).collect();
                names.sort_unstable();
                Some((list.clone(), names.join(",")))
            }
            Self::Raw(path) => Some((Source::Json(path.clone()), "made".to_owned())),
            _ => None,
        }
    }

    /// Whether a signature at this place would be in it.
    pub(super) fn holds(&self, place: &Source) -> bool {
        match (self, place) {
            (Self::Pairs(_) | Self::Php(_), Source::Form(_)) => false,
            (Self::Headers { .. }, Source::Header(_)) => false,
            (_, place) => self.covers(place),
        }
    }

    /// Whether equal bodies at one route give equal writings.
    pub(super) fn is_the_bodys(&self) -> bool {
        !matches!(self, Self::Headers { .. } | Self::Sorted(_) | Self::Raw(_) | Self::SignatureBase(_))
    }

    /// Whether its text may end, or begin, with whatever the sender chooses.
    pub(crate) fn is_open(&self) -> bool {
        // What begins with `{` or `"` ends where JSON ends; a host is configured.
        !matches!(self, Self::UrlHost | Self::SortedJson | Self::JsonString | Self::Raw(_) | Self::SignatureBase(_))
    }

    pub(super) fn pour(&self, feed: &Feed<'_, '_>, sink: &mut impl Sink) -> Result<(), Refusal> {
        let facts = feed.facts;
        match self {
            Self::Pairs(without) => {
                for (at, (name, value)) in fields(facts, feed.signature, without)?.iter().enumerate() {
                    sink.update(if at > 0 { b"&" } else { b"" });
                    sink.update(name);
                    sink.update(b"=");
                    sink.update(value);
                }
            }
            Self::Php(without) => php(&fields(facts, feed.signature, without)?, sink)?,
            Self::UrlForm => url_form(public(feed)?, feed, sink)?,
            Self::UrlHost => sink.update(public(feed)?.host().as_bytes()),
            Self::UrlTarget => {
                sink.update(path(public(feed)?, facts).as_bytes());
                if let Some(query) = facts.head.query() {
                    sink.update(b"?");
                    sink.update(query.as_bytes());
                }
            }
            Self::UrlEscaped => {
                escape(path(public(feed)?, facts).as_bytes(), URI, sink);
                if let Some(query) = facts.head.query().filter(|query| !query.is_empty()) {
                    let mut once = Vec::with_capacity(query.len() * 3);
                    escape(query.as_bytes(), COMPONENT, &mut once);
                    sink.update(b"?");
                    escape(&once, URI, sink);
                }
            }
            Self::SortedJson => sink.update(&text::sorted(facts.body).map_err(|_| Refusal::MessageIncomplete)?),
            Self::JsonString => {
                let body = std::str::from_utf8(facts.body).map_err(|_| Refusal::MessageIncomplete)?;
                sink.update(serde_json::Value::from(body).to_string().as_bytes());
            }
            Self::Raw(path) => {
                let raw = text::member(facts.body, path).map_err(|_| Refusal::MessageIncomplete)?;
                sink.update(raw.ok_or(Refusal::MessageIncomplete)?);
            }
            Self::Headers { list, required } => headers(facts, list, required, sink)?,
            Self::SignatureBase(base) => base.pour(feed, sink)?,
            Self::Sorted(parts) => {
                let mut values: Vec<Cow<'_, [u8]>> = Vec::with_capacity(parts.len());
                for part in parts {
                    values.push(match part {
                        Segment::Source(source) => facts.read(source)?.ok_or(Refusal::MessageIncomplete)?,
                        _ => Cow::Borrowed(feed.secret.expose()),
                    });
                }
                values.sort_unstable();
                values.iter().for_each(|value| sink.update(value));
            }
        }
        Ok(())
    }
}

fn public<'f>(feed: &Feed<'f, '_>) -> Result<&'f PublicUrl, Refusal> {
    feed.url.ok_or(Refusal::MessageIncomplete)
}

fn path<'f>(url: &'f PublicUrl, facts: &'f Facts<'_>) -> &'f str {
    url.path().unwrap_or_else(|| facts.head.path())
}

/// The form's fields by name, without the signature's own and those that nobody signs.
fn fields<'f>(
    facts: &'f Facts<'_>,
    signature: Option<&SignatureSpec>,
    without: &[Box<str>],
) -> Result<Vec<&'f Field<'f>>, Refusal> {
    let own = |name: &[u8]| {
        let places = signature.into_iter().flat_map(|spec| &spec.places);
        places.into_iter().any(|place| matches!(place, Source::Form(own) if *own.as_bytes() == *name))
    };
    let left_out = |name: &[u8]| without.iter().any(|known| *known.as_bytes() == *name);
    let form: &'f [Field<'f>] = facts.form()?.ok_or(Refusal::MessageIncomplete)?;
    let mut fields: Vec<&Field<'_>> = form.iter().filter(|(name, _)| !own(name) && !left_out(name)).collect();
    fields.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    match fields.windows(2).any(|pair| matches!(pair, [left, right] if left.0 == right.0)) {
        true => Err(Refusal::MessageIncomplete),
        false => Ok(fields),
    }
}

/// `a:1:{s:1:"k";s:1:"v";}`, lengths in bytes. PHP makes numbers of names that look like them, and arrays of names with brackets.
fn php(fields: &[&Field<'_>], sink: &mut impl Sink) -> Result<(), Refusal> {
    let is_text = |name: &[u8]| name.first().is_some_and(|first| !first.is_ascii_digit() && *first != b'-');
    if !fields.iter().all(|(name, _)| is_text(name) && !name.contains(&b'[')) {
        return Err(Refusal::MessageIncomplete);
    }
    sink.update(format!("a:{}:{{", fields.len()).as_bytes());
    for (name, value) in fields {
        for text in [name, value] {
            sink.update(format!("s:{}:\"", text.len()).as_bytes());
            sink.update(text);
            sink.update(b"\";");
        }
    }
    sink.update(b"}");
    Ok(())
}

/// `https://host/path?a=1&b=2.c3`: the query sorted and decoded, a full stop where both it and a form are there, and the form's
/// names and values by name.
fn url_form(url: &PublicUrl, feed: &Feed<'_, '_>, sink: &mut impl Sink) -> Result<(), Refusal> {
    let facts = feed.facts;
    sink.update(url.origin(feed.other_port).as_bytes());
    sink.update(path(url, facts).as_bytes());
    let query = super::form::fields(facts.head.query().unwrap_or_default().as_bytes());
    let mut query = query.map_err(|_| Refusal::MessageIncomplete)?;
    query.sort_unstable();
    let mut form: Vec<Field<'_>> = facts.form()?.ok_or(Refusal::MessageIncomplete)?.to_vec();
    form.sort_unstable();
    if !query.is_empty() || !form.is_empty() {
        sink.update(b"?");
    }
    for (at, (name, value)) in query.iter().enumerate() {
        sink.update(if at > 0 { b"&" } else { b"" });
        [&**name, b"=", &**value].into_iter().for_each(|piece| sink.update(piece));
    }
    if !query.is_empty() && !form.is_empty() {
        sink.update(b".");
    }
    for (name, value) in &form {
        sink.update(name);
        sink.update(value);
    }
    Ok(())
}

/// What JavaScript's `encodeURI` leaves as it is, beside letters and digits.
const URI: &[u8] = b";,/?:@&=+$-_.!~*'()#";
/// The same of `encodeURIComponent`.
const COMPONENT: &[u8] = b"-_.!~*'()";

fn escape(text: &[u8], plain: &[u8], sink: &mut impl Sink) {
    for byte in text {
        match byte.is_ascii_alphanumeric() || plain.contains(byte) {
            true => sink.update(&[*byte]),
            false => sink.update(format!("%{byte:02X}").as_bytes()),
        }
    }
}

/// The list is sorted, so that one set of headers has one writing.
fn headers(facts: &Facts<'_>, list: &Source, required: &[Source], sink: &mut impl Sink) -> Result<(), Refusal> {
    let listed = facts.read(list)?.ok_or(Refusal::MessageIncomplete)?;
    let listed = std::str::from_utf8(&listed).map_err(|_| Refusal::MessageIncomplete)?;
    let names: Vec<&str> = listed.split(',').take(MAX_HEADERS + 1).collect();
    let has = |wanted: &Source| wanted.header().is_some_and(|wanted| names.contains(&wanted));
    let sorted = names.windows(2).all(|pair| matches!(pair, [left, right] if left < right));
    let plain = names.iter().all(|name| is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
    if names.len() > MAX_HEADERS || !sorted || !plain || !has(list) || !required.iter().all(has) {
        return Err(Refusal::MessageIncomplete);
    }
    for (at, name) in names.into_iter().enumerate() {
        let value = facts.header(name)?.ok_or(Refusal::MessageIncomplete)?;
        sink.update(if at > 0 { b";" } else { b"" });
        [name.as_bytes(), b":", value.trim_ascii()].into_iter().for_each(|piece| sink.update(piece));
    }
    Ok(())
}

/// As templates have it between their braces.
impl fmt::Display for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = |f: &mut fmt::Formatter<'_>, function: &str, without: &[Box<str>]| {
            write!(f, "{function}(form")?;
            without.iter().try_for_each(|name| write!(f, ",{name}"))?;
            f.write_str(")")
        };
        match self {
            Self::Pairs(without) => form(f, "pairs", without),
            Self::Php(without) => form(f, "php", without),
            Self::UrlForm => f.write_str("url:form"),
            Self::UrlHost => f.write_str("url:host"),
            Self::UrlTarget => f.write_str("url:target"),
            Self::UrlEscaped => f.write_str("url:escaped"),
            Self::SortedJson => f.write_str("sorted-json(body)"),
            Self::JsonString => f.write_str("json-string(body)"),
            Self::Raw(path) => write!(f, "raw:{path}"),
            Self::Headers { list, required } => {
                write!(f, "headers:{}", list.header().unwrap_or_default())?;
                required.iter().try_for_each(|one| write!(f, ",{}", one.header().unwrap_or_default()))
            }
            Self::SignatureBase(base) => write!(f, "{base}"),
            Self::Sorted(parts) => write!(f, "sorted({})", parts.iter().map(bare).collect::<Vec<_>>().join(",")),
        }
    }
}

#[cfg(test)]
mod tests;
