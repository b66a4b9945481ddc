//! Networks and addresses, the same in every run.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dmz_relay::guards::access::{AccessList, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Draws a network.
pub(crate) type Make = fn(&mut fastrand::Rng) -> IpNet;

pub(crate) fn v4(random: &mut fastrand::Rng) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(random.u32(..)), 30).trunc())
}

pub(crate) fn v6(random: &mut fastrand::Rng) -> IpNet {
    let bits = 0x2001_0db8 << 96 | random.u128(..) >> 32;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), 64).trunc())
}

/// Another address each time, half of them in the set, so that neither caches nor branches learn the answer.
fn probes(random: &mut fastrand::Rng, nets: &[IpNet], make: Make) -> Vec<IpAddr> {
    (0..65_536)
        .map(|number| match nets.get(random.usize(..nets.len())) {
            Some(known) if number % 2 == 0 => known.addr(),
            Some(_) | None => make(random).addr(),
        })
        .collect()
}

/// So many networks and addresses to look for, half of which are found.
pub(crate) fn draw(entries: usize, make: Make) -> (Vec<IpNet>, Vec<IpAddr>) {
    let mut random = fastrand::Rng::with_seed(7);
    let nets: Vec<IpNet> = (0..entries).map(|_| make(&mut random)).collect();
    let probes = probes(&mut random, &nets, make);
    (nets, probes)
}

/// A list with an entry, and a name, for each network.
pub(crate) fn list(denied: &[IpNet], admitted: &[IpNet]) -> AccessList {
    let entries = |nets: &[IpNet]| -> Vec<(Box<str>, Vec<IpNet>)> {
        nets.iter().map(|net| (net.to_string().into(), vec![*net])).collect()
    };
    AccessList::new(entries(denied), Some(entries(admitted)))
}

/// What its route would be told.
pub(crate) fn admits(list: &AccessList, ip: IpAddr) -> bool {
    matches!(list.judge(ip), Verdict::Admitted(_))
}
