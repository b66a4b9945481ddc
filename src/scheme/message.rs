//! From template and request to the hash's input, and the digests that tie a body to a signed place.

use subtle::ConstantTimeEq;

use super::algorithm::{State, Tag};
use super::compiled::Message;
use super::form::Field;
use super::source::{Facts, Source};
use super::template::{Segment, Template};
use super::url::PublicUrl;
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
            Segment::BodyDigest(algorithm, encoding) => {
                state.update(encoding.encode(algorithm.digest(self.facts.body).as_bytes()).as_bytes());
            }
        }
        Ok(())
    }

    fn source(&self, state: &mut impl Sink, source: &Source) -> Result<(), Refusal> {
        state.update(&self.facts.read(source)?.ok_or(Refusal::MessageIncomplete)?);
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
