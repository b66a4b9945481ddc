//! The address a provider was given, for schemes that sign it.
//!
//! It is configured, never derived from the request: `Host` is the sender's word.

use std::fmt;

/// A public URL as configured: an origin, and a path when the provider's differs from the one that arrives here.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https://hooks.example.com:8443` as written.
    origin: String,
    /// The origin's other spelling: without its port, or with the default one.
    other: String,
    /// Replaces the request's path.
    path: Option<String>,
}

impl PublicUrl {
    /// `https://host[:port][/path]`. What is wrong comes back as a phrase that follows "expected".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("an absolute URL such as https://hooks.example.com")?;
        let default_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err("a URL that begins with https:// or http://"),
        };
        if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("a URL in visible ASCII (international names in their xn-- form)");
        }
        if text.contains(['?', '#', '@']) {
            return Err("a URL without user, query and fragment; the query of each request is used");
        }
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = split_port(authority).ok_or("a host, and a port from 1 to 65535 if there is one")?;
        let bare = format!("{scheme}://{host}");
        let (origin, other) = match port {
            Some(port) => (format!("{bare}:{port}"), bare),
            None => (bare.clone(), format!("{bare}:{default_port}")),
        };
        let path = (!path.is_empty() && path != "/").then(|| path.to_owned());
        Ok(Self { origin, other, path })
    }

    /// The origin as configured, or in its other spelling.
    pub(crate) fn origin(&self, other: bool) -> &str {
        if other { &self.other } else { &self.origin }
    }

    /// The host alone.
    pub(crate) fn host(&self) -> &str {
        let authority = self.origin.split_once("://").map_or("", |(_, authority)| authority);
        split_port(authority).map_or(authority, |(host, _)| host)
    }

    /// The path that stands in place of the request's.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path.as_deref().unwrap_or_default())
    }
}

fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let number = port.parse::<u16>().ok().filter(|number| *number > 0 && !port.starts_with(['+', '0']))?;
            (host, Some(number))
        }
        _ => (authority, None),
    };
    let plain = !host.is_empty() && (host.starts_with('[') == host.ends_with(']'));
    (plain && (host.starts_with('[') || !host.contains(':'))).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_two_spellings() {
        let spellings = |text: &str| {
            let url = PublicUrl::parse(text).unwrap();
            (url.origin(false).to_owned(), url.origin(true).to_owned(), url.path().map(str::to_owned))
        };
        let both = |a: &str, b: &str, path: Option<&str>| (a.to_owned(), b.to_owned(), path.map(str::to_owned));
        assert_eq!(spellings("https://a.b"), both("https://a.b", "https://a.b:443", None));
        assert_eq!(spellings("http://a.b/"), both("http://a.b", "http://a.b:80", None));
        assert_eq!(spellings("https://a.b:1234/x/y"), both("https://a.b:1234", "https://a.b", Some("/x/y")));
        assert_eq!(spellings("https://[::1]"), both("https://[::1]", "https://[::1]:443", None));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "a.b",
            "ftp://a.b",
            "https://",
            "https://a:0",
            "https://a:99999",
            "https://u@a",
            "https://a/?q",
            "https://é",
        ] {
            assert!(PublicUrl::parse(text).is_err(), "{text}");
        }
    }
}
