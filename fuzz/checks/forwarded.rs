//! `X-Forwarded-For`, walked from the right: the same source as by a walk that is as simple as can be.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use dmz_relay::domain::{Head, Method, SourceAddress, Version, Via};
use dmz_relay::gate::pipeline::{Connection, source};
use dmz_relay::guards::access::{AccessList, IpSet};
use dmz_relay::runtime::snapshot::{ListenAddress, Listener};

/// Proxies whose word counts.
const TRUSTED: [&str; 3] = ["10.0.0.0/8", "127.0.0.1/32", "2001:db8::/64"];
/// Hops that are looked at.
const HOPS: usize = 32;

/// The first line is the peer, each other one is a line of the field.
pub fn check(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let peer = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse::<IpAddr>().ok());
    let peer = peer.unwrap_or(IpAddr::from([127, 0, 0, 1])).to_canonical();
    let lines: Vec<&[u8]> = lines.take(40).collect();
    let mut head = Head::builder(Method::Post, Version::Http11).target("/").host("relay.example");
    for line in &lines {
        head = head.header("X-Forwarded-For", line);
    }
    let connection = Connection {
        listener: Arc::new(Listener {
            name: "public".into(),
            address: ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: None,
            proxy_protocol_from: IpSet::default(),
            trust_forwarded_from: IpSet::new(TRUSTED.iter().filter_map(|net| net.parse().ok())),
            deny: AccessList::default(),
            admits: None,
        }),
        source: SourceAddress { ip: peer, via: Via::Socket },
        certificate: None,
        client_certificate: false,
        proven: Default::default(),
    };
    let found = source::resolve(&connection, &head.build());
    assert_eq!(found.ip, naive(peer, &lines), "peer {peer}");
    assert_eq!(found.ip, found.ip.to_canonical());
    if !trusted(peer) {
        assert_eq!(found, connection.source, "who is no proxy speaks for itself only");
    }
}

fn trusted(ip: IpAddr) -> bool {
    TRUSTED.iter().any(|net| net.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&ip)))
}

fn naive(peer: IpAddr, lines: &[&[u8]]) -> IpAddr {
    let all = lines.join(&b',');
    let mut entries: Vec<&[u8]> = if lines.is_empty() { Vec::new() } else { all.split(|byte| *byte == b',').collect() };
    entries.reverse();
    let mut speaker = peer;
    for entry in entries.into_iter().take(HOPS) {
        let Some(ip) = trusted(speaker).then(|| address(entry)).flatten() else { break };
        speaker = ip;
    }
    speaker
}

/// Every spelling that proxies use, and no other.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let ip = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    // One pair of brackets around IPv6, as RFC 3986 has it; half a pair, two, or one around IPv4 is no address.
    let in_brackets = || match text.as_bytes() {
        [b'[', bare @ .., b']'] => std::str::from_utf8(bare).ok()?.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    };
    ip.or_else(with_port).or_else(in_brackets).map(|ip| ip.to_canonical())
}
