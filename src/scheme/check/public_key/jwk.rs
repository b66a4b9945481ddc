//! Public keys as JSON Web Keys (RFC 7517, 7518, 8037), one or a set of them.
//!
//! A key says what it is for. One that says it is for something else is refused, and left out of a set: sets hold keys for
//! encryption and of other algorithms beside the one that is meant.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::parse::PublicKeyFault;
use super::{Family, KeyAlgorithm, der};
use crate::base::Secret;

/// Keys that a set may have. The largest that was seen has a dozen.
const MAX_SET: usize = 64;
/// The longest name of a key. It stands in logs and in `Relay-Key`.
const MAX_KID: usize = 128;

/// The members that are read; others say nothing that counts. A member that stands twice is an error of the reader.
#[derive(Debug, Deserialize, Serialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// What only the owner of a private key has.
    #[serde(skip_serializing)]
    d: Option<IgnoredAny>,
    /// A shared secret.
    #[serde(skip_serializing)]
    k: Option<IgnoredAny>,
}

/// What a file of keys may be.
#[derive(Debug, Deserialize)]
struct Set {
    keys: Option<Vec<Jwk>>,
    /// As Plaid's API answers.
    key: Option<Jwk>,
}

/// Why a text that begins as JSON is no set of keys. Never holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetFault {
    /// Not JSON, or not of the form.
    Form,
    /// It has no key.
    Empty,
    /// More keys than any set has.
    TooMany,
    /// The name of a key is longer than a name may be, or has other than visible characters in it.
    Name,
    /// One of them is a private key.
    Private,
    /// One of them is a shared secret.
    Shared,
}

impl fmt::Display for KeySetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => {
                f.write_str("begins as JSON does, and is neither a JSON Web Key nor a set of them (RFC 7517)")
            }
            Self::Empty => f.write_str("is a set without a key"),
            Self::TooMany => write!(f, "is a set of more than {MAX_SET} keys"),
            Self::Name => write!(f, "has a key whose \"kid\" is not 1 to {MAX_KID} visible characters of ASCII"),
            Self::Private => fmt::Display::fmt(&PublicKeyFault::Private, f),
            Self::Shared => fmt::Display::fmt(&PublicKeyFault::Shared, f),
        }
    }
}

impl std::error::Error for KeySetFault {}

/// A key's name, where it has one, and the key.
pub type NamedKey = (Option<String>, Secret);

/// The keys of a file with their names, each as a text of its own; `None`: it does not begin as JSON.
pub fn key_set(text: &[u8]) -> Option<Result<Vec<NamedKey>, KeySetFault>> {
    text.trim_ascii().starts_with(b"{").then(|| split(text))
}

fn split(text: &[u8]) -> Result<Vec<NamedKey>, KeySetFault> {
    let keys = match serde_json::from_slice::<Jwk>(text) {
        Ok(key) => vec![key],
        Err(_) => match serde_json::from_slice::<Set>(text) {
            Ok(Set { keys: Some(keys), key: None }) => keys,
            Ok(Set { keys: None, key: Some(key) }) => vec![key],
            _ => return Err(KeySetFault::Form),
        },
    };
    if keys.is_empty() {
        return Err(KeySetFault::Empty);
    }
    if keys.len() > MAX_SET {
        return Err(KeySetFault::TooMany);
    }
    keys.into_iter().map(named).collect()
}

fn named(key: Jwk) -> Result<NamedKey, KeySetFault> {
    let visible = |kid: &String| (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic());
    if key.kid.as_ref().is_some_and(|kid| !visible(kid)) {
        return Err(KeySetFault::Name);
    }
    if key.kty == "oct" || key.k.is_some() {
        return Err(KeySetFault::Shared);
    }
    if key.d.is_some() {
        return Err(KeySetFault::Private);
    }
    let text = serde_json::to_vec(&key).map_err(|_| KeySetFault::Form)?;
    Ok((key.kid, Secret::new(text)))
}

/// The `SubjectPublicKeyInfo` of a key that may be used for this algorithm.
pub(super) fn structure(algorithm: KeyAlgorithm, text: &[u8]) -> Result<Vec<u8>, PublicKeyFault> {
    let key: Jwk = serde_json::from_slice(text).map_err(|_| PublicKeyFault::Jwk)?;
    if key.kty == "oct" || key.k.is_some() {
        return Err(PublicKeyFault::Shared);
    }
    if key.d.is_some() {
        return Err(PublicKeyFault::Private);
    }
    let (family, der) = key.read()?;
    if family != algorithm.family() {
        return Err(PublicKeyFault::Kind(family.as_str(), algorithm.family().as_str()));
    }
    let names: &[&str] = if family == Family::Ed25519 { &["EdDSA", "Ed25519"] } else { &[algorithm.jose()] };
    let alg = key.alg.as_deref().is_none_or(|alg| names.contains(&alg));
    let purpose = key.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    let operations = key.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
    if alg && purpose && operations { Ok(der) } else { Err(PublicKeyFault::Purpose(algorithm.jose())) }
}

impl Jwk {
    fn read(&self) -> Result<(Family, Vec<u8>), PublicKeyFault> {
        match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Ok((Family::Rsa, der::rsa(&number(self.n.as_deref())?, &number(self.e.as_deref())?))),
            ("OKP", Some("Ed25519")) => self.on(Family::Ed25519, &fixed(self.x.as_deref(), 32)?),
            ("OKP", _) => Err(PublicKeyFault::Curve("another curve")),
            ("EC", Some("P-256")) => self.at(Family::P256, 32),
            ("EC", Some("P-384")) => self.at(Family::P384, 48),
            ("EC", Some("P-521")) => self.at(Family::P521, 66),
            ("EC", Some("secp256k1")) => Err(PublicKeyFault::Curve("the curve secp256k1")),
            ("EC", _) => Err(PublicKeyFault::Curve("another curve")),
            _ => Err(PublicKeyFault::Jwk),
        }
    }

    /// A point of a curve by its two coordinates.
    fn at(&self, family: Family, size: usize) -> Result<(Family, Vec<u8>), PublicKeyFault> {
        let (x, y) = (fixed(self.x.as_deref(), size)?, fixed(self.y.as_deref(), size)?);
        self.on(family, &[&[4], &*x, &*y].concat())
    }

    #[expect(clippy::unused_self, reason = "it belongs to the two beside it")]
    fn on(&self, family: Family, key: &[u8]) -> Result<(Family, Vec<u8>), PublicKeyFault> {
        Ok((family, der::point(family, key).ok_or(PublicKeyFault::Jwk)?))
    }
}

fn bytes(text: Option<&str>) -> Result<Vec<u8>, PublicKeyFault> {
    BASE64URL_NOPAD.decode(text.unwrap_or_default().as_bytes()).map_err(|_| PublicKeyFault::Jwk)
}

/// Without zeros before it.
fn number(text: Option<&str>) -> Result<Vec<u8>, PublicKeyFault> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let number = bytes.get(zeros..).unwrap_or_default();
    if (1..=1024).contains(&number.len()) { Ok(number.to_vec()) } else { Err(PublicKeyFault::Jwk) }
}

/// With as many zeros before it as it lacks: some write a coordinate as a number.
fn fixed(text: Option<&str>, size: usize) -> Result<Vec<u8>, PublicKeyFault> {
    let bytes = bytes(text)?;
    if bytes.is_empty() || bytes.len() > size {
        return Err(PublicKeyFault::Jwk);
    }
    Ok([vec![0; size - bytes.len()], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::check::public_key::{KeyForm, parse};

    /// RFC 7517, appendix A.1, and RFC 8037, appendix A.2.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"}"#;
    const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    fn fault(algorithm: KeyAlgorithm, text: &str) -> Option<PublicKeyFault> {
        parse::public(algorithm, &KeyForm::default(), text.as_bytes()).err()
    }

    #[test]
    fn keys_of_the_specifications_are_read() {
        assert_eq!(fault(KeyAlgorithm::EcdsaP256Fixed, &EC.replace("enc", "sig")), None);
        assert_eq!(fault(KeyAlgorithm::Ed25519, ED), None);
        assert_eq!(fault(KeyAlgorithm::RsaSha256, RSA), None);
    }

    #[test]
    fn a_key_for_something_else_is_none() {
        use PublicKeyFault as F;
        let es256 = KeyAlgorithm::EcdsaP256Fixed;
        assert_eq!(fault(es256, EC), Some(F::Purpose("ES256")));
        assert_eq!(fault(KeyAlgorithm::RsaPssSha256, RSA), Some(F::Purpose("PS256")));
        let ed = |more: &str| fault(KeyAlgorithm::Ed25519, &ED.replace("\"OKP\"", &format!("\"OKP\",{more}")));
        assert_eq!(ed(r#""key_ops":["sign"]"#), Some(F::Purpose("EdDSA")));
        assert_eq!(ed(r#""key_ops":["verify"],"alg":"Ed25519""#), None);
        assert_eq!(ed(r#""d":"AAAA""#), Some(F::Private));
        assert_eq!(ed(r#""k":"AAAA""#), Some(F::Shared));
        assert_eq!(ed(r#""x":"AAAA""#), Some(F::Jwk), "a member that stands twice");
        assert_eq!(fault(es256, ED), Some(F::Kind("Ed25519", "ECDSA on P-256")));
        assert_eq!(fault(es256, r#"{"kty":"oct","k":"AAAA"}"#), Some(F::Shared));
        let point = |x: &str| fault(es256, &format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"AQ"}}"#));
        assert_eq!(point("AQ"), Some(F::Unusable), "not on the curve");
        assert_eq!(point(&"A".repeat(44)), Some(F::Jwk), "longer than a coordinate");
        assert_eq!(point("A="), Some(F::Jwk));
        assert_eq!(
            fault(es256, r#"{"kty":"EC","crv":"secp256k1","x":"AQ","y":"AQ"}"#),
            Some(F::Curve("the curve secp256k1"))
        );
        assert_eq!(fault(KeyAlgorithm::RsaSha256, r#"{"kty":"RSA","n":"wQ","e":"AQAB"}"#), Some(F::Bits(8)));
        assert_eq!(fault(es256, "{"), Some(F::Jwk));
    }

    #[test]
    fn a_set_is_split_into_named_keys() {
        let names = |text: &str| {
            key_set(text.as_bytes()).unwrap().map(|keys| keys.into_iter().map(|(kid, _)| kid).collect::<Vec<_>>())
        };
        let kid = |text: &str| Some(text.to_owned());
        assert_eq!(names(&format!(r#"{{"keys":[{EC},{RSA},{ED}]}}"#)), Ok(vec![kid("1"), kid("2011-04-29"), None]));
        assert_eq!(names(&format!("\n {RSA}\n")), Ok(vec![kid("2011-04-29")]));
        assert_eq!(names(&format!(r#"{{"key":{EC},"request_id":"x"}}"#)), Ok(vec![kid("1")]));
        assert_eq!(names(r#"{"keys":[]}"#), Err(KeySetFault::Empty));
        assert_eq!(names(&format!(r#"{{"keys":[{}]}}"#, vec![ED; 65].join(","))), Err(KeySetFault::TooMany));
        assert_eq!(names(&EC.replace("\"1\"", "\"a b\"")), Err(KeySetFault::Name));
        assert_eq!(names(r#"{"keys":[{"kty":"oct","k":"AA"}]}"#), Err(KeySetFault::Shared));
        assert_eq!(names(&ED.replace("\"x\"", "\"d\":\"AA\",\"x\"")), Err(KeySetFault::Private));
        for text in ["{", "{}", r#"{"keys":1}"#, r#"{"a":"-----BEGIN CERTIFICATE-----"}"#] {
            assert_eq!(names(text), Err(KeySetFault::Form), "{text}");
        }
        assert!(key_set(b"-----BEGIN PUBLIC KEY-----").is_none());
    }
}
