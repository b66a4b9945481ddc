//! `firewall`: the network flows that a configuration needs, for the host's own firewall and for whoever runs the others.
//!
//! Made from the same snapshot that `run` serves. Nothing is changed on the host: the rules are printed, and somebody loads them.

mod drift;
mod flows;
mod nftables;
mod sockets;
mod tables;

use std::fmt::Write as _;

use serde::Serialize;

use super::grammar::firewall::{Firewall, FirewallAction, FirewallCheck};
use super::grammar::{Format, Output};
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Palette, Tone, counted, harmless, say, tell};

pub(super) async fn firewall(args: &Firewall, output: Output, format: Format) -> Result<Exit, Unusable> {
    if let Some(FirewallAction::Check(args)) = &args.action {
        return check(args, format).await;
    }
    let flows = flows::of(&args.flows).await?;
    match output {
        Output::Json => say_json(&flows)?,
        Output::Nftables => {
            let file = args.flows.config.path();
            say(&nftables::script(&flows, &args.flows.user, &file.display().to_string())?);
        }
        Output::Csv => say(&tables::csv(&flows)),
        Output::Markdown => say(&tables::markdown(&flows)),
        Output::Human | Output::Nagios => tell(&tables::human(&flows, Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

/// What `firewall check` found.
#[derive(Debug, Serialize)]
struct Found {
    fine: bool,
    rules: usize,
    processes: Vec<u32>,
    differences: Vec<Difference>,
}

/// One way in which the host is not as the configuration has it.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Difference {
    what: What,
    detail: String,
}

/// The kinds of differences.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum What {
    /// The table is not loaded.
    NoTable,
    /// A rule of the configuration is not loaded.
    MissingRule,
    /// A rule is loaded that the configuration does not have.
    UnexpectedRule,
    /// All rules are there, in another order.
    OtherOrder,
    /// No relay runs, so no socket could be compared.
    NotRunning,
    /// The relay does not listen where the configuration says.
    NotListening,
    /// The relay listens where the configuration says nothing of it.
    UnexpectedListener,
    /// The relay is connected to somebody whom the configuration does not name.
    UnexpectedPeer,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoTable => "the table is not loaded",
            Self::MissingRule => "missing rule",
            Self::UnexpectedRule => "unexpected rule",
            Self::OtherOrder => "rules in another order",
            Self::NotRunning => "no relay runs",
            Self::NotListening => "not listening",
            Self::UnexpectedListener => "unexpected listener",
            Self::UnexpectedPeer => "unexpected peer",
        }
    }
}

async fn check(args: &FirewallCheck, format: Format) -> Result<Exit, Unusable> {
    let flows = flows::of(&args.flows).await?;
    let expected = nftables::table(&flows, &args.flows.user)?;
    let loaded = match &args.ruleset {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None => drift::loaded()?,
    };
    let mut differences = drift::between(&expected, &loaded);
    let processes = args.pid.map_or_else(sockets::relays, |pid| vec![pid]);
    differences.extend(sockets::differences(&flows, &processes)?);
    let rules = expected.lines().filter(|line| line.contains(" counter ")).count();
    let found = Found { fine: differences.is_empty(), rules, processes, differences };
    match format {
        Format::Json => say_json(&found)?,
        Format::Human => tell(&found.text(Palette::of_stdout())),
    }
    Ok(if found.fine { Exit::Fine } else { Exit::No })
}

impl Found {
    fn text(&self, palette: Palette) -> String {
        let mut text = String::new();
        for Difference { what, detail } in &self.differences {
            let lead = palette.paint(Tone::Bad, what.as_str());
            let _ = writeln!(text, "{}", palette.fold(&format!("{lead}: {}", harmless(detail)), 0));
        }
        let rules = counted(self.rules, "rule");
        let end = match self.differences.len() {
            0 => format!("{rules} and the sockets of the relay are as the configuration says"),
            count => format!(
                "{} from the configuration; load `dmz-relay firewall --format nftables` with `nft -f`",
                counted(count, "difference")
            ),
        };
        text.push_str(&palette.fold(&end, 0));
        text.push('\n');
        text
    }
}
