//! Bytes that must never be seen: no `Display`, a `Debug` that says nothing, wiped on drop.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret. The only way to its bytes is [`Secret::expose`], so that a reviewer can find every use by that word.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one computation that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing in it; an empty secret is always a configuration problem.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Equality in time that depends on the lengths only.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_nothing_of_the_secret() {
        assert_eq!(format!("{:?}", Secret::new(b"canary".to_vec())), "Secret(…)");
    }

    #[test]
    fn matches_compares_whole_values() {
        let secret = Secret::new(b"abc".to_vec());
        assert!(secret.matches(b"abc"));
        assert!(!secret.matches(b"abd"));
        assert!(!secret.matches(b"ab"));
        assert!(!secret.matches(b""));
    }
}
