//! As much of DER as it takes to say what a key is before it is used, and why it cannot be.

use super::Family;

/// What a piece of DER holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A public key; of RSA the bits of its modulus.
    Public(Family, Option<usize>),
    /// A public key of another kind: what it is called.
    Other(&'static str),
    /// An elliptic curve of another name.
    Curve(&'static str),
    Private,
    Certificate,
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate.
const VERSION: u8 = 0xa0;

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const NAMED: [(&[u8], Family); 3] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07], Family::P256),
    (&[0x2b, 0x81, 0x04, 0x00, 0x22], Family::P384),
    (&[0x2b, 0x81, 0x04, 0x00, 0x23], Family::P521),
];
/// Other kinds of keys, so that a report can name them.
const OTHERS: [(&[u8], &str); 4] = [
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x2b, 0x65, 0x6e], "X25519"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a], "RSA for PSS alone (id-RSASSA-PSS)"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01], "DSA"),
];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];

/// The structure around an RSA key: big-endian numbers without zeros before them.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| {
        let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
        value(INTEGER, &[sign, bytes].concat())
    };
    let key = value(SEQUENCE, &[number(modulus), number(exponent)].concat());
    public(&[value(OID, RSA), value(NULL, &[])].concat(), &key)
}

/// The structure around a point of a curve, or around a key of Ed25519.
pub(super) fn point(family: Family, key: &[u8]) -> Option<Vec<u8>> {
    if family == Family::Ed25519 {
        return Some(public(&value(OID, ED25519), key));
    }
    let (curve, _) = NAMED.iter().find(|(_, named)| *named == family)?;
    Some(public(&[value(OID, EC), value(OID, curve)].concat(), key))
}

fn public(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    value(SEQUENCE, &[value(SEQUENCE, algorithm), value(BIT_STRING, &[&[0], key].concat())].concat())
}

/// Content is shorter than 64 KiB: no key is longer.
fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, content].concat()
}

/// `None`: it is no DER of any key, or something stands behind it.
pub(super) fn look(der: &[u8]) -> Option<Found> {
    let mut outer = Reader(der);
    let mut inner = Reader(outer.take(SEQUENCE)?);
    if !outer.0.is_empty() {
        return None;
    }
    match *inner.0.first()? {
        INTEGER => numbered(inner),
        SEQUENCE => {
            let mut algorithm = Reader(inner.take(SEQUENCE)?);
            if algorithm.0.first() == Some(&VERSION) {
                return Some(Found::Certificate);
            }
            let oid = algorithm.take(OID)?;
            let key = inner.take(BIT_STRING)?.strip_prefix(&[0])?;
            if !inner.0.is_empty() {
                return None;
            }
            known(oid, algorithm, key)
        }
        _ => None,
    }
}

/// The public key in a certificate, as a `SubjectPublicKeyInfo`.
pub(super) fn key_in(certificate: &[u8]) -> Option<&[u8]> {
    let mut outer = Reader(certificate);
    let mut inner = Reader(outer.take(SEQUENCE)?);
    let mut signed = Reader(inner.take(SEQUENCE)?);
    signed.take(VERSION)?;
    signed.take(INTEGER)?;
    // Its own signature's algorithm, the issuer, the dates and the subject.
    for _ in 0..4 {
        signed.take(SEQUENCE)?;
    }
    let rest = signed.0;
    signed.take(SEQUENCE)?;
    outer.0.is_empty().then_some(rest)?.get(..rest.len() - signed.0.len())
}

/// What begins with a number: a private key begins with its version, an RSA key of PKCS #1 with its modulus.
fn numbered(mut inner: Reader<'_>) -> Option<Found> {
    let first = inner.take(INTEGER)?;
    match (first, inner.0.first()?) {
        ([0 | 1], &SEQUENCE | &INTEGER | &OCTET_STRING) => Some(Found::Private),
        (modulus, &INTEGER) => {
            inner.take(INTEGER)?;
            inner.0.is_empty().then_some(Found::Public(Family::Rsa, Some(bits(modulus))))
        }
        _ => None,
    }
}

fn known(oid: &[u8], mut parameters: Reader<'_>, key: &[u8]) -> Option<Found> {
    if oid == ED25519 {
        return Some(Found::Public(Family::Ed25519, None));
    }
    if oid == RSA {
        let mut key = Reader(key);
        return numbered(Reader(key.take(SEQUENCE)?));
    }
    if oid == EC {
        let curve = parameters.take(OID)?;
        let named = NAMED.iter().find(|(known, _)| *known == curve);
        return Some(match named {
            Some((_, family)) => Found::Public(*family, None),
            None => Found::Curve(if curve == SECP256K1 { "the curve secp256k1" } else { "another curve" }),
        });
    }
    OTHERS.iter().find(|(known, _)| *known == oid).map(|(_, name)| Found::Other(name))
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let rest = number.get(zeros..).unwrap_or_default();
    rest.first().map_or(0, |first| rest.len() * 8 - first.leading_zeros() as usize)
}

struct Reader<'d>(&'d [u8]);

impl<'d> Reader<'d> {
    /// The content of the next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (found == tag).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_der_is_none() {
        for bytes in
            [&b""[..], b"\x30", b"\x30\x80", b"\x30\x02\x05\x00", b"\x30\x00\x00", &[0x30, 0x84, 0, 0, 0, 0], &[7; 32]]
        {
            assert_eq!(look(bytes), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn bits_are_counted_from_the_first_that_is_set() {
        assert_eq!([bits(&[]), bits(&[0]), bits(&[0, 0x80]), bits(&[1, 0])], [0, 0, 8, 9]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (look(&bytes), key_in(&bytes));
        }
    }
}
