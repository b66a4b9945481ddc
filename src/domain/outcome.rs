//! What became of a request, and what the sender receives.

use std::time::Duration;

use bytes::Bytes;

use super::{Doubt, Fault, HistoryOutcome, Refusal, Turned, Unproven};

/// How a request ended. `pipeline::answer` turns it into an [`Answer`] in one exhaustive match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An upstream took it.
    Delivered,
    /// Made durable: it would survive a power loss, and is delivered asynchronously.
    Accepted,
    /// A provider's challenge, answered here.
    Challenge,
    /// A copy of a request that was delivered before: answered as success, not forwarded.
    Duplicate,
    /// The sender's fault.
    Refused(Turned),
    /// Nobody can tell whether it is genuine: a fault of ours.
    Undecided(Doubt),
    /// Ours, or the upstream's.
    Failed(Fault),
    /// The sender went away before there was anything to tell it.
    ClientClosed,
}

/// Those that need no reason, in the order of their numbers.
const PLAIN: [Outcome; 5] =
    [Outcome::Delivered, Outcome::Challenge, Outcome::Duplicate, Outcome::ClientClosed, Outcome::Accepted];

impl Outcome {
    /// How many kinds there are: one for each reason, and one for each outcome that needs none.
    pub const KINDS: usize = PLAIN.len() + Refusal::ALL.len() + Fault::ALL.len() + Doubt::ALL.len();

    /// One of each kind, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.iter().map(|refusal| Self::from(*refusal));
        let failed = Fault::ALL.iter().map(|fault| Self::from(*fault));
        let undecided = Doubt::ALL.iter().map(|doubt| Self::Undecided(*doubt));
        PLAIN.into_iter().chain(refused).chain(failed).chain(undecided)
    }

    /// The code of every reason.
    pub fn reasons() -> impl Iterator<Item = &'static str> {
        Self::all().map(|outcome| outcome.reason()).filter(|reason| !reason.is_empty())
    }

    /// Its number among the kinds.
    pub fn kind(&self) -> usize {
        match self {
            Self::Delivered => 0,
            Self::Challenge => 1,
            Self::Duplicate => 2,
            Self::ClientClosed => 3,
            Self::Accepted => 4,
            Self::Refused(turned) => PLAIN.len() + turned.refusal as usize,
            Self::Failed(fault) => PLAIN.len() + Refusal::ALL.len() + *fault as usize,
            Self::Undecided(doubt) => PLAIN.len() + Refusal::ALL.len() + Fault::ALL.len() + *doubt as usize,
        }
    }

    /// The metric label.
    pub fn as_str(&self) -> &'static str {
        HistoryOutcome::from(self).as_str()
    }

    /// The reason code, empty for what needs none.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(turned) => turned.refusal.code(),
            Self::Undecided(doubt) => doubt.code(),
            Self::Failed(fault) => fault.code(),
            Self::Delivered | Self::Accepted | Self::Challenge | Self::Duplicate | Self::ClientClosed => "",
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Turned> for Outcome {
    fn from(turned: Turned) -> Self {
        Self::Refused(turned)
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<Unproven> for Outcome {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Refused(refusal) => refusal.into(),
            Unproven::Undecided(doubt) => Self::Undecided(doubt),
        }
    }
}

/// What goes back to the sender. The edge adds `X-Request-Id`, `Date` and `Content-Length`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; fixed texts for everything but what a route passes through.
    pub body: Bytes,
    /// `Content-Type` of a body that is not empty.
    pub content_type: Option<Bytes>,
    /// `Content-Encoding` of a body that is passed on as it came.
    pub content_encoding: Option<Bytes>,
    /// `Allow`, on 405.
    pub allow: Option<&'static str>,
    /// Further fields, of challenges.
    pub headers: Vec<(Box<str>, Bytes)>,
    /// `Retry-After`, rounded up to whole seconds on the wire.
    pub retry_after: Option<Duration>,
    /// Whether the connection must end after this: true for anything that may have left bytes unread.
    pub close: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_number_of_its_own() {
        let kinds: Vec<usize> = Outcome::all().map(|outcome| outcome.kind()).collect();
        assert_eq!(kinds, (0..Outcome::KINDS).collect::<Vec<_>>());
    }
}
