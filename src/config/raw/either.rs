//! Values that may be written in more than one shape. Each has a reader of its own, because `untagged` loses every place.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::{Placed, RawFixedAnswer};

/// A duration or size; a bare number is kept so that the rule can ask for its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawQuantity {
    /// `"5s"`.
    Text(String),
    /// `5`.
    Number(i64),
}

/// A reference to a secret, or a text where a reference must stand. The text is not kept: it may be the secret itself.
#[derive(Debug)]
pub enum RawSecretEntry {
    /// `"…"`.
    Inline,
    /// `{ file = "…" }` and the like.
    Reference(RawSecret),
}

/// A public key as text, or where it is.
#[derive(Debug)]
pub enum RawPublicKeyEntry {
    /// `"…"`.
    Text(String),
    /// `{ key = "…" }` or `{ file = "…" }`.
    Table(RawPublicKeySource),
}

/// Exactly one of the first two.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawPublicKeySource {
    pub file: Placed<String>,
    pub key: Placed<String>,
    pub id: Placed<String>,
}

/// One secret, or a list of them, or a text where a reference must stand. The text is not kept.
#[derive(Debug)]
pub enum RawSecrets {
    /// `"…"`.
    Inline,
    /// `{ file = "…" }` and the like.
    One(RawSecret),
    /// `[{ file = "…" }, …]`.
    List(Vec<Spanned<RawSecretEntry>>),
}

/// Exactly one of the first three.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawSecret {
    pub file: Placed<String>,
    pub credential: Placed<String>,
    pub env: Placed<String>,
    pub id: Placed<String>,
}

/// A text, or a secret. Where a private key stands, the text is a file's path.
#[derive(Debug)]
pub enum RawValue {
    /// `"…"`.
    Text(String),
    /// `{ file = "…" }` and the like.
    Secret(RawSecret),
}

/// Addresses, or a file that holds them.
#[derive(Debug)]
pub enum RawAddressList {
    /// `["192.0.2.0/24", …]`.
    Inline(Vec<Spanned<String>>),
    /// `{ file = "…" }` or `{ feed = "…", format = "…" }`.
    File(Box<RawListFile>),
}

/// `{ file = "…" }`, or a provider's own file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "docs/config.md has a card for each key")]
pub struct RawListFile {
    pub file: Placed<String>,
    pub feed: Placed<String>,
    pub format: Placed<String>,
    pub member: Placed<String>,
    pub services: Placed<Vec<Spanned<String>>>,
    pub regions: Placed<Vec<Spanned<String>>>,
    pub products: Placed<Vec<Spanned<String>>>,
    pub directions: Placed<Vec<Spanned<String>>>,
    pub max_age: Placed<RawQuantity>,
    pub max_shrink_percent: Placed<i64>,
    pub accept: Placed<String>,
}

/// What a required header must say.
#[derive(Debug)]
pub enum RawHeaderRule {
    /// `true`: anything. (`false` is refused by the rule.)
    Present(bool),
    /// One of these.
    Values(Vec<Spanned<String>>),
}

/// What the sender receives.
#[derive(Debug)]
pub enum RawAnswer {
    /// `"upstream"`.
    Word(String),
    /// `{ status = … }`.
    Fixed(RawFixedAnswer),
}

/// Reads one of several shapes; a shape that is not offered is a type error at the value's place.
macro_rules! either {
    ($type:ty, $expecting:literal, $($visit:ident($argument:ident: $shape:ty) => $build:expr),+ $(,)?) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Shapes;
                impl<'de> Visitor<'de> for Shapes {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $(either!(@$visit $argument $shape, $build);)+
                }
                deserializer.deserialize_any(Shapes)
            }
        }
    };
    (@visit_str $argument:ident $shape:ty, $build:expr) => {
        fn visit_str<E: Error>(self, $argument: &str) -> Result<Self::Value, E> { Ok($build) }
    };
    (@visit_i64 $argument:ident $shape:ty, $build:expr) => {
        fn visit_i64<E: Error>(self, $argument: i64) -> Result<Self::Value, E> { Ok($build) }
    };
    (@visit_bool $argument:ident $shape:ty, $build:expr) => {
        fn visit_bool<E: Error>(self, $argument: bool) -> Result<Self::Value, E> { Ok($build) }
    };
    (@visit_seq $argument:ident $shape:ty, $build:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
            let $argument = <$shape>::deserialize(SeqAccessDeserializer::new(access))?;
            Ok($build)
        }
    };
    (@visit_map $argument:ident $shape:ty, $build:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
            let $argument = <$shape>::deserialize(MapAccessDeserializer::new(access))?;
            Ok($build)
        }
    };
}

either!(RawQuantity, "a text with a unit, such as \"5s\" or \"1MiB\"",
    visit_str(text: &str) => RawQuantity::Text(text.to_owned()),
    visit_i64(number: i64) => RawQuantity::Number(number),
);
either!(RawSecretEntry, "a secret: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }",
    visit_str(_text: &str) => RawSecretEntry::Inline,
    visit_map(table: RawSecret) => RawSecretEntry::Reference(table),
);
either!(RawPublicKeyEntry, "a public key as text, { key = \"…\" } or { file = \"…\" }",
    visit_str(text: &str) => RawPublicKeyEntry::Text(text.to_owned()),
    visit_map(table: RawPublicKeySource) => RawPublicKeyEntry::Table(table),
);
either!(RawSecrets, "a secret or a list of them: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }",
    visit_str(_text: &str) => RawSecrets::Inline,
    visit_map(table: RawSecret) => RawSecrets::One(table),
    visit_seq(list: Vec<Spanned<RawSecretEntry>>) => RawSecrets::List(list),
);
either!(RawValue, "a text or a secret: { file = \"…\" }, { credential = \"…\" } or { env = \"…\" }",
    visit_str(text: &str) => RawValue::Text(text.to_owned()),
    visit_map(table: RawSecret) => RawValue::Secret(table),
);
either!(RawAddressList, "a list of addresses and networks, or { file = \"…\" }",
    visit_seq(list: Vec<Spanned<String>>) => RawAddressList::Inline(list),
    visit_map(table: RawListFile) => RawAddressList::File(Box::new(table)),
);
either!(RawHeaderRule, "a list of values, or true for any value",
    visit_bool(present: bool) => RawHeaderRule::Present(present),
    visit_seq(list: Vec<Spanned<String>>) => RawHeaderRule::Values(list),
);
either!(RawAnswer, "\"upstream\" or { status = …, body = \"…\", content_type = \"…\" }",
    visit_str(text: &str) => RawAnswer::Word(text.to_owned()),
    visit_map(table: RawFixedAnswer) => RawAnswer::Fixed(table),
);
