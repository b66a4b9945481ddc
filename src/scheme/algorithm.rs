//! Hash functions, keyed and plain, and the fixed-length value they give.
//!
//! The families are closed and chosen by configuration; nothing that a request says selects one.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// The longest tag in bytes, SHA-512's.
pub(crate) const MAX_TAG: usize = 64;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// Every one, in the order in which documentation lists them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// From its name in a recipe.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Its name in a recipe.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of its value in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The plain digest of some bytes.
    pub(crate) fn digest(self, bytes: &[u8]) -> Tag {
        let mut state = State::plain(self);
        state.update(bytes);
        state.finish()
    }
}

/// A value of fixed length: a MAC or a digest. It is compared in constant time and never printed.
#[derive(Clone, Copy)]
pub(crate) struct Tag {
    bytes: [u8; MAX_TAG],
    /// A byte, because `subtle` selects those.
    len: u8,
}

impl Tag {
    /// Takes over at most [`MAX_TAG`] bytes; `None` for more.
    pub(crate) fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_TAG];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, len: u8::try_from(from.len()).ok()? })
    }

    /// No bytes.
    pub(crate) const EMPTY: Self = Self { bytes: [0; MAX_TAG], len: 0 };

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The whole buffer, in steps that `subtle` takes as fast as it takes bytes.
    fn words(&self) -> [u64; MAX_TAG / 8] {
        let (words, _) = self.bytes.as_chunks();
        std::array::from_fn(|at| words.get(at).copied().map_or(0, u64::from_ne_bytes))
    }

    /// Overwrites this with `other` when `choice` is set, in constant time. Both have one length wherever it matters.
    pub(crate) fn conditional_assign(&mut self, other: &Self, choice: Choice) {
        let (to, _) = self.bytes.as_chunks_mut();
        for (to, from) in to.iter_mut().zip(&other.words()) {
            let mut word = u64::from_ne_bytes(*to);
            word.conditional_assign(from, choice);
            *to = word.to_ne_bytes();
        }
        self.len.conditional_assign(&other.len, choice);
    }
}

impl ConstantTimeEq for Tag {
    /// The whole buffer is compared whatever the lengths; unused bytes are zero.
    fn ct_eq(&self, other: &Self) -> Choice {
        self.words().as_slice().ct_eq(other.words().as_slice()) & self.len.ct_eq(&other.len)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(…)")
    }
}

/// A hash in progress. For an HMAC the key is absorbed already: a request clones the state and never sees the key.
#[derive(Clone)]
pub(crate) enum State {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl State {
    /// An HMAC keyed with `key`. RustCrypto takes keys of every length; `None` cannot happen and is no panic either.
    pub(crate) fn keyed(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        Some(match algorithm {
            Algorithm::Sha1 => Self::HmacSha1(Hmac::new_from_slice(key).ok()?),
            Algorithm::Sha256 => Self::HmacSha256(Hmac::new_from_slice(key).ok()?),
            Algorithm::Sha384 => Self::HmacSha384(Hmac::new_from_slice(key).ok()?),
            Algorithm::Sha512 => Self::HmacSha512(Hmac::new_from_slice(key).ok()?),
        })
    }

    /// A plain digest.
    pub(crate) fn plain(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Feeds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::HmacSha1(state) => Mac::update(state, bytes),
            Self::HmacSha256(state) => Mac::update(state, bytes),
            Self::HmacSha384(state) => Mac::update(state, bytes),
            Self::HmacSha512(state) => Mac::update(state, bytes),
            Self::Sha1(state) => Digest::update(state, bytes),
            Self::Sha256(state) => Digest::update(state, bytes),
            Self::Sha384(state) => Digest::update(state, bytes),
            Self::Sha512(state) => Digest::update(state, bytes),
        }
    }

    /// The value.
    pub(crate) fn finish(self) -> Tag {
        let tag = match self {
            Self::HmacSha1(state) => Tag::new(&state.finalize().into_bytes()),
            Self::HmacSha256(state) => Tag::new(&state.finalize().into_bytes()),
            Self::HmacSha384(state) => Tag::new(&state.finalize().into_bytes()),
            Self::HmacSha512(state) => Tag::new(&state.finalize().into_bytes()),
            Self::Sha1(state) => Tag::new(&state.finalize()),
            Self::Sha256(state) => Tag::new(&state.finalize()),
            Self::Sha384(state) => Tag::new(&state.finalize()),
            Self::Sha512(state) => Tag::new(&state.finalize()),
        };
        tag.unwrap_or(Tag::EMPTY)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(tag: &Tag) -> String {
        data_encoding::HEXLOWER.encode(tag.as_bytes())
    }

    #[test]
    fn digests_are_the_published_ones() {
        assert_eq!(hex(&Algorithm::Sha1.digest(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            hex(&Algorithm::Sha256.digest(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.digest(b"").as_bytes().len(), algorithm.len());
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
    }

    /// RFC 4231, test case 2.
    #[test]
    fn hmacs_are_the_published_ones() {
        let mut state = State::keyed(Algorithm::Sha256, b"Jefe").unwrap();
        state.update(b"what do ya want ");
        state.update(b"for nothing?");
        assert_eq!(hex(&state.finish()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn tags_of_other_lengths_differ() {
        let (short, long) = (Tag::new(&[0; 20]).unwrap(), Tag::new(&[0; 32]).unwrap());
        assert!(!bool::from(short.ct_eq(&long)));
        assert!(Tag::new(&[0; 65]).is_none());
    }
}
