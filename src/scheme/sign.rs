//! The sender's side: what a genuine sender would add to a request. For `send`, `demo` and round-trip tests.
//!
//! The message is hashed by the code that verifies it, so a test that only signs and verifies proves nothing about a
//! provider; the published vectors do.

use std::fmt;

use serde_json::{Map, Value};

mod token;

use super::check::envelope::Envelope;
use super::check::jwt::JwtSpec;
use super::compiled::{Scheme, TimePlace};
use super::form;
use super::json::{EACH, JsonPath, text};
use super::message::Feed;
use super::message_signature::{INPUT, digest_of};
use super::shape::{Look, Shape};
use super::source::{Facts, Source};
use super::template::Template;
use super::wrapping::Item;
use super::writing::Writing;
use super::{ReadyKey, Stamp, Verifier};
use crate::base::UnixMillis;
use crate::domain::{Head, Method, Refusal, Version};

/// A request that still lacks its proof.
#[derive(Clone, Copy, Debug)]
pub struct SignDraft<'a> {
    /// The method.
    pub method: Method,
    /// Path and query as they will be sent.
    pub path_query: &'a str,
    /// Fields as they will be sent. Whatever the scheme needs and finds here stays as it is.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
    /// Stands wherever the scheme wants an id and the draft has none; a UUID fits every shape but digits.
    pub id: &'a str,
}

/// What a genuine sender adds.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    /// Fields to add.
    pub headers: Vec<(String, String)>,
    /// Parameters to add, not encoded yet; see [`Signed::target`].
    pub query: Vec<(String, String)>,
    /// The body, with the members that the scheme wants in it.
    pub body: Vec<u8>,
    /// The signature or token as it stands in the body, where that is its place.
    pub in_body: Option<String>,
}

/// Names only: values are signatures and secrets.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        f.debug_struct("Signed")
            .field("headers", &names(&self.headers))
            .field("query", &names(&self.query))
            .field("body", &self.body.len())
            .finish()
    }
}

/// Why a draft cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignProblem {
    /// The scheme wants members in the body, and the body is not a JSON object.
    BodyNotJson,
    /// The scheme wants fields in the body, and the body is not a form.
    BodyNotForm,
    /// The secret is not text, which a static secret in a request must be.
    SecretNotText,
    /// Only who has the private key can sign, and it was not given.
    NoPrivateKey,
    /// Nothing new is signed over SHA-1.
    Sha1,
    /// A part of the message cannot be read from the draft.
    Incomplete(Refusal),
}

impl fmt::Display for SignProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyNotJson => f.write_str("the scheme needs members in the body, which is not a JSON object"),
            Self::BodyNotForm => f.write_str("the scheme needs fields in the body, which is not a form"),
            Self::NoPrivateKey => f.write_str(
                "the scheme signs with a private key, which only the sender has; give one whose public key the route has",
            ),
            Self::Sha1 => f.write_str("the scheme signs over SHA-1, which is verified here and never made"),
            Self::SecretNotText => f.write_str("the secret is not text"),
            Self::Incomplete(refusal) => write!(f, "the message cannot be built: {}", refusal.code()),
        }
    }
}

impl std::error::Error for SignProblem {}

impl Signed {
    /// The request target with the added parameters.
    pub fn target(&self, path_query: &str) -> String {
        let mut target = path_query.to_owned();
        for (name, value) in &self.query {
            let separator = if target.contains('?') { '&' } else { '?' };
            target.push(separator);
            target.push_str(&form::encode(name.as_bytes()));
            target.push('=');
            target.push_str(&form::encode(value.as_bytes()));
        }
        target
    }
}

impl Verifier {
    /// Signs with the first key, as if it were sent at `now`.
    pub fn sign(&self, draft: &SignDraft<'_>, now: UnixMillis) -> Result<Signed, SignProblem> {
        let mut work = Work {
            draft,
            scheme: self.scheme(),
            now,
            signed: Signed { headers: Vec::new(), query: Vec::new(), body: draft.body.to_vec(), in_body: None },
            claims: Vec::new(),
        };
        work.put_time()?;
        let check = &self.scheme.check;
        // A part that names the key may be bound to another one.
        if let Some(envelope) = check.envelope() {
            work.put_key_id(envelope, self.keys.first().map(|key| &*key.id).unwrap_or_default())?;
        }
        work.put_bindings()?;
        work.put_ids()?;
        check.kind().sign(self, &mut work)?;
        Ok(work.signed)
    }
}

/// A request on its way from draft to signed.
pub(super) struct Work<'a, 'd> {
    draft: &'a SignDraft<'d>,
    scheme: &'a Scheme,
    now: UnixMillis,
    signed: Signed,
    /// What the token will say.
    claims: Vec<(JsonPath, Value)>,
}

impl Work<'_, '_> {
    /// Puts digests and signature; `make` makes the signature's bytes of a message.
    pub(super) fn put_signature(
        &mut self,
        verifier: &Verifier,
        envelope: &Envelope,
        make: impl FnOnce(&ReadyKey, &Feed<'_, '_>, &Template) -> Result<Vec<u8>, Refusal>,
    ) -> Result<(), SignProblem> {
        self.put_digests(envelope)?;
        self.put_input(verifier, envelope)?;
        let Some(place) = envelope.signature.places.first() else { return Ok(()) };
        // What is signed beside the signature is read from its place, so that is there before the signature is.
        let read_there = envelope.message.template.items().next().is_some();
        let before = self.signed.headers.len();
        if let (true, Source::Header(name)) = (read_there, place) {
            let empty = self.wrapped(verifier, envelope, &[])?;
            self.signed.headers.push((name.to_string(), empty));
        }
        let value = self.signature(verifier, envelope, make);
        self.signed.headers.truncate(before);
        self.put_proof(place, value?)
    }

    fn signature(
        &self,
        verifier: &Verifier,
        envelope: &Envelope,
        make: impl FnOnce(&ReadyKey, &Feed<'_, '_>, &Template) -> Result<Vec<u8>, Refusal>,
    ) -> Result<String, SignProblem> {
        let head = self.head();
        self.signature_over(&Facts::of(&head, &self.signed.body, self.scheme), verifier, envelope, make)
    }

    /// Signs every element of an array; there is one where the draft has none.
    pub(super) fn put_in_each(
        &mut self,
        verifier: &Verifier,
        envelope: &Envelope,
        path: &JsonPath,
        make: impl Fn(&ReadyKey, &Feed<'_, '_>, &Template) -> Result<Vec<u8>, Refusal>,
    ) -> Result<(), SignProblem> {
        let Some(Source::Json(place)) = envelope.signature.places.first() else { return Err(SignProblem::BodyNotJson) };
        let mut tree: Value = serde_json::from_slice(&self.signed.body).map_err(|_| SignProblem::BodyNotJson)?;
        let elements = member(&mut tree, path, one_of(Value::Object(Map::new())))?;
        let head = self.head();
        for element in elements.as_array_mut().ok_or(SignProblem::BodyNotJson)? {
            let text = element.to_string();
            let facts = Facts::new(&head, text.as_bytes(), &self.scheme.paths);
            let value = self.signature_over(&facts, verifier, envelope, &make)?;
            self.signed.in_body = Some(value.clone());
            put_member(element, place, Value::String(value))?;
        }
        self.signed.body = tree.to_string().into_bytes();
        Ok(())
    }

    fn signature_over(
        &self,
        facts: &Facts<'_>,
        verifier: &Verifier,
        envelope: &Envelope,
        make: impl FnOnce(&ReadyKey, &Feed<'_, '_>, &Template) -> Result<Vec<u8>, Refusal>,
    ) -> Result<String, SignProblem> {
        let time = self.scheme.timestamp.as_ref();
        let text = match time.map(|time| (&time.place, time)) {
            Some((TimePlace::Source(source), _)) => facts.read(source).map_err(SignProblem::Incomplete)?,
            Some((TimePlace::Item(_), time)) => Some(time.format.write(self.now).into_bytes().into()),
            None => None,
        };
        let stamp = text.map(|text| Stamp { text, at: self.now });
        let key = verifier.keys.first().ok_or(SignProblem::Incomplete(Refusal::KeyUnknown))?;
        let feed = verifier.feed(facts, stamp.as_ref(), key, false);
        let template = &envelope.message_for(facts).template;
        let signature = make(key, &feed, template).map_err(SignProblem::Incomplete)?;
        self.wrapped(verifier, envelope, &signature)
    }

    /// A signature with everything that stands beside it.
    fn wrapped(&self, verifier: &Verifier, envelope: &Envelope, signature: &[u8]) -> Result<String, SignProblem> {
        let key = verifier.keys.first().ok_or(SignProblem::Incomplete(Refusal::KeyUnknown))?;
        let time = self.scheme.timestamp.as_ref().and_then(|time| match &time.place {
            TimePlace::Item(item) => Some((item, time.format.write(self.now))),
            TimePlace::Source(_) => None,
        });
        let items = envelope.message.template.items().map(|item| (item, self.draft.id));
        let timed = time.as_ref().map(|(item, text)| (*item, text.as_str()));
        let items = items.filter(|(item, _)| timed.is_none_or(|(time, _)| time != *item));
        let beside: Vec<(&Item, &str)> = timed.into_iter().chain(items).collect();
        let named = match &envelope.key_item {
            Some(Item::Named(name)) => Some(&**name),
            _ => None,
        };
        Ok(envelope.signature.wrap(signature, &beside, named, &key.id))
    }

    fn head(&self) -> Head {
        let target = self.signed.target(self.draft.path_query);
        let mut builder = Head::builder(self.draft.method, Version::Http11).target(&target).host("localhost");
        for (name, value) in self.draft.headers.iter().chain(&self.signed.headers) {
            builder = builder.header(name, value);
        }
        builder.build()
    }

    fn read(&self, source: &Source) -> Result<Option<String>, SignProblem> {
        if let Source::Claim(path) = source {
            let value = self.claims.iter().find(|(known, _)| known == path);
            return Ok(value.map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
        let head = self.head();
        let facts = Facts::of(&head, &self.signed.body, self.scheme);
        let value = facts.read(source).map_err(SignProblem::Incomplete)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    fn put(&mut self, place: &Source, value: String) -> Result<(), SignProblem> {
        match place {
            Source::Header(name) => self.signed.headers.push((name.to_string(), value)),
            Source::Query(name) => self.signed.query.push((name.to_string(), value)),
            Source::Json(path) => self.put_member(path, Value::String(value))?,
            Source::Claim(path) => self.claims.push((path.clone(), Value::String(value))),
            Source::Form(name) => {
                let head = self.head();
                let facts = Facts::new(&head, &self.signed.body, &[]);
                if facts.form().map_err(SignProblem::Incomplete)?.is_none() {
                    return Err(SignProblem::BodyNotForm);
                }
                let separator = if self.signed.body.is_empty() { "" } else { "&" };
                let field = format!("{separator}{}={}", form::encode(name.as_bytes()), form::encode(value.as_bytes()));
                self.signed.body.extend_from_slice(field.as_bytes());
            }
        }
        Ok(())
    }

    pub(super) fn put_proof(&mut self, place: &Source, value: String) -> Result<(), SignProblem> {
        self.signed.in_body = match place {
            Source::Header(_) | Source::Query(_) | Source::Claim(_) => None,
            Source::Form(_) => Some(form::encode(value.as_bytes()).to_string()),
            Source::Json(_) => Some(Value::from(value.as_str()).to_string().trim_matches('"').to_owned()),
        };
        self.put(place, value)
    }

    fn put_member(&mut self, path: &JsonPath, value: Value) -> Result<(), SignProblem> {
        let mut tree: Value = serde_json::from_slice(&self.signed.body).map_err(|_| SignProblem::BodyNotJson)?;
        put_member(&mut tree, path, value)?;
        self.signed.body = tree.to_string().into_bytes();
        Ok(())
    }

    /// A time in the body is always rewritten: the draft is sent now.
    fn put_time(&mut self) -> Result<(), SignProblem> {
        let Some(time) = &self.scheme.timestamp else { return Ok(()) };
        let TimePlace::Source(source) = &time.place else { return Ok(()) };
        let text = time.format.write(self.now);
        match source {
            Source::Json(path) => {
                let number = text.parse::<i64>().map(Value::from);
                self.put_member(path, number.unwrap_or(Value::String(text)))
            }
            Source::Claim(path) => {
                let number = text.parse::<i64>().map(Value::from);
                self.claims.push((path.clone(), number.unwrap_or(Value::String(text))));
                Ok(())
            }
            _ if time.window.is_none() || self.read(source)?.is_some() => Ok(()),
            _ => self.put(source, text),
        }
    }

    /// Header and member are made equal; what the draft has wins, the header first.
    fn put_bindings(&mut self) -> Result<(), SignProblem> {
        let scheme = self.scheme;
        for binding in &scheme.bindings {
            let member = &binding.member;
            match (self.read(&binding.header)?, self.read(member)?) {
                (Some(header), None) => self.put(member, header)?,
                (None, Some(member)) => self.put(&binding.header, member)?,
                (None, None) => {
                    let id = self.id_for(&binding.header);
                    self.put(member, id.clone())?;
                    self.put(&binding.header, id)?;
                }
                (Some(_), Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Whatever else the message or dedupe memory needs and the draft does not have. A body that cannot take an id is
    /// left alone where dedupe memory has something to fall back on.
    fn put_ids(&mut self) -> Result<(), SignProblem> {
        let scheme = self.scheme;
        let mut needed: Vec<&Source> = scheme.id.iter().collect();
        if let Some(envelope) = scheme.check.envelope() {
            let head = self.head();
            let facts = Facts::new(&head, &self.signed.body, &[]);
            let message = envelope.message_for(&facts);
            let digests: Vec<&Source> = message.digests.iter().map(|digest| &digest.place).collect();
            if envelope.each.is_none() {
                needed.extend(message.template.needed().filter(|source| !digests.contains(source)));
            }
        }
        needed.extend(scheme.check.jwt().into_iter().flat_map(JwtSpec::parts));
        for source in needed {
            if self.read(source)?.is_none() {
                self.put(source, self.id_for(source))?;
            }
        }
        let entries = scheme.names.entries();
        let Some(first) = entries.first() else { return Ok(()) };
        // A condition is about requests of one kind, and their bodies are the draft's matter.
        let kind_of_its_own = scheme.names.when(first).is_some();
        for source in first.sources().filter(|source| !kind_of_its_own || source.header().is_some()) {
            if self.read(source)?.is_none() {
                match self.put(source, self.id_for(source)) {
                    Err(_) if entries.len() > 1 => {}
                    put => put?,
                }
            }
        }
        Ok(())
    }

    fn id_for(&self, source: &Source) -> String {
        let digits = |(part, look): &(Source, Look)| *look == Look::Of(Shape::Digits) && source == part;
        if self.scheme.shapes.iter().any(digits) { self.now.secs().to_string() } else { self.draft.id.to_owned() }
    }

    fn put_key_id(&mut self, envelope: &Envelope, id: &str) -> Result<(), SignProblem> {
        match &envelope.key_id {
            Some(source) if self.read(source)?.is_none() => self.put(source, id.to_owned()),
            _ => Ok(()),
        }
    }

    /// A member may be of a kind that is no text.
    fn is_absent(&self, place: &Source) -> Result<bool, SignProblem> {
        match place {
            Source::Json(path) => match text::member(&self.signed.body, path) {
                Ok(found) => Ok(found.is_none()),
                Err(_) => Err(SignProblem::BodyNotJson),
            },
            place => Ok(self.read(place)?.is_none()),
        }
    }

    /// What an HTTP message signature covers, and the digest of the body.
    fn put_input(&mut self, verifier: &Verifier, envelope: &Envelope) -> Result<(), SignProblem> {
        for (place, value) in envelope.message.template.writings().filter_map(Writing::made) {
            if self.is_absent(&place)? {
                self.put(&place, value)?;
            }
        }
        let (Some(base), Some(time)) = (envelope.message.template.base(), &self.scheme.timestamp) else {
            return Ok(());
        };
        let digest = Source::Header("Content-Digest".into());
        if base.digests_body() && self.read(&digest)?.is_none() {
            self.put(&digest, digest_of(&self.signed.body))?;
        }
        let key = verifier.keys.first().map(|key| &*key.id).unwrap_or_default();
        let input = base.offer(&time.format.write(self.now), key);
        self.put(&Source::Header(INPUT.into()), input)
    }

    fn put_digests(&mut self, envelope: &Envelope) -> Result<(), SignProblem> {
        let head = self.head();
        let body = self.signed.body.clone();
        let facts = Facts::new(&head, &body, &[]);
        let message = envelope.message_for(&facts);
        for digest in message.digests.iter().filter(|digest| digest.required) {
            if self.read(&digest.place)?.is_none() {
                let tag = digest.algorithm.digest(&body);
                self.put(&digest.place, format!("{}{}", digest.prefix, digest.encoding.encode(tag.as_bytes())))?;
            }
        }
        Ok(())
    }
}

/// Puts a value where a path leads.
fn put_member(tree: &mut Value, path: &JsonPath, value: Value) -> Result<(), SignProblem> {
    *member(tree, path, Value::Null)? = value;
    Ok(())
}

/// Where a path leads. What is missing on the way is made, and `missing` at its end.
fn member<'t>(tree: &'t mut Value, path: &JsonPath, missing: Value) -> Result<&'t mut Value, SignProblem> {
    let mut at = tree;
    let mut end = Some(missing);
    let mut steps = path.steps().peekable();
    while let Some(step) = steps.next() {
        let made = || match steps.peek() {
            // An array where every element of one is asked for.
            Some(&EACH) => one_of(Value::Object(Map::new())),
            Some(_) => Value::Object(Map::new()),
            None => end.take().unwrap_or_default(),
        };
        at = match at {
            Value::Object(members) if step != EACH => members.entry(step).or_insert_with(made),
            Value::Array(items) => {
                let index = if step == EACH { Ok(0) } else { step.parse::<usize>() };
                index.ok().and_then(|index| items.get_mut(index)).ok_or(SignProblem::BodyNotJson)?
            }
            _ => return Err(SignProblem::BodyNotJson),
        };
    }
    Ok(at)
}

fn one_of(element: Value) -> Value {
    Value::Array(vec![element])
}
