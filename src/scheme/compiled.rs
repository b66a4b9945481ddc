//! A compiled scheme: immutable, shared by every route that uses it, and free of secrets.
//!
//! `config::recipe` compiles one from a recipe or from `[routes.x.verify]`; all rules about what goes together are checked
//! there, so nothing here can be half configured.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::Algorithm;
use super::check::Check;
use super::check::envelope::Envelope;
use super::check::jwt::JwtSpec;
use super::check::jwt::algorithm::JwtAlgorithm;
use super::check::public_key;
use super::check::token::TokenPlace;
use super::encoding::Encoding;
use super::identity::{Bodies, Combination, Names};
use super::json::JsonPath;
use super::shape::{Look, Shape};
use super::source::Source;
use super::template::Template;
use super::timestamp::{TimeFormat, Window};
use super::wrapping::Item;
use crate::base::Secret;
use crate::domain::{Class, Place};

/// How a request proves that it is genuine.
#[derive(Debug)]
pub struct Scheme {
    pub(crate) check: Check,
    pub(crate) timestamp: Option<TimeSpec>,
    /// What `{id}` stands for.
    pub(crate) id: Option<Source>,
    /// Parts of the request and what they must look like.
    pub(crate) shapes: Vec<(Source, Look)>,
    pub(crate) bindings: Vec<Binding>,
    /// Shapes that no body may have: whoever asks gets the signature of such a text, as the answer to a challenge.
    pub(crate) reserved: Vec<Shape>,
    /// What dedupe memory knows a request by.
    pub(crate) names: Names,
    /// Every JSON member that any of the above reads, so that one pass over the body finds them all.
    pub(crate) paths: Vec<JsonPath>,
    /// The same for claims of its token.
    pub(crate) claims: Vec<JsonPath>,
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
    /// Where a sender says until when its signature is good.
    pub(crate) expires: Option<Item>,
}

/// Where the time is.
#[derive(Debug, PartialEq)]
pub(crate) enum TimePlace {
    Source(Source),
    /// Beside the signature, in the same header.
    Item(Item),
}

impl TimeSpec {
    /// Whether nobody but the provider can write it.
    pub(crate) fn is_signed(&self, scheme: &Scheme) -> bool {
        match &self.place {
            TimePlace::Source(source) => scheme.signs(source),
            TimePlace::Item(_) => false,
        }
    }
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

impl Scheme {
    /// Puts the parts together and collects the JSON members they read.
    pub(crate) fn new(
        check: Check,
        timestamp: Option<TimeSpec>,
        id: Option<Source>,
        shapes: Vec<(Source, Look)>,
        bindings: Vec<Binding>,
        dedupe: Vec<Combination>,
        bodies: Bodies,
    ) -> Arc<Self> {
        let names = Names::default();
        let mut scheme = Self {
            check,
            timestamp,
            id,
            shapes,
            bindings,
            reserved: Vec::new(),
            names,
            paths: Vec::new(),
            claims: Vec::new(),
        };
        scheme.names = Names::of(dedupe, bodies, &scheme);
        let json = |source: &Source| match source {
            Source::Json(path) => Some(path.clone()),
            _ => None,
        };
        let shaped = scheme.shapes.iter().map(|(source, _)| source);
        let paths: Vec<JsonPath> = scheme.sources().into_iter().chain(shaped).filter_map(json).collect();
        for path in paths {
            if !scheme.paths.contains(&path) {
                scheme.paths.push(path);
            }
        }
        let claim = |source: &Source| match source {
            Source::Claim(path) => Some(path.clone()),
            _ => None,
        };
        let of_spec = scheme.check.jwt().into_iter().flat_map(JwtSpec::claim_paths).cloned();
        let claims: Vec<JsonPath> = scheme.sources().into_iter().filter_map(claim).chain(of_spec).collect();
        for path in claims {
            if !scheme.claims.contains(&path) {
                scheme.claims.push(path);
            }
        }
        Arc::new(scheme)
    }

    /// Claims whose value a route must say: the recipe cannot know it.
    pub fn claims_of_route(&self) -> Vec<String> {
        self.check.jwt().into_iter().flat_map(JwtSpec::claims_of_route).map(ToString::to_string).collect()
    }

    /// Every part of a request that the scheme reads, shapes aside.
    pub(crate) fn sources(&self) -> Vec<&Source> {
        let mut found: Vec<&Source> = self.id.iter().collect();
        found.extend(self.bindings.iter().flat_map(|binding| [&binding.member, &binding.header]));
        if let Some(TimeSpec { place: TimePlace::Source(source), .. }) = &self.timestamp {
            found.push(source);
        }
        found.extend(self.names.sources());
        found.extend(self.check.kind().sources());
        found.extend(self.check.envelope().into_iter().flat_map(Envelope::sources));
        found.extend(self.check.jwt().into_iter().flat_map(JwtSpec::parts));
        found
    }

    /// Header fields that it reads, in any order, some perhaps twice.
    pub fn headers_read(&self) -> Vec<&str> {
        let shaped = self.shapes.iter().map(|(source, _)| source);
        let mut names: Vec<&str> = self.sources().into_iter().chain(shaped).filter_map(Source::header).collect();
        let of_proof = self.check.kind().headers();
        let new: Vec<&str> =
            of_proof.into_iter().filter(|name| !names.iter().any(|known| known.eq_ignore_ascii_case(name))).collect();
        names.extend(new);
        names
    }

    /// Which kind of `verify` it is: `hmac`, `digest`, `public_key`, `jwt` or `token`.
    pub fn kind(&self) -> &'static str {
        self.check.kind().name()
    }

    /// What is hashed or signed with; nothing, for a token.
    pub fn algorithm(&self) -> Option<&'static str> {
        self.check.kind().algorithm()
    }

    /// Whether requests prove themselves by a token that is the same in all of them: who has a copy of one has the token, and
    /// what is kept of a request has a blank there.
    pub fn is_token(&self) -> bool {
        self.check.kind().class() == Class::Secret
    }

    /// Whether a route gives it public keys, and no secrets.
    pub fn takes_public_keys(&self) -> bool {
        self.check.kind().takes_public_keys()
    }

    /// A new private key for it, and the public one to that, both as PEM: for tests and demonstrations. `None` where it takes
    /// secrets.
    pub fn fresh_pair(&self) -> Option<(Secret, String)> {
        let algorithm = match &self.check {
            Check::PublicKey(spec) => spec.algorithm,
            Check::Jwt(spec) => match spec.algorithms.first()? {
                JwtAlgorithm::Public(algorithm) => *algorithm,
                JwtAlgorithm::Shared(_) => return None,
            },
            Check::Mac(_) | Check::Token(_) => return None,
        };
        let private = public_key::fresh(algorithm)?;
        let public = public_key::public_of(algorithm, private.expose())?;
        Some((private, public))
    }

    /// Whether a request is verified in one piece, so that its body is copied for that.
    pub fn copies_body(&self) -> bool {
        match &self.check {
            Check::PublicKey(spec) => spec.algorithm.copies(),
            Check::Jwt(spec) => spec.copies_body(),
            Check::Mac(_) | Check::Token(_) => false,
        }
    }

    /// Whether the public URL is signed, so that the route must name it.
    pub fn needs_public_url(&self) -> bool {
        self.check.envelope().is_some_and(Envelope::signs_url) || self.check.jwt().is_some_and(JwtSpec::signs_url)
    }

    /// Whether a change of any byte of the body is noticed.
    pub fn signs_body(&self) -> bool {
        self.check.envelope().is_some_and(Envelope::signs_body) || self.check.jwt().is_some_and(JwtSpec::signs_body)
    }

    /// Whether a request is refused for the time that it carries.
    pub fn judges_time(&self) -> bool {
        self.window().is_some() || self.check.jwt().is_some()
    }

    /// How far the signed time may be from the present, back and ahead; dedupe memory must last longer than both.
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
            Check::Token(token) => token.places.iter().filter_map(TokenPlace::query).collect(),
            Check::Mac(_) | Check::PublicKey(_) | Check::Jwt(_) => Vec::new(),
        }
    }

    /// Whether the route asked for the query token to go on to the upstream.
    pub fn forwards_secret(&self) -> bool {
        matches!(&self.check, Check::Token(token) if token.forward)
    }

    /// Header fields of which no change goes unnoticed: those of the proof, and those that are signed.
    pub fn proven_headers(&self) -> Vec<&str> {
        let stamp = match (&self.timestamp, self.check.envelope()) {
            (Some(TimeSpec { place: TimePlace::Source(source), .. }), Some(envelope)) => {
                envelope.signs_timestamp().then_some(source)
            }
            _ => None,
        };
        let signed = self.sources().into_iter().filter(|source| self.signs(source)).chain(stamp);
        let mut found: Vec<&str> = Vec::new();
        for name in self.check.kind().headers().into_iter().chain(signed.filter_map(Source::header)) {
            if !found.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                found.push(name);
            }
        }
        found
    }

    /// Every part of a request that the scheme reads by a name, and what it is.
    pub fn places(&self) -> Vec<(Class, Place<'_>)> {
        let kind = self.check.kind();
        let proof = kind.sources();
        let all = self.sources().into_iter().map(|source| match source {
            _ if proof.contains(&source) => (kind.class(), source),
            _ => (Class::Plain, source),
        });
        let shapes = self.shapes.iter().map(|(source, _)| (Class::Plain, source));
        all.chain(shapes).filter_map(|(class, source)| Some((class, source.place()?))).collect()
    }
}

impl Source {
    fn place(&self) -> Option<Place<'_>> {
        match self {
            Self::Header(name) => Some(Place::Field(name)),
            Self::Query(name) | Self::Form(name) => Some(Place::Member(name)),
            Self::Json(_) | Self::Claim(_) => None,
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
