//! What a scheme says of the parts of a request that are sensitive, and how what was blanked in one waits for its delivery.
//!
//! It is locked with the secret that proved the request: whoever reads the store without the secrets of the configuration finds
//! no token in it, and a secret that was rotated out opens nothing any more. AES-256-GCM-SIV, the key by HKDF-SHA256.

use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;

use super::Verifier;
use super::source::Facts;
use crate::base::{Secret, UnixMillis};
use crate::domain::{Class, Head, Own, Place};

impl Verifier {
    /// Where the scheme reads signatures.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Every token that it accepts, in every form in which a sender writes it; none for a signature.
    pub fn tokens(&self) -> Vec<Secret> {
        self.scheme.check.kind().tokens(&self.keys)
    }

    /// Where in a body what was presented as a token stands: right or wrong. All of the body, where it is written in a way
    /// that hides its place.
    pub fn tokens_in(&self, head: &Head, body: &[u8]) -> Vec<Range<usize>> {
        self.scheme.check.kind().tokens_in(&Facts::of(head, body, &self.scheme))
    }

    /// Locks what was blanked in the request of this id with the secret of this key. `None`: there is no such key.
    pub fn lock(&self, key: &str, request_id: &str, held: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut locked = held.to_vec();
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        self.cipher(key)?.seal_in_place_append_tag(nonce_of, Aad::from(request_id.as_bytes()), &mut locked).ok()?;
        locked.splice(..0, nonce);
        Some(locked)
    }

    /// What [`Self::lock`] locked; `None` where the key is gone, or the bytes are others.
    pub fn unlock(&self, key: &str, request_id: &str, locked: &[u8]) -> Option<Secret> {
        let (nonce, locked) = locked.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut held = locked.to_vec();
        let cipher = self.cipher(key)?;
        let length = cipher.open_in_place(nonce, Aad::from(request_id.as_bytes()), &mut held).ok()?.len();
        held.truncate(length);
        Some(Secret::new(held))
    }

    fn cipher(&self, key: &str) -> Option<LessSafeKey> {
        let key = self.keys.iter().find(|known| &*known.id == key)?;
        let secret = Salt::new(HKDF_SHA256, b"dmz-relay held").extract(key.configured.expose());
        Some(LessSafeKey::new(UnboundKey::from(secret.expand(&[b"aes-256-gcm-siv"], &AES_256_GCM_SIV).ok()?)))
    }

    /// Whether a request with this time would still be inside the scheme's window; `None` where the scheme has none.
    pub fn is_fresh(&self, timestamp: UnixMillis, now: UnixMillis) -> Option<bool> {
        let window = self.scheme.timestamp.as_ref()?.window?;
        Some(window.check(timestamp, now).is_ok())
    }
}

/// Where a scheme reads signatures.
pub(super) fn own(scheme: &super::Scheme) -> Own {
    let mut own = Own::default();
    for (class, place) in scheme.places() {
        match place {
            _ if class != Class::Signature => {}
            Place::Field(name) => own.fields.push(name.into()),
            Place::Member(name) => own.members.push(name.into()),
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::check::Check;
    use super::super::check::token::{TokenPlace, TokenSpec};
    use super::super::compiled::Scheme;
    use super::super::identity::Bodies;
    use super::super::source::Source;
    use super::super::{Key, Verifier};
    use super::*;
    use crate::domain::{Method, Version};
    use crate::scheme::json::JsonPath;

    fn verifier(keys: &[(&str, &str)]) -> Verifier {
        let plain = |source| TokenPlace::Plain { source, prefix: "t=".into() };
        let json = Source::Json(JsonPath::parse("auth.token").unwrap());
        let places = vec![plain(Source::Form("token".into())), plain(json), TokenPlace::Basic];
        let check = Check::Token(TokenSpec { places, forward: true });
        let scheme = Scheme::new(check, None, None, Vec::new(), Vec::new(), Vec::new(), Bodies::default());
        let key = |(id, secret): &(&str, &str)| Key { id: (*id).into(), secret: Secret::new((*secret).into()) };
        Verifier::new(Arc::clone(&scheme), keys.iter().map(key).collect(), None).unwrap()
    }

    #[test]
    fn what_was_locked_opens_with_its_key_for_its_request_and_with_nothing_else() {
        let both = verifier(&[("new", "u:other"), ("old", "u:canary")]);
        let locked = both.lock("old", "id-1", b"held").unwrap();
        assert!(!locked.windows(4).any(|window| window == b"held"));
        let open = |verifier: &Verifier, key: &str, id: &str| {
            verifier.unlock(key, id, &locked).map(|held| held.expose().to_vec())
        };
        assert_eq!(open(&both, "old", "id-1"), Some(b"held".to_vec()));
        assert_eq!(open(&both, "old", "id-2"), None, "another request's");
        assert_eq!(open(&both, "new", "id-1"), None, "another key's");
        assert_eq!(open(&verifier(&[("new", "u:other")]), "old", "id-1"), None, "a key that was rotated out");
        assert!(both.lock("gone", "id-1", b"held").is_none() && both.unlock("old", "id-1", &[1; 5]).is_none());
    }

    #[test]
    fn a_token_in_a_body_is_found_where_it_stands() {
        let verifier = verifier(&[("a", "u:canary")]);
        let head = |kind: &str| {
            let head = Head::builder(Method::Post, Version::Http11).target("/").host("a");
            head.header("Content-Type", kind).build()
        };
        let found = |kind: &str, body: &str| -> Vec<String> {
            let places = verifier.tokens_in(&head(kind), body.as_bytes());
            places.into_iter().filter_map(|place| body.get(place).map(str::to_owned)).collect()
        };
        let json = r#"{"auth":{"token":"t=wrong"}}"#;
        assert_eq!(found("application/json", json), ["t=wrong"]);
        let hidden = r#"{"auth":{"token":"t=\u0077rong"}}"#;
        assert_eq!(found("application/json", hidden), [hidden], "all of it");
        let form = "application/x-www-form-urlencoded";
        assert_eq!(found(form, "a=1&token=t=wrong&b"), ["t=wrong"]);
        assert_eq!(found(form, "a=1&token=t%3Dwrong&b"), ["a=1&token=t%3Dwrong&b"]);
        assert!(found("application/json", "{}").is_empty());
    }

    #[test]
    fn a_basic_token_is_known_encoded_too() {
        let tokens: Vec<Vec<u8>> =
            verifier(&[("a", "u:canary")]).tokens().iter().map(|token| token.expose().to_vec()).collect();
        assert_eq!(tokens, [b"u:canary".to_vec(), b"dTpjYW5hcnk=".to_vec()]);
    }
}
