//! What dedupe memory knows a request by, within one route and one key.
//!
//! A provider's id decides alone only where it is signed: nobody else can write another one. Beside an id that nobody signs
//! stands the body, so that a second body under the same id is a second request. What a provider's bodies are like says the
//! rest ([`Bodies`]); docs/adr/0018-identity.md has the reasons and what each choice costs.

use std::borrow::Cow;
use std::slice;

use super::algorithm::{Algorithm, Tag};
use super::compiled::{Message, Scheme};
use super::message_signature::Base;
use super::source::{Facts, Source};
use super::template::Segment;
use crate::base::hex;
use crate::domain::Refusal;

/// An id in a name is at most this long.
pub(super) const MAX_ID: usize = 256;
/// Parts that may stand in one entry.
pub(crate) const MAX_PARTS: usize = 4;
/// The longest name: each part behind a label, a colon and a space.
pub const MAX_NAME: usize = MAX_PARTS * (MAX_ID + 8);
/// Bytes of a digest that name a body, and the most of a signature that do.
const DIGEST: usize = 16;

/// What is known of a provider's bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Two events may have the same body.
    #[default]
    MayRepeat,
    /// Each has something in it that no other one has.
    NeverRepeat,
    /// A retry comes under the same id with another body.
    ChangeOnRetry,
}

impl Bodies {
    /// Every one, in the order in which documentation lists them.
    pub(crate) const ALL: [Self; 3] = [Self::MayRepeat, Self::NeverRepeat, Self::ChangeOnRetry];

    /// Its name in a recipe.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::MayRepeat => "may-repeat",
            Self::NeverRepeat => "never-repeat",
            Self::ChangeOnRetry => "change-on-retry",
        }
    }
}

/// One part of a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Dedupe {
    Source(Source),
    /// The signature that matched, folded: it tells requests apart, and nobody can send it.
    Signature,
    /// SHA-256 of the body.
    Body,
}

/// A header and what it says.
pub(crate) type When = (Source, Box<str>);

/// An entry as a recipe has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Combination {
    pub(crate) when: Option<When>,
    pub(crate) parts: Vec<Dedupe>,
}

/// Parts that name a request together. The first entry counts whose parts the request has, all of them.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Only for requests whose header says this: which one of [`Names::headers`], and what.
    when: Option<(usize, Box<str>)>,
    /// Each behind its label, the same for one source everywhere in the scheme and for no other one. What nobody signs comes
    /// first.
    parts: Vec<(Box<str>, Dedupe)>,
    /// How many of them nobody signs, where others follow that are signed; else none.
    unsigned: usize,
}

/// What a request is known by.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) text: Box<str>,
    /// Where what is signed begins, behind what nobody signs.
    pub(super) signed_from: Option<usize>,
}

/// Every entry of a scheme.
#[derive(Debug, Default)]
pub(crate) struct Names {
    entries: Vec<Entry>,
    /// What conditions ask for, once each.
    headers: Vec<Source>,
    pub(super) bodies: Bodies,
}

impl Entry {
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Dedupe> {
        self.parts.iter().map(|(_, part)| part)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.parts().filter_map(|part| match part {
            Dedupe::Source(source) => Some(source),
            Dedupe::Signature | Dedupe::Body => None,
        })
    }

    /// `h:ID`, or several of these with a space between them, which no id has; `None`: the request lacks a part.
    fn name(&self, facts: &Facts<'_>, tag: Option<&Tag>) -> Result<Option<Name>, Refusal> {
        let mut name = String::new();
        let mut signed_from = None;
        for (at, (label, part)) in self.parts.iter().enumerate() {
            if at > 0 && at == self.unsigned {
                signed_from = Some(name.len());
            }
            match (part, tag) {
                (Dedupe::Source(source), _) => {
                    let Some(value) = facts.read(source)? else { return Ok(None) };
                    let joined = matches!(source, Source::Json(path) if path.is_list());
                    match id(&value) {
                        Ok(id) => begin(&mut name, label, id.len()).push_str(id),
                        // A list of ids may be longer than an id: it is known by its digest.
                        Err(_) if joined && value.len() > MAX_ID => digest(&mut name, label, &value),
                        Err(refusal) => return Err(refusal),
                    }
                }
                (Dedupe::Signature, Some(tag)) => folded(tag, &mut name, label),
                (Dedupe::Signature, None) => return Ok(None),
                (Dedupe::Body, _) => digest(&mut name, label, facts.body),
            }
        }
        Ok(Some(Name { text: name.into(), signed_from }))
    }
}

impl Names {
    /// From a recipe's entries. One that is made of unsigned ids alone gets the body's proof beside them, or in their place. A
    /// signature alone gets the body beside it where it is over nothing of the event.
    pub(super) fn of(entries: Vec<Combination>, bodies: Bodies, scheme: &Scheme) -> Self {
        let mut names = Self { bodies, ..Self::default() };
        let mut labels: Vec<(char, Source)> = Vec::new();
        for Combination { when, mut parts } in entries {
            let ids_alone = parts.iter().all(|part| matches!(part, Dedupe::Source(source) if !scheme.signs(source)));
            if ids_alone && bodies != Bodies::ChangeOnRetry {
                if bodies == Bodies::NeverRepeat {
                    parts.clear();
                }
                parts.push(if scheme.signature_is_the_bodys() { Dedupe::Signature } else { Dedupe::Body });
            }
            if parts == [Dedupe::Signature] && !scheme.signature_tells_events_apart() {
                parts.push(Dedupe::Body);
            }
            let is_unsigned = |part: &Dedupe| match part {
                Dedupe::Source(source) => !scheme.signs(source),
                Dedupe::Body => !scheme.signs_body(),
                Dedupe::Signature => false,
            };
            parts.sort_by_key(|part| !is_unsigned(part));
            // Whoever holds a request with a token has the token: it signs nothing.
            let unsigned = parts.iter().take_while(|part| is_unsigned(part)).count();
            let unsigned = if unsigned == parts.len() || scheme.is_token() { 0 } else { unsigned };
            let parts = parts.into_iter().map(|part| (label(&part, &mut labels), part)).collect();
            let when = when.map(|(header, equals)| {
                let at = names.headers.iter().position(|known| *known == header).unwrap_or_else(|| {
                    names.headers.push(header);
                    names.headers.len() - 1
                });
                (at, equals)
            });
            names.entries.push(Entry { when, parts, unsigned });
        }
        names
    }

    /// What conditions an entry has, if any.
    pub(super) fn when<'n>(&'n self, entry: &'n Entry) -> Option<(&'n Source, &'n str)> {
        let (at, equals) = entry.when.as_ref()?;
        Some((self.headers.get(*at)?, equals))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.headers.iter().chain(self.entries.iter().flat_map(Entry::sources))
    }

    /// The entries that may count for a request.
    pub(super) fn applying<'n, 'f, 'a>(&'n self, facts: &'f Facts<'a>) -> Applying<'n, 'f, 'a> {
        Applying { names: self, entries: self.entries.iter(), facts, header: usize::MAX, says: None }
    }
}

/// Entries in their order, without those whose condition does not hold. A recipe may have a dozen that ask for one header, so
/// that is read once.
pub(super) struct Applying<'n, 'f, 'a> {
    names: &'n Names,
    entries: slice::Iter<'n, Entry>,
    facts: &'f Facts<'a>,
    /// The header that was read last, and what it says.
    header: usize,
    says: Option<Cow<'f, [u8]>>,
}

impl Applying<'_, '_, '_> {
    fn ask(&mut self, header: usize) -> Result<(), Refusal> {
        self.says = match self.names.headers.get(header) {
            Some(source) => self.facts.read(source)?,
            None => None,
        };
        self.header = header;
        Ok(())
    }
}

impl<'n> Iterator for Applying<'n, '_, '_> {
    type Item = Result<&'n Entry, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(entry) = self.entries.next() {
            let Some((header, equals)) = &entry.when else { return Some(Ok(entry)) };
            if *header != self.header
                && let Err(refusal) = self.ask(*header)
            {
                return Some(Err(refusal));
            }
            if self.says.as_deref() == Some(equals.as_bytes()) {
                return Some(Ok(entry));
            }
        }
        None
    }
}

impl Scheme {
    /// What the request is known by; `None` where the scheme names none.
    pub(super) fn name(&self, facts: &Facts<'_>, tag: Option<&Tag>) -> Result<Option<Name>, Refusal> {
        if self.names.entries.is_empty() {
            return Ok(None);
        }
        for entry in self.names.applying(facts) {
            if let Some(name) = entry?.name(facts, tag)? {
                return Ok(Some(name));
            }
        }
        Err(Refusal::IdMissing)
    }

    /// Whether requests bring an id, or anything else, that dedupe memory can know them by.
    pub fn has_dedupe(&self) -> bool {
        !self.names.entries.is_empty()
    }

    /// Whether two requests with equal bodies are one request, by the rule that counts for most of them.
    pub fn equal_bodies_are_one(&self) -> bool {
        let usual = self.names.entries.iter().find(|entry| entry.when.is_none());
        usual.is_some_and(|entry| {
            entry.parts().all(|part| match part {
                Dedupe::Body => true,
                Dedupe::Signature => self.signature_is_the_bodys(),
                Dedupe::Source(_) => false,
            })
        })
    }

    /// Whether the recipe says that no two bodies are equal.
    pub fn bodies_never_repeat(&self) -> bool {
        self.names.bodies == Bodies::NeverRepeat
    }

    /// Whether nobody but the provider can write this part of a request.
    pub(super) fn signs(&self, source: &Source) -> bool {
        if let Some(spec) = self.check.jwt() {
            let bound = |source: &Source| match source {
                Source::Claim(_) => true,
                Source::Json(_) | Source::Form(_) => spec.signs_body(),
                Source::Header(_) | Source::Query(_) => spec.signs_part(source),
            };
            return bound(source) || self.bindings.iter().any(|one| one.member == *source && bound(&one.header));
        }
        let Some(envelope) = self.check.envelope() else { return false };
        let in_message = |source: &Source| {
            envelope.messages().all(|message| {
                let is_id = message.template.has(&Segment::Id) && self.id.as_ref() == Some(source);
                let in_body = matches!(source, Source::Json(_) | Source::Form(_));
                is_id || message.template.covers(source) || (in_body && message.digests_body())
            })
        };
        let bound = self.bindings.iter().any(|binding| binding.member == *source && in_message(&binding.header));
        in_message(source) || bound
    }

    /// Whether a signature is over something of the event: two events of one moment have the same one if it is over the time alone.
    fn signature_tells_events_apart(&self) -> bool {
        if let Some(spec) = self.check.jwt() {
            return spec.signs_body();
        }
        let Some(envelope) = self.check.envelope() else { return true };
        let of_every_event = |segment: &Segment| {
            matches!(
                segment,
                Segment::Literal(_)
                    | Segment::Method
                    | Segment::Url
                    | Segment::Path
                    | Segment::Timestamp
                    | Segment::Secret
                    | Segment::KeyId
            )
        };
        envelope.messages().all(|message| !message.template.segments().iter().all(of_every_event))
    }

    /// Whether a signature is over the body and what is the same in every request, so that equal bodies have equal ones.
    fn signature_is_the_bodys(&self) -> bool {
        let Some(envelope) = self.check.envelope() else { return false };
        let same = |segment: &Segment| match segment {
            Segment::Literal(_)
            | Segment::Body
            | Segment::BodyEncoded
            | Segment::BodyDigest(..)
            | Segment::FormSorted
            | Segment::Method
            | Segment::Url
            | Segment::Path
            | Segment::Secret
            | Segment::Checksum
            | Segment::KeyId => true,
            Segment::Written(writing) => writing.is_the_bodys(),
            Segment::Lower(inner) => **inner == Segment::Method,
            Segment::Source(_)
            | Segment::Listed(_)
            | Segment::OrNothing(_)
            | Segment::Group(_)
            | Segment::Item(_)
            | Segment::Timestamp
            | Segment::Id => false,
        };
        self.signs_body() && envelope.messages().all(|message| message.template.segments().iter().all(same))
    }
}

impl Message {
    /// Whether a digest of the body that must be there is part of what is signed.
    pub(super) fn digests_body(&self) -> bool {
        let by_header = self.template.base().is_some_and(Base::digests_body);
        by_header || self.digests.iter().any(|digest| digest.required && self.template.covers(&digest.place))
    }
}

/// A letter for the kind, and from the second source of its kind on a number: an id in one header is never taken for an
/// id in another one.
fn label(part: &Dedupe, known: &mut Vec<(char, Source)>) -> Box<str> {
    let (letter, source) = match part {
        Dedupe::Signature => return "s".into(),
        Dedupe::Body => return "b".into(),
        Dedupe::Source(source) => (kind(source), source),
    };
    let position =
        |known: &[(char, Source)]| known.iter().filter(|(of, _)| *of == letter).position(|(_, other)| other == source);
    let at = position(known).unwrap_or_else(|| {
        known.push((letter, source.clone()));
        known.iter().filter(|(of, _)| *of == letter).count() - 1
    });
    if at == 0 { letter.to_string().into() } else { format!("{letter}{}", at + 1).into() }
}

fn kind(source: &Source) -> char {
    match source {
        Source::Header(_) => 'h',
        Source::Query(_) => 'q',
        Source::Form(_) => 'f',
        Source::Json(_) => 'j',
        Source::Claim(_) => 'c',
    }
}

/// Visible ASCII of a bounded length, or a refusal: an id ends in logs and in a store.
fn id(value: &[u8]) -> Result<&str, Refusal> {
    // Every byte is looked at, not only up to the first that is none: so the compiler looks at many at once.
    let visible = value.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic());
    let fits = (1..=MAX_ID).contains(&value.len()) && visible;
    std::str::from_utf8(value).ok().filter(|_| fits).ok_or(Refusal::ShapeInvalid)
}

/// Its two halves, one XORed onto the other. No piece of the signature is in a name, whoever reads it lacks as many bits as it
/// has, and it costs no second hash.
fn folded(tag: &Tag, name: &mut String, label: &str) {
    let (left, right) = tag.as_bytes().split_at(tag.as_bytes().len() / 2);
    let mut folded = [0; DIGEST];
    let mut length = 0;
    for (to, (left, right)) in folded.iter_mut().zip(left.iter().zip(right)) {
        *to = left ^ right;
        length += 1;
    }
    hexadecimal(name, label, &folded, length);
}

fn digest(name: &mut String, label: &str, of: &[u8]) {
    let digest = Algorithm::Sha256.digest(of);
    hexadecimal(name, label, digest.as_bytes().first_chunk().unwrap_or(&[0; DIGEST]), DIGEST);
}

/// The first `length` of these bytes.
fn hexadecimal(name: &mut String, label: &str, bytes: &[u8; DIGEST], length: usize) {
    let mut text = [0; 2 * DIGEST];
    for (digits, bytes) in text.as_chunks_mut().0.iter_mut().zip(bytes.as_chunks().0) {
        *digits = hex::digits(u32::from_be_bytes(*bytes));
    }
    let text = text.get(..2 * length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    begin(name, label, text.len()).push_str(text);
}

/// Room for exactly what comes, so that most names are one allocation.
fn begin<'n>(name: &'n mut String, label: &str, length: usize) -> &'n mut String {
    name.reserve_exact(label.len() + length + 2 - usize::from(name.is_empty()));
    if !name.is_empty() {
        name.push(' ');
    }
    name.push_str(label);
    name.push(':');
    name
}
