//! Step 0: where the request came from. One function decides, for every list, meter, log line and header.

use std::net::IpAddr;

use crate::domain::source::canonical;
use crate::domain::{Head, Refusal, SourceAddress, Via};
use crate::guards::access::AccessList;
use crate::runtime::snapshot::Snapshot;

use super::{Connection, admit};

/// How many `X-Forwarded-For` entries are looked at: more hops than any real chain of proxies has.
const HOPS_MAX: usize = 32;

/// Walks `X-Forwarded-For` from the right for as long as the speaker is a listed proxy. The first address that is not one is
/// the source. An entry that is not an address ends the walk at the proxy that wrote it: a forged left part gains nothing.
pub fn resolve(connection: &Connection, head: &Head) -> SourceAddress {
    let peer = connection.source;
    let trusted = &connection.listener.trust_forwarded_from;
    if !trusted.contains(peer.ip) {
        return peer;
    }
    let mut source = peer;
    // Several lines are one list, the last line rightmost (RFC 9110 section 5.3). Only the last entries can matter, so only
    // they are kept, whatever the sender wrote before them.
    let mut hops: [&[u8]; HOPS_MAX] = [b""; HOPS_MAX];
    let mut seen = 0_usize;
    for entry in head.headers().all("x-forwarded-for").flat_map(|line| line.split(|byte| *byte == b',')) {
        if let Some(place) = hops.get_mut(seen % HOPS_MAX) {
            *place = entry;
        }
        seen += 1;
    }
    for back in 1..=seen.min(HOPS_MAX) {
        let Some(ip) = hops.get((seen - back) % HOPS_MAX).and_then(|entry| address(entry)) else { return source };
        source = SourceAddress { ip, via: Via::ForwardedFor };
        if !trusted.contains(ip) {
            return source;
        }
    }
    source
}

/// The listener's `deny` in force. The connection was judged when it came; but behind a proxy only the request tells who sent
/// it, and a reload must reach who is connected already.
pub(super) fn denials<'s>(snapshot: &'s Snapshot, connection: &'s Connection) -> &'s AccessList {
    &snapshot.listener(&connection.listener.name).unwrap_or(&connection.listener).deny
}

/// Whether the listener's `deny` leaves the source alone.
pub(super) fn check(denials: &AccessList, connection: &Connection, source: SourceAddress) -> Result<(), Refusal> {
    admit::address(denials, &connection.listener, source.ip).map(drop)
}

/// An address with or without port, IPv6 with or without a pair of brackets; some proxies write each of these.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let ip = text.parse().ok();
    let ip = ip.or_else(|| text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip())).or_else(in_brackets)?;
    Some(canonical(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_spelling_that_proxies_use() {
        for (text, ip) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1:443 ", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(address(text.as_bytes()), Some(ip.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "0x7f.1",
            "192.0.2",
            "192.0.2.1.5",
            "fe80::1%eth0",
            "\u{0}",
            "[::1",
            "::1]",
            "[[::1]]",
            "[::1]]",
            "[]",
            "[192.0.2.1]",
            "[192.0.2.1]:443",
        ] {
            assert_eq!(address(text.as_bytes()), None, "{text}");
        }
    }
}
