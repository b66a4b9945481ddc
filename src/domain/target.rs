//! What may stand in a request target and in a host: one rule for both protocols and for the routes of `relay.toml`.
//!
//! Routes match the raw path. A path that some application server might read as another one (dot segments, encoded slashes,
//! doubled slashes, backslashes, path parameters on dots, double encoding) is therefore not a path the relay forwards.

/// What may stand in a target.
const TARGET: u8 = 1;
/// What stands in a path and means nothing there.
const PLAIN: u8 = 2;
/// What may stand in a registered name or an IPv4 address.
const HOST: u8 = 4;

/// Of each byte, which of the three it is.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x7f {
        let letter = byte.is_ascii_alphanumeric();
        let target = matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`');
        let plain = letter || matches!(byte, b'-' | b'_' | b'~');
        let host = letter || matches!(byte, b'-' | b'.' | b'_');
        #[expect(clippy::indexing_slicing, reason = "while compiling")]
        {
            kinds[byte as usize] = target as u8 * TARGET + plain as u8 * PLAIN + host as u8 * HOST;
        }
        byte += 1;
    }
    kinds
};

fn is(byte: u8, kind: u8) -> bool {
    KINDS.get(usize::from(byte)).is_some_and(|kinds| kinds & kind != 0)
}

/// Visible ASCII without `#`; a control byte, a space or a byte above 0x7e has no place in a target (RFC 9112 section 3.2).
/// Neither has a quote, a backtick or an angle bracket (RFC 3986), and no HTTP library would write one to an upstream.
pub fn target_is_clean(target: &str) -> bool {
    target.bytes().all(|byte| is(byte, TARGET))
}

/// No byte sequence that two servers could resolve differently.
pub fn path_is_clean(path: &str) -> bool {
    is_plain(path) || is_clean(path)
}

/// Single slashes between letters and what nobody takes for anything else, and no segment that begins with a dot: the path of
/// nearly every webhook, told in one look at each byte.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().enumerate().all(|(at, byte)| {
        let is_plain = is(byte, PLAIN) || (matches!(byte, b'/' | b'.') && (before != b'/' || (byte, at) == (b'/', 0)));
        before = byte;
        is_plain
    })
}

fn is_clean(path: &str) -> bool {
    if path.contains('\\') || path.contains("//") {
        return false;
    }
    let mut segments = path.split('/');
    if path.contains('%') && !escapes_are_clean(path) {
        return false;
    }
    // `..;x` is a parent directory to servers that strip path parameters.
    segments.all(|segment| !is_dots(segment.split_once(';').map_or(segment, |(name, _)| name)))
}

/// Every escape is two hex digits, and none stands for a dot, a slash, a backslash, a percent sign or a control byte. All of
/// them together are UTF-8: an overlong sequence is a dot or a slash to a decoder that does not look.
fn escapes_are_clean(path: &str) -> bool {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let Some((digits, rest)) = part.split_at_checked(2) else { return false };
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Some(byte) = u8::from_str_radix(digits, 16).ok().filter(|_| hex) else { return false };
        if matches!(byte, 0..=0x1f | 0x25 | 0x2e | 0x2f | 0x5c | 0x7f) {
            return false;
        }
        decoded.push(byte);
        decoded.extend_from_slice(rest.as_bytes());
    }
    std::str::from_utf8(&decoded).is_ok()
}

fn is_dots(segment: &str) -> bool {
    segment == "." || segment == ".."
}

/// A registered name, an IPv4 address or a bracketed IPv6 address, with an optional port (RFC 9110 section 4.2.3: no userinfo).
pub fn host_is_valid(host: &[u8]) -> bool {
    if host.len() > 261 {
        return false;
    }
    if host.first() == Some(&b'[') {
        return std::str::from_utf8(host).is_ok_and(literal_is_valid);
    }
    match host.iter().position(|byte| !is(*byte, HOST)) {
        // Behind the name only a port may stand.
        Some(end) => end > 0 && host.get(end..).is_some_and(port_is_valid),
        None => !host.is_empty(),
    }
}

fn literal_is_valid(host: &str) -> bool {
    let literal = host.strip_prefix('[').and_then(|literal| literal.split_once(']'));
    literal.is_some_and(|(ip, rest)| {
        ip.parse::<std::net::Ipv6Addr>().is_ok() && (rest.is_empty() || port_is_valid(rest.as_bytes()))
    })
}

/// A colon and digits up to 65535.
fn port_is_valid(port: &[u8]) -> bool {
    port.strip_prefix(b":").is_some_and(|digits| {
        let number = || digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit) && number() <= u32::from(u16::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_servers_read_differently_are_not_clean() {
        for path in
            ["/", "/hooks/dastra", "/a.b/c..d", "/a%20b", "/%E2%82%AC", "/hooks/x;v=1", "/.well-known/x", "/...", "/~a"]
        {
            assert!(path_is_clean(path), "{path}");
        }
        for path in [
            "//",
            "/a//b",
            "/..",
            "/../a",
            "/a/../b",
            "/a/./b",
            "/.",
            "/a\\b",
            "/%2e%2e/",
            "/..%2f",
            "/%2E/",
            "/a%2fb",
            "/a%5cb",
            "/%252e",
            "/%00",
            "/%0a",
            "/..;/a",
            "/..;x=1/a",
            "/%c0%ae",
            "/%e0%80%ae",
            "/%f0%80%80%af",
            "/%ed%a0%80",
            "/%e2%82",
            "/%ff",
            "/%+1",
            "/%",
            "/%4",
            "/%zz",
        ] {
            assert!(!path_is_clean(path), "{path}");
        }
    }

    /// The short way says nothing else than the long one.
    #[test]
    fn plain_paths_are_clean() {
        let pieces = ["/", "/", "a", "Z9", ".", "..", ";", "%41", "%2e", "-_~", "\\", "\u{e9}", "+"];
        let mut plain = 0;
        for number in 0..pieces.len().pow(5) {
            let piece = |place: u32| pieces[number / pieces.len().pow(place) % pieces.len()];
            let path: String = (0..5).map(piece).collect();
            if is_plain(&path) {
                plain += 1;
                assert!(is_clean(&path), "{path}");
            }
        }
        assert!(plain > 1000, "{plain}");
    }

    #[test]
    fn targets_hold_only_what_can_be_written_again() {
        assert!(target_is_clean("/a/{b}|^[c]?d='e'&f=%20"));
        for target in ["/a b", "/a#b", "/a\"b", "/a?b=\"", "/<a>", "/a?`", "/\u{e9}", "/a\u{7f}"] {
            assert!(!target_is_clean(target), "{target}");
        }
    }

    #[test]
    fn hosts() {
        for host in ["a", "hooks.example.com", "a.example:8443", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "a_b"] {
            assert!(host_is_valid(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:x",
            "a:99999",
            "user@a",
            "a b",
            "a/b",
            "a,b",
            "[::1",
            "[::1]x",
            "[zz]",
            "a:80:80",
            "a?b",
            "é",
            "a:+80",
            "a:65536",
            "a:000080",
            "a:0000000000000000080",
            "[::1]:",
            "[é]",
        ] {
            assert!(!host_is_valid(host.as_bytes()), "{host}");
        }
    }
}
