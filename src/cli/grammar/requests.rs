//! `send`, `verify` and `explain`: requests that are made, and captured ones that are judged.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::{Config, Relay, values};
use crate::base::UnixMillis;

/// `send`.
#[derive(Debug, Args)]
pub struct Send {
    /// The route's name in the configuration
    #[arg(value_name = "ROUTE", add = ArgValueCandidates::new(values::routes))]
    pub route: String,
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
    /// The body: text, or @FILE, or @- for standard input [default: a small body of the route's type]
    #[arg(long, short, value_name = "TEXT|@FILE")]
    pub data: Option<String>,
    /// A header to add; may be given several times
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The method [default: the first that the route allows]
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// The path and query [default: the route's path]
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Send to this URL instead of the configured listener; a path in it replaces the route's
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Which listener of the configuration [default: the first]
    #[arg(long, value_name = "NAME", conflicts_with = "url", add = ArgValueCandidates::new(values::listeners))]
    pub listener: Option<String>,
    /// Connect to this address, whatever the URL or the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub connect: Option<SocketAddr>,
    /// Trust these certificate authorities [default: the listener's own certificate; with --url the system's authorities]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub cacert: Option<PathBuf>,
    /// Show this certificate to a listener that asks for one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Sign with this private key (PEM), where the route verifies with public keys
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub private_key: Option<PathBuf>,
    /// Sign with a time just outside the scheme's window; a refusal is expected
    #[arg(long)]
    pub stale: bool,
    /// Change the request after it was signed; a refusal is expected
    #[arg(long)]
    pub tamper: bool,
    /// Send each request twice, byte for byte
    #[arg(long, conflicts_with_all = ["stale", "tamper"])]
    pub duplicate: bool,
    /// How many requests, each with a signature of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub count: u64,
    /// At most this many requests per second [default: as fast as they are answered]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: Option<u32>,
    /// Give up on an answer after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
    /// Wait this long for the application to take what the relay stored; 0 does not ask
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub wait: u64,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The provider whose scheme the request must meet
    #[arg(long, value_name = "NAME", required_unless_present = "route", conflicts_with = "route")]
    #[arg(add = ArgValueCandidates::new(values::providers))]
    pub provider: Option<String>,
    /// The route whose scheme and secrets are used
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(values::routes))]
    pub route: Option<String>,
    /// Which configuration.
    #[command(flatten)]
    pub config: Config,
    /// A file with a secret of the provider; may be given several times
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "route")]
    pub secret_file: Vec<PathBuf>,
    /// A file with a public key of the provider, for schemes that verify with one; may be given several times
    #[arg(long, value_name = "[ID=]FILE", value_hint = ValueHint::FilePath, conflicts_with = "route")]
    pub public_key: Vec<PathBuf>,
    /// The moment that time windows are judged by: seconds since 1970, or 2026-01-31T10:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = instant, allow_negative_numbers = true)]
    pub at: Option<UnixMillis>,
    /// The public URL, for schemes that sign it (a route has its own)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "route")]
    pub url: Option<String>,
    /// What a claim of the token must be, for schemes that leave it to the route (a route has its own); may be given several times
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "route")]
    pub claim: Vec<String>,
    /// The request: raw HTTP, a curl command or an HTTP archive (HAR); - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub request: PathBuf,
    /// Which request of an archive: its number, or a part of its URL
    #[arg(long, value_name = "N|URL")]
    pub entry: Option<String>,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The id of a stored request, or its beginning; a running relay is asked
    #[arg(value_name = "ID", required_unless_present = "request", conflicts_with = "request")]
    pub id: Option<String>,
    /// Where the relay or its configuration is.
    #[command(flatten)]
    pub relay: Relay,
    /// A captured request: raw HTTP, a curl command or an HTTP archive (HAR); - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub request: Option<PathBuf>,
    /// The address that it came from
    #[arg(long, value_name = "ADDRESS", conflicts_with = "id")]
    pub source: Option<IpAddr>,
    /// The moment that time windows are judged by: seconds since 1970, or 2026-01-31T10:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "id", value_parser = instant, allow_negative_numbers = true)]
    pub at: Option<UnixMillis>,
    /// Which request of an archive: its number, or a part of its URL
    #[arg(long, value_name = "N|URL", conflicts_with = "id")]
    pub entry: Option<String>,
}

fn instant(text: &str) -> Result<UnixMillis, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(UnixMillis::from_secs(seconds));
    }
    let stamp: jiff::Timestamp =
        text.parse().map_err(|_| "expected seconds since 1970, or 2026-01-31T10:00:00Z".to_owned())?;
    Ok(UnixMillis(stamp.as_millisecond()))
}
