//! What may stand in a request target and in a host, for both protocols.
//!
//! Routes match the raw path. A path that some application server might read as another one (dot segments, encoded slashes,
//! doubled slashes, backslashes, path parameters on dots, double encoding) is therefore not a path the relay forwards.

/// Visible ASCII without `#`; a control byte, a space or a byte above 0x7e has no place in a target (RFC 9112 section 3.2).
/// Neither has a quote, a backtick or an angle bracket (RFC 3986), and no HTTP library would write one to an upstream.
pub(super) fn target_is_clean(target: &str) -> bool {
    target.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`'))
}

/// No byte sequence that two servers could resolve differently.
pub(super) fn path_is_clean(path: &str) -> bool {
    is_plain(path) || is_clean(path)
}

/// Single slashes between letters and what nobody takes for anything else, and no segment that begins with a dot: the path of
/// nearly every webhook, told in one look at each byte.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().enumerate().all(|(at, byte)| {
        let is_plain = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => true,
            b'/' => at == 0 || before != b'/',
            b'.' => before != b'/',
            _ => false,
        };
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
pub(super) fn host_is_valid(host: &str) -> bool {
    if host.len() > 261 {
        return false;
    }
    if let Some(literal) = host.strip_prefix('[') {
        let Some((ip, rest)) = literal.split_once(']') else { return false };
        return ip.parse::<std::net::Ipv6Addr>().is_ok() && (rest.is_empty() || port_is_valid(rest));
    }
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match host.bytes().position(|byte| !letters(byte)) {
        // Behind the name only a port may stand.
        Some(end) => end > 0 && host.get(end..).is_some_and(port_is_valid),
        None => !host.is_empty(),
    }
}

fn port_is_valid(port: &str) -> bool {
    port.strip_prefix(':').is_some_and(|digits| {
        !digits.is_empty()
            && digits.len() <= 5
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u16>().is_ok()
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
            assert!(host_is_valid(host), "{host}");
        }
        for host in [
            "", ":80", "a:", "a:x", "a:99999", "user@a", "a b", "a/b", "a,b", "[::1", "[::1]x", "[zz]", "a:80:80",
            "a?b", "é", "a:+80",
        ] {
            assert!(!host_is_valid(host), "{host}");
        }
    }
}
