//! What must hold between the parts of a scheme that signs a message, and what proves less than it seems to.

use toml::Spanned;

use crate::config::recipe::raw::RawTimestamp;
use crate::scheme::check::Check;
use crate::scheme::check::mac::{Function, MacSpec};
use crate::scheme::compiled::{Message, TimePlace, TimeSpec};
use crate::scheme::shape::Look;
use crate::scheme::source::Source;
use crate::scheme::template::{Segment, Template};
use crate::scheme::wrapping::{Item, Wrapping};

pub(super) type Broken = (std::ops::Range<usize>, &'static str, String, Option<&'static str>);

/// What must hold between the parts of a scheme.
pub(super) struct Rules<'a> {
    pub(super) check: &'a Check,
    pub(super) id: Option<&'a Source>,
    pub(super) time: Option<&'a TimeSpec>,
    pub(super) shapes: Option<&'a [(Source, Look)]>,
    pub(super) raw_time: Option<&'a Spanned<RawTimestamp>>,
}

impl Rules<'_> {
    pub(super) fn broken(&self, message: &Message, text: &Spanned<String>) -> Vec<Broken> {
        let template = &message.template;
        let mut found: Vec<Broken> = Vec::new();
        let mut say = |name, what: &str, help| found.push((text.span(), name, what.to_owned(), help));
        let fixed = |segment: &&Segment| matches!(segment, Segment::Literal(_) | Segment::Secret | Segment::KeyId);
        if template.pieces().iter().all(fixed) {
            say("message", "has nothing of the request in it, so it proves nothing", Some("sign at least {body}"));
        }
        match (self.check, template.has(&Segment::Secret)) {
            (Check::Mac(MacSpec { function: Function::Digest, .. }), false) => {
                say("message", "a plain digest without {secret} can be computed by anyone", Some("add {secret}"));
            }
            (Check::PublicKey(_), true) => {
                say("message", "has {secret}, and a scheme with public keys has none", Some("take {secret} out"));
            }
            _ => {}
        }
        if template.any(&mut |segment| matches!(segment, Segment::Listed(_))) {
            say("message", "has {listed:…}, and only a token lists fields", None);
        }
        if template.has(&Segment::Id) && self.id.is_none() {
            say("message", "has {id}, and no `id` says what it is", Some("add id = { header = \"…\" }"));
        }
        let windowed = self.time.is_some_and(|time| time.window.is_some());
        if template.has(&Segment::Timestamp) && !windowed {
            say("message", "has {timestamp}, and no `timestamp` with a tolerance says where it is", None);
        }
        for place in self.check.envelope().iter().flat_map(|envelope| &envelope.signature.places) {
            if template.holds(place) {
                say("signature", "stands inside the message that it signs", None);
            }
        }
        found.extend(self.sliding(template).map(|what| {
            let help = "put a literal between them, or give one a shape: shapes = { \"…\" = \"uuid\" }";
            (text.span(), "message", what, Some(help))
        }));
        found.extend(self.unsigned_time(template));
        for digest in message.digests.iter().filter(|digest| !template.covers(&digest.place)) {
            let what = format!("{} is not part of this message, so the digest there proves nothing", digest.place);
            found.push((text.span(), "body_digests", what, None));
        }
        found
    }

    /// What proves less than it seems to, in schemes that a provider may have all the same.
    pub(super) fn doubtful(&self, message: &Message) -> Vec<(String, &'static str)> {
        let segments = message.template.pieces();
        let mut found = Vec::new();
        if matches!(self.check, Check::Mac(mac) if mac.extends_over(message)) {
            let what = "text stands behind {secret} in a plain digest: whoever has seen one signature can append to what \
                 was signed and compute another (length extension)";
            found.push((what.to_owned(), "put {secret} last, or use hmac, where the provider lets you choose"));
        }
        for pair in segments.windows(2) {
            if let [left, right] = pair
                && let (Some(first), Some(second)) = (self.open_end(left), open_start(right))
                && self.sliding(&message.template).is_none()
            {
                let what =
                    format!("{first} and {second} stand side by side, so text could move from one into the other");
                found.push((what, "put a literal between them, where the provider lets you choose"));
            }
        }
        found
    }

    /// What a segment is called, where its end is the sender's choice: neither fixed in length nor given a shape.
    fn open_end(&self, segment: &Segment) -> Option<String> {
        let shaped =
            |source: &Source| self.shapes.is_some_and(|shapes| shapes.iter().any(|(header, _)| header == source));
        match segment {
            Segment::Source(source) | Segment::OrNothing(source) if shaped(source) => None,
            Segment::Lower(inner) => self.open_end(inner),
            Segment::Id if self.id.is_some_and(shaped) => None,
            // One digit more makes it ten times as large: outside every window.
            Segment::Timestamp => None,
            other => open_start(other),
        }
    }

    /// Two headers side by side: what belongs to one could be moved to the other, and the message stays the same.
    fn sliding(&self, template: &Template) -> Option<String> {
        let shaped =
            |source: &Source| self.shapes.is_some_and(|shapes| shapes.iter().any(|(header, _)| header == source));
        template.pieces().windows(2).find_map(|pair| match pair {
            [left, right] => {
                let (left, right) = (self.part(left)?, self.part(right)?);
                let header = [left, right].iter().any(|part| matches!(part, Source::Header(_)));
                let slides = header && !shaped(left) && !shaped(right);
                slides.then(|| format!("{left} and {right} stand side by side, so text could move between them"))
            }
            _ => None,
        })
    }

    /// The part of the request that a segment stands for, where its length is the sender's choice.
    fn part<'s>(&'s self, segment: &'s Segment) -> Option<&'s Source> {
        match (segment, self.time) {
            (Segment::Source(source) | Segment::OrNothing(source), _) => Some(source),
            (Segment::Lower(inner), _) => self.part(inner),
            (Segment::Id, _) => self.id,
            (Segment::Timestamp, Some(TimeSpec { place: TimePlace::Source(source), .. })) => Some(source),
            _ => None,
        }
    }

    /// A window over a time that anyone can rewrite stops nobody.
    fn unsigned_time(&self, template: &Template) -> Option<Broken> {
        let (time, raw, envelope) = (self.time?, self.raw_time?, self.check.envelope()?);
        time.window?;
        let problem = |what: &str, help| Some((raw.span(), "timestamp", what.to_owned(), help));
        match (&time.place, &envelope.signature.wrapping) {
            (TimePlace::Item(Item::Named(name)), Wrapping::Named(list)) if list.names.contains(name) => {
                return problem("the item is one of the signatures", None);
            }
            (TimePlace::Item(Item::Position(at)), Wrapping::Positional { from, .. }) if at >= from => {
                return problem("the position is one of the signatures'", None);
            }
            (TimePlace::Item(Item::Named(_)), Wrapping::Named(_))
            | (TimePlace::Item(Item::Position(_)), Wrapping::Positional { .. })
            | (TimePlace::Source(_), _) => {}
            (TimePlace::Item(_), _) => {
                return problem("the signature is not wrapped in a list that could hold it", None);
            }
        }
        let signed = match &time.place {
            TimePlace::Source(source) => template.covers(source) || self.is_signed_id(source, template),
            TimePlace::Item(_) => false,
        };
        if signed || template.has(&Segment::Timestamp) {
            return None;
        }
        let help = "put {timestamp} into the message, or say informative = true and give no tolerance";
        problem("the time is not part of the signed message, so a sender can choose it", Some(help))
    }

    fn is_signed_id(&self, source: &Source, template: &Template) -> bool {
        template.has(&Segment::Id) && self.id == Some(source)
    }
}

/// What a segment is called, where its text is the sender's choice.
fn open_start(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Source(source) | Segment::OrNothing(source) => Some(source.to_string()),
        Segment::Lower(inner) => open_start(inner),
        Segment::Item(_) => Some("an item beside the signature".to_owned()),
        Segment::Written(writing) => writing.is_open().then(|| format!("{{{writing}}}")),
        Segment::Body => Some("{body}".to_owned()),
        Segment::BodyEncoded => Some("{base64url(body)}".to_owned()),
        Segment::Listed(parameter) => Some(format!("{{listed:{parameter}}}")),
        Segment::FormSorted => Some("{form:sorted}".to_owned()),
        Segment::Id => Some("{id}".to_owned()),
        Segment::Path => Some("{path}".to_owned()),
        Segment::Url => Some("{url}".to_owned()),
        // The pieces of a group stand in its place.
        Segment::Group(_)
        | Segment::Literal(_)
        | Segment::Method
        | Segment::Timestamp
        | Segment::Secret
        | Segment::KeyId
        | Segment::Checksum
        | Segment::BodyDigest(..) => None,
    }
}
