//! Recipes and schemes: how a route's requests prove that they are genuine, and what the provider expects of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use toml::Spanned;

use super::public_keys::RawPublicKeys;
use super::values::{join, shown};
use super::{Compiler, Named};
use crate::config::near::suggest_provider;
use crate::config::raw::{RawClaims, RawRoute, RawSecretEntry, Table};
use crate::config::recipe::{self, CompiledVerify, Evidence, RawRecipe, RawVerify, Recipe};
use crate::config::report::MISSING;
use crate::domain::field_list::REQUEST_ID;
use crate::domain::{FieldPattern, Method};
use crate::guards::access::Networks;
use crate::runtime::snapshot::{FixedAnswer, ProviderRetries, Verification};
use crate::scheme::{Challenge, Key, PublicUrl, Scheme, Verifier};

const NO_SECRETS: &str = "write secrets = [{ file = \"secrets/…\" }], { credential = \"…\" } or { env = \"…\" }";

/// What a recipe or scheme says where the route says nothing.
#[derive(Debug)]
pub(super) struct Suggested {
    pub(super) methods: Option<Vec<Method>>,
    pub(super) content_types: Option<Vec<String>>,
    pub(super) deadline: Option<Duration>,
    /// After this the provider has given up.
    pub(super) sender_waits: Option<Duration>,
    pub(super) answer: FixedAnswer,
    /// How long an id is remembered.
    pub(super) dedupe: Option<Duration>,
    /// From the first attempt to the provider's last one.
    pub(super) retries_for: Duration,
    /// The same, for explanations.
    pub(super) provider_retries: Option<ProviderRetries>,
    /// Requests carry something to remember them by.
    pub(super) has_id: bool,
    /// That is the body alone, and nobody said that bodies never repeat.
    pub(super) equal_bodies_are_one: bool,
    /// The largest body that the provider sends.
    pub(super) max_body: Option<u64>,
    /// How long a request's own time counts as fresh, both ways together.
    pub(super) fresh_for: Option<Duration>,
    pub(super) strip_query: Vec<String>,
    /// The sender's fields that go to the upstream beside those of every webhook: what the scheme reads and the recipe lists.
    pub(super) forward: Vec<FieldPattern>,
    /// The scheme reads the sender's `X-Request-Id`.
    pub(super) reads_request_id: bool,
    pub(super) challenges: Vec<Arc<Challenge>>,
    /// Failed requests after which the provider gives the endpoint up.
    pub(super) error_budget: Option<u32>,
}

impl Default for Suggested {
    fn default() -> Self {
        Self {
            methods: None,
            content_types: None,
            deadline: None,
            sender_waits: None,
            answer: FixedAnswer { status: 200, body: Bytes::new(), content_type: None },
            dedupe: None,
            retries_for: Duration::ZERO,
            provider_retries: None,
            has_id: false,
            equal_bodies_are_one: false,
            max_body: None,
            fresh_for: None,
            strip_query: Vec::new(),
            forward: Vec::new(),
            reads_request_id: false,
            challenges: Vec::new(),
            error_budget: None,
        }
    }
}

/// How a route's requests prove themselves.
pub(super) struct Proven {
    pub(super) provider: Option<Arc<str>>,
    pub(super) verify: Verification,
    /// What a stored request remembers of it.
    pub(super) verified_by: Option<Arc<str>>,
    pub(super) suggested: Suggested,
}

impl Suggested {
    fn of_scheme(scheme: &Scheme) -> Self {
        let fresh_for = scheme.window().map(|(back, ahead)| back.saturating_add(ahead));
        let strip = !scheme.forwards_secret();
        let secret_parameters = scheme.secret_query_parameters().into_iter().filter(|_| strip);
        Self {
            has_id: scheme.has_dedupe(),
            equal_bodies_are_one: scheme.equal_bodies_are_one() && !scheme.bodies_never_repeat(),
            fresh_for,
            strip_query: secret_parameters.map(str::to_owned).collect(),
            reads_request_id: scheme.headers_read().iter().any(|name| name.eq_ignore_ascii_case(REQUEST_ID)),
            forward: scheme.headers_read().into_iter().filter_map(|name| FieldPattern::parse(name).ok()).collect(),
            ..Self::default()
        }
    }

    fn of_recipe(recipe: &Recipe) -> Self {
        let scheme = Self::of_scheme(&recipe.scheme);
        Self {
            methods: Some(recipe.methods.clone()),
            content_types: recipe.content_types.clone(),
            deadline: recipe.deadline,
            sender_waits: recipe.timeout,
            answer: recipe.success.clone(),
            dedupe: recipe.dedupe_window,
            retries_for: recipe.retries_for.unwrap_or_default(),
            provider_retries: recipe.provider_retries(),
            max_body: recipe.max_body,
            challenges: recipe.challenges().to_vec(),
            error_budget: recipe.error_budget.filter(|budget| *budget > 0),
            forward: [scheme.forward.clone(), recipe.forward_headers.clone()].concat(),
            ..scheme
        }
    }
}

impl Compiler<'_> {
    pub(super) fn providers(&mut self, raw: Table<RawRecipe>) -> BTreeMap<String, Option<Arc<Recipe>>> {
        let mut providers = BTreeMap::new();
        for (name, raw) in raw {
            let key = join("providers", name.get_ref());
            self.name(&name, &key);
            let before = self.problems.len();
            let recipe = recipe::compile_recipe(name.get_ref(), &raw, &key, &mut self.problems);
            let recipe = recipe.filter(|_| self.problems.len() == before).map(Arc::new);
            providers.insert(name.into_inner(), recipe);
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
        let help = suggest_provider(name, named.providers.keys().map(String::as_str));
        self.reject(at, key, format!("there is no provider \"{}\"", shown(name)), help);
        None
    }

    pub(super) fn proven(
        &mut self,
        name: &Spanned<String>,
        claim: Claim<'_>,
        key: &str,
        named: &Named,
    ) -> Option<Proven> {
        let secrets = self.secrets(claim, key);
        if claim.scheme == Same::Refused {
            return None;
        }
        match (claim.provider, claim.verify) {
            (None, None) => {
                let what = "neither provider nor verify says how requests prove that they are genuine";
                let help = "write provider = \"…\", or verify.<scheme> for a scheme of your own";
                self.reject(name, key, what, help);
                None
            }
            (Some(_), Some(verify)) => {
                let what = "stands beside provider; which of them is meant?";
                self.reject(verify, &join(key, "verify"), what, "keep one of them");
                None
            }
            (Some(provider), None) => {
                let recipe = self.recipe(provider, provider.get_ref(), &join(key, "provider"), named)?;
                if claim.scheme == Same::New {
                    self.doubts(provider, &recipe, &join(key, "provider"));
                }
                let verify = self.signed(name, claim, key, &recipe.scheme, secrets)?;
                let suggested = Suggested::of_recipe(&recipe);
                // A shipped recipe keeps its name over versions of the relay; one of the file is what it says.
                let is_own = named.providers.contains_key(provider.get_ref());
                let verified_by = match is_own {
                    true => format!("{}:{}", recipe.id, recipe.scheme.fingerprint()).into(),
                    false => Arc::clone(&recipe.id),
                };
                let provider = Some(Arc::clone(&recipe.id));
                Some(Proven { provider, verify, verified_by: Some(verified_by), suggested })
            }
            (None, Some(verify)) => {
                let compiled = recipe::compile_verify(verify.get_ref(), &join(key, "verify"), &mut self.problems);
                match compiled? {
                    CompiledVerify::DangerouslyNone => self.unverified(verify, claim, key),
                    CompiledVerify::Scheme(scheme) => {
                        let verify = self.signed(name, claim, key, &scheme, secrets)?;
                        let verified_by = Some(format!("custom:{}", scheme.fingerprint()).into());
                        let suggested = Suggested::of_scheme(&scheme);
                        Some(Proven { provider: None, verify, verified_by, suggested })
                    }
                }
            }
        }
    }

    /// What an operator should look at before relying on a recipe.
    fn doubts(&mut self, at: &Spanned<String>, recipe: &Recipe, key: &str) {
        let name = shown(&recipe.id);
        if recipe.evidence == Some(Evidence::Unconfirmed) {
            let what = format!("the recipe \"{name}\" is unconfirmed: a part of it was written from memory");
            let help = format!(
                "compare `dmz-relay providers {name}` with the provider's documentation and a request of its own; then write \
                 what is right as [providers.{name}] with its evidence"
            );
            self.warn(at, key, what, help);
        }
        if recipe.scheme.is_open_to_length_extension() {
            let what = format!(
                "\"{name}\" proves requests by a plain digest: whoever has seen one signature can append to what was signed and \
                 compute another (length extension)"
            );
            self.warn(
                at,
                key,
                what,
                "use another scheme of the provider's if it has one, and limit the addresses with allow",
            );
        }
    }

    /// A scheme with the route's secrets or public keys.
    fn signed(
        &mut self,
        name: &Spanned<String>,
        claim: Claim<'_>,
        key: &str,
        scheme: &Arc<Scheme>,
        secrets: Secrets,
    ) -> Option<Verification> {
        let url = claim.public_url.map(|at| self.public_url(at, &join(key, "public_url")));
        if url.is_none() && scheme.needs_public_url() {
            let what = "is missing: the scheme signs the URL that the provider was given";
            self.reject(
                name,
                &join(key, "public_url"),
                what,
                "write public_url = \"https://…\" exactly as the provider has it",
            );
        }
        let (keys, unread) = match secrets {
            Secrets::Read { keys, unread } => (keys, unread),
            Secrets::Told => return None,
            Secrets::Absent if scheme.takes_public_keys() => {
                let help = "write public_keys = [{ file = \"…\" }], or the key itself as a text";
                self.reject(name, &join(key, "public_keys"), MISSING, help);
                return None;
            }
            Secrets::Absent => {
                self.reject(name, &join(key, "secrets"), MISSING, NO_SECRETS);
                return None;
            }
        };
        match (claim.secrets, claim.public_keys, scheme.takes_public_keys()) {
            (Some(secrets), _, true) => {
                let what = "is for schemes with shared secrets, and this one verifies with public keys";
                self.reject(
                    secrets,
                    &join(key, "secrets"),
                    what,
                    "write public_keys, with the key that the sender shows",
                );
                return None;
            }
            (_, Some(keys), false) => {
                let what = "is for schemes that verify with public keys, and this one has shared secrets";
                self.reject(keys, &join(key, "public_keys"), what, NO_SECRETS);
                return None;
            }
            _ => {}
        }
        let claims = self.claims(name, claim, key, scheme);
        let url = url.map_or(Some(None), |read| read.map(Some))?;
        if url.is_none() && scheme.needs_public_url() {
            return None;
        }
        match Verifier::partial(Arc::clone(scheme), scheme.fitting(keys), unread, url) {
            Ok(verifier) => {
                let claims = claims?;
                let claims = claims.iter().map(|(path, values)| (path.as_str(), values.clone()));
                Some(Verification::Signed(Box::new(verifier.with_claims(claims))))
            }
            Err(problem) => {
                let (span, list) = match claim.public_keys {
                    Some(keys) => (Some(keys.span()), "public_keys"),
                    None => (claim.secrets.map(Spanned::span), "secrets"),
                };
                let help = "compare it with what the provider shows; `dmz-relay providers NAME` says what a secret or a public key looks like";
                self.problems.add(span, join(key, list), problem.to_string(), Some(help.to_owned()));
                None
            }
        }
    }

    /// What the route says of claims that the scheme leaves to it.
    fn claims(
        &mut self,
        name: &Spanned<String>,
        claim: Claim<'_>,
        key: &str,
        scheme: &Scheme,
    ) -> Option<Vec<(String, Vec<Box<str>>)>> {
        let wanted = scheme.claims_of_route();
        let (key, before) = (join(key, "claims"), self.problems.len());
        let mut found: Vec<(String, Vec<Box<str>>)> = Vec::new();
        for (path, values) in claim.claims.into_iter().flatten() {
            let texts: Vec<Box<str>> = values.get_ref().iter().map(|text| text.get_ref().as_str().into()).collect();
            if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
                self.reject(
                    values,
                    &join(&key, path.get_ref()),
                    "expected one or more texts",
                    "for instance [\"https://…\"]",
                );
            } else if wanted.contains(path.get_ref()) {
                found.push((path.get_ref().clone(), texts));
            } else if !claim.observes {
                let what = format!("\"{}\" is no claim that the scheme leaves to the route", shown(path.get_ref()));
                let help = match &*wanted {
                    [] => "leave claims out: it is for signed tokens of schemes that say so".to_owned(),
                    wanted => format!("it leaves {} to it", wanted.join(", ")),
                };
                self.reject(path, &join(&key, path.get_ref()), what, help);
            }
        }
        for path in wanted.iter().filter(|path| !found.iter().any(|(known, _)| known == *path)) {
            let what = format!(
                "does not say what the claim {path} of a token must be, and the scheme leaves that to the route"
            );
            self.reject(
                name,
                &key,
                what,
                format!("write claims = {{ {path} = [\"…\"] }}; `dmz-relay providers NAME` says what stands there"),
            );
        }
        (self.problems.len() == before).then_some(found)
    }

    fn public_url(&mut self, at: &Spanned<String>, key: &str) -> Option<PublicUrl> {
        match PublicUrl::parse(at.get_ref()) {
            Ok(url) => Some(url),
            Err(expected) => {
                let what = format!("expected {expected}, found \"{}\"", shown(at.get_ref()));
                self.reject(at, key, what, "write it exactly as the provider has it");
                None
            }
        }
    }

    fn unverified<T>(&mut self, at: &Spanned<T>, claim: Claim<'_>, key: &str) -> Option<Proven> {
        let what = "nothing proves that requests of this route are genuine";
        self.warn(at, &join(key, "verify.dangerously_none"), what, "use the provider's scheme as soon as it has one");
        let what = "stands beside verify.dangerously_none, which checks none";
        if let Some(secrets) = claim.secrets {
            self.reject(secrets, &join(key, "secrets"), what, "remove secrets, or name a scheme");
            return None;
        }
        if let Some(keys) = claim.public_keys {
            self.reject(keys, &join(key, "public_keys"), what, "remove public_keys, or name a scheme");
            return None;
        }
        let (verify, suggested) = (Verification::DangerouslyNone, Suggested::default());
        Some(Proven { provider: None, verify, verified_by: None, suggested })
    }

    /// A route's secrets and public keys are read whatever else is wrong with it, so that their problems are reported in the same run.
    fn secrets(&mut self, claim: Claim<'_>, key: &str) -> Secrets {
        if claim.secrets.is_none() && claim.public_keys.is_none() {
            return Secrets::Absent;
        }
        let before = self.problems.len();
        let gaps = self.gaps.len();
        let secrets = claim.secrets.map(|list| self.keys(list, &join(key, "secrets")));
        let public = claim.public_keys.map(|list| self.public_keys(list, &join(key, "public_keys")));
        let keys: Vec<Key> = secrets.into_iter().chain(public).flatten().collect();
        let unread = self.gaps.split_off(gaps);
        if self.problems.len() == before { Secrets::Read { keys, unread } } else { Secrets::Told }
    }
}

/// How a route's requests are to prove that they are genuine, or will have to.
#[derive(Clone, Copy)]
pub(super) struct Claim<'r> {
    pub(super) provider: Option<&'r Spanned<String>>,
    pub(super) verify: Option<&'r Spanned<RawVerify>>,
    pub(super) secrets: Option<&'r Spanned<Vec<Spanned<RawSecretEntry>>>>,
    pub(super) public_keys: Option<&'r RawPublicKeys>,
    pub(super) public_url: Option<&'r Spanned<String>>,
    pub(super) claims: Option<&'r RawClaims>,
    /// It is judged by two schemes, and `claims` may be for the other one.
    pub(super) observes: bool,
    /// Whether the same route was judged by the same scheme before, so that nothing is said of it twice.
    pub(super) scheme: Same,
}

/// A scheme that was seen before, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Same {
    /// It was not.
    New,
    /// It was, and what is doubtful about it was said.
    Known,
    /// It was, and its problems were reported.
    Refused,
}

impl<'r> Claim<'r> {
    /// What the route asks for now.
    pub(super) fn of(raw: &'r RawRoute) -> Self {
        Self {
            provider: raw.provider.as_ref(),
            verify: raw.verify.as_ref(),
            secrets: raw.secrets.as_ref(),
            public_keys: raw.public_keys.as_ref(),
            public_url: raw.public_url.as_ref(),
            claims: raw.claims.as_ref(),
            observes: raw.observe.is_some(),
            scheme: Same::New,
        }
    }
}

/// What became of a route's secrets.
enum Secrets {
    Absent,
    /// They have problems, which were reported.
    Told,
    Read {
        keys: Vec<Key>,
        /// Ids of those that were left out.
        unread: Vec<Arc<str>>,
    },
}

/// Addresses that the provider publishes.
pub(super) fn published(recipe: &Recipe) -> Networks {
    recipe.addresses.iter().copied().collect()
}
