//! `[routes.<name>.observe]`: what a route is going to ask for, judged beside what it asks for now.

use toml::Spanned;

use super::super::recipes::{Claim, Same};
use super::super::values::join;
use super::super::{Compiler, Named};
use crate::config::raw::RawRoute;
use crate::runtime::snapshot::{Observed, Verification};

impl Compiler<'_> {
    pub(super) fn observed(
        &mut self,
        name: &Spanned<String>,
        raw: &RawRoute,
        key: &str,
        named: &Named,
        is_proven: bool,
    ) -> Option<Box<Observed>> {
        let at = raw.observe.as_ref()?;
        let (observe, key) = (at.get_ref(), join(key, "observe"));
        let headers = self.required_headers(observe.headers.as_ref(), &join(&key, "headers"));
        let names_scheme = observe.provider.is_some() || observe.verify.is_some();
        let keys = (observe.secrets.as_ref(), observe.public_keys.as_ref());
        if !names_scheme && keys.0.is_none() && keys.1.is_none() {
            if headers.is_empty() {
                let help = "name a provider or verify with secrets, other secrets, or headers; or leave observe out";
                self.reject(at, &key, "there is nothing to observe", help);
                return None;
            }
            self.not_in_force(at, &key);
            return Some(Box::new(Observed { verify: None, headers }));
        }
        let claim = Claim { secrets: keys.0, public_keys: keys.1, ..Claim::of(raw) };
        let is_same = |one: &Spanned<String>, other: &Spanned<String>| one.get_ref() == other.get_ref();
        let claim = if names_scheme {
            let same =
                observe.provider.as_ref().zip(raw.provider.as_ref()).is_some_and(|(one, other)| is_same(one, other));
            let scheme = if same { Same::Known } else { Same::New };
            Claim { provider: observe.provider.as_ref(), verify: observe.verify.as_ref(), scheme, ..claim }
        } else {
            // The scheme of today, with other secrets.
            Claim { scheme: if is_proven { Same::Known } else { Same::Refused }, ..claim }
        };
        let proven = self.proven(name, claim, &key, named)?;
        match proven.verify {
            Verification::Signed(verify) => {
                self.not_in_force(at, &key);
                Some(Box::new(Observed { verify: Some(verify), headers }))
            }
            Verification::DangerouslyNone => {
                let help = "name the scheme that the route is going to ask for";
                self.reject(at, &key, "verify.dangerously_none refuses nobody: there is nothing to observe", help);
                None
            }
        }
    }

    fn not_in_force<T>(&mut self, at: &Spanned<T>, key: &str) {
        let what = "it refuses nobody: what it would refuse is only counted and logged";
        self.warn(at, key, what, "move it to the route once the counts show what you expect");
    }
}
