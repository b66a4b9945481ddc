//! The handshakes of a route's provider, and the secret that some of them need.

use std::sync::Arc;

use toml::Spanned;

use super::super::Compiler;
use super::super::values::join;
use crate::base::Secret;
use crate::config::raw::{RawRoute, RawSecretEntry};
use crate::runtime::snapshot::{Challenge, Verification};
use crate::scheme::Handshake;

impl Compiler<'_> {
    /// Those that can be answered.
    pub(super) fn challenges(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        handshakes: &[Arc<Handshake>],
        verify: Option<&Verification>,
    ) -> Vec<Challenge> {
        let key = join(key, "handshake_secret");
        let needed = handshakes.iter().find(|handshake| handshake.needs_secret());
        let secret = raw.handshake_secret.as_ref().and_then(|at| self.handshake_secret(at, &key));
        match (&raw.handshake_secret, needed, verify) {
            (None, Some(handshake), _) => {
                let what = format!("is missing, so the provider's handshake ({}) is not answered", handshake.told_by());
                let help = "write handshake_secret = { file = \"…\" }, with what you enter at the provider; leave it so where the \
                            handshake was done already";
                self.warn(name, &key, what, help);
            }
            (Some(at), None, Some(_)) => {
                let what = "is for handshakes that the provider proves with a secret of its own, and this one has none";
                self.reject(at, &key, what, "remove it");
            }
            _ => {}
        }
        if let (Some(at), Some(secret), Some(Verification::Signed(verifier))) = (&raw.handshake_secret, &secret, verify)
            && verifier.has_secret(secret)
        {
            let what = "is one of the route's secrets: whoever learns one has the other";
            self.reject(at, &key, what, "choose another one, and enter it at the provider");
        }
        let answered = handshakes.iter().filter(|handshake| secret.is_some() || !handshake.needs_secret());
        let challenge = |handshake: &Arc<Handshake>| Challenge {
            handshake: Arc::clone(handshake),
            secret: secret.clone().filter(|_| handshake.needs_secret()),
        };
        answered.map(challenge).collect()
    }

    fn handshake_secret(&mut self, at: &Spanned<RawSecretEntry>, key: &str) -> Option<Secret> {
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
