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

impl Outcome {
    /// How many kinds there are: one for each reason, and one for each outcome that needs none.
    pub const KINDS: usize = 5 + Refusal::ALL.len() + Fault::ALL.len() + Doubt::ALL.len();

    /// Its number among the kinds.
    pub fn kind(&self) -> usize {
        match self {
            Self::Delivered => 0,
            Self::Accepted => 1,
            Self::Challenge => 2,
            Self::Duplicate => 3,
            Self::ClientClosed => 4,
            Self::Refused(turned) => 5 + turned.refusal as usize,
            Self::Failed(fault) => 5 + Refusal::ALL.len() + *fault as usize,
            Self::Undecided(doubt) => 5 + Refusal::ALL.len() + Fault::ALL.len() + *doubt as usize,
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
        let reasons = Refusal::ALL.iter().map(|refusal| Outcome::from(*refusal));
        let faults = Fault::ALL.iter().map(|fault| Outcome::from(*fault));
        let plain =
            [Outcome::Delivered, Outcome::Accepted, Outcome::Challenge, Outcome::Duplicate, Outcome::ClientClosed];
        let doubts = Doubt::ALL.iter().map(|doubt| Outcome::Undecided(*doubt));
        let all = plain.into_iter().chain(reasons).chain(faults).chain(doubts);
        let kinds: Vec<usize> = all.map(|outcome| outcome.kind()).collect();
        assert_eq!(kinds, (0..Outcome::KINDS).collect::<Vec<_>>());
    }
}
