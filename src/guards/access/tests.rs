use ipnet::{Ipv4Net, Ipv6Net};
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

/// Entries of a list, named by their networks.
fn named(entries: &[&str]) -> Vec<(Box<str>, Vec<IpNet>)> {
    entries.iter().map(|entry| ((*entry).into(), nets(&[entry]))).collect()
}

#[test]
fn the_entry_written_first_is_named() {
    let allow = [
        ("office".into(), nets(&["192.0.2.0/25"])),
        ("192.0.2.0/24".into(), nets(&["192.0.2.0/24"])),
        ("v6".into(), nets(&["2001:db8::/32"])),
    ];
    let list = AccessList::new(vec![], Some(allow.to_vec()));
    for (address, entry) in [
        ("192.0.2.1", "office"),
        ("192.0.2.200", "192.0.2.0/24"),
        ("::ffff:192.0.2.200", "192.0.2.0/24"),
        ("2001:db8::9", "v6"),
    ] {
        assert_eq!(list.judge(ip(address)), Verdict::Admitted(Some(entry)), "{address}");
    }
    assert_eq!(list.judge(ip("192.0.3.0")), Verdict::Unlisted);
    assert_eq!(list.addresses(), Some(IpSet::new(nets(&["192.0.2.0/24", "2001:db8::/32"]))));
    assert_eq!(list.admitted().collect::<Vec<_>>(), ["office", "192.0.2.0/24", "v6"]);
    let list = AccessList::new(allow.to_vec(), None);
    assert_eq!(list.judge(ip("192.0.2.1")), Verdict::Denied("office"));
    assert_eq!(list.judge(ip("192.0.2.200")), Verdict::Denied("192.0.2.0/24"));
    assert_eq!(list.denied().collect::<Vec<_>>(), ["office", "192.0.2.0/24", "v6"]);
}

#[test]
fn a_denial_wins_over_a_narrower_and_over_a_wider_admission() {
    let list = AccessList::new(
        named(&["192.0.2.0/28", "198.51.100.0/24", "::ffff:203.0.113.7/128"]),
        Some(named(&["192.0.2.0/24", "198.51.100.7/32", "203.0.113.0/24", "2001:db8::/32"])),
    );
    for (address, verdict) in [
        ("192.0.2.15", Verdict::Denied("192.0.2.0/28")),
        ("192.0.2.16", Verdict::Admitted(Some("192.0.2.0/24"))),
        ("198.51.100.7", Verdict::Denied("198.51.100.0/24")),
        ("198.51.100.6", Verdict::Denied("198.51.100.0/24")),
        ("203.0.113.7", Verdict::Denied("::ffff:203.0.113.7/128")),
        ("::ffff:203.0.113.7", Verdict::Denied("::ffff:203.0.113.7/128")),
        ("::ffff:192.0.2.1", Verdict::Denied("192.0.2.0/28")),
        ("203.0.113.8", Verdict::Admitted(Some("203.0.113.0/24"))),
        ("2001:db8::1", Verdict::Admitted(Some("2001:db8::/32"))),
        ("2001:db9::1", Verdict::Unlisted),
    ] {
        assert_eq!(list.judge(ip(address)), verdict, "{address}");
    }
    let admitted = list.addresses().expect("there is an allow");
    assert!(admitted.contains(ip("192.0.2.16")) && !admitted.contains(ip("192.0.2.15")));
    assert!(!admitted.contains(ip("198.51.100.7")), "what is denied is nothing that the listener need let in");
    let nearest = list.nearest(ip("198.51.101.0")).map(|(first, _, entry)| (first, entry));
    assert_eq!(nearest, Some((ip("203.0.113.0"), "203.0.113.0/24")), "a denial is no help");
}

#[test]
fn absent_and_empty_differ() {
    let some = ip("192.0.2.1");
    let nobody = AccessList::new(vec![], Some(vec![]));
    assert_eq!((nobody.judge(some), nobody.restricts(), nobody.denies()), (Verdict::Unlisted, true, false));
    assert!(nobody.addresses().is_some_and(|all| all.is_empty()));
    for everybody in [AccessList::default(), AccessList::new(vec![], None)] {
        assert_eq!((everybody.judge(some), everybody.restricts()), (Verdict::Admitted(None), false));
        assert_eq!(everybody.addresses(), None);
    }
    let denying = AccessList::new(named(&["0.0.0.0/0"]), None);
    assert_eq!((denying.judge(some), denying.denies()), (Verdict::Denied("0.0.0.0/0"), true));
    assert_eq!(denying.judge(ip("::1")), Verdict::Admitted(None), "a family never stands for the other");
    assert_eq!(denying.addresses(), None);
}

#[test]
fn a_set_covers_what_it_holds_whole() {
    let set = IpSet::new(nets(&["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/33", "2001:db8:8000::/33"]));
    for whole in ["192.0.2.0/24", "192.0.2.7/32", "::ffff:192.0.2.0/120", "2001:db8::/32", "2001:db8::/128"] {
        assert!(set.covers(&nets(&[whole]).into_iter().collect()), "{whole}");
    }
    for more in ["192.0.2.0/23", "192.0.3.0/24", "0.0.0.0/0", "2001:db8::/31", "::/0"] {
        assert!(!set.covers(&nets(&[more]).into_iter().collect()), "{more}");
    }
    assert!(IpSet::new(nets(&["::/0"])).covers(&nets(&["::/0"]).into_iter().collect()));
    assert!(!IpSet::default().covers(&nets(&["192.0.2.1/32"]).into_iter().collect()));
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
    fn a_denial_wins_and_the_first_entry_is_named(
        deny in prop::collection::vec(prop::collection::vec(crowded(), 0..4), 0..15),
        allow in prop::option::of(prop::collection::vec(prop::collection::vec(crowded(), 0..5), 0..30)),
        addresses in prop::collection::vec(address(), 50),
    ) {
        let entries = |kind: char, lists: &[Vec<IpNet>]| -> Vec<(Box<str>, Vec<IpNet>)> {
            lists.iter().enumerate().map(|(index, nets)| (format!("{kind}{index}").into(), nets.clone())).collect()
        };
        let list = AccessList::new(entries('d', &deny), allow.as_deref().map(|allow| entries('a', allow)));
        let first = |kind: char, lists: &[Vec<IpNet>], ip: IpAddr| {
            let index = lists.iter().position(|nets| nets.iter().any(|net| net.contains(&ip)))?;
            Some(format!("{kind}{index}"))
        };
        for ip in addresses {
            let denied = first('d', &deny, ip);
            let admitted = allow.as_deref().map(|allow| first('a', allow, ip));
            let expected = match (&denied, &admitted) {
                (Some(entry), _) => Verdict::Denied(entry),
                (None, None) => Verdict::Admitted(None),
                (None, Some(None)) => Verdict::Unlisted,
                (None, Some(Some(entry))) => Verdict::Admitted(Some(entry)),
            };
            prop_assert_eq!(list.judge(ip), expected, "{}", ip);
            if let IpAddr::V4(ip) = ip {
                prop_assert_eq!(list.judge(ip.to_ipv6_mapped().into()), expected, "mapped {}", ip);
            }
            let let_in = list.addresses().is_none_or(|all| all.contains(ip));
            prop_assert_eq!(let_in, matches!(expected, Verdict::Admitted(_)) || allow.is_none(), "{}", ip);
        }
    }

    #[test]
    fn a_set_covers_a_network_whose_every_address_it_holds(
        networks in prop::collection::vec(crowded(), 0..20),
        asked in crowded(),
    ) {
        let set = IpSet::new(networks.clone());
        // Crowded networks are short but for the two that are everything.
        let all: Vec<IpAddr> = match asked {
            net if net.prefix_len() == 0 => vec![net.network(), net.broadcast()],
            net => net.hosts().chain([net.network(), net.broadcast()]).collect(),
        };
        let each = all.iter().all(|ip| networks.iter().any(|net| net.contains(ip)));
        if asked.prefix_len() > 0 || !each {
            prop_assert_eq!(set.covers(&std::iter::once(asked).collect()), each, "{}", asked);
        }
    }
}

#[test]
fn the_nearest_entry_is_the_one_next_to_a_stranger() {
    let list = AccessList::new(
        named(&["192.0.2.128/25"]),
        Some(vec![
            ("office".into(), nets(&["192.0.2.0/28"])),
            ("far".into(), nets(&["203.0.113.0/24", "2001:db8::/32"])),
        ]),
    );
    let nearest = |address: &str| list.nearest(ip(address)).map(|(first, _, name)| (first.to_string(), name));
    assert_eq!(nearest("192.0.2.16"), Some(("192.0.2.0".to_owned(), "office")));
    assert_eq!(nearest("192.0.2.127"), Some(("192.0.2.0".to_owned(), "office")));
    assert_eq!(nearest("203.0.112.255"), Some(("203.0.113.0".to_owned(), "far")));
    assert_eq!(nearest("0.0.0.0"), Some(("192.0.2.0".to_owned(), "office")));
    assert_eq!(nearest("255.255.255.255"), Some(("203.0.113.0".to_owned(), "far")));
    assert_eq!(nearest("2001:db9::"), Some(("2001:db8::".to_owned(), "far")));
    assert_eq!(AccessList::default().nearest(ip("192.0.2.1")), None);
}
