//! Configured tokens, found in any text: one pass, however many there are.
//!
//! The first eight bytes of each token are a number; the same is computed at every place of the text, and only where it is known
//! a token is compared. Shorter tokens are found by their names alone: they would stand in too much that is none.

use std::ops::Range;

use crate::base::Secret;

const START: usize = 8;

/// The tokens, and which starts they have.
#[derive(Default)]
pub(super) struct Tokens {
    secrets: Vec<Secret>,
    /// Of each start: its number, and whose it is. Sorted.
    starts: Vec<(u32, usize)>,
    /// A bit for the numbers that occur, so that nearly every place is ruled out by one look.
    known: Vec<u64>,
    /// Chosen by chance: the numbers say nothing of a token to whoever sees them.
    seed: u64,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.secrets.len())
    }
}

impl Tokens {
    pub(super) fn new(secrets: Vec<Secret>) -> Self {
        let secrets: Vec<Secret> = secrets.into_iter().filter(|secret| secret.len() >= START).collect();
        let seed = fastrand::u64(..) | 1;
        let number = |secret: &Secret| secret.expose().first_chunk().map(|start| number(seed, start));
        let mut starts: Vec<(u32, usize)> =
            secrets.iter().enumerate().filter_map(|(at, secret)| Some((number(secret)?, at))).collect();
        starts.sort_unstable();
        let mut known = vec![0; if starts.is_empty() { 0 } else { starts.len().next_power_of_two() }];
        for (number, _) in &starts {
            let (word, bit) = place(*number, known.len());
            if let Some(word) = known.get_mut(word) {
                *word |= bit;
            }
        }
        Self { secrets, starts, known, seed }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether one of them stands in a text.
    pub(super) fn found_in(&self, text: &[u8]) -> bool {
        self.next(text, 0).is_some()
    }

    /// Where they stand.
    pub(super) fn ranges(&self, text: &[u8]) -> Vec<Range<usize>> {
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(range) = self.next(text, from) {
            from = range.end;
            found.push(range);
        }
        found
    }

    fn next(&self, text: &[u8], from: usize) -> Option<Range<usize>> {
        if self.is_empty() {
            return None;
        }
        let rest = text.get(from..)?;
        for (at, window) in rest.windows(START).enumerate() {
            let Some(start) = window.first_chunk() else { break };
            let number = number(self.seed, start);
            let (word, bit) = place(number, self.known.len());
            if self.known.get(word).is_none_or(|known| known & bit == 0) {
                continue;
            }
            let first = self.starts.partition_point(|(known, _)| *known < number);
            let same = self.starts.iter().skip(first).take_while(|(known, _)| *known == number);
            let here = rest.get(at..).unwrap_or_default();
            let longest = same
                .filter_map(|(_, whose)| self.secrets.get(*whose))
                .filter(|secret| here.starts_with(secret.expose()))
                .map(Secret::len)
                .max();
            if let Some(length) = longest {
                return Some(from + at..from + at + length);
            }
        }
        None
    }
}

fn number(seed: u64, start: &[u8; START]) -> u32 {
    let mixed = (u64::from_le_bytes(*start) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as u32
}

/// Word and bit of a number among this many words, a power of two.
fn place(number: u32, words: usize) -> (usize, u64) {
    ((number >> 6) as usize & words.wrapping_sub(1), 1 << (number & 63))
}
