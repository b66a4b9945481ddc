//! The signed message as a template: parsed once into segments, fed to the hash one by one.
//!
//! The body is never copied: its segment feeds the received buffer.

use std::fmt;

use super::algorithm::Algorithm;
use super::encoding::Encoding;
use super::json::JsonPath;
use super::source::Source;

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
     {url}, {path}, {timestamp}, {id}, {secret}, {hex(sha256(body))}; {{ and }} stand for braces";

impl Template {
    /// Parses `v0:{timestamp}:{body}` and the like.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut segments = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            rest = match (next, rest.strip_prefix("{{"), rest.strip_prefix("}}")) {
                ('{', Some(after), _) | ('}', _, Some(after)) => {
                    literal.push(next);
                    after
                }
                ('{', None, _) => {
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
        flush(&mut literal, &mut segments);
        if segments.is_empty() {
            return Err(fault("the message is empty", None));
        }
        Ok(Self(segments))
    }

    /// In order.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether a segment is in it.
    pub(crate) fn has(&self, segment: &Segment) -> bool {
        self.0.contains(segment)
    }

    /// Whether every byte of the body is in it, directly or by a digest.
    pub(crate) fn covers_body(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Body | Segment::BodyDigest(..) | Segment::FormSorted))
    }

    /// Whether a part of the request is in it.
    pub(crate) fn covers(&self, source: &Source) -> bool {
        self.0.iter().any(|segment| match (segment, source) {
            (Segment::Source(found), wanted) => found == wanted,
            (Segment::Body | Segment::BodyDigest(..), Source::Json(_) | Source::Form(_))
            | (Segment::FormSorted, Source::Form(_))
            | (Segment::Url, Source::Query(_)) => true,
            _ => false,
        })
    }

    /// The parts it reads.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Source(source) => Some(source),
            _ => None,
        })
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

fn placeholder(name: &str) -> Result<Segment, TemplateFault> {
    Ok(match name {
        "body" => Segment::Body,
        "form:sorted" => Segment::FormSorted,
        "method" => Segment::Method,
        "url" => Segment::Url,
        "path" => Segment::Path,
        "timestamp" => Segment::Timestamp,
        "id" => Segment::Id,
        "secret" => Segment::Secret,
        _ => return source(name).map(Segment::Source).or_else(|| digest(name)).ok_or_else(|| unknown(name)),
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
    let later = name.starts_with("config:") || name.starts_with("crc32(") || name.contains("(md5(");
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
                Segment::Secret => f.write_str("{secret}")?,
                Segment::BodyDigest(algorithm, encoding) => {
                    write!(f, "{{{}({}(body))}}", encoding.as_str(), algorithm.as_str())?;
                }
            }
        }
        Ok(())
    }
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
