//! How the sends of one request are numbered.

use std::sync::atomic::{AtomicU32, Ordering};

/// The `Relay-Attempt` numbers of one attempt to deliver: no two sends of a request carry the same one.
///
/// One attempt may send more than once: to the next server, or over a new connection where a kept one was dead. Each send
/// takes the next number. The caller reads afterwards which was the last one, also when the attempt was cut off.
#[derive(Debug)]
pub struct Sends {
    first: u32,
    begun: AtomicU32,
}

impl Sends {
    /// More than that are never made in one attempt. So who does not know how many an interrupted attempt made can skip the
    /// numbers that it may have used.
    pub const MOST: u32 = 16;

    /// The first send of this attempt carries this number.
    pub const fn from(first: u32) -> Self {
        Self { first, begun: AtomicU32::new(0) }
    }

    /// The number for a send that begins now.
    pub fn begin(&self) -> u32 {
        // One task writes; others only look afterwards.
        let begun = self.begun();
        self.begun.store(begun.saturating_add(1), Ordering::Relaxed);
        self.first.saturating_add(begun)
    }

    /// How many there were.
    pub fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether this attempt makes no more of them.
    pub fn are_used_up(&self) -> bool {
        self.begun() >= Self::MOST
    }

    /// The number of the last send. Where nothing was sent, the one that the first would have had: the next attempt begins
    /// behind it in either case.
    pub fn last(&self) -> u32 {
        self.first.saturating_add(self.begun().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_send_has_a_number_of_its_own_and_the_last_one_is_known() {
        let sends = Sends::from(4);
        assert_eq!((sends.last(), sends.begun()), (4, 0));
        assert_eq!([sends.begin(), sends.begin(), sends.begin()], [4, 5, 6]);
        assert_eq!((sends.last(), sends.begun()), (6, 3));
    }

    #[test]
    fn one_attempt_makes_a_known_number_of_sends_at_most() {
        let sends = Sends::from(1);
        for _ in 0..Sends::MOST {
            assert!(!sends.are_used_up());
            sends.begin();
        }
        assert!(sends.are_used_up());
        assert_eq!(sends.last(), Sends::MOST);
    }
}
