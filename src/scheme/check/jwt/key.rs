//! Keys of signed tokens: parsed once for each algorithm that the configuration has and the key is for.

use super::JwtSpec;
use super::algorithm::JwtAlgorithm;
use crate::base::Secret;
use crate::scheme::Material;
use crate::scheme::algorithm::State;
use crate::scheme::check::public_key::{KeyAlgorithm, PublicKey, PublicKeyFault, pair, public};
use crate::scheme::key::{KeyFault, KeyMaterial, Side};

/// A key, for each algorithm that it may be used with.
#[derive(Debug)]
pub(in crate::scheme) struct JwtKey(Vec<(JwtAlgorithm, Usable)>);

/// A key for one algorithm.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a handful per route, made when a configuration is read")]
pub(in crate::scheme) enum Usable {
    /// Cloned per request.
    Shared(State),
    Public(Box<PublicKey>),
}

impl JwtKey {
    pub(super) fn usable(&self, algorithm: JwtAlgorithm) -> Option<&Usable> {
        self.0.iter().find(|(own, _)| *own == algorithm).map(|(_, usable)| usable)
    }

    /// The first of the configured algorithms that it may be used with.
    pub(in crate::scheme) fn first(&self) -> Option<(JwtAlgorithm, &Usable)> {
        self.0.first().map(|(algorithm, usable)| (*algorithm, usable))
    }

    /// How many bytes could be hashed in the time of one verification, about.
    pub(super) fn cost(&self) -> usize {
        let cost = |(_, usable): &(JwtAlgorithm, Usable)| match usable {
            Usable::Shared(_) => 0,
            Usable::Public(key) => key.cost(),
        };
        self.0.iter().map(cost).max().unwrap_or(0)
    }
}

/// The key for every algorithm that it is for.
pub(super) fn ready(spec: &JwtSpec, configured: &Secret, side: Side) -> Result<(Secret, Material), KeyFault> {
    let secret = if spec.is_public() { Secret::new(Vec::new()) } else { spec.key.derive(configured)? };
    let mut usable = Vec::new();
    let mut fault = None;
    for algorithm in &spec.algorithms {
        let key = match algorithm {
            JwtAlgorithm::Shared(hash) => Usable::Shared(State::keyed(*hash, secret.expose()).ok_or(KeyFault::Empty)?),
            JwtAlgorithm::Public(public) => match read(spec, *public, configured, side) {
                Ok(key) => Usable::Public(Box::new(key)),
                // A key of one family is none for the others that the scheme takes; of a private one that is all that is said.
                Err(other) if other.is_of_another_kind() || side == Side::Sender => {
                    fault = fault.or(Some(other));
                    continue;
                }
                Err(other) => return Err(KeyFault::Public(other)),
            },
        };
        usable.push((*algorithm, key));
    }
    match (usable.is_empty(), fault) {
        (true, Some(fault)) => Err(KeyFault::Public(fault)),
        _ => Ok((secret, Material::Jwt(JwtKey(usable)))),
    }
}

fn read(spec: &JwtSpec, algorithm: KeyAlgorithm, configured: &Secret, side: Side) -> Result<PublicKey, PublicKeyFault> {
    match side {
        Side::Receiver => public(algorithm, &spec.form, configured.expose()),
        Side::Sender => pair(algorithm, configured.expose()),
    }
}

/// What becomes of a secret.
pub(super) fn words(key: &KeyMaterial) -> String {
    let changes = [
        key.prefix.as_ref().map(|prefix| format!("without its prefix {prefix}")),
        key.encoding.map(|encoding| format!("decoded from {}", encoding.as_str())),
        key.suffix.as_ref().map(|suffix| format!("followed by {suffix}")),
        key.hash.map(|hash| format!("hashed with {}", hash.as_str())),
    ];
    let changes: Vec<String> = changes.into_iter().flatten().collect();
    if changes.is_empty() { "the secret's text".into() } else { format!("the secret, {}", changes.join(", ")) }
}
