//! `verify.message_signature`, compiled: an envelope as every signature has one, with the parts that RFC 9421 fixes.

use std::sync::Arc;

use toml::Spanned;

use super::keys::{key, key_form};
use super::raw::{RawKey, RawKeyForm, RawMessageSignature};
use super::times::{DEFAULT_TOLERANCE, MAX_TOLERANCE};
use super::verify::{bindings, bodies, dedupe, shapes};
use super::words::Scope;
use crate::scheme::Scheme;
use crate::scheme::algorithm::Algorithm;
use crate::scheme::check::Check;
use crate::scheme::check::envelope::Envelope;
use crate::scheme::check::mac::{Function, MacSpec};
use crate::scheme::check::public_key::{KeyAlgorithm, PublicKeySpec};
use crate::scheme::compiled::{Message, TimePlace, TimeSpec};
use crate::scheme::encoding::Encoding;
use crate::scheme::identity::{Combination, Dedupe};
use crate::scheme::message_signature::{Base, CONTENT_DIGEST, Component, SIGNATURE};
use crate::scheme::source::Source;
use crate::scheme::template::Template;
use crate::scheme::timestamp::{TimeFormat, Window};
use crate::scheme::wrapping::{Item, SignatureSpec, Wrapping};

/// Components that a configuration may ask for.
const MAX_COMPONENTS: usize = 16;

/// What computes or verifies, and its name in the registry of RFC 9421.
#[derive(Clone, Copy)]
enum Signs {
    Hmac,
    Key(KeyAlgorithm),
}

const ALGORITHMS: [(&str, Signs); 5] = [
    ("hmac-sha256", Signs::Hmac),
    ("ed25519", Signs::Key(KeyAlgorithm::Ed25519)),
    ("ecdsa-p256-sha256", Signs::Key(KeyAlgorithm::EcdsaP256Fixed)),
    ("rsa-pss-sha512", Signs::Key(KeyAlgorithm::RsaPssSha512)),
    ("rsa-v1_5-sha256", Signs::Key(KeyAlgorithm::RsaSha256)),
];

pub(super) fn compile(raw: &RawMessageSignature, scope: &mut Scope<'_>) -> Option<Arc<Scheme>> {
    let algorithm = scope.word(&raw.algorithm, "algorithm", &ALGORITHMS, |(name, _)| name);
    let components = components(&raw.components, scope);
    let label = label(raw.label.as_ref(), scope);
    let window = window(raw, scope);
    let shapes = shapes(&raw.shapes, scope);
    let bindings = bindings(&raw.bindings, scope);
    let by_default = Combination { when: None, parts: vec![Dedupe::Signature] };
    let dedupe = dedupe(raw.dedupe.as_deref(), vec![by_default], scope);
    let bodies = bodies(raw.bodies.as_ref(), dedupe.as_deref(), scope);
    let ((name, signs), components, label) = (algorithm?, components?, label?);
    let keys = keys(raw.key.as_ref(), signs, scope);
    if !components.contains(&Component::Header(CONTENT_DIGEST.into())) {
        let what = "does not cover content-digest, so the body is not signed";
        let help = "add \"content-digest\", where the sender covers it";
        scope.warning(raw.components.span(), "components", what, help);
    }
    let base = Base::new(label.clone(), components, name, raw.named_keys);
    let envelope = Envelope {
        signature: SignatureSpec {
            places: vec![Source::Header(SIGNATURE.into())],
            wrapping: Wrapping::Dictionary { label },
            prefix: "".into(),
            encoding: Encoding::Base64,
        },
        key_id: None,
        key_item: raw.named_keys.then(|| Item::Named("keyid".into())),
        message: Message { template: Template::of_base(base), digests: Vec::new() },
        variants: Vec::new(),
        both_ports: false,
        each: None,
        hashed: None,
    };
    let check = match (signs, keys?) {
        (Signs::Hmac, Keys::Secret(raw)) => {
            let key = key(raw.as_ref(), scope)?;
            Check::Mac(MacSpec { function: Function::Hmac, algorithm: Algorithm::Sha256, key, envelope })
        }
        (Signs::Key(algorithm), Keys::Public(raw)) => {
            let form = key_form(raw, scope)?;
            Check::PublicKey(PublicKeySpec { algorithm, form, envelope })
        }
        _ => return None,
    };
    let time = TimeSpec {
        place: TimePlace::Item(Item::Named("created".into())),
        format: TimeFormat::Unix,
        window: Some(window?),
        expires: Some(Item::Named("expires".into())),
    };
    Some(Scheme::new(check, Some(time), None, shapes?, bindings?, dedupe?, bodies?))
}

/// What the table `key` is for.
enum Keys<'r> {
    Secret(Option<RawKey>),
    Public(Option<&'r RawKeyForm>),
}

fn keys<'r>(raw: Option<&'r RawKeyForm>, signs: Signs, scope: &mut Scope<'_>) -> Option<Keys<'r>> {
    match (signs, raw) {
        (Signs::Hmac, None) => Some(Keys::Secret(None)),
        (Signs::Hmac, Some(RawKeyForm { form: Some(form), .. })) => {
            scope.problem(Some(form.span()), "key.form", "is for public keys", Some("leave it out"));
            None
        }
        (Signs::Hmac, Some(raw)) => {
            let (prefix, encoding) = (raw.prefix.clone(), raw.encoding.clone());
            Some(Keys::Secret(Some(RawKey { prefix, encoding, suffix: None, hash: None })))
        }
        (Signs::Key(_), raw) => Some(Keys::Public(raw)),
    }
}

fn components(raw: &Spanned<Vec<Spanned<String>>>, scope: &mut Scope<'_>) -> Option<Vec<Component>> {
    let list = raw.get_ref();
    if !(1..=MAX_COMPONENTS).contains(&list.len()) {
        let what = format!("expected 1 to {MAX_COMPONENTS} components, found {}", list.len());
        let help = "for instance [\"@method\", \"@target-uri\", \"content-digest\"]";
        scope.problem(Some(raw.span()), "components", what, Some(help));
        return None;
    }
    let mut found: Option<Vec<Component>> = Some(Vec::new());
    for text in list {
        let component = Component::parse(text.get_ref());
        let known = found.as_ref().zip(component.as_ref()).is_some_and(|(found, component)| found.contains(component));
        match component {
            Some(component) if !known => found.iter_mut().for_each(|found| found.push(component.clone())),
            Some(_) => {
                scope.problem(Some(text.span()), "components", format!("`{}` is there twice", text.get_ref()), None);
                found = None;
            }
            None => {
                let what = format!("`{}` is no component", text.get_ref());
                let help = "a header in lower case, or one of @method, @target-uri, @authority, @scheme, @request-target, @path and @query";
                scope.problem(Some(text.span()), "components", what, Some(help));
                found = None;
            }
        }
    }
    found
}

#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn label(raw: Option<&Spanned<String>>, scope: &mut Scope<'_>) -> Option<Option<Box<str>>> {
    let Some(text) = raw else { return Some(None) };
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
    let label = text.get_ref();
    if label.starts_with(|first: char| first.is_ascii_lowercase()) && label.len() <= 64 && label.bytes().all(good) {
        return Some(Some(label.as_str().into()));
    }
    let what = format!("expected a label, found `{label}`");
    scope.problem(Some(text.span()), "label", what, Some("for instance sig1, in lower case"));
    None
}

fn window(raw: &RawMessageSignature, scope: &mut Scope<'_>) -> Option<Window> {
    let back = raw.tolerance.as_ref();
    let back = back.map_or(Some(DEFAULT_TOLERANCE), |text| scope.duration(text, "tolerance", MAX_TOLERANCE));
    let ahead = raw.tolerance_ahead.as_ref();
    let ahead = ahead.map_or(back, |text| scope.duration(text, "tolerance_ahead", MAX_TOLERANCE));
    Some(Window { back: back?, ahead: ahead? })
}
