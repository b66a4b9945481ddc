//! `firewall`: what the host's firewall must let through.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use ipnet::IpNet;

use super::Config;

/// `firewall`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Firewall {
    /// What to do; nothing: print the flows.
    #[command(subcommand)]
    pub action: Option<FirewallAction>,
    /// What the flows are made from.
    #[command(flatten)]
    pub flows: Flows,
}

/// What can be done with the flows.
#[derive(Debug, Subcommand)]
pub enum FirewallAction {
    /// Compare the loaded rules and the relay's open sockets with the configuration
    Check(FirewallCheck),
}

/// What the flows are made from.
#[derive(Clone, Debug, Args)]
pub struct Flows {
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
    /// The user that the relay runs as; rules for outgoing connections hold for it alone
    #[arg(long, value_name = "USER", default_value = "dmz-relay", value_hint = ValueHint::Username)]
    pub user: String,
    /// Who may read metrics and health over TCP; may be given several times
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    pub scrape_from: Vec<IpNet>,
    /// Where systemd's socket of this name stands; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS:PORT", value_parser = socket)]
    pub socket: Vec<(String, SocketAddr)>,
}

/// `firewall check`.
#[derive(Debug, Args)]
pub struct FirewallCheck {
    /// What the flows are made from.
    #[command(flatten)]
    pub flows: Flows,
    /// Read the loaded rules from this file, as `nft -s -u list ruleset` prints them [default: run nft]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ruleset: Option<PathBuf>,
    /// The relay's process [default: each one that runs `dmz-relay run`]
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub pid: Option<u32>,
}

fn network(text: &str) -> Result<IpNet, String> {
    let one = text.parse::<std::net::IpAddr>().map(IpNet::from);
    let read = one.or_else(|_| text.parse::<IpNet>());
    read.map(|network| network.trunc()).map_err(|_| "write an address or a network, such as 10.0.9.0/24".to_owned())
}

fn socket(text: &str) -> Result<(String, SocketAddr), String> {
    let read = text.split_once('=').and_then(|(name, address)| Some((name.to_owned(), address.parse().ok()?)));
    read.ok_or_else(|| "write NAME=ADDRESS:PORT, such as public=0.0.0.0:443".to_owned())
}
