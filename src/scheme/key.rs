//! From a configured secret to the bytes that key the hash.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::algorithm::Algorithm;
use super::check::public_key::PublicKeyFault;
use super::encoding::Encoding;
use crate::base::Secret;

/// Who is to use a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The relay, which verifies.
    Receiver,
    /// Whoever signs, and has private keys where the relay has public ones.
    Sender,
}

/// A secret under the name by which logs and `Relay-Key` speak of it.
#[derive(Clone, Debug)]
pub struct Key {
    /// For instance `credential:dastra` or the configured `id`; never derived from the secret's bytes.
    pub id: Arc<str>,
    /// The secret as configured, before the scheme's decoding; a public key, for a scheme that has such.
    pub secret: Secret,
}

/// How a secret becomes a key, in this order: prefix off, decoded, suffix on, hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyMaterial {
    /// Taken off where it stands; a secret without it is used as it is.
    pub(crate) prefix: Option<Box<str>>,
    /// `None`: the text itself.
    pub(crate) encoding: Option<Encoding>,
    /// Put behind (Fitbit's `&`).
    pub(crate) suffix: Option<Box<str>>,
    /// The key is the plain digest of what came so far.
    pub(crate) hash: Option<Algorithm>,
}

impl KeyMaterial {
    /// The key's bytes.
    pub(crate) fn derive(&self, secret: &Secret) -> Result<Secret, KeyFault> {
        let text = secret.expose();
        let text = self.prefix.as_ref().and_then(|prefix| text.strip_prefix(prefix.as_bytes())).unwrap_or(text);
        let mut bytes = Zeroizing::new(match self.encoding {
            None => text.to_vec(),
            Some(encoding) => encoding.decode(text).map_err(|_| KeyFault::Undecodable(encoding))?,
        });
        if bytes.is_empty() {
            return Err(KeyFault::Empty);
        }
        bytes.extend_from_slice(self.suffix.as_deref().unwrap_or_default().as_bytes());
        Ok(Secret::new(match self.hash {
            None => bytes.to_vec(),
            Some(algorithm) => algorithm.digest(&bytes).as_bytes().to_vec(),
        }))
    }
}

/// Why the secrets of a route cannot serve its scheme. Names a key, never its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// Which key; `None` when the problem is not one key's.
    pub key: Option<Arc<str>>,
    /// What is wrong.
    pub fault: KeyFault,
    /// Whether the scheme's keys are public ones.
    pub public: bool,
}

/// What is wrong with a secret, or with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Nothing in it, or nothing behind its prefix.
    Empty,
    /// Not in the encoding that the scheme wants.
    Undecodable(Encoding),
    /// Basic authentication needs `user:password`.
    NoColon,
    /// There is no secret.
    NoKey,
    /// More secrets than [`super::MAX_KEYS`].
    TooManyKeys,
    /// Two secrets have one id.
    RepeatedId,
    /// The scheme signs the public URL and the route has none.
    NoPublicUrl,
    /// It is no public key for the scheme.
    Public(PublicKeyFault),
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.public { "public key" } else { "secret" };
        if let Some(key) = &self.key {
            write!(f, "{what} `{key}`: ")?;
        }
        match self.fault {
            KeyFault::Empty => f.write_str("is empty"),
            KeyFault::Undecodable(encoding) => write!(f, "is not valid {}", encoding.as_str()),
            KeyFault::NoColon => f.write_str("is not of the form user:password"),
            KeyFault::NoKey => write!(f, "the scheme needs at least one {what}"),
            KeyFault::TooManyKeys => write!(f, "more than {} {what}s", super::MAX_KEYS),
            KeyFault::RepeatedId => write!(f, "another {what} has the same id"),
            KeyFault::NoPublicUrl => f.write_str("the scheme signs the public URL, and the route has no public_url"),
            KeyFault::Public(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for KeyProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(material: &KeyMaterial, secret: &str) -> Result<Vec<u8>, KeyFault> {
        material.derive(&Secret::new(secret.as_bytes().to_vec())).map(|key| key.expose().to_vec())
    }

    #[test]
    fn text_is_the_default() {
        assert_eq!(derive(&KeyMaterial::default(), "ok_whsec_1"), Ok(b"ok_whsec_1".to_vec()));
        assert_eq!(derive(&KeyMaterial::default(), ""), Err(KeyFault::Empty));
    }

    #[test]
    fn a_prefix_comes_off_before_decoding() {
        let material =
            KeyMaterial { prefix: Some("whsec_".into()), encoding: Some(Encoding::Base64), ..KeyMaterial::default() };
        assert_eq!(derive(&material, "whsec_AAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(derive(&material, "AAEC"), Ok(vec![0, 1, 2]));
        assert_eq!(derive(&material, "whsec_"), Err(KeyFault::Empty));
        assert_eq!(derive(&material, "whsec_A"), Err(KeyFault::Undecodable(Encoding::Base64)));
    }

    #[test]
    fn suffix_and_hash_come_last() {
        let material = KeyMaterial { suffix: Some("&".into()), ..KeyMaterial::default() };
        assert_eq!(derive(&material, "s"), Ok(b"s&".to_vec()));
        let material = KeyMaterial { hash: Some(Algorithm::Sha1), ..KeyMaterial::default() };
        assert_eq!(derive(&material, "s").unwrap(), Algorithm::Sha1.digest(b"s").as_bytes());
    }

    #[test]
    fn problems_name_the_key_only() {
        let problem =
            KeyProblem { key: Some("file:x".into()), fault: KeyFault::Undecodable(Encoding::Base64), public: false };
        assert_eq!(problem.to_string(), "secret `file:x`: is not valid base64");
    }
}
