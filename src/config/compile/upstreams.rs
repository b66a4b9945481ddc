//! `[upstreams.<name>]`: where genuine requests go.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::Spanned;

use super::values::{join, millis, number, shown};
use super::{Compiler, Named};
use crate::config::near::suggest;
use crate::config::raw::{RawEjection, RawHealth, RawUpstream, Table};
use crate::runtime::state::State;
use crate::upstream::spec::{Balance, EjectionSpec, HealthSpec, Http2, ServerSpec, UpstreamSpec};
use crate::upstream::{Upstream, unverifiable};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const MOST_SERVERS: usize = 256;

/// Every upstream that the file names; `None`: one that did not compile, so that routes naming it are not blamed.
#[derive(Default)]
pub(super) struct Upstreams {
    known: BTreeMap<String, (Spanned<String>, Option<Arc<Upstream>>)>,
    used: RefCell<BTreeSet<String>>,
}

impl Upstreams {
    pub(super) fn into_ready(self) -> BTreeMap<Arc<str>, Arc<Upstream>> {
        self.known.into_iter().filter_map(|(name, (_, upstream))| Some((name.into(), upstream?))).collect()
    }
}

impl Compiler<'_> {
    pub(super) fn upstreams(&mut self, raw: Table<RawUpstream>) -> Upstreams {
        let mut upstreams = Upstreams::default();
        for (name, raw) in raw {
            let key = join("upstreams", name.get_ref());
            let before = self.problems.len();
            self.name(&name, &key);
            let spec = self.upstream_spec(&name, &raw, &key);
            let ready = spec.filter(|_| self.problems.len() == before).map(|spec| adopt(self.state, spec));
            upstreams.known.insert(name.get_ref().clone(), (name, ready));
        }
        upstreams
    }

    fn upstream_spec(&mut self, name: &Spanned<String>, raw: &RawUpstream, key: &str) -> Option<UpstreamSpec> {
        let balances = [("round_robin", Balance::RoundRobin), ("least_connections", Balance::LeastConnections)];
        let protocols = [("off", Http2::Off), ("auto", Http2::Auto), ("only", Http2::Only)];
        let balance = self.word(&raw.balance, &join(key, "balance"), &balances, Balance::RoundRobin);
        let http2 = self.word(&raw.http2, &join(key, "http2"), &protocols, Http2::Auto);
        let connect_timeout =
            self.duration(&raw.connect_timeout, &join(key, "connect_timeout"), millis(1000, 10, MINUTE));
        let keepalive = self.duration(&raw.keepalive, &join(key, "keepalive"), millis(MINUTE, 0, HOUR));
        let health = raw.health.as_ref().and_then(|health| self.health(health, &join(key, "health")));
        let ejection = self.ejection(raw.ejection.as_ref(), &join(key, "ejection"));
        let tls = raw.tls.as_ref().and_then(|tls| self.upstream_tls(tls, &join(key, "tls")));
        let servers = self.servers(name, raw, key)?;
        if let Some(at) = raw.tls.as_ref().filter(|_| servers.iter().all(|server| !server.https)) {
            let what = "no server of this upstream is https, so this would change nothing";
            self.reject(at, &join(key, "tls"), what, "write https:// or remove tls");
        }
        let name = Arc::from(name.get_ref().as_str());
        Some(UpstreamSpec { name, servers, balance, http2, connect_timeout, keepalive, health, ejection, tls })
    }

    fn servers(&mut self, name: &Spanned<String>, raw: &RawUpstream, key: &str) -> Option<Vec<ServerSpec>> {
        let key = join(key, "servers");
        let list = self.required(&raw.servers, name, &key, "write servers = [\"http://127.0.0.1:9000\"]")?;
        if list.get_ref().is_empty() {
            self.reject(list, &key, "the list is empty", "write servers = [\"http://127.0.0.1:9000\"]");
            return None;
        }
        if list.get_ref().len() > MOST_SERVERS {
            self.reject(list, &key, format!("more than {MOST_SERVERS} servers"), "put a balancer in between");
            return None;
        }
        let mut servers: Vec<ServerSpec> = Vec::new();
        for url in list.get_ref() {
            match server(url.get_ref()) {
                Ok(server) => {
                    let named = raw.tls.as_ref().is_some_and(|tls| tls.get_ref().server_name.is_some());
                    if server.https
                        && !named
                        && let Some(why) = unverifiable(&server.host)
                    {
                        let what = format!("\"{}\" can never be verified: {why}", shown(url.get_ref()));
                        self.reject(url, &key, what, UNVERIFIABLE);
                    }
                    let same = |other: &ServerSpec| (&other.host, other.port) == (&server.host, server.port);
                    if servers.iter().any(same) {
                        self.reject(url, &key, format!("{} is listed twice", url.get_ref()), "remove one");
                    }
                    servers.push(server);
                }
                Err(why) => {
                    let what = format!("\"{}\" is not a server: {why}", shown(url.get_ref()));
                    self.reject(url, &key, what, SERVER);
                }
            }
        }
        Some(servers)
    }

    fn health(&mut self, raw: &Spanned<RawHealth>, key: &str) -> Option<HealthSpec> {
        let fields = raw.get_ref();
        let interval = self.duration(&fields.interval, &join(key, "interval"), millis(5000, 100, HOUR));
        let timeout = self.duration(&fields.timeout, &join(key, "timeout"), millis(2000, 10, MINUTE));
        let unhealthy_after = self.times(&fields.unhealthy_after, &join(key, "unhealthy_after"), 2);
        let healthy_after = self.times(&fields.healthy_after, &join(key, "healthy_after"), 2);
        let key = join(key, "path");
        let path = self.required(&fields.path, raw, &key, "write path = \"/healthz\"")?;
        let text = path.get_ref();
        if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            let what = format!("\"{}\" is not a path", shown(text));
            self.reject(path, &key, what, "start it with \"/\"; no spaces, no \"#\"");
            return None;
        }
        Some(HealthSpec { path: text.clone(), interval, timeout, unhealthy_after, healthy_after })
    }

    fn ejection(&mut self, raw: Option<&Spanned<RawEjection>>, key: &str) -> EjectionSpec {
        let (after, lasts) = match raw {
            Some(raw) => (&raw.get_ref().after_failures, &raw.get_ref().duration),
            None => (&None, &None),
        };
        let after = self.count(after, &join(key, "after_failures"), number(5, 0, 1000));
        let duration = self.duration(lasts, &join(key, "duration"), millis(10_000, 100, HOUR));
        EjectionSpec { after_failures: u32::try_from(after).unwrap_or(5), duration }
    }

    fn times(&mut self, value: &Option<Spanned<i64>>, key: &str, default: u64) -> u32 {
        u32::try_from(self.count(value, key, number(default, 1, 100))).unwrap_or(1)
    }

    /// The upstream that a route names.
    pub(super) fn upstream(&mut self, value: &Spanned<String>, key: &str, named: &Named) -> Option<Arc<Upstream>> {
        let Some((_, upstream)) = named.upstreams.known.get(value.get_ref()) else {
            let known = named.upstreams.known.keys().map(String::as_str);
            let help = suggest(value.get_ref(), known, "there is no [upstreams.<name>] yet");
            self.reject(value, key, format!("there is no upstream \"{}\"", shown(value.get_ref())), help);
            return None;
        };
        named.upstreams.used.borrow_mut().insert(value.get_ref().clone());
        upstream.clone()
    }

    /// Tells of upstreams that no route uses.
    pub(super) fn unused(&mut self, named: &Named) {
        let used = named.upstreams.used.borrow().clone();
        for (name, (at, _)) in named.upstreams.known.iter().filter(|(name, _)| !used.contains(*name)) {
            self.warn(at, &join("upstreams", name), "no route uses this upstream", "remove it, or name it in a route");
        }
    }
}

/// Why `http://host:port` is no server that could be used, with what to write; the same grammar, for who writes a file.
pub fn server_problem(url: &str) -> Option<(String, &'static str)> {
    match server(url) {
        Err(why) => Some((format!("it is not a server: {why}"), SERVER)),
        Ok(server) if server.https => {
            unverifiable(&server.host).map(|why| (format!("it can never be verified: {why}"), UNVERIFIABLE))
        }
        Ok(_) => None,
    }
}

const SERVER: &str = "write http://host:port or https://host:port, without a path";
const UNVERIFIABLE: &str = "name the server as its certificate does, or set tls.server_name to a name in it";

/// Takes `http://host:port` apart.
fn server(url: &str) -> Result<ServerSpec, &'static str> {
    let (https, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("it does not start with http:// or https://"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("a path belongs in the route's upstream_path");
    }
    let authority: http::uri::Authority = rest.parse().map_err(|_| "its host and port cannot be read")?;
    if rest.contains('@') {
        return Err("a user name cannot stand here");
    }
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || rustls_pki_types::ServerName::try_from(host).is_err() {
        return Err("its host is neither a name nor an address");
    }
    let port = match rest.strip_prefix(authority.host()).unwrap_or_default() {
        "" if https => 443,
        "" => 80,
        port => match port.trim_start_matches(':').parse() {
            Ok(0) | Err(_) => return Err("its port is not a number from 1 to 65535"),
            Ok(port) => port,
        },
    };
    Ok(ServerSpec { url_text: url.to_owned(), https, host: host.to_owned(), port })
}

/// The one place where an upstream comes to life; its server states outlive a reload.
fn adopt(state: &State, spec: UpstreamSpec) -> Arc<Upstream> {
    state.upstreams.adopt(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_taken_apart() {
        let read = |url: &str| server(url).map(|server| (server.https, server.host, server.port));
        assert_eq!(read("http://127.0.0.1:9000"), Ok((false, "127.0.0.1".to_owned(), 9000)));
        assert_eq!(read("https://app.internal"), Ok((true, "app.internal".to_owned(), 443)));
        assert_eq!(read("http://[2001:db8::1]:80/"), Ok((false, "2001:db8::1".to_owned(), 80)));
        for bad in [
            "",
            "127.0.0.1:80",
            "ftp://x",
            "http://",
            "http://:80",
            "http://x:0",
            "http://x:",
            "http://x:99999",
            "http://x/y",
            "http://u:p@x",
            "http://x y",
            "http://[::1",
            "http://x?y",
            "http://x:80:80",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
