//! Why a request is not proven: a search for the one change that would make its signature right.
//!
//! Tried are other secrets that are configured here, other readings of each secret, other algorithms, encodings, public
//! URLs and bodies. The work is bounded, because whoever asks may hand in a large request. A finding names keys by their
//! ids and headers by their names; it never holds a secret, a signature or a hash.
//!
//! Deliberately absent: anything that the gate itself would use. No finding makes a request genuine.

mod absent;
mod bodies;
mod clock;
mod condition;
mod forms;
mod json;
mod jwt;
mod keys;
mod mac;
mod message_signature;
mod public_key;
mod recoded;
mod token;
mod urls;

use super::check::jwt::JwtSpec;
use super::check::public_key::PublicKeySpec;
use super::check::token::TokenSpec;
use super::compiled::Message;
use super::source::Facts;
use super::template::Segment;
use super::{Verifier, words};
use crate::base::UnixMillis;
use crate::domain::{Head, Refusal};
pub(super) use jwt::refusal as jwt_refusal;
pub(super) use mac::of_mac;

/// Largest body that other writings of it are tried for.
const MAX_BODY: usize = 1 << 20;
/// Bytes of bodies that are hashed for one diagnosis.
const MAX_BYTES: usize = 64 << 20;

/// A route's name, and how it verifies.
pub type Other<'o> = (&'o str, &'o Verifier);

/// A refused request, for the kind that is to say what is behind it.
pub(super) struct Asked<'a, 'f> {
    verifier: &'a Verifier,
    head: &'a Head,
    body: Option<&'a [u8]>,
    facts: &'a Facts<'f>,
    refusal: Refusal,
    now: UnixMillis,
    others: &'a [Other<'a>],
}

impl Verifier {
    /// What is behind a refusal of this verifier, the likeliest first; empty where there is nothing to add. `others` are the
    /// verifiers of the other routes, whose secrets a sender may have used by mistake.
    pub fn diagnose(
        &self,
        head: &Head,
        body: Option<&[u8]>,
        refusal: Refusal,
        now: UnixMillis,
        others: &[Other<'_>],
    ) -> Vec<String> {
        let facts = &Facts::of(head, body.unwrap_or_default(), &self.scheme);
        let asked = Asked { verifier: self, head, body, facts, refusal, now, others };
        let base = self.scheme.check.envelope().and_then(|envelope| envelope.message.template.base());
        let found = base.map(|base| message_signature::findings(base, &asked)).unwrap_or_default();
        if !found.is_empty() {
            return found;
        }
        match refusal {
            Refusal::TimestampMissing
            | Refusal::TimestampMalformed
            | Refusal::TimestampStale
            | Refusal::TimestampAhead => {
                let of_scheme = || {
                    let Some(time) = &self.scheme.timestamp else { return Vec::new() };
                    let text = self.scheme.time_text(time, facts).ok().flatten();
                    clock::findings(time, text.as_deref(), now)
                };
                let of_token = self.scheme.check.jwt().map(|spec| jwt::life(spec, facts, now)).unwrap_or_default();
                if of_token.is_empty() { of_scheme() } else { of_token }
            }
            _ => self.scheme.check.kind().diagnose(&asked),
        }
    }
}

/// What is behind a signature that no public key verifies, or that is not there.
pub(super) fn of_public_key(spec: &PublicKeySpec, asked: &Asked<'_, '_>) -> Vec<String> {
    match asked.refusal {
        Refusal::MessageIncomplete => missing(spec.envelope.message_for(asked.facts), asked.facts),
        Refusal::SignatureMissing => {
            match absent::of_another_version(&asked.verifier.scheme, &spec.envelope, asked.facts) {
                Some(version) => vec![version],
                None => absent::elsewhere(asked),
            }
        }
        Refusal::SignatureMalformed | Refusal::SignatureMismatch | Refusal::KeyUnknown => match asked.body {
            Some(body) => public_key::findings(spec, asked, body),
            None => vec![NO_BODY.to_owned()],
        },
        _ => Vec::new(),
    }
}

/// What is behind a signed token that is refused, or that is not there.
pub(super) fn of_jwt(spec: &JwtSpec, asked: &Asked<'_, '_>) -> Vec<String> {
    match asked.refusal {
        Refusal::SignatureMissing => absent::elsewhere(asked),
        _ => jwt::findings(spec, asked),
    }
}

/// What is behind a static secret that is not there, or is another one.
pub(super) fn of_token(spec: &TokenSpec, asked: &Asked<'_, '_>) -> Vec<String> {
    let keys = &asked.verifier.keys;
    match asked.refusal {
        Refusal::SignatureMissing => {
            let mut found = absent::elsewhere(asked);
            found.extend(token::misplaced(spec, keys, asked.head));
            found
        }
        Refusal::SignatureMalformed | Refusal::SignatureMismatch => {
            token::findings(spec, keys, asked.facts, asked.others)
        }
        _ => Vec::new(),
    }
}

const NO_BODY: &str = "the body was not kept, so nothing more can be found out";
const UNTOUCHED: &str = "something between the sender and the relay rewrites bodies; have it pass them byte for byte";

/// Parts of the message that the request does not have, or has in a way that cannot be read.
fn missing(message: &Message, facts: &Facts<'_>) -> Vec<String> {
    let digests = message.digests.iter().filter(|digest| digest.required).map(|digest| &digest.place);
    let absent = message.template.needed().chain(digests).filter_map(|source| match facts.read(source) {
        Ok(Some(_)) => None,
        Ok(None) => {
            Some(format!("{} is a part of what is signed, and the request does not have it", words::source(source)))
        }
        Err(_) => {
            Some(format!("{} is a part of what is signed, and is there twice or cannot be read", words::source(source)))
        }
    });
    let mut found: Vec<String> = absent.take(4).collect();
    if found.is_empty() && message.template.has(&Segment::FormSorted) {
        found.push(
            "the signature is over the fields of a form, and the body is none: its Content-Type may have been changed"
                .to_owned(),
        );
    }
    found
}

#[cfg(test)]
mod tests;
