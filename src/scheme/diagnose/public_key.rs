//! Why no public key verifies a signature: another route's key, another form of the signature, another algorithm of the same
//! family, another body.

use super::bodies::Bodies;
use super::{Asked, MAX_BODY, MAX_BYTES, UNTOUCHED, condition};
use crate::domain::Refusal;
use crate::scheme::check::public_key::{KeyAlgorithm, MAX_SIGNATURES, PublicKey, PublicKeySpec, Signed};
use crate::scheme::encoding::Encoding;
use crate::scheme::source::Facts;
use crate::scheme::{Material, ReadyKey, Stamp, Verifier};

/// Signatures that are verified for one diagnosis.
const MAX_TRIES: u32 = 512;
/// Longest text of a signature that is looked at.
const MAX_TEXT: usize = 4096;

/// A signature as it may have been meant.
struct Reading {
    bytes: Vec<u8>,
    /// `None`: as the scheme writes it.
    encoding: Option<Encoding>,
}

/// The first change that makes a signature right, or what can be said without one.
pub(super) fn findings(spec: &PublicKeySpec, asked: &Asked<'_, '_>, body: &[u8]) -> Vec<String> {
    let mut search =
        Search { spec, asked, body, readings: readings(spec, asked.facts), tries: MAX_TRIES, bytes: MAX_BYTES };
    if search.readings.is_empty() {
        let (algorithm, encoding) = (spec.algorithm.as_str(), spec.envelope.signature.encoding.as_str());
        return vec![format!(
            "what stands there has not the length of any signature in any known encoding; the scheme has {algorithm} in {encoding}"
        )];
    }
    let found = search.as_it_is().or_else(|| search.of_others());
    let found = found.or_else(|| search.by_other_algorithms()).or_else(|| search.by_other_bodies());
    found.map_or_else(|| search.nothing(), |found| vec![found])
}

struct Search<'s, 'f> {
    spec: &'s PublicKeySpec,
    asked: &'s Asked<'s, 'f>,
    body: &'s [u8],
    readings: Vec<Reading>,
    tries: u32,
    bytes: usize,
}

impl<'s> Search<'s, '_> {
    fn verifier(&self) -> &'s Verifier {
        self.asked.verifier
    }

    /// The right key, and a signature that is only written otherwise, or is not the only thing that stands there.
    fn as_it_is(&mut self) -> Option<String> {
        for key in &self.verifier().keys {
            let Some(encoding) = self.right(public(key)?, self.spec.algorithm, self.body) else { continue };
            return Some(match (encoding, self.asked.refusal) {
                (Some(encoding), _) => format!(
                    "key `{}` verifies this signature, but it is written in {} where the scheme has {}: have the sender, or what \
                     stands before the relay, write it as the scheme has it",
                    key.id,
                    encoding.as_str(),
                    self.spec.envelope.signature.encoding.as_str()
                ),
                (None, Refusal::KeyUnknown) => format!(
                    "key `{}` verifies this signature, but the request names another one, or none: give the public key the id that \
                     the sender uses (`id = \"…\"`)",
                    key.id
                ),
                (None, _) => {
                    format!("key `{}` verifies this signature, but it is not the only thing that stands there", key.id)
                }
            });
        }
        None
    }

    fn of_others(&mut self) -> Option<String> {
        for (route, other) in self.asked.others {
            for key in &other.keys {
                let Some(read) = public(key).and_then(|key| key.read_for(self.spec.algorithm)) else { continue };
                if self.right(&read, self.spec.algorithm, self.body).is_some() {
                    return Some(format!(
                        "it is verified by the public key of route `{route}` (key `{}`): the sender calls the wrong URL, or this \
                         route has the public key of another account",
                        key.id
                    ));
                }
            }
        }
        None
    }

    fn by_other_algorithms(&mut self) -> Option<String> {
        let own = self.spec.algorithm;
        let others = KeyAlgorithm::ALL.into_iter().filter(|other| *other != own && other.family() == own.family());
        for other in others {
            for key in &self.verifier().keys {
                let Some(read) = public(key).and_then(|key| key.read_for(other)) else { continue };
                if self.right(&read, other, self.body).is_some() {
                    return Some(format!(
                        "key `{}` verifies this signature as {} where the scheme has {}: have the sender sign as the scheme says, or \
                         write the scheme as the sender signs",
                        key.id,
                        other.as_str(),
                        own.as_str()
                    ));
                }
            }
        }
        None
    }

    fn by_other_bodies(&mut self) -> Option<String> {
        if !self.spec.envelope.signs_body() || self.body.len() > MAX_BODY {
            return None;
        }
        let (body, keys) = (self.body, &self.verifier().keys);
        let declared = self.asked.head.headers().sole("content-length").ok().flatten();
        let declared = declared.and_then(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
        let mut hit = None;
        let words = Bodies::new(body).find(body, declared, |body| {
            hit = keys
                .iter()
                .find(|key| public(key).is_some_and(|public| self.right(public, self.spec.algorithm, body).is_some()));
            if hit.is_none() && self.tries == 0 { None } else { Some(hit.is_some()) }
        })?;
        let key = hit.map(|key| &*key.id).unwrap_or_default();
        Some(format!("key `{key}` verifies this signature for another body: {words}; {UNTOUCHED}"))
    }

    /// How the signature is written that this key verifies; `None` when it verifies none.
    #[expect(
        clippy::option_option,
        reason = "the outer level is whether it is right, the inner whether it is written otherwise"
    )]
    fn right(&mut self, key: &PublicKey, algorithm: KeyAlgorithm, body: &[u8]) -> Option<Option<Encoding>> {
        let Self { spec, asked, .. } = *self;
        let verifier = asked.verifier;
        let scheme = &*verifier.scheme;
        let facts = Facts::of(asked.head, body, scheme);
        let text = scheme.timestamp.as_ref().and_then(|time| scheme.time_text(time, &facts).ok().flatten());
        let stamp = text.map(|text| Stamp { text, at: asked.now });
        let first = verifier.keys.first()?;
        for other_port in spec.envelope.ports(verifier) {
            self.bytes = self.bytes.checked_sub(body.len())?;
            let feed = verifier.feed(&facts, stamp.as_ref(), first, *other_port);
            let signed = Signed::new(algorithm, &feed, &spec.envelope.message_for(&facts).template).ok()?;
            for reading in &self.readings {
                self.tries = self.tries.checked_sub(1)?;
                if signed.is_signed_by(key, &reading.bytes) {
                    return Some(reading.encoding);
                }
            }
        }
        None
    }

    fn nothing(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.tries == 0 {
            found.push("there was more to try than one diagnosis may cost".to_owned());
        }
        if self.spec.envelope.signs_url() {
            found.push(
                "the signature is over the public URL: compare `public_url` with the one that is registered at the sender"
                    .to_owned(),
            );
        }
        if self.spec.envelope.signs_body() {
            found.extend(condition::findings(self.asked.head, self.body));
        }
        found.push(
            "no public key of any route verifies this signature: enter the key that the provider shows today for this very \
             endpoint (live and test have their own, and keys are rotated), and see whether something on the way changes the \
             request"
                .to_owned(),
        );
        found
    }
}

fn public(key: &ReadyKey) -> Option<&PublicKey> {
    match &key.material {
        Material::PublicKey(key) => Some(key),
        Material::Mac(_) | Material::Token(_) | Material::Jwt(_) => None,
    }
}

/// What the request has as its signature, in every encoding; as the scheme writes it first.
fn readings(spec: &PublicKeySpec, facts: &Facts<'_>) -> Vec<Reading> {
    let signature = &spec.envelope.signature;
    let mut found = Vec::new();
    let others = || Encoding::ALL.into_iter().filter(|other| *other != signature.encoding).map(Some);
    for encoding in std::iter::once(None).chain(others()) {
        let _ = signature.each_in(facts, |text| {
            let of_scheme = encoding.unwrap_or(signature.encoding);
            let bytes = of_scheme.decode(text.trim_ascii()).ok().filter(|_| text.len() <= MAX_TEXT);
            if let Some(bytes) = bytes.filter(|bytes| bytes.len() >= 8 && found.len() < 4 * MAX_SIGNATURES) {
                found.push(Reading { bytes, encoding });
            }
            Ok(false)
        });
    }
    found
}
