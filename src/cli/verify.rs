//! `verify`: is this captured request genuine? Offline, by the code that the relay verifies with.
//!
//! Prints which key matched or why none did; never a secret, never the signature that would have been right.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::grammar::{Format, Verify};
use super::{Exit, Unusable, capture, say_json};
use crate::base::{Clock, UnixMillis};
use crate::config::Environment;
use crate::config::near::nearest;
use crate::config::recipe::{builtin, builtin_names};
use crate::config::source::Sources;
use crate::domain::{Head, Refusal};
use crate::signature::{Key, Proof, PublicUrl, Verifier};
use crate::snapshot::{Snapshot, Verification};
use crate::terminal::{Palette, Table, Tone, cell, harmless, say};

#[derive(Serialize)]
struct Verdict {
    genuine: bool,
    /// The provider or route that it was judged by.
    by: String,
    reason: Option<&'static str>,
    explanation: Option<&'static str>,
    key: Option<String>,
    /// Seconds since 1970.
    timestamp: Option<i64>,
    dedupe: Option<Box<str>>,
    body_bytes: usize,
    /// Seconds since 1970.
    judged_at: i64,
}

pub(super) fn verify(args: &Verify, format: Format) -> Result<Exit, Unusable> {
    let now = args.at.map_or_else(|| Clock::system().now(), UnixMillis::from_secs);
    let bytes = capture::read(&args.request)?;
    let captured = capture::parse(&bytes, args.entry.as_deref())?;
    captured.warn();
    let (head, body) = (captured.head, &*captured.body);
    let verdict = match (&args.provider, &args.route) {
        (Some(name), _) => judge(&of_provider(name, args)?, name, &head, body, now),
        (None, Some(name)) => {
            let loaded = args.config.load_or_explain()?;
            judge(of_route(&loaded.snapshot, name)?, name, &head, body, now)
        }
        (None, None) => return Err("say --provider NAME or --route NAME".into()),
    };
    match format {
        Format::Json => say_json(&verdict)?,
        Format::Human => say(&verdict.text(Palette::of_stdout())),
    }
    Ok(if verdict.genuine { Exit::Fine } else { Exit::No })
}

fn of_provider(name: &str, args: &Verify) -> Result<Verifier, Unusable> {
    let recipe = builtin(name).ok_or_else(|| unknown("provider", name, builtin_names().iter().copied()))?;
    let environment = Environment::default();
    let mut sources = Sources::new(Path::new(""), &environment);
    let mut keys = Vec::new();
    for path in &args.secret_file {
        let shown = path.to_string_lossy();
        let secret =
            sources.secret_file(&shown).map_err(|error| format!("--secret-file: {error}; {}", error.help()))?;
        keys.push(Key { id: format!("file:{}", harmless(&shown)).into(), secret });
    }
    if keys.is_empty() {
        return Err("the scheme needs at least one secret: --secret-file FILE".into());
    }
    let url = args.url.as_deref().map(PublicUrl::parse).transpose();
    let url = url.map_err(|expected| format!("--url: expected {expected}"))?;
    if url.is_none() && recipe.scheme.needs_public_url() {
        return Err(format!("{name} signs the URL it was given: say --url https://…").into());
    }
    Verifier::new(Arc::clone(&recipe.scheme), keys, url).map_err(|problem| problem.to_string().into())
}

fn of_route<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Verifier, Unusable> {
    let route = snapshot.routes.iter().find(|route| *route.name == *name);
    let route = route.ok_or_else(|| unknown("route", name, snapshot.routes.iter().map(|route| &*route.name)))?;
    match &route.verify {
        Verification::Signed(verifier) => Ok(verifier),
        Verification::DangerouslyNone => Err(format!("route {name} verifies nothing").into()),
    }
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

fn judge(verifier: &Verifier, by: &str, head: &Head, body: &[u8], now: UnixMillis) -> Verdict {
    let (proof, refusal) = match verifier.verify(head, body, now) {
        Ok(proof) => (Some(proof), None),
        Err(refusal) => (None, Some(refusal)),
    };
    let genuine = proof.is_some();
    let Proof { key, timestamp, dedupe } = match proof {
        Some(proof) => proof,
        None => Proof { key: Arc::from(""), timestamp: None, dedupe: None },
    };
    Verdict {
        genuine,
        by: by.to_owned(),
        reason: refusal.map(Refusal::code),
        explanation: refusal.map(explanation),
        key: genuine.then(|| key.to_string()),
        timestamp: timestamp.map(UnixMillis::secs),
        dedupe,
        body_bytes: body.len(),
        judged_at: now.secs(),
    }
}

/// What stands behind a reason code, and what is worth looking at.
fn explanation(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::SignatureMissing => "the request carries no signature, key or token where the scheme has it",
        Refusal::SignatureRepeated => "a header that may come once is there twice, so it is not clear which one counts",
        Refusal::SignatureMalformed => "the signature is not in the form that the scheme writes it",
        Refusal::SignatureMismatch => {
            "no secret gives this signature: another secret, a changed request, or a body that was re-encoded on the way"
        }
        Refusal::KeyUnknown => "the request names a key that is not among the secrets",
        Refusal::MessageIncomplete => "a part of what the provider signs is missing from the request or cannot be read",
        Refusal::TimestampMissing => "the request carries no time",
        Refusal::TimestampMalformed => "the time is not in the form that the scheme writes it",
        Refusal::TimestampStale => "its time is older than the window allows; --at judges it by another moment",
        Refusal::TimestampAhead => {
            "its time is ahead of the window: a clock is wrong; --at judges it by another moment"
        }
        Refusal::IdMissing => "there is no id by which a replay could be known",
        Refusal::ShapeInvalid => "an id or a header does not have the shape that the scheme wants (a UUID, digits)",
        Refusal::BindingMismatch => "the body speaks of another event than the signed header",
        Refusal::BodyDigestMismatch => "the body's digest is another one than the request says",
        _ => "the request is not one that the scheme could judge",
    }
}

impl Verdict {
    fn text(&self, palette: Palette) -> String {
        let mut table = Table::bare();
        let mut line = |name: &str, value: String| table.row([cell(Tone::Quiet, name), value.into()]);
        line("judged by", self.by.clone());
        line("judged at", instant(self.judged_at));
        line("body", format!("{} bytes", self.body_bytes));
        if let Some(key) = &self.key {
            line("key", key.clone());
        }
        if let Some(timestamp) = self.timestamp {
            line("signed time", instant(timestamp));
        }
        if let Some(dedupe) = &self.dedupe {
            line("replay id", dedupe.to_string());
        }
        let verdict = match (self.reason, self.explanation) {
            (Some(reason), explanation) => {
                let word = palette.paint(Tone::Bad, &format!("refused: {reason}"));
                format!("{word}\n  {}\n", explanation.unwrap_or_default())
            }
            (None, _) => format!("{}\n", palette.paint(Tone::Good, "genuine")),
        };
        format!("{verdict}{}", table.text(palette))
    }
}

/// `2026-01-01T00:00:00Z (1767225600)`.
fn instant(secs: i64) -> String {
    match jiff::Timestamp::from_second(secs) {
        Ok(at) => format!("{at} ({secs})"),
        Err(_) => secs.to_string(),
    }
}
