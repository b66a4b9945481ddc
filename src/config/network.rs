//! Addresses and networks as lists and feeds write them: one grammar.

use std::net::IpAddr;

use ipnet::IpNet;

/// Why a text is neither an address nor a network.
pub(super) enum NotNetwork {
    /// Neither.
    Unreadable,
    /// A network with bits behind its prefix; this one was meant, or another prefix.
    HostBits(IpNet),
    /// More bits than such an address has.
    TooLong(u8),
    /// An address and something behind its slash that is no number: a netmask, for instance.
    NoLength,
}

/// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`.
pub(super) fn network(text: &str) -> Result<IpNet, NotNetwork> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let net: IpNet = text.parse().map_err(|_| unreadable(text))?;
    if net.addr() == net.network() { Ok(net) } else { Err(NotNetwork::HostBits(net.trunc())) }
}

fn unreadable(text: &str) -> NotNetwork {
    let Some((ip, length)) = text.split_once('/') else { return NotNetwork::Unreadable };
    let Ok(ip) = ip.parse::<IpAddr>() else { return NotNetwork::Unreadable };
    match length.bytes().all(|byte| byte.is_ascii_digit()) && !length.is_empty() {
        true => NotNetwork::TooLong(if ip.is_ipv4() { 32 } else { 128 }),
        false => NotNetwork::NoLength,
    }
}
