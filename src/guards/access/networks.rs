//! The networks of one entry: a list, or one network.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::ranges::merge;

/// Addresses as sorted ranges that neither overlap nor touch: 8 bytes for each of IPv4, 32 of IPv6. IPv4-mapped IPv6 networks
/// count as IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    pub(super) v4: Vec<(u32, u32)>,
    pub(super) v6: Vec<(u128, u128)>,
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut gathered = Gathered::default();
        networks.into_iter().for_each(|network| gathered.add(network));
        gathered.sorted()
    }
}

impl Networks {
    /// Whether no address is among them.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

/// Networks in any order, overlapping or not.
#[derive(Debug, Default)]
pub struct Gathered(Networks);

impl Gathered {
    /// One more.
    pub fn add(&mut self, network: IpNet) {
        match unmapped(network) {
            IpNet::V4(net) => self.0.v4.push((net.network().to_bits(), net.broadcast().to_bits())),
            IpNet::V6(net) => self.0.v6.push((net.network().to_bits(), net.broadcast().to_bits())),
        }
    }

    /// All of them.
    pub fn sorted(self) -> Networks {
        let Networks { mut v4, mut v6 } = self.0;
        v4.sort_unstable();
        v6.sort_unstable();
        Networks { v4: merge(v4), v6: merge(v6) }
    }
}

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(net) = network else { return network };
    let mapped = |net: Ipv6Net| -> Option<Ipv4Net> {
        let length = net.prefix_len().checked_sub(96)?;
        let address: Ipv4Addr = Ipv6Addr::to_ipv4_mapped(&net.addr())?;
        Ipv4Net::new(address, length).ok()
    };
    mapped(net).map_or(network, IpNet::V4)
}
