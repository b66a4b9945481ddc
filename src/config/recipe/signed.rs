//! `verify.hmac`, `verify.digest` and `verify.public_key`, compiled: whatever signs a message.

use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::raw::{
    RawBodyDigest, RawJwtKey, RawKey, RawKeyForm, RawKeyName, RawList, RawMac, RawPublicKey, RawSignature, RawSigned,
    RawTimestamp, RawVariant,
};
use super::verify::{bindings, bodies, dedupe, shapes};
use super::words::Scope;
use crate::scheme::Scheme;
use crate::scheme::check::Check;
use crate::scheme::check::envelope::Envelope;
use crate::scheme::check::mac::{Function, MacSpec};
use crate::scheme::check::public_key::{Family, KeyAlgorithm, KeyForm, PublicKeySpec};
use crate::scheme::compiled::{BodyDigest, Message, TimePlace, TimeSpec};
use crate::scheme::encoding::Encoding;
use crate::scheme::identity::{Combination, Dedupe};
use crate::scheme::key::KeyMaterial;
use crate::scheme::shape::Look;
use crate::scheme::source::Source;
use crate::scheme::template::{Segment, Template};
use crate::scheme::timestamp::{TimeFormat, Window};
use crate::scheme::wrapping::{Item, Named, SignatureSpec, Wrapping};

/// A window wider than this is none.
pub(super) const MAX_TOLERANCE: Duration = Duration::from_secs(7 * 24 * 3600);
pub(super) const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// Everything is looked at before anything is given up, so that one run shows every problem. `check` puts the kind's own keys
/// and the envelope together.
pub(super) fn compile<K>(
    raw: &RawSigned<K>,
    scope: &mut Scope<'_>,
    check: impl FnOnce(&RawSigned<K>, &mut Scope<'_>) -> Option<Box<dyn FnOnce(Envelope) -> Check>>,
) -> Option<Arc<Scheme>> {
    let check = check(raw, scope);
    let signature = signature(&raw.signature, scope);
    let (key_id, key_item) = match raw.key_id.as_ref().map(|name| key_name(name, scope)) {
        None => (Some(None), None),
        Some(KeyName::Source(source)) => (source.map(Some), None),
        Some(KeyName::Item(item)) => (Some(None), Some(item)),
    };
    let id = optional(raw.id.as_ref().map(|part| scope.part(part, "id")));
    let time = optional(raw.timestamp.as_ref().map(|raw| timestamp(raw, scope)));
    let shapes = shapes(&raw.shapes, scope);
    let bindings = bindings(&raw.bindings, scope);
    let message = message(&raw.message, "message", &raw.body_digests, scope);
    let variants = variants(&raw.variants, scope);
    let by_default = match &id {
        Some(Some(id)) => Dedupe::Source(id.clone()),
        _ => Dedupe::Signature,
    };
    let by_default = Combination { when: None, parts: vec![by_default] };
    let dedupe = dedupe(raw.dedupe.as_deref(), vec![by_default], scope);
    let bodies = bodies(raw.bodies.as_ref(), dedupe.as_deref(), scope);
    let (signature, message, variants, id, time) = (signature?, message?, variants?, id?, time?);

    let both_ports = raw.url_with_and_without_port;
    let each = each(raw.each.as_ref(), &signature, scope);
    let hashed = optional(raw.hashed.as_ref().map(|text| scope.algorithm(text, "hashed")));
    let (each, hashed) = (each?, hashed?);
    let check = check?(Envelope { signature, key_id: key_id?, key_item, message, variants, both_ports, each, hashed });
    if let (Some(text), Check::PublicKey(_)) = (&raw.each, &check) {
        scope.problem(Some(text.span()), "each", "is for hmac and digest", None);
        return None;
    }
    let texts = std::iter::once(&raw.message).chain(raw.variants.iter().map(|variant| &variant.message));
    let mut sound = true;
    let raw_time = raw.timestamp.as_ref();
    for (message, text) in check.envelope().into_iter().flat_map(Envelope::messages).zip(texts) {
        let rules = Rules { check: &check, id: id.as_ref(), time: time.as_ref(), shapes: shapes.as_deref(), raw_time };
        for (span, name, what, help) in rules.broken(message, text) {
            scope.problem(Some(span), name, what, help);
            sound = false;
        }
        for (what, help) in rules.doubtful(message) {
            scope.warning(text.span(), "message", what, help);
        }
    }
    let (shapes, bindings, dedupe, bodies) = (shapes?, bindings?, dedupe?, bodies?);
    sound.then(|| Scheme::new(check, time, id, shapes, bindings, dedupe, bodies))
}

/// Where the request names its key.
enum KeyName {
    Source(Option<Source>),
    Item(Item),
}

fn key_name(raw: &RawKeyName, scope: &mut Scope<'_>) -> KeyName {
    const NAME: &str = "key_id";
    KeyName::Source(match raw {
        RawKeyName::Item(name) => return KeyName::Item(Item::Named(name.get_ref().as_str().into())),
        RawKeyName::Header(text) => scope.header(text, NAME),
        RawKeyName::Query(text) => scope.query(text, NAME),
        RawKeyName::Form(text) => scope.form(text, NAME),
        RawKeyName::Json(text) => scope.json(text, NAME).map(Source::Json),
    })
}

/// The array whose elements are signed each by itself. The signature then stands in them.
#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn each(
    raw: Option<&Spanned<String>>,
    signature: &SignatureSpec,
    scope: &mut Scope<'_>,
) -> Option<Option<crate::scheme::json::JsonPath>> {
    let Some(text) = raw else { return Some(None) };
    let path = scope.json(text, "each")?;
    if !matches!(signature.places.as_slice(), [Source::Json(_)]) || signature.wrapping != Wrapping::Bare {
        let help = "signature = { json = \"…\" }, with a path that begins in the element";
        scope.problem(Some(text.span()), "each", "wants one signature, in a JSON member of each element", Some(help));
        return None;
    }
    Some(Some(path))
}

/// `verify.hmac` and `verify.digest`.
pub(super) fn mac(raw: &RawMac, function: Function, scope: &mut Scope<'_>) -> Option<Arc<Scheme>> {
    compile(raw, scope, |raw, scope| {
        let algorithm = scope.algorithm(&raw.algorithm, "algorithm");
        let key = key(raw.key.as_ref(), scope);
        let (algorithm, key) = (algorithm?, key?);
        Some(Box::new(move |envelope| Check::Mac(MacSpec { function, algorithm, key, envelope })))
    })
}

/// `verify.public_key`.
pub(super) fn public_key(raw: &RawPublicKey, scope: &mut Scope<'_>) -> Option<Arc<Scheme>> {
    compile(raw, scope, |raw, scope| {
        let algorithm = scope.word(&raw.algorithm, "algorithm", &KeyAlgorithm::ALL, KeyAlgorithm::as_str);
        let form = key_form(raw.key.as_ref(), scope);
        let (algorithm, form) = (algorithm?, form?);
        if let (Some(text), true, Family::Rsa) =
            (raw.key.as_ref().and_then(|key| key.form.as_ref()), form.raw, algorithm.family())
        {
            scope.problem(
                Some(text.span()),
                "key.form",
                "an RSA key is two numbers, and never raw",
                Some("leave it out"),
            );
            return None;
        }
        Some(Box::new(move |envelope| Check::PublicKey(PublicKeySpec { algorithm, form, envelope })))
    })
}

/// Absent is fine; present and wrong is not.
#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn optional<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    match compiled {
        None => Some(None),
        Some(compiled) => compiled.map(Some),
    }
}

type Broken = (std::ops::Range<usize>, &'static str, String, Option<&'static str>);

/// What must hold between the parts of a scheme.
struct Rules<'a> {
    check: &'a Check,
    id: Option<&'a Source>,
    time: Option<&'a TimeSpec>,
    shapes: Option<&'a [(Source, Look)]>,
    raw_time: Option<&'a Spanned<RawTimestamp>>,
}

impl Rules<'_> {
    fn broken(&self, message: &Message, text: &Spanned<String>) -> Vec<Broken> {
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
    fn doubtful(&self, message: &Message) -> Vec<(String, &'static str)> {
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

fn message(
    text: &Spanned<String>,
    name: &str,
    digests: &[Spanned<RawBodyDigest>],
    scope: &mut Scope<'_>,
) -> Option<Message> {
    let template = match Template::parse(text.get_ref()) {
        Ok(template) => Some(template),
        Err(fault) => {
            scope.problem(Some(text.span()), name, fault.what, fault.help.as_deref());
            None
        }
    };
    let digests: Vec<Option<BodyDigest>> = digests.iter().map(|raw| body_digest(raw, scope)).collect();
    Some(Message { template: template?, digests: digests.into_iter().collect::<Option<_>>()? })
}

fn variants(raw: &[RawVariant], scope: &mut Scope<'_>) -> Option<Vec<(Box<str>, Message)>> {
    let mut found: Option<Vec<(Box<str>, Message)>> = Some(Vec::new());
    for raw in raw {
        let content_type = raw.content_type.get_ref().trim().to_ascii_lowercase();
        if content_type.split('/').count() != 2 || content_type.contains([';', ' ']) {
            let what = format!("expected a media type, found `{}`", raw.content_type.get_ref());
            scope.problem(Some(raw.content_type.span()), "variants.content_type", what, Some("without parameters"));
            found = None;
        }
        let message = message(&raw.message, "variants.message", &raw.body_digests, scope);
        found = match (found, message) {
            (Some(found), _) if found.iter().any(|(known, _)| **known == content_type) => {
                scope.problem(Some(raw.content_type.span()), "variants.content_type", "is there twice", None);
                None
            }
            (Some(mut found), Some(message)) => {
                found.push((content_type.into(), message));
                Some(found)
            }
            _ => None,
        };
    }
    found
}

fn body_digest(raw: &Spanned<RawBodyDigest>, scope: &mut Scope<'_>) -> Option<BodyDigest> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let mut places = Vec::new();
    places.extend(raw.header.as_ref().map(|text| scope.header(text, "body_digests")));
    places.extend(raw.query.as_ref().map(|text| scope.query(text, "body_digests")));
    places.extend(raw.form.as_ref().map(|text| scope.form(text, "body_digests")));
    places.extend(raw.json.as_ref().map(|text| scope.json(text, "body_digests").map(Source::Json)));
    let algorithm = scope.algorithm(&raw.algorithm, "body_digests");
    let encoding = scope.encoding(raw.encoding.as_ref(), "body_digests");
    let place = sole(places, span, "body_digests", scope)?;
    let prefix = raw.prefix.as_deref().unwrap_or_default().into();
    Some(BodyDigest {
        place,
        prefix,
        algorithm: algorithm?,
        encoding: encoding?,
        required: raw.required.unwrap_or(true),
    })
}

/// Exactly one of several keys.
fn sole<T>(mut places: Vec<Option<T>>, span: std::ops::Range<usize>, name: &str, scope: &mut Scope<'_>) -> Option<T> {
    if places.len() != 1 {
        scope.problem(Some(span), name, format!("expected exactly one place, found {}", places.len()), None);
        return None;
    }
    places.pop().flatten()
}

fn signature(raw: &Spanned<RawSignature>, scope: &mut Scope<'_>) -> Option<SignatureSpec> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let mut places = Vec::new();
    for header in raw.header.iter().chain(raw.headers.iter().flatten()) {
        match &raw.numbered {
            None => places.push(scope.header(header, "signature.header")),
            Some(most) => places.extend(numbered(header, most, scope)),
        }
    }
    places.extend(raw.query.as_ref().map(|text| scope.query(text, "signature.query")));
    places.extend(raw.form.as_ref().map(|text| scope.form(text, "signature.form")));
    places.extend(raw.json.as_ref().map(|text| scope.json(text, "signature.json").map(Source::Json)));
    if places.is_empty() {
        scope.problem(Some(span), "signature", "says nowhere to look", Some("for instance header = \"X-Signature\""));
        return None;
    }
    let encoding = scope.encoding(raw.encoding.as_ref(), "signature.encoding");
    let wrapping = raw.list.as_ref().map_or(Some(Wrapping::Bare), |list| wrapping(list, scope));
    Some(SignatureSpec {
        places: places.into_iter().collect::<Option<_>>()?,
        wrapping: wrapping?,
        prefix: raw.prefix.as_deref().unwrap_or_default().into(),
        encoding: encoding?,
    })
}

/// `X-Signature-{n}`, from 1 to a number.
fn numbered(header: &Spanned<String>, most: &Spanned<u16>, scope: &mut Scope<'_>) -> Vec<Option<Source>> {
    if !header.get_ref().contains("{n}") || !(1..=100).contains(most.get_ref()) {
        let what = "expected a header name with {n} in it, and a number from 1 to 100";
        scope.problem(Some(most.span()), "signature.numbered", what, None);
        return vec![None];
    }
    let name = |n: u16| Spanned::new(header.span(), header.get_ref().replace("{n}", &n.to_string()));
    (1..=*most.get_ref()).map(|n| scope.header(&name(n), "signature.header")).collect()
}

fn wrapping(raw: &Spanned<RawList>, scope: &mut Scope<'_>) -> Option<Wrapping> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let separator = sign(&raw.separator, "signature.list.separator", scope);
    match (&raw.assign, &raw.names, &raw.from) {
        (Some(assign), Some(names), None) => {
            let assign = sign(assign, "signature.list.assign", scope);
            if names.get_ref().is_empty() || names.get_ref().iter().any(String::is_empty) {
                scope.problem(Some(names.span()), "signature.list.names", "expected at least one name", None);
                return None;
            }
            let names = names.get_ref().iter().map(|name| name.as_str().into()).collect();
            let fixed = raw.fixed.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
            Some(Wrapping::Named(Named { separator: separator?, assign: assign?, names, quoted: raw.quoted, fixed }))
        }
        (None, None, Some(from)) => {
            Some(Wrapping::Positional { separator: separator?, from: usize::from(*from.get_ref()) })
        }
        _ => {
            let help = "{ separator, assign, names } for named items, { separator, from } for positions";
            scope.problem(Some(span), "signature.list", "is neither by name nor by position", Some(help));
            None
        }
    }
}

fn sign(text: &Spanned<String>, name: &str, scope: &mut Scope<'_>) -> Option<u8> {
    match text.get_ref().as_bytes() {
        [byte] if byte.is_ascii_punctuation() || *byte == b' ' => Some(*byte),
        _ => {
            let what = format!("expected one punctuation character or a space, found `{}`", text.get_ref());
            scope.problem(Some(text.span()), name, what, None);
            None
        }
    }
}

pub(super) fn key(raw: Option<&RawKey>, scope: &mut Scope<'_>) -> Option<KeyMaterial> {
    let Some(raw) = raw else { return Some(KeyMaterial::default()) };
    let encoding = match &raw.encoding {
        Some(text) if text.get_ref() != "text" => scope.encoding(Some(text), "key.encoding").map(Some),
        _ => Some(None),
    };
    let hash = optional(raw.hash.as_ref().map(|text| scope.algorithm(text, "key.hash")));
    let prefix = raw.prefix.as_deref().map(Into::into);
    let suffix = raw.suffix.as_deref().map(Into::into);
    Some(KeyMaterial { prefix, encoding: encoding?, suffix, hash: hash? })
}

/// The key of a token with a shared secret.
pub(super) fn key_material(raw: &RawJwtKey, scope: &mut Scope<'_>) -> Option<KeyMaterial> {
    if let Some(form) = &raw.form {
        scope.problem(Some(form.span()), "key.form", "is for public keys", None);
        return None;
    }
    let (prefix, encoding) = (raw.prefix.clone(), raw.encoding.clone());
    key(Some(&RawKey { prefix, encoding, suffix: raw.suffix.clone(), hash: raw.hash.clone() }), scope)
}

/// The key of a token with a public one.
pub(super) fn jwt_key_form(raw: &RawJwtKey, scope: &mut Scope<'_>) -> Option<KeyForm> {
    key_form(
        Some(&RawKeyForm { prefix: raw.prefix.clone(), encoding: raw.encoding.clone(), form: raw.form.clone() }),
        scope,
    )
}

pub(super) fn key_form(raw: Option<&RawKeyForm>, scope: &mut Scope<'_>) -> Option<KeyForm> {
    let Some(raw) = raw else { return Some(KeyForm::default()) };
    let encoding = match &raw.encoding {
        Some(text) => scope.encoding(Some(text), "key.encoding"),
        None => Some(Encoding::Base64),
    };
    let form = match &raw.form {
        None => Some("der"),
        Some(text) => scope.word(text, "key.form", &["der", "raw", "certificate"], |form| form),
    }?;
    let prefix = raw.prefix.as_deref().map(Into::into);
    Some(KeyForm { prefix, encoding: encoding?, raw: form == "raw", certificate: form == "certificate" })
}

pub(super) fn timestamp(raw: &Spanned<RawTimestamp>, scope: &mut Scope<'_>) -> Option<TimeSpec> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let mut places: Vec<Option<TimePlace>> = Vec::new();
    let source = |source: Option<Source>| source.map(TimePlace::Source);
    places.extend(raw.header.as_ref().map(|text| source(scope.header(text, "timestamp.header"))));
    places.extend(raw.query.as_ref().map(|text| source(scope.query(text, "timestamp.query"))));
    places.extend(raw.form.as_ref().map(|text| source(scope.form(text, "timestamp.form"))));
    places.extend(raw.json.as_ref().map(|text| source(scope.json(text, "timestamp.json").map(Source::Json))));
    places.extend(raw.claim.as_ref().map(|text| source(scope.claim(text, "timestamp.claim"))));
    places.extend(raw.item.as_ref().map(|name| Some(TimePlace::Item(Item::Named(name.get_ref().as_str().into())))));
    let position = raw.position.as_ref().map(|at| usize::from(*at.get_ref()));
    places.extend(position.map(|at| Some(TimePlace::Item(Item::Position(at)))));
    let format = match &raw.format {
        None => Some(TimeFormat::Unix),
        Some(text) => scope.word(text, "timestamp.format", &TimeFormat::ALL, TimeFormat::as_str),
    };
    let back = raw.tolerance.as_ref();
    let back = back.map_or(Some(DEFAULT_TOLERANCE), |text| scope.duration(text, "timestamp.tolerance", MAX_TOLERANCE));
    let ahead = raw.tolerance_ahead.as_ref();
    let ahead = ahead.map_or(back, |text| scope.duration(text, "timestamp.tolerance_ahead", MAX_TOLERANCE));
    let place = sole(places, span.clone(), "timestamp", scope);
    if raw.informative && (raw.tolerance.is_some() || raw.tolerance_ahead.is_some()) {
        scope.problem(Some(span), "timestamp", "an informative time has no tolerance", None);
        return None;
    }
    let window = if raw.informative { None } else { Some(Window { back: back?, ahead: ahead? }) };
    Some(TimeSpec { place: place?, format: format?, window, expires: None })
}
