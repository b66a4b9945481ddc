//! What came of an action over the admin socket or by a signal.

use super::words::words;

words! {
    /// What came of an action: one word for each, the same in log, metric, history, API and commands.
    ActionResult {
        /// It was done.
        Done = "done",
        /// The caller may ask for it, and it could not be done.
        Failed = "failed",
        /// The caller has no role for it.
        Refused = "refused",
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
