//! `providers`: which, by what they prove their requests with.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCandidates;

use super::values;
use crate::config::recipe::Evidence;

/// `providers`.
#[derive(Debug, Args)]
pub struct Providers {
    /// Show this one in full, with a route to paste
    #[arg(value_name = "NAME", conflicts_with_all = ["like", "evidence", "scheme", "weak"])]
    #[arg(add = ArgValueCandidates::new(values::providers))]
    pub name: Option<String>,
    /// With this text in the name, in any case
    #[arg(long, value_name = "TEXT", help_heading = "Filters")]
    pub like: Option<String>,
    /// Whose facts are from there; may be given several times
    #[arg(long, value_parser = evidence(), value_name = "EVIDENCE", help_heading = "Filters")]
    pub evidence: Vec<Evidence>,
    /// That prove their requests so; may be given several times
    #[arg(long, value_enum, value_name = "SCHEME", help_heading = "Filters")]
    pub scheme: Vec<SchemeKind>,
    /// Whose proof is weak: a token, a plain digest, SHA-1, or a body that is not signed
    #[arg(long, help_heading = "Filters")]
    pub weak: bool,
}

/// How a provider proves its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemeKind {
    /// An HMAC
    Hmac,
    /// A plain digest with the secret in it
    Digest,
    /// A signature made with a private key
    PublicKey,
    /// A signed token (JWT, JWS)
    Jwt,
    /// A static secret
    Token,
}

impl SchemeKind {
    /// As [`crate::scheme::Scheme::kind`] has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Digest => "digest",
            Self::PublicKey => "public_key",
            Self::Jwt => "jwt",
            Self::Token => "token",
        }
    }
}

fn evidence() -> impl TypedValueParser<Value = Evidence> {
    PossibleValuesParser::new(Evidence::ALL.map(Evidence::as_str)).try_map(|word| {
        let is = |evidence: &Evidence| evidence.as_str() == word;
        Evidence::ALL.into_iter().find(is).ok_or("not a word of evidence")
    })
}
