//! A hash over a message, keyed or with the secret in the message.

use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::envelope::{Envelope, is_named};
use super::{Kind, each};
use crate::base::Secret;
use crate::domain::{Class, Refusal};
use crate::scheme::algorithm::{Algorithm, State, Tag};
use crate::scheme::compiled::{Message, TimeSpec};
use crate::scheme::diagnose::{self, Asked};
use crate::scheme::examine::{Part, Seen};
use crate::scheme::key::{KeyFault, KeyMaterial, Side};
use crate::scheme::message::Feed;
use crate::scheme::sign::{SignProblem, Work};
use crate::scheme::source::{Facts, Source};
use crate::scheme::template::{Segment, Template};
use crate::scheme::weakness::Weakness;
use crate::scheme::wrapping::Candidates;
use crate::scheme::{Matched, Material, ReadyKey, Stamp, Verifier, describe, words};

/// A keyed hash, or a plain one with the secret in its message.
#[derive(Debug)]
pub(crate) struct MacSpec {
    pub(crate) function: Function,
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeyMaterial,
    pub(crate) envelope: Envelope,
}

/// How the hash is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Hmac,
    /// The secret is part of the message.
    Digest,
}

/// The request as a whole, or every element of its array.
pub(in crate::scheme) fn prove<'v>(
    spec: &MacSpec,
    verifier: &'v Verifier,
    facts: &Facts<'_>,
    stamp: Option<&Stamp<'_>>,
) -> Result<Matched<'v>, Refusal> {
    match &spec.envelope.each {
        None => prove_one(spec, verifier, facts, stamp),
        Some(path) => each::prove(spec, path, verifier, facts, stamp),
    }
}

/// Every key is tried against every signature, and nothing stops early, so that time tells neither which key nor which
/// signature was right.
pub(in crate::scheme) fn prove_one<'v>(
    spec: &MacSpec,
    verifier: &'v Verifier,
    facts: &Facts<'_>,
    stamp: Option<&Stamp<'_>>,
) -> Result<Matched<'v>, Refusal> {
    const NONE: u32 = u32::MAX;
    let envelope = &spec.envelope;
    let mut candidates = Candidates::none();
    envelope.signature.candidates(facts, spec.algorithm, &mut candidates)?;
    let named = envelope.named_key(facts)?;
    let known = |key: &ReadyKey| is_named(key, named.as_deref());
    if !verifier.keys.iter().any(known) {
        return Err(Refusal::KeyUnknown);
    }
    let message = envelope.message_for(facts);
    let (mut hit, mut right) = (NONE, Tag::EMPTY);
    for (index, key) in (0u32..).zip(&verifier.keys).filter(|(_, key)| known(key)) {
        for other_port in envelope.ports(verifier) {
            let feed = verifier.feed(facts, stamp, key, *other_port);
            let expected = feed.hash(spec.state(key), &message.template)?;
            for candidate in candidates.iter() {
                let first_match = expected.ct_eq(candidate) & hit.ct_eq(&NONE);
                hit.conditional_assign(&index, first_match);
                right.conditional_assign(&expected, first_match);
            }
        }
    }
    let key = usize::try_from(hit).ok().and_then(|hit| verifier.keys.get(hit)).ok_or(Refusal::SignatureMismatch)?;
    message.check_digests(facts)?;
    Ok(Matched { key, tag: Some(right) })
}

impl MacSpec {
    /// `ready` makes a state for every key; a fresh plain one would match nothing.
    fn state(&self, key: &ReadyKey) -> State {
        match &key.material {
            Material::Mac(state) => state.clone(),
            Material::Token(_) | Material::PublicKey(_) | Material::Jwt(_) => State::plain(self.algorithm),
        }
    }

    /// Whether this message can be continued: a plain digest with something behind the secret. SHA-384 gives too little of its
    /// state away.
    pub(crate) fn extends_over(&self, message: &Message) -> bool {
        let plain = self.function == Function::Digest && self.algorithm != Algorithm::Sha384;
        let behind = message.template.segments().last() != Some(&Segment::Secret);
        plain && message.template.has(&Segment::Secret) && behind
    }

    fn candidates(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        let of = |facts: &Facts<'_>| self.envelope.signature.candidates(facts, self.algorithm, &mut Candidates::none());
        match &self.envelope.each {
            None => of(facts),
            Some(path) => each::elements(facts, path)?.into_iter().try_for_each(|element| of(&facts.within(element))),
        }
    }
}

impl Kind for MacSpec {
    fn name(&self) -> &'static str {
        match self.function {
            Function::Hmac => "hmac",
            Function::Digest => "digest",
        }
    }

    fn algorithm(&self) -> Option<&'static str> {
        Some(self.algorithm.as_str())
    }

    fn class(&self) -> Class {
        Class::Signature
    }

    fn sources(&self) -> Vec<&Source> {
        self.envelope.signature.places.iter().collect()
    }

    fn headers(&self) -> Vec<&str> {
        self.envelope.signature.places.iter().filter_map(Source::header).collect()
    }

    fn places(&self) -> Vec<String> {
        self.envelope.signature.places.iter().map(words::source).collect()
    }

    fn weaknesses(&self) -> Vec<Weakness> {
        let found = [
            (self.function == Function::Digest, Weakness::Digest),
            (self.algorithm == Algorithm::Sha1, Weakness::Sha1),
        ];
        found.into_iter().filter_map(|(is, weakness)| is.then_some(weakness)).collect()
    }

    fn extends(&self) -> bool {
        self.envelope.messages().any(|message| self.extends_over(message))
    }

    fn describe(&self, say: &mut dyn FnMut(&'static str, String)) {
        let function = match self.function {
            Function::Hmac => "HMAC",
            Function::Digest => "plain digest",
        };
        say("proof", format!("{function} {}", self.algorithm.as_str()));
        describe::envelope(&self.envelope, say);
        let key = [
            self.key.prefix.as_ref().map(|prefix| format!("without its prefix {prefix}")),
            self.key.encoding.map(|encoding| format!("decoded from {}", encoding.as_str())),
            self.key.suffix.as_ref().map(|suffix| format!("followed by {suffix}")),
            self.key.hash.map(|hash| format!("hashed with {}", hash.as_str())),
        ];
        let key: Vec<String> = key.into_iter().flatten().collect();
        say("key", if key.is_empty() { "the secret's text".into() } else { format!("the secret, {}", key.join(", ")) });
    }

    fn ready(&self, configured: &Secret, _side: Side) -> Result<(Secret, Material), KeyFault> {
        let secret = self.key.derive(configured)?;
        let state = match self.function {
            Function::Hmac => State::keyed(self.algorithm, secret.expose()).ok_or(KeyFault::Empty)?,
            Function::Digest => State::plain(self.algorithm),
        };
        Ok((secret, Material::Mac(state)))
    }

    fn sign(&self, verifier: &Verifier, work: &mut Work<'_, '_>) -> Result<(), SignProblem> {
        let make = |key: &ReadyKey, feed: &Feed<'_, '_>, template: &Template| {
            feed.hash(self.state(key), template).map(|tag| tag.as_bytes().to_vec())
        };
        match &self.envelope.each {
            None => work.put_signature(verifier, &self.envelope, make),
            Some(path) => work.put_in_each(verifier, &self.envelope, path, make),
        }
    }

    fn reads(&self, text: &[u8]) -> bool {
        self.envelope.signature.encoding.decode_tag(text, self.algorithm.len()).is_some()
    }

    fn is_formed(&self, facts: &Facts<'_>) -> bool {
        self.candidates(facts).is_ok()
    }

    fn examine<'s>(&self, seen: &Seen<'s, '_>, early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>) {
        let stamp = match seen.before_signature(&self.envelope, early, self.candidates(seen.facts)) {
            Ok(stamp) => stamp,
            Err(part) => return (part, None),
        };
        let function = match self.function {
            Function::Hmac => "HMAC-",
            Function::Digest => "digest ",
        };
        let proven = prove(self, seen.verifier, seen.facts, stamp.as_ref());
        seen.judged(&format!("{function}{}", self.algorithm.as_str()), Some(&self.envelope), proven)
    }

    fn mismatch(&self, keys: &str) -> String {
        format!("none of the route's keys gives it: {keys}")
    }

    fn diagnose(&self, asked: &Asked<'_, '_>) -> Vec<String> {
        diagnose::of_mac(self, asked)
    }
}
