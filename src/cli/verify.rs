//! `verify`: is this captured request genuine? Offline, by the code that the relay verifies with.
//!
//! Prints which key matched or why none did; never a secret, never the signature that would have been right.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::grammar::{Format, Verify};
use super::{Exit, Unusable, capture, say_json};
use crate::base::{Clock, Secret, UnixMillis};
use crate::cli::terminal::{Palette, Table, Tone, cell, harmless, tell};
use crate::config::Environment;
use crate::config::near::{nearest, suggest_provider};
use crate::config::recipe::{Recipe, builtin};
use crate::config::source::Sources;
use crate::domain::{Head, Refusal, Sensitive};
use crate::gate::explain::{others, schedule};
use crate::runtime::snapshot::{ProviderRetries, Route, Snapshot, Verification};
use crate::scheme::{Found, Key, OtherRoute, PublicUrl, Verifier, key_set};

#[derive(Serialize)]
struct Verdict {
    genuine: bool,
    /// The provider or route that it was judged by.
    by: String,
    reason: Option<&'static str>,
    /// What decided, in a sentence.
    explanation: Option<String>,
    /// What to look at, the likeliest first.
    hints: Vec<String>,
    key: Option<String>,
    /// RFC 3339.
    timestamp: Option<String>,
    dedupe: Option<Box<str>>,
    body_bytes: usize,
    /// What of the capture may be unlike the request that was sent.
    doubts: Vec<String>,
    /// RFC 3339.
    judged_at: String,
}

pub(super) fn verify(args: &Verify, format: Format) -> Result<Exit, Unusable> {
    let now = args.at.unwrap_or_else(|| Clock::system().now());
    let bytes = capture::read(&args.request)?;
    let captured = capture::parse(&bytes, args.entry.as_deref())?;
    captured.warn(format);
    let (head, body) = (captured.head, &*captured.body);
    let mut verdict = match (&args.provider, &args.route) {
        (Some(name), _) => {
            let recipe = builtin(name).ok_or_else(|| unknown_provider(name))?;
            let (verifier, retries) = (of_recipe(&recipe, args)?, recipe.provider_retries());
            judge(&By { name, verifier: &verifier, retries: retries.as_ref(), others: &[] }, &head, body, now)
        }
        (None, Some(name)) => {
            let loaded = args.config.load_or_explain()?;
            let route = of_route(&loaded.snapshot, name)?;
            let verifier = verifier(route)?;
            let others = others(&loaded.snapshot, route);
            let by = By { name, verifier, retries: route.provider_retries.as_ref(), others: &others };
            judge(&by, &head, body, now).masked(&loaded.snapshot.sensitive)
        }
        (None, None) => return Err("say --provider NAME or --route NAME".into()),
    };
    verdict.doubts = captured.doubts;
    match format {
        Format::Json => say_json(&verdict)?,
        Format::Human => tell(&verdict.text(Palette::of_stdout())),
    }
    Ok(if verdict.genuine { Exit::Fine } else { Exit::No })
}

fn of_recipe(recipe: &Recipe, args: &Verify) -> Result<Verifier, Unusable> {
    let environment = Environment::default();
    let mut sources = Sources::new(Path::new(""), &environment);
    let public = recipe.scheme.takes_public_keys();
    let (files, option, other) = match public {
        true => (&args.public_key, "--public-key", args.secret_file.is_empty()),
        false => (&args.secret_file, "--secret-file", args.public_key.is_empty()),
    };
    let what = if public { "public key" } else { "secret" };
    if !other {
        return Err(format!("{} is verified with a {what}: say {option} FILE", recipe.id).into());
    }
    let mut keys = Vec::new();
    for path in files {
        let shown = path.to_string_lossy();
        let (id, shown) = named(&shown);
        let read = match public {
            true => sources.certificates(shown).map(Secret::new),
            false => sources.secret_file(shown),
        };
        let secret = read.map_err(|error| format!("{option}: {error}; {}", error.help()))?;
        let id = id.map(harmless);
        let file = format!("file:{}", harmless(shown));
        let set = key_set(secret.expose()).filter(|_| public).transpose();
        match set.map_err(|fault| format!("{option}: {file} {fault}"))? {
            None => keys.push(Key { id: id.unwrap_or(file).into(), secret }),
            Some(set) => {
                let name = |kid: Option<String>| id.clone().or(kid).unwrap_or_else(|| file.clone());
                keys.extend(set.into_iter().map(|(kid, secret)| Key { id: name(kid).into(), secret }));
            }
        }
    }
    if keys.is_empty() {
        return Err(format!("the scheme needs at least one {what}: {option} FILE").into());
    }
    let url = args.url.as_deref().map(PublicUrl::parse).transpose();
    let url = url.map_err(|expected| format!("--url: expected {expected}"))?;
    if url.is_none() && recipe.scheme.needs_public_url() {
        return Err(format!("{} signs the URL it was given: say --url https://…", recipe.id).into());
    }
    let claims = claims(recipe, &args.claim)?;
    let verifier = Verifier::new(Arc::clone(&recipe.scheme), recipe.scheme.fitting(keys), url);
    let verifier = verifier.map_err(|problem| problem.to_string())?;
    Ok(verifier.with_claims(claims.iter().map(|(name, values)| (name.as_str(), values.clone()))))
}

/// Claims, and the texts that are right.
type Claims = Vec<(String, Vec<Box<str>>)>;

/// What `--claim` says; every claim that the scheme leaves to the route, and no other one.
fn claims(recipe: &Recipe, given: &[String]) -> Result<Claims, Unusable> {
    let mut found: Claims = Vec::new();
    let wanted = recipe.scheme.claims_of_route();
    for text in given {
        let pair =
            text.split_once('=').filter(|(name, value)| wanted.iter().any(|one| one == name) && !value.is_empty());
        let Some((name, value)) = pair else {
            let left = if wanted.is_empty() { "none".to_owned() } else { wanted.join(", ") };
            return Err(format!("--claim: expected NAME=VALUE; {} leaves to the route: {left}", recipe.id).into());
        };
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value.into()),
            None => found.push((name.to_owned(), vec![value.into()])),
        }
    }
    match wanted.iter().find(|name| !found.iter().any(|(known, _)| known == *name)) {
        Some(name) => {
            Err(format!("{} leaves the claim {name} to the route: say --claim {name}=VALUE", recipe.id).into())
        }
        None => Ok(found),
    }
}

/// `ID=FILE`, for requests that name their key; a file of that very name is meant as it is.
fn named(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((id, file)) if !id.is_empty() && !id.contains('/') && !Path::new(text).exists() => (Some(id), file),
        _ => (None, text),
    }
}

fn of_route<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Route, Unusable> {
    let route = snapshot.routes.iter().find(|route| *route.name == *name);
    let route = route.ok_or_else(|| unknown("route", name, snapshot.routes.iter().map(|route| &*route.name)))?;
    Ok(route)
}

fn verifier(route: &Route) -> Result<&Verifier, Unusable> {
    match &route.verify {
        Verification::Signed(verifier) => Ok(verifier),
        Verification::DangerouslyNone => Err(format!("route {} verifies nothing", route.name).into()),
    }
}

/// `there is no provider x; did you mean "y"?`
pub(super) fn unknown_provider(name: &str) -> Unusable {
    Unusable(format!("there is no provider {}; {}", harmless(name), suggest_provider(name, [])))
}

/// `there is no route x; did you mean y?`
pub(super) fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> Unusable {
    let known: Vec<&str> = known.collect();
    let help = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => "there is none at all".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    Unusable(format!("there is no {what} {}; {help}", harmless(name)))
}

/// What a request is judged by.
struct By<'b> {
    name: &'b str,
    verifier: &'b Verifier,
    retries: Option<&'b ProviderRetries>,
    /// The other routes, whose secrets a sender may have used by mistake.
    others: &'b [OtherRoute<'b>],
}

fn judge(by: &By<'_>, head: &Head, body: &[u8], now: UnixMillis) -> Verdict {
    let proof = by.verifier.verify(head, body, now);
    let (explanation, hints) = match &proof {
        Ok(_) => (None, Vec::new()),
        Err(refusal) => {
            let (because, hints) = why(by, head, body, *refusal, now);
            (Some(because), hints)
        }
    };
    let reason = proof.as_ref().err().map(|refusal| refusal.code());
    let proof = proof.ok();
    Verdict {
        genuine: proof.is_some(),
        by: by.name.to_owned(),
        reason,
        explanation,
        hints,
        key: proof.as_ref().map(|proof| proof.key.to_string()),
        timestamp: proof.as_ref().and_then(|proof| proof.timestamp).map(|at| at.to_string()),
        dedupe: proof.and_then(|proof| proof.dedupe),
        body_bytes: body.len(),
        doubts: Vec::new(),
        judged_at: now.to_string(),
    }
}

/// What decided, and what may be behind it: the same that `explain` says.
fn why(by: &By<'_>, head: &Head, body: &[u8], refusal: Refusal, now: UnixMillis) -> (String, Vec<String>) {
    let parts = by.verifier.examine(head, Some(body), now);
    let because = parts.into_iter().find(|part| part.found == Found::Bad(refusal)).map(|part| part.because);
    let mut hints = by.verifier.diagnose(head, Some(body), refusal, now, by.others);
    if refusal == Refusal::TimestampStale {
        hints.extend(schedule(by.retries, by.verifier));
        hints.push("if it is an old capture, judge it by its own time: --at".to_owned());
    }
    (because.unwrap_or_else(|| "the request as a whole is not proven".to_owned()), hints)
}

impl Verdict {
    /// Without what the configuration knows to be a secret: a sender may have written one anywhere.
    fn masked(mut self, sensitive: &Sensitive) -> Self {
        for text in self.explanation.iter_mut().chain(&mut self.hints) {
            *text = sensitive.text(text).into_owned();
        }
        self
    }

    fn text(&self, palette: Palette) -> String {
        let mut table = Table::bare();
        let mut line = |name: &str, value: String| table.row([cell(Tone::Quiet, name), value.into()]);
        line("judged by", harmless(&self.by));
        line("judged at", self.judged_at.clone());
        line("body", format!("{} bytes", self.body_bytes));
        if let Some(key) = &self.key {
            line("key", key.clone());
        }
        if let Some(timestamp) = &self.timestamp {
            line("signed time", timestamp.clone());
        }
        if let Some(dedupe) = &self.dedupe {
            line("dedupe id", harmless(dedupe));
        }
        let Some(reason) = self.reason else {
            return format!("{}\n{}", palette.paint(Tone::Good, "genuine"), table.text(palette));
        };
        let mut text = format!("{}\n", palette.paint(Tone::Bad, &format!("refused: {reason}")));
        if let Some(because) = &self.explanation {
            text.push_str(&palette.item("  ", Tone::Plain, &harmless(because)));
        }
        for hint in &self.hints {
            text.push_str(&palette.item(
                &format!("  {} ", palette.paint(Tone::Odd, "→")),
                Tone::Plain,
                &harmless(hint),
            ));
        }
        text + &table.text(palette)
    }
}
