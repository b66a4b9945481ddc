//! Which certificates are served, so that one that has expired is distinguished from one that is put in a valid one's place.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// By the digest of each leaf.
#[derive(Debug, Default)]
pub struct Certificates(Mutex<HashSet<[u8; 32]>>);

impl Certificates {
    /// Whether some are served and this one is not.
    pub fn would_replace(&self, leaf: &[u8; 32]) -> bool {
        let served = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !served.is_empty() && !served.contains(leaf)
    }

    /// These are served from now on, and no others.
    pub fn serve(&self, leaves: impl IntoIterator<Item = [u8; 32]>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = leaves.into_iter().collect();
    }
}
