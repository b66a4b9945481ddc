//! The names that senders call: one grammar for a route's `host` and for `init --host`.

use std::net::Ipv6Addr;

/// A DNS name or an address, in lower case, without port and final dot; or what is wrong with it, and what to write.
pub fn host_name(text: &str) -> Result<Box<str>, (&'static str, String)> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let good = match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().is_ok(),
        None => !name.contains(':') && rustls_pki_types::ServerName::try_from(name).is_ok(),
    };
    if good { Ok(name.into()) } else { Err(wrong(name)) }
}

fn wrong(name: &str) -> (&'static str, String) {
    const EXAMPLE: &str = "write a name such as \"hooks.example.com\"";
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return ("it is a URL", format!("write the name alone, without scheme, port and path{}", instead(host)));
    }
    if name.contains('*') {
        return ("it is a pattern", "a route's host is one name; leave host out to serve every host".to_owned());
    }
    if !name.is_ascii() {
        let help = "write its ASCII form, which begins with xn--; the `idn2` command prints it";
        return ("it has letters outside ASCII, and senders write its ASCII form", help.to_owned());
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return ("an address of IPv6 stands in brackets", format!("write \"[{name}]\""));
    }
    if let Some((host, _)) = name.split_once('/') {
        return ("a path is no part of it", format!("write it without{}", instead(host)));
    }
    if let Some((host, port)) = name.split_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return ("a port is no part of it", format!("write it without{}", instead(host)));
    }
    if name.is_empty() {
        return ("it is empty", format!("{EXAMPLE}, or leave it out"));
    }
    if name.contains(char::is_whitespace) {
        return ("it has a space in it", EXAMPLE.to_owned());
    }
    ("names have letters, digits, \"-\" and dots, and no part of more than 63", EXAMPLE.to_owned())
}

/// What is left when the rest is taken away, where that is a host.
fn instead(host: &str) -> String {
    host_name(host).map_or_else(|_| String::new(), |host| format!(": \"{host}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_in_one_way() {
        for (text, read) in [
            ("Hooks.Example.com.", "hooks.example.com"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host_name(text).as_deref(), Ok(read), "{text}");
        }
    }

    #[test]
    fn each_slip_has_its_own_cause() {
        for (text, why, help) in [
            ("https://hooks.example.com:443/x", "a URL", ": \"hooks.example.com\""),
            ("hooks.example.com:443", "a port", ": \"hooks.example.com\""),
            ("hooks.example.com/hook", "a path", ": \"hooks.example.com\""),
            ("*.example.com", "a pattern", "leave host out"),
            ("bücher.de", "outside ASCII", "xn--"),
            ("2001:db8::1", "in brackets", "\"[2001:db8::1]\""),
            ("", "empty", "leave it out"),
            ("a b", "a space", "such as"),
            ("-x.de", "letters, digits", "such as"),
        ] {
            let (what, better) = host_name(text).unwrap_err();
            assert!(what.contains(why), "{text}: {what}");
            assert!(better.contains(help), "{text}: {better}");
        }
    }
}
