//! Host and path to route: exact beats prefix, longer beats shorter, and a route for a host beats one for every host.
//!
//! Matching is on the raw path. Nothing is decoded or normalised, so no two spellings of a path can reach one route.
//! `/hooks/x/*` matches `/hooks/x/` and everything below it; `/hooks/x` itself is another path and needs its own route.
//!
//! A look-up allocates nothing. Its cost depends on how many different prefix lengths were configured, never on how the
//! sender shapes the path.
//!
//! Deliberately absent: parameters, patterns, and hosts with a wildcard.

use std::collections::HashMap;
use std::sync::Arc;

use crate::runtime::snapshot::Route;

/// A path as routes are configured with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathPattern {
    /// This path and no other.
    Exact(Box<str>),
    /// Everything below this path, which is kept without its final slash: empty for `/*`.
    Prefix(Box<str>),
}

/// One row of the table.
#[derive(Debug)]
pub struct Entry<R = Route> {
    /// Lower case, without port; `None`: every host.
    pub host: Option<Box<str>>,
    /// Which paths.
    pub path: PathPattern,
    /// Where they lead.
    pub route: Arc<R>,
}

/// The compiled table. It never looks into a route, so tests and benches fill it with what they like.
#[derive(Debug)]
pub struct RouteTable<R = Route> {
    routes: Vec<Arc<R>>,
    hosts: HashMap<Box<str>, Paths<R>>,
    any_host: Option<Paths<R>>,
}

impl<R> Default for RouteTable<R> {
    fn default() -> Self {
        Self { routes: Vec::new(), hosts: HashMap::new(), any_host: None }
    }
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found<'t, R = Route> {
    /// The route, and how many bytes at the end of the path follow its prefix, the slash included; 0 for an exact
    /// route.
    Route(&'t Arc<R>, usize),
    /// The host is served, the path is not.
    UnknownPath,
    /// No route serves this host.
    UnknownHost,
}

impl<R> RouteTable<R> {
    /// Builds the table. Two rows with the same host and path are a problem of the configuration; the compiler has
    /// refused them, and here the first stands.
    pub fn new(entries: impl IntoIterator<Item = Entry<R>>) -> Self {
        let mut table = Self::default();
        for Entry { host, path, route } in entries {
            table.routes.push(Arc::clone(&route));
            let paths = match host {
                Some(host) => table.hosts.entry(host).or_default(),
                None => table.any_host.get_or_insert_default(),
            };
            paths.insert(path, route);
        }
        table
    }

    /// Finds the route for a `Host` (with or without port, any case) and a raw path.
    pub fn find(&self, host: &str, path: &str) -> Found<'_, R> {
        let own = self.paths_of(host);
        for paths in [own, self.any_host.as_ref()].into_iter().flatten() {
            if let Some((route, rest)) = paths.find(path) {
                return Found::Route(route, rest);
            }
        }
        if own.is_none() && self.any_host.is_none() { Found::UnknownHost } else { Found::UnknownPath }
    }

    /// Every route, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.routes.iter()
    }

    /// The paths of a host, if routes name it.
    fn paths_of(&self, host: &str) -> Option<&Paths<R>> {
        if self.hosts.is_empty() {
            return None;
        }
        // No name is longer (RFC 1035), so this much of the stack is enough to compare in lower case.
        let mut lower = [0_u8; 255];
        let name = without_port(host).as_bytes();
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        self.hosts.get(std::str::from_utf8(lower).ok()?)
    }
}

/// `example.com:8443` → `example.com`, `[2001:db8::1]:8443` → `[2001:db8::1]`, and without the root's dot.
fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // A bare IPv6 address has colons of its own; in a `Host` it must stand in brackets.
            if name.contains(':') && !name.ends_with(']') { host } else { name }
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// The paths of one host.
#[derive(Debug)]
struct Paths<R> {
    exact: HashMap<Box<str>, Arc<R>>,
    prefixes: HashMap<Box<str>, Arc<R>>,
    /// Which prefix lengths there are, longest first.
    lengths: Vec<usize>,
}

impl<R> Default for Paths<R> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: HashMap::new(), lengths: Vec::new() }
    }
}

impl<R> Paths<R> {
    fn insert(&mut self, path: PathPattern, route: Arc<R>) {
        match path {
            PathPattern::Exact(path) => {
                self.exact.entry(path).or_insert(route);
            }
            PathPattern::Prefix(prefix) => {
                if let Err(at) = self.lengths.binary_search_by(|length| prefix.len().cmp(length)) {
                    self.lengths.insert(at, prefix.len());
                }
                self.prefixes.entry(prefix).or_insert(route);
            }
        }
    }

    fn find(&self, path: &str) -> Option<(&Arc<R>, usize)> {
        if let Some(route) = self.exact.get(path) {
            return Some((route, 0));
        }
        self.lengths.iter().find_map(|length| {
            let (prefix, rest) = path.split_at_checked(*length)?;
            if !rest.starts_with('/') {
                return None;
            }
            Some((self.prefixes.get(prefix)?, rest.len()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &str)]) -> RouteTable<String> {
        RouteTable::new(rows.iter().map(|(host, path)| Entry {
            host: (!host.is_empty()).then(|| (*host).into()),
            path: match path.strip_suffix("/*") {
                Some(prefix) => PathPattern::Prefix(prefix.into()),
                None => PathPattern::Exact((*path).into()),
            },
            route: Arc::new(format!("{host}{path}")),
        }))
    }

    fn found(table: &RouteTable<String>, host: &str, path: &str) -> String {
        match table.find(host, path) {
            Found::Route(route, suffix) => format!("{route} + {}", path.split_at(path.len() - suffix).1),
            Found::UnknownPath => "path?".to_owned(),
            Found::UnknownHost => "host?".to_owned(),
        }
    }

    #[test]
    fn exact_beats_prefix_and_longer_beats_shorter() {
        let table = table(&[("", "/a/*"), ("", "/a/b/*"), ("", "/a/b/c"), ("", "/*")]);
        for (path, want) in [
            ("/a/b/c", "/a/b/c + "),
            ("/a/b/c/", "/a/b/* + /c/"),
            ("/a/b/", "/a/b/* + /"),
            ("/a/b", "/a/* + /b"),
            ("/a/bb", "/a/* + /bb"),
            ("/a", "/* + /a"),
            ("/", "/* + /"),
            ("/A/b/c", "/* + /A/b/c"),
            ("/a/%62/c", "/a/* + /%62/c"),
            ("//a/b/c", "/* + //a/b/c"),
        ] {
            assert_eq!(found(&table, "x", path), want, "{path}");
        }
        assert_eq!(found(&table, "x", ""), "path?");
        assert_eq!(found(&table, "x", "*"), "path?");
    }

    #[test]
    fn a_prefix_does_not_hold_its_own_name() {
        let table = table(&[("", "/hooks/x/*")]);
        assert_eq!(found(&table, "h", "/hooks/x"), "path?");
        assert_eq!(found(&table, "h", "/hooks/xy"), "path?");
        assert_eq!(found(&table, "h", "/hooks/é"), "path?");
        assert_eq!(found(&table, "h", "/hooks/x/"), "/hooks/x/* + /");
    }

    #[test]
    fn a_host_of_its_own_beats_every_host() {
        let table = table(&[("a.example", "/h/*"), ("", "/h/x"), ("b.example", "/only-b")]);
        assert_eq!(found(&table, "a.example", "/h/x"), "a.example/h/* + /x");
        assert_eq!(found(&table, "A.EXAMPLE.:8443", "/h/x"), "a.example/h/* + /x");
        assert_eq!(found(&table, "b.example", "/h/x"), "/h/x + ");
        assert_eq!(found(&table, "c.example", "/only-b"), "path?");
    }

    #[test]
    fn without_a_route_for_every_host_strangers_are_told_apart() {
        let table = table(&[("a.example", "/h")]);
        assert_eq!(found(&table, "a.example", "/other"), "path?");
        assert_eq!(found(&table, "b.example", "/h"), "host?");
        assert_eq!(found(&table, "", "/h"), "host?");
        assert_eq!(found(&table, &"a".repeat(300), "/h"), "host?");
        assert_eq!(found(&RouteTable::default(), "a.example", "/h"), "host?");
    }

    #[test]
    fn hosts_lose_port_and_final_dot() {
        for (host, name) in [
            ("example.com", "example.com"),
            ("example.com:8443", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("2001:db8::1", "2001:db8::1"),
            ("example.com:", "example.com"),
            (":80", ""),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name, "{host}");
        }
    }
}
