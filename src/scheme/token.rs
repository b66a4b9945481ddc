//! Static secrets: in a header, a query parameter, a body member, or an `Authorization` header.
//!
//! What was presented and what is configured are compared as SHA-256 values, so that neither length nor content decides
//! how long the comparison takes.

use std::borrow::Cow;

use data_encoding::BASE64;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::algorithm::Algorithm;
use super::compiled::{TokenPlace, TokenSpec};
use super::key::KeyFault;
use super::source::{Facts, Source};
use super::{Material, ReadyKey};
use crate::base::Secret;
use crate::domain::Refusal;

/// What a secret must look like to be used in these places.
pub(crate) fn check_key(spec: &TokenSpec, secret: &Secret) -> Result<(), KeyFault> {
    let basic = spec.places.iter().any(|place| matches!(place, TokenPlace::Basic));
    if basic && !secret.expose().contains(&b':') {
        return Err(KeyFault::NoColon);
    }
    Ok(())
}

/// The key that one of the presented tokens equals.
pub(crate) fn check<'k>(spec: &TokenSpec, keys: &'k [ReadyKey], facts: &Facts<'_>) -> Result<&'k ReadyKey, Refusal> {
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
        (Some(key), ..) => Ok(key),
        (None, true, _) => Err(Refusal::SignatureMismatch),
        (None, false, true) => Err(Refusal::SignatureMalformed),
        (None, false, false) => Err(Refusal::SignatureMissing),
    }
}

impl TokenPlace {
    pub(super) fn read<'f>(&self, facts: &'f Facts<'_>) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
        match self {
            Self::Plain { source, .. } => facts.read(source),
            Self::Bearer | Self::Basic => facts.header("authorization"),
        }
    }

    pub(super) fn unwrap<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        match self {
            Self::Plain { prefix, .. } => text.strip_prefix(prefix.as_bytes()).map(Cow::Borrowed),
            Self::Bearer => credentials(text, b"bearer ").map(Cow::Borrowed),
            Self::Basic => BASE64.decode(credentials(text, b"basic ")?).ok().map(Cow::Owned),
        }
    }

    /// The text that a sender would put there.
    pub(crate) fn wrap(&self, secret: &str) -> String {
        match self {
            Self::Plain { prefix, .. } => format!("{prefix}{secret}"),
            Self::Bearer => format!("Bearer {secret}"),
            Self::Basic => format!("Basic {}", BASE64.encode(secret.as_bytes())),
        }
    }

    /// Where a sender would put it.
    pub(crate) fn target(&self) -> Source {
        match self {
            Self::Plain { source, .. } => source.clone(),
            Self::Bearer | Self::Basic => Source::Header("Authorization".into()),
        }
    }
}

/// What follows the scheme's name, which ignores case.
fn credentials<'t>(text: &'t [u8], scheme: &[u8]) -> Option<&'t [u8]> {
    let (name, rest) = text.split_at_checked(scheme.len())?;
    name.eq_ignore_ascii_case(scheme).then(|| rest.trim_ascii())
}
