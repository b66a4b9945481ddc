//! What a scheme proves less than an HMAC-SHA256 over the body would. An operator chooses what stands beside it: addresses, client
//! certificates, another scheme of the same provider.

use serde::Serialize;

use super::algorithm::Algorithm;
use super::compiled::{Check, Function, MacSpec, Message, Scheme};
use super::template::Segment;

/// Why a scheme is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weakness {
    /// The secret itself is in every request.
    Token,
    /// A plain digest with the secret in it.
    Digest,
    /// SHA-1.
    Sha1,
    /// The body is not signed.
    Body,
}

impl Weakness {
    /// In a word, as the list of providers has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Digest => "digest",
            Self::Sha1 => "sha1",
            Self::Body => "body",
        }
    }

    /// In a sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::Token => "the secret itself is in every request: whoever has seen one can send others",
            Self::Digest => "a plain digest with the secret in it, not an HMAC",
            Self::Sha1 => "SHA-1, which no new scheme should use; no forgery of an HMAC with it is known",
            Self::Body => "the body is not signed: whoever has seen a request can put another body behind its proof",
        }
    }
}

impl Scheme {
    /// Every weakness; none for most.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        match &self.check {
            Check::Token(_) => vec![Weakness::Token],
            Check::Mac(mac) => {
                let found = [
                    (mac.function == Function::Digest, Weakness::Digest),
                    (mac.algorithm == Algorithm::Sha1, Weakness::Sha1),
                    (!self.signs_body(), Weakness::Body),
                ];
                found.into_iter().filter_map(|(is, weakness)| is.then_some(weakness)).collect()
            }
        }
    }

    /// Whether whoever has seen one signature can append to what was signed and compute another one.
    pub fn is_open_to_length_extension(&self) -> bool {
        match &self.check {
            Check::Mac(mac) => mac.messages().any(|message| mac.extends(message)),
            Check::Token(_) => false,
        }
    }
}

impl MacSpec {
    /// A plain digest with something behind the secret. SHA-384 gives too little of its state away.
    pub(crate) fn extends(&self, message: &Message) -> bool {
        let plain = self.function == Function::Digest && self.algorithm != Algorithm::Sha384;
        let behind = message.template.segments().last() != Some(&Segment::Secret);
        plain && message.template.has(&Segment::Secret) && behind
    }
}
