//! The grammar of the command line. The comments are the help texts.

pub mod config;
pub mod events;
pub mod firewall;
mod providers;
mod requests;
mod values;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_complete::engine::ArgValueCandidates;

use crate::cli::demo::Settings;
use crate::control::admin::ACTIONS;
use crate::domain::ActionResult;

pub use config::ConfigCommand;
pub use events::Events;
pub use firewall::Firewall;
pub use providers::{Providers, SchemeKind};
pub use requests::{Explain, Send, Verify};

const EXIT_CODES: &str = "Exit codes:
  0  fine
  1  the answer is no: problems found, refused, kept, not as expected
  2  no answer: wrong usage, a file that cannot be read, a relay out of reach
  3  `run` could not start: an address could not be bound
  4  `run` ended otherwise than it should";

/// The gate for webhooks on a DMZ host: verify first, forward after.
#[derive(Debug, Parser)]
#[command(name = "dmz-relay", version, propagate_version = true, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Output,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Human,
    /// For programs.
    Json,
    /// One line and an exit code for monitoring: `status` only.
    #[value(hide = true)]
    Nagios,
    /// Rules for `nft -f`: `firewall` only.
    #[value(hide = true)]
    Nftables,
    /// For a spreadsheet: `firewall` only.
    #[value(hide = true)]
    Csv,
    /// A table for a change request: `firewall` only.
    #[value(hide = true)]
    Markdown,
}

/// What every command can print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay until SIGTERM or SIGINT; SIGHUP reloads
    Run(Run),
    /// Check a configuration and everything it refers to
    Check(Check),
    /// Write the first configuration of a host, with its folders
    Init(Init),
    /// Show the relay at work, with no set-up at all
    Demo(Demo),
    /// Send a correctly signed request to a route of the configuration
    Send(Send),
    /// Check a captured request, offline
    Verify(Verify),
    /// Say why a stored or captured request was taken or refused, step by step
    Explain(Explain),
    /// List the providers, or show one of them
    Providers(Providers),
    /// Show what a running relay does
    Status(Status),
    /// Have a running relay read its files again
    Reload(Reload),
    /// List, show and compare the configurations that were in force, and go back to one
    Config(ConfigCommand),
    /// Search, show, follow, export and redeliver what was received
    Events(Events),
    /// Say who did what over the admin socket, the newest first
    Actions(Actions),
    /// Print what a firewall must let through, or compare it with the host
    Firewall(Firewall),
    /// Print the JSON Schema of relay.toml, for editors
    Schema,
    /// Work on the store of a configuration, also while a relay runs
    Store(Store),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub struct Config {
    /// The configuration [default: /etc/dmz-relay/relay.toml if it is there, else ./relay.toml]
    #[arg(long, short, env = "DMZ_RELAY_CONFIG", hide_env_values = true, value_name = "FILE")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Look for changed files every few seconds instead of waiting for the system's notices
    #[arg(long)]
    pub poll: bool,
}

/// `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which configuration, and where its relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Say also what a reload would change in the running relay
    #[arg(long)]
    pub diff: bool,
    /// Try the upstreams (name, TCP, TLS) and the store's disk as well
    #[arg(long)]
    pub connect: bool,
    /// Judge what this user may read and write [default: the unit's user, where root asks]
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The provider that will send; `dmz-relay providers` lists them
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(values::providers))]
    pub provider: String,
    /// The internal server that receives its requests, such as http://10.0.1.20:8080
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub upstream: String,
    /// The public name that the provider calls, such as hooks.example.com
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Hostname)]
    pub host: String,
    /// The folder of the configuration
    #[arg(long, value_name = "FOLDER", default_value = "/etc/dmz-relay", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Read the provider's secret from standard input
    #[arg(long)]
    pub secret_stdin: bool,
    /// Make a certificate by a private authority, for a trial
    #[arg(long)]
    pub private_certificate: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the show instead of serving on
    #[arg(long)]
    pub once: bool,
    /// Pause after each line, to read along or to present it
    #[arg(long)]
    pub slow: bool,
    /// The public port [default: one that the kernel chooses]
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
}

impl Demo {
    pub(super) fn settings(&self, json: bool) -> Settings {
        Settings { once: self.once, port: self.port, slow: self.slow, json }
    }
}

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}

/// `reload`.
#[derive(Debug, Args)]
pub struct Reload {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}

/// `actions`.
#[derive(Debug, Args)]
pub struct Actions {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
    /// Since then: 2h, 3d, 2026-11-22T10:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub since: Option<String>,
    /// Before then
    #[arg(long, value_name = "TIME", help_heading = "Filters")]
    pub until: Option<String>,
    /// Of this user: a name, or a number
    #[arg(long, value_name = "USER", help_heading = "Filters")]
    pub user: Option<String>,
    /// What was asked for
    #[arg(long, value_name = "ACTION", help_heading = "Filters", value_parser = PossibleValuesParser::new(ACTIONS))]
    pub action: Option<String>,
    /// What came of it
    #[arg(long, value_enum, value_name = "RESULT", help_heading = "Filters")]
    pub result: Option<ActionResult>,
    /// About the event with this id
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    pub id: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub limit: u64,
}

/// Which running relay.
#[derive(Clone, Debug, Args)]
pub struct Relay {
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
    /// The admin listener: ADDRESS:PORT or unix:/PATH [default: the configuration's]
    #[arg(long, env = "DMZ_RELAY_ADMIN", hide_env_values = true, value_name = "ADDRESS")]
    pub admin: Option<String>,
}

/// `store`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Store {
    /// What to do with it.
    #[command(subcommand)]
    pub action: StoreAction,
}

/// What is done with the store.
#[derive(Debug, Subcommand)]
pub enum StoreAction {
    /// Copy it to a new file, as it is at one moment; requests are taken meanwhile
    Backup(Backup),
}

/// `store backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The new file
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
}

/// `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `man`.
#[derive(Debug, Args)]
pub struct Man {
    /// Write one page per command, and relay.toml(5), into man1 and man5 of this folder instead
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn explain_wants_an_id_or_a_request() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("dmz-relay explain 0192").is_ok());
        assert!(parse("dmz-relay explain --request r --at 1700000000 --source ::1 --entry 2").is_ok());
        assert!(parse("dmz-relay explain --request r --at 2026-01-31T10:00:00Z").is_ok());
        for wrong in ["", " 0192 --request r", " 0192 --at 1", " --request r --at noon", " 0192 --entry 1"] {
            assert!(parse(&format!("dmz-relay explain{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn verify_wants_a_provider_or_a_route() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("dmz-relay verify --provider github --secret-file s --request r").is_ok());
        assert!(parse("dmz-relay verify --route github --request r").is_ok());
        assert!(parse("dmz-relay verify --request r").is_err());
        assert!(parse("dmz-relay verify --route a --provider b --request r").is_err());
        assert!(parse("dmz-relay send x --stale --duplicate").is_err());
    }
}
