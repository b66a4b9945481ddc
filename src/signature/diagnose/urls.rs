//! Other spellings of the address that the sender was given, for schemes that sign it.

use crate::domain::Head;
use crate::signature::url::PublicUrl;

/// An address that may have been signed in place of ours.
pub(super) struct Address {
    pub(super) url: PublicUrl,
    pub(super) head: Head,
    /// What is unlike ours.
    pub(super) how: String,
}

/// Every combination of scheme, host, port, final slash and query; one difference before two.
pub(super) fn addresses(own: &PublicUrl, head: &Head) -> Vec<Address> {
    let text = format!("{own:?}");
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", &text));
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let other_scheme = if scheme == "https" { "http" } else { "https" };
    let (sent_host, sent_port) = match head.host().rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (head.host(), None),
    };
    let path = own.path().unwrap_or_else(|| head.path());
    let mut found: Vec<(usize, Address)> = Vec::new();
    for (scheme, scheme_odd) in [(scheme, None), (other_scheme, Some(format!("with {other_scheme}://")))] {
        for (host, host_odd) in hosts(host, sent_host) {
            for (port, port_odd) in ports(port, sent_port, scheme) {
                for (path, path_odd) in paths(path, head.path()) {
                    for (query, query_odd) in queries(head.query()) {
                        let port = port.as_ref().map_or_else(String::new, |port| format!(":{port}"));
                        let Ok(url) = PublicUrl::parse(&format!("{scheme}://{host}{port}")) else { continue };
                        let odd: Vec<String> =
                            [scheme_odd.clone(), host_odd.clone(), port_odd.clone(), path_odd.clone(), query_odd]
                                .into_iter()
                                .flatten()
                                .collect();
                        if odd.is_empty() || odd.len() > 3 {
                            continue;
                        }
                        let target = query.as_ref().map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
                        found.push((odd.len(), Address { url, head: retargeted(head, &target), how: odd.join(", ") }));
                    }
                }
            }
        }
    }
    found.sort_by_key(|(odd, _)| *odd);
    found.into_iter().map(|(_, address)| address).collect()
}

type Odd = Option<String>;

fn hosts(own: &str, sent: &str) -> Vec<(String, Odd)> {
    let mut hosts = vec![(own.to_owned(), None)];
    if !sent.is_empty() && !sent.eq_ignore_ascii_case(own) {
        hosts.push((sent.to_owned(), Some("with the host that the request names".to_owned())));
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

fn queries(own: Option<&str>) -> Vec<(Option<String>, Odd)> {
    let mut queries = vec![(own.map(str::to_owned), None)];
    if own.is_some() {
        queries.push((None, Some("without its query".to_owned())));
    }
    queries
}

fn retargeted(head: &Head, target: &str) -> Head {
    let mut builder =
        Head::builder(head.method(), head.version()).target(target).host(head.host()).framing(head.framing());
    for (name, value) in head.headers().iter() {
        builder = builder.header(name, value);
    }
    builder.build()
}
