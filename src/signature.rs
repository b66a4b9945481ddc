//! The scheme engine: recipe, secrets, time and bytes in; [`Proof`] or a refusal out.
//!
//! A scheme is data (see `docs/schemes.md` for the grammar). This module never reads a clock, never logs, never allocates
//! for the comparison, and never compares text: signatures are decoded to fixed-length bytes and compared in constant time.

use std::sync::Arc;

use crate::base::{Secret, UnixMillis};
use crate::domain::{Head, Refusal};

/// A route's scheme with its secrets.
#[derive(Debug)]
pub struct Verifier {}

/// A secret under the name by which logs and `Relay-Key` speak of it.
#[derive(Clone, Debug)]
pub struct Key {
    /// For instance `credential:dastra` or the configured `id`; never derived from the secret's bytes.
    pub id: Arc<str>,
    /// The secret as configured, before the scheme's decoding.
    pub secret: Secret,
}

/// What a genuine request proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The id of the key that matched.
    pub key: Arc<str>,
    /// The time the request carries, where its scheme has one.
    pub timestamp: Option<UnixMillis>,
    /// What replay memory knows the request by; never a signature in clear.
    pub dedupe: Option<Box<str>>,
}

impl Verifier {
    /// Checks one request over its raw bytes.
    pub fn verify(&self, _head: &Head, _body: &[u8], _now: UnixMillis) -> Result<Proof, Refusal> {
        todo!()
    }
}
