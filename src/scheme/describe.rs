//! A scheme in words, for `dmz-relay providers NAME`.

use serde::Serialize;

use super::algorithm::Algorithm;
use super::check::envelope::Envelope;
use super::compiled::{BodyDigest, Scheme, TimePlace};
use super::identity::{Dedupe, Entry};
use super::shape::Look;
use super::source::Source;
use super::wrapping::{Item, Wrapping};

/// What a scheme checks, line by line. Holds no secret: a scheme has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// In the order in which a reader asks.
    pub lines: Vec<Line>,
}

/// One property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is described: `algorithm`, `signature`, `message` and so on.
    pub what: &'static str,
    /// How it is.
    pub how: String,
}

impl Scheme {
    /// What proves a request, in a few letters: two schemes that ask for another proof have another one. How long a time is good and
    /// what an id is are no part of it.
    pub fn fingerprint(&self) -> String {
        const NO_PROOF: [&str; 4] = ["timestamp", "dedupe", "query token", "body signed"];
        let mut text = String::new();
        for line in self.describe().lines.iter().filter(|line| !NO_PROOF.contains(&line.what)) {
            text.push_str(&format!("{}={};", line.what, line.how));
        }
        let digest = Algorithm::Sha256.digest(text.as_bytes());
        data_encoding::HEXLOWER.encode(digest.as_bytes().get(..8).unwrap_or_default())
    }

    /// The scheme in words.
    pub fn describe(&self) -> Description {
        let mut lines = Vec::new();
        let mut say = |what: &'static str, how: String| lines.push(Line { what, how });
        self.check.kind().describe(&mut say);
        let yes_no = |is: bool| if is { "yes" } else { "no" };
        say("body signed", yes_no(self.signs_body()).into());
        if let Some(time) = &self.timestamp {
            let place = match &time.place {
                TimePlace::Source(source) => source.to_string(),
                TimePlace::Item(Item::Named(name)) => format!("signature item {name}"),
                TimePlace::Item(Item::Position(at)) => format!("signature position {at}"),
            };
            let window = time.window.map_or_else(
                || "informative".to_owned(),
                |window| format!("at most {} s old, {} s ahead", window.back.as_secs(), window.ahead.as_secs()),
            );
            say("timestamp", format!("{place}, {}, {window}", time.format.as_str()));
        }
        for (part, look) in &self.shapes {
            let is = if matches!(look, Look::Of(_)) { "is" } else { "is like" };
            say("shape", format!("{part} {is} {look}"));
        }
        for binding in &self.bindings {
            say("binding", format!("{} equals {}", binding.member, binding.header));
        }
        let entries: Vec<String> = self.names.entries().iter().map(|entry| self.entry(entry)).collect();
        say("dedupe", if entries.is_empty() { "none".into() } else { entries.join(", else ") });
        say("equal bodies", self.equal_bodies().into());
        Description { lines }
    }
}

impl Scheme {
    /// An entry of `dedupe` as it counts, with what was added to an id that nobody signs.
    pub(super) fn entry(&self, entry: &Entry) -> String {
        let parts: Vec<String> = entry.parts().map(part).collect();
        let parts = parts.join(" with ");
        match self.names.when(entry) {
            Some((header, equals)) => format!("{parts} where {header} is {equals}"),
            None => parts,
        }
    }

    fn equal_bodies(&self) -> &'static str {
        match (self.has_dedupe(), self.equal_bodies_are_one()) {
            (false, _) => "are not noticed: no request is known as a duplicate",
            (true, true) if self.bodies_never_repeat() => {
                "count as one request within the window; this provider's never repeat"
            }
            (true, true) => "count as one request within the window",
            (true, false) => "are different requests where the above differs",
        }
    }
}

/// Where a signature stands, and over what.
pub(super) fn envelope(envelope: &Envelope, say: &mut dyn FnMut(&'static str, String)) {
    let spec = &envelope.signature;
    let places: Vec<String> = spec.places.iter().map(Source::to_string).collect();
    say("signature", places.join(", or "));
    let prefix = if spec.prefix.is_empty() { String::new() } else { format!("`{}` + ", spec.prefix) };
    let form = match &spec.wrapping {
        Wrapping::Bare => String::new(),
        Wrapping::Dictionary { label: Some(label) } => format!("HTTP message signature (RFC 9421) called {label}: "),
        Wrapping::Dictionary { label: None } => "the only HTTP message signature (RFC 9421): ".to_owned(),
        Wrapping::Named(named) => {
            let beside: String = named.fixed.iter().map(|(name, value)| format!(", {name} being `{value}`")).collect();
            format!(
                "items named {} in a list separated by `{}`, assigned by `{}`{}{beside}: ",
                named.names.join(" or "),
                char::from(named.separator),
                char::from(named.assign),
                if named.quoted { ", in quotation marks" } else { "" }
            )
        }
        Wrapping::Positional { separator, from } => {
            format!("items from position {from} on in a list separated by `{}`: ", char::from(*separator))
        }
    };
    say("form", format!("{form}{prefix}{}", spec.encoding.as_str()));
    say("message", envelope.message.template.to_string().escape_debug().to_string());
    say_digests(&envelope.message.digests, say);
    for (content_type, message) in &envelope.variants {
        say("message", format!("{} (for {content_type})", message.template.to_string().escape_debug()));
        say_digests(&message.digests, say);
    }
    if let Some(path) = &envelope.each {
        say("each", format!("every element of {path} is signed by itself, and all must be right; paths begin in it"));
    }
    if let Some(algorithm) = envelope.hashed {
        say("hashed", format!("the {} of the message is what is signed", algorithm.as_str()));
    }
    if envelope.both_ports {
        say("url", "tried with and without its port".into());
    }
    if let Some(source) = &envelope.key_id {
        say("key id", source.to_string());
    }
    if let Some(Item::Named(name)) = &envelope.key_item {
        say("key id", format!("signature item {name}"));
    }
}

fn say_digests(digests: &[BodyDigest], say: &mut dyn FnMut(&'static str, String)) {
    for digest in digests {
        let when = if digest.required { "required" } else { "checked where it is present" };
        let (algorithm, encoding) = (digest.algorithm.as_str(), digest.encoding.as_str());
        say("body digest", format!("{} = {encoding}({algorithm}(body)), {when}", digest.place));
    }
}

fn part(part: &Dedupe) -> String {
    match part {
        Dedupe::Source(source) => source.to_string(),
        Dedupe::Signature => "the folded signature".into(),
        Dedupe::Body => "digest of the body".into(),
    }
}
