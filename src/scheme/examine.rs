//! Verification part by part, in the order in which [`Verifier::verify`] asks, by the same functions; but a part that
//! refuses does not keep the next from being judged.
//!
//! For explanations. It says which header, key id and window decided; never a secret, a signature or a hash.

use std::sync::Arc;
use std::time::Duration;

use super::check::envelope::Envelope;
use super::check::jwt::{JwtSpec, Life};
use super::compiled::{Scheme, TimePlace, TimeSpec};
use super::identity::{Dedupe, Name};
use super::shape::Look;
use super::source::{Facts, Source};
use super::template::Segment;
use super::{Matched, Stamp, Verifier, words};
use crate::base::UnixMillis;
use crate::domain::{Head, Refusal};

/// What a part of verification looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// Headers that must look like a UUID, digits, a token.
    Shape,
    /// The time that the request carries.
    Timestamp,
    /// The signature or the token.
    Signature,
    /// Members of the body that must equal a header.
    Binding,
    /// What dedupe memory knows the request by.
    Id,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It holds.
    Good,
    /// It is refused.
    Bad(Refusal),
    /// It cannot be judged from what is there.
    Open,
    /// The scheme has no such part.
    None,
}

/// One part of verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub aspect: Aspect,
    /// What came of it.
    pub found: Found,
    /// What decided, in one sentence.
    pub because: String,
}

impl Part {
    fn new(aspect: Aspect, found: Found, because: impl Into<String>) -> Self {
        Self { aspect, found, because: because.into() }
    }

    /// The proof cannot be judged.
    pub(super) fn open(because: &str) -> Self {
        Self::new(Aspect::Signature, Found::Open, because)
    }

    fn of(aspect: Aspect, result: Result<(), Refusal>, good: impl Into<String>, bad: impl Into<String>) -> Self {
        match result {
            Ok(()) => Self::new(aspect, Found::Good, good),
            Err(refusal) => Self::new(aspect, Found::Bad(refusal), bad),
        }
    }
}

impl Verifier {
    /// Judges every part. Without a body, those that need one stay open.
    pub fn examine(&self, head: &Head, body: Option<&[u8]>, now: UnixMillis) -> Vec<Part> {
        let scheme = &*self.scheme;
        let facts = Facts::of(head, body.unwrap_or_default(), scheme);
        let seen = Seen { verifier: self, facts: &facts, whole: body.is_some() };
        let mut parts = vec![seen.shapes()];
        let early = scheme.timestamp.as_ref().filter(|time| scheme.time_first(time, &facts));
        let late = scheme.timestamp.as_ref().filter(|_| early.is_none());
        let early_part = early.map(|time| seen.timestamp(time, now));
        let life = seen.life(now).filter(|_| !matches!(early_part, Some(Part { found: Found::Bad(_), .. })));
        let has_life = life.is_some();
        parts.extend(match (early_part, life) {
            (Some(part), Some(life)) if matches!(life.found, Found::Bad(_)) || part.found != Found::Good => Some(life),
            (Some(part), Some(life)) => {
                Some(Part::new(Aspect::Timestamp, Found::Good, format!("{}; {}", part.because, life.because)))
            }
            (part, life) => part.or(life),
        });
        let (signature, matched) = seen.signature(early);
        parts.push(signature);
        parts.extend(late.map(|time| seen.timestamp(time, now)));
        if scheme.timestamp.is_none() && !has_life {
            parts.push(Part::new(Aspect::Timestamp, Found::None, "the scheme has no time"));
        }
        parts.push(seen.bindings());
        parts.push(seen.id(matched.as_ref()));
        parts
    }
}

/// A request before a verifier.
pub(super) struct Seen<'s, 'f> {
    pub(super) verifier: &'s Verifier,
    pub(super) facts: &'s Facts<'f>,
    /// The body is there.
    pub(super) whole: bool,
}

impl<'s> Seen<'s, '_> {
    fn scheme(&self) -> &'s Scheme {
        &self.verifier.scheme
    }

    fn shapes(&self) -> Part {
        let shapes = &self.scheme().shapes;
        if shapes.is_empty() {
            return Part::new(Aspect::Shape, Found::None, "the scheme wants no shape of any part");
        }
        let good = |(source, look): &(Source, Look)| format!("{} is {}", words::source(source), words::look(look));
        let misfit = |(source, look): &(Source, Look)| {
            let (place, wanted) = (words::source(source), words::look(look));
            match self.facts.read(source) {
                Ok(Some(value)) if !look.fits(&value) => {
                    Some(format!("{place} must be {wanted}: {}", words::odd(look, &value)))
                }
                Ok(_) => None,
                Err(_) => Some(format!("{place} must be {wanted}: it is there more than once, or cannot be read")),
            }
        };
        let bad: Vec<String> = shapes.iter().filter_map(misfit).collect();
        let good: Vec<String> = shapes.iter().map(good).collect();
        if bad.is_empty() && !self.whole && self.reads_body(shapes.iter().map(|(source, _)| source)) {
            return Part::new(Aspect::Shape, Found::Open, format!("{}: the body is not here", good.join(", ")));
        }
        Part::of(Aspect::Shape, self.scheme().check_shapes(self.facts), good.join(", "), bad.join(", "))
    }

    fn timestamp(&self, time: &TimeSpec, now: UnixMillis) -> Part {
        let place = words::time_place(time);
        let part = |found, because: String| Part::new(Aspect::Timestamp, found, because);
        let in_body = matches!(&time.place, TimePlace::Source(source) if self.scheme().in_body(source));
        if in_body && !self.whole {
            return part(Found::Open, format!("it stands in the body ({place}), which is not here"));
        }
        let read = self.scheme().time_text(time, self.facts).ok().flatten();
        let read = read.and_then(|text| time.format.read(&text));
        let Some(window) = time.window else {
            return part(
                Found::None,
                match read {
                    Some(at) => format!("{place} says {at}; it is informative and refuses nothing"),
                    None => format!("{place} is informative and refuses nothing"),
                },
            );
        };
        let wide = format!("the window is {} back and {} ahead", span(window.back), span(window.ahead));
        match (self.scheme().stamp(time, self.facts, now), read) {
            (Ok(_), Some(at)) => part(Found::Good, format!("{place} says {at}, {}; {wide}", relative(at, now))),
            (Ok(_), None) => part(Found::Good, format!("{place}; {wide}")),
            (Err(refusal @ (Refusal::TimestampStale | Refusal::TimestampAhead)), Some(at)) => {
                part(Found::Bad(refusal), format!("{place} says {at}, {}; {wide}", relative(at, now)))
            }
            (Err(refusal @ Refusal::TimestampMalformed), _) => {
                part(Found::Bad(refusal), format!("{place} is not written as {}", time.format.as_str()))
            }
            (Err(refusal @ Refusal::TimestampMissing), _) => part(Found::Bad(refusal), format!("there is no {place}")),
            (Err(refusal), _) => part(Found::Bad(refusal), format!("{place} cannot be read, or is there twice")),
        }
    }

    /// The limits that a token has, where one can be read.
    fn life(&self, now: UnixMillis) -> Option<Part> {
        let spec = self.scheme().check.jwt()?;
        let limits = spec.limits(self.facts).ok().filter(|limits| !limits.is_empty())?;
        let leeway = span(spec.leeway);
        let said =
            |life: &Life| format!("claim {} of the token says {}, {}", life.claim, life.at, relative(life.at, now));
        let bad = limits.iter().find_map(|life| Some((spec.check_limit(*life, now).err()?, said(life))));
        Some(match bad {
            Some((refusal, said)) => {
                Part::new(Aspect::Timestamp, Found::Bad(refusal), format!("{said}; the leeway is {leeway}"))
            }
            None => {
                let said: Vec<String> = limits.iter().map(said).collect();
                Part::new(Aspect::Timestamp, Found::Good, said.join(", "))
            }
        })
    }

    fn signature(&self, early: Option<&TimeSpec>) -> (Part, Option<Matched<'s>>) {
        self.scheme().check.kind().examine(self, early)
    }

    /// What must be there before a signature can be judged. `candidates`: what came of reading the signatures.
    ///
    /// A time that is outside its window is part of the message all the same.
    pub(super) fn before_signature(
        &self,
        envelope: &Envelope,
        early: Option<&TimeSpec>,
        candidates: Result<(), Refusal>,
    ) -> Result<Option<Stamp<'s>>, Part> {
        if let (false, Err(refusal)) = (self.reads_body(&envelope.signature.places), candidates) {
            return Err(Part::new(Aspect::Signature, Found::Bad(refusal), self.refused(refusal)));
        }
        if !self.whole && self.needs_body(envelope) {
            return Err(Part::open("what is signed includes the body, which is not here"));
        }
        let stamp = early.and_then(|time| self.stamp(time));
        let timed = envelope.message_for(self.facts).template.has(&Segment::Timestamp);
        if timed && stamp.is_none() && early.is_some_and(|time| time.window.is_some()) {
            return Err(Part::open("the time is a part of what is signed, and it is not there"));
        }
        Ok(stamp)
    }

    /// What came of the proof. `how`: by what, and over which message.
    pub(super) fn judged(
        &self,
        how: &str,
        envelope: Option<&Envelope>,
        proven: Result<Matched<'s>, Refusal>,
    ) -> (Part, Option<Matched<'s>>) {
        let part = |found, because: String| Part::new(Aspect::Signature, found, because);
        let how = envelope.map_or_else(|| how.to_owned(), |envelope| self.over(how, envelope));
        match proven {
            Ok(matched) => (part(Found::Good, format!("{how}; {}", self.which(&matched.key.id))), Some(matched)),
            Err(refusal) if envelope.is_none() => (part(self.bad(refusal), self.refused(refusal)), None),
            Err(refusal) => (part(self.bad(refusal), format!("{how}; {}", self.refused(refusal))), None),
        }
    }

    /// Whether one of these parts stands in the body, and there is none.
    pub(super) fn lacks(&self, sources: Vec<&Source>) -> bool {
        !self.whole && self.reads_body(sources)
    }

    /// The time as it is signed. Whether it is inside its window, or a time at all, is another part's matter.
    fn stamp(&self, time: &TimeSpec) -> Option<Stamp<'s>> {
        if time.window.is_none() {
            return self.scheme().stamp(time, self.facts, UnixMillis(0)).ok().flatten();
        }
        let text = self.scheme().time_text(time, self.facts).ok().flatten()?;
        Some(Stamp { text, at: UnixMillis(0) })
    }

    /// A mismatch says nothing while a secret is missing that may give it.
    fn bad(&self, refusal: Refusal) -> Found {
        let unread = !self.verifier.unread.is_empty();
        let of_keys = matches!(refusal, Refusal::SignatureMismatch | Refusal::KeyUnknown);
        if unread && of_keys { Found::Open } else { Found::Bad(refusal) }
    }

    fn refused(&self, refusal: Refusal) -> String {
        let places = words::proof_places(self.scheme());
        let unread = &self.verifier.unread;
        let told = self.scheme().check.kind().refused(refusal, self.facts, self.verifier);
        if let Some(told) = told.filter(|_| unread.is_empty()) {
            return told;
        }
        match refusal {
            Refusal::SignatureMismatch | Refusal::KeyUnknown if !unread.is_empty() => {
                format!(
                    "no secret that can be read here gives it; {} cannot be read",
                    names(unread.iter().map(|id| &**id))
                )
            }
            Refusal::SignatureMissing => self.without().unwrap_or_else(|| format!("there is no {places}")),
            Refusal::SignatureRepeated => {
                format!("{places}, or another part of what is signed, is there more than once")
            }
            Refusal::SignatureMalformed => {
                self.joined().unwrap_or_else(|| format!("{places} is not written as the scheme writes it"))
            }
            Refusal::SignatureMismatch => {
                let keys = names(self.verifier.key_ids());
                self.scheme().check.kind().mismatch(&keys)
            }
            Refusal::KeyUnknown => {
                format!("the request does not name a key that the route has: {}", names(self.verifier.key_ids()))
            }
            Refusal::BodyDigestMismatch => {
                "the signature is right, but the digest that it covers is not the body's".to_owned()
            }
            Refusal::MessageIncomplete => "a part of what is signed is absent or cannot be read".to_owned(),
            _ => "the signed message cannot be put together".to_owned(),
        }
    }

    /// The place is there, but what stands in it is no signature of this scheme.
    fn without(&self) -> Option<String> {
        let envelope = self.scheme().check.envelope()?;
        words::without_signature(self.scheme(), &envelope.signature, self.facts)
    }

    fn joined(&self) -> Option<String> {
        let check = &self.scheme().check;
        let (place, count) = check.envelope()?.signature.joined(self.facts, |text| check.kind().reads(text))?;
        let place = words::source(place);
        Some(format!("{place} has {count} values in one field, joined by commas: the scheme has one"))
    }

    /// By what, and over which message, with the public URL where it is a part of that.
    fn over(&self, how: &str, envelope: &Envelope) -> String {
        let template = &envelope.message_for(self.facts).template;
        let url = self.verifier.url.as_ref().filter(|_| template.has(&Segment::Url));
        let url =
            url.map_or_else(String::new, |url| format!(", {{url}} = {}", words::url_used(envelope, url, self.facts)));
        format!("{how} over {}{url}", template.to_string().escape_debug())
    }

    /// ``key `x` matched, the current one``.
    fn which(&self, id: &Arc<str>) -> String {
        let keys: Vec<&str> = self.verifier.key_ids().collect();
        let position = keys.iter().position(|key| *key == &**id).unwrap_or_default();
        match keys.first() {
            Some(first) if position > 0 => {
                format!(
                    "key `{id}` matched, number {} of {}: it is rotating out, `{first}` is the current one",
                    position + 1,
                    keys.len()
                )
            }
            _ if keys.len() > 1 => format!("key `{id}` matched, the current one of {}", keys.len()),
            _ => format!("key `{id}` matched"),
        }
    }

    fn bindings(&self) -> Part {
        let bindings = &self.scheme().bindings;
        if let (true, Err(refusal)) = (self.whole, self.scheme().check_reserved(self.facts.body)) {
            let because = "the body has the shape of a challenge: anybody can ask the relay for its signature";
            return Part::new(Aspect::Binding, Found::Bad(refusal), because);
        }
        if bindings.is_empty() {
            return Part::new(Aspect::Binding, Found::None, "the scheme binds no member of the body to a header");
        }
        let shown: Vec<String> = bindings
            .iter()
            .map(|binding| format!("{} equals {}", words::source(&binding.member), words::source(&binding.header)))
            .collect();
        let shown = shown.join(", ");
        if !self.whole {
            return Part::new(Aspect::Binding, Found::Open, format!("{shown}: the body is not here"));
        }
        let bad = bindings.iter().find_map(|binding| {
            let member = self.facts.read(&binding.member).ok().flatten();
            let header = self.facts.read(&binding.header).ok().flatten();
            match (member, header) {
                (None, _) => Some(format!("the body has no {}, or it cannot be read", words::source(&binding.member))),
                (_, None) => Some(format!("there is no {}", words::source(&binding.header))),
                (member, header) if member != header => {
                    Some(format!("{} differs from {}", words::source(&binding.member), words::source(&binding.header)))
                }
                _ => None,
            }
        });
        Part::of(Aspect::Binding, self.scheme().check_bindings(self.facts), shown, bad.unwrap_or_default())
    }

    fn id(&self, matched: Option<&Matched<'_>>) -> Part {
        let part = |found, because: &str| Part::new(Aspect::Id, found, because);
        let names = &self.scheme().names;
        if names.entries().is_empty() {
            return part(Found::None, "the scheme has nothing to know a duplicate by");
        }
        let tag = matched.and_then(|matched| matched.tag.as_ref());
        // The first of the list that the request has counts, and a part that is not here could be it.
        for entry in names.applying(self.facts) {
            let Ok(entry) = entry else { break };
            let has_body = entry.parts().any(|part| *part == Dedupe::Body);
            if !self.whole && (has_body || self.reads_body(entry.sources())) {
                return part(Found::Open, "it may stand in the body, which is not here");
            }
            if entry.sources().any(|source| matches!(self.facts.read(source), Ok(None))) {
                continue;
            }
            if tag.is_none() && entry.parts().any(|part| *part == Dedupe::Signature) {
                return part(Found::Open, "the signature is in it, and none matched");
            }
            break;
        }
        match self.scheme().name(self.facts, tag) {
            Ok(Some(Name { text, .. })) => {
                Part::new(Aspect::Id, Found::Good, format!("dedupe memory knows it as {text}"))
            }
            Ok(None) => part(Found::None, "the scheme has nothing to know a duplicate by"),
            Err(refusal) => {
                let sources = || names.entries().iter().flat_map(|entry| entry.sources());
                let mut places: Vec<String> = sources().map(words::source).collect();
                places.dedup();
                let most = super::identity::MAX_ID;
                let misfit = sources().find_map(|source| {
                    let value = self.facts.read(source).ok().flatten()?;
                    Some(format!("{}: {}", words::source(source), words::no_id(&value, most)?))
                });
                let because = format!(
                    "an id is 1 to {most} characters of visible ASCII, here in {}{}",
                    places.join(", or "),
                    misfit.map_or_else(String::new, |misfit| format!("; {misfit}"))
                );
                Part::new(Aspect::Id, Found::Bad(refusal), because)
            }
        }
    }

    fn reads_body<'a>(&self, sources: impl IntoIterator<Item = &'a Source>) -> bool {
        sources.into_iter().any(|source| self.scheme().in_body(source))
    }

    /// Whether the hash or a check that belongs to it needs the body.
    fn needs_body(&self, envelope: &Envelope) -> bool {
        let message = envelope.message_for(self.facts);
        let id = self.scheme().id.iter().filter(|_| message.template.has(&Segment::Id));
        let timed = self.scheme().timestamp.as_ref().is_some_and(|time| time.place.in_body());
        message.template.reads_body()
            || envelope.each.is_some()
            || !message.digests.is_empty()
            || message.digests_body()
            || (timed && message.template.has(&Segment::Timestamp))
            || self.reads_body(
                message.template.sources().chain(id).chain(&envelope.key_id).chain(&envelope.signature.places),
            )
    }
}

impl Scheme {
    /// Whether a part of a request is read from its body; a claim, where the token stands there or is the body.
    fn in_body(&self, source: &Source) -> bool {
        match source {
            Source::Header(_) | Source::Query(_) => false,
            Source::Json(_) | Source::Form(_) => true,
            Source::Claim(_) => self.check.jwt().is_some_and(JwtSpec::is_in_body),
        }
    }
}

pub(super) fn names<'n>(ids: impl Iterator<Item = &'n str>) -> String {
    ids.map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

/// `3 min 20 s before this moment`.
fn relative(at: UnixMillis, now: UnixMillis) -> String {
    let apart = span(Duration::from_millis(at.0.abs_diff(now.0)));
    match at.cmp(&now) {
        std::cmp::Ordering::Less => format!("{apart} before this moment"),
        std::cmp::Ordering::Equal => "this very moment".to_owned(),
        std::cmp::Ordering::Greater => format!("{apart} after this moment"),
    }
}

/// The two largest units: `2 h 5 min`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return if duration.is_zero() { "0 s".to_owned() } else { format!("{} ms", duration.as_millis()) };
    }
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (size, unit) in units {
        let count = rest / size;
        rest %= size;
        if count > 0 || !words.is_empty() {
            words.push((count, unit));
        }
    }
    let words: Vec<String> =
        words.iter().take(2).filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (300, "5 min"), (3661, "1 h 1 min"), (86_405, "1 d"), (7_200, "2 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(20)), "20 ms");
    }
}
