//! Host and path to route.

use std::sync::Arc;

use dmz_relay::runtime::routing::{Entry, Found, PathPattern, RouteTable};

/// 1 000 routes: half exact, half prefixes of many lengths, one in ten for a host of its own.
pub(crate) fn table() -> RouteTable<usize> {
    RouteTable::new((0..1000).map(|number| {
        let path = format!("/hooks/{}/{number}", "x".repeat(number % 40));
        let path = path.into_boxed_str();
        Entry {
            host: (number % 10 == 0).then(|| format!("host{}.example.com", number % 50).into_boxed_str()),
            path: if number % 2 == 0 { PathPattern::Exact(path) } else { PathPattern::Prefix(path) },
            route: Arc::new(number),
        }
    }))
}

/// Host, path and what is found among the 1 000, by the name of the case.
pub(crate) fn cases() -> [(&'static str, &'static str, String, Option<usize>); 5] {
    let exact = format!("/hooks/{}/732", "x".repeat(732 % 40));
    let prefix = format!("/hooks/{}/733/events/created", "x".repeat(733 % 40));
    [
        ("exact", "any.example.com", exact.clone(), Some(732)),
        ("prefix", "any.example.com", prefix, Some(733)),
        ("host of its own", "HOST10.example.com:8443", exact, Some(732)),
        ("unknown", "any.example.com", "/robots.txt".to_owned(), None),
        ("8000 slashes", "any.example.com", "/".repeat(8000), None),
    ]
}

/// The number of the route.
pub(crate) fn find(table: &RouteTable<usize>, host: &str, path: &str) -> Option<usize> {
    match table.find(host, path) {
        Found::Route(route, _) => Some(**route),
        _ => None,
    }
}
