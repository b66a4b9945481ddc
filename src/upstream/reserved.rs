//! Addresses that no name of an upstream may lead to.
//!
//! Whoever answers for a name (a resolver, a zone, a hosts file) is not whoever writes `relay.toml`. A genuine request must not
//! be led by one to this host's own services (the admin listener is one of them, the relay itself another) or to a cloud's
//! metadata service. An address that the file itself names is the operator's word and is not asked about.
//!
//! Deliberately absent: private networks. Internal servers are there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata and host services of clouds whose addresses are not link-local: Alibaba Cloud, Azure, AWS, Google Cloud.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Why this name may not lead to this address; `None`: it may.
pub(super) fn reserved(name: &str, ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if METADATA.contains(&ip) {
        return Some("a metadata service");
    }
    if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        return Some("no host's address");
    }
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if link_local {
        return Some("link-local, as metadata services are");
    }
    (ip.is_loopback() && !is_localhost(name)).then_some("this host")
}

/// The one name that always means this host (RFC 6761 section 6.3).
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_internal_servers_and_not_to_this_host_or_to_metadata() {
        let leads = |name: &str, ip: &str| reserved(name, ip.parse().unwrap()).is_none();
        for ip in ["10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "203.0.113.9", "fd00::1", "2001:db8::1"] {
            assert!(leads("app.internal", ip), "{ip}");
        }
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
        ] {
            assert!(!leads("app.internal", ip), "{ip}");
        }
    }

    #[test]
    fn localhost_is_this_host_and_nothing_else() {
        for name in ["localhost", "LOCALHOST", "app.localhost", "localhost."] {
            assert_eq!(reserved(name, IpAddr::from([127, 0, 0, 1])), None, "{name}");
            assert!(reserved(name, IpAddr::from([169, 254, 169, 254])).is_some(), "{name}");
        }
        for name in ["localhost.example", "notlocalhost", "localhost4"] {
            assert_eq!(reserved(name, IpAddr::from([127, 0, 0, 1])), Some("this host"), "{name}");
        }
    }
}
