//! How the key of a scheme is written: a secret that a MAC is made with, or a public key.

use super::raw::{RawJwtKey, RawKey, RawKeyForm};
use super::words::{Scope, optional};
use crate::scheme::check::public_key::KeyForm;
use crate::scheme::encoding::Encoding;
use crate::scheme::key::KeyMaterial;

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
