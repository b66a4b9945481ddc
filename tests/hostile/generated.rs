//! Resolvers and parsers against naive references, over inputs made up by rule: closer to what is valid than a fuzzer's, and
//! so deeper inside. The references are those of the fuzz targets (`fuzz/checks`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dmz_relay::edge::probe;
use proptest::prelude::*;

use crate::corpora::checks;

/// Addresses that meet one another: few bits vary, so that networks hold, touch and overlap.
fn ip() -> impl Strategy<Value = IpAddr> {
    let v4 = (prop::sample::select(vec![0_u32, 0x0a00_0000, 0x7f00_0001, 0xc000_0200, 0xffff_ff00]), 0_u32..4)
        .prop_map(|(base, more)| IpAddr::V4(Ipv4Addr::from_bits(base | more)));
    let bases = vec![0_u128, 0xffff << 32, 0x2001_0db8 << 96, (0x2001_0db8 << 96) | (1 << 64), u128::MAX - 3];
    let v6 =
        (prop::sample::select(bases), 0_u128..4).prop_map(|(base, more)| IpAddr::V6(Ipv6Addr::from_bits(base | more)));
    let mapped = any::<[u8; 2]>().prop_map(|[a, b]| IpAddr::V6(Ipv4Addr::from([10, 0, a & 3, b & 3]).to_ipv6_mapped()));
    prop_oneof![v4, v6, mapped]
}

/// What a proxy, or somebody who would like to be one, writes as an entry.
fn entry() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => ip().prop_map(|ip| ip.to_string()),
        2 => (ip(), any::<u16>()).prop_map(|(ip, port)| std::net::SocketAddr::new(ip, port).to_string()),
        1 => ip().prop_map(|ip| format!(" \t{ip} ")),
        1 => ip().prop_map(|ip| format!("[{ip}]")),
        1 => "[ -~]{0,12}",
        1 => prop::sample::select(vec!["", "unknown", "_hidden", "0x7f.1", "127.1", "fe80::1%eth0"]).prop_map(str::to_owned),
    ]
}

/// The bytes of a version 2 header.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, family], &length, body].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forwarded_for_is_walked_as_the_reference_walks_it(
        peer in ip(),
        lines in prop::collection::vec(prop::collection::vec(entry(), 0..12), 0..6),
    ) {
        let lines: Vec<String> = lines.iter().map(|entries| entries.join(",")).collect();
        checks::forwarded::check(format!("{peer}\n{}", lines.join("\n")).as_bytes());
    }

    #[test]
    fn lists_hold_what_their_networks_hold(
        networks in prop::collection::vec((ip(), any::<prop::sample::Index>()), 0..12),
        asked in prop::collection::vec(ip(), 0..12),
    ) {
        let mut text = String::new();
        for (ip, prefix) in &networks {
            let longest = if ip.is_ipv4() { 32 } else { 128 };
            text.push_str(&format!("{ip}/{}\n", prefix.index(longest + 1)));
        }
        for ip in asked {
            text.push_str(&format!("?{ip}\n"));
        }
        checks::addresses::check(text.as_bytes());
    }

    #[test]
    fn hosts_and_paths_lead_where_the_reference_says(
        rows in prop::collection::vec(("(-|a|b|a\\.b)", "(/a|/b|/\\*|/%2){1,4}"), 0..10),
        asked in prop::collection::vec(("(a|A|b|c|a\\.b)\\.?(:1|:)?", "(/a|/b|/|/%2){0,5}"), 0..10),
    ) {
        let rows = rows.iter().map(|(host, path)| format!("{host} {path}\n"));
        let asked = asked.iter().map(|(host, path)| format!("?{host} {path}\n"));
        checks::paths::check(rows.chain(asked).collect::<String>().as_bytes());
    }

    /// Whatever is well-formed is read, to its end, and as it was meant.
    #[test]
    fn proxy_headers_say_what_was_written(
        source in ip(), target in ip(), ports in any::<[u16; 2]>(), tlv in prop::collection::vec(any::<u8>(), 0..300),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let [from, to] = ports;
        let same = |ip: IpAddr| match (source, ip) {
            (IpAddr::V4(_), IpAddr::V6(_)) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (IpAddr::V6(_), IpAddr::V4(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            (_, ip) => ip,
        };
        let target = same(target);
        let word = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let text = format!("PROXY {word} {source} {target} {from} {to}\r\n").into_bytes();
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let block = [octets(source), octets(target), from.to_be_bytes().to_vec(), to.to_be_bytes().to_vec(), tlv].concat();
        let binary = v2(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &block);
        for header in [text, binary, v2(0x20, 0, &block)] {
            let told = if header[..] == *v2(0x20, 0, &block) { None } else { Some(source.to_canonical()) };
            let bytes = [&header[..], &rest].concat();
            prop_assert_eq!(probe::proxy_header(&bytes), Some((told, header.len())));
            checks::proxy_header::check(&bytes);
        }
    }

    /// Any body, in chunks of any sizes, comes back whole and the same.
    #[test]
    fn chunks_come_back_as_the_body(
        body in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8), trailers in "(X-[a-z]{1,4}: [a-z]{0,9}\r\n){0,3}",
    ) {
        let chunk = |part: &Vec<u8>| [format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat();
        let bytes = [body.iter().flat_map(chunk).collect(), b"0\r\n".to_vec(), trailers.into_bytes(), b"\r\n".to_vec()].concat();
        prop_assert_eq!(probe::chunks(&bytes, 4096, 1), probe::Chunks::Body(body.concat()));
        checks::chunks::check(&bytes);
    }

    /// Heads made of what heads are made of, in any order: whichever is let in has one meaning.
    #[test]
    fn heads_that_are_let_in_have_one_meaning(
        line in "(GET|POST|PUT|CONNECT|post) (/|/a|//|/\\.\\.|/%2e|/%c3%a9|https://a/|\\*|a:1)(/b|;c|\\?d=e|%2f|#){0,3} HTTP/1\\.[012]",
        fields in prop::collection::vec(prop::sample::select(vec![
            "Host: a", "Host: a:1", "host: b", "Host : a", "Content-Length: 2", "content-length: 2", "Content-Length: +2",
            "Transfer-Encoding: chunked", "Transfer-Encoding: Chunked", "Connection: close", "Connection: host", "Upgrade: h2c",
            "Expect: 100-continue", "X: y", " folded", "X: a\rb", "X: \u{e9}", "",
        ]), 0..6),
        feed in prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n"]),
    ) {
        let text = format!("{line}{feed}{}{feed}{feed}", fields.join(feed));
        checks::head::check(text.as_bytes());
    }
}
