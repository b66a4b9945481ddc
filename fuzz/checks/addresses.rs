//! Address lists: the same verdict as by asking every network in turn.

use std::net::{IpAddr, Ipv6Addr};

use dmz_relay::guards::access::{AccessList, IpSet, Verdict};
use ipnet::IpNet;

/// Lines are networks, those behind an exclamation mark are denied; those behind a question mark are asked for.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut networks: Vec<IpNet> = Vec::new();
    let mut denied: Vec<IpNet> = Vec::new();
    let mut asked: Vec<IpAddr> = Vec::new();
    for line in text.lines().take(64) {
        match (line.strip_prefix('?'), line.strip_prefix('!')) {
            (Some(ip), _) => asked.extend(ip.trim().parse::<IpAddr>()),
            (None, Some(net)) => denied.extend(net.trim().parse::<IpNet>()),
            (None, None) => networks.extend(line.trim().parse::<IpNet>()),
        }
    }
    // The edges of every network, and their neighbours.
    for net in networks.iter().chain(&denied) {
        asked.extend([net.network(), net.broadcast()]);
        asked.extend([stepped(net.network(), false), stepped(net.broadcast(), true)].into_iter().flatten());
    }
    let set = IpSet::new(networks.iter().copied());
    let entries = |networks: &[IpNet]| -> Vec<(Box<str>, Vec<IpNet>)> {
        networks.iter().enumerate().map(|(number, net)| (number.to_string().into_boxed_str(), vec![*net])).collect()
    };
    let list = AccessList::new(entries(&denied), Some(entries(&networks)));
    let open = AccessList::new(entries(&denied), None);
    for ip in asked {
        let first = |networks: &[IpNet]| Some(networks.iter().position(|net| holds(net, ip))?.to_string());
        let (is_denied, is_listed) = (first(&denied), first(&networks));
        assert_eq!(set.contains(ip), is_listed.is_some(), "{ip} in {networks:?}");
        let verdict = match (&is_denied, &is_listed) {
            (Some(entry), _) => Verdict::Denied(entry),
            (None, Some(entry)) => Verdict::Admitted(Some(entry)),
            (None, None) => Verdict::Unlisted,
        };
        assert_eq!(list.judge(ip), verdict, "{ip} in {networks:?} without {denied:?}");
        let verdict = is_denied.as_deref().map_or(Verdict::Admitted(None), Verdict::Denied);
        assert_eq!(open.judge(ip), verdict, "{ip} without {denied:?}");
        let admitted = list.addresses().is_some_and(|all| all.contains(ip));
        assert_eq!(admitted, is_denied.is_none() && is_listed.is_some(), "{ip} in {networks:?} without {denied:?}");
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
