//! How a request proves itself, by kind: a file for each, with everything that is particular to it.
//!
//! A new kind is a file beside these, a variant of [`Check`], and a line in each of its matches. Verification is matched
//! on, so that a request pays for no indirection; everything that is asked less often asks [`Kind`].

pub(super) mod each;
pub(crate) mod envelope;
pub(crate) mod jwt;
pub(crate) mod mac;
pub(crate) mod public_key;
pub(crate) mod token;

use std::ops::Range;

use super::compiled::TimeSpec;
use super::diagnose::Asked;
use super::examine::{Part, Seen};
use super::key::{KeyFault, Side};
use super::sign::{SignProblem, Work};
use super::source::{Facts, Source};
use super::weakness::Weakness;
use super::{Matched, Material, ReadyKey, Stamp, Verifier};
use crate::base::Secret;
use crate::domain::{Class, Refusal};
use envelope::Envelope;
use jwt::JwtSpec;
use mac::MacSpec;
use public_key::PublicKeySpec;
use token::TokenSpec;

/// The proof itself.
#[derive(Debug)]
pub(crate) enum Check {
    Mac(MacSpec),
    PublicKey(PublicKeySpec),
    Jwt(JwtSpec),
    Token(TokenSpec),
}

impl Check {
    /// The key that proves the request.
    pub(super) fn prove<'v>(
        &self,
        verifier: &'v Verifier,
        facts: &Facts<'_>,
        stamp: Option<&Stamp<'_>>,
    ) -> Result<Matched<'v>, Refusal> {
        match self {
            Self::Mac(spec) => mac::prove(spec, verifier, facts, stamp),
            Self::PublicKey(spec) => public_key::prove(spec, verifier, facts, stamp),
            Self::Jwt(spec) => jwt::prove(spec, verifier, facts),
            Self::Token(spec) => token::prove(spec, &verifier.keys, facts),
        }
    }

    /// The message and where its signature stands; `None` where nothing is signed.
    pub(crate) fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Mac(spec) => Some(&spec.envelope),
            Self::PublicKey(spec) => Some(&spec.envelope),
            Self::Jwt(_) | Self::Token(_) => None,
        }
    }

    /// The signed token, where that is the proof.
    pub(crate) fn jwt(&self) -> Option<&JwtSpec> {
        match self {
            Self::Jwt(spec) => Some(spec),
            Self::Mac(_) | Self::PublicKey(_) | Self::Token(_) => None,
        }
    }

    /// Everything else.
    pub(super) fn kind(&self) -> &dyn Kind {
        match self {
            Self::Mac(spec) => spec,
            Self::PublicKey(spec) => spec,
            Self::Jwt(spec) => spec,
            Self::Token(spec) => spec,
        }
    }
}

/// What a kind says of itself, and what it does beside verification.
pub(super) trait Kind {
    /// As `verify` spells it.
    fn name(&self) -> &'static str;

    /// What it is computed with; `None` where nothing is.
    fn algorithm(&self) -> Option<&'static str>;

    /// What stands at its places: a signature, or the secret itself.
    fn class(&self) -> Class;

    /// Parts of a request in which the proof stands, as far as they are the scheme's choice.
    fn sources(&self) -> Vec<&Source>;

    /// Header fields in which the proof stands, `Authorization` among them.
    fn headers(&self) -> Vec<&str>;

    /// Where the proof is looked for, in words.
    fn places(&self) -> Vec<String>;

    /// What it proves less than an HMAC-SHA256 would, the body aside.
    fn weaknesses(&self) -> Vec<Weakness>;

    /// Whether whoever has seen one signature can append to what was signed and compute another one.
    fn extends(&self) -> bool {
        false
    }

    /// Itself, line by line.
    fn describe(&self, say: &mut dyn FnMut(&'static str, String));

    /// From a configured key to what verifies: the key decoded, and the same absorbed as far as it can be.
    fn ready(&self, configured: &Secret, side: Side) -> Result<(Secret, Material), KeyFault>;

    /// Whether its keys are public ones, so that whoever has them can prove nothing with them.
    fn takes_public_keys(&self) -> bool {
        false
    }

    /// How many bytes could be hashed in the time that the keys take of a request, whatever its size.
    fn cost(&self, _keys: &[ReadyKey]) -> usize {
        0
    }

    /// Puts what a genuine sender would into a request that has everything else.
    fn sign(&self, verifier: &Verifier, work: &mut Work<'_, '_>) -> Result<(), SignProblem>;

    /// Whether a text is a signature as the scheme writes it, its prefix aside.
    fn reads(&self, _text: &[u8]) -> bool {
        false
    }

    /// Whether the request has a proof that could be one by its form.
    fn is_formed(&self, _facts: &Facts<'_>) -> bool {
        true
    }

    /// Judges the proof for an explanation. `early`: the time is judged before it.
    fn examine<'s>(&self, seen: &Seen<'s, '_>, early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>);

    /// Why none of these keys matches, in a sentence.
    fn mismatch(&self, keys: &str) -> String;

    /// Why the proof is refused, in a sentence, where the kind knows more than the refusal says.
    fn refused(&self, _refusal: Refusal, _facts: &Facts<'_>, _verifier: &Verifier) -> Option<String> {
        None
    }

    /// What is behind a refusal, the likeliest first.
    fn diagnose(&self, asked: &Asked<'_, '_>) -> Vec<String>;

    /// Every secret that stands in requests as it is, in every form in which a sender writes it.
    fn tokens(&self, _keys: &[ReadyKey]) -> Vec<Secret> {
        Vec::new()
    }

    /// Where in a body what was presented as such a secret stands: right or wrong.
    fn tokens_in(&self, _facts: &Facts<'_>) -> Vec<Range<usize>> {
        Vec::new()
    }
}
