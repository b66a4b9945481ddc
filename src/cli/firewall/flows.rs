//! What a configuration sends and receives: one flow for each peer and port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use serde::{Serialize, Serializer};

use super::super::Unusable;
use super::super::grammar::firewall::Flows;
use crate::guards::access::IpSet;
use crate::runtime::snapshot::{AdminAddress, ListenAddress, Listener, Snapshot};

const DNS: u16 = 53;
const RESOLVERS: &str = "/etc/resolv.conf";

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    /// The peer.
    In,
    /// The relay.
    Out,
}

/// The transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peers {
    /// Whoever comes.
    Anybody,
    /// First and last address of each range, sorted, apart from each other.
    Ranges(Vec<(IpAddr, IpAddr)>),
    /// A name, with what it stood for when it was asked; none where it could not be resolved.
    Name(String, Vec<IpAddr>),
}

impl Peers {
    fn of(set: &IpSet) -> Self {
        Self::Ranges(set.ranges().collect())
    }

    /// Whether an address is one of them.
    pub(super) fn hold(&self, ip: IpAddr) -> bool {
        match self {
            Self::Anybody => true,
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&ip)),
            Self::Name(_, addresses) => addresses.contains(&ip),
        }
    }
}

/// One range as a network where it is one, else its two ends.
pub(super) fn shown((first, last): (IpAddr, IpAddr)) -> String {
    if first == last {
        return first.to_string();
    }
    let networks: Vec<IpNet> = match (first, last) {
        // Two are enough to tell a range from a network.
        (IpAddr::V4(first), IpAddr::V4(last)) => Ipv4Subnets::new(first, last, 0).map(IpNet::from).take(2).collect(),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ipv6Subnets::new(first, last, 0).map(IpNet::from).take(2).collect(),
        _ => Vec::new(),
    };
    match networks.as_slice() {
        [one] => one.to_string(),
        _ => format!("{first}-{last}"),
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Anybody => "any".to_owned(),
            Self::Ranges(ranges) if ranges.is_empty() => "nobody".to_owned(),
            Self::Ranges(ranges) => ranges.iter().copied().map(shown).collect::<Vec<_>>().join(", "),
            Self::Name(name, addresses) if addresses.is_empty() => name.clone(),
            Self::Name(name, addresses) => {
                let addresses = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>();
                format!("{name} ({})", addresses.join(", "))
            }
        };
        f.write_str(&text)
    }
}

impl Serialize for Peers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One connection that the relay needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Flow {
    /// Who opens it.
    pub(super) direction: Direction,
    /// The transport.
    pub(super) protocol: Protocol,
    /// The other end.
    pub(super) peers: Peers,
    /// Where the relay stands, for what comes in; a wildcard address stands for its family.
    pub(super) local: Option<IpAddr>,
    /// Of the end that is connected to.
    pub(super) port: u16,
    /// What it is for, in words.
    pub(super) purpose: String,
}

/// Everything that this configuration needs, listeners first.
pub(super) async fn of(args: &Flows) -> Result<Vec<Flow>, Unusable> {
    let snapshot = args.config.load_for_explaining()?.snapshot;
    let mut flows = Vec::new();
    for listener in &snapshot.listeners {
        flows.push(received(listener, socket(listener, args)?));
    }
    if let Some(AdminAddress::Tcp(address)) = &snapshot.admin {
        flows.extend(scraped(*address, args, "admin")?);
    }
    if let Some(address) = snapshot.scrape {
        flows.extend(scraped(address, args, "metrics and health")?);
    }
    sent(&snapshot, &mut flows).await;
    Ok(flows)
}

fn socket(listener: &Listener, args: &Flows) -> Result<SocketAddr, Unusable> {
    let address = match &listener.address {
        ListenAddress::Tcp(address) => *address,
        ListenAddress::Systemd(name) => {
            let given = args.socket.iter().find(|(socket, _)| socket == name).map(|(_, address)| *address);
            given.ok_or_else(|| {
                format!(
                    "where systemd's socket \"{name}\" stands is said by its unit; add --socket {name}=ADDRESS:PORT"
                )
            })?
        }
    };
    if address.port() == 0 {
        return Err(
            format!("listener \"{}\" has port 0: the kernel chooses another one at each start", listener.name).into()
        );
    }
    Ok(address)
}

fn received(listener: &Listener, address: SocketAddr) -> Flow {
    let peers = match &listener.admits {
        None => Peers::Anybody,
        Some(admits) => Peers::of(&admits.union(&listener.proxy_protocol_from)),
    };
    Flow {
        direction: Direction::In,
        protocol: Protocol::Tcp,
        peers,
        local: Some(address.ip()),
        port: address.port(),
        purpose: format!("listener {}", listener.name),
    }
}

/// On a loopback address nobody from outside comes, and no rule is needed.
fn scraped(address: SocketAddr, args: &Flows, purpose: &str) -> Result<Option<Flow>, Unusable> {
    if address.ip().is_loopback() {
        return Ok(None);
    }
    if args.scrape_from.is_empty() {
        return Err(format!(
            "who may ask {address} for {purpose} is not in the configuration; add --scrape-from NETWORK"
        )
        .into());
    }
    Ok(Some(Flow {
        direction: Direction::In,
        protocol: Protocol::Tcp,
        peers: Peers::of(&IpSet::of([&args.scrape_from.iter().copied().collect()])),
        local: Some(address.ip()),
        port: address.port(),
        purpose: purpose.to_owned(),
    }))
}

async fn sent(snapshot: &Snapshot, flows: &mut Vec<Flow>) {
    let mut has_names = false;
    for (name, upstream) in &snapshot.upstreams {
        for server in upstream.endpoints() {
            let peers = match server.host.parse::<IpAddr>() {
                Ok(address) => Peers::Ranges(vec![(address, address)]),
                Err(_) => {
                    has_names = true;
                    Peers::Name(server.host.to_owned(), resolved(server.host, server.port).await)
                }
            };
            let purpose = format!("upstream {name}: {}", server.url);
            let (direction, protocol) = (Direction::Out, Protocol::Tcp);
            flows.push(Flow { direction, protocol, peers, local: None, port: server.port, purpose });
        }
    }
    if !has_names {
        return;
    }
    let resolvers = std::fs::read_to_string(RESOLVERS).unwrap_or_default();
    for address in nameservers(&resolvers) {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            let (direction, purpose) = (Direction::Out, "DNS".to_owned());
            let peers = Peers::Ranges(vec![(address, address)]);
            flows.push(Flow { direction, protocol, peers, local: None, port: DNS, purpose });
        }
    }
}

async fn resolved(host: &str, port: u16) -> Vec<IpAddr> {
    let found = tokio::net::lookup_host((host, port)).await;
    let mut addresses: Vec<IpAddr> = found.map(|all| all.map(|address| address.ip()).collect()).unwrap_or_default();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// resolv.conf(5).
fn nameservers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_as_a_network_where_it_is_one() {
        let range = |first: &str, last: &str| shown((first.parse().unwrap(), last.parse().unwrap()));
        assert_eq!(range("192.0.2.0", "192.0.2.255"), "192.0.2.0/24");
        assert_eq!(range("192.0.2.1", "192.0.2.1"), "192.0.2.1");
        assert_eq!(range("192.0.2.1", "192.0.2.3"), "192.0.2.1-192.0.2.3");
        assert_eq!(range("0.0.0.0", "255.255.255.255"), "0.0.0.0/0");
        assert_eq!(range("2001:db8::", "2001:db8::ffff"), "2001:db8::/112");
    }

    #[test]
    fn name_servers_are_read_as_the_resolver_reads_them() {
        let text = "# a comment\nnameserver 192.0.2.53\n  nameserver 2001:db8::53\nsearch example.com\nnameserver x\n";
        assert_eq!(nameservers(text), ["192.0.2.53", "2001:db8::53"].map(|text| text.parse::<IpAddr>().unwrap()));
    }
}
