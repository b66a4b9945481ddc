//! `verify.hmac`, `verify.digest` and `verify.public_key`, compiled: whatever signs a message.

mod place;
mod rules;

use std::sync::Arc;

use toml::Spanned;

use super::keys::{key, key_form};
use super::raw::{RawBodyDigest, RawKeyName, RawMac, RawPublicKey, RawSigned, RawVariant};
use super::times::timestamp;
use super::verify::{bindings, bodies, dedupe, shapes};
use super::words::{Scope, optional, sole};
use crate::scheme::Scheme;
use crate::scheme::check::Check;
use crate::scheme::check::envelope::Envelope;
use crate::scheme::check::mac::{Function, MacSpec};
use crate::scheme::check::public_key::{Family, KeyAlgorithm, PublicKeySpec};
use crate::scheme::compiled::{BodyDigest, Message};
use crate::scheme::identity::{Combination, Dedupe};
use crate::scheme::source::Source;
use crate::scheme::template::Template;
use crate::scheme::wrapping::{Item, SignatureSpec, Wrapping};
use place::signature;
use rules::Rules;

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
