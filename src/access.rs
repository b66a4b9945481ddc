//! Address lists and required headers: pure verdicts over what was configured.
//!
//! Addresses are kept as sorted ranges that do not overlap, one table per family, so that a look-up is one search whose
//! cost hardly grows with the list: 100 000 entries stay under 100 ns (`benches/addresses.rs`).
//!
//! Deliberately absent: names that have to be resolved, and lists that change while a snapshot lives.

mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::ranges::{Ranges, paint};
use crate::domain::source::canonical;

/// A set of addresses: sorted, merged ranges per family, searched by bisection.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct IpSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl IpSet {
    /// From networks in any order, overlapping or not. IPv4-mapped IPv6 networks count as IPv4.
    ///
    /// A wider IPv6 network (`::/0`) holds IPv6 addresses only, although the mapped block lies inside it: an address
    /// has one spelling here, and an IPv4 address is not an IPv6 one.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let (v4, v6) = bounds(networks.into_iter().map(|network| (network, 0)));
        Self { v4: Ranges::merged(v4), v6: Ranges::merged(v6) }
    }

    /// Whether the address is in the set; mapped addresses are unmapped first.
    #[inline]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match canonical(ip) {
            IpAddr::V4(ip) => self.v4.find(ip.to_bits()).is_some(),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()).is_some(),
        }
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// The union of two sets.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }
}

/// A route's addresses, with the entry of the file that admitted one.
///
/// Where entries overlap, the one written first is named. An empty list admits nobody.
#[derive(Debug, Default)]
pub struct AllowList {
    names: Vec<Box<str>>,
    v4: Ranges<u32>,
    v4_owners: Vec<u32>,
    v6: Ranges<u128>,
    v6_owners: Vec<u32>,
}

impl AllowList {
    /// From entries in the order of the file: the name to report, and its networks.
    pub fn new(entries: impl IntoIterator<Item = (Box<str>, Vec<IpNet>)>) -> Self {
        let mut names = Vec::new();
        let mut networks = Vec::new();
        for (owner, (name, list)) in (0_u32..).zip(entries) {
            names.push(name);
            networks.extend(list.into_iter().map(|network| (network, owner)));
        }
        let (v4, v6) = bounds(networks.into_iter());
        let (v4, v4_owners) = paint(v4);
        let (v6, v6_owners) = paint(v6);
        Self { names, v4, v4_owners, v6, v6_owners }
    }

    /// The name of the entry that admits this address (`@dastra`, `office`, `198.51.100.0/24`), if one does.
    #[inline]
    pub fn admits(&self, ip: IpAddr) -> Option<&str> {
        let owner = match canonical(ip) {
            IpAddr::V4(ip) => self.v4_owners.get(self.v4.find(ip.to_bits())?),
            IpAddr::V6(ip) => self.v6_owners.get(self.v6.find(ip.to_bits())?),
        }?;
        self.names.get(*owner as usize).map(|name| &**name)
    }

    /// The entries, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The range that comes nearest to an address that no entry admits, and the entry it is of: for people who look for a
    /// typing error.
    pub fn nearest(&self, ip: IpAddr) -> Option<(IpAddr, IpAddr, &str)> {
        let (first, last, owner) = match canonical(ip) {
            IpAddr::V4(ip) => {
                let (index, (first, last)) = self.v4.nearest(ip.to_bits(), |a, b| a.abs_diff(b))?;
                let ends = (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into());
                (ends.0, ends.1, self.v4_owners.get(index)?)
            }
            IpAddr::V6(ip) => {
                let (index, (first, last)) = self.v6.nearest(ip.to_bits(), |a, b| a.abs_diff(b))?;
                let ends = (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into());
                (ends.0, ends.1, self.v6_owners.get(index)?)
            }
        };
        self.names.get(*owner as usize).map(|name| (first, last, &**name))
    }

    /// Every admitted address, for the listener's filter.
    pub fn addresses(&self) -> IpSet {
        IpSet { v4: self.v4.joined(), v6: self.v6.joined() }
    }
}

/// A header that must be there.
#[derive(Debug)]
pub struct RequiredHeader {
    /// In any case.
    pub name: String,
    /// Exact values of which it must have one; `None`: any value.
    pub values: Option<Vec<String>>,
}

/// A network's first and last address, with the entry it came from.
type Bounds<T> = Vec<(T, T, u32)>;

fn bounds(networks: impl Iterator<Item = (IpNet, u32)>) -> (Bounds<u32>, Bounds<u128>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (network, owner) in networks {
        match unmapped(network) {
            IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits(), owner)),
            IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits(), owner)),
        }
    }
    (v4, v6)
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

#[cfg(test)]
mod tests;
