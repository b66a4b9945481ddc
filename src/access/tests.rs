use proptest::prelude::*;

use super::*;

fn nets(list: &[&str]) -> Vec<IpNet> {
    list.iter().map(|text| text.parse().expect("a network")).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_edges_of_a_network_are_inside_and_their_neighbours_are_not() {
    let set = IpSet::new(nets(&["192.0.2.4/31", "198.51.100.7/32", "2001:db8::/127"]));
    for inside in ["192.0.2.4", "192.0.2.5", "198.51.100.7", "2001:db8::", "2001:db8::1"] {
        assert!(set.contains(ip(inside)), "{inside}");
    }
    for outside in ["192.0.2.3", "192.0.2.6", "198.51.100.6", "198.51.100.8", "2001:db8::2", "::"] {
        assert!(!set.contains(ip(outside)), "{outside}");
    }
}

#[test]
fn everything_and_nothing() {
    let all = IpSet::new(nets(&["0.0.0.0/0", "::/0"]));
    for address in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:1.2.3.4"] {
        assert!(all.contains(ip(address)), "{address}");
        assert!(!IpSet::default().contains(ip(address)), "{address}");
    }
    assert!(IpSet::new([]).is_empty());
    assert!(!all.is_empty());
}

#[test]
fn a_family_never_stands_for_the_other() {
    assert!(!IpSet::new(nets(&["::/0"])).contains(ip("192.0.2.1")));
    assert!(!IpSet::new(nets(&["::/0"])).contains(ip("::ffff:192.0.2.1")));
    assert!(!IpSet::new(nets(&["0.0.0.0/0"])).contains(ip("2001:db8::1")));
}

#[test]
fn mapped_networks_and_addresses_are_ipv4() {
    let set = IpSet::new(nets(&["::ffff:192.0.2.0/120"]));
    assert!(set.contains(ip("192.0.2.255")));
    assert!(set.contains(ip("::ffff:192.0.2.0")));
    assert!(!set.contains(ip("192.0.3.0")));
    assert_eq!(set, IpSet::new(nets(&["192.0.2.0/24"])));
}

#[test]
fn the_entry_written_first_is_named() {
    let list = AllowList::new([
        ("office".into(), nets(&["192.0.2.0/25"])),
        ("192.0.2.0/24".into(), nets(&["192.0.2.0/24"])),
        ("v6".into(), nets(&["2001:db8::/32"])),
    ]);
    assert_eq!(list.admits(ip("192.0.2.1")), Some("office"));
    assert_eq!(list.admits(ip("192.0.2.200")), Some("192.0.2.0/24"));
    assert_eq!(list.admits(ip("::ffff:192.0.2.200")), Some("192.0.2.0/24"));
    assert_eq!(list.admits(ip("2001:db8::9")), Some("v6"));
    assert_eq!(list.admits(ip("192.0.3.0")), None);
    assert_eq!(list.addresses(), IpSet::new(nets(&["192.0.2.0/24", "2001:db8::/32"])));
    assert_eq!(AllowList::new([]).admits(ip("192.0.2.1")), None);
}

/// Networks crowded into few addresses, so that overlap, adjacency and both ends of the space happen all the time.
fn crowded() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (prop_oneof![0_u32..64, u32::MAX - 63..=u32::MAX], 24_u8..=32)
            .prop_map(|(bits, length)| IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(bits), length).trunc())),
        (prop_oneof![0_u128..64, u128::MAX - 63..=u128::MAX], 120_u8..=128)
            .prop_map(|(bits, length)| IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), length).trunc())),
        Just("0.0.0.0/0".parse().expect("a network")),
        Just("::/0".parse().expect("a network")),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        prop_oneof![0_u32..600, u32::MAX - 600..=u32::MAX].prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        prop_oneof![0_u128..600, u128::MAX - 600..=u128::MAX].prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

proptest! {
    #[test]
    fn agrees_with_asking_every_network(
        networks in prop::collection::vec(crowded(), 0..200),
        addresses in prop::collection::vec(address(), 50),
    ) {
        let set = IpSet::new(networks.clone());
        for ip in addresses {
            prop_assert_eq!(set.contains(ip), networks.iter().any(|net| net.contains(&ip)), "{}", ip);
        }
    }

    #[test]
    fn a_union_holds_what_either_holds(
        left in prop::collection::vec(crowded(), 0..20),
        right in prop::collection::vec(crowded(), 0..20),
    ) {
        let both = IpSet::new(left.iter().chain(&right).copied());
        prop_assert_eq!(IpSet::new(left).union(&IpSet::new(right)), both);
    }

    #[test]
    fn names_the_first_entry_that_covers(
        entries in prop::collection::vec(prop::collection::vec(crowded(), 0..5), 0..30),
        addresses in prop::collection::vec(address(), 50),
    ) {
        let named = |index: usize| -> Box<str> { index.to_string().into() };
        let list = AllowList::new(entries.iter().enumerate().map(|(index, nets)| (named(index), nets.clone())));
        for ip in addresses {
            let first = entries.iter().position(|nets| nets.iter().any(|net| net.contains(&ip))).map(named);
            prop_assert_eq!(list.admits(ip), first.as_deref(), "{}", ip);
        }
        prop_assert_eq!(list.addresses(), IpSet::new(entries.into_iter().flatten()));
    }
}

#[test]
fn the_nearest_entry_is_the_one_next_to_a_stranger() {
    let list = AllowList::new([
        ("office".into(), vec!["192.0.2.0/28".parse().unwrap()]),
        ("far".into(), vec!["203.0.113.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()]),
    ]);
    let nearest = |ip: &str| list.nearest(ip.parse().unwrap()).map(|(first, _, name)| (first.to_string(), name));
    assert_eq!(nearest("192.0.2.16"), Some(("192.0.2.0".to_owned(), "office")));
    assert_eq!(nearest("203.0.112.255"), Some(("203.0.113.0".to_owned(), "far")));
    assert_eq!(nearest("0.0.0.0"), Some(("192.0.2.0".to_owned(), "office")));
    assert_eq!(nearest("255.255.255.255"), Some(("203.0.113.0".to_owned(), "far")));
    assert_eq!(nearest("2001:db9::"), Some(("2001:db8::".to_owned(), "far")));
    assert_eq!(AllowList::default().nearest("192.0.2.1".parse().unwrap()), None);
}
