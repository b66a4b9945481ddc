//! `verify.jwt`, compiled: a signed token, and what it must say.

use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;

use super::keys::{jwt_key_form, key_material};
use super::raw::{RawHashClaim, RawJwt, RawJwtPlace};
use super::times::timestamp;
use super::verify::{bindings, bodies, dedupe, shapes};
use super::words::{Parts, Scope};
use crate::scheme::Scheme;
use crate::scheme::check::Check;
use crate::scheme::check::jwt::algorithm::JwtAlgorithm;
use crate::scheme::check::jwt::token::EMBEDDED;
use crate::scheme::check::jwt::{Claim, Detached, HashClaim, JwtSpec, MAX_AUDIENCES, MAX_LISTED, Place, Wanted};
use crate::scheme::check::public_key::KeyForm;
use crate::scheme::identity::{Combination, Dedupe};
use crate::scheme::json::JsonPath;
use crate::scheme::key::KeyMaterial;
use crate::scheme::source::Source;
use crate::scheme::template::{Segment, Template};

const MAX_LEEWAY: Duration = Duration::from_secs(3600);
const DEFAULT_LEEWAY: Duration = Duration::from_secs(60);
/// Claims and members that one scheme may ask for.
const MAX_CLAIMS: usize = 32;

pub(super) fn compile(raw: &RawJwt, scope: &mut Scope<'_>) -> Option<Arc<Scheme>> {
    let algorithms = algorithms(&raw.algorithms, scope);
    let place = place(&raw.token, scope);
    let detached = detached(raw, scope);
    let jose = jose(raw, scope);
    let claims = claims(raw, scope);
    let hashes: Vec<Option<HashClaim>> = raw.hashes.iter().map(|raw| hash(raw, scope)).collect();
    let hashes: Option<Vec<HashClaim>> = hashes.into_iter().collect();
    let leeway = match &raw.leeway {
        Some(text) => scope.duration(text, "leeway", MAX_LEEWAY),
        None => Some(DEFAULT_LEEWAY),
    };
    let time = match &raw.timestamp {
        Some(raw) => timestamp(raw, scope).map(Some),
        None => Some(None),
    };
    let shapes = shapes(&raw.shapes, scope);
    let bindings = bindings(&raw.bindings, scope);
    let by_default = Combination { when: None, parts: vec![Dedupe::Signature] };
    let dedupe = dedupe(raw.dedupe.as_deref(), vec![by_default], scope);
    let bodies = bodies(raw.bodies.as_ref(), dedupe.as_deref(), scope);
    let algorithms = algorithms?;
    let keys = keys(raw, &algorithms, scope);
    let (key, form) = keys?;
    let spec = JwtSpec {
        algorithms,
        place: place?,
        detached: detached?,
        kid: raw.kid,
        jose: jose?,
        claims: claims?,
        hashes: hashes?,
        leeway: leeway?,
        key,
        form,
    };
    let (time, shapes, bindings, dedupe, bodies) = (time?, shapes?, bindings?, dedupe?, bodies?);
    let check = Check::Jwt(spec);
    let before = scope.problems.len();
    rules(raw, &check, scope);
    let scheme = Scheme::new(check, time, None, shapes, bindings, dedupe, bodies);
    lasting(raw, &scheme, scope);
    (scope.problems.len() == before).then_some(scheme)
}

/// One kind of keys for all of them: a public key is no secret, and must never be taken for one.
fn algorithms(raw: &Spanned<Vec<Spanned<String>>>, scope: &mut Scope<'_>) -> Option<Vec<JwtAlgorithm>> {
    let mut found: Option<Vec<JwtAlgorithm>> = Some(Vec::new());
    for text in raw.get_ref() {
        if text.get_ref().eq_ignore_ascii_case("none") {
            let what = "a token without a signature proves nothing, and is never taken";
            scope.problem(Some(text.span()), "algorithms", what, None);
            found = None;
            continue;
        }
        let algorithm = scope.word(text, "algorithms", &JwtAlgorithm::ALL, JwtAlgorithm::as_str);
        match (&mut found, algorithm) {
            (Some(found), Some(algorithm)) if found.contains(&algorithm) => {
                scope.problem(Some(text.span()), "algorithms", "is there twice", None);
            }
            (Some(found), Some(algorithm)) => found.push(algorithm),
            _ => found = None,
        }
    }
    let found = found?;
    let shared = found.iter().filter(|algorithm| matches!(algorithm, JwtAlgorithm::Shared(_))).count();
    if found.is_empty() || (shared > 0 && shared < found.len()) {
        let what = "expected one or more, all with shared secrets (HS…) or all with public keys";
        let help = "a public key must never be taken for a shared secret: make two routes";
        scope.problem(Some(raw.span()), "algorithms", what, Some(help));
        return None;
    }
    Some(found)
}

fn place(raw: &Spanned<RawJwtPlace>, scope: &mut Scope<'_>) -> Option<Place> {
    let (span, raw) = (raw.span(), raw.get_ref());
    let source = |source: Option<Source>| source.map(Place::Source);
    let parts = Parts {
        header: raw.header.as_ref(),
        query: raw.query.as_ref(),
        form: raw.form.as_ref(),
        json: raw.json.as_ref(),
    };
    let mut places: Vec<Option<Place>> = scope.parts(parts, "token").into_iter().map(source).collect();
    places.extend(raw.body.then_some(Some(Place::Body)));
    if places.len() != 1 {
        let help =
            "for instance token = { header = \"Authorization\" }, or { body = true } for a body that is the token";
        let what = format!("expected exactly one place, found {}", places.len());
        scope.problem(Some(span), "token", what, Some(help));
        return None;
    }
    places.pop().flatten()
}

fn template(text: &Spanned<String>, name: &str, listed: bool, scope: &mut Scope<'_>) -> Option<Template> {
    let template = match Template::parse(text.get_ref()) {
        Ok(template) => template,
        Err(fault) => {
            scope.problem(Some(text.span()), name, fault.what, fault.help.as_deref());
            return None;
        }
    };
    let mut odd = None;
    template.any(&mut |segment| {
        odd = match segment {
            Segment::Secret => Some("{secret}"),
            Segment::Timestamp => Some("{timestamp}"),
            Segment::Id => Some("{id}"),
            Segment::KeyId => Some("{key_id}"),
            Segment::Item(_) => Some("{item:…}"),
            Segment::Listed(_) if !listed => Some("{listed:…}"),
            _ => None,
        };
        odd.is_some()
    });
    if let Some(odd) = odd {
        scope.problem(
            Some(text.span()),
            name,
            format!("{odd} is not available here"),
            Some("name the part itself, as {header:…}"),
        );
        return None;
    }
    Some(template)
}

#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn detached(raw: &RawJwt, scope: &mut Scope<'_>) -> Option<Option<Detached>> {
    let Some(text) = &raw.payload else {
        if raw.unencoded || !raw.listed.is_empty() {
            let what = "is for tokens whose payload is left out: payload says what it is";
            scope.problem(None, if raw.unencoded { "unencoded" } else { "listed" }, what, None);
            return None;
        }
        return Some(None);
    };
    let message = template(text, "payload", true, scope);
    let listed: Vec<Option<Source>> = raw.listed.iter().map(|text| scope.header(text, "listed")).collect();
    let listed: Option<Vec<Source>> = listed.into_iter().collect();
    let (message, listed) = (message?, listed?);
    let lists = message.segments().iter().filter(|segment| matches!(segment, Segment::Listed(_))).count();
    let mut everywhere = 0;
    message.any(&mut |segment| {
        everywhere += usize::from(matches!(segment, Segment::Listed(_)));
        false
    });
    // In a group it could be left out.
    if lists > 1 || lists != everywhere || listed.len() > MAX_LISTED || (lists == 0 && !listed.is_empty()) {
        let what = format!("expected one {{listed:…}} in payload, and up to {MAX_LISTED} names of fields in listed");
        scope.problem(Some(text.span()), "payload", what, None);
        return None;
    }
    Some(Some(Detached { message, unencoded: raw.unencoded, listed }))
}

type Jose = Vec<(Box<str>, Vec<Box<str>>)>;

fn jose(raw: &RawJwt, scope: &mut Scope<'_>) -> Option<Jose> {
    let mut found: Option<Jose> = Some(Vec::new());
    for (name, values) in &raw.jose {
        let own = ["alg", "kid", "crit", "b64"].contains(&name.get_ref().as_str());
        if own || values.get_ref().is_empty() || values.get_ref().iter().any(|value| value.get_ref().is_empty()) {
            let what = match own {
                true => format!("`{}` has a key of its own: algorithms, kid or unencoded", name.get_ref()),
                false => format!("expected one or more texts for `{}`", name.get_ref()),
            };
            scope.problem(Some(name.span()), "jose", what, None);
            found = None;
        }
        let texts = values.get_ref().iter().map(|value| value.get_ref().as_str().into()).collect();
        if let Some(found) = &mut found {
            found.push((name.get_ref().as_str().into(), texts));
        }
    }
    found
}

fn claims(raw: &RawJwt, scope: &mut Scope<'_>) -> Option<Vec<Claim>> {
    let mut found: Option<Vec<Claim>> = Some(Vec::new());
    let mut add = |path: Option<JsonPath>, wanted: Wanted, at: &Spanned<String>, scope: &mut Scope<'_>| match (
        path, &mut found,
    ) {
        (Some(path), Some(claims)) if claims.iter().any(|claim| claim.path == path) => {
            scope.problem(Some(at.span()), "claims", format!("claim {path} is there twice"), None);
            found = None;
        }
        (Some(path), Some(claims)) => {
            let is_audience = path.to_string() == "aud";
            let element = |at: usize| JsonPath::parse(&format!("aud.{at}"));
            let elements = if is_audience { (0..MAX_AUDIENCES).filter_map(element).collect() } else { Vec::new() };
            claims.push(Claim { path, elements, wanted });
        }
        (None, _) => found = None,
        (_, None) => {}
    };
    for (name, values) in &raw.claims {
        let texts: Vec<Box<str>> = values.get_ref().iter().map(|value| value.get_ref().as_str().into()).collect();
        if texts.is_empty() {
            let what = format!("claim {} has no value that would be right", name.get_ref());
            scope.problem(
                Some(values.span()),
                "claims",
                what,
                Some("a list of texts; `required` asks for its presence alone"),
            );
        }
        let path = scope.json(name, "claims");
        add(path, Wanted::OneOf(texts), name, scope);
    }
    for name in &raw.of_route {
        let path = scope.json(name, "of_route");
        add(path, Wanted::OfRoute, name, scope);
    }
    for name in &raw.required {
        let path = scope.json(name, "required");
        add(path, Wanted::Present, name, scope);
    }
    let found = found?;
    if found.len() > MAX_CLAIMS {
        scope.problem(None, "claims", format!("more than {MAX_CLAIMS} claims"), None);
        return None;
    }
    Some(found)
}

fn hash(raw: &Spanned<RawHashClaim>, scope: &mut Scope<'_>) -> Option<HashClaim> {
    let raw = raw.get_ref();
    let path = scope.json(&raw.claim, "hashes.claim");
    let of = template(&raw.of, "hashes.of", false, scope);
    let algorithm = scope.algorithm(&raw.algorithm, "hashes.algorithm");
    let encoding = scope.encoding(raw.encoding.as_ref(), "hashes.encoding");
    let (path, of) = (path?, of?);
    if raw.absent_if_empty && !of.covers_body() {
        let what = "is for digests of the body: only that may be empty";
        scope.problem(Some(raw.of.span()), "hashes.absent_if_empty", what, None);
        return None;
    }
    Some(HashClaim { path, of, algorithm: algorithm?, encoding: encoding?, absent_if_empty: raw.absent_if_empty })
}

fn keys(raw: &RawJwt, algorithms: &[JwtAlgorithm], scope: &mut Scope<'_>) -> Option<(KeyMaterial, KeyForm)> {
    let Some(key) = &raw.key else { return Some((KeyMaterial::default(), KeyForm::default())) };
    let shared = algorithms.iter().any(|algorithm| matches!(algorithm, JwtAlgorithm::Shared(_)));
    match shared {
        true => Some((key_material(key.get_ref(), scope)?, KeyForm::default())),
        false if key.get_ref().suffix.is_some() || key.get_ref().hash.is_some() => {
            scope.problem(Some(key.span()), "key", "suffix and hash are for shared secrets", None);
            None
        }
        false => Some((KeyMaterial::default(), jwt_key_form(key.get_ref(), scope)?)),
    }
}

/// What cannot be.
fn rules(raw: &RawJwt, check: &Check, scope: &mut Scope<'_>) {
    let Some(spec) = check.jwt() else { return };
    let in_body = matches!(spec.place, Place::Body | Place::Source(Source::Json(_) | Source::Form(_)));
    let of_body = spec.detached.as_ref().is_some_and(|detached| detached.message.covers_body())
        || spec.hashes.iter().any(|hash| hash.of.covers_body());
    if in_body && of_body {
        scope.problem(Some(raw.token.span()), "token", "stands inside the body that it signs", None);
    }
    let in_url = matches!(spec.place, Place::Source(Source::Query(_)));
    if in_url && spec.signs_url() {
        scope.problem(Some(raw.token.span()), "token", "stands inside the URL that it signs", None);
    }
    if let (Some(detached), Some(text)) = (&spec.detached, &raw.payload) {
        let of_request = |segment: &Segment| !matches!(segment, Segment::Literal(_) | Segment::Listed(_));
        if !detached.message.segments().iter().any(of_request) {
            let what = "has nothing of the request in it, so it proves nothing";
            scope.problem(Some(text.span()), "payload", what, Some("sign at least {body}"));
        }
        if !(spec.claims.is_empty() && spec.hashes.is_empty()) {
            let what = "a payload that is left out has no claims";
            scope.problem(Some(text.span()), "payload", what, Some("leave claims, required, of_route and hashes out"));
        }
    }
    for (name, _) in spec.jose.iter().filter(|(name, _)| EMBEDDED.contains(&&**name) && **name != *"jku") {
        scope.problem(None, "jose", format!("`{name}` brings a key, and no key is taken from a token"), None);
    }
}

/// A token that is good for ever, with any body, is a secret that stands in every request.
fn lasting(raw: &RawJwt, scheme: &Scheme, scope: &mut Scope<'_>) {
    let Some(spec) = scheme.check.jwt() else { return };
    if let (Some(time), Some(raw)) = (&scheme.timestamp, &raw.timestamp)
        && time.window.is_some()
        && !time.is_signed(scheme)
    {
        let what = "the time is not part of what is signed, so a sender can choose it";
        let help = "name a claim, { claim = \"iat\" }, or say informative = true and give no tolerance";
        scope.problem(Some(raw.span()), "timestamp", what, Some(help));
    }
    let ends = spec.claims.iter().any(|claim| claim.path.to_string() == "exp");
    if !scheme.signs_body() && !ends && scheme.window().is_none() {
        let what = "a token that says nothing of the body and has no end is good for ever, with any body";
        let help = "add a timestamp with a tolerance, required = [\"exp\"], or a digest of the body in hashes";
        scope.problem(Some(raw.token.span()), "token", what, Some(help));
    }
}
