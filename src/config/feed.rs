//! A provider's own file of addresses, in its own format.
//!
//! Every format is JSON that the provider publishes as it is, or plain text. The operator, or a job of theirs, puts the file there; the
//! relay dials nobody for it. What is not as the format says is refused as a whole: half a list refuses genuine requests.

mod formats;
mod kept;

use std::fmt;

use ipnet::IpNet;

use super::network::network;
use crate::guards::access::{WIDEST_V4, WIDEST_V6};

pub use kept::KeptFeeds;

/// Largest file. The largest that is known, AWS's, has 2 MiB.
pub const MAX_FEED: u64 = 16 << 20;
/// Most networks of one file.
pub const MAX_NETWORKS: usize = 200_000;

/// Who publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `https://api.github.com/meta`.
    Github,
    /// `https://ip-ranges.amazonaws.com/ip-ranges.json`.
    Aws,
    /// `https://www.gstatic.com/ipranges/goog.json` and `cloud.json`.
    Google,
    /// `https://ip-ranges.atlassian.com/`.
    Atlassian,
    /// A network per line, `#` starts a comment.
    Text,
}

impl Format {
    /// As `relay.toml` writes them.
    pub const ALL: [(&str, Self); 5] = [
        ("github", Self::Github),
        ("aws", Self::Aws),
        ("google", Self::Google),
        ("atlassian", Self::Atlassian),
        ("text", Self::Text),
    ];

    /// As `relay.toml` writes it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| word)
    }
}

/// What of a file is meant. An empty list leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Of GitHub's file: `hooks`.
    pub member: String,
    /// Of AWS's and Google's.
    pub services: Vec<String>,
    /// Of AWS's, Google's (`scope`) and Atlassian's.
    pub regions: Vec<String>,
    /// Of Atlassian's.
    pub products: Vec<String>,
    /// Of Atlassian's.
    pub directions: Vec<String>,
}

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// In its order.
    pub networks: Vec<IpNet>,
    /// When it was made, seconds since the epoch, where the format has that.
    pub date: Option<i64>,
}

/// Why a file is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedError {
    /// Not the format; the text says where.
    Unreadable(String),
    /// A text that is no network.
    NotNetwork(String),
    /// A network that no provider sends from.
    TooWide(IpNet),
    /// More networks than are taken.
    TooMany,
    /// Nothing is left of it.
    Empty,
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "is not in the format: {why}"),
            Self::NotNetwork(text) => write!(f, "holds {text:?}, which is no network"),
            Self::TooWide(net) => {
                write!(f, "holds {net}, which is wider than /{WIDEST_V4} of IPv4 or /{WIDEST_V6} of IPv6")
            }
            Self::TooMany => write!(f, "holds more than {MAX_NETWORKS} networks"),
            Self::Empty => f.write_str("holds no network that is meant"),
        }
    }
}

impl FeedError {
    /// Whether an operator may say that it is right all the same.
    pub fn may_be_accepted(&self) -> bool {
        matches!(self, Self::TooWide(_))
    }
}

/// Reads a file. `accepted`: an operator said that exactly this file is right, so networks may be wide.
pub fn read(bytes: &[u8], format: Format, part: &Part, accepted: bool) -> Result<Published, FeedError> {
    let (texts, date) = formats::texts(bytes, format, part)?;
    if texts.len() > MAX_NETWORKS {
        return Err(FeedError::TooMany);
    }
    if texts.is_empty() {
        return Err(FeedError::Empty);
    }
    let mut networks = Vec::with_capacity(texts.len());
    for text in texts {
        let net = network(&text).map_err(|_| FeedError::NotNetwork(text.chars().take(60).collect()))?;
        if !accepted && is_wide(net) {
            return Err(FeedError::TooWide(net));
        }
        networks.push(net);
    }
    Ok(Published { networks, date })
}

/// A mapped network is as wide as the IPv4 network that it stands for.
fn is_wide(net: IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() < WIDEST_V4,
        IpNet::V6(net) if net.addr().to_ipv4_mapped().is_some() => net.prefix_len() < 96 + WIDEST_V4,
        IpNet::V6(net) => net.prefix_len() < WIDEST_V6,
    }
}

#[cfg(test)]
mod tests;
