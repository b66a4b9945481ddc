//! Sealing at rest: what senders wrote is unreadable without the configured key.
//!
//! AES-256-GCM-SIV (RFC 8452) with random nonces: one key may seal far more messages than plain GCM's 2^32, and should two
//! nonces ever meet, only the equality of two equal bodies would show. The key proper is derived from the configured
//! secret with HKDF-SHA256 (RFC 5869), and so is the eight-byte id that stands before each sealed blob. What is sealed is
//! bound to its row, its column, the request's route, the secret that proved the request, and the sealing key: a blob that was
//! moved to another place, and a row that was given another route or another proof, do not open. While a key is configured
//! nothing in clear text is opened either: whoever can write to the file cannot put a request of their own there.
//!
//! What is stored in clear text has a checksum over the same, so that nothing that the disk altered is ever sent to the upstream. It is no
//! protection against people: who can write the file can also compute it. A body answers for what else of its row goes
//! to the upstream with it, too, see [`Facts`].
//!
//! Deliberately absent: sealing of what an operator searches by (route, status, times, addresses, the provider's ids).

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;

use super::entry::Entry;
use super::settings::SealingKey;
use super::spool::StoredRequest;

/// What the first version wrote: in clear text, without a checksum.
const CLEAR: u8 = 0;
/// No flipped bit makes one marker of another.
const CHECKED: u8 = 0x5a;
const SEALED: u8 = 0xa5;
const SUM: usize = 16;
const KEY_ID: usize = 8;
const TAG: usize = 16;
/// Marker, key id, nonce; then ciphertext and tag.
const PREFIX: usize = 1 + KEY_ID + NONCE_LEN;

/// Names a key without saying anything of it.
type KeyId = [u8; KEY_ID];

/// Which column a blob belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Head = 1,
    Body = 2,
    /// What was blanked in both.
    Held = 3,
}

/// What a blob is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'p> {
    pub(super) kind: Kind,
    pub(super) row: i64,
    /// Empty where there is none.
    pub(super) route: &'p str,
    /// The id of the secret that matched; empty where none did.
    pub(super) proof: &'p str,
    /// What a body answers for.
    pub(super) facts: Facts,
}

/// A digest of what is forwarded with a body and lies in columns of its row: id, times, source. Route and proof are bound anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts([u8; SUM]);

impl Facts {
    /// For everything but bodies.
    pub(super) const NONE: Self = Self([0; SUM]);

    pub(super) fn of(entry: &Entry) -> Self {
        Self::digest(
            [&entry.request_id, entry.dedupe.as_deref().unwrap_or_default(), &entry.source.to_string()],
            [entry.received_at.0, entry.timestamp.map_or(i64::MIN, |at| at.0)],
            entry.https,
            entry.suffix,
        )
    }

    pub(super) fn of_stored(request: &StoredRequest) -> Self {
        Self::digest(
            [&request.request_id, request.dedupe.as_deref().unwrap_or_default(), &request.source.to_string()],
            [request.received_at.0, request.timestamp.map_or(i64::MIN, |at| at.0)],
            request.https,
            request.suffix,
        )
    }

    fn digest(words: [&str; 3], times: [i64; 2], https: bool, suffix: usize) -> Self {
        let mut context = digest::Context::new(&SHA256);
        for word in words {
            context.update(&(word.len() as u64).to_be_bytes());
            context.update(word.as_bytes());
        }
        times.iter().for_each(|time| context.update(&time.to_be_bytes()));
        context.update(&(suffix as u64).to_be_bytes());
        context.update(&[u8::from(https)]);
        Self(shortened(context.finish().as_ref()))
    }
}

fn shortened(digest: &[u8]) -> [u8; SUM] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// Why a blob does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// No configured key has the id.
    KeyMissing,
    /// It is stored in clear text, and a key is configured.
    InClear,
    /// Altered, moved, or never sealed by us.
    Damaged,
}

/// The configured keys; the first seals.
pub(super) struct Keyring(Vec<(KeyId, LessSafeKey)>);

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        KEY_ID
    }
}

impl Keyring {
    /// Derives the keys. `None`: the library said no, which it does for none that it supports.
    pub(super) fn derive(keys: &[SealingKey]) -> Option<Self> {
        let salt = Salt::new(HKDF_SHA256, b"dmz-relay store");
        let derive = |key: &SealingKey| {
            let secret = salt.extract(key.0.expose());
            let mut id = [0; KEY_ID];
            secret.expand(&[b"key id"], IdLength).ok()?.fill(&mut id).ok()?;
            let key = UnboundKey::from(secret.expand(&[b"aes-256-gcm-siv"], &AES_256_GCM_SIV).ok()?);
            Some((id, LessSafeKey::new(key)))
        };
        keys.iter().map(derive).collect::<Option<_>>().map(Self)
    }

    /// Writes a blob for a row: sealed with the first key, or in clear text where there is none.
    pub(super) fn seal(&self, place: Place<'_>, content: &[u8], out: &mut Vec<u8>) -> Result<(), Unsealed> {
        out.clear();
        let Some((id, key)) = self.0.first() else {
            out.reserve(1 + SUM + content.len());
            out.push(CHECKED);
            out.extend_from_slice(&place.checksum(content));
            out.extend_from_slice(content);
            return Ok(());
        };
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| Unsealed::Damaged)?;
        out.reserve(PREFIX + content.len() + TAG);
        out.push(SEALED);
        out.extend_from_slice(id);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(content);
        let text = out.get_mut(PREFIX..).unwrap_or_default();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(place.bytes(id)), text);
        out.extend_from_slice(tag.map_err(|_| Unsealed::Damaged)?.as_ref());
        Ok(())
    }

    /// The content of a blob.
    pub(super) fn open(&self, place: Place<'_>, mut blob: Vec<u8>) -> Result<Vec<u8>, Unsealed> {
        match blob.first() {
            Some(&(CLEAR | CHECKED)) if !self.0.is_empty() => Err(Unsealed::InClear),
            Some(&CLEAR) => {
                blob.remove(0);
                Ok(blob)
            }
            Some(&CHECKED) => {
                let (sum, content) =
                    blob.get(1..).and_then(|rest| rest.split_first_chunk()).ok_or(Unsealed::Damaged)?;
                if *sum != place.checksum(content) {
                    return Err(Unsealed::Damaged);
                }
                blob.drain(..1 + SUM);
                Ok(blob)
            }
            Some(&SEALED) => self.unseal(place, &blob),
            _ => Err(Unsealed::Damaged),
        }
    }

    fn unseal(&self, place: Place<'_>, blob: &[u8]) -> Result<Vec<u8>, Unsealed> {
        let id: KeyId = blob.get(1..).and_then(|rest| rest.first_chunk()).copied().ok_or(Unsealed::Damaged)?;
        let (_, key) = self.0.iter().find(|(known, _)| *known == id).ok_or(Unsealed::KeyMissing)?;
        let nonce = blob.get(1 + KEY_ID..PREFIX).ok_or(Unsealed::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealed::Damaged)?;
        let mut text = blob.get(PREFIX..).unwrap_or_default().to_vec();
        let length =
            key.open_in_place(nonce, Aad::from(place.bytes(&id)), &mut text).map_err(|_| Unsealed::Damaged)?.len();
        text.truncate(length);
        Ok(text)
    }

    /// What the spool knows the sealing key by; `None`: nothing is sealed.
    pub(super) fn name(&self) -> Option<String> {
        self.0.first().map(|(id, _)| name(*id))
    }

    /// Whether a key of this name is configured.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(id, _)| name(*id) == key)
    }
}

fn name(id: KeyId) -> String {
    format!("seal {:016x}", u64::from_be_bytes(id))
}

impl Place<'_> {
    /// With the length of one name before it, so that the two names cannot slide into each other.
    fn bytes(&self, id: &KeyId) -> Vec<u8> {
        let length = u32::try_from(self.route.len()).unwrap_or(u32::MAX).to_be_bytes();
        let row = self.row.to_be_bytes();
        let names = [self.route.as_bytes(), self.proof.as_bytes()].concat();
        [&[self.kind as u8][..], &row, id, &self.facts.0, &length, &names].concat()
    }

    fn checksum(&self, content: &[u8]) -> [u8; SUM] {
        let mut context = digest::Context::new(&SHA256);
        context.update(&self.bytes(&[0; KEY_ID]));
        context.update(content);
        shortened(context.finish().as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Secret;

    fn keyring(bytes: &[u8]) -> Keyring {
        let keys: Vec<_> = bytes.iter().map(|byte| SealingKey(Secret::new(vec![*byte; 32]))).collect();
        Keyring::derive(&keys).unwrap()
    }

    fn at(kind: Kind, row: i64) -> Place<'static> {
        Place { kind, row, route: "github", proof: "file:a", facts: Facts([7; SUM]) }
    }

    fn sealed(keys: &Keyring, kind: Kind, row: i64) -> Vec<u8> {
        let mut out = b"of the row before".to_vec();
        keys.seal(at(kind, row), b"content", &mut out).unwrap();
        out
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_and_nowhere_else() {
        let keys = keyring(&[1]);
        let blob = sealed(&keys, Kind::Body, 7);
        assert_eq!(keys.open(at(Kind::Body, 7), blob.clone()), Ok(b"content".to_vec()));
        assert_eq!(keys.open(at(Kind::Body, 8), blob.clone()), Err(Unsealed::Damaged));
        assert_eq!(keys.open(at(Kind::Head, 7), blob.clone()), Err(Unsealed::Damaged));
        let sealed_as = at(Kind::Body, 7);
        for moved in [
            Place { route: "gitlab", ..sealed_as },
            Place { proof: "file:b", ..sealed_as },
            Place { proof: "", ..sealed_as },
            Place { route: "githubf", proof: "ile:a", ..sealed_as },
        ] {
            assert_eq!(keys.open(moved, blob.clone()), Err(Unsealed::Damaged), "{moved:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for keys in [keyring(&[1]), keyring(&[])] {
            let blob = sealed(&keys, Kind::Head, 7);
            for bit in 0..blob.len() * 8 {
                let mut flipped = blob.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(keys.open(at(Kind::Head, 7), flipped).is_err(), "{bit}");
            }
            for end in 0..blob.len() {
                assert!(keys.open(at(Kind::Head, 7), blob[..end].to_vec()).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn a_body_opens_with_the_facts_that_it_was_written_with_and_no_others() {
        for keys in [keyring(&[1]), keyring(&[])] {
            let blob = sealed(&keys, Kind::Body, 7);
            let other = Place { facts: Facts([6; SUM]), ..at(Kind::Body, 7) };
            assert_eq!(keys.open(other, blob.clone()), Err(Unsealed::Damaged));
            assert_eq!(keys.open(at(Kind::Body, 8), blob), Err(Unsealed::Damaged));
        }
    }

    #[test]
    fn what_the_first_version_wrote_in_clear_opens() {
        assert_eq!(keyring(&[]).open(at(Kind::Body, 7), b"\0content".to_vec()), Ok(b"content".to_vec()));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = sealed(&keyring(&[1]), Kind::Body, 7);
        let rotated = keyring(&[2, 1]);
        assert_eq!(rotated.open(at(Kind::Body, 7), old.clone()), Ok(b"content".to_vec()));
        let new = sealed(&rotated, Kind::Body, 7);
        assert_eq!(keyring(&[1]).open(at(Kind::Body, 7), new.clone()), Err(Unsealed::KeyMissing));
        assert_eq!(keyring(&[2]).open(at(Kind::Body, 7), new), Ok(b"content".to_vec()));
        assert_eq!(keyring(&[]).open(at(Kind::Body, 7), old), Err(Unsealed::KeyMissing));
        assert!(rotated.has(&keyring(&[1]).name().unwrap()) && !rotated.has(&keyring(&[3]).name().unwrap()));
    }

    #[test]
    fn without_a_key_it_lies_in_clear_and_with_one_nothing_in_clear_opens() {
        let blob = sealed(&keyring(&[]), Kind::Body, 7);
        assert_eq!(keyring(&[]).open(at(Kind::Body, 7), blob.clone()), Ok(b"content".to_vec()));
        assert_eq!(keyring(&[1]).open(at(Kind::Body, 7), blob), Err(Unsealed::InClear));
        assert_eq!(keyring(&[]).name(), None);
    }

    #[test]
    fn equal_contents_look_different() {
        let keys = keyring(&[1]);
        assert_ne!(sealed(&keys, Kind::Body, 7), sealed(&keys, Kind::Body, 7));
    }
}
