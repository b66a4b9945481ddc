//! `config`: the configurations that were in force.

use clap::{Args, Subcommand};

use super::Relay;

/// `config`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct ConfigCommand {
    /// What to do.
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// List the configurations that were in force, the newest first
    List(ListVersions),
    /// Print the text of one of them
    Show(ShowVersion),
    /// Say what one of them changed
    Diff(DiffVersions),
    /// Put an earlier one back into the file, and reload
    Rollback(Rollback),
}

/// `config list`.
#[derive(Debug, Args)]
pub struct ListVersions {
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}

/// `config show`.
#[derive(Debug, Args)]
pub struct ShowVersion {
    /// Its number in `config list` [default: what is running]
    #[arg(value_name = "VERSION")]
    pub number: Option<u64>,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}

/// `config diff`.
#[derive(Debug, Args)]
pub struct DiffVersions {
    /// The older one [default: the one before the newer]
    #[arg(value_name = "OLD")]
    pub old: Option<u64>,
    /// The newer one [default: what is running]
    #[arg(value_name = "NEW")]
    pub new: Option<u64>,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}

/// `config rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Its number in `config list` [default: the one before what is running]
    #[arg(value_name = "VERSION")]
    pub number: Option<u64>,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// Where the relay is.
    #[command(flatten)]
    pub relay: Relay,
}
