//! Recipes and schemes: how a route's requests prove that they are genuine, and what the provider expects of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use toml::Spanned;

use super::values::{join, shown};
use super::{Compiler, Named};
use crate::config::near::suggest;
use crate::config::raw::{RawRoute, Table};
use crate::config::recipe::{self, RawProvider, Recipe};
use crate::domain::Method;
use crate::signature::Verifier;
use crate::snapshot::{Challenge, FixedAnswer, Verification};

const NO_SECRETS: &str = "write secrets = [{ file = \"secrets/…\" }], { credential = \"…\" } or { env = \"…\" }";

/// What a recipe or scheme says where the route says nothing.
#[derive(Debug)]
pub(super) struct Suggested {
    pub(super) methods: Option<Vec<Method>>,
    pub(super) deadline: Option<Duration>,
    /// After this the provider has given up.
    pub(super) sender_waits: Option<Duration>,
    pub(super) answer: FixedAnswer,
    /// How long an id is remembered.
    pub(super) replay: Option<Duration>,
    /// Requests carry something to remember them by.
    pub(super) has_id: bool,
    /// How long a request's own time counts as fresh, both ways together.
    pub(super) fresh_for: Option<Duration>,
    pub(super) strip_query: Vec<String>,
    pub(super) strip_headers: Vec<String>,
    pub(super) challenges: Vec<Challenge>,
}

impl Default for Suggested {
    fn default() -> Self {
        Self {
            methods: None,
            deadline: None,
            sender_waits: None,
            answer: FixedAnswer { status: 200, body: Bytes::new(), content_type: None },
            replay: None,
            has_id: false,
            fresh_for: None,
            strip_query: Vec::new(),
            strip_headers: Vec::new(),
            challenges: Vec::new(),
        }
    }
}

/// How a route's requests prove themselves.
pub(super) struct Proven {
    pub(super) provider: Option<Arc<str>>,
    pub(super) verify: Verification,
    pub(super) suggested: Suggested,
}

impl Compiler<'_> {
    pub(super) fn providers(&mut self, raw: Table<RawProvider>) -> BTreeMap<String, Option<Arc<Recipe>>> {
        let mut providers = BTreeMap::new();
        for (name, _raw) in raw {
            providers.insert(name.into_inner(), None);
        }
        providers
    }

    /// A recipe by name: the file's own first, then the built-in ones.
    pub(super) fn recipe(&mut self, at: &Spanned<String>, name: &str, key: &str, named: &Named) -> Option<Arc<Recipe>> {
        if let Some(own) = named.providers.get(name) {
            return own.clone();
        }
        if let Some(recipe) = recipe::builtin(name) {
            return Some(recipe);
        }
        let mut known: Vec<&str> = named.providers.keys().map(String::as_str).collect();
        known.extend(recipe::builtin_names().map(|name| -> &str { name }));
        let help = suggest(name, known.iter().copied(), "");
        self.reject(at, key, format!("there is no provider \"{}\"", shown(name)), help);
        None
    }

    pub(super) fn proven(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        named: &Named,
    ) -> Option<Proven> {
        match (&raw.provider, &raw.verify) {
            (None, None) => {
                let help = "write provider = \"…\", or verify.<scheme> for a scheme of your own";
                self.reject(
                    name,
                    key,
                    "neither provider nor verify says how requests prove that they are genuine",
                    help,
                );
                self.keys_of(raw, key);
                None
            }
            (Some(_), Some(verify)) => {
                let what = "stands beside provider; which of them is meant?";
                self.reject(verify, &join(key, "verify"), what, "keep one of them");
                None
            }
            (Some(provider), None) => {
                let keys = self.needed_keys(name, raw, key);
                let recipe = self.recipe(provider, provider.get_ref(), &join(key, "provider"), named)?;
                keys?;
                let suggested = Suggested { has_id: true, ..Suggested::default() };
                Some(Proven {
                    provider: Some(Arc::clone(&recipe.name)),
                    verify: Verification::Signed(todo!("merge of signature")),
                    suggested,
                })
            }
            (None, Some(verify)) => {
                if verify.get_ref().dangerously_none.as_ref().is_some_and(|none| *none.get_ref()) {
                    return self.unverified(verify, raw, key);
                }
                self.needed_keys(name, raw, key)?;
                Some(Proven {
                    provider: None,
                    verify: Verification::Signed(todo!("merge of signature")),
                    suggested: Suggested::default(),
                })
            }
        }
    }

    fn unverified<T>(&mut self, at: &Spanned<T>, raw: &RawRoute, key: &str) -> Option<Proven> {
        let what = "nothing proves that requests of this route are genuine";
        self.warn(at, &join(key, "verify.dangerously_none"), what, "use the provider's scheme as soon as it has one");
        if let Some(secrets) = &raw.secrets {
            let what = "stands beside verify.dangerously_none, which checks none";
            self.reject(secrets, &join(key, "secrets"), what, "remove secrets, or name a scheme");
            return None;
        }
        Some(Proven { provider: None, verify: Verification::DangerouslyNone, suggested: Suggested::default() })
    }

    /// Secrets of a route whose scheme needs them.
    fn needed_keys(&mut self, name: &Spanned<String>, raw: &RawRoute, key: &str) -> Option<Vec<crate::signature::Key>> {
        if raw.secrets.is_none() {
            self.reject(name, &join(key, "secrets"), "is missing", NO_SECRETS);
        }
        self.keys_of(raw, key)
    }

    fn keys_of(&mut self, raw: &RawRoute, key: &str) -> Option<Vec<crate::signature::Key>> {
        let before = self.problems.len();
        let keys = raw.secrets.as_ref().map(|list| self.keys(list, &join(key, "secrets")))?;
        (self.problems.len() == before).then_some(keys)
    }
}

/// Addresses that the provider publishes.
pub(super) fn published(recipe: &Recipe) -> Vec<IpNet> {
    recipe.addresses.clone()
}
