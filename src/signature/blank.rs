//! Heads as they may be kept: without the secret that some schemes have in them, and with it again.
//!
//! A signature may be kept: it says nothing of its secret. A token is the secret itself.

use crate::base::UnixMillis;
use crate::domain::Head;

use super::scheme::{Check, TokenPlace};
use super::source::Source;
use super::{Verifier, form};

impl Verifier {
    /// The head without tokens; `None` where the scheme has none, so that the head can be kept as it is. A token in the
    /// body stays: the body is what it is.
    pub fn blanked(&self, head: &Head) -> Option<Head> {
        let Check::Token(spec) = &self.scheme.check else { return None };
        let places: Vec<Source> = spec.places.iter().map(TokenPlace::target).collect();
        let is_token =
            |name: &str| places.iter().any(|place| place.header().is_some_and(|n| name.eq_ignore_ascii_case(n)));
        let query = head.query().map(|query| {
            let names: Vec<&str> = places.iter().filter_map(Source::query).collect();
            blanked_query(query, &names)
        });
        Some(head.rewritten(query.as_deref(), |name, _| is_token(name).then(Vec::new)))
    }

    /// The head with the token of this key where one was blanked; `None` where there is nothing to put back.
    pub fn restored(&self, head: &Head, key: &str) -> Option<Head> {
        let Check::Token(spec) = &self.scheme.check else { return None };
        let token = self.keys.iter().find(|known| &*known.id == key)?;
        let secret = std::str::from_utf8(token.secret.expose()).ok()?;
        let blank = |name: &str, value: &[u8]| {
            let here = |place: &&TokenPlace| place.target().header().is_some_and(|n| name.eq_ignore_ascii_case(n));
            if value.is_empty() { spec.places.iter().find(here) } else { None }
        };
        head.headers().iter().find(|(name, value)| blank(name, value).is_some())?;
        Some(head.rewritten(head.query(), |name, value| Some(blank(name, value)?.wrap(secret).into_bytes())))
    }

    /// Whether a request with this time would still be inside the scheme's window; `None` where the scheme has none.
    pub fn is_fresh(&self, timestamp: UnixMillis, now: UnixMillis) -> Option<bool> {
        let window = self.scheme.timestamp.as_ref()?.window?;
        Some(window.check(timestamp, now).is_ok())
    }
}

/// The query without the values of these parameters, in every spelling of their names.
fn blanked_query(query: &str, names: &[&str]) -> String {
    let blank = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if names.iter().any(|wanted| form::is_named(pair.as_bytes(), wanted)) => format!("{name}="),
        _ => pair.to_owned(),
    };
    query.split('&').map(blank).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::scheme::{Scheme, TokenSpec};
    use super::super::{Key, Verifier};
    use super::*;
    use crate::base::Secret;
    use crate::domain::{Method, Version};

    fn verifier(places: Vec<TokenPlace>) -> Verifier {
        let check = Check::Token(TokenSpec { places, forward: true });
        let scheme = Scheme::new(check, None, None, Vec::new(), Vec::new(), Vec::new());
        let key = |id: &str, secret: &str| Key { id: id.into(), secret: Secret::new(secret.into()) };
        Verifier::new(Arc::clone(&scheme), vec![key("new", "s3cret:new"), key("old", "canary:old")], None).unwrap()
    }

    fn head(token: &str) -> Head {
        Head::builder(Method::Post, Version::Http11)
            .target("/hooks?api%2Dkey=canary&a=1&b")
            .host("relay.example")
            .header("X-Token", token)
            .header("Authorization", "Bearer canary:old")
            .header("X-Other", "stays")
            .build()
    }

    fn shown(head: &Head) -> String {
        let fields = head.headers().iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
        format!("{}?{}\n{}", head.path(), head.query().unwrap_or_default(), fields.collect::<String>())
    }

    #[test]
    fn a_token_is_taken_out_in_every_place_and_put_back_by_its_key() {
        let places = |prefix: &str| {
            let plain = |source| TokenPlace::Plain { source, prefix: prefix.into() };
            vec![plain(Source::Header("x-token".into())), plain(Source::Query("api-key".into())), TokenPlace::Bearer]
        };
        let verifier = verifier(places("t="));
        let blanked = verifier.blanked(&head("t=canary:old")).unwrap();
        assert_eq!(shown(&blanked), "/hooks?api%2Dkey=&a=1&b\nX-Token: \nAuthorization: \nX-Other: stays\n");
        let restored = verifier.restored(&blanked, "old").unwrap();
        assert!(shown(&restored).contains("X-Token: t=canary:old\nAuthorization: Bearer canary:old\nX-Other: stays\n"));
        assert!(verifier.restored(&blanked, "gone").is_none(), "a key that was rotated out stays out");
        assert!(verifier.restored(&head("t=canary:old"), "new").is_none(), "nothing is blank");
    }
}
