//! How many relays a request has passed: what ends a loop of them that dedupe memory does not see.
//!
//! Each relay writes one more into `Relay-Hops` than it read. A sender may write it too, and gets nothing by it but its own
//! request refused; what it wrote is counted on, and never passes as it stands.

use crate::domain::{Head, Refusal};

/// The field.
pub(crate) const FIELD: &str = "Relay-Hops";
/// A relay before another one, and one more of each: nobody needs a longer way, and a loop ends after this many rounds.
pub(crate) const MOST: u8 = 4;

/// How many relays it passed before this one. What is no number of them counts as too many: only a relay writes this field.
pub(crate) fn passed(head: &Head) -> u8 {
    match head.headers().sole(FIELD) {
        Ok(None) => 0,
        Ok(Some([digit])) if digit.is_ascii_digit() => digit - b'0',
        Ok(Some(_)) | Err(_) => MOST,
    }
}

pub(crate) fn check(head: &Head) -> Result<(), Refusal> {
    if passed(head) < MOST { Ok(()) } else { Err(Refusal::LoopDetected) }
}

/// What the next one shall read.
pub(super) fn next(head: &Head) -> u8 {
    passed(head).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Method, Version};

    fn head(fields: &[&str]) -> Head {
        let head = Head::builder(Method::Post, Version::Http11).target("/").host("a");
        fields.iter().fold(head, |head, value| head.header("relay-hops", value.as_bytes())).build()
    }

    #[test]
    fn it_counts_to_the_end_and_no_further() {
        for (fields, passed, sent, admitted) in [
            (&[][..], 0, 1, true),
            (&["1"], 1, 2, true),
            (&["3"], 3, 4, true),
            (&["4"], 4, 5, false),
            (&["9"], 9, 10, false),
            (&["10"], 4, 5, false),
            (&[""], 4, 5, false),
            (&["-1"], 4, 5, false),
            (&["1", "1"], 4, 5, false),
        ] {
            let head = head(fields);
            assert_eq!((super::passed(&head), next(&head)), (passed, sent), "{fields:?}");
            assert_eq!(check(&head).is_ok(), admitted, "{fields:?}");
        }
    }
}
