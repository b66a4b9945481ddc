//! A compiled scheme: immutable, shared by every route that uses it, and free of secrets.
//!
//! `config::recipe` compiles one from a recipe or from `[routes.x.verify]`; all rules about what goes together are checked
//! there, so nothing here can be half configured.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::encoding::Encoding;
use super::identity::{Bodies, Combination, Names};
use super::json::JsonPath;
use super::key::KeyMaterial;
use super::shape::Shape;
use super::source::Source;
use super::template::{Segment, Template};
use super::timestamp::{TimeFormat, Window};
use super::wrapping::{Item, SignatureSpec};
use crate::domain::{Class, Place};

/// How a request proves that it is genuine.
#[derive(Debug)]
pub struct Scheme {
    pub(crate) check: Check,
    pub(crate) timestamp: Option<TimeSpec>,
    /// What `{id}` stands for.
    pub(crate) id: Option<Source>,
    /// Headers and what they must look like.
    pub(crate) shapes: Vec<(Source, Shape)>,
    pub(crate) bindings: Vec<Binding>,
    /// What dedupe memory knows a request by.
    pub(crate) names: Names,
    /// Every JSON member that any of the above reads, so that one pass over the body finds them all.
    pub(crate) paths: Vec<JsonPath>,
}

/// The proof itself.
#[derive(Debug)]
pub(crate) enum Check {
    Mac(MacSpec),
    Token(TokenSpec),
}

/// A hash over a message, keyed or with the secret in the message.
#[derive(Debug)]
pub(crate) struct MacSpec {
    pub(crate) function: Function,
    pub(crate) algorithm: Algorithm,
    pub(crate) signature: SignatureSpec,
    pub(crate) key: KeyMaterial,
    /// The request names its key here.
    pub(crate) key_id: Option<Source>,
    pub(crate) message: Message,
    /// By content type; the first that fits replaces `message`.
    pub(crate) variants: Vec<(Box<str>, Message)>,
    /// `{url}` is tried with and without its port.
    pub(crate) both_ports: bool,
}

/// How the hash is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Hmac,
    /// The secret is part of the message.
    Digest,
}

/// What is signed, and the digests that tie the body to it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) template: Template,
    pub(crate) digests: Vec<BodyDigest>,
}

/// A digest of the body that stands somewhere in the request.
#[derive(Clone, Debug)]
pub(crate) struct BodyDigest {
    pub(crate) place: Source,
    pub(crate) prefix: Box<str>,
    pub(crate) algorithm: Algorithm,
    pub(crate) encoding: Encoding,
    /// Whether its absence is a refusal.
    pub(crate) required: bool,
}

/// Where the time is and how far it may be from the present.
#[derive(Debug)]
pub(crate) struct TimeSpec {
    pub(crate) place: TimePlace,
    pub(crate) format: TimeFormat,
    /// `None`: informative, never a reason to refuse.
    pub(crate) window: Option<Window>,
}

/// Where the time is.
#[derive(Debug, PartialEq)]
pub(crate) enum TimePlace {
    Source(Source),
    /// Beside the signature, in the same header.
    Item(Item),
}

impl TimePlace {
    /// Whether reading it needs a parsed body.
    pub(crate) fn in_body(&self) -> bool {
        matches!(self, Self::Source(Source::Json(_) | Source::Form(_)))
    }
}

/// A JSON member that must equal a header.
#[derive(Debug)]
pub(crate) struct Binding {
    /// Always [`Source::Json`].
    pub(crate) member: Source,
    pub(crate) header: Source,
}

/// A static secret.
#[derive(Debug)]
pub(crate) struct TokenSpec {
    /// At least one.
    pub(crate) places: Vec<TokenPlace>,
    /// Whether a query token goes on to the upstream.
    pub(crate) forward: bool,
}

/// Where a static secret is.
#[derive(Debug)]
pub(crate) enum TokenPlace {
    Plain {
        source: Source,
        prefix: Box<str>,
    },
    /// `Authorization: Bearer …`
    Bearer,
    /// `Authorization: Basic …`; the secret is `user:password`.
    Basic,
}

impl Scheme {
    /// Puts the parts together and collects the JSON members they read.
    pub(crate) fn new(
        check: Check,
        timestamp: Option<TimeSpec>,
        id: Option<Source>,
        shapes: Vec<(Source, Shape)>,
        bindings: Vec<Binding>,
        dedupe: Vec<Combination>,
        bodies: Bodies,
    ) -> Arc<Self> {
        let names = Names::default();
        let mut scheme = Self { check, timestamp, id, shapes, bindings, names, paths: Vec::new() };
        scheme.names = Names::of(dedupe, bodies, &scheme);
        let json = |source: &Source| match source {
            Source::Json(path) => Some(path.clone()),
            _ => None,
        };
        let paths: Vec<JsonPath> = scheme.sources().into_iter().filter_map(json).collect();
        for path in paths {
            if !scheme.paths.contains(&path) {
                scheme.paths.push(path);
            }
        }
        Arc::new(scheme)
    }

    /// Every part of a request that the scheme reads, shapes aside.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        let mut found: Vec<&Source> = self.id.iter().collect();
        found.extend(self.bindings.iter().flat_map(|binding| [&binding.member, &binding.header]));
        if let Some(TimeSpec { place: TimePlace::Source(source), .. }) = &self.timestamp {
            found.push(source);
        }
        found.extend(self.names.sources());
        match &self.check {
            Check::Mac(mac) => {
                found.extend(&mac.signature.places);
                found.extend(&mac.key_id);
                for message in mac.messages() {
                    found.extend(message.template.sources());
                    found.extend(message.digests.iter().map(|digest| &digest.place));
                }
            }
            Check::Token(token) => found.extend(token.places.iter().filter_map(|place| match place {
                TokenPlace::Plain { source, .. } => Some(source),
                TokenPlace::Bearer | TokenPlace::Basic => None,
            })),
        }
        found
    }

    /// Header fields that it reads, in any order, some perhaps twice.
    pub fn headers_read(&self) -> Vec<&str> {
        let shaped = self.shapes.iter().map(|(source, _)| source);
        let mut names: Vec<&str> = self.sources().into_iter().chain(shaped).filter_map(Source::header).collect();
        if let Check::Token(token) = &self.check {
            let credentials = |place: &TokenPlace| matches!(place, TokenPlace::Bearer | TokenPlace::Basic);
            names.extend(token.places.iter().any(credentials).then_some("Authorization"));
        }
        names
    }

    /// Which kind of `verify` it is: `hmac`, `digest` or `token`.
    pub fn kind(&self) -> &'static str {
        match &self.check {
            Check::Mac(MacSpec { function: Function::Hmac, .. }) => "hmac",
            Check::Mac(MacSpec { function: Function::Digest, .. }) => "digest",
            Check::Token(_) => "token",
        }
    }

    /// What is hashed with; nothing, for a token.
    pub fn algorithm(&self) -> Option<&'static str> {
        match &self.check {
            Check::Mac(mac) => Some(mac.algorithm.as_str()),
            Check::Token(_) => None,
        }
    }

    /// Whether the secret itself is in the request, so that what is kept of it has a blank there.
    pub fn blanks_token(&self) -> bool {
        matches!(self.check, Check::Token(_))
    }

    /// Whether requests prove themselves by a token that is the same in all of them: who has a copy of one has the token.
    pub fn is_token(&self) -> bool {
        matches!(&self.check, Check::Token(_))
    }

    /// Whether a route needs secrets for it. True for every scheme there is today; public keys will need none.
    pub fn needs_secret(&self) -> bool {
        match &self.check {
            Check::Mac(_) | Check::Token(_) => true,
        }
    }

    /// Whether the public URL is signed, so that the route must name it.
    pub fn needs_public_url(&self) -> bool {
        match &self.check {
            Check::Mac(mac) => mac.messages().any(|message| message.template.has(&Segment::Url)),
            Check::Token(_) => false,
        }
    }

    /// Whether a change of any byte of the body is noticed.
    pub fn signs_body(&self) -> bool {
        match &self.check {
            Check::Mac(mac) => mac.messages().all(|message| message.template.covers_body() || message.digests_body()),
            Check::Token(_) => false,
        }
    }

    /// How far the signed time may be from the present, back and ahead; replay memory must last longer than both.
    pub fn window(&self) -> Option<(Duration, Duration)> {
        self.timestamp.as_ref().and_then(|time| time.window).map(|window| (window.back, window.ahead))
    }

    /// JSON members of the body that must equal a header: path and header name.
    pub fn bindings(&self) -> Vec<(String, &str)> {
        let pair = |binding: &'_ Binding| match &binding.member {
            Source::Json(path) => Some(path.to_string()),
            _ => None,
        };
        self.bindings.iter().filter_map(|binding| Some((pair(binding)?, binding.header.header()?))).collect()
    }

    /// Query parameters that hold the secret itself: stripped unless [`Scheme::forwards_secret`], and never shown.
    pub fn secret_query_parameters(&self) -> Vec<&str> {
        match &self.check {
            Check::Mac(_) => Vec::new(),
            Check::Token(token) => token.places.iter().filter_map(TokenPlace::query).collect(),
        }
    }

    /// Whether the route asked for the query token to go on to the upstream.
    pub fn forwards_secret(&self) -> bool {
        matches!(&self.check, Check::Token(token) if token.forward)
    }

    /// Header fields in which the proof stands.
    pub(super) fn proof_headers(&self) -> Vec<&str> {
        match &self.check {
            Check::Mac(mac) => mac.signature.places.iter().filter_map(Source::header).collect(),
            Check::Token(token) => token.places.iter().filter_map(TokenPlace::header).collect(),
        }
    }

    /// Header fields of which no change goes unnoticed: those of the proof, and those that are signed.
    pub fn proven_headers(&self) -> Vec<&str> {
        let stamp = match (&self.timestamp, &self.check) {
            (Some(TimeSpec { place: TimePlace::Source(source), .. }), Check::Mac(mac)) => {
                mac.messages().all(|message| message.template.has(&Segment::Timestamp)).then_some(source)
            }
            _ => None,
        };
        let signed = self.sources().into_iter().filter(|source| self.signs(source)).chain(stamp);
        let mut found: Vec<&str> = Vec::new();
        for name in self.proof_headers().into_iter().chain(signed.filter_map(Source::header)) {
            if !found.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                found.push(name);
            }
        }
        found
    }

    /// Every part of a request that the scheme reads by a name, and what it is.
    pub fn places(&self) -> Vec<(Class, Place<'_>)> {
        let (secrets, signatures): (Vec<&Source>, &[Source]) = match &self.check {
            Check::Mac(mac) => (Vec::new(), &mac.signature.places),
            Check::Token(token) => (token.places.iter().filter_map(TokenPlace::source).collect(), &[]),
        };
        let all = self.sources().into_iter().map(|source| match source {
            _ if secrets.contains(&source) => (Class::Secret, source),
            _ if signatures.contains(source) => (Class::Signature, source),
            _ => (Class::Plain, source),
        });
        let shapes = self.shapes.iter().map(|(source, _)| (Class::Plain, source));
        all.chain(shapes).filter_map(|(class, source)| Some((class, source.place()?))).collect()
    }
}

impl MacSpec {
    /// The default message and every variant's.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        std::iter::once(&self.message).chain(self.variants.iter().map(|(_, message)| message))
    }
}

impl TokenPlace {
    fn header(&self) -> Option<&str> {
        self.source().map_or(Some("Authorization"), Source::header)
    }

    fn source(&self) -> Option<&Source> {
        match self {
            Self::Plain { source, .. } => Some(source),
            Self::Bearer | Self::Basic => None,
        }
    }

    fn query(&self) -> Option<&str> {
        match self {
            Self::Plain { source, .. } => source.query(),
            Self::Bearer | Self::Basic => None,
        }
    }
}

impl Source {
    fn place(&self) -> Option<Place<'_>> {
        match self {
            Self::Header(name) => Some(Place::Field(name)),
            Self::Query(name) | Self::Form(name) => Some(Place::Member(name)),
            Self::Json(_) => None,
        }
    }

    pub(super) fn query(&self) -> Option<&str> {
        match self {
            Self::Query(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            _ => None,
        }
    }
}
