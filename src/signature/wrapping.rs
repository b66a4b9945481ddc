//! Where signatures stand in a request and how they are wrapped.
//!
//! Any one of several signatures may match. What is not of the scheme's shape is skipped where a list may hold other
//! versions, and refused where it stands alone; nothing left is a refusal.

use std::borrow::Cow;

use super::algorithm::{Algorithm, Tag};
use super::encoding::Encoding;
use super::source::{Facts, Source};
use crate::domain::Refusal;

/// Signatures that one request may bring. More of them would let a sender buy comparisons.
pub const MAX_CANDIDATES: usize = 16;

/// Where to look and how to unwrap.
#[derive(Clone, Debug)]
pub(crate) struct SignatureSpec {
    /// At least one; each that is there brings candidates.
    pub(crate) places: Vec<Source>,
    pub(crate) wrapping: Wrapping,
    /// In front of each signature, exact.
    pub(crate) prefix: Box<str>,
    pub(crate) encoding: Encoding,
}

/// What a place's text is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// One signature.
    Bare,
    /// `t=1,v1=ab,v1=cd`, or `v1,ab v1,cd` with a space and a comma.
    Named { separator: u8, assign: u8, names: Vec<Box<str>> },
    /// `1700000000,ab,cd`: signatures from one position on.
    Positional { separator: u8, from: usize },
}

/// What stands beside the signatures in the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Named(Box<str>),
    Position(usize),
}

/// Decoded signatures, all of one length, on the stack.
#[derive(Debug)]
pub(crate) struct Candidates {
    tags: [Tag; MAX_CANDIDATES],
    len: usize,
}

impl Candidates {
    /// In the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().take(self.len)
    }

    fn push(&mut self, tag: Tag) -> Result<(), Refusal> {
        *self.tags.get_mut(self.len).ok_or(Refusal::SignatureMalformed)? = tag;
        self.len += 1;
        Ok(())
    }
}

impl SignatureSpec {
    /// All signatures of a request, decoded.
    pub(crate) fn candidates(&self, facts: &Facts<'_>, algorithm: Algorithm) -> Result<Candidates, Refusal> {
        let mut found = Candidates { tags: [Tag::EMPTY; MAX_CANDIDATES], len: 0 };
        let mut malformed = false;
        for place in &self.places {
            let Some(text) = facts.read(place)? else { continue };
            self.each(&text, |signature| {
                let tag = self.unprefix(signature).and_then(|text| self.encoding.decode_tag(text, algorithm.len()));
                match tag {
                    Some(tag) => found.push(tag),
                    None => {
                        malformed = true;
                        Ok(())
                    }
                }
            })?;
        }
        match (found.len, malformed) {
            (0, true) => Err(Refusal::SignatureMalformed),
            (0, false) => Err(Refusal::SignatureMissing),
            _ => Ok(found),
        }
    }

    fn unprefix<'t>(&self, signature: &'t [u8]) -> Option<&'t [u8]> {
        signature.strip_prefix(self.prefix.as_bytes())
    }

    fn each(&self, text: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        match &self.wrapping {
            Wrapping::Bare => take(text),
            Wrapping::Named { separator, assign, names } => items(text, *separator)
                .filter_map(|item| assignment(item, *assign))
                .filter(|(name, _)| names.iter().any(|known| known.as_bytes() == *name))
                .try_for_each(|(_, value)| take(value)),
            Wrapping::Positional { separator, from } => items(text, *separator).skip(*from).try_for_each(take),
        }
    }

    /// What stands beside the signatures. Twice is refused: the signed one cannot be told from the other.
    pub(crate) fn item<'f>(&self, facts: &'f Facts<'_>, item: &Item) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
        let mut found = None;
        for place in &self.places {
            let value = match facts.read(place)? {
                None => None,
                Some(Cow::Borrowed(text)) => self.beside(text, item)?.map(Cow::Borrowed),
                Some(Cow::Owned(text)) => self.beside(&text, item)?.map(|value| Cow::Owned(value.to_vec())),
            };
            if found.is_some() && value.is_some() {
                return Err(Refusal::SignatureRepeated);
            }
            found = found.or(value);
        }
        Ok(found)
    }

    fn beside<'t>(&self, text: &'t [u8], item: &Item) -> Result<Option<&'t [u8]>, Refusal> {
        match (&self.wrapping, item) {
            (Wrapping::Named { separator, assign, .. }, Item::Named(wanted)) => {
                let mut values = items(text, *separator)
                    .filter_map(|item| assignment(item, *assign))
                    .filter(|(name, _)| *name == wanted.as_bytes())
                    .map(|(_, value)| value);
                let value = values.next();
                if values.next().is_some() { Err(Refusal::SignatureRepeated) } else { Ok(value) }
            }
            (Wrapping::Positional { separator, .. }, Item::Position(at)) => Ok(items(text, *separator).nth(*at)),
            _ => Ok(None),
        }
    }

    /// The text that a sender would put at the first place.
    pub(crate) fn wrap(&self, tag: &Tag, beside: Option<(&Item, &str)>) -> String {
        let signature = format!("{}{}", self.prefix, self.encoding.encode(tag.as_bytes()));
        match &self.wrapping {
            Wrapping::Bare => signature,
            Wrapping::Named { separator, assign, names } => {
                let (separator, assign) = (char::from(*separator), char::from(*assign));
                let name = names.first().map(AsRef::as_ref).unwrap_or_default();
                match beside {
                    Some((Item::Named(item), value)) => {
                        format!("{item}{assign}{value}{separator}{name}{assign}{signature}")
                    }
                    _ => format!("{name}{assign}{signature}"),
                }
            }
            Wrapping::Positional { separator, from } => {
                let last = match beside {
                    Some((Item::Position(at), _)) => (*at).max(*from),
                    _ => *from,
                };
                let cells = (0..=last).map(|cell| match beside {
                    Some((Item::Position(at), value)) if *at == cell => value,
                    _ if cell == *from => &signature,
                    _ => "",
                });
                cells.collect::<Vec<_>>().join(&char::from(*separator).to_string())
            }
        }
    }
}

/// The items of a list. Blanks around an item are no part of it.
fn items(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii)
}

/// Splits at the first assignment sign only: base64 ends in `=`.
fn assignment(item: &[u8], assign: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(assign, item)?;
    Some((item.get(..at)?, item.get(at + 1..)?))
}
