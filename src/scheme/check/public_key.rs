//! Signatures that are made with a private key, which only the sender has, and verified with its public one: Ed25519, ECDSA,
//! RSA.
//!
//! Nothing here is secret, so a comparison may stop at the first match. One verification takes as long as a hash over some ten
//! thousand bytes: their number is bounded, and [`PublicKey::cost`] says what a key costs.

mod der;
mod jwk;
mod parse;
mod private;

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self as primitive, ParsedPublicKey, VerificationAlgorithm};

use super::Kind;
use super::envelope::{Envelope, is_named};
use crate::base::Secret;
use crate::domain::{Class, Refusal};
use crate::scheme::algorithm::{Algorithm, Tag};
use crate::scheme::compiled::TimeSpec;
use crate::scheme::diagnose::{self, Asked};
use crate::scheme::encoding::Encoding;
use crate::scheme::examine::{Part, Seen};
use crate::scheme::key::{KeyFault, Side};
use crate::scheme::message::Feed;
use crate::scheme::sign::{SignProblem, Work};
use crate::scheme::source::{Facts, Source};
use crate::scheme::template::{Segment, Template};
use crate::scheme::weakness::Weakness;
use crate::scheme::{Matched, Material, ReadyKey, Stamp, Verifier, describe, words};

pub use jwk::{KeySetFault, NamedKey, key_set};
pub use parse::PublicKeyFault;
pub(super) use parse::public;
use private::PrivateKey;
pub(super) use private::pair;

/// Signatures of one request that are looked at. Each is tried with every key.
pub(crate) const MAX_SIGNATURES: usize = 4;
/// The longest signature in bytes: that of an RSA key of 8192 bits.
const MAX_SIGNATURE: usize = 1024;

/// A signature over a message, and what keys for it look like.
#[derive(Debug)]
pub(crate) struct PublicKeySpec {
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) form: KeyForm,
    pub(crate) envelope: Envelope,
}

/// How the provider shows its public key, where that is not PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyForm {
    /// Taken off where it stands: `whpk_`.
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) encoding: Encoding,
    /// The bytes of the key alone, and not a `SubjectPublicKeyInfo` around them.
    pub(crate) raw: bool,
    /// In a certificate, as PEM. Neither its dates nor its issuer are looked at: who enters it vouches for it.
    pub(crate) certificate: bool,
}

impl Default for KeyForm {
    fn default() -> Self {
        Self { prefix: None, encoding: Encoding::Base64, raw: false, certificate: false }
    }
}

/// What signs, with its hash and the form of its signatures. Chosen by configuration; nothing that a request or a key says
/// selects one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyAlgorithm {
    Ed25519,
    /// In DER.
    EcdsaP256,
    /// The two numbers one behind the other, 64 bytes.
    EcdsaP256Fixed,
    /// The same on P-384, 96 bytes.
    EcdsaP384Fixed,
    /// The same on P-521, 132 bytes.
    EcdsaP521Fixed,
    /// PKCS #1 v1.5.
    RsaSha256,
    /// PKCS #1 v1.5.
    RsaSha384,
    /// PKCS #1 v1.5.
    RsaSha512,
    /// With a salt as long as the hash.
    RsaPssSha256,
    /// With a salt as long as the hash.
    RsaPssSha384,
    /// With a salt as long as the hash.
    RsaPssSha512,
    /// PKCS #1 v1.5, for the few providers that sign in no other way. Verified and never made.
    RsaSha1,
    /// In DER. As above.
    EcdsaP256Sha1,
}

/// Keys that differ at a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Ed25519,
    P256,
    P384,
    P521,
    Rsa,
}

impl Family {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "ECDSA on P-256",
            Self::P384 => "ECDSA on P-384",
            Self::P521 => "ECDSA on P-521",
            Self::Rsa => "RSA",
        }
    }
}

impl KeyAlgorithm {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 13] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP256Fixed,
        Self::EcdsaP384Fixed,
        Self::EcdsaP521Fixed,
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::RsaSha1,
        Self::EcdsaP256Sha1,
    ];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256-sha256",
            Self::EcdsaP256Fixed => "ecdsa-p256-sha256-fixed",
            Self::EcdsaP384Fixed => "ecdsa-p384-sha384-fixed",
            Self::EcdsaP521Fixed => "ecdsa-p521-sha512-fixed",
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha384 => "rsa-sha384",
            Self::RsaSha512 => "rsa-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaSha1 => "rsa-sha1",
            Self::EcdsaP256Sha1 => "ecdsa-p256-sha1",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Ed25519 => Family::Ed25519,
            Self::EcdsaP256 | Self::EcdsaP256Fixed | Self::EcdsaP256Sha1 => Family::P256,
            Self::EcdsaP384Fixed => Family::P384,
            Self::EcdsaP521Fixed => Family::P521,
            Self::RsaSha256
            | Self::RsaSha384
            | Self::RsaSha512
            | Self::RsaPssSha256
            | Self::RsaPssSha384
            | Self::RsaPssSha512
            | Self::RsaSha1 => Family::Rsa,
        }
    }

    /// What JSON Web Keys and tokens call it.
    pub(crate) fn jose(self) -> &'static str {
        match self {
            Self::Ed25519 => "EdDSA",
            Self::EcdsaP256 | Self::EcdsaP256Fixed => "ES256",
            Self::EcdsaP384Fixed => "ES384",
            Self::EcdsaP521Fixed => "ES512",
            Self::RsaSha256 => "RS256",
            Self::RsaSha384 => "RS384",
            Self::RsaSha512 => "RS512",
            Self::RsaPssSha256 => "PS256",
            Self::RsaPssSha384 => "PS384",
            Self::RsaPssSha512 => "PS512",
            // Not in RFC 7518: no token is signed so.
            Self::RsaSha1 | Self::EcdsaP256Sha1 => "",
        }
    }

    fn primitive(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &primitive::ED25519,
            Self::EcdsaP256 => &primitive::ECDSA_P256_SHA256_ASN1,
            Self::EcdsaP256Fixed => &primitive::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Fixed => &primitive::ECDSA_P384_SHA384_FIXED,
            Self::EcdsaP521Fixed => &primitive::ECDSA_P521_SHA512_FIXED,
            Self::RsaSha256 => &primitive::RSA_PKCS1_2048_8192_SHA256,
            Self::RsaSha384 => &primitive::RSA_PKCS1_2048_8192_SHA384,
            Self::RsaSha512 => &primitive::RSA_PKCS1_2048_8192_SHA512,
            Self::RsaPssSha256 => &primitive::RSA_PSS_2048_8192_SHA256,
            Self::RsaPssSha384 => &primitive::RSA_PSS_2048_8192_SHA384,
            Self::RsaPssSha512 => &primitive::RSA_PSS_2048_8192_SHA512,
            Self::RsaSha1 => &primitive::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Self::EcdsaP256Sha1 => &primitive::ECDSA_P256_SHA1_ASN1,
        }
    }

    /// What the message is hashed with before it is signed. Ed25519 signs the message itself.
    pub(super) fn digest(self) -> Option<&'static digest::Algorithm> {
        match self {
            Self::Ed25519 => None,
            Self::EcdsaP256 | Self::EcdsaP256Fixed | Self::RsaSha256 | Self::RsaPssSha256 => Some(&digest::SHA256),
            Self::EcdsaP384Fixed | Self::RsaSha384 | Self::RsaPssSha384 => Some(&digest::SHA384),
            Self::EcdsaP521Fixed | Self::RsaSha512 | Self::RsaPssSha512 => Some(&digest::SHA512),
            Self::RsaSha1 | Self::EcdsaP256Sha1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        }
    }

    /// Whether a signature can have this many bytes.
    pub(in crate::scheme) fn fits(self, len: usize) -> bool {
        match (self.family(), self) {
            (Family::Ed25519, _) | (Family::P256, Self::EcdsaP256Fixed) => len == 64,
            (Family::P256, _) => (8..=72).contains(&len),
            (Family::P384, _) => len == 96,
            (Family::P521, _) => len == 132,
            (Family::Rsa, _) => (256..=MAX_SIGNATURE).contains(&len),
        }
    }

    /// Whether it signs over SHA-1.
    pub(crate) fn is_legacy(self) -> bool {
        matches!(self, Self::RsaSha1 | Self::EcdsaP256Sha1)
    }

    /// Whether verifying needs the message in one piece, so that a body is copied for it.
    pub(crate) fn copies(self) -> bool {
        self == Self::Ed25519
    }
}

/// A public key, parsed; on the sender's side with its private one.
pub(crate) struct PublicKey {
    /// What it was parsed from: a `SubjectPublicKeyInfo`, or the key alone.
    bytes: Box<[u8]>,
    parsed: ParsedPublicKey,
    cost: usize,
    private: Option<PrivateKey>,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(…)")
    }
}

impl PublicKey {
    fn new(algorithm: KeyAlgorithm, bytes: &[u8], cost: usize) -> Result<Self, PublicKeyFault> {
        let parsed = ParsedPublicKey::new(algorithm.primitive(), bytes).map_err(|_| PublicKeyFault::Unusable)?;
        Ok(Self { bytes: bytes.into(), parsed, cost, private: None })
    }

    /// The same key for another algorithm of its family.
    pub(in crate::scheme) fn read_for(&self, algorithm: KeyAlgorithm) -> Option<Self> {
        Self::new(algorithm, &self.bytes, self.cost).ok()
    }

    /// What its private half makes of a message, where that is there.
    pub(in crate::scheme) fn sign(&self, algorithm: KeyAlgorithm, message: &[u8]) -> Option<Vec<u8>> {
        self.private.as_ref()?.sign(algorithm, message)
    }

    /// How many bytes could be hashed in the time of one verification, about.
    pub(in crate::scheme) fn cost(&self) -> usize {
        self.cost
    }
}

/// What is signed, ready to be compared with signatures.
pub(in crate::scheme) enum Signed<'m> {
    Whole(Cow<'m, [u8]>),
    Digest(Digest),
}

impl<'m> Signed<'m> {
    pub(in crate::scheme) fn new(
        algorithm: KeyAlgorithm,
        feed: &Feed<'m, '_>,
        template: &Template,
    ) -> Result<Self, Refusal> {
        match algorithm.digest() {
            Some(digest) => {
                let mut context = digest::Context::new(digest);
                feed.pour(&mut context, template)?;
                Ok(Self::Digest(context.finish()))
            }
            None if template.segments() == [Segment::Body] && feed.hashed.is_none() => {
                Ok(Self::Whole(Cow::Borrowed(feed.facts.body)))
            }
            None => feed.whole(template).map(|message| Self::Whole(Cow::Owned(message))),
        }
    }

    pub(in crate::scheme) fn is_signed_by(&self, key: &PublicKey, signature: &[u8]) -> bool {
        let right = match self {
            Self::Whole(message) => key.parsed.verify_sig(message, signature),
            Self::Digest(digest) => key.parsed.verify_digest_sig(digest, signature),
        };
        right.is_ok()
    }

    /// What dedupe memory knows it by: the message and not its signature, of which there may be several.
    pub(super) fn name(&self) -> Option<Tag> {
        match self {
            Self::Whole(message) => Some(Algorithm::Sha256.digest(message)),
            Self::Digest(digest) => Tag::new(digest.as_ref()),
        }
    }
}

/// The first key that verifies one of the signatures.
pub(in crate::scheme) fn prove<'v>(
    spec: &PublicKeySpec,
    verifier: &'v Verifier,
    facts: &Facts<'_>,
    stamp: Option<&Stamp<'_>>,
) -> Result<Matched<'v>, Refusal> {
    let envelope = &spec.envelope;
    let signatures = spec.signatures(facts)?;
    let named = envelope.named_key(facts)?;
    let known = |key: &&ReadyKey| is_named(key, named.as_deref());
    let Some(first) = verifier.keys.iter().find(known) else { return Err(Refusal::KeyUnknown) };
    let message = envelope.message_for(facts);
    // Where the message has the key's id in it, each key has a message of its own.
    let each = message.template.has(&Segment::KeyId);
    for other_port in envelope.ports(verifier) {
        let of = |key| Signed::new(spec.algorithm, &verifier.feed(facts, stamp, key, *other_port), &message.template);
        let mut signed = of(first)?;
        for key in verifier.keys.iter().filter(known) {
            if each && key.id != first.id {
                signed = of(key)?;
            }
            let Material::PublicKey(public) = &key.material else { continue };
            if signatures.iter().any(|signature| signed.is_signed_by(public, signature)) {
                message.check_digests(facts)?;
                return Ok(Matched { key, tag: signed.name() });
            }
        }
    }
    Err(Refusal::SignatureMismatch)
}

impl PublicKeySpec {
    /// The signatures of a request, decoded.
    fn signatures(&self, facts: &Facts<'_>) -> Result<Vec<Vec<u8>>, Refusal> {
        let mut found: Vec<Vec<u8>> = Vec::new();
        self.envelope.signature.each_in(facts, |text| match self.decode(text) {
            Some(_) if found.len() == MAX_SIGNATURES => Err(Refusal::SignatureMalformed),
            Some(signature) => {
                found.push(signature);
                Ok(true)
            }
            None => Ok(false),
        })?;
        Ok(found)
    }

    /// Strict, and never more than a signature is long.
    fn decode(&self, text: &[u8]) -> Option<Vec<u8>> {
        if text.len() > 2 * MAX_SIGNATURE {
            return None;
        }
        self.envelope.signature.encoding.decode(text).ok().filter(|bytes| self.algorithm.fits(bytes.len()))
    }
}

impl Kind for PublicKeySpec {
    fn name(&self) -> &'static str {
        "public_key"
    }

    fn algorithm(&self) -> Option<&'static str> {
        Some(self.algorithm.as_str())
    }

    fn class(&self) -> Class {
        Class::Signature
    }

    fn takes_public_keys(&self) -> bool {
        true
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
        self.algorithm.is_legacy().then_some(Weakness::Sha1).into_iter().collect()
    }

    fn describe(&self, say: &mut dyn FnMut(&'static str, String)) {
        say("proof", format!("{} signature, {}", self.algorithm.family().as_str(), self.algorithm.as_str()));
        describe::envelope(&self.envelope, say);
        say("public key", self.key_words());
    }

    fn ready(&self, configured: &Secret, side: Side) -> Result<(Secret, Material), KeyFault> {
        let key = match side {
            Side::Receiver => public(self.algorithm, &self.form, configured.expose()),
            Side::Sender => pair(self.algorithm, configured.expose()),
        };
        Ok((Secret::new(Vec::new()), Material::PublicKey(Box::new(key.map_err(KeyFault::Public)?))))
    }

    fn cost(&self, keys: &[ReadyKey]) -> usize {
        let cost = |key: &ReadyKey| match &key.material {
            Material::PublicKey(key) => key.cost(),
            Material::Mac(_) | Material::Token(_) | Material::Jwt(_) => 0,
        };
        keys.iter().map(cost).sum()
    }

    fn sign(&self, verifier: &Verifier, work: &mut Work<'_, '_>) -> Result<(), SignProblem> {
        let private = |key: &ReadyKey| match &key.material {
            Material::PublicKey(key) => key.private.is_some(),
            Material::Mac(_) | Material::Token(_) | Material::Jwt(_) => false,
        };
        if self.algorithm.is_legacy() {
            return Err(SignProblem::Sha1);
        }
        if !verifier.keys.first().is_some_and(private) {
            return Err(SignProblem::NoPrivateKey);
        }
        work.put_signature(verifier, &self.envelope, |key, feed, template| {
            let message = feed.whole(template)?;
            let private = match &key.material {
                Material::PublicKey(key) => key.private.as_ref(),
                Material::Mac(_) | Material::Token(_) | Material::Jwt(_) => None,
            };
            private.and_then(|private| private.sign(self.algorithm, &message)).ok_or(Refusal::KeyUnknown)
        })
    }

    fn reads(&self, text: &[u8]) -> bool {
        self.decode(text).is_some()
    }

    fn is_formed(&self, facts: &Facts<'_>) -> bool {
        self.signatures(facts).is_ok()
    }

    fn examine<'s>(&self, seen: &Seen<'s, '_>, early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>) {
        let stamp = match seen.before_signature(&self.envelope, early, self.signatures(seen.facts).map(drop)) {
            Ok(stamp) => stamp,
            Err(part) => return (part, None),
        };
        let proven = prove(self, seen.verifier, seen.facts, stamp.as_ref());
        seen.judged(self.algorithm.as_str(), Some(&self.envelope), proven)
    }

    fn mismatch(&self, keys: &str) -> String {
        format!("none of the route's public keys verifies it: {keys}")
    }

    fn diagnose(&self, asked: &Asked<'_, '_>) -> Vec<String> {
        diagnose::of_public_key(self, asked)
    }
}

impl PublicKeySpec {
    /// What a key looks like.
    fn key_words(&self) -> String {
        let encoding = self.form.encoding.as_str();
        let prefix = self.form.prefix.as_ref().map_or_else(String::new, |prefix| format!("behind {prefix}, "));
        match self.form.raw {
            _ if self.form.certificate => "the certificate as PEM, or the public key in it".to_owned(),
            true => format!("PEM, a JSON Web Key, or {prefix}{encoding} of the key's bytes"),
            false => format!("PEM, a JSON Web Key, or {prefix}{encoding} of what is in one"),
        }
    }
}

#[cfg(test)]
mod tests;

/// A fresh private key for a scheme, as PEM; and the public key to a private one. For tests and demonstrations.
pub(in crate::scheme) use private::{fresh, public_of};
