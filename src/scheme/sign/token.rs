//! A signed token as a genuine sender makes it.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};

use super::{SignProblem, Work, put_member};
use crate::domain::Refusal;
use crate::scheme::algorithm::State;
use crate::scheme::check::jwt::algorithm::JwtAlgorithm;
use crate::scheme::check::jwt::token::Token;
use crate::scheme::check::jwt::{JwtSpec, Place, Usable, Wanted};
use crate::scheme::json::JsonPath;
use crate::scheme::source::{Facts, Source};
use crate::scheme::template::Segment;
use crate::scheme::{Material, Verifier};

/// How long a token is good, in seconds.
const GOOD_FOR: i64 = 300;

impl Work<'_, '_> {
    pub(in crate::scheme) fn put_token(&mut self, verifier: &Verifier, spec: &JwtSpec) -> Result<(), SignProblem> {
        self.put_listed(spec)?;
        self.put_claims(verifier, spec)?;
        let key = verifier.keys.first().ok_or(SignProblem::Incomplete(Refusal::KeyUnknown))?;
        let (algorithm, usable) = match &key.material {
            Material::Jwt(key) => key.first().ok_or(SignProblem::NoPrivateKey)?,
            Material::Mac(_) | Material::Token(_) | Material::PublicKey(_) => return Err(SignProblem::NoPrivateKey),
        };
        let mut header = Map::new();
        header.insert("alg".to_owned(), algorithm.as_str().into());
        for (name, values) in &spec.jose {
            header.insert(name.to_string(), values.first().map(|value| &**value).unwrap_or_default().into());
        }
        if spec.kid {
            header.insert("kid".to_owned(), (*key.id).into());
        }
        let mut message = BASE64URL_NOPAD.encode(b"");
        if let Some(detached) = &spec.detached {
            if detached.unencoded {
                header.insert("b64".to_owned(), false.into());
                header.insert("crit".to_owned(), Value::Array(vec!["b64".into()]));
            }
            for segment in detached.message.segments() {
                if let Segment::Listed(parameter) = segment {
                    let names: Vec<&str> = detached.listed.iter().filter_map(Source::header).collect();
                    header.insert(parameter.to_string(), names.join(",").into());
                }
            }
        } else {
            message = BASE64URL_NOPAD.encode(self.payload(spec)?.to_string().as_bytes());
        }
        let head = BASE64URL_NOPAD.encode(Value::Object(header).to_string().as_bytes());
        let token = self.signed_token(verifier, spec, &format!("{head}.{message}"), algorithm, usable)?;
        match &spec.place {
            Place::Body => self.signed.body = token.into_bytes(),
            Place::Source(place) => {
                let bearer = place.header().is_some_and(|name| name.eq_ignore_ascii_case("authorization"));
                self.put_proof(place, if bearer { format!("Bearer {token}") } else { token })?;
            }
        }
        Ok(())
    }

    /// The signature is over what a token with any signature in its place is read as.
    fn signed_token(
        &self,
        verifier: &Verifier,
        spec: &JwtSpec,
        input: &str,
        algorithm: JwtAlgorithm,
        usable: &Usable,
    ) -> Result<String, SignProblem> {
        let length = match algorithm {
            JwtAlgorithm::Shared(hash) => hash.len(),
            JwtAlgorithm::Public(public) => (1..=1024).find(|length| public.fits(*length)).unwrap_or_default(),
        };
        let blank = format!("{input}.{}", BASE64URL_NOPAD.encode(&vec![0; length]));
        let head = self.head();
        let facts = Facts::of(&head, &self.signed.body, self.scheme);
        let token = Token::parse(spec, Cow::Borrowed(blank.as_bytes()), &[]).map_err(SignProblem::Incomplete)?;
        let facts = facts.with_token(token);
        let key = verifier.keys.first().ok_or(SignProblem::Incomplete(Refusal::KeyUnknown))?;
        let feed = verifier.feed(&facts, None, key, false);
        let token = facts.token().map_err(SignProblem::Incomplete)?;
        let signature = match (algorithm, usable) {
            (JwtAlgorithm::Shared(_), Usable::Shared(state)) => {
                let mut state: State = state.clone();
                spec.pour(&mut state, token, &feed).map_err(SignProblem::Incomplete)?;
                state.finish().as_bytes().to_vec()
            }
            (JwtAlgorithm::Public(public), Usable::Public(key)) => {
                let mut message = Vec::new();
                spec.pour(&mut message, token, &feed).map_err(SignProblem::Incomplete)?;
                key.sign(public, &message).ok_or(SignProblem::NoPrivateKey)?
            }
            _ => return Err(SignProblem::NoPrivateKey),
        };
        Ok(format!("{input}.{}", BASE64URL_NOPAD.encode(&signature)))
    }

    /// Header fields that must be signed.
    fn put_listed(&mut self, spec: &JwtSpec) -> Result<(), SignProblem> {
        let fields: Vec<Source> = spec.detached.iter().flat_map(|detached| detached.listed.clone()).collect();
        for field in fields {
            if self.read(&field)?.is_none() {
                let value = self.id_for(&field);
                self.put(&field, value)?;
            }
        }
        Ok(())
    }

    fn put_claims(&mut self, verifier: &Verifier, spec: &JwtSpec) -> Result<(), SignProblem> {
        let now = self.now.secs();
        for claim in &spec.claims {
            if self.claims.iter().any(|(known, _)| *known == claim.path) {
                continue;
            }
            let text = |values: &[Box<str>]| Value::from(values.first().map(|value| &**value).unwrap_or_default());
            let value = match (&claim.wanted, &*claim.path.to_string()) {
                (Wanted::OneOf(values), _) => text(values),
                (Wanted::OfRoute, _) => text(verifier.claim_of_route(&claim.path)),
                (Wanted::Present, "exp") => Value::from(now.saturating_add(GOOD_FOR)),
                (Wanted::Present, "nbf" | "iat") => Value::from(now),
                (Wanted::Present, _) => Value::from(self.draft.id),
            };
            let value = match &value {
                Value::String(word) if word == "true" => Value::from(true),
                _ => value,
            };
            self.claims.push((claim.path.clone(), value));
        }
        let hashes: Vec<(JsonPath, String)> = {
            let head = self.head();
            let facts = Facts::of(&head, &self.signed.body, self.scheme);
            let key = verifier.keys.first().ok_or(SignProblem::Incomplete(Refusal::KeyUnknown))?;
            let feed = verifier.feed(&facts, None, key, false);
            let wanted = spec.hashes.iter().filter(|hash| !(hash.absent_if_empty && facts.body.is_empty()));
            let hash = |hash: &crate::scheme::check::jwt::HashClaim| {
                let tag = feed.hash(State::plain(hash.algorithm), &hash.of)?;
                Ok((hash.path.clone(), hash.encoding.encode(tag.as_bytes())))
            };
            wanted.map(hash).collect::<Result<_, Refusal>>().map_err(SignProblem::Incomplete)?
        };
        self.claims.extend(hashes.into_iter().map(|(path, text)| (path, Value::from(text))));
        Ok(())
    }

    /// What the token says; where it is the body, what the draft's body says as well.
    fn payload(&self, spec: &JwtSpec) -> Result<Value, SignProblem> {
        let drafted = matches!(spec.place, Place::Body).then(|| serde_json::from_slice(&self.signed.body));
        let mut payload = match drafted {
            Some(Ok(Value::Object(members))) => Value::Object(members),
            Some(_) => {
                let text = String::from_utf8_lossy(&self.signed.body).into_owned();
                Value::Object([("data".to_owned(), Value::from(text))].into_iter().collect())
            }
            None => Value::Object(Map::new()),
        };
        for (path, value) in &self.claims {
            put_member(&mut payload, path, value.clone())?;
        }
        Ok(payload)
    }
}
