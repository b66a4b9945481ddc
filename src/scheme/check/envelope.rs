//! What signatures of every kind have: where they stand, and the message that they are over.

use crate::domain::Refusal;
use crate::scheme::algorithm::Algorithm;
use crate::scheme::compiled::Message;
use crate::scheme::json::JsonPath;
use crate::scheme::source::{Facts, Source};
use crate::scheme::template::Segment;
use crate::scheme::wrapping::{Item, SignatureSpec};
use crate::scheme::{ReadyKey, Verifier};

/// Where the signature is, and over what.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) signature: SignatureSpec,
    /// The request names its key here.
    pub(crate) key_id: Option<Source>,
    /// Or here, beside the signature.
    pub(crate) key_item: Option<Item>,
    pub(crate) message: Message,
    /// By content type; the first that fits replaces `message`.
    pub(crate) variants: Vec<(Box<str>, Message)>,
    /// `{url}` is tried with and without its port.
    pub(crate) both_ports: bool,
    /// Every element of this array has a signature of its own, and paths begin in it.
    pub(crate) each: Option<JsonPath>,
    /// What is signed is the digest of the message, in bytes.
    pub(crate) hashed: Option<Algorithm>,
}

impl Envelope {
    /// The default message and every variant's.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        std::iter::once(&self.message).chain(self.variants.iter().map(|(_, message)| message))
    }

    /// The first variant whose content type fits, or the default.
    pub(crate) fn message_for(&self, facts: &Facts<'_>) -> &Message {
        let variant = self.variants.iter().find(|(content_type, _)| facts.content_type_is(content_type));
        variant.map_or(&self.message, |(_, message)| message)
    }

    /// Every part of a request that it reads beside the signature itself.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        let of_digests = self.messages().flat_map(|message| &message.digests).map(|digest| &digest.place);
        let of_templates = self.messages().flat_map(|message| message.template.sources());
        self.key_id.iter().chain(of_templates).chain(of_digests)
    }

    /// Whether the public URL is signed.
    pub(crate) fn signs_url(&self) -> bool {
        self.messages().any(|message| message.template.signs_url())
    }

    /// Whether a change of any byte of the body is noticed.
    pub(crate) fn signs_body(&self) -> bool {
        self.each.is_none() && self.messages().all(|message| message.template.covers_body() || message.digests_body())
    }

    /// Whether the time's text is signed, whatever the content type.
    pub(crate) fn signs_timestamp(&self) -> bool {
        self.messages().all(|message| message.template.has(&Segment::Timestamp))
    }

    /// The name by which the request speaks of its key, where the scheme has that.
    pub(in crate::scheme) fn named_key<'f>(
        &self,
        facts: &'f Facts<'_>,
    ) -> Result<Option<std::borrow::Cow<'f, [u8]>>, Refusal> {
        match (&self.key_id, &self.key_item) {
            (None, None) => Ok(None),
            (None, Some(item)) => Ok(Some(self.signature.item(facts, item)?.ok_or(Refusal::KeyUnknown)?)),
            (Some(source), _) => Ok(Some(facts.read(source)?.ok_or(Refusal::KeyUnknown)?)),
        }
    }

    /// Which spellings of the URL's port are tried.
    pub(in crate::scheme) fn ports(&self, verifier: &Verifier) -> &'static [bool] {
        if self.both_ports && verifier.url.is_some() { &[false, true] } else { &[false] }
    }
}

/// Whether a key is the one that the request names, if it names one.
pub(in crate::scheme) fn is_named(key: &ReadyKey, named: Option<&[u8]>) -> bool {
    named.is_none_or(|id| *id == *key.id.as_bytes())
}
