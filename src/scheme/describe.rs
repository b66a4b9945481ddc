//! A scheme in words, for `dmz-relay providers NAME`.

use serde::Serialize;

use super::algorithm::Algorithm;
use super::compiled::{BodyDigest, Check, Function, MacSpec, Scheme, TimePlace, TokenPlace};
use super::identity::{Dedupe, Entry};
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
        match &self.check {
            Check::Mac(mac) => describe_mac(mac, &mut say),
            Check::Token(token) => {
                say("proof", "static secret".into());
                let places: Vec<String> = token.places.iter().map(place).collect();
                say("token", places.join(", or "));
                if !self.secret_query_parameters().is_empty() {
                    let how = if token.forward { "forwarded to the upstream" } else { "stripped before forwarding" };
                    say("query token", how.into());
                }
            }
        }
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
        for (header, shape) in &self.shapes {
            say("shape", format!("{header} is {}", shape.as_str()));
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

fn describe_mac(mac: &MacSpec, say: &mut impl FnMut(&'static str, String)) {
    let function = match mac.function {
        Function::Hmac => "HMAC",
        Function::Digest => "plain digest",
    };
    say("proof", format!("{function} {}", mac.algorithm.as_str()));
    let places: Vec<String> = mac.signature.places.iter().map(Source::to_string).collect();
    say("signature", places.join(", or "));
    let prefix = if mac.signature.prefix.is_empty() { String::new() } else { format!("`{}` + ", mac.signature.prefix) };
    let form = match &mac.signature.wrapping {
        Wrapping::Bare => String::new(),
        Wrapping::Named { separator, assign, names } => format!(
            "items named {} in a list separated by `{}`, assigned by `{}`: ",
            names.join(" or "),
            char::from(*separator),
            char::from(*assign)
        ),
        Wrapping::Positional { separator, from } => {
            format!("items from position {from} on in a list separated by `{}`: ", char::from(*separator))
        }
    };
    say("form", format!("{form}{prefix}{}", mac.signature.encoding.as_str()));
    say("message", mac.message.template.to_string().escape_debug().to_string());
    say_digests(&mac.message.digests, say);
    for (content_type, message) in &mac.variants {
        say("message", format!("{} (for {content_type})", message.template.to_string().escape_debug()));
        say_digests(&message.digests, say);
    }
    if mac.both_ports {
        say("url", "tried with and without its port".into());
    }
    if let Some(source) = &mac.key_id {
        say("key id", source.to_string());
    }
    let key = [
        mac.key.prefix.as_ref().map(|prefix| format!("without its prefix {prefix}")),
        mac.key.encoding.map(|encoding| format!("decoded from {}", encoding.as_str())),
        mac.key.suffix.as_ref().map(|suffix| format!("followed by {suffix}")),
        mac.key.hash.map(|hash| format!("hashed with {}", hash.as_str())),
    ];
    let key: Vec<String> = key.into_iter().flatten().collect();
    say("key", if key.is_empty() { "the secret's text".into() } else { format!("the secret, {}", key.join(", ")) });
}

fn say_digests(digests: &[BodyDigest], say: &mut impl FnMut(&'static str, String)) {
    for digest in digests {
        let when = if digest.required { "required" } else { "checked where it is present" };
        let (algorithm, encoding) = (digest.algorithm.as_str(), digest.encoding.as_str());
        say("body digest", format!("{} = {encoding}({algorithm}(body)), {when}", digest.place));
    }
}

pub(super) fn place(place: &TokenPlace) -> String {
    match place {
        TokenPlace::Plain { source, prefix } if prefix.is_empty() => source.to_string(),
        TokenPlace::Plain { source, prefix } => format!("{source} behind `{prefix}`"),
        TokenPlace::Bearer => "Authorization: Bearer".into(),
        TokenPlace::Basic => "Authorization: Basic (user:password)".into(),
    }
}

fn part(part: &Dedupe) -> String {
    match part {
        Dedupe::Source(source) => source.to_string(),
        Dedupe::Signature => "the folded signature".into(),
        Dedupe::Body => "digest of the body".into(),
    }
}
