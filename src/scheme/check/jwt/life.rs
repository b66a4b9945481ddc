//! When a token is good: not before `nbf`, not after `exp`, give or take the leeway.

use super::JwtSpec;
use crate::base::UnixMillis;
use crate::domain::Refusal;
use crate::scheme::source::Facts;

/// A limit that a token has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scheme) struct Life {
    /// `exp` or `nbf`.
    pub(in crate::scheme) claim: &'static str,
    pub(in crate::scheme) at: UnixMillis,
}

impl JwtSpec {
    /// The limits that the token has.
    pub(in crate::scheme) fn limits(&self, facts: &Facts<'_>) -> Result<Vec<Life>, Refusal> {
        let dates = facts.token()?.dates;
        let limits = [("exp", dates.exp), ("nbf", dates.nbf)];
        Ok(limits.into_iter().filter_map(|(claim, at)| Some(Life { claim, at: at? })).collect())
    }

    /// Whether the token is good at this moment.
    pub(in crate::scheme) fn check_life(&self, facts: &Facts<'_>, now: UnixMillis) -> Result<(), Refusal> {
        self.limits(facts)?.into_iter().try_for_each(|life| self.check_limit(life, now))
    }

    pub(in crate::scheme) fn check_limit(&self, life: Life, now: UnixMillis) -> Result<(), Refusal> {
        match life.claim {
            "exp" if now >= life.at.plus(self.leeway) => Err(Refusal::TimestampStale),
            "nbf" if now.plus(self.leeway) < life.at => Err(Refusal::TimestampAhead),
            _ => Ok(()),
        }
    }
}
