//! HTTP message signatures (RFC 9421): what they cover, and what is signed for it.
//!
//! Which components must be covered is configured; a sender may cover more. `Signature-Input` says which, and is a part of what is signed.
//! Everything is read strictly, and what could be read in two ways is refused: a label, a component or a parameter that is
//! there twice.
//!
//! Deliberately absent: parameters of components (`;sf`, `;key`, `;bs`, `;req`, `;tr`) and `@query-param`, which no known provider
//! uses, and any choice of the algorithm by `alg`.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64;
use subtle::ConstantTimeEq;

use super::algorithm::Algorithm;
use super::message::{Feed, Sink};
use super::source::{Facts, Source};
use super::template::is_token;
use super::url::PublicUrl;
use crate::domain::Refusal;

/// The header that says what is covered.
pub(crate) const INPUT: &str = "Signature-Input";
/// The header with the signatures.
pub(crate) const SIGNATURE: &str = "Signature";
/// The header with a digest of the body (RFC 9530).
pub(crate) const CONTENT_DIGEST: &str = "content-digest";
/// Components of one signature.
const MAX_COMPONENTS: usize = 32;
/// Signatures of one request.
const MAX_LABELS: usize = 16;
/// The longest name of a label or a parameter.
const MAX_KEY: usize = 64;

/// What is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    /// A header field, in lower case.
    Header(Box<str>),
    Derived(Derived),
}

/// What a request has beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derived {
    Method,
    TargetUri,
    Authority,
    Scheme,
    RequestTarget,
    Path,
    Query,
}

impl Derived {
    const ALL: [(Self, &str); 7] = [
        (Self::Method, "@method"),
        (Self::TargetUri, "@target-uri"),
        (Self::Authority, "@authority"),
        (Self::Scheme, "@scheme"),
        (Self::RequestTarget, "@request-target"),
        (Self::Path, "@path"),
        (Self::Query, "@query"),
    ];

    /// Every one that can be covered.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(_, name)| name)
    }

    pub(super) fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(known, _)| *known == self).map_or("", |(_, name)| name)
    }
}

impl Component {
    /// `content-digest`, `@method`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name.starts_with('@') {
            let derived = Derived::ALL.into_iter().find(|(_, known)| *known == name)?;
            return Some(Self::Derived(derived.0));
        }
        let lower = is_token(name) && !name.bytes().any(|byte| byte.is_ascii_uppercase());
        lower.then(|| Self::Header(name.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Header(name) => name,
            Self::Derived(derived) => derived.as_str(),
        }
    }
}

/// What must be covered, and under which label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Base {
    /// `None`: the request has one signature, whatever its label.
    pub(crate) label: Option<Box<str>>,
    /// At least one.
    pub(crate) components: Box<[Component]>,
    /// As `alg` has it, where a sender says so.
    pub(crate) algorithm: &'static str,
    /// Whether `keyid` names the key.
    pub(crate) names_key: bool,
    /// The header that is the first of the components, and so on: what the rest of the engine asks about.
    pub(crate) headers: Box<[Source]>,
}

impl Base {
    pub(crate) fn new(
        label: Option<Box<str>>,
        components: Vec<Component>,
        algorithm: &'static str,
        names_key: bool,
    ) -> Self {
        let header = |component: &Component| match component {
            Component::Header(name) => Some(Source::Header(name.clone())),
            Component::Derived(_) => None,
        };
        let headers = components.iter().filter_map(header).chain([Source::Header(INPUT.into())]).collect();
        Self { label, components: components.into(), algorithm, names_key, headers }
    }

    /// Whether a digest of the body must be covered.
    pub(crate) fn digests_body(&self) -> bool {
        self.has(&Component::Header(CONTENT_DIGEST.into()))
    }

    fn has(&self, component: &Component) -> bool {
        self.components.contains(component)
    }

    /// Whether the public URL must be configured.
    pub(super) fn signs_url(&self) -> bool {
        [Derived::TargetUri, Derived::Authority, Derived::Scheme]
            .into_iter()
            .any(|of| self.has(&Component::Derived(of)))
    }

    pub(super) fn covers(&self, wanted: &Source) -> bool {
        match wanted {
            Source::Header(_) => self.headers.contains(wanted),
            Source::Query(_) => {
                let with_query = [Derived::TargetUri, Derived::RequestTarget, Derived::Query];
                with_query.into_iter().any(|of| self.has(&Component::Derived(of)))
            }
            Source::Form(_) | Source::Json(_) | Source::Claim(_) => false,
        }
    }

    /// Headers without which nothing can be signed, and that are not made while signing.
    pub(super) fn needed(&self) -> impl Iterator<Item = &Source> {
        let made = |source: &&Source| {
            let name = source.header().unwrap_or_default();
            name == CONTENT_DIGEST || name == INPUT
        };
        self.headers.iter().filter(move |source| !made(source))
    }

    /// The signature base.
    pub(super) fn pour(&self, feed: &Feed<'_, '_>, sink: &mut impl Sink) -> Result<(), Refusal> {
        let input = self.input(feed.facts)?;
        if !self.components.iter().all(|wanted| input.components.contains(wanted)) {
            return Err(Refusal::MessageIncomplete);
        }
        if input.text("alg")?.is_some_and(|algorithm| *algorithm != *self.algorithm) {
            return Err(Refusal::SignatureMalformed);
        }
        for component in &input.components {
            sink.update(b"\"");
            sink.update(component.as_str().as_bytes());
            sink.update(b"\": ");
            match component {
                Component::Header(name) => {
                    sink.update(feed.facts.header(name)?.ok_or(Refusal::MessageIncomplete)?.trim_ascii());
                }
                Component::Derived(derived) => derive(*derived, feed, sink)?,
            }
            sink.update(b"\n");
        }
        sink.update(b"\"@signature-params\": ");
        sink.update(input.to_string().as_bytes());
        Ok(())
    }

    fn input(&self, facts: &Facts<'_>) -> Result<Input, Refusal> {
        input(facts, self.label.as_deref())
    }

    /// What a sender writes into `Signature-Input`.
    pub(super) fn offer(&self, created: &str, key_id: &str) -> String {
        let label = self.label.as_deref().unwrap_or("sig1");
        let names: Vec<String> =
            self.components.iter().map(|component| format!("\"{}\"", component.as_str())).collect();
        let key = if self.names_key { format!(";keyid=\"{key_id}\"") } else { String::new() };
        format!("{label}=({});created={created}{key};alg=\"{}\"", names.join(" "), self.algorithm)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.components.iter().map(Component::as_str).collect();
        write!(f, "signature-base:{}", names.join(" "))
    }
}

fn derive(derived: Derived, feed: &Feed<'_, '_>, sink: &mut impl Sink) -> Result<(), Refusal> {
    let head = feed.facts.head;
    let url = || feed.url.ok_or(Refusal::MessageIncomplete);
    let path = || feed.url.and_then(PublicUrl::path).unwrap_or_else(|| head.path());
    let mut put = |text: &str| sink.update(text.as_bytes());
    match derived {
        Derived::Method => put(head.method().as_str()),
        Derived::Scheme => put(url()?.origin(false).split_once("://").map_or("", |(scheme, _)| scheme)),
        Derived::Authority => put(&authority(url()?)),
        Derived::Path => put(path()),
        Derived::Query => {
            put("?");
            put(head.query().unwrap_or_default());
        }
        Derived::TargetUri | Derived::RequestTarget => {
            if derived == Derived::TargetUri {
                put(url()?.origin(false));
            }
            put(path());
            if let Some(query) = head.query() {
                put("?");
                put(query);
            }
        }
    }
    Ok(())
}

/// In lower case, without the port that is the scheme's own.
pub(super) fn authority(url: &PublicUrl) -> String {
    let (scheme, authority) = url.origin(false).split_once("://").unwrap_or_default();
    let usual = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(usual).unwrap_or(authority).to_ascii_lowercase()
}

/// What one signature covers, with its parameters in their order.
struct Input {
    components: Vec<Component>,
    parameters: Vec<(Box<str>, Box<str>)>,
}

impl Input {
    /// A parameter's string.
    fn text(&self, name: &str) -> Result<Option<Box<str>>, Refusal> {
        let Some((_, value)) = self.parameters.iter().find(|(known, _)| **known == *name) else { return Ok(None) };
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        text.map(|text| Some(text.into())).ok_or(Refusal::SignatureMalformed)
    }
}

/// As RFC 8941 serialises it.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> =
            self.components.iter().map(|component| format!("\"{}\"", component.as_str())).collect();
        write!(f, "({})", names.join(" "))?;
        self.parameters.iter().try_for_each(|(name, value)| match value.is_empty() {
            true => write!(f, ";{name}"),
            false => write!(f, ";{name}={value}"),
        })
    }
}

/// Of the signature with this label, or of the only one: the same label in both headers.
fn input(facts: &Facts<'_>, label: Option<&str>) -> Result<Input, Refusal> {
    let text = facts.header(INPUT)?.ok_or(Refusal::MessageIncomplete)?;
    let text = std::str::from_utf8(&text).ok().filter(|text| text.is_ascii()).ok_or(Refusal::SignatureMalformed)?;
    // Who signs has no signature yet.
    let signatures = facts.header(SIGNATURE)?.unwrap_or_default();
    let signatures = std::str::from_utf8(&signatures).map_err(|_| Refusal::SignatureMalformed)?;
    let label = match (label, members(signatures).as_deref()) {
        (Some(label), _) => Some(label),
        (None, Some([(label, _)])) => Some(*label),
        (None, Some(_)) => return Err(Refusal::SignatureRepeated),
        (None, None) if signatures.is_empty() => None,
        (None, None) => return Err(Refusal::SignatureMalformed),
    };
    covered(chosen(text, label)?).ok_or(Refusal::SignatureMalformed)
}

/// A parameter of the signature: `created`, `keyid`.
pub(super) fn parameter<'f>(
    facts: &'f Facts<'_>,
    label: Option<&str>,
    name: &str,
) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
    if facts.header(INPUT)?.is_none() {
        return Ok(None);
    }
    let input = input(facts, label)?;
    let Some((_, value)) = input.parameters.iter().find(|(known, _)| **known == *name) else { return Ok(None) };
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    Ok(Some(Cow::Owned(value.as_bytes().to_vec())))
}

/// The member with this label, or the only one.
pub(super) fn chosen<'t>(text: &'t str, label: Option<&str>) -> Result<&'t str, Refusal> {
    let members = members(text).ok_or(Refusal::SignatureMalformed)?;
    let mut found = members.into_iter().filter(|(name, _)| label.is_none_or(|label| label == *name));
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(value),
        (None, _) => Err(Refusal::SignatureMissing),
        (Some(_), Some(_)) => Err(Refusal::SignatureRepeated),
    }
}

/// Labels and what stands behind them. A label that is there twice is there twice in what comes back.
pub(super) fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let ends = text.bytes().enumerate().filter(|(_, byte)| {
        let is_end = *byte == b',' && !quoted;
        (quoted, escaped) = match byte {
            _ if escaped => (quoted, false),
            b'\\' if quoted => (quoted, true),
            b'"' => (!quoted, false),
            _ => (quoted, false),
        };
        is_end
    });
    let ends: Vec<usize> = ends.map(|(at, _)| at).chain([text.len()]).collect();
    if ends.len() > MAX_LABELS {
        return None;
    }
    for end in ends {
        let (name, value) = text.get(start..end)?.trim_matches([' ', '\t']).split_once('=')?;
        found.push((is_key(name).then_some(name)?, value));
        start = end + 1;
    }
    Some(found)
}

fn is_key(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'*');
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    first && name.len() <= MAX_KEY && name.bytes().all(rest)
}

/// `("@method" "content-digest");created=1;keyid="k"`.
fn covered(text: &str) -> Option<Input> {
    let (list, mut rest) = text.strip_prefix('(')?.split_once(')')?;
    let mut components: Vec<Component> = Vec::new();
    for item in list.split(' ').filter(|item| !item.is_empty()) {
        let component = Component::parse(item.strip_prefix('"')?.strip_suffix('"')?)?;
        if components.len() == MAX_COMPONENTS || components.contains(&component) {
            return None;
        }
        components.push(component);
    }
    let mut parameters: Vec<(Box<str>, Box<str>)> = Vec::new();
    while !rest.is_empty() {
        let text = rest.strip_prefix(';')?.trim_start_matches(' ');
        let end = text.bytes().position(|byte| byte == b'=' || byte == b';').unwrap_or(text.len());
        let (name, behind) = text.split_at(end);
        let (value, behind) = match behind.strip_prefix('=') {
            Some(behind) => bare_item(behind)?,
            None => ("", behind),
        };
        if !is_key(name) || parameters.len() == MAX_COMPONENTS || parameters.iter().any(|(known, _)| **known == *name) {
            return None;
        }
        parameters.push((name.into(), value.into()));
        rest = behind;
    }
    Some(Input { components, parameters })
}

/// A string, a number or a token, and what is behind it. Strings with escapes are no names of keys.
fn bare_item(text: &str) -> Option<(&str, &str)> {
    let end = match text.strip_prefix('"') {
        Some(inner) => inner.find(['"', '\\']).filter(|at| inner.as_bytes().get(*at) == Some(&b'"'))? + 2,
        None => text.find(';').unwrap_or(text.len()),
    };
    let (value, behind) = text.split_at(end);
    let plain = value.starts_with('"')
        || value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/+=?*".contains(&byte));
    (plain && !value.is_empty()).then_some((value, behind))
}

/// Whether a `Content-Digest` is the body's: every digest in it that is known here is, and there is one.
pub(super) fn is_digest_of(text: &[u8], body: &[u8]) -> bool {
    let Some(members) = std::str::from_utf8(text).ok().and_then(members) else { return false };
    let mut known = 0;
    for (name, value) in members {
        let algorithm = match name {
            "sha-256" => Algorithm::Sha256,
            "sha-512" => Algorithm::Sha512,
            _ => continue,
        };
        let stated = bytes(value).and_then(|bytes| BASE64.decode(bytes.as_bytes()).ok());
        let right = stated.is_some_and(|stated| bool::from(stated.ct_eq(algorithm.digest(body).as_bytes())));
        if !right {
            return false;
        }
        known += 1;
    }
    known > 0
}

/// What stands between the colons of a byte sequence.
pub(super) fn bytes(value: &str) -> Option<&str> {
    value.strip_prefix(':')?.strip_suffix(':')
}

/// A `Content-Digest` of a body.
pub(super) fn digest_of(body: &[u8]) -> String {
    format!("sha-256=:{}:", BASE64.encode(Algorithm::Sha256.digest(body).as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_covered_is_written_as_it_was_meant() {
        for (text, written) in [
            ("(\"@method\" \"date\");created=1;keyid=\"a b\"", None),
            (
                "(  \"@method\"   \"date\" ); created=1;  nonce=\"x,y;z\"",
                Some("(\"@method\" \"date\");created=1;nonce=\"x,y;z\""),
            ),
            ("();created=1", None),
            ("(\"date\")", None),
            ("(\"date\");flag;alg=\"hmac-sha256\"", None),
        ] {
            assert_eq!(covered(text).unwrap().to_string(), written.unwrap_or(text));
        }
        for text in [
            "",
            "(",
            "\"date\"",
            "(date)",
            "(\"Date\")",
            "(\"date\" \"date\")",
            "(\"@nothing\")",
            "(\"@query-param\";name=\"a\")",
            "(\"date\";sf)",
            "(\"date\")x",
            "(\"date\");",
            "(\"date\");created",
            "(\"date\");created=1;created=2",
            "(\"date\");Created=1",
            "(\"date\");keyid=\"a",
            "(\"date\");keyid=\"a\\\"b\"",
            "(\"date\");keyid=\"a\"b",
            "(\"date\");created=",
        ] {
            let read = covered(text);
            // A parameter without a value is true, and no time.
            let is_flag = read.as_ref().is_some_and(|input| input.to_string() == text && text.ends_with(";created"));
            assert!(read.is_none() || is_flag, "{text}");
        }
    }

    #[test]
    fn one_label_is_chosen() {
        let both = "a=(\"date\");x=\"1,2\", b=()";
        assert_eq!(chosen(both, Some("a")), Ok("(\"date\");x=\"1,2\""));
        assert_eq!(chosen(both, Some("b")), Ok("()"));
        assert_eq!(chosen(both, Some("c")), Err(Refusal::SignatureMissing));
        assert_eq!(chosen(both, None), Err(Refusal::SignatureRepeated));
        assert_eq!(chosen("a=(), a=()", Some("a")), Err(Refusal::SignatureRepeated));
        for text in ["", "a", "A=()", ",", "a=(),", "=()"] {
            assert_eq!(chosen(text, None), Err(Refusal::SignatureMalformed), "{text}");
        }
        let many = vec!["a=()"; MAX_LABELS + 2].join(",");
        assert_eq!(chosen(&many, None), Err(Refusal::SignatureMalformed));
    }

    #[test]
    fn a_digest_of_the_body_is_known_and_right() {
        let body = b"{\"hello\": \"world\"}";
        // RFC 9421, appendix B.2.
        let long = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
        assert!(is_digest_of(long.as_bytes(), body));
        let short = digest_of(body);
        assert!(is_digest_of(format!("{long}, {short}").as_bytes(), body));
        assert!(is_digest_of(format!("md5=:AA==:, {short}").as_bytes(), body));
        assert!(!is_digest_of(format!("{long}, {}", digest_of(b"x")).as_bytes(), body), "one of two is wrong");
        for text in ["", "md5=:AA==:", "sha-256=AA==", "sha-256=:AA==:", "sha-256=::", &short.to_uppercase()] {
            assert!(!is_digest_of(text.as_bytes(), body), "{text}");
        }
    }

    #[test]
    fn the_authority_is_the_configured_one_in_its_usual_writing() {
        let of = |text: &str| authority(&PublicUrl::parse(text).unwrap());
        assert_eq!(of("https://Hooks.Example.com:443/x"), "hooks.example.com");
        assert_eq!(of("http://h:443"), "h:443");
        assert_eq!(of("https://h:8443"), "h:8443");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[ -~]{0,60}|[a(\"@)=;, :1]{0,40}") {
            let _ = (chosen(&text, None), is_digest_of(text.as_bytes(), b""));
            if let Some(input) = covered(&text) {
                let written = input.to_string();
                prop_assert_eq!(covered(&written).unwrap().to_string(), written);
            }
        }
    }
}
