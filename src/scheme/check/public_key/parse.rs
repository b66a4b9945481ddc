//! From what an operator was given to a public key, or to the reason why it is none.

use std::fmt;

use data_encoding::BASE64;

use super::der::{self, Found, look};
use super::jwk;
use super::{Family, KeyAlgorithm, KeyForm, PublicKey};
use crate::scheme::encoding::Encoding;

/// Bits of an RSA modulus.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bytes that are hashed in the time of one verification, about.
const COST: usize = 32 * 1024;
/// The same for an RSA key of more than 4096 bits.
const COST_LARGE: usize = 128 * 1024;

/// Why a text is no public key for a scheme. Never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyFault {
    /// A private key.
    Private,
    /// A public key where a private one is asked for.
    NotPrivate,
    /// A certificate.
    Certificate,
    /// As OpenSSH writes keys.
    Ssh,
    /// It begins as PEM does, and cannot be read.
    Pem,
    /// More than one key.
    Several,
    /// It is in no encoding in which keys are written.
    Undecodable(Encoding),
    /// It is written in the first encoding, and the scheme has the second.
    Spelled(Encoding, Encoding),
    /// The key alone, of so many bytes, where the whole structure is wanted.
    RawForDer(usize),
    /// The whole structure, where the key alone is wanted.
    DerForRaw,
    /// It has the first number of bytes, and keys have the second.
    Length(usize, usize),
    /// It decodes to something that is no key.
    NoKey,
    /// A key of the first kind, and the scheme has the second.
    Kind(&'static str, &'static str),
    /// A JSON Web Key that says it is for something else than verifying signatures of the algorithm.
    Purpose(&'static str),
    /// A JSON Web Key that holds a shared secret.
    Shared,
    /// It begins as JSON does, and is no JSON Web Key.
    Jwk,
    /// A key on this curve.
    Curve(&'static str),
    /// An RSA key of so many bits.
    Bits(usize),
    /// A point that any signature fits.
    SmallOrder,
    /// It has the form of a key, but the numbers are none.
    Unusable,
}

impl PublicKeyFault {
    /// Whether it is a sound key for something else.
    pub(in crate::scheme) fn is_of_another_kind(self) -> bool {
        matches!(self, Self::Kind(..) | Self::Purpose(_) | Self::Curve(_))
    }
}

impl fmt::Display for PublicKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str(
                "is a private key, which only the sender should have: enter its public key (`openssl pkey -pubout`), and have \
                 the sender make a new pair if this one was not meant to leave it",
            ),
            Self::NotPrivate => f.write_str("is a public key, and only a private one signs"),
            Self::Certificate => {
                f.write_str("is a certificate: enter the public key in it (`openssl x509 -pubkey -noout`)")
            }
            Self::Ssh => f.write_str("is written as OpenSSH writes keys: convert it (`ssh-keygen -e -m PKCS8`)"),
            Self::Pem => f.write_str("begins as PEM does, and cannot be read: a line is missing, or it was cut off"),
            Self::Several => f.write_str("holds more than one key: give each an entry of its own"),
            Self::Undecodable(wanted) => write!(f, "is neither PEM nor {}", wanted.as_str()),
            Self::Spelled(found, wanted) => {
                write!(f, "is written in {}, and this scheme has its keys in {}", found.as_str(), wanted.as_str())
            }
            Self::RawForDer(bytes) => write!(
                f,
                "is a raw key of {bytes} bytes, and this scheme has the whole structure (SubjectPublicKeyInfo, DER)"
            ),
            Self::DerForRaw => {
                f.write_str("is a whole structure (SubjectPublicKeyInfo, DER), and this scheme has the raw key alone")
            }
            Self::Length(found, wanted) => write!(f, "has {found} bytes, and such a key has {wanted}"),
            Self::NoKey => f.write_str("decodes to something that is no public key"),
            Self::Kind(found, wanted) => write!(f, "is a key for {found}, and this scheme has {wanted}"),
            Self::Purpose(algorithm) => {
                write!(f, "says of itself that it is not for signatures of the algorithm {algorithm}")
            }
            Self::Shared => f.write_str(
                "is a shared secret, and a public key is asked for: who can read this file can sign, so have the sender make another",
            ),
            Self::Jwk => f.write_str("begins as JSON does, and is no JSON Web Key (RFC 7517)"),
            Self::Curve(found) => write!(f, "is a key on {found}, which no scheme has"),
            Self::Bits(found) => {
                write!(f, "is an RSA key of {found} bits; taken are {} to {}", RSA_BITS.start(), RSA_BITS.end())
            }
            Self::SmallOrder => f.write_str("is one of the few keys that anybody can sign for"),
            Self::Unusable => f.write_str("has the form of a public key, but its numbers are none"),
        }
    }
}

/// A public key as PEM, as a JSON Web Key, or as the provider of this scheme shows it.
pub(in crate::scheme::check) fn public(
    algorithm: KeyAlgorithm,
    form: &KeyForm,
    text: &[u8],
) -> Result<PublicKey, PublicKeyFault> {
    let text = text.trim_ascii();
    if text.starts_with(b"-----BEGIN") {
        return match form.certificate {
            false => of_der(algorithm, &pem(text)?),
            true => of_der(algorithm, &pem_or_certificate(text)?),
        };
    }
    if text.starts_with(b"{") {
        return of_der(algorithm, &jwk::structure(algorithm, text)?);
    }
    if [&b"ssh-"[..], b"ecdsa-sha2-", b"sk-"].iter().any(|start| text.starts_with(start)) {
        return Err(PublicKeyFault::Ssh);
    }
    let bytes = decoded(form, text)?;
    if !form.raw {
        return match (look(&bytes), bytes.len()) {
            (None, 32 | 33 | 64 | 65 | 97 | 133) => Err(PublicKeyFault::RawForDer(bytes.len())),
            _ => of_der(algorithm, &bytes),
        };
    }
    let wanted = raw_length(algorithm.family());
    match (wanted == bytes.len(), look(&bytes)) {
        (true, _) => of_raw(algorithm, &bytes),
        (false, Some(Found::Private)) => Err(PublicKeyFault::Private),
        (false, Some(_)) => Err(PublicKeyFault::DerForRaw),
        (false, None) => Err(PublicKeyFault::Length(bytes.len(), wanted)),
    }
}

/// Bytes of a key without a structure around it. RSA keys are never written so.
fn raw_length(family: Family) -> usize {
    match family {
        Family::Ed25519 => 32,
        Family::P256 | Family::Rsa => 65,
        Family::P384 => 97,
        Family::P521 => 133,
    }
}

/// What is in PEM, if that is a public key.
fn pem(text: &[u8]) -> Result<Vec<u8>, PublicKeyFault> {
    let (label, bytes) = block(text)?;
    match label {
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => Ok(bytes),
        b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => Err(PublicKeyFault::Certificate),
        label if label.ends_with(b"PRIVATE KEY") => Err(PublicKeyFault::Private),
        _ => Err(PublicKeyFault::Pem),
    }
}

/// The same, where the provider publishes its key in a certificate.
fn pem_or_certificate(text: &[u8]) -> Result<Vec<u8>, PublicKeyFault> {
    match block(text)? {
        (b"CERTIFICATE", bytes) => der::key_in(&bytes).map(<[u8]>::to_vec).ok_or(PublicKeyFault::NoKey),
        _ => pem(text),
    }
}

/// The one block of a PEM file: its label, and what it encodes.
pub(super) fn block(text: &[u8]) -> Result<(&[u8], Vec<u8>), PublicKeyFault> {
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|window| window == what);
    let read = || {
        let rest = text.strip_prefix(b"-----BEGIN ")?;
        let label = rest.get(..find(rest, b"-----")?)?;
        let content = rest.get(label.len() + 5..)?;
        let end = [b"-----END ", label, b"-----"].concat();
        let at = find(content, &end)?;
        let behind = content.get(at + end.len()..)?.trim_ascii();
        let base64: Vec<u8> = content.get(..at)?.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        // A private key with a password has fields before its content; which label it has says enough.
        let bytes = BASE64.decode(&base64).ok().or_else(|| label.ends_with(b"PRIVATE KEY").then(Vec::new))?;
        Some((label, bytes, behind.is_empty()))
    };
    match read() {
        Some((label, bytes, true)) => Ok((label, bytes)),
        Some((_, _, false)) => Err(PublicKeyFault::Several),
        None => Err(PublicKeyFault::Pem),
    }
}

/// A text in the encoding in which the provider shows its key. One of another encoding is distinguished from it where both could be meant.
fn decoded(form: &KeyForm, text: &[u8]) -> Result<Vec<u8>, PublicKeyFault> {
    let text = form.prefix.as_ref().and_then(|prefix| text.strip_prefix(prefix.as_bytes())).unwrap_or(text);
    let wanted = form.encoding;
    let could_be = |bytes: &[u8]| matches!(bytes.len(), 32 | 64 | 65 | 97 | 133) || look(bytes).is_some();
    let own = wanted.decode(text).ok();
    if let Some(bytes) = own.as_ref().filter(|bytes| could_be(bytes)) {
        return Ok(bytes.clone());
    }
    let others = Encoding::ALL.into_iter().filter(|other| *other != wanted && *other != Encoding::Base64OfHex);
    for other in others {
        if other.decode(text).is_ok_and(|bytes| could_be(&bytes)) {
            return Err(PublicKeyFault::Spelled(other, wanted));
        }
    }
    own.ok_or(PublicKeyFault::Undecodable(wanted))
}

fn of_raw(algorithm: KeyAlgorithm, bytes: &[u8]) -> Result<PublicKey, PublicKeyFault> {
    if algorithm.family() == Family::Ed25519 && is_of_small_order(bytes) {
        return Err(PublicKeyFault::SmallOrder);
    }
    PublicKey::new(algorithm, bytes, COST)
}

/// A whole structure.
pub(super) fn of_der(algorithm: KeyAlgorithm, der: &[u8]) -> Result<PublicKey, PublicKeyFault> {
    let wanted = algorithm.family();
    match look(der).ok_or(PublicKeyFault::NoKey)? {
        Found::Private => Err(PublicKeyFault::Private),
        Found::Certificate => Err(PublicKeyFault::Certificate),
        Found::Curve(curve) => Err(PublicKeyFault::Curve(curve)),
        Found::Other(kind) => Err(PublicKeyFault::Kind(kind, wanted.as_str())),
        Found::Public(family, _) if family != wanted => Err(PublicKeyFault::Kind(family.as_str(), wanted.as_str())),
        Found::Public(_, Some(bits)) if !RSA_BITS.contains(&bits) => Err(PublicKeyFault::Bits(bits)),
        Found::Public(_, bits) => {
            if wanted == Family::Ed25519 && der.last_chunk::<32>().is_some_and(|key| is_of_small_order(key)) {
                return Err(PublicKeyFault::SmallOrder);
            }
            PublicKey::new(algorithm, der, if bits.is_some_and(|bits| bits > 4096) { COST_LARGE } else { COST })
        }
    }
}

/// Points of Ed25519 for which a signature over one message fits others as well: no sender has such a key.
fn is_of_small_order(key: &[u8]) -> bool {
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let Ok(mut key) = <[u8; 32]>::try_from(key) else { return false };
    // The sign of the other coordinate.
    key[31] &= 0x7f;
    // 0, 1 and -1, and what is the same once the prime was taken off: all are small, or a few below 2^255.
    let small = key[1..].iter().all(|byte| *byte == 0) && key[0] <= 1;
    let large = key[31] == 0x7f && key[1..31].iter().all(|byte| *byte == 0xff) && (0xec..=0xee).contains(&key[0]);
    small || large || ORDER_8.contains(&key)
}
