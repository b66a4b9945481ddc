//! Address lists and required headers: pure verdicts over what was configured.

use std::net::IpAddr;

/// A set of addresses: sorted, merged ranges per family, searched by bisection.
#[derive(Debug, Default, Clone)]
pub struct IpSet {}

impl IpSet {
    /// From networks in any order, overlapping or not. IPv4-mapped IPv6 networks count as IPv4.
    pub fn new(_networks: impl IntoIterator<Item = ipnet::IpNet>) -> Self {
        todo!()
    }

    /// Whether the address is in the set; mapped addresses are unmapped first.
    pub fn contains(&self, _ip: IpAddr) -> bool {
        todo!()
    }

    /// Whether no address is in the set.
    pub fn is_empty(&self) -> bool {
        todo!()
    }

    /// The union of two sets.
    #[must_use]
    pub fn union(&self, _other: &Self) -> Self {
        todo!()
    }
}

/// A route's addresses, with the entry of the file that admitted one.
#[derive(Debug)]
pub struct AllowList {}

impl AllowList {
    /// The name of the entry that admits this address (`@dastra`, `office`, `198.51.100.0/24`), if one does.
    pub fn admits(&self, _ip: IpAddr) -> Option<&str> {
        todo!()
    }

    /// Every admitted address, for the listener's filter.
    pub fn addresses(&self) -> IpSet {
        todo!()
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
