//! Address lists and required headers: pure verdicts over what was configured.
//!
//! Addresses are kept as sorted ranges that do not overlap, one table per family, so that a look-up is one search whose
//! cost hardly grows with the list: 100 000 entries stay under 100 ns (`benches/addresses.rs`).
//!
//! Deliberately absent: names that have to be resolved, and lists that change while a snapshot lives.

mod feed;
mod networks;
mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

pub use self::feed::{Feed, WIDEST_V4, WIDEST_V6};
pub use self::networks::{Gathered, Networks};
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
        let Networks { v4, v6 } = networks.into_iter().collect();
        Self { v4: Ranges::from_sorted(v4), v6: Ranges::from_sorted(v6) }
    }

    /// The addresses of all of these.
    pub fn of<'n>(entries: impl IntoIterator<Item = &'n Networks>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for networks in entries {
            v4.extend_from_slice(&networks.v4);
            v6.extend_from_slice(&networks.v6);
        }
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

    /// Whether all of these are in the set.
    pub fn covers(&self, networks: &Networks) -> bool {
        networks.v4.iter().all(|(first, last)| self.v4.covers(*first, *last))
            && networks.v6.iter().all(|(first, last)| self.v6.covers(*first, *last))
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// First and last address of each range, IPv4 first; sorted, and apart from each other.
    pub fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let four =
            self.v4.iter().map(|(first, last)| (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into()));
        let six =
            self.v6.iter().map(|(first, last)| (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into()));
        four.chain(six)
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
        let sorted = |entries: E| -> Vec<_> {
            entries.into_iter().map(|(name, networks)| (name, Arc::new(networks.into_iter().collect()))).collect()
        };
        Self::of(&sorted(deny), allow.map(sorted).as_deref())
    }

    /// The same from networks that are sorted already, and may belong to more than one list.
    pub fn of(deny: &[(Box<str>, Arc<Networks>)], allow: Option<&[(Box<str>, Arc<Networks>)]>) -> Self {
        let lists_admitted = allow.is_some();
        let denials = u32::try_from(deny.len()).unwrap_or(u32::MAX);
        let entries = || deny.iter().chain(allow.into_iter().flatten());
        let (v4, v4_owners) = paint((0..).zip(entries().map(|(_, networks)| &*networks.v4)));
        let (v6, v6_owners) = paint((0..).zip(entries().map(|(_, networks)| &*networks.v6)));
        let names = entries().map(|(name, _)| name.clone()).collect();
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

#[cfg(test)]
mod tests;
