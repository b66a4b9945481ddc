//! Addresses with a port, and what is wrong with those that are none.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use toml::Spanned;

use super::Compiler;
use super::values::shown;

impl Compiler<'_> {
    /// `127.0.0.1:8443` or `[::1]:8443`; `help` is for what resembles neither.
    pub(super) fn socket_address(&mut self, value: &Spanned<String>, key: &str, help: &str) -> Option<SocketAddr> {
        let text = value.get_ref();
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let (why, better) =
                    wrong(text).unwrap_or_else(|| ("it is no address with a port".to_owned(), help.to_owned()));
                self.reject(value, key, format!("\"{}\" cannot be listened on: {why}", shown(text)), better);
                None
            }
        }
    }
}

/// What is wrong, and what to write.
fn wrong(text: &str) -> Option<(String, String)> {
    if let Some(scheme) = ["http://", "https://", "tcp://"].iter().find(|scheme| text.starts_with(**scheme)) {
        let rest = text.trim_start_matches(scheme).trim_end_matches('/');
        return Some(("an address has no scheme".to_owned(), format!("write \"{}\"", shown(rest))));
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        let address = SocketAddr::new(ip, 443);
        // The last group of this one was meant as the port, as far as anyone can tell.
        let parts = text
            .rsplit_once(':')
            .and_then(|(ip, port)| Some(SocketAddr::new(ip.parse::<Ipv6Addr>().ok()?.into(), port.parse().ok()?)));
        return Some(match parts.filter(|_| !text.starts_with('[')) {
            Some(meant) => {
                let why = "without brackets nobody can say where its port begins";
                (why.to_owned(), format!("write \"{meant}\"; or \"{address}\" if it had no port"))
            }
            None => ("its port is missing".to_owned(), format!("write \"{address}\", for instance")),
        });
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match ip {
        Some(_) if digits && port.parse::<u16>().is_err() => {
            Some((format!("port {} is above 65535", shown(port)), "ports are 1 to 65535".to_owned()))
        }
        Some(ip @ IpAddr::V6(_)) if digits => {
            let meant = SocketAddr::new(ip, port.parse().ok()?);
            Some(("an address of IPv6 stands in brackets".to_owned(), format!("write \"{meant}\"")))
        }
        Some(_) => Some((format!("\"{}\" is no port", shown(port)), "ports are 1 to 65535".to_owned())),
        None if host.is_empty() || host == "*" => {
            let every = if digits { format!("write \"0.0.0.0:{port}\" or \"[::]:{port}\"") } else { return None };
            Some(("it has no address".to_owned(), every))
        }
        None if host.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.contains(['/', ':', ' ']) => {
            let help =
                "write its address, such as \"127.0.0.1:8443\"; \"0.0.0.0:8443\" is every IPv4 address of this host";
            Some((format!("\"{}\" is a name, and names are not looked up", shown(host)), help.to_owned()))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slip_has_its_own_cause() {
        for (text, why, help) in [
            ("127.0.0.1:70000", "port 70000 is above 65535", "1 to 65535"),
            ("127.0.0.1", "its port is missing", "\"127.0.0.1:443\""),
            ("[::1]", "its port is missing", "\"[::1]:443\""),
            ("::1:8443", "without brackets", "\"[::1]:8443\""),
            ("2001:db8:1:2:3:4:5:6:443", "in brackets", "\"[2001:db8:1:2:3:4:5:6]:443\""),
            ("localhost:8443", "\"localhost\" is a name", "127.0.0.1:8443"),
            (":8443", "it has no address", "\"0.0.0.0:8443\""),
            ("*:8443", "it has no address", "\"[::]:8443\""),
            ("127.0.0.1:https", "\"https\" is no port", "1 to 65535"),
            ("https://127.0.0.1:8443/", "no scheme", "\"127.0.0.1:8443\""),
        ] {
            let (what, better) = wrong(text).unwrap();
            assert!(what.contains(why), "{text}: {what}");
            assert!(better.contains(help), "{text}: {better}");
        }
        assert_eq!(wrong("a/b"), None);
        assert_eq!(wrong(""), None);
    }
}
