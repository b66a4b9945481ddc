//! The PROXY header: read to its end and no further, and one spelling for one host.

use std::net::IpAddr;

use dmz_relay::edge::probe;

pub fn check(data: &[u8]) {
    let Some((source, length)) = probe::proxy_header(data) else { return };
    let header = data.get(..length).expect("no more than there was");
    // TLS stands behind it: whatever that is, it is left alone.
    let longer = [header, b"\x16\x03\x01 and what follows"].concat();
    assert_eq!(probe::proxy_header(&longer), Some((source, length)));
    // Nothing shorter is a header.
    assert_eq!(probe::proxy_header(header.get(..length - 1).unwrap_or_default()), None);
    if let Some(ip) = source {
        assert_eq!(ip, ip.to_canonical());
    }
    if header.starts_with(b"PROXY ") {
        assert!(length <= 107 && header.ends_with(b"\r\n"));
        let text = std::str::from_utf8(header).expect("text");
        let word = text.split(' ').nth(2).and_then(|word| word.parse::<IpAddr>().ok());
        assert!(source.is_none() || source == word.map(|ip| ip.to_canonical()), "{text}");
    }
}
