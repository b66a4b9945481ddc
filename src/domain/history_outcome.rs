//! What became of a request, as the history has it.

use super::Outcome;
use super::words::words;

words! {
    /// The outcome of a request's answer, or what came of its delivery later. One word for each, the same in the log, the history,
    /// the API and the commands.
    HistoryOutcome {
        /// An upstream took it.
        Delivered = "delivered",
        /// Stored, and its sender has its success; it waits for delivery.
        Accepted = "accepted",
        /// Stored, and not tried any more: a dead letter.
        Dead = "dead",
        /// A dead letter, or one that waited, that an operator gave up.
        Discarded = "discarded",
        /// A provider's challenge, answered by the relay.
        Challenge = "challenge",
        /// A copy of a request that was there before: answered as success, not forwarded.
        Duplicate = "duplicate",
        /// The sender's fault; the reason says which.
        Refused = "refused",
        /// Nobody could tell whether it is genuine; the reason says why.
        Undecided = "undecided",
        /// A fault of the relay or of an upstream; the reason says which.
        Failed = "failed",
        /// The sender went away before there was anything to tell it.
        ClientClosed = "client_closed",
    }
}

impl HistoryOutcome {
    /// Whether every check of the gate let it pass.
    pub fn passed(self) -> bool {
        match self {
            Self::Delivered | Self::Accepted | Self::Dead | Self::Discarded | Self::Challenge | Self::Duplicate => true,
            Self::Refused | Self::Undecided | Self::Failed | Self::ClientClosed | Self::Unknown => false,
        }
    }

    /// Whether it may have been verified, so that it can be sent again where its proof is there. What failed, or whose sender
    /// went away, may have done so before it was verified.
    pub fn may_be_genuine(self) -> bool {
        match self {
            Self::Delivered
            | Self::Accepted
            | Self::Dead
            | Self::Discarded
            | Self::Duplicate
            | Self::Failed
            | Self::ClientClosed => true,
            Self::Challenge | Self::Refused | Self::Undecided | Self::Unknown => false,
        }
    }
}

impl std::fmt::Display for HistoryOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<&Outcome> for HistoryOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Accepted => Self::Accepted,
            Outcome::Challenge => Self::Challenge,
            Outcome::Duplicate => Self::Duplicate,
            Outcome::Refused(_) => Self::Refused,
            Outcome::Undecided(_) => Self::Undecided,
            Outcome::Failed(_) => Self::Failed,
            Outcome::ClientClosed => Self::ClientClosed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_leads_back_to_its_outcome() {
        for outcome in HistoryOutcome::ALL {
            assert_eq!(HistoryOutcome::parse(outcome.as_str()), outcome);
        }
        assert_eq!(HistoryOutcome::parse("redirected"), HistoryOutcome::Unknown);
    }
}
