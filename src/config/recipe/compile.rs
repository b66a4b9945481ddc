//! From a raw recipe to a [`Recipe`], or to every problem it has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use toml::Spanned;

use super::challenge;
use super::forward::field_pattern;
use super::raw::{RawAnswer, RawRecipe};
use super::verify::{CompiledVerify, compile_verify};
use super::words::Scope;
use super::{Evidence, Recipe};
use crate::config::quantity::size;
use crate::config::report::Problems;
use crate::domain::{FieldPattern, Method};
use crate::runtime::snapshot::FixedAnswer;
use crate::scheme::Scheme;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Compiles a recipe called `id`; `key` is its key path, empty for a file of its own.
pub fn compile_recipe(id: &str, raw: &RawRecipe, key: &str, problems: &mut Problems) -> Option<Recipe> {
    let verify_key = if key.is_empty() { "verify".to_owned() } else { format!("{key}.verify") };
    let verify = compile_verify(&raw.verify, &verify_key, problems);
    let mut scope = Scope { key: key.to_owned(), problems };
    let methods = methods(raw, &mut scope);
    let content_types = content_types(raw, &mut scope);
    let success = raw.success.as_ref().map_or_else(|| Some(plain(200)), |raw| answer(raw, "success", &mut scope));
    let timeout = duration(raw.timeout.as_ref(), "timeout", DAY, &mut scope);
    let deadline = duration(raw.deadline.as_ref(), "deadline", DAY, &mut scope);
    let dedupe_window = duration(raw.dedupe_window.as_ref(), "dedupe_window", 30 * DAY, &mut scope);
    let retries_for = duration(raw.retries_for.as_ref(), "retries_for", 30 * DAY, &mut scope);
    let max_body = max_body(raw, &mut scope);
    let evidence = evidence(raw, &mut scope);
    let evidence_date = evidence_date(raw, &mut scope);
    let addresses = addresses(raw, &mut scope);
    let forward_headers = forward_headers(raw, &mut scope);
    let (timeout, deadline, dedupe_window, retries_for) = (timeout?, deadline?, dedupe_window?, retries_for?);
    let CompiledVerify::Scheme(mut scheme) = verify? else {
        let help = "say it on the route that wants it";
        scope.problem(None, "verify", "a provider that proves nothing is none", Some(help));
        return None;
    };
    let mut challenges = Vec::new();
    let mut reserved = Vec::new();
    for raw in &raw.challenge {
        let (challenge, shapes) = challenge::compile(raw, &scheme, &mut scope)?;
        challenges.push(Arc::new(challenge));
        reserved.extend(shapes);
    }
    if let Some(scheme) = Arc::get_mut(&mut scheme) {
        scheme.reserved = reserved;
    }
    if let (Some(limit), Some(deadline), Some(text)) = (timeout, deadline, &raw.deadline)
        && deadline >= limit
    {
        scope.problem(Some(text.span()), "deadline", "is not below the provider's timeout", None);
        return None;
    }
    if let (Some(window), Some((back, ahead)), Some(text)) = (dedupe_window, scheme.window(), &raw.dedupe_window)
        && window < back + ahead
    {
        let help = "a request could be replayed after its id was forgotten and before its time is stale";
        scope.problem(Some(text.span()), "dedupe_window", "is shorter than the scheme's time window", Some(help));
        return None;
    }
    retries_fit(raw, &scheme, retries_for, dedupe_window, &mut scope)?;
    Some(Recipe {
        id: id.into(),
        name: raw.name.clone().unwrap_or_else(|| id.to_owned()),
        docs: raw.docs.clone(),
        evidence,
        evidence_date,
        notes: raw.notes.clone(),
        methods: methods?,
        content_types: content_types?,
        success: success?,
        timeout,
        deadline: deadline.or_else(|| timeout.map(|limit| limit * 4 / 5)),
        error_budget: raw.error_budget,
        retry: raw.retry.clone(),
        retries_for,
        retries_keep_time: raw.retries_keep_time,
        dedupe_window,
        max_body: max_body?,
        addresses: addresses?,
        forward_headers: forward_headers?,
        scheme,
        challenges,
    })
}

#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn duration(
    raw: Option<&Spanned<String>>,
    name: &str,
    most: Duration,
    scope: &mut Scope<'_>,
) -> Option<Option<Duration>> {
    match raw {
        None => Some(None),
        Some(text) => scope.duration(text, name, most).map(Some),
    }
}

/// A retry that comes late is still known as one, and one that says its first attempt's time is still taken.
fn retries_fit(
    raw: &RawRecipe,
    scheme: &Scheme,
    retries_for: Option<Duration>,
    dedupe_window: Option<Duration>,
    scope: &mut Scope<'_>,
) -> Option<()> {
    let (Some(span), Some(text)) = (retries_for, &raw.retries_for) else { return Some(()) };
    if scheme.has_dedupe() && dedupe_window.unwrap_or(DAY) < span {
        let help = "a retry would be taken for a new request; dedupe_window is 24h where it is not said";
        scope.problem(Some(text.span()), "retries_for", "is longer than dedupe_window", Some(help));
        return None;
    }
    if let Some((back, _)) = scheme.window().filter(|(back, _)| raw.retries_keep_time && *back < span) {
        let what = format!("is longer than the {} s that a time may be old", back.as_secs());
        let help = "the last retries would be refused as stale: widen the timestamp's tolerance";
        scope.problem(Some(text.span()), "retries_for", what, Some(help));
        return None;
    }
    Some(())
}

fn evidence(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Evidence> {
    let word = raw.evidence.as_ref()?;
    let found = Evidence::ALL.into_iter().find(|evidence| evidence.as_str() == word.get_ref());
    if found.is_none() {
        let words = Evidence::ALL.map(Evidence::as_str).join(", ");
        scope.problem(
            Some(word.span()),
            "evidence",
            format!("expected one of {words}, found `{}`", word.get_ref()),
            None,
        );
    }
    found
}

fn evidence_date(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<String> {
    let text = raw.evidence_date.as_ref()?;
    if text.get_ref().parse::<jiff::civil::Date>().is_err() {
        let what = format!("expected a date such as 2026-11-28, found `{}`", text.get_ref());
        scope.problem(Some(text.span()), "evidence_date", &what, None);
    }
    Some(text.get_ref().clone())
}

#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn max_body(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Option<u64>> {
    let Some(text) = &raw.max_body else { return Some(None) };
    match size(text.get_ref()) {
        Ok(bytes) if (1..=1 << 30).contains(&bytes) => Some(Some(bytes)),
        _ => {
            let what = format!("expected a size up to 1GiB, found `{}`", text.get_ref());
            scope.problem(Some(text.span()), "max_body", what, Some("write it as 256kB, 1MiB or 25MB"));
            None
        }
    }
}

fn methods(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Vec<Method>> {
    let Some(list) = &raw.methods else { return Some(vec![Method::Post]) };
    if list.get_ref().is_empty() {
        scope.problem(Some(list.span()), "methods", "expected at least one method", None);
        return None;
    }
    let mut found = Some(Vec::new());
    for text in list.get_ref() {
        let method = Method::parse(text.get_ref());
        if method == Method::Other {
            let what = format!("expected an upper-case method, found `{}`", text.get_ref());
            scope.problem(Some(text.span()), "methods", what, None);
            found = None;
        } else if let Some(found) = &mut found {
            found.push(method);
        }
    }
    found
}

#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
fn content_types(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Option<Vec<String>>> {
    let Some(list) = &raw.content_types else { return Some(None) };
    let mut found = Some(Vec::new());
    for text in list {
        let media_type = text.get_ref().to_ascii_lowercase();
        if media_type.split('/').count() != 2 || media_type.contains([';', ' ']) {
            let what = format!("expected a media type without parameters, found `{}`", text.get_ref());
            scope.problem(Some(text.span()), "content_types", what, None);
            found = None;
        } else if let Some(found) = &mut found {
            found.push(media_type);
        }
    }
    found.map(Some)
}

fn addresses(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Vec<IpNet>> {
    let mut found = Some(Vec::new());
    for text in raw.addresses.iter().flatten() {
        let network = text.get_ref().parse::<IpNet>().ok();
        let network = network.or_else(|| text.get_ref().parse::<std::net::IpAddr>().ok().map(IpNet::from));
        match (network, &mut found) {
            (Some(network), Some(found)) => found.push(network),
            (Some(_), None) => {}
            (None, _) => {
                let what = format!("expected an address or a network, found `{}`", text.get_ref());
                scope.problem(Some(text.span()), "addresses", what, None);
                found = None;
            }
        }
    }
    found
}

fn forward_headers(raw: &RawRecipe, scope: &mut Scope<'_>) -> Option<Vec<FieldPattern>> {
    let mut found: Vec<FieldPattern> = Vec::new();
    let mut sound = true;
    for text in raw.forward_headers.iter().flatten() {
        match field_pattern(text.get_ref(), &found) {
            Ok(pattern) => found.push(pattern),
            Err((what, help)) => {
                scope.problem(Some(text.span()), "forward_headers", format!("`{}` {what}", text.get_ref()), Some(help));
                sound = false;
            }
        }
    }
    sound.then_some(found)
}

fn plain(status: u16) -> FixedAnswer {
    FixedAnswer { status, body: Bytes::new(), content_type: None }
}

fn answer(raw: &RawAnswer, name: &str, scope: &mut Scope<'_>) -> Option<FixedAnswer> {
    let status = *raw.status.get_ref();
    if !(200..=299).contains(&status) {
        let what = format!("expected a status from 200 to 299, found {status}");
        scope.problem(Some(raw.status.span()), name, what, None);
        return None;
    }
    let content_type =
        raw.content_type.clone().or_else(|| (!raw.body.is_empty()).then(|| "text/plain; charset=utf-8".to_owned()));
    Some(FixedAnswer { status, body: Bytes::from(raw.body.clone()), content_type })
}
