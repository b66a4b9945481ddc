//! Challenges: what a provider asks before it sends, or between two webhooks, and what is answered.
//!
//! An answer is fixed, says again what the request said, or is computed with a secret. None of it is ever HTML, nothing that is
//! said again is longer than [`MAX_ECHO`], and what is computed has a shape that no webhook has ([`Guard`]): whoever asks for
//! challenges of their own choice gets no signature that would pass.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::Value as Json;

use super::Verifier;
use super::algorithm::{Algorithm, State};
use super::check::mac::Function;
use super::encoding::Encoding;
use super::json::JsonPath;
use super::key::KeyMaterial;
use super::message::Feed;
use super::shape::Shape;
use super::source::{Facts, Source};
use super::template::{Segment, Template};
use super::writing::Writing;
use crate::base::Secret;
use crate::domain::{Head, Method};

/// The longest value that is said again, in bytes.
pub(crate) const MAX_ECHO: usize = 1024;
/// The largest body that a challenge may have where it is not signed.
pub const MAX_BODY: usize = 16 * 1024;

/// A challenge of a recipe.
#[derive(Debug)]
pub struct Challenge {
    /// All of them hold for a request that is one.
    pub(crate) when: Vec<Condition>,
    pub(crate) signed: bool,
    pub(crate) reply: Reply,
    paths: Vec<JsonPath>,
}

/// What makes a request a challenge.
#[derive(Debug)]
pub(crate) enum Condition {
    Method(Method),
    Part(Source, Is),
}

/// What a part of the request must be.
#[derive(Debug)]
pub(crate) enum Is {
    There,
    Equal(Box<str>),
    /// The route's secret for challenges.
    Secret,
}

/// What is answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<Box<str>>,
    pub(crate) headers: Vec<(Box<str>, Value)>,
    pub(crate) body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Fixed(Bytes),
    Text(Vec<Value>),
    /// Members of an object.
    Json(Vec<(Box<str>, Value)>),
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Value {
    Literal(Box<str>),
    /// What the request says.
    Echo(Source),
    Computed(Computed),
}

/// A hash with a secret, of what the request says.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) function: Function,
    pub(crate) algorithm: Algorithm,
    pub(crate) of: Template,
    /// What every part of the request in `of` must look like.
    pub(crate) shape: Option<Shape>,
    pub(crate) prefix: Box<str>,
    pub(crate) encoding: Encoding,
    /// `None`: the key as the scheme makes it of the secret.
    pub(crate) key: Option<KeyMaterial>,
    pub(crate) with: With,
}

/// Which secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    /// The first of those that prove webhooks.
    Secrets,
    /// The route's secret for challenges.
    Challenge,
}

/// An answer, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAnswer {
    /// HTTP status.
    pub status: u16,
    /// May be empty.
    pub body: Bytes,
    /// Of a body that is not empty.
    pub content_type: Option<Bytes>,
    /// Further fields.
    pub headers: Vec<(Box<str>, Bytes)>,
}

/// What a challenge is answered with, beside what the request says.
pub struct Secrets<'r> {
    /// Of the route that was asked; `None` where it verifies nothing.
    pub verifier: Option<&'r Verifier>,
    /// Its secret for challenges.
    pub challenge: Option<&'r Secret>,
}

/// Shows that there are some.
impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Challenge {
    pub(crate) fn new(when: Vec<Condition>, signed: bool, reply: Reply) -> Self {
        let mut challenge = Self { when, signed, reply, paths: Vec::new() };
        let paths: Vec<JsonPath> = challenge.sources().into_iter().filter_map(json).cloned().collect();
        for path in paths {
            if !challenge.paths.contains(&path) {
                challenge.paths.push(path);
            }
        }
        challenge
    }

    /// Whether it is answered only once the request was found genuine.
    pub fn is_signed(&self) -> bool {
        self.signed
    }

    /// Whether the body has to be there.
    pub fn reads_body(&self) -> bool {
        self.sources().into_iter().any(|source| matches!(source, Source::Json(_) | Source::Form(_)))
    }

    /// Whether it needs the route's secret for challenges.
    pub fn needs_secret(&self) -> bool {
        let asked = self.when.iter().any(|condition| matches!(condition, Condition::Part(_, Is::Secret)));
        asked || self.computed().any(|computed| computed.with == With::Challenge)
    }

    /// Whether the head tells that the request is one, by a method and whatever else there is, so that it needs neither method nor
    /// content type of a webhook.
    pub fn is_announced(&self, head: &Head, secrets: &Secrets<'_>) -> bool {
        if !self.signed && !self.reads_body() {
            return self.answer(head, b"", secrets).is_some();
        }
        let facts = Facts::new(head, b"", &[]);
        let mut of_head = self.when.iter().filter(|condition| condition.is_of_head());
        let has_method = self.when.iter().any(|condition| matches!(condition, Condition::Method(_)));
        has_method && of_head.all(|condition| condition.holds(&facts, secrets))
    }

    /// What is answered; `None`: it is another request.
    pub fn answer(&self, head: &Head, body: &[u8], secrets: &Secrets<'_>) -> Option<ChallengeAnswer> {
        let facts = Facts::new(head, body, &self.paths);
        if !self.when.iter().all(|condition| condition.holds(&facts, secrets)) {
            return None;
        }
        let reply = &self.reply;
        let mut headers: Vec<(Box<str>, Bytes)> = Vec::with_capacity(reply.headers.len() + 1);
        for (name, value) in &reply.headers {
            let value = value.text(&facts, secrets)?;
            // Nothing that could end the field or begin another one.
            if !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
                return None;
            }
            headers.push((name.clone(), value.into_bytes().into()));
        }
        let (body, content_type) = match &reply.body {
            Body::Fixed(body) => (body.clone(), reply.content_type.as_deref()),
            Body::Text(values) => {
                let texts: Option<Vec<String>> = values.iter().map(|value| value.text(&facts, secrets)).collect();
                (texts?.concat().into(), Some("text/plain; charset=utf-8"))
            }
            Body::Json(members) => {
                let member = |(name, value): &(Box<str>, Value)| {
                    Some(format!("{}:{}", Json::from(&**name), Json::from(value.text(&facts, secrets)?)))
                };
                let members: Option<Vec<String>> = members.iter().map(member).collect();
                (format!("{{{}}}", members?.join(",")).into(), Some("application/json"))
            }
        };
        if !body.is_empty() {
            headers.push(("x-content-type-options".into(), Bytes::from_static(b"nosniff")));
        }
        let content_type = content_type.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        Some(ChallengeAnswer { status: reply.status, body, content_type, headers })
    }

    /// `GET with query hub.challenge`.
    pub fn told_by(&self) -> String {
        let words: Vec<String> = self.when.iter().map(Condition::to_string).collect();
        words.join(", ")
    }

    /// What kind of answer it is, in words.
    pub fn answered_with(&self) -> String {
        let reply = &self.reply;
        let mut words = vec![reply.status.to_string()];
        match &reply.body {
            Body::Fixed(body) if body.is_empty() => {}
            Body::Fixed(_) => words.push("a fixed text".to_owned()),
            Body::Text(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                words.push(format!("the text {}", values.join(" + ")));
            }
            Body::Json(members) => {
                let members: Vec<String> = members.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                words.push(format!("the JSON members {}", members.join(", ")));
            }
        }
        words.extend(reply.headers.iter().map(|(name, value)| format!("the header {name} = {value}")));
        words.join(" and ")
    }

    /// What the scheme's secrets are used for.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &Computed> {
        self.reply.values().filter_map(|value| match value {
            Value::Computed(computed) => Some(computed),
            Value::Literal(_) | Value::Echo(_) => None,
        })
    }

    fn sources(&self) -> Vec<&Source> {
        let mut found: Vec<&Source> = Vec::new();
        found.extend(self.when.iter().filter_map(|condition| match condition {
            Condition::Part(source, _) => Some(source),
            Condition::Method(_) => None,
        }));
        for value in self.reply.values() {
            match value {
                Value::Literal(_) => {}
                Value::Echo(source) => found.push(source),
                Value::Computed(computed) => found.extend(computed.of.sources()),
            }
        }
        found
    }
}

fn json(source: &Source) -> Option<&JsonPath> {
    match source {
        Source::Json(path) => Some(path),
        Source::Header(_) | Source::Query(_) | Source::Form(_) | Source::Claim(_) => None,
    }
}

impl Reply {
    fn values(&self) -> impl Iterator<Item = &Value> {
        let of_body: Vec<&Value> = match &self.body {
            Body::Fixed(_) => Vec::new(),
            Body::Text(values) => values.iter().collect(),
            Body::Json(members) => members.iter().map(|(_, value)| value).collect(),
        };
        self.headers.iter().map(|(_, value)| value).chain(of_body)
    }
}

impl Condition {
    fn is_of_head(&self) -> bool {
        matches!(self, Self::Method(_) | Self::Part(Source::Header(_) | Source::Query(_), _))
    }

    /// What cannot be read, or is there twice, fulfils nothing.
    fn holds(&self, facts: &Facts<'_>, secrets: &Secrets<'_>) -> bool {
        let (source, is) = match self {
            Self::Method(method) => return facts.head.method() == *method,
            Self::Part(source, is) => (source, is),
        };
        let Some(value) = facts.read(source).ok().flatten() else { return false };
        match is {
            Is::There => true,
            Is::Equal(text) => *value == *text.as_bytes(),
            Is::Secret => secrets.challenge.is_some_and(|secret| secret.matches(&value)),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => f.write_str(method.as_str()),
            Self::Part(source, Is::There) => write!(f, "{source}"),
            Self::Part(source, Is::Equal(text)) => write!(f, "{source} is {text}"),
            Self::Part(source, Is::Secret) => write!(f, "{source} is the challenge secret"),
        }
    }
}

impl Value {
    /// Text without control characters, so that no reader takes it for something else.
    fn text(&self, facts: &Facts<'_>, secrets: &Secrets<'_>) -> Option<String> {
        match self {
            Self::Literal(text) => Some(text.to_string()),
            Self::Echo(source) => echo(facts, source).map(Cow::into_owned),
            Self::Computed(computed) => computed.text(facts, secrets),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => write!(f, "`{text}`"),
            Self::Echo(source) => write!(f, "{source}"),
            Self::Computed(computed) => {
                let function = match computed.function {
                    Function::Hmac => "HMAC-",
                    Function::Digest => "digest ",
                };
                write!(f, "{function}{} of {}", computed.algorithm.as_str(), computed.of)
            }
        }
    }
}

fn echo<'f>(facts: &'f Facts<'_>, source: &Source) -> Option<Cow<'f, str>> {
    let value = facts.read(source).ok().flatten().filter(|value| !value.is_empty() && value.len() <= MAX_ECHO)?;
    let text = match value {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).ok()?),
    };
    (!text.chars().any(char::is_control)).then_some(text)
}

impl Computed {
    fn text(&self, facts: &Facts<'_>, secrets: &Secrets<'_>) -> Option<String> {
        for source in self.of.sources() {
            let value = facts.read(source).ok().flatten().filter(|value| value.len() <= MAX_ECHO)?;
            if self.shape.is_some_and(|shape| !shape.fits(&value)) {
                return None;
            }
        }
        let verifier = secrets.verifier;
        let configured = match self.with {
            With::Secrets => verifier?.keys.first().map(|key| &key.configured)?,
            With::Challenge => secrets.challenge?,
        };
        let secret = match (&self.key, self.with) {
            (Some(key), _) => key.derive(configured).ok()?,
            (None, With::Secrets) => verifier?.keys.first()?.secret.clone(),
            (None, With::Challenge) => configured.clone(),
        };
        let state = match self.function {
            Function::Hmac => State::keyed(self.algorithm, secret.expose())?,
            Function::Digest => State::plain(self.algorithm),
        };
        let url = verifier.and_then(|verifier| verifier.url.as_ref());
        let feed = Feed {
            facts,
            stamp: None,
            id: None,
            secret: &secret,
            key_id: "",
            signature: None,
            hashed: None,
            url,
            other_port: false,
        };
        let tag = feed.hash(state, &self.of).ok()?;
        Some(format!("{}{}", self.prefix, self.encoding.encode(tag.as_bytes())))
    }
}

/// What keeps a computed answer from being the signature of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// It is another computation, or its message can be none of a webhook's.
    Apart,
    /// A webhook's message is its body alone: bodies that look like a challenge are refused.
    Bodies(Shape),
    /// Nothing does.
    Open,
}

impl Computed {
    /// What keeps this answer apart from signatures of this function and algorithm over this message.
    pub(crate) fn guard(&self, function: Function, algorithm: Algorithm, message: &Template) -> Guard {
        if self.with == With::Challenge || self.function != function || self.algorithm != algorithm {
            return Guard::Apart;
        }
        let (Some(shape), [Segment::Source(_)]) = (self.shape, self.of.segments()) else { return Guard::Open };
        let foreign = |segment: &Segment| match segment {
            Segment::Literal(text) => text.bytes().any(|byte| !shape.allows(byte)),
            // `https://`.
            Segment::Url | Segment::Path => true,
            // An object, a string in quotation marks, a serialised array: no shape has their first character.
            Segment::Written(Writing::SortedJson | Writing::JsonString | Writing::Php(_) | Writing::UrlForm) => true,
            _ => false,
        };
        match message.segments() {
            segments if segments.iter().any(foreign) => Guard::Apart,
            [Segment::Body] => Guard::Bodies(shape),
            _ => Guard::Open,
        }
    }
}
