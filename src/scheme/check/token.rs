//! Static secrets: in a header, a query parameter, a body member, or an `Authorization` header.
//!
//! What was presented and what is configured are compared as SHA-256 values, so that neither length nor content decides
//! how long the comparison takes.

use std::borrow::Cow;
use std::ops::Range;

use data_encoding::BASE64;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::Kind;
use crate::base::Secret;
use crate::domain::{Class, Refusal};
use crate::scheme::algorithm::Algorithm;
use crate::scheme::compiled::TimeSpec;
use crate::scheme::diagnose::{self, Asked};
use crate::scheme::examine::{Part, Seen};
use crate::scheme::key::{KeyFault, Side};
use crate::scheme::sign::{SignProblem, Work};
use crate::scheme::source::{Facts, Source};
use crate::scheme::weakness::Weakness;
use crate::scheme::{Matched, Material, ReadyKey, Verifier, words};

/// A static secret.
#[derive(Debug)]
pub(crate) struct TokenSpec {
    /// At least one.
    pub(crate) places: Vec<TokenPlace>,
    /// Whether a query token goes on to the upstream.
    pub(crate) forward: bool,
}

/// Where a static secret is.
#[derive(Debug)]
pub(crate) enum TokenPlace {
    Plain {
        source: Source,
        prefix: Box<str>,
    },
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`; the secret is `user:password`.
    Basic,
}

/// The key that one of the presented tokens equals.
pub(in crate::scheme) fn prove<'k>(
    spec: &TokenSpec,
    keys: &'k [ReadyKey],
    facts: &Facts<'_>,
) -> Result<Matched<'k>, Refusal> {
    const NONE: u32 = u32::MAX;
    let (mut hit, mut presented, mut malformed) = (NONE, false, false);
    for place in &spec.places {
        let Some(text) = place.read(facts)? else { continue };
        let Some(token) = place.unwrap(&text) else {
            malformed = true;
            continue;
        };
        presented = true;
        let given = Algorithm::Sha256.digest(&token);
        for (index, key) in (0u32..).zip(keys) {
            if let Material::Token(expected) = &key.material {
                let first_match = expected.ct_eq(&given) & hit.ct_eq(&NONE);
                hit.conditional_assign(&index, first_match);
            }
        }
    }
    let key = usize::try_from(hit).ok().and_then(|hit| keys.get(hit));
    match (key, presented, malformed) {
        (Some(key), ..) => Ok(Matched { key, tag: None }),
        (None, true, _) => Err(Refusal::SignatureMismatch),
        (None, false, true) => Err(Refusal::SignatureMalformed),
        (None, false, false) => Err(Refusal::SignatureMissing),
    }
}

impl TokenSpec {
    fn is_basic(&self) -> bool {
        self.places.iter().any(|place| matches!(place, TokenPlace::Basic))
    }
}

impl Kind for TokenSpec {
    fn name(&self) -> &'static str {
        "token"
    }

    fn algorithm(&self) -> Option<&'static str> {
        None
    }

    fn class(&self) -> Class {
        Class::Secret
    }

    fn sources(&self) -> Vec<&Source> {
        self.places.iter().filter_map(TokenPlace::source).collect()
    }

    fn headers(&self) -> Vec<&str> {
        self.places.iter().filter_map(TokenPlace::header).collect()
    }

    fn places(&self) -> Vec<String> {
        self.places.iter().map(TokenPlace::words).collect()
    }

    fn weaknesses(&self) -> Vec<Weakness> {
        vec![Weakness::Token]
    }

    fn describe(&self, say: &mut dyn FnMut(&'static str, String)) {
        say("proof", "static secret".into());
        let places: Vec<String> = self.places.iter().map(TokenPlace::described).collect();
        say("token", places.join(", or "));
        if self.places.iter().any(|place| place.query().is_some()) {
            let how = if self.forward { "forwarded to the upstream" } else { "stripped before forwarding" };
            say("query token", how.into());
        }
    }

    fn ready(&self, configured: &Secret, _side: Side) -> Result<(Secret, Material), KeyFault> {
        if self.is_basic() && !configured.expose().contains(&b':') {
            return Err(KeyFault::NoColon);
        }
        Ok((configured.clone(), Material::Token(Algorithm::Sha256.digest(configured.expose()))))
    }

    fn sign(&self, verifier: &Verifier, work: &mut Work<'_, '_>) -> Result<(), SignProblem> {
        let secret = verifier.keys.first().map(|key| key.secret.expose()).unwrap_or_default();
        let secret = std::str::from_utf8(secret).map_err(|_| SignProblem::SecretNotText)?;
        match self.places.first() {
            Some(place) => work.put_proof(&place.target(), place.wrap(secret)),
            None => Ok(()),
        }
    }

    fn examine<'s>(&self, seen: &Seen<'s, '_>, _early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>) {
        if seen.lacks(self.sources()) {
            return (Part::open("the token stands in the body, which is not here"), None);
        }
        seen.judged("a static secret", None, prove(self, &seen.verifier.keys, seen.facts))
    }

    fn mismatch(&self, keys: &str) -> String {
        format!(
            "none of the route's keys is this token: {keys}; nothing of the request is signed, so its body is not the cause"
        )
    }

    fn diagnose(&self, asked: &Asked<'_, '_>) -> Vec<String> {
        diagnose::of_token(self, asked)
    }

    fn tokens(&self, keys: &[ReadyKey]) -> Vec<Secret> {
        let plain = keys.iter().map(|key| key.secret.clone());
        let encoded = keys.iter().filter(|_| self.is_basic());
        plain.chain(encoded.map(|key| Secret::new(BASE64.encode(key.secret.expose()).into_bytes()))).collect()
    }

    /// All of the body, where it is written in a way that hides its place.
    fn tokens_in(&self, facts: &Facts<'_>) -> Vec<Range<usize>> {
        let in_body =
            |place: &&TokenPlace| matches!(place, TokenPlace::Plain { source: Source::Form(_) | Source::Json(_), .. });
        let body = facts.body;
        let place = |place: &TokenPlace| match place.read(facts) {
            Ok(None) => None,
            // A value that had to be decoded stands elsewhere in memory.
            Ok(Some(text)) => {
                let at = text.as_ptr().addr().checked_sub(body.as_ptr().addr());
                let range = at.map(|at| at..at.saturating_add(text.len())).filter(|range| range.end <= body.len());
                Some(range.unwrap_or(0..body.len()))
            }
            Err(_) => Some(0..body.len()),
        };
        self.places.iter().filter(in_body).filter_map(place).collect()
    }
}

impl TokenPlace {
    pub(in crate::scheme) fn read<'f>(&self, facts: &'f Facts<'_>) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
        match self {
            Self::Plain { source, .. } => facts.read(source),
            Self::Bearer | Self::Basic => facts.header("authorization"),
        }
    }

    pub(in crate::scheme) fn unwrap<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        match self {
            Self::Plain { prefix, .. } => text.strip_prefix(prefix.as_bytes()).map(Cow::Borrowed),
            Self::Bearer => credentials(text, b"bearer ").map(Cow::Borrowed),
            Self::Basic => BASE64.decode(credentials(text, b"basic ")?).ok().map(Cow::Owned),
        }
    }

    /// The text that a sender would put there.
    fn wrap(&self, secret: &str) -> String {
        match self {
            Self::Plain { prefix, .. } => format!("{prefix}{secret}"),
            Self::Bearer => format!("Bearer {secret}"),
            Self::Basic => format!("Basic {}", BASE64.encode(secret.as_bytes())),
        }
    }

    /// Where a sender would put it.
    fn target(&self) -> Source {
        match self {
            Self::Plain { source, .. } => source.clone(),
            Self::Bearer | Self::Basic => Source::Header("Authorization".into()),
        }
    }

    fn header(&self) -> Option<&str> {
        self.source().map_or(Some("Authorization"), Source::header)
    }

    fn source(&self) -> Option<&Source> {
        match self {
            Self::Plain { source, .. } => Some(source),
            Self::Bearer | Self::Basic => None,
        }
    }

    /// The query parameter that it is.
    pub(in crate::scheme) fn query(&self) -> Option<&str> {
        self.source().and_then(Source::query)
    }

    /// `header X-Api-Key behind "Token "`.
    fn words(&self) -> String {
        match self {
            Self::Plain { source, prefix } if prefix.is_empty() => words::source(source),
            Self::Plain { source, prefix } => format!("{} behind `{prefix}`", words::source(source)),
            Self::Bearer => "header Authorization with a Bearer token".to_owned(),
            Self::Basic => "header Authorization with Basic and user:password".to_owned(),
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Plain { source, prefix } if prefix.is_empty() => source.to_string(),
            Self::Plain { source, prefix } => format!("{source} behind `{prefix}`"),
            Self::Bearer => "Authorization: Bearer".into(),
            Self::Basic => "Authorization: Basic (user:password)".into(),
        }
    }
}

/// What follows the scheme's name, which ignores case.
fn credentials<'t>(text: &'t [u8], scheme: &[u8]) -> Option<&'t [u8]> {
    let (name, rest) = text.split_at_checked(scheme.len())?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}
