//! Provider recipes: how a provider proves who it is, and what it expects of an endpoint.
//!
//! A recipe is a file, `providers/<name>/recipe.toml`, compiled in as text and parsed at first use. The same grammar stands in
//! `relay.toml` as `[providers.<name>]`, and its `verify` table as `[routes.<name>.verify]`. `docs/schemes.md` has a card
//! for every key.

mod builtin;
mod challenge;
mod compile;
mod forward;
mod jwt;
mod keys;
mod message_signature;
mod raw;
mod signed;
mod times;
mod verify;
mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::domain::field_list::BASE;
use crate::domain::{FieldList, FieldPattern, Method};
use crate::runtime::snapshot::{FixedAnswer, ProviderRetries};
use crate::scheme::{Challenge, Scheme};

pub use builtin::{builtin, builtin_names};
pub use compile::compile_recipe;
pub(crate) use forward::field_pattern;
pub use raw::{RawRecipe, RawVerify};
pub use verify::{CompiledVerify, compile_verify};

/// Where the facts of a recipe are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The vendor's own code, tests or page were read.
    Official,
    /// As `Official`, and requests with signatures that the vendor publishes come out as it says.
    PublishedVectors,
    /// Somebody else's verifier or catalogue was read.
    ThirdParty,
    /// Nothing was read for a part of it.
    Unconfirmed,
}

impl Evidence {
    /// All of them, the best first.
    pub const ALL: [Self; 4] = [Self::PublishedVectors, Self::Official, Self::ThirdParty, Self::Unconfirmed];

    /// As a recipe writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::PublishedVectors => "published-vectors",
            Self::ThirdParty => "third-party",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// A provider, compiled.
#[derive(Debug)]
pub struct Recipe {
    /// The name by which `relay.toml` speaks of it: `github`.
    pub id: Arc<str>,
    /// For people: `GitHub`.
    pub name: String,
    /// The provider's own documentation.
    pub docs: Option<String>,
    /// How well the scheme is known.
    pub evidence: Option<Evidence>,
    /// When that was looked at last: `2026-11-28`.
    pub evidence_date: Option<String>,
    /// What an operator should know.
    pub notes: Option<String>,
    /// Never empty.
    pub methods: Vec<Method>,
    /// Media types that the provider sends, lower case; `None`: not limited.
    pub content_types: Option<Vec<String>>,
    /// What the provider takes for success.
    pub success: FixedAnswer,
    /// How long the provider waits.
    pub timeout: Option<Duration>,
    /// When the relay must have answered; always below `timeout`.
    pub deadline: Option<Duration>,
    /// Failures that the provider tolerates before it stops sending.
    pub error_budget: Option<u32>,
    /// What the provider does after a failure, in words.
    pub retry: Option<String>,
    /// From a request's first attempt to the provider's last one.
    pub retries_for: Option<Duration>,
    /// A retry says the first attempt's time, where it says one.
    pub retries_keep_time: bool,
    /// How long ids should be remembered; not less than the scheme's window and the provider's retries.
    pub dedupe_window: Option<Duration>,
    /// The largest body that the provider sends.
    pub max_body: Option<u64>,
    /// Published source addresses, for `allow = ["@name"]`.
    pub addresses: Vec<IpNet>,
    /// Fields that belong to the webhook, beside those of every webhook and those that the scheme reads.
    pub forward_headers: Vec<FieldPattern>,
    /// How a request proves that it is genuine.
    pub scheme: Arc<Scheme>,
    challenges: Vec<Arc<Challenge>>,
}

impl Recipe {
    /// The sender's fields that go to the upstream of a route that adds none.
    pub fn forwarded(&self) -> FieldList {
        let read = BASE.iter().copied().chain(self.scheme.headers_read());
        let read = read.filter_map(|name| FieldPattern::parse(name).ok());
        FieldList::new(read.chain(self.forward_headers.iter().cloned()), [])
    }

    /// How the provider sends a failed request again.
    pub fn provider_retries(&self) -> Option<ProviderRetries> {
        let (provider, keep_time) = (self.name.clone(), self.retries_keep_time);
        self.retries_for.map(|span| ProviderRetries { provider, span, keep_time })
    }

    /// The challenges that the relay answers.
    pub fn challenges(&self) -> &[Arc<Challenge>] {
        &self.challenges
    }
}
