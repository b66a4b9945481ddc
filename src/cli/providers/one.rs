//! One provider: what is said of it as JSON, and in words.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::cli::terminal::{Palette, Tone, counted};
use crate::config::quantity::{write_duration, write_size};
use crate::config::recipe::{Evidence, Recipe};
use crate::scheme::{self, Line, Weakness};

/// What there is to say of a provider.
#[derive(Serialize)]
pub(super) struct Provider {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) docs: Option<String>,
    pub(super) evidence: Option<Evidence>,
    pub(super) evidence_date: Option<String>,
    pub(super) notes: Option<String>,
    pub(super) methods: Vec<&'static str>,
    pub(super) content_types: Option<Vec<String>>,
    pub(super) success_status: u16,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) deadline_seconds: Option<u64>,
    pub(super) error_budget: Option<u32>,
    pub(super) retry: Option<String>,
    pub(super) retries_for_seconds: Option<u64>,
    pub(super) dedupe_window_seconds: Option<u64>,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) kind: &'static str,
    pub(super) algorithm: Option<&'static str>,
    pub(super) weak: Vec<Weakness>,
    pub(super) signs_body: bool,
    pub(super) proven_headers: Vec<String>,
    pub(super) window_seconds: Option<Window>,
    pub(super) dedupe: bool,
    pub(super) needs_public_url: bool,
    pub(super) addresses: Vec<String>,
    pub(super) forward_headers: Vec<String>,
    pub(super) challenges: Vec<Challenge>,
    pub(super) scheme: Vec<Line>,
    pub(super) example: String,
}

#[derive(Serialize)]
pub(super) struct Window {
    pub(super) back: u64,
    pub(super) ahead: u64,
}

#[derive(Serialize)]
pub(super) struct Challenge {
    pub(super) when: String,
    pub(super) signed: bool,
    pub(super) answer: String,
    /// `challenge_secret` of the route.
    pub(super) needs_secret: bool,
}

impl Provider {
    pub(super) fn of(recipe: &Recipe) -> Self {
        let secs = |time: Option<Duration>| time.map(|time| time.as_secs());
        let challenge = |challenge: &Arc<scheme::Challenge>| Challenge {
            when: challenge.told_by(),
            signed: challenge.is_signed(),
            answer: challenge.answered_with(),
            needs_secret: challenge.needs_secret(),
        };
        Self {
            id: recipe.id.to_string(),
            name: recipe.name.clone(),
            docs: recipe.docs.clone(),
            evidence: recipe.evidence,
            evidence_date: recipe.evidence_date.clone(),
            notes: recipe.notes.clone(),
            methods: recipe.methods.iter().map(|method| method.as_str()).collect(),
            content_types: recipe.content_types.clone(),
            success_status: recipe.success.status,
            timeout_seconds: secs(recipe.timeout),
            deadline_seconds: secs(recipe.deadline),
            error_budget: recipe.error_budget,
            retry: recipe.retry.clone(),
            retries_for_seconds: secs(recipe.retries_for),
            dedupe_window_seconds: secs(recipe.dedupe_window),
            max_body_bytes: recipe.max_body,
            kind: recipe.scheme.kind(),
            algorithm: recipe.scheme.algorithm(),
            weak: recipe.scheme.weaknesses(),
            signs_body: recipe.scheme.signs_body(),
            proven_headers: recipe.scheme.proven_headers().into_iter().map(str::to_owned).collect(),
            window_seconds: recipe
                .scheme
                .window()
                .map(|(back, ahead)| Window { back: back.as_secs(), ahead: ahead.as_secs() }),
            dedupe: recipe.scheme.has_dedupe(),
            needs_public_url: recipe.scheme.needs_public_url(),
            addresses: recipe.addresses.iter().map(network).collect(),
            forward_headers: recipe.forwarded().entries(),
            challenges: recipe.challenges().iter().map(challenge).collect(),
            scheme: recipe.scheme.describe().lines,
            example: example(recipe),
        }
    }

    /// `hmac-sha256`, `ed25519`, `token`.
    pub(super) fn proof(&self) -> String {
        match self.algorithm {
            // Its hash is always the same.
            Some(algorithm) if self.kind == "jwt" => format!("jwt-{}", algorithm.to_ascii_lowercase()),
            Some(algorithm) if self.kind == "public_key" => algorithm.replace("p256-sha256", "p256"),
            Some(algorithm) => format!("{}-{algorithm}", self.kind),
            None => self.kind.to_owned(),
        }
    }

    pub(super) fn text(&self, palette: Palette) -> String {
        let mut text =
            format!("{}  {}\n\n", palette.paint(Tone::Strong, &self.name), palette.paint(Tone::Quiet, &self.id));
        let mut facts: Vec<(&str, String)> = Vec::new();
        let mut line = |name: &'static str, value: String| facts.push((name, value));
        if let Some(docs) = &self.docs {
            line("documentation", docs.clone());
        }
        let date = self.evidence_date.as_ref().map(|date| format!(", looked at {date}")).unwrap_or_default();
        line("evidence", format!("{}{date}", self.evidence.map_or("none given", Evidence::as_str)));
        line("methods", self.methods.join(", "));
        if let Some(types) = &self.content_types {
            line("content types", types.join(", "));
        }
        line("success", self.success_status.to_string());
        let duration = |secs: u64| write_duration(Duration::from_secs(secs));
        if let (Some(timeout), Some(deadline)) = (self.timeout_seconds, self.deadline_seconds) {
            line("waits", format!("{}; the relay answers within {}", duration(timeout), duration(deadline)));
        }
        if let Some(budget) = self.error_budget {
            line("error budget", format!("{} before it stops sending", counted(budget as usize, "failure")));
        }
        if let Some(retry) = &self.retry {
            line("retries", retry.clone());
        }
        if let Some(span) = self.retries_for_seconds {
            line("retries for", duration(span));
        }
        if let Some(window) = self.dedupe_window_seconds {
            line("ids remembered", duration(window));
        }
        let most = self.max_body_bytes.map_or_else(|| "not known: limits.max_body counts".to_owned(), write_size);
        line("largest body", most);
        for challenge in &self.challenges {
            let signed = if challenge.signed { "signed" } else { "not signed" };
            let secret = if challenge.needs_secret { "; the route needs challenge_secret for it" } else { "" };
            line("challenge", format!("{} ({signed}) is answered {}{secret}", challenge.when, challenge.answer));
        }
        line("goes to the upstream", self.forward_headers.join(", "));
        for address in &self.addresses {
            line("sends from", address.clone());
        }
        text.push_str(&told(&facts, palette));
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "How a request proves itself"));
        let mut facts: Vec<(&str, String)> = self.scheme.iter().map(|line| (line.what, line.how.clone())).collect();
        facts.extend(self.weak.iter().map(|weakness| ("weak", weakness.says().to_owned())));
        text.push_str(&told(&facts, palette));
        if let Some(notes) = &self.notes {
            let heading = palette.paint(Tone::Strong, "Good to know");
            let _ = writeln!(text, "\n{heading}\n{}", palette.fold(notes, 2));
        }
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "A route to paste into relay.toml"));
        for line in self.example.lines() {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

/// A single address without its length.
fn network(network: &ipnet::IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

/// A route that works once its secret is there.
pub(super) fn example(recipe: &Recipe) -> String {
    let id = &recipe.id;
    let mut text = format!("[routes.{id}]\npath = \"/hooks/{id}\"\nprovider = \"{id}\"\n");
    if recipe.scheme.takes_public_keys() {
        let _ =
            writeln!(text, "public_keys = [{{ file = \"keys/{id}.pub\" }}]  # not secret: it may stand here as a text");
    } else {
        let _ = writeln!(text, "secrets = [{{ file = \"secrets/{id}\" }}]");
    }
    if recipe.scheme.needs_public_url() {
        let _ = writeln!(text, "public_url = \"https://hooks.example.com/hooks/{id}\"  # as the provider was given it");
    }
    let claims = recipe.scheme.claims_of_route();
    if !claims.is_empty() {
        let claims: Vec<String> = claims.iter().map(|claim| format!("{claim} = [\"…\"]")).collect();
        let _ = writeln!(text, "claims = {{ {} }}  # what its tokens must say for this route", claims.join(", "));
    }
    if !recipe.addresses.is_empty() {
        let _ = writeln!(text, "allow = [\"@{id}\"]  # the addresses it publishes");
    }
    let _ = writeln!(text, "upstream = \"application\"  # one of your [upstreams.<name>]");
    text
}

/// Names and what is said of each, in lines that the terminal has room for.
fn told(facts: &[(&str, String)], palette: Palette) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in facts {
        let folded = palette.fold(value, width + 4);
        let (padding, name) = (" ".repeat(width - name.len()), palette.paint(Tone::Quiet, name));
        let _ = writeln!(text, "  {name}{padding}  {}", folded.trim_start());
    }
    text
}
