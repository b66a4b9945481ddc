//! The command line: what each command takes, and one file per command. Beside them what commands share: [`terminal`] is text
//! for people, [`sender`] is what a provider does, [`authority`] makes private certificates, [`mod@demo`] plays all of it.
//!
//! Every command gives an [`Exit`]; nothing below `main` ends the process. Text for people goes to standard output, with
//! `--format json` one JSON value instead, also where a command cannot do its work; people read that on standard error.

pub mod authority;
pub mod demo;
pub mod grammar;
pub mod sender;
pub mod terminal;

mod actions;
mod capture;
mod check;
mod config;
mod events;
mod explain;
mod firewall;
mod init;
mod manual;
mod memory;
mod providers;
mod reload;
mod run;
mod send;
mod status;
mod store;
mod target;
mod verify;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::terminal::{complain, harmless, say};
use crate::control::admin::client::Answer;
use crate::control::admin::events::Failure;
use crate::control::service::InheritedSocket;
use crate::observe::stderr_is_journal;
use grammar::{Cli, Command, Format, Output};

/// How a command ended. The numbers are documented in `docs/cli.md` and in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is fine.
    Fine = 0,
    /// The answer is no: problems, refused, kept, not as expected.
    No = 1,
    /// There is no answer: wrong usage, a file that cannot be read, a relay out of reach.
    Unusable = 2,
    /// The relay could not start: an address, a thread, a signal handler.
    NotStarted = 3,
    /// The relay ended otherwise than it should: a background task died, or a second signal cut requests off.
    Broken = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command has no answer; printed, then [`Exit::Unusable`].
#[derive(Debug)]
struct Unusable(String);

impl<T: Into<String>> From<T> for Unusable {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// Reads the arguments and does what they say. `sockets` were passed by the service manager.
pub fn main(sockets: io::Result<Vec<InheritedSocket>>) -> ExitCode {
    // Before anything secret is read.
    memory::keep_private();
    match manual::suggested() {
        Ok(false) => {}
        Ok(true) => return Exit::Fine.into(),
        Err(error) => return answered(&error).into(),
    }
    let Cli { command, format: output } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return answered(&error).into();
        }
    };
    let format = match (output, &command) {
        (Output::Json, _) => Format::Json,
        (Output::Human, _) => Format::Human,
        (Output::Nagios, Command::Status(_)) => Format::Human,
        (Output::Nftables | Output::Csv | Output::Markdown, Command::Firewall(args)) if args.action.is_none() => {
            Format::Human
        }
        (Output::Nagios, _) => {
            alarm("dmz-relay: --format nagios belongs to `status`; every command prints human or json\n");
            return Exit::Unusable.into();
        }
        (Output::Nftables | Output::Csv | Output::Markdown, _) => {
            alarm("dmz-relay: only `firewall` prints nftables, csv or markdown; every command prints human or json\n");
            return Exit::Unusable.into();
        }
    };
    let done = match command {
        Command::Run(args) => run::run(&args, sockets, format),
        Command::Check(args) => in_runtime(check::check(&args, format)),
        Command::Init(args) => init::init(&args, format),
        Command::Demo(args) => in_runtime(demo(&args, format)),
        Command::Send(args) => in_runtime(send::send(&args, format)),
        Command::Verify(args) => verify::verify(&args, format),
        Command::Explain(args) => in_runtime(explain::explain(&args, format)),
        Command::Providers(args) => providers::providers(&args, format),
        Command::Status(args) => in_runtime(status::status(&args, output)),
        Command::Reload(args) => in_runtime(reload::reload(&args, format)),
        Command::Config(args) => in_runtime(config::config(&args, format)),
        Command::Events(args) => in_runtime(events::events(&args, format)),
        Command::Actions(args) => in_runtime(actions::actions(&args, format)),
        Command::Firewall(args) => in_runtime(firewall::firewall(&args, output, format)),
        Command::Schema => say_json(&crate::config::schema::schema()).map(|()| Exit::Fine),
        Command::Store(args) => store::store(&args, format),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Unusable(why)) => failed(&why, Exit::Unusable, format).into(),
    }
}

/// Help and version are answers; everything else is wrong usage.
fn answered(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        let _ = error.print();
        return Exit::Fine;
    }
    let text = error.render().to_string();
    if !asks_for_json(std::env::args_os()) {
        alarm(&text);
        return Exit::Unusable;
    }
    let why = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing; --help lists them",
        _ => text.trim().trim_start_matches("error: "),
    };
    failed(why, Exit::Unusable, Format::Json)
}

/// Whether `--format json` is among arguments that could not be read.
fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.collect();
    arguments.iter().any(|argument| argument == "--format=json")
        || arguments.windows(2).any(|pair| pair == ["--format", "json"])
}

/// Says why there is no answer: to people on standard error, to a program as one line of JSON where it reads.
fn failed(why: &str, exit: Exit, format: Format) -> Exit {
    match format {
        Format::Json => say(&format!("{}\n", serde_json::json!({ "error": why, "exit_code": exit as u8 }))),
        Format::Human => alarm(&format!("dmz-relay: {why}\n")),
    }
    exit
}

/// An error on standard error. The journal takes each line as an error where it reads that, so that `journalctl -p err` has the reason.
fn alarm(text: &str) {
    if !stderr_is_journal() {
        return complain(text);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    complain(&lines.map(|line| format!("<{ERROR}>{line}\n")).collect::<String>());
}

/// The syslog priority of an error.
const ERROR: u8 = 3;

async fn demo(args: &grammar::Demo, format: Format) -> Result<Exit, Unusable> {
    let settings = args.settings(format == Format::Json);
    let as_expected = demo::demo(&settings).await.map_err(|error| format!("demo: {error}"))?;
    Ok(if as_expected { Exit::Fine } else { Exit::No })
}

/// What the relay answered, or its own words for why it did not; `otherwise` ends the sentence for an answer in another form.
fn read_answer<T: DeserializeOwned>(answer: &Answer, otherwise: &str) -> Result<T, Unusable> {
    if let Ok(Failure { error, .. }) = serde_json::from_slice(&answer.body) {
        return Err(harmless(&error).into());
    }
    let read = serde_json::from_slice(&answer.body);
    read.map_err(|_| format!("the relay answered {} {otherwise}", answer.status).into())
}

/// Work that waits for sockets.
fn in_runtime(work: impl Future<Output = Result<Exit, Unusable>>) -> Result<Exit, Unusable> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start threads: {error}"))?;
    let done = runtime.block_on(Box::pin(work));
    runtime.shutdown_background();
    done
}

/// One JSON value, indented, with its line feed.
fn say_json(value: &impl Serialize) -> Result<(), Unusable> {
    let text = serde_json::to_string_pretty(value).map_err(|error| format!("cannot write JSON: {error}"))?;
    say(&text);
    say("\n");
    Ok(())
}
