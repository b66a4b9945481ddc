//! Why nobody can say whether a request is genuine.

use super::refusal::{Refusal, codes};

codes! {
    /// Why the relay cannot judge a request. Never the sender's doing: it is asked to come again, and nothing is forwarded.
    Doubt {
        /// The clock says a time before this program was made, so that nothing can be said of a time that a request carries.
        ClockUnset = "clock_unset",
    }
}

/// What verification comes to when it is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It is not genuine.
    Refused(Refusal),
    /// It may be genuine.
    Undecided(Doubt),
}

impl Unproven {
    /// The reason code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Undecided(doubt) => doubt.code(),
        }
    }
}

impl From<Refusal> for Unproven {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Doubt> for Unproven {
    fn from(doubt: Doubt) -> Self {
        Self::Undecided(doubt)
    }
}
