//! The signed message as a template: parsed once into segments, fed to the hash one by one.
//!
//! The body is never copied: its segment feeds the received buffer. What is not a piece of the request's text but another
//! writing of it is a [`Writing`].

use std::fmt;

use super::algorithm::Algorithm;
use super::encoding::Encoding;
use super::json::JsonPath;
use super::message_signature::Base;
use super::source::Source;
use super::wrapping::Item;
use super::writing::Writing;

/// A piece of the signed message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Body,
    Source(Source),
    /// Every form field sorted by name, each name followed by its sorted values without repetitions.
    FormSorted,
    Method,
    /// The public URL with the request's query.
    Url,
    Path,
    /// The timestamp's text as it came.
    Timestamp,
    Id,
    Secret,
    BodyDigest(Algorithm, Encoding),
    /// A part of the request; nothing where it is absent.
    OrNothing(Source),
    /// Left out as a whole where one of its parts is absent.
    Group(Template),
    /// In lower case, as far as it is ASCII.
    Lower(Box<Segment>),
    /// What stands beside the signature.
    Item(Item),
    /// The id of the key that is tried.
    KeyId,
    /// CRC-32 of the body, in decimal.
    Checksum,
    /// Another writing of the request.
    Written(Writing),
    /// The body in base64url.
    BodyEncoded,
    /// `Name: value` and a line feed for each header field that a member of the token's header lists.
    Listed(Box<str>),
}

/// A message in segments; never empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Segment>);

/// What is wrong with a template, as a phrase for a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateFault {
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

const PLACEHOLDERS: &str = "{body}, {header:Name}, {query:name}, {form:name}, {form:sorted}, {json:path}, {method}, \
     {url}, {path}, {timestamp}, {id}, {secret}, {key_id}, {item:name}, {hex(sha256(body))}, {crc32(body)} and those of \
     docs/schemes.md; {{ and }} stand for braces";

impl Template {
    /// Parses `v0:{timestamp}:{body}` and the like.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateFault> {
        let (template, rest) = Self::part(text, false)?;
        debug_assert!(rest.is_empty());
        if template.0.is_empty() {
            return Err(fault("the message is empty", None));
        }
        Ok(template)
    }

    /// Up to the end, or up to the `]}` that closes a group; and what is left.
    fn part(text: &str, in_group: bool) -> Result<(Self, &str), TemplateFault> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let (true, Some(after)) = (in_group, rest.strip_prefix("]}")) {
                flush(&mut literal, &mut segments);
                return Ok((Self(segments), after));
            }
            rest = match (next, rest.strip_prefix("{{"), rest.strip_prefix("}}"), rest.strip_prefix("{[")) {
                ('{', Some(after), ..) | ('}', _, Some(after), _) => {
                    literal.push(next);
                    after
                }
                ('{', .., Some(_)) if in_group => return Err(fault("a group stands in another one", None)),
                ('{', .., Some(inner)) => {
                    flush(&mut literal, &mut segments);
                    let (group, after) = Self::part(inner, true)?;
                    if group.needed().next().is_none() {
                        let help = "put a part of the request into it, such as {json:Subject}";
                        return Err(fault("a group has nothing in it that could be absent", Some(help.into())));
                    }
                    segments.push(Segment::Group(group));
                    after
                }
                ('{', ..) => {
                    let (name, after) =
                        rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).ok_or_else(|| {
                            fault("a placeholder is not closed", Some("write {{ for a literal brace".into()))
                        })?;
                    flush(&mut literal, &mut segments);
                    segments.push(placeholder(name)?);
                    after
                }
                ('}', ..) => return Err(fault("a } closes nothing", Some("write }} for a literal brace".into()))),
                _ => {
                    literal.push(next);
                    rest.strip_prefix(next).unwrap_or_default()
                }
            };
        }
        if in_group {
            return Err(fault("a group is not closed", Some("write ]} behind it".into())));
        }
        flush(&mut literal, &mut segments);
        Ok((Self(segments), ""))
    }

    /// In order.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The same with the pieces of each group in its place.
    pub(crate) fn pieces(&self) -> Vec<&Segment> {
        let mut found = Vec::new();
        for segment in &self.0 {
            match segment {
                Segment::Group(group) => found.extend(group.pieces()),
                segment => found.push(segment),
            }
        }
        found
    }

    /// Whether a segment is in it.
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        self.any(&mut |found| found == segment)
    }

    pub(crate) fn any(&self, is: &mut impl FnMut(&Segment) -> bool) -> bool {
        self.0.iter().any(|segment| match segment {
            Segment::Group(group) => group.any(is),
            Segment::Lower(inner) => is(inner),
            Segment::Written(Writing::Sorted(parts)) => parts.iter().any(&mut *is),
            segment => is(segment),
        })
    }

    /// Whether every byte of the body is in it, directly or by a digest.
    pub(crate) fn covers_body(&self) -> bool {
        self.0.iter().any(|segment| match segment {
            Segment::Body | Segment::BodyEncoded | Segment::BodyDigest(..) | Segment::FormSorted => true,
            Segment::Written(writing) => writing.covers_body(),
            _ => false,
        })
    }

    /// Whether it cannot be put together without the body, even where that does not count as signed.
    pub(crate) fn reads_body(&self) -> bool {
        self.any(&mut |segment| match segment {
            Segment::Body
            | Segment::BodyEncoded
            | Segment::BodyDigest(..)
            | Segment::FormSorted
            | Segment::Checksum => true,
            Segment::Written(writing) => writing.covers_body() || matches!(writing, Writing::Raw(_)),
            _ => false,
        })
    }

    /// Whether the public URL, or a part of it, is in it.
    pub(crate) fn signs_url(&self) -> bool {
        self.any(&mut |segment| match segment {
            Segment::Url => true,
            Segment::Written(writing) => writing.signs_url(),
            _ => false,
        })
    }

    /// Whether a part of the request is in it.
    pub(crate) fn covers(&self, source: &Source) -> bool {
        self.reads(source, Writing::covers)
    }

    /// Whether a signature at this place would have to sign itself.
    pub(crate) fn holds(&self, place: &Source) -> bool {
        self.reads(place, Writing::holds)
    }

    fn reads(&self, part: &Source, written: impl Fn(&Writing, &Source) -> bool) -> bool {
        self.any(&mut |segment| match (segment, part) {
            (Segment::Source(found) | Segment::OrNothing(found), part) => found == part,
            (Segment::Body | Segment::BodyEncoded | Segment::BodyDigest(..), Source::Json(_) | Source::Form(_))
            | (Segment::FormSorted, Source::Form(_))
            | (Segment::Url, Source::Query(_)) => true,
            (Segment::Written(writing), part) => written(writing, part),
            _ => false,
        })
    }

    /// The parts it reads.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let mut found: Vec<&Source> = Vec::new();
        for segment in self.pieces() {
            match segment {
                Segment::Source(source) | Segment::OrNothing(source) => found.push(source),
                Segment::Lower(inner) => found.extend(inner.source()),
                Segment::Written(Writing::Sorted(parts)) => found.extend(parts.iter().filter_map(Segment::source)),
                Segment::Written(Writing::SignatureBase(base)) => found.extend(base.headers.iter()),
                Segment::Written(Writing::Headers { list, required }) => found.extend(required.iter().chain([list])),
                _ => {}
            }
        }
        found.into_iter()
    }

    /// Those without which there is no message.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Source> {
        let mut found: Vec<&Source> = Vec::new();
        for segment in &self.0 {
            match segment {
                Segment::Source(source) => found.push(source),
                Segment::Lower(inner) => found.extend(inner.source()),
                Segment::Written(Writing::Sorted(parts)) => found.extend(parts.iter().filter_map(Segment::source)),
                Segment::Written(Writing::SignatureBase(base)) => found.extend(base.needed()),
                _ => {}
            }
        }
        found.into_iter()
    }

    /// Names of what stands beside the signature, the time aside.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Item> {
        self.pieces().into_iter().filter_map(|segment| match segment {
            Segment::Item(item) => Some(item),
            _ => None,
        })
    }

    /// Other writings of the request.
    pub(crate) fn writings(&self) -> impl Iterator<Item = &Writing> {
        self.pieces().into_iter().filter_map(|segment| match segment {
            Segment::Written(writing) => Some(writing),
            _ => None,
        })
    }

    /// What an HTTP message signature covers, where the message is one's.
    pub(crate) fn base(&self) -> Option<&Base> {
        self.0.iter().find_map(|segment| match segment {
            Segment::Written(Writing::SignatureBase(base)) => Some(&**base),
            _ => None,
        })
    }

    /// The message of an HTTP message signature.
    pub(crate) fn of_base(base: Base) -> Self {
        Self(vec![Segment::Written(Writing::SignatureBase(Box::new(base)))])
    }
}

impl Segment {
    /// The part of the request that it is.
    fn source(&self) -> Option<&Source> {
        match self {
            Self::Source(source) => Some(source),
            _ => None,
        }
    }
}

fn flush(literal: &mut String, segments: &mut Vec<Segment>) {
    if !literal.is_empty() {
        segments.push(Segment::Literal(std::mem::take(literal).into()));
    }
}

fn fault(what: impl Into<String>, help: Option<String>) -> TemplateFault {
    TemplateFault { what: what.into(), help }
}

pub(super) fn placeholder(name: &str) -> Result<Segment, TemplateFault> {
    if let Some(inner) = name.strip_prefix("lower(").and_then(|inner| inner.strip_suffix(')')) {
        return match placeholder(inner)? {
            inner @ (Segment::Source(_) | Segment::Method) => Ok(Segment::Lower(Box::new(inner))),
            _ => Err(fault(format!("{{{name}}} is of no one part of the request"), None)),
        };
    }
    if let Some(source) = name.strip_suffix('?').and_then(source) {
        return Ok(Segment::OrNothing(source));
    }
    Ok(match name {
        "body" => Segment::Body,
        "form:sorted" => Segment::FormSorted,
        "method" => Segment::Method,
        "url" => Segment::Url,
        "path" => Segment::Path,
        "timestamp" => Segment::Timestamp,
        "id" => Segment::Id,
        "secret" => Segment::Secret,
        "key_id" => Segment::KeyId,
        "crc32(body)" => Segment::Checksum,
        "base64url(body)" => Segment::BodyEncoded,
        _ if name.strip_prefix("listed:").is_some_and(is_token) => {
            Segment::Listed(name.strip_prefix("listed:").unwrap_or_default().into())
        }
        _ => {
            let item =
                || Some(Segment::Item(Item::Named(name.strip_prefix("item:").filter(|name| !name.is_empty())?.into())));
            let found = source(name).map(Segment::Source).or_else(|| digest(name)).or_else(item);
            return found.or_else(|| Writing::parse(name).map(Segment::Written)).ok_or_else(|| unknown(name));
        }
    })
}

fn source(name: &str) -> Option<Source> {
    let (kind, rest) = name.split_once(':')?;
    match kind {
        "header" => is_token(rest).then(|| Source::Header(rest.into())),
        "query" if !rest.is_empty() => Some(Source::Query(rest.into())),
        "form" if !rest.is_empty() => Some(Source::Form(rest.into())),
        "json" => JsonPath::parse(rest).map(Source::Json),
        _ => None,
    }
}

/// `hex(sha256(body))`.
fn digest(name: &str) -> Option<Segment> {
    let (encoding, rest) = name.split_once('(')?;
    let (algorithm, rest) = rest.split_once('(')?;
    let digest = Segment::BodyDigest(Algorithm::parse(algorithm)?, Encoding::parse(encoding)?);
    (rest == "body))").then_some(digest)
}

fn unknown(name: &str) -> TemplateFault {
    let later = name.starts_with("config:") || name.contains("(md5(");
    if later {
        return fault(format!("{{{name}}} is not available yet"), None);
    }
    fault(format!("unknown placeholder {{{name}}}"), Some(format!("placeholders are {PLACEHOLDERS}")))
}

/// A header field name, as RFC 9110 section 5.6.2 has tokens.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// As the recipe wrote it.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            match segment {
                Segment::Literal(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Segment::Body => f.write_str("{body}")?,
                Segment::Source(source) => write!(f, "{{{source}}}")?,
                Segment::FormSorted => f.write_str("{form:sorted}")?,
                Segment::Method => f.write_str("{method}")?,
                Segment::Url => f.write_str("{url}")?,
                Segment::Path => f.write_str("{path}")?,
                Segment::Timestamp => f.write_str("{timestamp}")?,
                Segment::Id => f.write_str("{id}")?,
                Segment::BodyEncoded => f.write_str("{base64url(body)}")?,
                Segment::Listed(member) => write!(f, "{{listed:{member}}}")?,
                Segment::Secret => f.write_str("{secret}")?,
                Segment::BodyDigest(algorithm, encoding) => {
                    write!(f, "{{{}({}(body))}}", encoding.as_str(), algorithm.as_str())?;
                }
                Segment::OrNothing(source) => write!(f, "{{{source}?}}")?,
                Segment::Group(group) => write!(f, "{{[{group}]}}")?,
                Segment::Lower(inner) => write!(f, "{{lower({})}}", bare(inner))?,
                Segment::Item(Item::Named(name)) => write!(f, "{{item:{name}}}")?,
                Segment::Item(Item::Position(at)) => write!(f, "{{item:{at}}}")?,
                Segment::KeyId => f.write_str("{key_id}")?,
                Segment::Checksum => f.write_str("{crc32(body)}")?,
                Segment::Written(writing) => write!(f, "{{{writing}}}")?,
            }
        }
        Ok(())
    }
}

/// A segment without its braces.
pub(super) fn bare(segment: &Segment) -> String {
    let text = Template(vec![segment.clone()]).to_string();
    text.trim_start_matches('{').trim_end_matches('}').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn templates_become_segments() {
        let template = Template::parse("v0:{timestamp}:{body}").unwrap();
        let literal = |text: &str| Segment::Literal(text.into());
        assert_eq!(template.segments(), [literal("v0:"), Segment::Timestamp, literal(":"), Segment::Body]);
        let template = Template::parse("{{{header:X-Id}}}\n").unwrap();
        let header = Segment::Source(Source::Header("x-id".into()));
        assert_eq!(template.segments(), [literal("{"), header, literal("}\n")]);
        let template = Template::parse("{hex(sha256(body))}{json:a.b}{form:sorted}{form:x}{query:q}").unwrap();
        assert_eq!(template.segments().len(), 5);
    }

    #[test]
    fn what_may_be_absent_is_read_and_not_needed() {
        let names = |sources: Vec<&Source>| sources.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = "{json:a}{[S\n{json:b}\n]}{json:c?}{lower(query:d.e)}{lower(method)}{crc32(body)}{key_id}{item:t}";
        let template = Template::parse(text).unwrap();
        assert_eq!(names(template.sources().collect()), ["json:a", "json:b", "json:c", "query:d.e"]);
        assert_eq!(names(template.needed().collect()), ["json:a", "query:d.e"]);
        assert_eq!(template.to_string(), text);
        assert!(template.has(&Segment::KeyId) && template.has(&Segment::Method) && !template.covers_body());
        assert!(Template::parse("{[{timestamp}{header:b}]}").unwrap().has(&Segment::Timestamp));
    }

    #[test]
    fn bad_templates_say_what_is_wrong() {
        for (text, what) in [
            ("", "the message is empty"),
            ("{body", "a placeholder is not closed"),
            ("body}", "a } closes nothing"),
            ("{bodi}", "unknown placeholder {bodi}"),
            ("{header:}", "unknown placeholder {header:}"),
            ("{header:a b}", "unknown placeholder {header:a b}"),
            ("{json:a..b}", "unknown placeholder {json:a..b}"),
            ("{hex(sha256(url))}", "unknown placeholder {hex(sha256(url))}"),
            ("{hex(md5(body))}", "{hex(md5(body))} is not available yet"),
            ("{config:id}", "{config:id} is not available yet"),
            ("{[{json:a}", "a group is not closed"),
            ("{[{[{json:a}]}]}", "a group stands in another one"),
            ("{[x]}", "a group has nothing in it that could be absent"),
            ("{[{json:a?}]}", "a group has nothing in it that could be absent"),
            ("{lower(body)}", "{lower(body)} is of no one part of the request"),
            ("{item:}", "unknown placeholder {item:}"),
            ("{crc32(url)}", "unknown placeholder {crc32(url)}"),
        ] {
            assert_eq!(Template::parse(text).unwrap_err().what, what, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_prints_as_it_was_read(text in "[ -~]{0,40}|(\\{body\\}|\\{\\{|\\{id\\}|x|é){0,8}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(Template::parse(&template.to_string()).unwrap(), template);
            }
        }
    }
}
