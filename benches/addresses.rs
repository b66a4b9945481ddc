//! An address among 100 000 entries; the promise is 100 ns at most.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use dmz_relay::access::{AccessList, IpSet, Verdict};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const ENTRIES: usize = 100_000;

/// Draws a network.
type Make = fn(&mut fastrand::Rng) -> IpNet;

fn v4(random: &mut fastrand::Rng) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(random.u32(..)), 30).trunc())
}

fn v6(random: &mut fastrand::Rng) -> IpNet {
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

fn find(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("address among 100000");
    for (name, make) in [("v4", v4 as Make), ("v6", v6)] {
        let mut random = fastrand::Rng::with_seed(7);
        let nets: Vec<IpNet> = (0..ENTRIES).map(|_| make(&mut random)).collect();
        let probes = probes(&mut random, &nets, make);
        let mut next = probes.iter().cycle();
        let set = IpSet::new(nets.iter().copied());
        group.bench_function(format!("{name} set"), |bench| {
            bench.iter(|| next.next().map(|ip| set.contains(black_box(*ip))));
        });
        let entries = |nets: &[IpNet]| -> Vec<(Box<str>, Vec<IpNet>)> {
            nets.iter().map(|net| (net.to_string().into(), vec![*net])).collect()
        };
        let list = AccessList::new(vec![], Some(entries(&nets)));
        group.bench_function(format!("{name} allow list"), |bench| {
            bench.iter(|| next.next().map(|ip| matches!(list.judge(black_box(*ip)), Verdict::Admitted(_))));
        });
        let (denied, admitted) = nets.split_at(nets.len() / 2);
        let list = AccessList::new(entries(denied), Some(entries(admitted)));
        group.bench_function(format!("{name} deny and allow list"), |bench| {
            bench.iter(|| next.next().map(|ip| matches!(list.judge(black_box(*ip)), Verdict::Admitted(_))));
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
