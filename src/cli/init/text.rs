//! What `init` writes and says.

use std::fmt::Write as _;
use std::path::Path;

use super::super::grammar::Init;
use super::Made;
use crate::cli::terminal::{Palette, Tone, harmless, shell_word};
use crate::config::recipe::Recipe;

/// Where the unit of the service looks.
const UNIT_FOLDER: &str = "/etc/dmz-relay";

/// A configuration with what is needed and a word on each part.
pub(super) fn relay_toml(recipe: &Recipe, host: &str, args: &Init) -> String {
    let (id, name) = (&recipe.id, &recipe.name);
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let upstream = quoted(&args.upstream);
    let mut text = format!(
        "# Written by `dmz-relay init`. docs/config.md explains every key; after an edit:\n\
         #   sudo dmz-relay check && sudo systemctl reload dmz-relay\n\
         \n\
         # Where providers send: https://{host}/hooks/{id}\n\
         [[listeners]]\n\
         name = \"public\"\n\
         address = \"0.0.0.0:443\"\n\
         tls = {{ certificates = [{{ chain = \"certs/relay.crt\", key = \"certs/relay.key\" }}] }}\n\
         \n\
         # Status, metrics and commands: for this host only.\n\
         [admin]\n\
         address = \"unix:/run/dmz-relay/admin.sock\"\n\
         \n\
         # Requests that the application cannot take wait here. Without this section nothing is kept.\n\
         [store]\n\
         sqlite = {{ path = \"/var/lib/dmz-relay/relay.db\" }}\n\
         \n\
         # The internal server that receives genuine requests.\n\
         [upstreams.app]\n\
         servers = [{upstream}]\n\
         \n\
         # {name}\n\
         [routes.{id}]\n\
         path = \"/hooks/{id}\"\n\
         host = {}\n\
         provider = \"{id}\"\n\
         {}\n\
         upstream = \"app\"\n",
        quoted(host),
        keys(recipe),
    );
    if recipe.scheme.needs_public_url() {
        let url = quoted(&format!("https://{host}/hooks/{id}"));
        let _ = writeln!(text, "# The URL exactly as {name} was given it: it is signed.\npublic_url = {url}");
    }
    let claims = recipe.scheme.claims_of_route();
    if !claims.is_empty() {
        let claims: Vec<String> = claims.iter().map(|claim| format!("{claim} = [\"…\"]")).collect();
        let _ = writeln!(
            text,
            "# What its tokens must say for this route: until it stands here, every request is refused.\nclaims = {{ {} }}",
            claims.join(", ")
        );
    }
    if !recipe.addresses.is_empty() {
        // Observed: this host's own `send` comes from none of them, and a list that is wrong refuses genuine requests.
        let _ = writeln!(
            text,
            "# The addresses that {name} publishes. They refuse nobody yet: remove address_check\n\
             # when `dmz-relay status` shows no genuine request from elsewhere.\n\
             allow = [\"@{id}\"]\n\
             address_check = \"observe\""
        );
    }
    text
}

/// What verifies.
fn keys(recipe: &Recipe) -> String {
    const ROTATION: &str = "To rotate, put the new one in front and keep the old one behind it.";
    let id = &recipe.id;
    match recipe.scheme.takes_public_keys() {
        true => format!("# One file for each public key. {ROTATION}\npublic_keys = [{{ file = \"secrets/{id}\" }}]"),
        false => format!("# One file for each secret. {ROTATION}\nsecrets = [{{ file = \"secrets/{id}\" }}]"),
    }
}

/// The commands that come next, in their order.
pub(super) fn next(made: &Made, dir: &Path) -> Vec<String> {
    let route = &made.route;
    let file = |name: &str| shell_word(&dir.join(name).to_string_lossy());
    let config = file("relay.toml");
    let mut next = Vec::new();
    if !made.private_certificate {
        for (from, to) in [("fullchain.pem", "certs/relay.crt"), ("privkey.pem", "certs/relay.key")] {
            next.push(format!("sudo install -m 640 -g dmz-relay {from} {}", file(to)));
        }
    }
    if !made.secret {
        // From standard input: what is typed into a command line stays in the shell's history.
        next.push(format!("sudo install -m 640 -g dmz-relay /dev/stdin {}", file(&format!("secrets/{route}"))));
    }
    next.push(format!("sudo dmz-relay check --config {config}"));
    // The unit reads one place only.
    if dir != Path::new(UNIT_FOLDER) {
        next.push(format!("sudo cp -a {} {UNIT_FOLDER}/", file(".")));
    }
    next.push("sudo systemctl enable --now dmz-relay".to_owned());
    if !made.public_key {
        next.push(format!("sudo dmz-relay send {route} --config {config}"));
    }
    next
}

/// What was made, and what comes next.
pub(super) fn made(made: &Made, palette: Palette) -> String {
    let mut text = String::new();
    let config = harmless(&made.config.display().to_string());
    let _ = writeln!(text, "{} {config}, with its folders", palette.paint(Tone::Good, "made"));
    if made.private_certificate {
        let _ = writeln!(
            text,
            "{} a certificate by an authority of its own (certs/ca.crt).\n  \
             Providers on the internet do not trust it; replace it before you\n  give them the URL.",
            palette.paint(Tone::Odd, "note:")
        );
    }
    if !made.group {
        let _ = writeln!(
            text,
            "{} the files do not belong to the group dmz-relay yet. Run this as root\n  \
             once the group exists, or: chgrp -R dmz-relay FOLDER",
            palette.paint(Tone::Odd, "note:")
        );
    }
    let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "Next"));
    for command in &made.next {
        let _ = writeln!(text, "  {}", harmless(command));
        if command.contains("/dev/stdin") {
            let _ = writeln!(text, "    (paste the secret or the public key, then Ctrl-D)");
        }
    }
    text
}
