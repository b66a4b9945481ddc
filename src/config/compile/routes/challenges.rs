//! The challenges of a route's provider, and the secret that some of them need.

use std::sync::Arc;

use toml::Spanned;

use super::super::Compiler;
use super::super::values::join;
use crate::base::Secret;
use crate::config::raw::{RawRoute, RawSecretEntry};
use crate::runtime::snapshot::{RouteChallenge, Verification};
use crate::scheme::Challenge;

impl Compiler<'_> {
    /// Those that can be answered.
    pub(super) fn challenges(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        challenges: &[Arc<Challenge>],
        verify: Option<&Verification>,
    ) -> Vec<RouteChallenge> {
        let key = join(key, "challenge_secret");
        let needed = challenges.iter().find(|challenge| challenge.needs_secret());
        let secret = raw.challenge_secret.as_ref().and_then(|at| self.challenge_secret(at, &key));
        match (&raw.challenge_secret, needed, verify) {
            (None, Some(challenge), _) => {
                let what = format!("is missing, so the provider's challenge ({}) is not answered", challenge.told_by());
                let help = "write challenge_secret = { file = \"…\" }, with what you enter at the provider; leave it so where the \
                            challenge was done already";
                self.warn(name, &key, what, help);
            }
            (Some(at), None, Some(_)) => {
                let what = "is for challenges that the provider proves with a secret of its own, and this one has none";
                self.reject(at, &key, what, "remove it");
            }
            _ => {}
        }
        if let (Some(at), Some(secret), Some(Verification::Signed(verifier))) = (&raw.challenge_secret, &secret, verify)
            && verifier.has_secret(secret)
        {
            let what = "is one of the route's secrets: whoever learns one has the other";
            self.reject(at, &key, what, "choose another one, and enter it at the provider");
        }
        let answered = challenges.iter().filter(|challenge| secret.is_some() || !challenge.needs_secret());
        let answered_with = |challenge: &Arc<Challenge>| RouteChallenge {
            challenge: Arc::clone(challenge),
            secret: secret.clone().filter(|_| challenge.needs_secret()),
        };
        answered.map(answered_with).collect()
    }

    fn challenge_secret(&mut self, at: &Spanned<RawSecretEntry>, key: &str) -> Option<Secret> {
        let RawSecretEntry::Reference(reference) = at.get_ref() else {
            let help = "write { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }";
            self.reject(at, key, "a secret never stands in this file", help);
            return None;
        };
        let (id, secret) = self.secret(at, reference, key)?;
        if self.left_out(&id) {
            return None;
        }
        self.doubtful(at, key, &id, &secret);
        Some(secret)
    }
}
