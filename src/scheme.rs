//! The scheme engine: recipe, secrets, time and bytes in; [`Proof`] or a refusal out.
//!
//! A scheme is data (see `docs/schemes.md` for the grammar). This module never reads a clock, never logs, never allocates
//! for the comparison, and never compares text: signatures are decoded to fixed-length bytes and compared in constant time.
//!
//! Deliberately absent: anything that a request could use to choose an algorithm, and any fetch of keys.

pub(crate) mod algorithm;
pub(crate) mod challenge;
pub(crate) mod check;
pub(crate) mod compiled;
mod describe;
mod diagnose;
pub(crate) mod encoding;
mod examine;
pub(crate) mod form;
mod held;
pub(crate) mod identity;
pub(crate) mod json;
pub(crate) mod key;
mod message;
pub(crate) mod message_signature;
pub(crate) mod shape;
mod sign;
pub(crate) mod source;
pub(crate) mod spelling;
pub(crate) mod template;
pub(crate) mod timestamp;
mod upstream_signer;
mod url;
mod weakness;
mod words;
pub(crate) mod wrapping;
pub(crate) mod writing;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{Secret, UnixMillis};
use crate::domain::{Head, Own, Refusal};
use algorithm::{State, Tag};
use check::jwt::JwtKey;
use check::public_key::PublicKey;
use compiled::{TimePlace, TimeSpec};
use json::JsonPath;
use key::Side;
use message::Feed;
use source::Facts;

pub use algorithm::Algorithm as HashAlgorithm;
pub use challenge::{Challenge, ChallengeAnswer, MAX_BODY as MAX_CHALLENGE, Secrets as ChallengeSecrets};
pub use check::public_key::{KeySetFault, NamedKey, PublicKeyFault, key_set};
pub use compiled::Scheme;
pub use describe::{Description, Line};
pub use diagnose::Other as OtherRoute;
pub use encoding::Encoding;
pub(crate) use examine::span;
pub use examine::{Aspect, Found, Part};
pub use identity::MAX_NAME;
use identity::Name;
pub use key::{Key, KeyFault, KeyProblem};
pub use sign::{SignDraft, SignProblem, Signed};
pub use upstream_signer::{UpstreamSignature, UpstreamSigner};
pub use url::PublicUrl;
pub use weakness::Weakness;
pub use wrapping::MAX_CANDIDATES;

/// Secrets that a route may have: each one costs a MAC per request.
pub const MAX_KEYS: usize = 16;

/// A route's scheme with its secrets.
#[derive(Debug)]
pub struct Verifier {
    scheme: Arc<Scheme>,
    keys: Vec<ReadyKey>,
    /// Ids of secrets that could not be read; none in a relay that serves.
    unread: Vec<Arc<str>>,
    url: Option<PublicUrl>,
    /// What the route says of claims: a path, and the values that are right.
    claims: Vec<(JsonPath, Vec<Box<str>>)>,
    own: Own,
    /// Of a request, whatever its size, as bytes that could be hashed instead.
    cost: usize,
}

/// A secret, decoded and absorbed as far as it can be before a request is there.
#[derive(Debug)]
struct ReadyKey {
    id: Arc<str>,
    /// Before the scheme's decoding, for a diagnosis.
    configured: Secret,
    secret: Secret,
    material: Material,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful per route, made when a configuration is read")]
enum Material {
    /// Cloned per request.
    Mac(State),
    /// SHA-256 of the token: equal length for every secret, so that a comparison tells nothing of it.
    Token(Tag),
    /// Parsed once.
    PublicKey(Box<PublicKey>),
    /// Either of the two, for each algorithm of a token.
    Jwt(JwtKey),
}

/// What a genuine request proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The id of the key that matched.
    pub key: Arc<str>,
    /// The time the request carries, where its scheme has one.
    pub timestamp: Option<UnixMillis>,
    /// What dedupe memory knows the request by, among those of the route that the same key proved; never a whole signature.
    pub dedupe: Option<Box<str>>,
    /// Where in `dedupe` what is signed begins, behind an id that nobody signs.
    pub signed_from: Option<usize>,
}

impl Proof {
    /// What is signed of that, where an id that nobody signs is another part of it.
    pub fn signed_words(&self) -> Option<&str> {
        self.dedupe.as_deref()?.get(self.signed_from?..)
    }
}

/// The key that matched, and the signature by which it did.
struct Matched<'v> {
    key: &'v ReadyKey,
    tag: Option<Tag>,
}

/// A time as text and as a value.
struct Stamp<'f> {
    text: Cow<'f, [u8]>,
    at: UnixMillis,
}

impl Verifier {
    /// Decodes every secret or public key as the scheme wants it.
    pub fn new(scheme: Arc<Scheme>, keys: Vec<Key>, url: Option<PublicUrl>) -> Result<Self, KeyProblem> {
        Self::of_side(Side::Receiver, scheme, keys, url)
    }

    /// The same for whoever signs: where the scheme has public keys, these are the private ones.
    pub fn sender(scheme: Arc<Scheme>, keys: Vec<Key>, url: Option<PublicUrl>) -> Result<Self, KeyProblem> {
        Self::of_side(Side::Sender, scheme, keys, url)
    }

    /// One that signs with this key what this verifier would take, if it has its public one.
    pub fn sender_with(&self, key: Key) -> Result<Self, KeyProblem> {
        let sender = Self::sender(Arc::clone(&self.scheme), vec![key], self.url.clone())?;
        Ok(Self { claims: self.claims.clone(), ..sender })
    }

    /// With what the route says of claims. A claim that the scheme leaves to the route is refused until the route says it.
    pub fn with_claims<'c>(mut self, claims: impl IntoIterator<Item = (&'c str, Vec<Box<str>>)>) -> Self {
        let read = |(path, values)| Some((JsonPath::parse(path)?, values));
        self.claims = claims.into_iter().filter_map(read).collect();
        self
    }

    fn claim_of_route(&self, path: &JsonPath) -> &[Box<str>] {
        self.claims.iter().find(|(known, _)| known == path).map(|(_, values)| &**values).unwrap_or_default()
    }

    fn of_side(side: Side, scheme: Arc<Scheme>, keys: Vec<Key>, url: Option<PublicUrl>) -> Result<Self, KeyProblem> {
        let public = scheme.takes_public_keys();
        let whole = |fault| KeyProblem { key: None, fault, public };
        if keys.is_empty() {
            return Err(whole(KeyFault::NoKey));
        }
        if keys.len() > MAX_KEYS {
            return Err(whole(KeyFault::TooManyKeys));
        }
        if url.is_none() && scheme.needs_public_url() {
            return Err(whole(KeyFault::NoPublicUrl));
        }
        let mut ids = BTreeSet::new();
        let mut ready = Vec::with_capacity(keys.len());
        for key in keys {
            let fault = |fault| KeyProblem { key: Some(Arc::clone(&key.id)), fault, public };
            if !ids.insert(Arc::clone(&key.id)) {
                return Err(fault(KeyFault::RepeatedId));
            }
            ready.push(ReadyKey::new(&scheme, &key, side).map_err(fault)?);
        }
        let own = held::own(&scheme);
        let cost = scheme.check.kind().cost(&ready);
        Ok(Self { scheme, keys: ready, unread: Vec::new(), url, claims: Vec::new(), own, cost })
    }

    /// The same where some or all of the secrets cannot be read by whoever asks: a request that only they could prove is
    /// refused. For explanations, never for a relay that serves.
    pub fn partial(
        scheme: Arc<Scheme>,
        keys: Vec<Key>,
        unread: Vec<Arc<str>>,
        url: Option<PublicUrl>,
    ) -> Result<Self, KeyProblem> {
        if keys.is_empty() && !unread.is_empty() {
            let own = held::own(&scheme);
            return Ok(Self { scheme, keys: Vec::new(), unread, url, claims: Vec::new(), own, cost: 0 });
        }
        Ok(Self { unread, ..Self::new(scheme, keys, url)? })
    }

    /// The ids of secrets that could not be read.
    pub fn unread(&self) -> &[Arc<str>] {
        &self.unread
    }

    /// The ids of the keys, the current one first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| &*key.id)
    }

    /// Whether a secret is one of these.
    pub fn has_secret(&self, secret: &Secret) -> bool {
        self.keys.iter().any(|key| key.configured.matches(secret.expose()))
    }

    /// The scheme.
    pub fn scheme(&self) -> &Arc<Scheme> {
        &self.scheme
    }

    /// What a request costs beside hashing its body, as bytes that could be hashed instead; 0 for a shared secret.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Checks one request over its raw bytes. Cheap checks come first: shapes and a time in the head before the hash,
    /// the hash before anything that has to parse a body which might not be genuine.
    pub fn verify(&self, head: &Head, body: &[u8], now: UnixMillis) -> Result<Proof, Refusal> {
        let scheme = &*self.scheme;
        let facts = Facts::of(head, body, scheme);
        scheme.check_shapes(&facts)?;
        let early = match &scheme.timestamp {
            Some(time) if scheme.time_first(time, &facts) => scheme.stamp(time, &facts, now)?,
            _ => None,
        };
        if let Some(spec) = scheme.check.jwt() {
            spec.check_life(&facts, now)?;
        }
        let matched = scheme.check.prove(self, &facts, early.as_ref())?;
        scheme.check_reserved(body)?;
        let timestamp = match (&scheme.timestamp, early) {
            (_, Some(stamp)) => Some(stamp.at),
            (Some(time), None) => scheme.stamp(time, &facts, now)?.map(|stamp| stamp.at),
            (None, None) => None,
        };
        scheme.check_bindings(&facts)?;
        let (dedupe, signed_from) = match scheme.name(&facts, matched.tag.as_ref())? {
            Some(Name { text, signed_from }) => (Some(text), signed_from),
            None => (None, None),
        };
        Ok(Proof { key: Arc::clone(&matched.key.id), timestamp, dedupe, signed_from })
    }

    fn feed<'f, 'a>(
        &'f self,
        facts: &'f Facts<'a>,
        stamp: Option<&'f Stamp<'_>>,
        key: &'f ReadyKey,
        other_port: bool,
    ) -> Feed<'f, 'a> {
        let envelope = self.scheme.check.envelope();
        Feed {
            facts,
            stamp: stamp.map(|stamp| &*stamp.text),
            id: self.scheme.id.as_ref(),
            secret: &key.secret,
            key_id: &key.id,
            signature: envelope.map(|envelope| &envelope.signature),
            hashed: envelope.and_then(|envelope| envelope.hashed),
            url: self.url.as_ref(),
            other_port,
        }
    }
}

impl ReadyKey {
    fn new(scheme: &Scheme, key: &Key, side: Side) -> Result<Self, KeyFault> {
        if key.secret.is_empty() {
            return Err(KeyFault::Empty);
        }
        let (secret, material) = scheme.check.kind().ready(&key.secret, side)?;
        Ok(Self { id: Arc::clone(&key.id), configured: key.secret.clone(), secret, material })
    }
}

impl Scheme {
    /// These keys without the JSON Web Keys that say they are for something else: a set holds keys of several algorithms. Where
    /// none is left, all of them, so that somebody says why.
    pub fn fitting(&self, keys: Vec<Key>) -> Vec<Key> {
        let kind = self.check.kind();
        let is_other = |key: &Key| {
            key.secret.expose().starts_with(b"{")
                && kind.takes_public_keys()
                && matches!(kind.ready(&key.secret, Side::Receiver), Err(KeyFault::Public(fault)) if fault.is_of_another_kind())
        };
        match keys.iter().filter(|key| !is_other(key)).cloned().collect::<Vec<Key>>() {
            fitting if fitting.is_empty() => keys,
            fitting => fitting,
        }
    }

    fn check_shapes(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        for (header, shape) in &self.shapes {
            let value = facts.read(header)?;
            if value.is_some_and(|value| !shape.fits(&value)) {
                return Err(Refusal::ShapeInvalid);
            }
        }
        Ok(())
    }

    /// A body that is a challenge's text has a signature that anybody can ask for.
    fn check_reserved(&self, body: &[u8]) -> Result<(), Refusal> {
        if self.reserved.iter().any(|shape| shape.fits(body)) { Err(Refusal::ShapeInvalid) } else { Ok(()) }
    }

    /// A time in the head is judged before the hash. One in the body waits, unless the message has its text anyway.
    fn time_first(&self, time: &TimeSpec, facts: &Facts<'_>) -> bool {
        !time.place.in_body()
            || self
                .check
                .envelope()
                .is_some_and(|envelope| envelope.message_for(facts).template.has(&template::Segment::Timestamp))
    }

    fn stamp<'f>(&self, time: &TimeSpec, facts: &'f Facts<'_>, now: UnixMillis) -> Result<Option<Stamp<'f>>, Refusal> {
        let text = self.time_text(time, facts);
        let Some(window) = time.window else {
            let read = text.ok().flatten().and_then(|text| Some(Stamp { at: time.format.read(&text)?, text }));
            return Ok(read);
        };
        let text = text?.ok_or(Refusal::TimestampMissing)?;
        let at = time.format.read(&text).ok_or(Refusal::TimestampMalformed)?;
        self.check_expiry(time, facts, now)?;
        window.check(at, now)?;
        Ok(Some(Stamp { text, at }))
    }

    /// The end that a sender sets by itself, where it does.
    fn check_expiry(&self, time: &TimeSpec, facts: &Facts<'_>, now: UnixMillis) -> Result<(), Refusal> {
        let (Some(item), Some(envelope)) = (&time.expires, self.check.envelope()) else { return Ok(()) };
        let Some(text) = envelope.signature.item(facts, item)? else { return Ok(()) };
        let until = time.format.read(&text).ok_or(Refusal::TimestampMalformed)?;
        if until < now { Err(Refusal::TimestampStale) } else { Ok(()) }
    }

    fn time_text<'f>(&self, time: &TimeSpec, facts: &'f Facts<'_>) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
        match (&time.place, self.check.envelope()) {
            (TimePlace::Source(source), _) => facts.read(source),
            (TimePlace::Item(item), Some(envelope)) => envelope.signature.item(facts, item),
            (TimePlace::Item(_), None) => Ok(None),
        }
    }

    /// A member that is absent, ambiguous or unreadable is bound to nothing.
    fn check_bindings(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        for binding in &self.bindings {
            let member = facts.read(&binding.member).ok().flatten();
            let header = facts.read(&binding.header)?;
            if member.is_none() || member != header {
                return Err(Refusal::BindingMismatch);
            }
        }
        Ok(())
    }
}
