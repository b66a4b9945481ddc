//! Algorithms of signed tokens (RFC 7518, RFC 8037). Closed, and chosen by configuration: what a token says is compared with it.

use crate::scheme::algorithm::Algorithm;
use crate::scheme::check::public_key::KeyAlgorithm;

/// An algorithm, and whether its keys are secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwtAlgorithm {
    Shared(Algorithm),
    Public(KeyAlgorithm),
}

impl JwtAlgorithm {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 13] = [
        Self::Shared(Algorithm::Sha256),
        Self::Shared(Algorithm::Sha384),
        Self::Shared(Algorithm::Sha512),
        Self::Public(KeyAlgorithm::RsaSha256),
        Self::Public(KeyAlgorithm::RsaSha384),
        Self::Public(KeyAlgorithm::RsaSha512),
        Self::Public(KeyAlgorithm::RsaPssSha256),
        Self::Public(KeyAlgorithm::RsaPssSha384),
        Self::Public(KeyAlgorithm::RsaPssSha512),
        Self::Public(KeyAlgorithm::EcdsaP256Fixed),
        Self::Public(KeyAlgorithm::EcdsaP384Fixed),
        Self::Public(KeyAlgorithm::EcdsaP521Fixed),
        Self::Public(KeyAlgorithm::Ed25519),
    ];

    /// Its name in a token and in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Shared(Algorithm::Sha384) => "HS384",
            Self::Shared(Algorithm::Sha512) => "HS512",
            Self::Shared(Algorithm::Sha256 | Algorithm::Sha1) => "HS256",
            Self::Public(algorithm) => algorithm.jose(),
        }
    }

    /// Whether a signature can have this many bytes.
    pub(super) fn fits(self, length: usize) -> bool {
        match self {
            Self::Shared(algorithm) => length == algorithm.len(),
            Self::Public(algorithm) => algorithm.fits(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = JwtAlgorithm::ALL.iter().map(|one| one.as_str()).collect();
        assert_eq!(names.len(), JwtAlgorithm::ALL.len());
    }
}
