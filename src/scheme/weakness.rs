//! What a scheme proves less than an HMAC-SHA256 over the body would. An operator chooses what stands beside it: addresses, client
//! certificates, another scheme of the same provider.

use serde::Serialize;

use super::compiled::Scheme;

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
            Self::Sha1 => {
                "SHA-1, which no new scheme should use; no forgery of an HMAC with it is known, but who chooses what a private key signs can make two texts with one signature, at great cost"
            }
            Self::Body => "the body is not signed: whoever has seen a request can put another body behind its proof",
        }
    }
}

impl Scheme {
    /// Every weakness; none for most.
    pub fn weaknesses(&self) -> Vec<Weakness> {
        let mut found = self.check.kind().weaknesses();
        found.extend((!self.is_token() && !self.signs_body()).then_some(Weakness::Body));
        found
    }

    /// Whether whoever has seen one signature can append to what was signed and compute another one.
    pub fn is_open_to_length_extension(&self) -> bool {
        self.check.kind().extends()
    }
}
