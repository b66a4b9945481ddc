//! Host and path to route: the same route as by trying every row of the table.

use std::sync::Arc;

use dmz_relay::runtime::routing::{Entry, Found, PathPattern, RouteTable};

/// Lines are rows, as in `host /path` or `host /path/*`, with `-` for every host; behind a question mark stands what is asked.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut rows: Vec<(&str, &str)> = Vec::new();
    let mut asked: Vec<(&str, &str)> = Vec::new();
    for line in text.lines().take(64) {
        match line.strip_prefix('?') {
            Some(line) => asked.extend(line.split_once(' ')),
            None => rows.extend(line.split_once(' ').filter(|(host, path)| configurable(host, path))),
        }
    }
    asked.extend(rows.clone());
    let table = RouteTable::new(rows.iter().enumerate().map(|(number, (host, path))| Entry {
        host: (*host != "-").then(|| (*host).into()),
        path: match path.strip_suffix("/*") {
            Some(prefix) => PathPattern::Prefix(prefix.into()),
            None => PathPattern::Exact((*path).into()),
        },
        route: Arc::new(number),
    }));
    for (host, path) in asked {
        let found = match table.find(host, path) {
            Found::Route(route, suffix) => Some((**route, suffix)),
            Found::UnknownPath | Found::UnknownHost => None,
        };
        assert_eq!(found, naive(&rows, host, path), "{host:?} {path:?} in {rows:?}");
    }
}

/// As the compiler leaves them: hosts in lower case without port, paths with a slash in front.
fn configurable(host: &str, path: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    host.bytes().all(letters) && !host.is_empty() && host.len() <= 253 && !host.ends_with('.') && path.starts_with('/')
}

/// The best row: a host of its own before every host, exact before prefix, longer before shorter, first before second.
fn naive(rows: &[(&str, &str)], host: &str, path: &str) -> Option<(usize, usize)> {
    let name = host.rsplit_once(':').filter(|(name, port)| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']'))
    });
    let name = name.map_or(host, |(name, _)| name);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let mut best: Option<((bool, bool, usize), usize, usize)> = None;
    for (number, (of, pattern)) in rows.iter().enumerate() {
        if *of != "-" && **of != name {
            continue;
        }
        let (rank, suffix) = match pattern.strip_suffix("/*") {
            Some(prefix) => match path.strip_prefix(prefix) {
                Some(rest) if rest.starts_with('/') => ((*of != "-", false, prefix.len()), rest.len()),
                _ => continue,
            },
            None if path == *pattern => ((*of != "-", true, 0), 0),
            None => continue,
        };
        if best.is_none_or(|(known, ..)| rank > known) {
            best = Some((rank, number, suffix));
        }
    }
    best.map(|(_, number, suffix)| (number, suffix))
}
