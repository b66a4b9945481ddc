//! Where a request came from, and how that is known.

use std::net::{IpAddr, Ipv6Addr};

/// The address that lists are checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress {
    /// IPv4-mapped IPv6 is already unmapped.
    pub ip: IpAddr,
    /// How the address was derived.
    pub via: Via,
}

/// How a source address was derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// The peer of the TCP connection.
    Socket,
    /// A PROXY protocol header from a listed peer.
    ProxyHeader,
    /// `X-Forwarded-For`, walked from the right through listed proxies.
    ForwardedFor,
}

impl Via {
    /// As logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::ProxyHeader => "proxy-header",
            Self::ForwardedFor => "x-forwarded-for",
        }
    }
}

/// `::ffff:192.0.2.1` is 192.0.2.1: one host, one spelling.
pub fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// What is counted as one source: an IPv4 address, or the /64 of an IPv6 address, because a host is given a whole one as a
/// rule.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}
