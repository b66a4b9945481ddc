//! Hosts and paths as routes are configured with them.

use toml::Spanned;

use super::super::Compiler;
use super::super::values::shown;
use crate::routing::PathPattern;

/// Longer than any provider's console takes.
const LONGEST: usize = 1024;

impl Compiler<'_> {
    /// `/hooks/x`, or `/hooks/x/*` for everything below it.
    pub(super) fn path_pattern(&mut self, value: &Spanned<String>, key: &str) -> Option<PathPattern> {
        let text = value.get_ref().as_str();
        if let Err((why, help)) = check(text) {
            self.reject(value, key, format!("\"{}\" cannot be a path: {why}", shown(text)), help);
            return None;
        }
        Some(match text.strip_suffix("/*") {
            Some(prefix) => PathPattern::Prefix(prefix.into()),
            None => PathPattern::Exact(text.into()),
        })
    }

    /// A DNS name or an address, in lower case and without port.
    pub(super) fn host(&mut self, value: &Spanned<String>, key: &str) -> Option<Box<str>> {
        let text = value.get_ref();
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let good = match bracketed {
            Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !name.contains(':') && rustls_pki_types::ServerName::try_from(name).is_ok(),
        };
        if !good {
            let help = if name.contains('*') {
                "a route's host is one name; leave host out to serve every host"
            } else {
                "write a name such as \"hooks.example.com\", without scheme, port or path"
            };
            self.reject(value, key, format!("\"{}\" is not a host", shown(text)), help);
            return None;
        }
        Some(name.into())
    }
}

/// Paths are compared raw, so one that no client would send as it stands is a mistake.
fn check(text: &str) -> Result<(), (&'static str, &'static str)> {
    let body = text.strip_suffix("/*").unwrap_or(text);
    if !text.starts_with('/') {
        return Err(("it does not start with \"/\"", "write \"/hooks/…\""));
    }
    if text.len() > LONGEST {
        return Err(("it is longer than 1024 bytes", "choose a shorter one"));
    }
    if body.contains('*') {
        return Err((
            "\"*\" may only stand at the end, after \"/\"",
            "write \"/hooks/x/*\" for everything below /hooks/x/",
        ));
    }
    if body.contains(['?', '#']) {
        return Err(("a query or fragment is no part of it", "remove everything from the \"?\" or \"#\" on"));
    }
    if !body.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err((
            "a client would send some of it percent-encoded",
            "write it as it goes over the wire, %C3%A9 for é",
        ));
    }
    if body.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(("clients resolve \".\" and \"..\" before they send", "write the path without them"));
    }
    if !encoded(body) {
        return Err(("\"%\" is not followed by two hexadecimal digits", "write %25 for a percent sign"));
    }
    Ok(())
}

fn encoded(path: &str) -> bool {
    path.split('%').skip(1).all(|after| after.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2)
}
