//! Step 4: which route has the host and the path, or which come near.

use std::sync::Arc;

use super::{Step, Subject, Verdict};
use crate::domain::source::canonical;
use crate::domain::{Head, Method, Refusal, SourceAddress, Via};
use crate::gate::pipeline::Connection;
use crate::gate::pipeline::route::Routed;
use crate::runtime::snapshot::{Listener, Route, Snapshot};

const STEP: &str = "route";
const CHECK: &str = "host and path";
/// Routes that are named where none fits.
const NEAR: usize = 3;

/// The verdict, and the route where there is one.
pub(super) fn judge<'s>(snapshot: &'s Snapshot, subject: &Subject<'_>) -> (Step, Option<Routed<'s>>) {
    let Some(listener) = listener(snapshot, subject) else {
        return (Step::new(STEP, CHECK, Verdict::Unknown, "the configuration has no listener"), None);
    };
    let head = subject.head;
    let connection = connection(listener, subject);
    match Routed::find(&snapshot.routes, &connection, head) {
        Ok(routed) => (Step::new(STEP, CHECK, Verdict::Passed, found(routed.route(), &routed, head)), Some(routed)),
        Err(refusal) => {
            let because = match refusal {
                Refusal::MethodNotAllowed => "no route can take this method".to_owned(),
                Refusal::HostMisdirected => misdirected(listener, &connection, head),
                _ => format!("no route has the path {}{}", head.path(), of_host(head)),
            };
            let hints = near(snapshot, head);
            (Step::refused(STEP, CHECK, refusal.code(), because).with_hints(hints), None)
        }
    }
}

/// Where it came in, or the first listener.
pub(super) fn listener<'s>(snapshot: &'s Snapshot, subject: &Subject<'_>) -> Option<&'s Arc<Listener>> {
    let named = snapshot.listeners.iter().find(|listener| subject.listener == Some(&*listener.name));
    named.or_else(|| snapshot.listeners.first())
}

/// The connection that a sender opens who asks for the name that stands in `Host`.
fn connection(listener: &Arc<Listener>, subject: &Subject<'_>) -> Connection {
    let host = subject.head.host();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let source = subject.source.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    Connection {
        listener: Arc::clone(listener),
        source: SourceAddress { ip: canonical(source), via: Via::Socket },
        certificate: listener.tls.as_ref().map(|tls| tls.certificate_for((!name.is_empty()).then_some(name))),
        client_certificate: false,
        proven: Default::default(),
    }
}

fn found(route: &Route, routed: &Routed<'_>, head: &Head) -> String {
    let path = head.path();
    let rest = path.len().checked_sub(routed.suffix()).and_then(|at| path.get(at..)).unwrap_or_default();
    let which = if route.path.ends_with("/*") {
        format!("the prefix {}, with {rest} behind it", route.path)
    } else {
        format!("exactly {}", route.path)
    };
    match &route.host {
        Some(host) => format!("`{}`: {which}, of host {host}", route.name),
        None => format!("`{}`: {which}, of every host", route.name),
    }
}

fn of_host(head: &Head) -> String {
    if head.host().is_empty() { String::new() } else { format!(" for host {}", head.host()) }
}

fn misdirected(listener: &Listener, connection: &Connection, head: &Head) -> String {
    let host = if head.host().is_empty() { "no host" } else { head.host() };
    match connection.served() {
        Some(certificate) if !certificate.names.is_empty() => format!(
            "it asks for {host}: either no route has that host, or the certificate of listener `{}` is not valid for it \
             (it names {})",
            listener.name,
            certificate.names.join(", ")
        ),
        _ => format!("it asks for {host}, which no route has"),
    }
}

/// Routes whose path or host is almost this one, those that have the very path first.
fn near(snapshot: &Snapshot, head: &Head) -> Vec<String> {
    if head.method() == Method::Other {
        return Vec::new();
    }
    let path = head.path();
    let mut exact = Vec::new();
    let mut similar = Vec::new();
    let mut ranked: Vec<(usize, &Arc<Route>)> = Vec::new();
    for route in snapshot.routes.iter() {
        let prefix = route.path.strip_suffix("/*");
        let base = prefix.unwrap_or(&route.path);
        let same = |a: &str, b: &str| a.trim_end_matches('/') == b.trim_end_matches('/');
        let covers = match prefix {
            Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')),
            None => route.path == path,
        };
        if covers {
            exact.push(match &route.host {
                Some(host) => {
                    format!("route `{}` has this path, for host {host} only: the host differs{}", route.name, asked(head))
                }
                // It would have been found, but for the name that the connection was opened for.
                None => format!(
                    "route `{}` has this path, for every host that a certificate of the listener names: the host differs{}",
                    route.name,
                    asked(head)
                ),
            });
        } else if prefix == Some(path) {
            similar.push(format!(
                "route `{}` takes what is below {base}/, not {base} itself: have the sender add a slash, or add a route for it",
                route.name
            ));
        } else if same(base, path) {
            similar.push(format!(
                "route `{}` differs by the slash at the end: {}{}",
                route.name,
                route.path,
                for_host(route)
            ));
        } else if base.eq_ignore_ascii_case(path) {
            similar.push(format!(
                "route `{}` differs by upper and lower case: {}{}",
                route.name,
                route.path,
                for_host(route)
            ));
        } else {
            ranked.push((strsim::damerau_levenshtein(base, path), route));
        }
    }
    let mut hints = exact;
    hints.append(&mut similar);
    hints.truncate(NEAR);
    if hints.is_empty() {
        ranked.sort_by_key(|(distance, _)| *distance);
        let near =
            ranked.iter().take(NEAR).map(|(_, route)| format!("`{}` ({}{})", route.name, route.path, for_host(route)));
        let near: Vec<String> = near.collect();
        if !near.is_empty() {
            hints.push(format!("the nearest routes: {}", near.join(", ")));
        }
    }
    hints
}

/// What the request says of its host.
fn asked(head: &Head) -> String {
    if head.host().is_empty() {
        "; the request names none".to_owned()
    } else {
        format!("; the request names {}", head.host())
    }
}

fn for_host(route: &Route) -> String {
    route.host.as_ref().map_or_else(String::new, |host| format!(", for host {host}"))
}
