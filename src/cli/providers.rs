//! `providers`: the recipes that come with the relay, and a route to paste.

mod one;

use std::sync::Arc;
use std::time::Duration;

use super::grammar::{Format, Providers};
use super::verify::unknown_provider;
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Palette, Table, Tone, cell, counted, tell};
use crate::config::quantity::write_duration;
use crate::config::recipe::{Evidence, Recipe, builtin, builtin_names};
use one::Provider;

pub(super) fn providers(args: &Providers, format: Format) -> Result<Exit, Unusable> {
    let palette = Palette::of_stdout();
    match &args.name {
        Some(name) => {
            let recipe = builtin(name).ok_or_else(|| unknown_provider(name))?;
            let provider = Provider::of(&recipe);
            match format {
                Format::Json => say_json(&provider)?,
                Format::Human => tell(&provider.text(palette)),
            }
        }
        None => {
            let found: Vec<Provider> = found(args).iter().map(|recipe| Provider::of(recipe)).collect();
            match format {
                Format::Json => say_json(&found)?,
                Format::Human => tell(&list(&found, palette)),
            }
        }
    }
    Ok(Exit::Fine)
}

/// Those that all conditions hold for.
fn found(args: &Providers) -> Vec<Arc<Recipe>> {
    let like = args.like.as_ref().map(|text| text.to_lowercase());
    let wanted = |recipe: &Arc<Recipe>| {
        let named = |text: &String| recipe.id.contains(text.as_str()) || recipe.name.to_lowercase().contains(text);
        like.as_ref().is_none_or(named)
            && (args.evidence.is_empty() || recipe.evidence.is_some_and(|is| args.evidence.contains(&is)))
            && (args.scheme.is_empty() || args.scheme.iter().any(|kind| kind.as_str() == recipe.scheme.kind()))
            && (!args.weak || !recipe.scheme.weaknesses().is_empty())
    };
    builtin_names().iter().filter_map(|name| builtin(name)).filter(wanted).collect()
}

/// One line for each. What is weak, and whether the facts are sure, is what one compares.
fn list(found: &[Provider], palette: Palette) -> String {
    let mut table = Table::new(["name", "scheme", "weak", "time", "evidence"]).foldable(&[3]);
    for provider in found {
        let weak: Vec<&str> = provider.weak.iter().map(|weakness| weakness.as_str()).collect();
        let weak = if weak.is_empty() { cell(Tone::Quiet, "-") } else { cell(Tone::Odd, weak.join(" ")) };
        let window = match &provider.window_seconds {
            Some(window) => write_duration(Duration::from_secs(window.back)).into(),
            None => cell(Tone::Quiet, "-"),
        };
        let evidence = provider.evidence.map_or("-", Evidence::as_str);
        let tone = if provider.evidence == Some(Evidence::Unconfirmed) { Tone::Odd } else { Tone::Plain };
        table.row([cell(Tone::Strong, &*provider.id), provider.proof().into(), weak, window, cell(tone, evidence)]);
    }
    if found.is_empty() {
        return "no provider is so; `dmz-relay providers` lists them all\n".to_owned();
    }
    let of = |evidence: Evidence| found.iter().filter(|provider| provider.evidence == Some(evidence)).count();
    let counts = Evidence::ALL.into_iter().filter(|evidence| of(*evidence) > 0);
    let counts: Vec<String> = counts.map(|evidence| format!("{} {}", of(evidence), evidence.as_str())).collect();
    let ends = [
        format!("{}: {}.", counted(found.len(), "provider"), counts.join(", ")),
        "`dmz-relay providers NAME` shows one in full, with a route to paste.".to_owned(),
    ];
    let ends = ends.map(|end| palette.fold(&end, 0));
    format!("{}\n{}\n{}\n", table.text(palette), ends[0], ends[1])
}

#[cfg(test)]
mod tests {
    use super::one::example;
    use super::*;
    use crate::base::UnixMillis;
    use crate::config::{self, Environment};
    use crate::runtime::state::State;
    use std::os::unix::fs::PermissionsExt as _;

    /// What is shown to be pasted is accepted as it is.
    #[test]
    fn every_example_is_a_route() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = folder.path().join("secrets");
        let keys = folder.path().join("keys");
        std::fs::create_dir(&secrets).unwrap();
        std::fs::create_dir(&keys).unwrap();
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
            if let Some((_, public)) = builtin(name).unwrap().scheme.fresh_pair() {
                std::fs::write(keys.join(format!("{name}.pub")), public).unwrap();
            }
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
