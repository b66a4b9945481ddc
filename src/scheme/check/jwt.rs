//! Signed tokens: JWT (RFC 7519) and JWS (RFC 7515), in compact form, with their payload or detached from it.
//!
//! The reader is of our own, and takes one form alone: what a token says of its algorithm is compared with the configuration, and
//! whatever could bring a key, an address or a rule of its own is refused by name. Signatures are verified by the code that verifies
//! all others.

pub(crate) mod algorithm;
mod key;
mod life;
mod payload;
pub(crate) mod token;

use std::borrow::Cow;

use aws_lc_rs::digest::Context;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Kind;
use super::envelope::is_named;
use super::public_key::{KeyForm, Signed};
use crate::base::Secret;
use crate::domain::{Class, Refusal};
use crate::scheme::algorithm::{Algorithm, State, Tag};
use crate::scheme::compiled::TimeSpec;
use crate::scheme::diagnose::{self, Asked};
use crate::scheme::encoding::Encoding;
use crate::scheme::examine::{Part, Seen};
use crate::scheme::json::JsonPath;
use crate::scheme::key::{KeyFault, KeyMaterial, Side};
use crate::scheme::message::{Feed, Sink};
use crate::scheme::sign::{SignProblem, Work};
use crate::scheme::source::{Facts, Source};
use crate::scheme::template::{Segment, Template};
use crate::scheme::weakness::Weakness;
use crate::scheme::{Matched, Material, ReadyKey, Verifier, words};
use algorithm::JwtAlgorithm;
use token::Token;

pub(in crate::scheme) use key::{JwtKey, Usable};
pub(in crate::scheme) use life::Life;
pub(in crate::scheme) use payload::Encoded;

/// A signed token, and what it must say.
#[derive(Debug)]
pub(crate) struct JwtSpec {
    /// At least one, all with shared secrets or all with public keys.
    pub(crate) algorithms: Vec<JwtAlgorithm>,
    pub(crate) place: Place,
    /// Where the payload is left out of the token.
    pub(crate) detached: Option<Detached>,
    /// The token names its key (`kid`), and no other one is tried.
    pub(crate) kid: bool,
    /// Members of the token's header that must say one of these.
    pub(crate) jose: Vec<(Box<str>, Vec<Box<str>>)>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) hashes: Vec<HashClaim>,
    /// By how much `exp` and `nbf` may be off.
    pub(crate) leeway: std::time::Duration,
    /// For shared secrets.
    pub(crate) key: KeyMaterial,
    /// For public keys.
    pub(crate) form: KeyForm,
}

/// Where a token stands.
#[derive(Debug)]
pub(crate) enum Place {
    Source(Source),
    /// It is the whole body.
    Body,
}

/// A payload that is put together from the request.
#[derive(Debug)]
pub(crate) struct Detached {
    pub(crate) message: Template,
    /// Not encoded in base64url before it is signed (RFC 7797).
    pub(crate) unencoded: bool,
    /// Header fields that must be among those that the token's header lists for [`Segment::Listed`].
    pub(crate) listed: Vec<Source>,
}

/// A claim, and what it must be.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) path: JsonPath,
    /// `aud` may be a list: each of its elements.
    pub(crate) elements: Vec<JsonPath>,
    pub(crate) wanted: Wanted,
}

/// What a claim must be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// One of these texts.
    OneOf(Vec<Box<str>>),
    /// What the route says.
    OfRoute,
    /// There.
    Present,
}

/// A claim that is a digest of a part of the request.
#[derive(Debug)]
pub(crate) struct HashClaim {
    pub(crate) path: JsonPath,
    pub(crate) of: Template,
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: Encoding,
    /// A request without a body has no such claim.
    pub(crate) absent_if_empty: bool,
}

/// Elements of `aud` that are looked at. A token for more is refused.
pub(crate) const MAX_AUDIENCES: usize = 8;
/// Header fields that a token may list.
pub(crate) const MAX_LISTED: usize = 16;

/// The key that verifies the token, which says what it must.
pub(in crate::scheme) fn prove<'v>(
    spec: &JwtSpec,
    verifier: &'v Verifier,
    facts: &Facts<'_>,
) -> Result<Matched<'v>, Refusal> {
    let token = facts.token()?;
    let named = if spec.kid { Some(token.kid().ok_or(Refusal::KeyUnknown)?.as_bytes()) } else { None };
    let known = |key: &&ReadyKey| is_named(key, named);
    let Some(first) = verifier.keys.iter().find(known) else { return Err(Refusal::KeyUnknown) };
    spec.check_listed(token)?;
    let feed = verifier.feed(facts, None, first, false);
    let (key, tag) = match token.algorithm {
        JwtAlgorithm::Shared(algorithm) => shared(spec, verifier, token, algorithm, &feed, named)?,
        JwtAlgorithm::Public(algorithm) => {
            let signed = spec.signed(algorithm, token, &feed)?;
            let verifies = |key: &&ReadyKey| match material(key, token.algorithm) {
                Some(Usable::Public(key)) => signed.is_signed_by(key, &token.signature),
                _ => false,
            };
            let key = verifier.keys.iter().filter(known).find(verifies).ok_or(Refusal::SignatureMismatch)?;
            (key, signed.name())
        }
    };
    for hash in &spec.hashes {
        hash.check(facts, &feed)?;
    }
    for claim in &spec.claims {
        claim.check(facts, verifier)?;
    }
    Ok(Matched { key, tag })
}

/// Every key is tried, and nothing stops early.
fn shared<'v>(
    spec: &JwtSpec,
    verifier: &'v Verifier,
    token: &Token<'_>,
    algorithm: Algorithm,
    feed: &Feed<'_, '_>,
    named: Option<&[u8]>,
) -> Result<(&'v ReadyKey, Option<Tag>), Refusal> {
    const NONE: u32 = u32::MAX;
    let given = Tag::new(&token.signature).ok_or(Refusal::SignatureMalformed)?;
    let (mut hit, mut right) = (NONE, Tag::EMPTY);
    for (index, key) in (0u32..).zip(&verifier.keys).filter(|(_, key)| is_named(key, named)) {
        let Some(Usable::Shared(state)) = material(key, JwtAlgorithm::Shared(algorithm)) else { continue };
        let mut state = state.clone();
        spec.pour(&mut state, token, feed)?;
        let expected = state.finish();
        let first_match = expected.ct_eq(&given) & hit.ct_eq(&NONE);
        hit.conditional_assign(&index, first_match);
        right.conditional_assign(&expected, first_match);
    }
    let key = usize::try_from(hit).ok().and_then(|hit| verifier.keys.get(hit)).ok_or(Refusal::SignatureMismatch)?;
    Ok((key, Some(right)))
}

/// What a key verifies an algorithm with.
pub(in crate::scheme) fn material(key: &ReadyKey, algorithm: JwtAlgorithm) -> Option<&Usable> {
    match &key.material {
        Material::Jwt(key) => key.usable(algorithm),
        Material::Mac(_) | Material::Token(_) | Material::PublicKey(_) => None,
    }
}

impl JwtSpec {
    /// What the signature is over.
    pub(in crate::scheme) fn pour(
        &self,
        sink: &mut impl Sink,
        token: &Token<'_>,
        feed: &Feed<'_, '_>,
    ) -> Result<(), Refusal> {
        let Some(detached) = &self.detached else {
            sink.update(token.input());
            return Ok(());
        };
        sink.update(token.head());
        sink.update(b".");
        detached.pour(sink, feed)
    }

    /// The same, ready to be compared with a signature.
    pub(in crate::scheme) fn signed<'t>(
        &self,
        algorithm: super::public_key::KeyAlgorithm,
        token: &'t Token<'_>,
        feed: &Feed<'_, '_>,
    ) -> Result<Signed<'t>, Refusal> {
        match (algorithm.digest(), &self.detached) {
            (Some(digest), _) => {
                let mut context = Context::new(digest);
                self.pour(&mut context, token, feed)?;
                Ok(Signed::Digest(context.finish()))
            }
            (None, None) => Ok(Signed::Whole(Cow::Borrowed(token.input()))),
            (None, Some(_)) => {
                let mut message = Vec::with_capacity(feed.facts.body.len() * 2 + 256);
                self.pour(&mut message, token, feed)?;
                Ok(Signed::Whole(Cow::Owned(message)))
            }
        }
    }

    /// Fields that must be signed are among those that the token lists.
    fn check_listed(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let Some(detached) = &self.detached else { return Ok(()) };
        for segment in detached.message.segments() {
            let Segment::Listed(parameter) = segment else { continue };
            let listed = token.listed(parameter)?;
            let has = |field: &Source| {
                field.header().is_some_and(|name| listed.iter().any(|one| one.eq_ignore_ascii_case(name)))
            };
            if !detached.listed.iter().all(has) {
                return Err(Refusal::MessageIncomplete);
            }
        }
        Ok(())
    }

    fn places(&self) -> Option<&Source> {
        match &self.place {
            Place::Source(source) => Some(source),
            Place::Body => None,
        }
    }

    /// Whether the token stands in the body, or is the body.
    pub(in crate::scheme) fn is_in_body(&self) -> bool {
        matches!(self.place, Place::Body | Place::Source(Source::Json(_) | Source::Form(_)))
    }

    /// Whether a change of any byte of the body is noticed.
    pub(in crate::scheme) fn signs_body(&self) -> bool {
        matches!(self.place, Place::Body)
            || self.detached.as_ref().is_some_and(|detached| detached.message.covers_body())
            || self.hashes.iter().any(|hash| hash.of.covers_body())
    }

    /// Whether nobody but the provider can write this part of a request, what is in the token and the body aside.
    pub(in crate::scheme) fn signs_part(&self, source: &Source) -> bool {
        let listed = |detached: &Detached| detached.message.covers(source) || detached.listed.contains(source);
        self.detached.as_ref().is_some_and(listed) || self.hashes.iter().any(|hash| hash.of.covers(source))
    }

    /// Whether the public URL is signed.
    pub(crate) fn signs_url(&self) -> bool {
        let url = |template: &Template| template.has(&Segment::Url);
        self.detached.as_ref().is_some_and(|detached| url(&detached.message))
            || self.hashes.iter().any(|hash| url(&hash.of))
    }

    /// Whether verifying puts a message together that is as long as the body or longer.
    pub(in crate::scheme) fn copies_body(&self) -> bool {
        matches!(self.place, Place::Body) || self.detached.is_some()
    }

    /// Every claim that is read.
    pub(in crate::scheme) fn claim_paths(&self) -> impl Iterator<Item = &JsonPath> {
        let of_claims = self.claims.iter().flat_map(|claim| std::iter::once(&claim.path).chain(&claim.elements));
        of_claims.chain(self.hashes.iter().map(|hash| &hash.path))
    }

    /// Parts of the request that are read beside the token.
    pub(in crate::scheme) fn parts(&self) -> impl Iterator<Item = &Source> {
        let detached = self.detached.iter().flat_map(|detached| detached.message.sources().chain(&detached.listed));
        detached.chain(self.hashes.iter().flat_map(|hash| hash.of.sources()))
    }

    /// Claims whose value the route must say.
    pub(in crate::scheme) fn claims_of_route(&self) -> impl Iterator<Item = &JsonPath> {
        self.claims.iter().filter(|claim| matches!(claim.wanted, Wanted::OfRoute)).map(|claim| &claim.path)
    }

    /// Whether public keys verify it.
    fn is_public(&self) -> bool {
        self.algorithms.iter().any(|algorithm| matches!(algorithm, JwtAlgorithm::Public(_)))
    }
}

impl Claim {
    fn check(&self, facts: &Facts<'_>, verifier: &Verifier) -> Result<(), Refusal> {
        let value = facts.claim(&self.path)?;
        let is = |wanted: &[Box<str>]| {
            let one = |value: &str| wanted.iter().any(|wanted| **wanted == *value);
            let elements = || self.elements.iter().filter_map(|path| facts.claim(path).ok().flatten());
            value.map_or_else(|| elements().any(one), one)
        };
        let right = match &self.wanted {
            Wanted::OneOf(wanted) => is(wanted),
            Wanted::OfRoute => is(verifier.claim_of_route(&self.path)),
            Wanted::Present => value.is_some(),
        };
        if right { Ok(()) } else { Err(Refusal::ClaimMismatch) }
    }
}

impl HashClaim {
    fn check(&self, facts: &Facts<'_>, feed: &Feed<'_, '_>) -> Result<(), Refusal> {
        let Some(text) = facts.claim(&self.path)? else {
            let may = self.absent_if_empty && facts.body.is_empty();
            return if may { Ok(()) } else { Err(Refusal::MessageIncomplete) };
        };
        let fault = if self.of.covers_body() { Refusal::BodyDigestMismatch } else { Refusal::ClaimMismatch };
        let stated = self.encoding.decode_tag(text.as_bytes(), self.algorithm.len()).ok_or(fault)?;
        let right = feed.hash(State::plain(self.algorithm), &self.of)?;
        if bool::from(stated.ct_eq(&right)) { Ok(()) } else { Err(fault) }
    }
}

impl Kind for JwtSpec {
    fn name(&self) -> &'static str {
        "jwt"
    }

    fn algorithm(&self) -> Option<&'static str> {
        self.algorithms.first().map(|algorithm| algorithm.as_str())
    }

    fn class(&self) -> Class {
        Class::Signature
    }

    fn takes_public_keys(&self) -> bool {
        self.is_public()
    }

    fn sources(&self) -> Vec<&Source> {
        JwtSpec::places(self).into_iter().collect()
    }

    fn headers(&self) -> Vec<&str> {
        JwtSpec::places(self).and_then(Source::header).into_iter().collect()
    }

    fn places(&self) -> Vec<String> {
        vec![match &self.place {
            Place::Source(source) => words::source(source),
            Place::Body => "body".to_owned(),
        }]
    }

    fn weaknesses(&self) -> Vec<Weakness> {
        Vec::new()
    }

    fn describe(&self, say: &mut dyn FnMut(&'static str, String)) {
        let names: Vec<&str> = self.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
        say("proof", format!("signed token, {}", names.join(" or ")));
        say("token", JwtSpec::places(self).map_or_else(|| "the whole body".to_owned(), Source::to_string));
        if let Some(detached) = &self.detached {
            let how = if detached.unencoded { "as it is" } else { "in base64url" };
            say("payload", format!("{} ({how}), not in the token", detached.message.to_string().escape_debug()));
            for field in &detached.listed {
                say("payload", format!("{field} must be among the fields that the token lists"));
            }
        }
        for (name, values) in &self.jose {
            say("token header", format!("{name} is {}", values.join(" or ")));
        }
        if self.kid {
            say("key id", "kid of the token's header".into());
        }
        for claim in &self.claims {
            say("claim", claim.words());
        }
        for hash in &self.hashes {
            let (algorithm, encoding) = (hash.algorithm.as_str(), hash.encoding.as_str());
            let absent = if hash.absent_if_empty { ", absent where there is no body" } else { "" };
            say("claim", format!("{} = {encoding}({algorithm}({})){absent}", hash.path, hash.of));
        }
        say("claim", format!("exp and nbf are kept to, give or take {} s", self.leeway.as_secs()));
        match self.is_public() {
            true => say("public key", "PEM, a JSON Web Key, or a set of them".into()),
            false => say("key", key::words(&self.key)),
        }
    }

    fn ready(&self, configured: &Secret, side: Side) -> Result<(Secret, Material), KeyFault> {
        key::ready(self, configured, side)
    }

    fn cost(&self, keys: &[ReadyKey]) -> usize {
        let cost = |key: &ReadyKey| match &key.material {
            Material::Jwt(key) => key.cost(),
            Material::Mac(_) | Material::Token(_) | Material::PublicKey(_) => 0,
        };
        // Of several keys one is asked for by its name.
        let costs = keys.iter().map(cost);
        if self.kid { costs.max().unwrap_or(0) } else { costs.sum() }
    }

    fn sign(&self, verifier: &Verifier, work: &mut Work<'_, '_>) -> Result<(), SignProblem> {
        work.put_token(verifier, self)
    }

    fn is_formed(&self, facts: &Facts<'_>) -> bool {
        facts.token().is_ok()
    }

    fn examine<'s>(&self, seen: &Seen<'s, '_>, _early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>) {
        if seen.lacks(self.sources()) || (matches!(self.place, Place::Body) && !seen.whole) {
            return (Part::open("the token stands in the body, which is not here"), None);
        }
        if seen.facts.token().is_ok() && self.signs_body() && !seen.whole {
            return (Part::open("what is signed includes the body, which is not here"), None);
        }
        let named = seen.facts.token().map_or("", |token| token.algorithm.as_str());
        seen.judged(&format!("a signed token, {named}"), None, prove(self, seen.verifier, seen.facts))
    }

    fn mismatch(&self, keys: &str) -> String {
        format!("none of the route's keys verifies it: {keys}")
    }

    fn refused(&self, refusal: Refusal, facts: &Facts<'_>, verifier: &Verifier) -> Option<String> {
        diagnose::jwt_refusal(self, refusal, facts, verifier)
    }

    fn diagnose(&self, asked: &Asked<'_, '_>) -> Vec<String> {
        diagnose::of_jwt(self, asked)
    }
}

impl Claim {
    fn words(&self) -> String {
        match &self.wanted {
            Wanted::OneOf(values) => format!("{} is {}", self.path, values.join(" or ")),
            Wanted::OfRoute => format!("{} is what the route says in `claims`", self.path),
            Wanted::Present => format!("{} must be there", self.path),
        }
    }
}

#[cfg(test)]
mod tests;
