//! Step 4: host and path to route.

use std::sync::Arc;

use crate::domain::{Head, Method, Refusal};
use crate::runtime::routing::{Found, RouteTable};
use crate::runtime::snapshot::{Route, ServedCertificate};

use super::Connection;

/// A request that has a route.
#[derive(Debug)]
pub struct Routed<'s> {
    route: &'s Arc<Route>,
    suffix: usize,
}

impl<'s> Routed<'s> {
    /// Finds the route. The host must be one that this connection's certificate speaks for: a sender that opened the
    /// connection for one name and asks for another is misdirected (RFC 9110 section 15.5.20).
    pub(crate) fn find(table: &'s RouteTable, connection: &Connection, head: &Head) -> Result<Self, Refusal> {
        if head.method() == Method::Other {
            return Err(Refusal::MethodNotAllowed);
        }
        if connection.served().is_some_and(|certificate| !speaks_for(certificate, hostname(head.host()))) {
            return Err(Refusal::HostMisdirected);
        }
        match table.find(head.host(), head.path()) {
            Found::Route(route, suffix) => Ok(Self { route, suffix }),
            Found::UnknownPath => Err(Refusal::RouteUnknown),
            Found::UnknownHost => Err(Refusal::HostMisdirected),
        }
    }

    /// The route.
    pub fn route(&self) -> &'s Arc<Route> {
        self.route
    }

    /// How many bytes at the end of the path lie behind a prefix route's prefix.
    pub fn suffix(&self) -> usize {
        self.suffix
    }
}

/// `example.com:8443` → `example.com`; `[::1]:8443` → `::1`.
fn hostname(host: &str) -> &str {
    if let Some(literal) = host.strip_prefix('[') {
        return literal.split_once(']').map_or(literal, |(ip, _)| ip);
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

/// RFC 6125: an exact name, or a wildcard for exactly one leftmost label.
fn speaks_for(certificate: &ServedCertificate, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    certificate.names.iter().any(|name| match name.strip_prefix("*.") {
        Some(parent) => {
            host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
        }
        None => host.eq_ignore_ascii_case(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_speaks_for_its_names_only() {
        let certificate = ServedCertificate {
            names: vec!["a.example".into(), "*.b.example".into(), "::1".into()],
            lifetime: crate::domain::Lifetime { not_before: 0, not_after: 0 },
        };
        for host in ["a.example", "A.Example:8443", "a.example.", "x.b.example", "[::1]:8443"] {
            assert!(speaks_for(&certificate, hostname(host)), "{host}");
        }
        for host in ["b.example", "x.y.b.example", ".b.example", "a.example.evil", "", "127.0.0.1"] {
            assert!(!speaks_for(&certificate, hostname(host)), "{host}");
        }
    }
}
