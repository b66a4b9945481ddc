//! Recipes and `verify` tables as TOML has them. No logic: every rule is in the sibling modules.
//!
//! Sum types are externally tagged, because only then does `toml` point at the exact key.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// One `providers/<name>/recipe.toml`, or `[providers.<name>]` of `relay.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/schemes.md has a card for each, under the same name")]
pub struct RawRecipe {
    pub name: Option<String>,
    pub docs: Option<String>,
    pub evidence: Option<Spanned<String>>,
    pub evidence_date: Option<Spanned<String>>,
    pub notes: Option<String>,
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    pub content_types: Option<Vec<Spanned<String>>>,
    pub success: Option<RawAnswer>,
    pub timeout: Option<Spanned<String>>,
    pub deadline: Option<Spanned<String>>,
    pub error_budget: Option<u32>,
    pub retry: Option<String>,
    pub retries_for: Option<Spanned<String>>,
    #[serde(default)]
    pub retries_keep_time: bool,
    pub dedupe_window: Option<Spanned<String>>,
    pub max_body: Option<Spanned<String>>,
    pub addresses: Option<Vec<Spanned<String>>>,
    pub forward_headers: Option<Vec<Spanned<String>>>,
    pub verify: RawVerify,
    #[serde(default)]
    pub challenge: Vec<RawChallenge>,
}

/// A fixed answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAnswer {
    pub status: Spanned<u16>,
    #[serde(default)]
    pub body: String,
    pub content_type: Option<String>,
}

/// A challenge.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawChallenge {
    pub when: Spanned<Vec<Spanned<RawCondition>>>,
    pub signed: bool,
    pub answer: Spanned<RawChallengeAnswer>,
}

/// What must hold for a challenge: `method`, or one part of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCondition {
    pub method: Option<Spanned<String>>,
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub equals: Option<String>,
    #[serde(default)]
    pub is_secret: bool,
}

/// What a challenge is answered with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawChallengeAnswer {
    pub status: Spanned<u16>,
    pub body: Option<String>,
    pub content_type: Option<String>,
    pub text: Option<Vec<RawPiece>>,
    pub json: Option<BTreeMap<String, RawPiece>>,
    #[serde(default)]
    pub headers: BTreeMap<Spanned<String>, RawPiece>,
}

/// A text, a part of the request, or a hash.
#[derive(Debug)]
pub enum RawPiece {
    /// `"…"`.
    Text(String),
    /// `{ query = "…" }`, `{ hmac = "sha256", of = "…" }`.
    Table(Box<RawPieceTable>),
}

/// Exactly one of the first six.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawPieceTable {
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub hmac: Option<Spanned<String>>,
    pub digest: Option<Spanned<String>>,
    pub of: Option<Spanned<String>>,
    pub shape: Option<Spanned<String>>,
    pub prefix: Option<String>,
    pub encoding: Option<Spanned<String>>,
    pub key: Option<RawKey>,
    #[serde(default)]
    pub with_challenge_secret: bool,
}

impl<'de> Deserialize<'de> for RawPiece {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = RawPiece;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a text, a part of the request such as { query = \"…\" }, or { hmac = \"sha256\", of = \"…\" }",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RawPiece, E> {
                Ok(RawPiece::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPiece, A::Error> {
                let table = RawPieceTable::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(RawPiece::Table(Box::new(table)))
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}

/// A header and what it says: how requests of one kind are recognised.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWhen {
    pub header: Spanned<String>,
    pub equals: String,
}

/// `[routes.<name>.verify]`: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawVerify {
    /// A keyed hash.
    Hmac(Box<RawMac>),
    /// A plain digest of a message that has the secret in it.
    Digest(Box<RawMac>),
    /// A static secret.
    Token(Box<RawToken>),
    /// Nothing at all.
    DangerouslyNone(Spanned<bool>),
    /// A signature made with a private key: RSA, ECDSA, Ed25519.
    PublicKey(Box<RawPublicKey>),
    /// A signed token: JWT and JWS.
    Jwt(Box<RawJwt>),
    /// An HTTP message signature (RFC 9421).
    MessageSignature(Box<RawMessageSignature>),
    /// Reserved: a certificate named by the message.
    Certificate(Spanned<IgnoredAny>),
}

/// `verify.hmac` and `verify.digest`.
pub(super) type RawMac = RawSigned<RawKey>;
/// `verify.public_key`.
pub(super) type RawPublicKey = RawSigned<RawKeyForm>;

/// A signature over a message; `K` says what its keys look like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSigned<K> {
    pub algorithm: Spanned<String>,
    pub signature: Spanned<RawSignature>,
    pub message: Spanned<String>,
    pub key: Option<K>,
    pub key_id: Option<RawKeyName>,
    pub id: Option<RawPart>,
    pub timestamp: Option<Spanned<RawTimestamp>>,
    #[serde(default)]
    pub shapes: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub bindings: Vec<RawBinding>,
    #[serde(default)]
    pub body_digests: Vec<Spanned<RawBodyDigest>>,
    pub dedupe: Option<Vec<Spanned<RawEntry>>>,
    pub bodies: Option<Spanned<String>>,
    #[serde(default)]
    pub variants: Vec<RawVariant>,
    #[serde(default)]
    pub url_with_and_without_port: bool,
    pub each: Option<Spanned<String>>,
    pub hashed: Option<Spanned<String>>,
}

/// `verify.message_signature`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMessageSignature {
    pub algorithm: Spanned<String>,
    pub components: Spanned<Vec<Spanned<String>>>,
    pub label: Option<Spanned<String>>,
    pub key: Option<RawKeyForm>,
    #[serde(default)]
    pub named_keys: bool,
    pub tolerance: Option<Spanned<String>>,
    pub tolerance_ahead: Option<Spanned<String>>,
    #[serde(default)]
    pub shapes: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub bindings: Vec<RawBinding>,
    pub dedupe: Option<Vec<Spanned<RawEntry>>>,
    pub bodies: Option<Spanned<String>>,
}

/// Where the signature is and how it is wrapped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSignature {
    pub header: Option<Spanned<String>>,
    pub headers: Option<Vec<Spanned<String>>>,
    pub numbered: Option<Spanned<u16>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub prefix: Option<String>,
    pub encoding: Option<Spanned<String>>,
    pub list: Option<Spanned<RawList>>,
}

/// A list of signatures in one text: by name, or by position.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawList {
    pub separator: Spanned<String>,
    pub assign: Option<Spanned<String>>,
    pub names: Option<Spanned<Vec<String>>>,
    pub from: Option<Spanned<u8>>,
    #[serde(default)]
    pub quoted: bool,
    #[serde(default)]
    pub fixed: BTreeMap<String, String>,
}

/// From secret to key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKey {
    pub prefix: Option<String>,
    pub encoding: Option<Spanned<String>>,
    pub suffix: Option<String>,
    pub hash: Option<Spanned<String>>,
}

/// How a provider shows its public key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawKeyForm {
    pub prefix: Option<String>,
    pub encoding: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
}

/// A part of the request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawPart {
    Header(Spanned<String>),
    Query(Spanned<String>),
    Form(Spanned<String>),
    Json(Spanned<String>),
}

/// What names the key: a part of the request, or what stands beside the signature.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawKeyName {
    Header(Spanned<String>),
    Query(Spanned<String>),
    Form(Spanned<String>),
    Json(Spanned<String>),
    Item(Spanned<String>),
}

/// An entry of `dedupe`: one part, or a list of parts that count together.
#[derive(Debug)]
pub struct RawEntry(pub Vec<RawDedupe>);

/// A part of the request, a digest of what proves it, or a condition.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawDedupe {
    Header(Spanned<String>),
    Query(Spanned<String>),
    Form(Spanned<String>),
    Json(Spanned<String>),
    Claim(Spanned<String>),
    When(RawWhen),
    Signature,
    Body,
}

/// Has a reader of its own, because `untagged` loses every place.
impl<'de> Deserialize<'de> for RawEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = RawEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"signature\", \"body\", a part such as { header = \"…\" }, or a list of these")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<RawEntry, E> {
                RawDedupe::deserialize(word.into_deserializer()).map(|part| RawEntry(vec![part]))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntry, A::Error> {
                let part = match map.next_key::<RawKind>()? {
                    None => return Err(A::Error::custom("says nothing of the request")),
                    Some(RawKind::Header) => RawDedupe::Header(map.next_value()?),
                    Some(RawKind::Query) => RawDedupe::Query(map.next_value()?),
                    Some(RawKind::Form) => RawDedupe::Form(map.next_value()?),
                    Some(RawKind::Json) => RawDedupe::Json(map.next_value()?),
                    Some(RawKind::Claim) => RawDedupe::Claim(map.next_value()?),
                    Some(RawKind::When) => RawDedupe::When(map.next_value()?),
                };
                match map.next_key::<RawKind>()? {
                    Some(_) => Err(A::Error::custom("has two keys; parts that count together are a list")),
                    None => Ok(RawEntry(vec![part])),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawEntry, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawEntry)
            }
        }

        deserializer.deserialize_any(Shapes)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    Header,
    Query,
    Form,
    Json,
    Claim,
    When,
}

/// Where the time is, its format and its window.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTimestamp {
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub claim: Option<Spanned<String>>,
    pub item: Option<Spanned<String>>,
    pub position: Option<Spanned<u8>>,
    pub format: Option<Spanned<String>>,
    pub tolerance: Option<Spanned<String>>,
    pub tolerance_ahead: Option<Spanned<String>>,
    #[serde(default)]
    pub informative: bool,
}

/// A member of the body that must equal a header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBinding {
    pub json: Spanned<String>,
    pub header: Spanned<String>,
}

/// A digest of the body somewhere in the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBodyDigest {
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub algorithm: Spanned<String>,
    pub encoding: Option<Spanned<String>>,
    pub prefix: Option<String>,
    pub required: Option<bool>,
}

/// Another message for one content type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawVariant {
    pub content_type: Spanned<String>,
    pub message: Spanned<String>,
    #[serde(default)]
    pub body_digests: Vec<Spanned<RawBodyDigest>>,
}

/// `verify.jwt`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJwt {
    pub algorithms: Spanned<Vec<Spanned<String>>>,
    pub token: Spanned<RawJwtPlace>,
    pub payload: Option<Spanned<String>>,
    #[serde(default)]
    pub unencoded: bool,
    #[serde(default)]
    pub listed: Vec<Spanned<String>>,
    #[serde(default)]
    pub kid: bool,
    #[serde(default)]
    pub jose: BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub claims: BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub of_route: Vec<Spanned<String>>,
    #[serde(default)]
    pub required: Vec<Spanned<String>>,
    #[serde(default)]
    pub hashes: Vec<Spanned<RawHashClaim>>,
    pub leeway: Option<Spanned<String>>,
    pub key: Option<Spanned<RawJwtKey>>,
    pub timestamp: Option<Spanned<RawTimestamp>>,
    #[serde(default)]
    pub shapes: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub bindings: Vec<RawBinding>,
    pub dedupe: Option<Vec<Spanned<RawEntry>>>,
    pub bodies: Option<Spanned<String>>,
}

/// Where a token stands: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJwtPlace {
    pub header: Option<Spanned<String>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    #[serde(default)]
    pub body: bool,
}

/// A claim that is a digest of a part of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHashClaim {
    pub claim: Spanned<String>,
    pub of: Spanned<String>,
    pub algorithm: Spanned<String>,
    pub encoding: Option<Spanned<String>>,
    #[serde(default)]
    pub absent_if_empty: bool,
}

/// What a token's key looks like: `prefix` and `encoding` of every one, `suffix` and `hash` of shared secrets, `form` of public keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJwtKey {
    pub prefix: Option<String>,
    pub encoding: Option<Spanned<String>>,
    pub suffix: Option<String>,
    pub hash: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
}

/// `verify.token`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawToken {
    pub header: Option<Spanned<String>>,
    pub headers: Option<Vec<Spanned<String>>>,
    pub query: Option<Spanned<String>>,
    pub form: Option<Spanned<String>>,
    pub json: Option<Spanned<String>>,
    pub bearer: Option<Spanned<bool>>,
    pub basic: Option<Spanned<bool>>,
    pub prefix: Option<String>,
    pub forward: Option<Spanned<bool>>,
    #[serde(default)]
    pub shapes: BTreeMap<Spanned<String>, Spanned<String>>,
    #[serde(default)]
    pub bindings: Vec<RawBinding>,
    pub dedupe: Option<Vec<Spanned<RawEntry>>>,
    pub bodies: Option<Spanned<String>>,
}
