//! What came of an action over the admin socket or by a signal.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What came of an action: one word for each, the same in log, metric, history, API and commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionResult {
    /// It was done.
    Done,
    /// The caller may ask for it, and it could not be done.
    Failed,
    /// The caller has no role for it.
    Refused,
    /// Another version of this program wrote a word that this one does not know.
    Unknown,
}

impl ActionResult {
    /// Every one that this version writes.
    pub const ALL: [Self; 3] = [Self::Done, Self::Failed, Self::Refused];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }

    /// The result of a word.
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|known| known.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl Serialize for ActionResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ActionResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Ok(Self::parse(&word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_wrote_it() {
        for result in ActionResult::ALL {
            assert_eq!(ActionResult::parse(result.as_str()), result);
        }
        for unknown in ["", "Done", "undone", "unknown"] {
            assert_eq!(ActionResult::parse(unknown), ActionResult::Unknown);
        }
    }
}
