//! Address lists: the same verdict as by asking every network in turn.

use std::net::{IpAddr, Ipv6Addr};

use dmz_relay::access::{AllowList, IpSet};
use ipnet::IpNet;

/// Lines are networks; those behind a question mark are asked for.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut networks: Vec<IpNet> = Vec::new();
    let mut asked: Vec<IpAddr> = Vec::new();
    for line in text.lines().take(64) {
        match line.strip_prefix('?') {
            Some(ip) => asked.extend(ip.trim().parse::<IpAddr>()),
            None => networks.extend(line.trim().parse::<IpNet>()),
        }
    }
    // The edges of every network, and their neighbours.
    for net in &networks {
        asked.extend([net.network(), net.broadcast()]);
        asked.extend([stepped(net.network(), false), stepped(net.broadcast(), true)].into_iter().flatten());
    }
    let set = IpSet::new(networks.iter().copied());
    let entries = networks.iter().enumerate().map(|(number, net)| (number.to_string().into_boxed_str(), vec![*net]));
    let list = AllowList::new(entries);
    for ip in asked {
        let first = networks.iter().position(|net| holds(net, ip));
        assert_eq!(set.contains(ip), first.is_some(), "{ip} in {networks:?}");
        assert_eq!(list.admits(ip), first.map(|at| at.to_string()).as_deref(), "{ip} in {networks:?}");
        assert_eq!(list.addresses().contains(ip), first.is_some(), "{ip} in {networks:?}");
    }
}

fn stepped(ip: IpAddr, up: bool) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => {
            let bits = if up { ip.to_bits().checked_add(1) } else { ip.to_bits().checked_sub(1) };
            bits.map(|bits| IpAddr::V4(bits.into()))
        }
        IpAddr::V6(ip) => {
            let bits = if up { ip.to_bits().checked_add(1) } else { ip.to_bits().checked_sub(1) };
            bits.map(|bits| IpAddr::V6(bits.into()))
        }
    }
}

/// One host has one spelling, and so has one network: what lies in `::ffff:0:0/96` is IPv4.
fn holds(net: &IpNet, ip: IpAddr) -> bool {
    match (net, ip.to_canonical()) {
        (IpNet::V4(net), IpAddr::V4(ip)) => net.contains(&ip),
        (IpNet::V6(net), IpAddr::V4(ip)) => {
            net.prefix_len() >= 96 && net.addr().to_ipv4_mapped().is_some() && net.contains(&ip.to_ipv6_mapped())
        }
        (IpNet::V6(net), IpAddr::V6(ip)) => {
            let mapped = net.prefix_len() >= 96 && Ipv6Addr::to_ipv4_mapped(&net.addr()).is_some();
            !mapped && net.contains(&ip)
        }
        (IpNet::V4(_), IpAddr::V6(_)) => false,
    }
}
