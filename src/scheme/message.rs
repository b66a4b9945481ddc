//! From template and request to the hash's input, and the digests that tie a body to a signed place.

use subtle::ConstantTimeEq;

use super::algorithm::{Algorithm, State, Tag};
use super::check::jwt::Encoded;
use super::compiled::Message;
use super::form::Field;
use super::message_signature::{Base, CONTENT_DIGEST, is_digest_of};
use super::source::{Facts, Source};
use super::template::{Segment, Template};
use super::url::PublicUrl;
use super::wrapping::SignatureSpec;
use crate::base::Secret;
use crate::domain::Refusal;

/// What a message goes into.
pub(crate) trait Sink {
    /// The next bytes.
    fn update(&mut self, bytes: &[u8]);
}

impl Sink for State {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }
}

impl Sink for aws_lc_rs::digest::Context {
    fn update(&mut self, bytes: &[u8]) {
        Self::update(self, bytes);
    }
}

impl Sink for Vec<u8> {
    fn update(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Everything that a template can name.
pub(crate) struct Feed<'f, 'a> {
    pub(crate) facts: &'f Facts<'a>,
    /// The timestamp's text.
    pub(crate) stamp: Option<&'f [u8]>,
    pub(crate) id: Option<&'f Source>,
    pub(crate) secret: &'f Secret,
    pub(crate) key_id: &'f str,
    /// Where the signature stands, for what stands beside it.
    pub(crate) signature: Option<&'f SignatureSpec>,
    /// The message is the digest of what the template says.
    pub(crate) hashed: Option<Algorithm>,
    pub(crate) url: Option<&'f PublicUrl>,
    /// Whether the URL is spelled with its other port.
    pub(crate) other_port: bool,
}

impl Feed<'_, '_> {
    /// Runs a message through a hash.
    pub(crate) fn hash(&self, mut state: State, template: &Template) -> Result<Tag, Refusal> {
        self.pour(&mut state, template)?;
        Ok(state.finish())
    }

    /// The message in one piece.
    pub(crate) fn whole(&self, template: &Template) -> Result<Vec<u8>, Refusal> {
        let mut message = Vec::with_capacity(self.facts.body.len() + 256);
        self.pour(&mut message, template)?;
        Ok(message)
    }

    /// Hands a message over, piece by piece.
    pub(crate) fn pour(&self, sink: &mut impl Sink, template: &Template) -> Result<(), Refusal> {
        match self.hashed {
            None => self.segments(sink, template),
            Some(algorithm) => {
                let mut state = State::plain(algorithm);
                self.segments(&mut state, template)?;
                sink.update(state.finish().as_bytes());
                Ok(())
            }
        }
    }

    fn segments(&self, sink: &mut impl Sink, template: &Template) -> Result<(), Refusal> {
        template.segments().iter().try_for_each(|segment| self.segment(sink, segment))
    }

    fn segment(&self, state: &mut impl Sink, segment: &Segment) -> Result<(), Refusal> {
        match segment {
            Segment::Literal(text) => state.update(text.as_bytes()),
            Segment::Body => state.update(self.facts.body),
            Segment::Source(source) => self.source(state, source)?,
            Segment::FormSorted => {
                let fields = self.facts.form()?.ok_or(Refusal::MessageIncomplete)?;
                sorted(state, fields);
            }
            Segment::Method => state.update(self.facts.head.method().as_str().as_bytes()),
            Segment::Url => self.url(state)?,
            Segment::Path => state.update(self.facts.head.path().as_bytes()),
            Segment::Timestamp => state.update(self.stamp.ok_or(Refusal::TimestampMissing)?),
            Segment::Id => self.source(state, self.id.ok_or(Refusal::IdMissing)?)?,
            Segment::Secret => state.update(self.secret.expose()),
            Segment::BodyEncoded => {
                let mut encoded = Encoded::new(state);
                encoded.update(self.facts.body);
                encoded.finish();
            }
            Segment::Listed(parameter) => self.listed(state, parameter)?,
            Segment::BodyDigest(algorithm, encoding) => {
                state.update(encoding.encode(algorithm.digest(self.facts.body).as_bytes()).as_bytes());
            }
            Segment::OrNothing(source) => {
                if let Some(value) = self.facts.read(source)? {
                    state.update(&value);
                }
            }
            Segment::Group(group) => {
                let mut whole = true;
                for source in group.needed() {
                    whole &= self.facts.read(source)?.is_some();
                }
                if whole {
                    self.segments(state, group)?;
                }
            }
            Segment::Lower(inner) => {
                let mut text = Vec::new();
                self.segment(&mut text, inner)?;
                state.update(&text.to_ascii_lowercase());
            }
            Segment::Item(item) => {
                let signature = self.signature.ok_or(Refusal::MessageIncomplete)?;
                state.update(&signature.item(self.facts, item)?.ok_or(Refusal::MessageIncomplete)?);
            }
            Segment::KeyId => state.update(self.key_id.as_bytes()),
            Segment::Checksum => state.update(crc32(self.facts.body).to_string().as_bytes()),
            Segment::Written(writing) => writing.pour(self, state)?,
        }
        Ok(())
    }

    fn source(&self, state: &mut impl Sink, source: &Source) -> Result<(), Refusal> {
        state.update(&self.facts.read(source)?.ok_or(Refusal::MessageIncomplete)?);
        Ok(())
    }

    /// Each field once: of two lines nobody says which is meant.
    fn listed(&self, state: &mut impl Sink, parameter: &str) -> Result<(), Refusal> {
        for name in self.facts.token()?.listed(parameter)? {
            let value = self.facts.header(name)?.ok_or(Refusal::MessageIncomplete)?;
            for part in [name.as_bytes(), b": ", &value, b"\n"] {
                state.update(part);
            }
        }
        Ok(())
    }

    fn url(&self, state: &mut impl Sink) -> Result<(), Refusal> {
        let url = self.url.ok_or(Refusal::MessageIncomplete)?;
        let head = self.facts.head;
        state.update(url.origin(self.other_port).as_bytes());
        state.update(url.path().unwrap_or_else(|| head.path()).as_bytes());
        if let Some(query) = head.query() {
            state.update(b"?");
            state.update(query.as_bytes());
        }
        Ok(())
    }
}

/// As in ISO 3309, zip and PNG: whoever wants to can find another body with the same one.
fn crc32(bytes: &[u8]) -> u32 {
    #[expect(clippy::indexing_slicing, reason = "a constant: what would panic would not compile")]
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0u32;
        while at < 256 {
            let (mut rest, mut bit) = (at, 0);
            while bit < 8 {
                rest = if rest & 1 == 1 { rest >> 1 ^ 0xedb8_8320 } else { rest >> 1 };
                bit += 1;
            }
            table[at as usize] = rest;
            at += 1;
        }
        table
    };
    let step = |rest: u32, byte: &u8| {
        let [low, ..] = rest.to_le_bytes();
        let mixed = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default();
        rest >> 8 ^ mixed
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// Fields by name, then by value; the same name with the same value counts once.
fn sorted(state: &mut impl Sink, fields: &[Field<'_>]) {
    let mut pairs: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    for (name, value) in pairs {
        state.update(name);
        state.update(value);
    }
}

impl Message {
    /// Compares every digest of the body with the body.
    pub(crate) fn check_digests(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        if self.template.base().is_some_and(Base::digests_body) {
            let text = facts.header(CONTENT_DIGEST)?.ok_or(Refusal::MessageIncomplete)?;
            if !is_digest_of(&text, facts.body) {
                return Err(Refusal::BodyDigestMismatch);
            }
        }
        for digest in &self.digests {
            let Some(text) = facts.read(&digest.place)? else {
                if digest.required {
                    return Err(Refusal::MessageIncomplete);
                }
                continue;
            };
            let stated = text
                .strip_prefix(digest.prefix.as_bytes())
                .and_then(|text| digest.encoding.decode_tag(text, digest.algorithm.len()))
                .ok_or(Refusal::BodyDigestMismatch)?;
            if !bool::from(stated.ct_eq(&digest.algorithm.digest(facts.body))) {
                return Err(Refusal::BodyDigestMismatch);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_everybody() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
