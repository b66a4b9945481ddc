//! From a raw `verify` table to a [`Scheme`], or to every problem it has.
//!
//! The rules that keep a scheme honest live here: a window must be over a signed time, a plain digest must have the secret
//! in it, a body cannot hold the signature of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;

use super::raw::{RawBinding, RawDedupe, RawEntry, RawToken, RawVerify};
use super::words::Scope;
use super::{jwt, message_signature, signed};
use crate::config::report::Problems;
use crate::scheme::Scheme;
use crate::scheme::check::Check;
use crate::scheme::check::mac::Function;
use crate::scheme::check::token::{TokenPlace, TokenSpec};
use crate::scheme::compiled::Binding;
use crate::scheme::identity::{Bodies, Combination, Dedupe};
use crate::scheme::shape::{Look, Pattern, Shape};
use crate::scheme::source::Source;

/// What a `verify` table says.
#[derive(Clone, Debug)]
pub enum CompiledVerify {
    /// Prove it by this scheme.
    Scheme(Arc<Scheme>),
    /// `dangerously_none = true`.
    DangerouslyNone,
}

/// Compiles a `verify` table; `key` is its key path, for instance `routes.legacy.verify`.
pub fn compile_verify(raw: &RawVerify, key: &str, problems: &mut Problems) -> Option<CompiledVerify> {
    let scheme = match raw {
        RawVerify::Hmac(raw) => signed::mac(raw, Function::Hmac, &mut Scope::at(key, "hmac", problems))?,
        RawVerify::Digest(raw) => signed::mac(raw, Function::Digest, &mut Scope::at(key, "digest", problems))?,
        RawVerify::PublicKey(raw) => signed::public_key(raw, &mut Scope::at(key, "public_key", problems))?,
        RawVerify::Jwt(raw) => jwt::compile(raw, &mut Scope::at(key, "jwt", problems))?,
        RawVerify::Token(raw) => compile_token(raw, &mut Scope::at(key, "token", problems))?,
        RawVerify::DangerouslyNone(yes) if *yes.get_ref() => return Some(CompiledVerify::DangerouslyNone),
        RawVerify::DangerouslyNone(no) => {
            let help = "leave it out and name a provider or a scheme, or say true and mean it";
            Scope::at(key, "dangerously_none", problems).problem(
                Some(no.span()),
                "",
                "expected true, found false",
                Some(help),
            );
            return None;
        }
        RawVerify::MessageSignature(raw) => {
            message_signature::compile(raw, &mut Scope::at(key, "message_signature", problems))?
        }
        RawVerify::Certificate(raw) => return not_yet(&mut Scope::at(key, "certificate", problems), raw.span()),
    };
    Some(CompiledVerify::Scheme(scheme))
}

fn not_yet(scope: &mut Scope<'_>, span: std::ops::Range<usize>) -> Option<CompiledVerify> {
    scope.problem(
        Some(span),
        "",
        "this kind of verification is not available yet",
        Some("hmac, digest, public_key, jwt, message_signature and token are"),
    );
    None
}

fn compile_token(raw: &RawToken, scope: &mut Scope<'_>) -> Option<Arc<Scheme>> {
    let places = token_places(raw, scope);
    let shapes = shapes(&raw.shapes, scope);
    let bindings = bindings(&raw.bindings, scope);
    let dedupe = dedupe(raw.dedupe.as_deref(), Vec::new(), scope);
    let bodies = bodies(raw.bodies.as_ref(), dedupe.as_deref(), scope);
    if let (Some(forward), true) = (&raw.forward, raw.query.is_none()) {
        scope.problem(
            Some(forward.span()),
            "forward",
            "only a query token is stripped, so only it can be forwarded",
            None,
        );
        return None;
    }
    let parts =
        |entry: &'_ Spanned<RawEntry>| entry.get_ref().0.iter().any(|part| matches!(part, RawDedupe::Signature));
    if let Some(entry) = raw.dedupe.iter().flatten().find(|entry| parts(entry)) {
        let help = "use an id of the request, or `body`";
        scope.problem(
            Some(entry.span()),
            "dedupe",
            "a static secret is the same in every request, so it tells none apart",
            Some(help),
        );
        return None;
    }
    let forward = raw.forward.as_ref().is_some_and(|forward| *forward.get_ref());
    let check = Check::Token(TokenSpec { places: places?, forward });
    Some(Scheme::new(check, None, None, shapes?, bindings?, dedupe?, bodies?))
}

fn token_places(raw: &RawToken, scope: &mut Scope<'_>) -> Option<Vec<TokenPlace>> {
    let mut sources = Vec::new();
    for header in raw.header.iter().chain(raw.headers.iter().flatten()) {
        sources.push(scope.header(header, "header"));
    }
    sources.extend(raw.query.as_ref().map(|text| scope.query(text, "query")));
    sources.extend(raw.form.as_ref().map(|text| scope.form(text, "form")));
    sources.extend(raw.json.as_ref().map(|text| scope.json(text, "json").map(Source::Json)));
    let prefix: Box<str> = raw.prefix.as_deref().unwrap_or_default().into();
    let plain = |source| TokenPlace::Plain { source, prefix: prefix.clone() };
    let mut places: Vec<TokenPlace> = sources.into_iter().collect::<Option<Vec<_>>>()?.into_iter().map(plain).collect();
    let on = |flag: &Option<Spanned<bool>>| flag.as_ref().is_some_and(|flag| *flag.get_ref());
    places.extend(on(&raw.bearer).then_some(TokenPlace::Bearer));
    places.extend(on(&raw.basic).then_some(TokenPlace::Basic));
    if places.is_empty() {
        let help = "for instance token = { query = \"api-key\" } or token = { bearer = true }";
        scope.problem(None, "", "says nowhere to look for the secret", Some(help));
        return None;
    }
    if on(&raw.bearer) && on(&raw.basic) {
        scope.problem(None, "basic", "bearer and basic want different secrets", Some("choose one of them"));
        return None;
    }
    Some(places)
}

pub(super) fn shapes(
    raw: &BTreeMap<Spanned<String>, Spanned<String>>,
    scope: &mut Scope<'_>,
) -> Option<Vec<(Source, Look)>> {
    let mut found = Some(Vec::new());
    for (part, look) in raw {
        let (part, look) = (shaped(part, scope), self::look(look, scope));
        found = match (found, part, look) {
            (Some(mut found), Some(part), Some(look)) => {
                found.push((part, look));
                Some(found)
            }
            _ => None,
        };
    }
    found
}

/// A header's name, or `json:path`, `query:name` and `form:name`.
fn shaped(part: &Spanned<String>, scope: &mut Scope<'_>) -> Option<Source> {
    let rest = |rest: &str| Spanned::new(part.span(), rest.to_owned());
    match part.get_ref().split_once(':') {
        Some(("json", path)) => scope.json(&rest(path), "shapes").map(Source::Json),
        Some(("query", name)) => scope.query(&rest(name), "shapes"),
        Some(("form", name)) => scope.form(&rest(name), "shapes"),
        _ => scope.header(part, "shapes"),
    }
}

/// A shape's name, or a pattern, which has a `*`.
fn look(text: &Spanned<String>, scope: &mut Scope<'_>) -> Option<Look> {
    if !text.get_ref().contains('*') {
        return scope.word(text, "shapes", &Shape::ALL, Shape::as_str).map(Look::Of);
    }
    let pattern = Pattern::parse(text.get_ref());
    if pattern.is_none() {
        let help = "something fixed stands first, and behind each * something that is no letter, digit, hyphen or underscore: \
             https://sns.*.amazonaws.com/*.pem";
        scope.problem(Some(text.span()), "shapes", format!("`{}` is no pattern", text.get_ref()), Some(help));
    }
    pattern.map(Look::Like)
}

pub(super) fn bindings(raw: &[RawBinding], scope: &mut Scope<'_>) -> Option<Vec<Binding>> {
    let compiled: Vec<Option<Binding>> = raw
        .iter()
        .map(|raw| {
            let (member, header) = (scope.json(&raw.json, "bindings"), scope.header(&raw.header, "bindings"));
            Some(Binding { member: Source::Json(member?), header: header? })
        })
        .collect();
    compiled.into_iter().collect()
}

pub(super) fn dedupe(
    raw: Option<&[Spanned<RawEntry>]>,
    default: Vec<Combination>,
    scope: &mut Scope<'_>,
) -> Option<Vec<Combination>> {
    let Some(raw) = raw else { return Some(default) };
    let compiled: Vec<Option<Combination>> = raw.iter().map(|raw| scope.combination(raw)).collect();
    compiled.into_iter().collect()
}

/// What the recipe knows of its provider's bodies, which must mean something beside these entries.
pub(super) fn bodies(
    raw: Option<&Spanned<String>>,
    dedupe: Option<&[Combination]>,
    scope: &mut Scope<'_>,
) -> Option<Bodies> {
    let Some(text) = raw else { return Some(Bodies::default()) };
    let bodies = scope.word(text, "bodies", &Bodies::ALL, Bodies::as_str)?;
    let entries = dedupe?;
    let is_id = |part: &Dedupe| matches!(part, Dedupe::Source(_));
    let problem = match bodies {
        _ if entries.is_empty() => Some("says nothing where dedupe is empty"),
        Bodies::ChangeOnRetry if !entries.iter().any(|entry| entry.parts.iter().any(is_id)) => {
            Some("needs an id in dedupe that stays the same when the body changes")
        }
        _ => None,
    };
    if let Some(what) = problem {
        scope.problem(Some(text.span()), "bodies", what, Some("leave bodies out, or name an id in dedupe"));
        return None;
    }
    Some(bodies)
}
