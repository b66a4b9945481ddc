//! Other spellings of the address that the sender was given, for schemes that sign it.

use super::recoded;
use crate::domain::Head;
use crate::scheme::url::PublicUrl;

/// Parameters of a query whose orders are all tried.
const MAX_FIELDS: usize = 5;
/// Public URLs of other routes whose hosts are tried.
const MAX_KNOWN: usize = 4;
/// Differences that are tried at once.
const MAX_UNLIKE: usize = 3;

/// An address that may have been signed in place of ours.
pub(super) struct Address {
    pub(super) url: PublicUrl,
    /// Path and query.
    target: String,
    /// What is unlike ours.
    pub(super) how: String,
}

/// Every combination of scheme, host, port, final slash and query; one difference before two.
pub(super) fn addresses(own: &PublicUrl, known: &[&PublicUrl], head: &Head) -> Vec<Address> {
    let (scheme, host, port) = parts(own.origin(false));
    let other_scheme = if scheme == "https" { "http" } else { "https" };
    let (sent_host, sent_port) = authority(head.host());
    let hosts = hosts(host, sent_host, known, head);
    let path = own.path().unwrap_or_else(|| head.path());
    let queries = queries(head.query());
    let mut found: Vec<(usize, Address)> = Vec::new();
    for (scheme, scheme_odd) in [(scheme, None), (other_scheme, Some(format!("with {other_scheme}://")))] {
        for (host, host_odd) in &hosts {
            for (port, port_odd) in ports(port, sent_port, scheme) {
                for (path, path_odd) in paths(path, head.path()) {
                    for (query, query_odd, weight) in &queries {
                        let port = port.as_ref().map_or_else(String::new, |port| format!(":{port}"));
                        let Ok(url) = PublicUrl::parse(&format!("{scheme}://{host}{port}")) else { continue };
                        let odd: Vec<String> = [
                            scheme_odd.clone(),
                            host_odd.clone(),
                            port_odd.clone(),
                            path_odd.clone(),
                            query_odd.clone(),
                        ]
                        .into_iter()
                        .flatten()
                        .collect();
                        let unlike = odd.len() + weight;
                        if odd.is_empty() || unlike > MAX_UNLIKE {
                            continue;
                        }
                        let target = query.as_ref().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
                        found.push((unlike, Address { url, target, how: odd.join(", ") }));
                    }
                }
            }
        }
    }
    found.sort_by_key(|(odd, _)| *odd);
    found.into_iter().map(|(_, address)| address).collect()
}

type Odd = Option<String>;

fn hosts(own: &str, sent: &str, known: &[&PublicUrl], head: &Head) -> Vec<(String, Odd)> {
    let mut hosts = vec![(own.to_owned(), None)];
    let mut add = |host: &str, how: &str| {
        if !host.is_empty() && !hosts.iter().any(|(other, _)| other.eq_ignore_ascii_case(host)) {
            hosts.push((host.to_owned(), Some(how.to_owned())));
        }
    };
    add(sent, "with the host that the request names");
    for url in known.iter().take(MAX_KNOWN) {
        add(parts(url.origin(false)).1, "with the host of another route's public URL");
    }
    for name in ["x-forwarded-host", "x-original-host"] {
        if let Some(host) = head.headers().first(name).and_then(|value| std::str::from_utf8(value).ok()) {
            add(authority(host.trim()).0, "with the host that a proxy's header names");
        }
    }
    hosts
}

fn ports(own: Option<&str>, sent: Option<&str>, scheme: &str) -> Vec<(Option<String>, Odd)> {
    let usual = if scheme == "https" { "443" } else { "80" };
    let mut ports = vec![(own.map(str::to_owned), None)];
    if own.is_some() {
        ports.push((None, Some("without its port".to_owned())));
    }
    for port in [Some(usual), sent].into_iter().flatten() {
        if own != Some(port) && !ports.iter().any(|(known, _)| known.as_deref() == Some(port)) {
            ports.push((Some(port.to_owned()), Some(format!("with the port :{port}"))));
        }
    }
    ports
}

fn paths(own: &str, sent: &str) -> Vec<(String, Odd)> {
    let mut paths = vec![(own.to_owned(), None)];
    match own.strip_suffix('/') {
        Some(bare) if !bare.is_empty() => paths.push((bare.to_owned(), Some("without its final slash".to_owned()))),
        Some(_) => {}
        None => paths.push((format!("{own}/"), Some("with a slash at its end".to_owned()))),
    }
    if sent != own {
        paths.push((sent.to_owned(), Some("with the path that the request has".to_owned())));
    }
    paths
}

/// Each with how much it counts beside other differences: what is far-fetched is tried alone.
fn queries(own: Option<&str>) -> Vec<(Option<String>, Odd, usize)> {
    const REORDERED: &str = "with its query in another order";
    const SHORTER: &str = "without one parameter of its query";
    let mut queries = vec![(own.map(str::to_owned), None, 0)];
    let Some(own) = own else { return queries };
    queries.push((None, Some("without its query".to_owned()), 0));
    let mut add = |query: String, how: &str| {
        if !queries.iter().any(|(other, ..)| other.as_deref() == Some(&*query)) {
            queries.push((Some(query), Some(how.to_owned()), 2));
        }
    };
    let fields: Vec<&str> = own.split('&').collect();
    if fields.len() <= MAX_FIELDS {
        let mut orders = Vec::new();
        permute(&mut fields.clone(), 0, &mut orders);
        for order in orders {
            add(order, REORDERED);
        }
        for at in 0..fields.len() {
            let mut fewer = fields.clone();
            fewer.remove(at);
            add(fewer.join("&"), SHORTER);
        }
    } else {
        let mut sorted = fields;
        sorted.sort_unstable();
        add(sorted.join("&"), REORDERED);
    }
    for (query, how) in recoded::forms(own.as_bytes()) {
        if let Ok(query) = String::from_utf8(query) {
            add(query, how);
        }
    }
    queries
}

fn permute(fields: &mut Vec<&str>, from: usize, orders: &mut Vec<String>) {
    if from + 1 >= fields.len() {
        orders.push(fields.join("&"));
        return;
    }
    for at in from..fields.len() {
        fields.swap(from, at);
        permute(fields, from + 1, orders);
        fields.swap(from, at);
    }
}

/// Scheme, host and port of an origin.
fn parts(origin: &str) -> (&str, &str, Option<&str>) {
    let (scheme, rest) = origin.split_once("://").unwrap_or(("https", origin));
    let (host, port) = authority(rest.split('/').next().unwrap_or_default());
    (scheme, host, port)
}

fn authority(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    }
}

impl Address {
    /// The request as it would have come to this address.
    pub(super) fn head(&self, head: &Head) -> Head {
        let mut builder =
            Head::builder(head.method(), head.version()).target(&self.target).host(head.host()).framing(head.framing());
        for (name, value) in head.headers().iter() {
            builder = builder.header(name, value);
        }
        builder.build()
    }
}
