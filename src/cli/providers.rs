//! `providers`: the recipes that come with the relay, and a route to paste.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::grammar::{Format, Providers};
use super::verify::unknown_provider;
use super::{Exit, Unusable, say_json};
use crate::config::quantity::{write_duration, write_size};
use crate::config::recipe::{Evidence, Recipe, builtin, builtin_names};
use crate::signature::Line;
use crate::snapshot::ChallengeMatch;
use crate::terminal::{Cell, Palette, Table, Tone, cell, counted, say};

/// What there is to say of a provider.
#[derive(Serialize)]
struct Provider {
    id: String,
    name: String,
    docs: Option<String>,
    evidence: Option<Evidence>,
    evidence_date: Option<String>,
    notes: Option<String>,
    methods: Vec<&'static str>,
    content_types: Option<Vec<String>>,
    success_status: u16,
    timeout_seconds: Option<u64>,
    deadline_seconds: Option<u64>,
    error_budget: Option<u32>,
    retry: Option<String>,
    retries_for_seconds: Option<u64>,
    replay_window_seconds: Option<u64>,
    max_body_bytes: Option<u64>,
    signs_body: bool,
    window_seconds: Option<Window>,
    dedupe: bool,
    needs_public_url: bool,
    addresses: Vec<String>,
    forward_headers: Vec<String>,
    handshakes: Vec<Handshake>,
    scheme: Vec<Line>,
    example: String,
}

#[derive(Serialize)]
struct Window {
    back: u64,
    ahead: u64,
}

#[derive(Serialize)]
struct Handshake {
    when: String,
    signed: bool,
    status: u16,
}

pub(super) fn providers(args: &Providers, format: Format) -> Result<Exit, Unusable> {
    let palette = Palette::of_stdout();
    match &args.name {
        Some(name) => {
            let recipe = builtin(name).ok_or_else(|| unknown_provider(name))?;
            let provider = Provider::of(&recipe);
            match format {
                Format::Json => say_json(&provider)?,
                Format::Human => say(&provider.text(palette)),
            }
        }
        None => {
            let all: Vec<Provider> =
                builtin_names().iter().filter_map(|name| builtin(name)).map(|recipe| Provider::of(&recipe)).collect();
            match format {
                Format::Json => say_json(&all)?,
                Format::Human => say(&list(&all, palette)),
            }
        }
    }
    Ok(Exit::Fine)
}

impl Provider {
    fn of(recipe: &Recipe) -> Self {
        let secs = |time: Option<Duration>| time.map(|time| time.as_secs());
        let handshake = |challenge: crate::snapshot::Challenge| {
            let ChallengeMatch::Header { name, value } = challenge.when;
            Handshake { when: format!("{name}: {value}"), signed: challenge.signed, status: challenge.answer.status }
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
            replay_window_seconds: secs(recipe.replay_window),
            max_body_bytes: recipe.max_body,
            signs_body: recipe.scheme.signs_body(),
            window_seconds: recipe
                .scheme
                .window()
                .map(|(back, ahead)| Window { back: back.as_secs(), ahead: ahead.as_secs() }),
            dedupe: recipe.scheme.has_dedupe(),
            needs_public_url: recipe.scheme.needs_public_url(),
            addresses: recipe.addresses.iter().map(network).collect(),
            forward_headers: recipe.forwarded().entries(),
            handshakes: recipe.challenges().into_iter().map(handshake).collect(),
            scheme: recipe.scheme.describe().lines,
            example: example(recipe),
        }
    }

    fn proof(&self) -> String {
        self.scheme.iter().find(|line| line.what == "proof").map(|line| line.how.clone()).unwrap_or_default()
    }

    fn text(&self, palette: Palette) -> String {
        let mut text =
            format!("{}  {}\n\n", palette.paint(Tone::Strong, &self.name), palette.paint(Tone::Quiet, &self.id));
        let mut table = Table::bare();
        let mut line = |name: &str, value: String| table.row([cell(Tone::Quiet, name), value.into()]);
        line("documentation", self.docs.clone().unwrap_or_default());
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
        if let Some(window) = self.replay_window_seconds {
            line("ids remembered", duration(window));
        }
        if let Some(most) = self.max_body_bytes {
            line("largest body", write_size(most));
        }
        for handshake in &self.handshakes {
            let signed = if handshake.signed { "signed" } else { "not signed" };
            line("handshake", format!("{} ({signed}) is answered {}", handshake.when, handshake.status));
        }
        line("goes to the upstream", self.forward_headers.join(", "));
        for address in &self.addresses {
            line("sends from", address.clone());
        }
        text.push_str(&table.text(palette));
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "How a request proves itself"));
        let mut table = Table::bare();
        for line in &self.scheme {
            table.row([cell(Tone::Quiet, line.what), line.how.as_str().into()]);
        }
        text.push_str(&table.text(palette));
        if let Some(notes) = &self.notes {
            let _ = writeln!(text, "\n{}\n  {notes}", palette.paint(Tone::Strong, "Good to know"));
        }
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "A route to paste into relay.toml"));
        for line in self.example.lines() {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}

fn list(all: &[Provider], palette: Palette) -> String {
    let headings = ["name", "proof", "body signed", "time window", "replays", "addresses", "handshakes"];
    let mut table = Table::new(headings);
    let yes_no = |is: bool| if is { cell(Tone::Good, "yes") } else { cell(Tone::Odd, "no") };
    let some = |count: usize| if count == 0 { cell(Tone::Quiet, "-") } else { Cell::from(count.to_string()) };
    for provider in all {
        let window = match &provider.window_seconds {
            Some(window) => write_duration(Duration::from_secs(window.back)).into(),
            None => cell(Tone::Quiet, "-"),
        };
        let replays = if provider.dedupe { cell(Tone::Good, "known") } else { cell(Tone::Odd, "not known") };
        table.row([
            cell(Tone::Strong, &*provider.id),
            provider.proof().into(),
            yes_no(provider.signs_body),
            window,
            replays,
            some(provider.addresses.len()),
            some(provider.handshakes.len()),
        ]);
    }
    let count = counted(all.len(), "provider");
    format!("{}\n{count}. `dmz-relay providers NAME` shows one in full, with a route to paste.\n", table.text(palette))
}

/// A single address without its length.
fn network(network: &ipnet::IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() }
}

/// A route that works once its secret is there.
fn example(recipe: &Recipe) -> String {
    let id = &recipe.id;
    let mut text = format!("[routes.{id}]\npath = \"/hooks/{id}\"\nprovider = \"{id}\"\n");
    let _ = writeln!(text, "secrets = [{{ file = \"secrets/{id}\" }}]");
    if recipe.scheme.needs_public_url() {
        let _ = writeln!(text, "public_url = \"https://hooks.example.com/hooks/{id}\"  # as the provider was given it");
    }
    if !recipe.addresses.is_empty() {
        let _ = writeln!(text, "allow = [\"@{id}\"]  # the addresses it publishes");
    }
    let _ = writeln!(text, "upstream = \"application\"  # one of your [upstreams.<name>]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::UnixMillis;
    use crate::config::{self, Environment};
    use crate::state::State;
    use std::os::unix::fs::PermissionsExt as _;

    /// What is shown to be pasted is accepted as it is.
    #[test]
    fn every_example_is_a_route() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).unwrap();
        let mut text = String::from(
            "[[listeners]]\nname = \"public\"\naddress = \"127.0.0.1:0\"\ndangerously_plaintext = true\n\
             [upstreams.application]\nservers = [\"http://127.0.0.1:9\"]\n",
        );
        for name in builtin_names() {
            let file = secrets.join(name);
            let basic =
                builtin(name).unwrap().scheme.describe().lines.iter().any(|line| line.how.contains("user:password"));
            // Hexadecimal, and base64 as well.
            let secret = if basic { "user:password" } else { "30313233343536373839616263646566" };
            std::fs::write(&file, secret).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            text.push_str(&example(&builtin(name).unwrap()));
        }
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, &Environment::default(), &State::default(), UnixMillis(0));
        let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.snapshot.routes.iter().count(), builtin_names().len());
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        let all: Vec<Provider> = builtin_names().iter().map(|name| Provider::of(&builtin(name).unwrap())).collect();
        let text = list(&all, Palette::plain());
        for name in builtin_names() {
            assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}:\n{text}");
        }
    }
}
