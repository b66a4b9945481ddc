//! A token in compact form, read strictly: three parts, base64url without padding, a header in which every member stands once.
//!
//! What the header says is compared with the configuration and chooses nothing. Members that would bring a key, or the address of
//! one, are refused even where nobody reads them: a token that has one is not of this provider, or somebody tries something.

use std::borrow::Cow;
use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Number, Value};

use super::algorithm::JwtAlgorithm;
use super::{JwtSpec, MAX_LISTED, Place};
use crate::base::UnixMillis;
use crate::domain::Refusal;
use crate::scheme::json::{self, JsonFault, JsonPath};
use crate::scheme::source::Facts;

/// The longest token that is not the whole body.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;
/// The longest header of one, in base64url.
const MAX_HEADER: usize = 4 * 1024;
/// The longest signature, in base64url: that of an RSA key of 8192 bits.
const MAX_SIGNATURE: usize = 1366;
/// Members of a header.
const MAX_MEMBERS: usize = 32;
/// They bring a key, or say where one is.
pub(crate) const EMBEDDED: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// A token that was read, and is not proven yet.
pub(in crate::scheme) struct Token<'a> {
    text: Cow<'a, [u8]>,
    /// Where its header ends, and its payload.
    ends: [usize; 2],
    pub(in crate::scheme) algorithm: JwtAlgorithm,
    header: Header,
    pub(in crate::scheme) signature: Vec<u8>,
    /// In the order in which they were asked for.
    claims: Vec<Option<Box<str>>>,
    pub(in crate::scheme) dates: Dates,
}

/// The claims that are times, in whole seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::scheme) struct Dates {
    pub(in crate::scheme) exp: Option<UnixMillis>,
    pub(in crate::scheme) nbf: Option<UnixMillis>,
    pub(in crate::scheme) iat: Option<UnixMillis>,
}

/// As a payload has them. A member that stands twice, or is no number, is an error of the reader.
#[derive(Deserialize)]
struct RawDates {
    exp: Option<Number>,
    nbf: Option<Number>,
    iat: Option<Number>,
}

impl<'a> Token<'a> {
    /// The token of a request.
    pub(in crate::scheme) fn read(spec: &JwtSpec, facts: &Facts<'a>, paths: &[JsonPath]) -> Result<Self, Refusal> {
        let text = match &spec.place {
            Place::Body if facts.body.is_empty() => return Err(Refusal::SignatureMissing),
            Place::Body => Cow::Borrowed(facts.body),
            Place::Source(source) => {
                let found = facts.read(source)?.ok_or(Refusal::SignatureMissing)?;
                let bare = if source.header().is_some() { without_bearer(&found) } else { &*found };
                if bare.len() > MAX_TOKEN {
                    return Err(Refusal::SignatureMalformed);
                }
                Cow::Owned(bare.to_vec())
            }
        };
        Self::parse(spec, text, paths)
    }

    pub(in crate::scheme) fn parse(spec: &JwtSpec, text: Cow<'a, [u8]>, paths: &[JsonPath]) -> Result<Self, Refusal> {
        let first = memchr::memchr(b'.', &text).ok_or(Refusal::SignatureMalformed)?;
        let last = memchr::memrchr(b'.', &text).ok_or(Refusal::SignatureMalformed)?;
        let (head, rest) = text.split_at(first);
        let payload = rest.get(1..last.saturating_sub(first)).ok_or(Refusal::SignatureMalformed)?;
        let signature = text.get(last + 1..).unwrap_or_default();
        if head.len() > MAX_HEADER || signature.len() > MAX_SIGNATURE {
            return Err(Refusal::SignatureMalformed);
        }
        let header = Header::read(&decoded(head)?)?;
        let algorithm = header.algorithm(spec)?;
        header.check(spec)?;
        let signature = decoded(signature)?;
        if !algorithm.fits(signature.len()) {
            return Err(Refusal::SignatureMalformed);
        }
        let (claims, dates) = match (&spec.detached, payload.is_empty()) {
            (Some(_), true) => (Vec::new(), Dates::default()),
            (None, false) => claims(&decoded(payload)?, paths)?,
            _ => return Err(Refusal::SignatureMalformed),
        };
        Ok(Self { ends: [first, last], algorithm, header, signature, claims, dates, text })
    }

    /// Header and payload as they stand in the token: what its signature is over.
    pub(super) fn input(&self) -> &[u8] {
        let [_, last] = self.ends;
        self.text.get(..last).unwrap_or_default()
    }

    /// The header as it stands in the token.
    pub(super) fn head(&self) -> &[u8] {
        let [first, _] = self.ends;
        self.text.get(..first).unwrap_or_default()
    }

    pub(in crate::scheme) fn kid(&self) -> Option<&str> {
        self.header.text("kid")
    }

    /// A claim's text, where it was asked for.
    pub(in crate::scheme) fn claim(&self, paths: &[JsonPath], path: &JsonPath) -> Option<&str> {
        let at = paths.iter().position(|known| known == path)?;
        self.claims.get(at)?.as_deref()
    }

    /// Names of header fields that the token's header lists, with commas between.
    pub(in crate::scheme) fn listed(&self, parameter: &str) -> Result<Vec<&str>, Refusal> {
        let text = self.header.text(parameter).unwrap_or_default();
        let names: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        if names.len() > MAX_LISTED { Err(Refusal::SignatureMalformed) } else { Ok(names) }
    }
}

/// A header may have the word before its token, or not.
fn without_bearer(text: &[u8]) -> &[u8] {
    match text.split_at_checked(7) {
        Some((word, token)) if word.eq_ignore_ascii_case(b"bearer ") => token,
        _ => text,
    }
}

fn decoded(part: &[u8]) -> Result<Vec<u8>, Refusal> {
    BASE64URL_NOPAD.decode(part).map_err(|_| Refusal::SignatureMalformed)
}

type Claims = (Vec<Option<Box<str>>>, Dates);

fn claims(payload: &[u8], paths: &[JsonPath]) -> Result<Claims, Refusal> {
    let found = json::members(payload, paths).map_err(|fault| match fault {
        JsonFault::Invalid => Refusal::SignatureMalformed,
        JsonFault::Ambiguous => Refusal::MessageIncomplete,
    })?;
    let raw: RawDates = serde_json::from_slice(payload).map_err(|_| Refusal::SignatureMalformed)?;
    let dates = Dates { exp: date(raw.exp), nbf: date(raw.nbf), iat: date(raw.iat) };
    let texts = paths.iter().zip(found).map(|(path, text)| {
        // A fraction of a second is no text that a time is read from.
        let whole = dates.of(path).map(|at| at.secs().to_string().into_boxed_str());
        whole.or_else(|| text.map(|text| text.into_owned().into_boxed_str()))
    });
    Ok((texts.collect(), dates))
}

/// Seconds since the epoch, which may have a fraction.
fn date(number: Option<Number>) -> Option<UnixMillis> {
    let number = number?;
    let whole = number.as_i64();
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, and is far outside every window then")]
    let secs = whole.or_else(|| number.as_f64().map(|secs| secs.floor() as i64))?;
    Some(UnixMillis(secs.saturating_mul(1000)))
}

impl Dates {
    pub(in crate::scheme) fn of(&self, path: &JsonPath) -> Option<UnixMillis> {
        let mut steps = path.steps();
        match (steps.next(), steps.next()) {
            (Some("exp"), None) => self.exp,
            (Some("nbf"), None) => self.nbf,
            (Some("iat"), None) => self.iat,
            _ => None,
        }
    }
}

/// A token's header.
struct Header(Vec<(Box<str>, Value)>);

impl Header {
    fn read(text: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(text).map_err(|_| Refusal::SignatureMalformed)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(own, _)| **own == *name).map(|(_, value)| value)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// The one that the token says, if it is one of the configured ones.
    fn algorithm(&self, spec: &JwtSpec) -> Result<JwtAlgorithm, Refusal> {
        let said = self.text("alg").ok_or(Refusal::AlgorithmRefused)?;
        let found = spec.algorithms.iter().find(|algorithm| algorithm.as_str() == said);
        found.copied().ok_or(Refusal::AlgorithmRefused)
    }

    fn check(&self, spec: &JwtSpec) -> Result<(), Refusal> {
        let fixed = |name: &str| spec.jose.iter().any(|(own, _)| **own == *name);
        let embedded = EMBEDDED.iter().any(|name| self.get(name).is_some() && !fixed(name));
        let says = |(name, values): &(Box<str>, Vec<Box<str>>)| {
            self.text(name).is_some_and(|said| values.iter().any(|value| **value == *said))
        };
        let unencoded = spec.detached.as_ref().is_some_and(|detached| detached.unencoded);
        let rules = match (self.get("crit"), self.get("b64")) {
            (None, None | Some(Value::Bool(true))) => !unencoded,
            // RFC 7797: who does not know the rule must not take the token.
            (Some(Value::Array(names)), Some(Value::Bool(false))) => unencoded && *names == [Value::from("b64")],
            _ => false,
        };
        if embedded || !rules || !spec.jose.iter().all(says) { Err(Refusal::TokenHeaderRefused) } else { Ok(()) }
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut found: Vec<(Box<str>, Value)> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if found.len() == MAX_MEMBERS || found.iter().any(|(known, _)| **known == *name) {
                        return Err(A::Error::custom("too many members, or one twice"));
                    }
                    found.push((name.into(), map.next_value()?));
                }
                Ok(Header(found))
            }
        }

        reader.deserialize_map(Members)
    }
}

/// What the header of a text says of its algorithm, whatever else is wrong with it. For a diagnosis.
pub(in crate::scheme) fn said_algorithm(text: &[u8]) -> Option<String> {
    let head = text.split(|byte| *byte == b'.').next().filter(|head| head.len() <= MAX_HEADER)?;
    let header = Header::read(&decoded(without_bearer(head)).ok()?).ok()?;
    header.text("alg").map(str::to_owned)
}

/// Members of a header that are refused, by name. For a diagnosis.
pub(in crate::scheme) fn refused_members(spec: &JwtSpec, text: &[u8]) -> Vec<String> {
    let head = text.split(|byte| *byte == b'.').next().filter(|head| head.len() <= MAX_HEADER).unwrap_or_default();
    let Some(header) = decoded(without_bearer(head)).ok().and_then(|head| Header::read(&head).ok()) else {
        return Vec::new();
    };
    let fixed = |name: &str| spec.jose.iter().any(|(own, _)| **own == *name);
    let embedded = EMBEDDED.into_iter().filter(|name| header.get(name).is_some() && !fixed(name));
    let mut found: Vec<String> = embedded
        .map(|name| format!("the token's header has {name}, which would bring the key by which it is judged: no key is taken from a token"))
        .collect();
    if header.get("crit").is_some() || header.get("b64").is_some() {
        found.push("the token's header has crit or b64 where the scheme has none of it, or lacks it".to_owned());
    }
    for (name, values) in &spec.jose {
        if !header.text(name).is_some_and(|said| values.iter().any(|value| **value == *said)) {
            found.push(format!("the token's header does not say {} in {name}", values.join(" or ")));
        }
    }
    found
}
