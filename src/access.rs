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

    /// Whether the whole network is in the set.
    pub fn covers(&self, network: IpNet) -> bool {
        match unmapped(network) {
            IpNet::V4(net) => self.v4.covers(net.network().to_bits(), net.broadcast().to_bits()),
            IpNet::V6(net) => self.v6.covers(net.network().to_bits(), net.broadcast().to_bits()),
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

/// What a list says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'l> {
    /// The entry of `allow` that admits it (`@dastra`, `office`, `198.51.100.0/24`); `None`: nothing is listed, so all are.
    Admitted(Option<&'l str>),
    /// There is an `allow`, and no entry of it holds the address.
    Unlisted,
    /// The entry of `deny` that holds it, whatever else does.
    Denied(&'l str),
}

/// Who may send: who is denied, and, where that is listed, who is admitted. One look-up asks for both.
///
/// A denial wins over every admission, however much wider its network is. Where entries of one kind overlap, the one written
/// first is named. No `allow` admits everybody, an empty one nobody; an empty `deny` denies nobody.
#[derive(Debug, Default)]
pub struct AccessList {
    /// Denials, then admissions: where networks overlap, the lower number owns the address.
    names: Vec<Box<str>>,
    denials: u32,
    lists_admitted: bool,
    v4: Ranges<u32>,
    v4_owners: Vec<u32>,
    v6: Ranges<u128>,
    v6_owners: Vec<u32>,
}

impl AccessList {
    /// From entries in the order of the file: the name to report, and its networks.
    pub fn new<E>(deny: E, allow: Option<E>) -> Self
    where
        E: IntoIterator<Item = (Box<str>, Vec<IpNet>)>,
    {
        let lists_admitted = allow.is_some();
        let mut names = Vec::new();
        let mut networks = Vec::new();
        let mut owner = 0_u32;
        let mut denials = 0_u32;
        for (entries, denies) in [(Some(deny), true), (allow, false)] {
            for (name, list) in entries.into_iter().flatten() {
                names.push(name);
                networks.extend(list.into_iter().map(|network| (network, owner)));
                owner += 1;
            }
            if denies {
                denials = owner;
            }
        }
        let (v4, v6) = bounds(networks.into_iter());
        let (v4, v4_owners) = paint(v4);
        let (v6, v6_owners) = paint(v6);
        Self { names, denials, lists_admitted, v4, v4_owners, v6, v6_owners }
    }

    /// What becomes of this address; mapped addresses are unmapped first.
    #[inline]
    pub fn judge(&self, ip: IpAddr) -> Verdict<'_> {
        let owner = match canonical(ip) {
            IpAddr::V4(ip) => self.v4.find(ip.to_bits()).and_then(|index| self.v4_owners.get(index)),
            IpAddr::V6(ip) => self.v6.find(ip.to_bits()).and_then(|index| self.v6_owners.get(index)),
        };
        match owner.and_then(|owner| Some((*owner < self.denials, self.names.get(*owner as usize)?))) {
            Some((true, name)) => Verdict::Denied(name),
            Some((false, name)) => Verdict::Admitted(Some(name)),
            None if self.lists_admitted => Verdict::Unlisted,
            None => Verdict::Admitted(None),
        }
    }

    /// The entry of `deny` that holds the address.
    pub fn denied_by(&self, ip: IpAddr) -> Option<&str> {
        match self.judge(ip) {
            Verdict::Denied(entry) => Some(entry),
            Verdict::Admitted(_) | Verdict::Unlisted => None,
        }
    }

    /// Whether some address is denied by name.
    #[inline]
    pub fn denies(&self) -> bool {
        self.denials > 0
    }

    /// Whether there is any address that it does not admit.
    pub fn restricts(&self) -> bool {
        self.denies() || self.lists_admitted
    }

    /// Whether only listed addresses are admitted.
    pub fn lists_admitted(&self) -> bool {
        self.lists_admitted
    }

    /// The entries of `deny`, in the order of the file.
    pub fn denied(&self) -> impl Iterator<Item = &str> {
        self.names.iter().take(self.denials as usize).map(|name| &**name)
    }

    /// The entries of `allow`, in the order of the file.
    pub fn admitted(&self) -> impl Iterator<Item = &str> {
        self.names.iter().skip(self.denials as usize).map(|name| &**name)
    }

    /// The admitted range that comes nearest to an address that no entry holds, and the entry it is of: for people who look
    /// for a typing error.
    pub fn nearest(&self, ip: IpAddr) -> Option<(IpAddr, IpAddr, &str)> {
        let admits = |owners: &[u32], index: usize| owners.get(index).is_some_and(|owner| *owner >= self.denials);
        let (first, last, owner) = match canonical(ip) {
            IpAddr::V4(ip) => {
                let near = self.v4.nearest(|index| admits(&self.v4_owners, index), |end| end.abs_diff(ip.to_bits()));
                let (index, (first, last)) = near?;
                let ends = (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into());
                (ends.0, ends.1, self.v4_owners.get(index)?)
            }
            IpAddr::V6(ip) => {
                let near = self.v6.nearest(|index| admits(&self.v6_owners, index), |end| end.abs_diff(ip.to_bits()));
                let (index, (first, last)) = near?;
                let ends = (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into());
                (ends.0, ends.1, self.v6_owners.get(index)?)
            }
        };
        self.names.get(*owner as usize).map(|name| (first, last, &**name))
    }

    /// Every address that is admitted by name, for the listener's filter; `None`: every address that is not denied.
    pub fn addresses(&self) -> Option<IpSet> {
        let admits = |owner: &u32| *owner >= self.denials;
        self.lists_admitted.then(|| IpSet {
            v4: self.v4.joined(self.v4_owners.iter().map(admits)),
            v6: self.v6.joined(self.v6_owners.iter().map(admits)),
        })
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
