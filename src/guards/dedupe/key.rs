//! What a request is known by.

use sha2::{Digest, Sha256};

use super::shards::SHARDS;

/// What dedupe memory knows a request by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupeKey(u128);

impl DedupeKey {
    /// The key of what one secret proved on one route. Neither the route's name nor `id` holds the byte between.
    pub fn new(route: &str, secret: &str, id: &str) -> Self {
        let parts = [route.as_bytes(), &[0], secret.as_bytes(), &[0], id.as_bytes()];
        let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
        let mut first = [0; 16];
        first.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Self(u128::from_be_bytes(first))
    }

    /// As the store keeps it.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// As the store kept it.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub(super) fn shard(self) -> usize {
        usize::try_from(self.0 % SHARDS as u128).unwrap_or_default()
    }
}
