//! Why a signed token is refused: another algorithm, another route's key, a secret that is read otherwise, another audience, another
//! body.

use super::bodies::Bodies;
use super::{Asked, MAX_BODY, NO_BODY, UNTOUCHED, keys};
use crate::base::UnixMillis;
use crate::domain::Refusal;
use crate::scheme::algorithm::{Algorithm, State};
use crate::scheme::check::jwt::algorithm::JwtAlgorithm;
use crate::scheme::check::jwt::token::{refused_members, said_algorithm};
use crate::scheme::check::jwt::{Claim, JwtSpec, Place, Usable, Wanted, material};
use crate::scheme::examine::{names, span};
use crate::scheme::source::Facts;
use crate::scheme::{Verifier, words};

/// Longest value of a token that is shown.
const MAX_SHOWN: usize = 80;

/// What is behind a token that is refused, or that is not there.
pub(super) fn findings(spec: &JwtSpec, asked: &Asked<'_, '_>) -> Vec<String> {
    match asked.refusal {
        Refusal::AlgorithmRefused => algorithm(spec, asked.facts).into_iter().collect(),
        Refusal::TokenHeaderRefused => {
            text(spec, asked.facts).map(|text| refused_members(spec, &text)).unwrap_or_default()
        }
        Refusal::ClaimMismatch => claims(spec, asked.facts, asked.verifier),
        Refusal::KeyUnknown => unknown(asked),
        Refusal::SignatureMismatch => vec![mismatch(spec, asked)],
        Refusal::SignatureMalformed => malformed(spec, asked.facts),
        Refusal::BodyDigestMismatch => match asked.body {
            Some(body) => body_changed(spec, asked, body),
            None => vec![NO_BODY.to_owned()],
        },
        Refusal::MessageIncomplete => incomplete(spec, asked.facts),
        _ => Vec::new(),
    }
}

/// What is behind a token whose `exp` or `nbf` refuses it.
pub(super) fn life(spec: &JwtSpec, facts: &Facts<'_>, now: UnixMillis) -> Vec<String> {
    let Ok(limits) = spec.limits(facts) else { return Vec::new() };
    let bad = limits.into_iter().find_map(|life| Some((life, spec.check_limit(life, now).err()?)));
    let Some((life, refusal)) = bad else { return Vec::new() };
    let apart = span(std::time::Duration::from_millis(life.at.0.abs_diff(now.0)));
    vec![match refusal {
        Refusal::TimestampStale => format!(
            "the token expired {apart} ago (`exp`): a retry with the token of the first attempt, a request that was held up on its \
             way, or a clock that is wrong; `leeway` says how much is forgiven"
        ),
        _ => format!(
            "the token is good only in {apart} (`nbf`): the sender's clock, or ours, is wrong by about that; compare both with a time \
             server"
        ),
    }]
}

/// Why, in a sentence, where the token itself says it.
pub(in crate::scheme) fn refusal(
    spec: &JwtSpec,
    refusal: Refusal,
    facts: &Facts<'_>,
    verifier: &Verifier,
) -> Option<String> {
    match refusal {
        Refusal::AlgorithmRefused => {
            Some(algorithm(spec, facts).unwrap_or_else(|| "the token names no algorithm".to_owned()))
        }
        Refusal::TokenHeaderRefused => {
            text(spec, facts).and_then(|text| refused_members(spec, &text).into_iter().next())
        }
        Refusal::ClaimMismatch => claims(spec, facts, verifier).into_iter().next(),
        Refusal::SignatureMalformed => {
            Some("it is no token: header, payload and signature in base64url, with full stops between".to_owned())
        }
        Refusal::KeyUnknown => {
            let named =
                facts.token().ok()?.kid().map_or_else(|| "no key".to_owned(), |kid| format!("key {}", shown(kid)));
            Some(format!("the token names {named}, and the route has {}", names(verifier.key_ids())))
        }
        _ => None,
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(MAX_SHOWN).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", short.escape_debug())
}

fn text(spec: &JwtSpec, facts: &Facts<'_>) -> Option<Vec<u8>> {
    match &spec.place {
        Place::Body => Some(facts.body.to_vec()),
        Place::Source(source) => {
            let text = facts.read(source).ok().flatten()?;
            Some(match text.split_at_checked(7) {
                Some((word, token)) if word.eq_ignore_ascii_case(b"bearer ") => token.to_vec(),
                _ => text.into_owned(),
            })
        }
    }
}

fn algorithm(spec: &JwtSpec, facts: &Facts<'_>) -> Option<String> {
    let said = said_algorithm(&text(spec, facts)?)?;
    let taken: Vec<&str> = spec.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    let taken = taken.join(" or ");
    let why = match &*said {
        "none" | "None" | "NONE" | "nOnE" => "a token without a signature proves nothing",
        said if said.starts_with("HS") != taken.starts_with("HS") => {
            "a key of one kind must never be taken for one of the other kind"
        }
        _ => "have the sender sign as the scheme says, or write the scheme as the sender signs",
    };
    Some(format!("the token says that its algorithm is {}, and the scheme takes {taken} alone: {why}", shown(&said)))
}

fn claims(spec: &JwtSpec, facts: &Facts<'_>, verifier: &Verifier) -> Vec<String> {
    let one = |claim: &Claim| {
        let value = facts.claim(&claim.path).ok().flatten();
        let elements = || claim.elements.iter().filter_map(|path| facts.claim(path).ok().flatten());
        let wanted: &[Box<str>] = match &claim.wanted {
            Wanted::OneOf(values) => values,
            Wanted::OfRoute => verifier.claim_of_route(&claim.path),
            Wanted::Present if value.is_some() => return None,
            Wanted::Present => &[],
        };
        let is = |text: &str| wanted.iter().any(|wanted| **wanted == *text);
        if value.is_some_and(is) || (value.is_none() && elements().any(is)) {
            return None;
        }
        let said = value.map(shown).or_else(|| {
            let all: Vec<String> = elements().map(shown).collect();
            (!all.is_empty()).then(|| all.join(", "))
        });
        let path = &claim.path;
        Some(match (&claim.wanted, said) {
            (Wanted::OfRoute, _) if wanted.is_empty() => {
                format!("the route does not say what claim {path} must be: write it in `claims`")
            }
            (_, Some(said)) => format!(
                "claim {path} is {said}, and must be {}: the token is for another receiver or from another sender, or the route has \
                 the wrong value",
                wanted.iter().map(|one| shown(one)).collect::<Vec<_>>().join(" or ")
            ),
            (_, None) => format!("the token has no claim {path}"),
        })
    };
    let mut found: Vec<String> = spec.claims.iter().filter_map(one).collect();
    if found.is_empty() {
        found.push("a claim that is a digest of the URL is another one: compare `public_url` with the URL that is registered at the sender".to_owned());
    }
    found
}

fn unknown(asked: &Asked<'_, '_>) -> Vec<String> {
    let Some(kid) = asked.facts.token().ok().and_then(|token| token.kid()) else {
        return vec!["the token does not name its key (`kid`), and the scheme wants it named".to_owned()];
    };
    let other = asked.others.iter().find(|(_, other)| other.key_ids().any(|id| id == kid));
    vec![match other {
        Some((route, _)) => format!(
            "route `{route}` has that key: the sender calls the wrong URL, or this route lacks the key; enter it here as well"
        ),
        None => "the provider has changed its keys, or it is a key of another environment: fetch the set of keys again, and put it in the \
                 place of the file in `public_keys`; with keys of your own, give the key the id that the token names"
            .to_owned(),
    }]
}

/// Whose key verifies the token; nothing else of it can be changed.
fn mismatch(spec: &JwtSpec, asked: &Asked<'_, '_>) -> String {
    let facts = asked.facts;
    let Ok(token) = facts.token() else { return String::new() };
    let Some(first) = asked.verifier.keys.first() else { return String::new() };
    let feed = asked.verifier.feed(facts, None, first, false);
    for (route, other) in asked.others {
        for key in &other.keys {
            let is_right = match (token.algorithm, material(key, token.algorithm)) {
                (JwtAlgorithm::Shared(_), Some(Usable::Shared(state))) => {
                    right(spec, asked, state.clone()).unwrap_or_default()
                }
                (JwtAlgorithm::Public(algorithm), Some(Usable::Public(key))) => {
                    spec.signed(algorithm, token, &feed).is_ok_and(|signed| signed.is_signed_by(key, &token.signature))
                }
                _ => false,
            };
            if is_right {
                return format!(
                    "it is signed with the key of route `{route}` (key `{}`): the sender calls the wrong URL, or has the wrong key for \
                     this one",
                    key.id
                );
            }
        }
    }
    if let JwtAlgorithm::Shared(algorithm) = token.algorithm
        && let Some(found) = by_reading(spec, asked, algorithm)
    {
        return found;
    }
    if spec.detached.is_some() {
        return "no key of any route verifies it for this request: what is signed is not in the token, so a body, a path or a header \
                field that something on the way changed looks the same as a wrong key"
            .to_owned();
    }
    "no key of any route verifies this token: a key that the provider has replaced, or one of another environment (live and test have \
     their own); the body is not the cause, as it is not a part of what is signed"
        .to_owned()
}

fn right(spec: &JwtSpec, asked: &Asked<'_, '_>, mut state: State) -> Option<bool> {
    let token = asked.facts.token().ok()?;
    let first = asked.verifier.keys.first()?;
    let feed = asked.verifier.feed(asked.facts, None, first, false);
    spec.pour(&mut state, token, &feed).ok()?;
    Some(state.finish().as_bytes() == token.signature)
}

/// A secret in base64 that was taken as text, or the other way round, and the like.
fn by_reading(spec: &JwtSpec, asked: &Asked<'_, '_>, algorithm: Algorithm) -> Option<String> {
    for key in &asked.verifier.keys {
        for variant in keys::variants(&key.configured, &spec.key) {
            let state = State::keyed(algorithm, variant.key.expose())?;
            if right(spec, asked, state)? {
                return Some(format!("the secret `{}` gives this signature {}", key.id, variant.how));
            }
        }
    }
    None
}

fn malformed(spec: &JwtSpec, facts: &Facts<'_>) -> Vec<String> {
    let Some(text) = text(spec, facts) else { return Vec::new() };
    let parts = text.split(|byte| *byte == b'.').count();
    let place = match &spec.place {
        Place::Source(source) => words::source(source),
        Place::Body => "the body".to_owned(),
    };
    vec![match (parts, &spec.detached) {
        (5, _) => format!("{place} has five parts, as an encrypted token has: the scheme takes signed ones"),
        (3, Some(_)) if !text.windows(2).any(|pair| pair == b"..") => {
            format!("{place} has its payload in it, and the scheme's is left out of the token")
        }
        (3, None) if text.windows(2).any(|pair| pair == b"..") => {
            format!("{place} has no payload in it, and the scheme's has one")
        }
        (3, _) => format!(
            "{place} has the three parts of a token, but one of them is not what it should be: padded or other base64, no JSON, or a signature of another length than the algorithm's"
        ),
        (count, _) => format!("{place} has {count} parts with full stops between, where a token has three"),
    }]
}

fn body_changed(spec: &JwtSpec, asked: &Asked<'_, '_>, body: &[u8]) -> Vec<String> {
    let Some(hash) = spec.hashes.iter().find(|hash| hash.of.covers_body()) else { return Vec::new() };
    let stated = asked.facts.claim(&hash.path).ok().flatten().map(str::to_owned);
    let Some(stated) = stated else { return Vec::new() };
    let Some(first) = asked.verifier.keys.first() else { return Vec::new() };
    let named = |body: &[u8]| {
        let facts = Facts::of(asked.head, body, &asked.verifier.scheme);
        let feed = asked.verifier.feed(&facts, None, first, false);
        feed.hash(State::plain(hash.algorithm), &hash.of).ok()
    };
    let path = &hash.path;
    for encoding in crate::scheme::encoding::Encoding::ALL.into_iter().filter(|encoding| *encoding != hash.encoding) {
        if named(body).is_some_and(|tag| encoding.encode(tag.as_bytes()) == stated) {
            return vec![format!(
                "claim {path} is the body's digest, but written in {} where the scheme has {}",
                encoding.as_str(),
                hash.encoding.as_str()
            )];
        }
    }
    if body.len() <= MAX_BODY {
        let mut left = 512u32;
        let words = Bodies::new(body).find(body, None, |body| {
            left = left.checked_sub(1)?;
            Some(named(body).is_some_and(|tag| hash.encoding.encode(tag.as_bytes()) == stated))
        });
        if let Some(words) = words {
            return vec![format!("claim {path} is the digest of another body: {words}; {UNTOUCHED}")];
        }
    }
    vec![format!(
        "the token is genuine, but claim {path} is the digest of another body: something on the way changed the body, or somebody put \
         another one behind a token that he has seen"
    )]
}

fn incomplete(spec: &JwtSpec, facts: &Facts<'_>) -> Vec<String> {
    let absent = |path: &crate::scheme::json::JsonPath| facts.claim(path).ok().flatten().is_none();
    let missing =
        spec.hashes.iter().find(|hash| absent(&hash.path) && !(hash.absent_if_empty && facts.body.is_empty()));
    let mut found: Vec<String> = missing
        .map(|hash| {
            format!(
                "the token has no claim {}, so it says nothing of {}: see whether the sender can add it",
                hash.path, hash.of
            )
        })
        .into_iter()
        .collect();
    if let Some(detached) = &spec.detached {
        for field in &detached.listed {
            found.push(format!(
                "the token must list {} among the fields that it signs, and the request must have each of them once",
                words::source(field)
            ));
        }
    }
    found
}
