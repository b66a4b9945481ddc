//! One server of an upstream: where it is, how it is spoken to, what is known of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pingora_core::protocols::TcpKeepalive;
use pingora_core::upstreams::peer::{ALPN, HttpPeer, Peer};
use tokio::time::{Instant, timeout_at};

use super::Outbound;
use super::answer::Answer;
use super::condition::Condition;
use super::exchange::{Link, Wanted};
use super::failure::{Failure, Next};
use super::reach::Agreed;
use super::registry::Pingora;
use super::resolve::{Name, PeerFor, Peers, Resolver};
use super::spec::{Http2, ServerSpec, UpstreamSpec};
use super::tls::{Credentials, group_key, server_name};
use crate::domain::Fault;

pub(super) struct Server {
    pub(super) url: Arc<str>,
    pub(super) condition: Arc<Condition>,
    pub(super) host: Box<str>,
    pub(super) port: u16,
    authority: HeaderValue,
    /// Or why this server cannot be spoken to as configured.
    resolver: Result<Resolver, String>,
    connect_timeout: Duration,
    keepalive: Duration,
    https: bool,
    http2: Http2,
}

impl Server {
    pub(super) fn new(spec: &ServerSpec, upstream: &UpstreamSpec, url: Arc<str>, condition: Arc<Condition>) -> Self {
        let host = spec.host.trim_start_matches('[').trim_end_matches(']');
        let (authority, resolver) = match authority(spec, host) {
            Ok(authority) => {
                let resolver = peer_for(spec, upstream, host).map(|make| Resolver::new(host, spec.port, make));
                (authority, resolver)
            }
            Err(why) => (HeaderValue::from_static(""), Err(why)),
        };
        Self {
            url,
            condition,
            host: host.into(),
            port: spec.port,
            authority,
            resolver,
            connect_timeout: upstream.connect_timeout,
            keepalive: upstream.keepalive,
            https: spec.https,
            http2: upstream.http2,
        }
    }

    /// Why it cannot be spoken to as configured.
    pub(super) fn problem(&self) -> Option<&str> {
        self.resolver.as_ref().err().map(String::as_str)
    }

    pub(super) async fn send(
        &self,
        pingora: &Pingora,
        request: &Outbound<'_>,
        wanted: Wanted,
        now: Instant,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let looked_up;
        let peers = match self.resolver()? {
            Resolver::Literal(peers) => &**peers,
            Resolver::Name(name) => {
                looked_up = match name.known(now) {
                    Some(peers) => peers,
                    // Boxed, because it is rare: other requests should not pay for its size.
                    None => Box::pin(self.look_up(name, now, deadline)).await?,
                };
                &*looked_up
            }
        };
        self.link(pingora, peers).send(request, wanted, now, deadline).await
    }

    /// Looks its name up and connects, as a request would; nothing is sent.
    pub(super) async fn reach(&self, pingora: &Pingora) -> Result<Agreed, Failure> {
        let now = Instant::now();
        let looked_up;
        let peers = match self.resolver()? {
            Resolver::Literal(peers) => &**peers,
            Resolver::Name(name) => {
                looked_up = self.look_up(name, now, now + 2 * self.connect_timeout).await?;
                &*looked_up
            }
        };
        let addresses = u32::try_from(peers.in_order().count()).unwrap_or(u32::MAX);
        let deadline = Instant::now() + self.connect_timeout.saturating_mul(addresses.saturating_add(1));
        self.link(pingora, peers).reach(deadline).await
    }

    fn resolver(&self) -> Result<&Resolver, Failure> {
        self.resolver.as_ref().map_err(|why| Failure::new(Fault::UpstreamTls, Next::Server, why.as_str()))
    }

    fn link<'a>(&'a self, pingora: &'a Pingora, peers: &'a Peers) -> Link<'a> {
        Link {
            pingora,
            kept: &self.condition.kept,
            peers,
            authority: &self.authority,
            https: self.https,
            http2: self.http2,
            connect_timeout: self.connect_timeout,
            keepalive: self.keepalive,
        }
    }

    async fn look_up(&self, name: &Arc<Name>, now: Instant, deadline: Instant) -> Result<Arc<Peers>, Failure> {
        let limit = deadline.min(now + self.connect_timeout);
        match timeout_at(limit, name.peers()).await {
            Ok(Ok(peers)) => Ok(peers),
            Ok(Err(why)) => Err(unresolved(&why)),
            Err(_) if limit == deadline => Err(Failure::timeout("resolving the server's name")),
            Err(_) => Err(unresolved("the connect timeout passed")),
        }
    }
}

fn unresolved(why: &str) -> Failure {
    let detail = format!("the server's name was not resolved: {}", super::failure::cut(why));
    Failure::new(Fault::UpstreamConnect, Next::Server, detail)
}

/// The `Host` field: the port only where it is not the scheme's own, an IPv6 address in brackets.
fn authority(spec: &ServerSpec, host: &str) -> Result<HeaderValue, String> {
    let literal = matches!(host.parse::<IpAddr>(), Ok(IpAddr::V6(_)));
    let host = if literal { format!("[{host}]") } else { host.to_owned() };
    let default = if spec.https { 443 } else { 80 };
    let text = if spec.port == default { host } else { format!("{host}:{}", spec.port) };
    match text.parse::<http::uri::Authority>() {
        Ok(_) if !text.contains('@') => HeaderValue::from_str(&text).map_err(|e| e.to_string()),
        _ => Err("the server's host is not a host".into()),
    }
}

fn peer_for(spec: &ServerSpec, upstream: &UpstreamSpec, host: &str) -> Result<PeerFor, String> {
    // Plain servers of an upstream with TLS settings have no use for them.
    let tls = upstream.tls.as_ref().filter(|_| spec.https);
    let credentials = Credentials::parse(tls)?;
    let sni = if spec.https { server_name(host, tls)? } else { String::new() };
    let alpn = match (upstream.http2, spec.https) {
        (Http2::Off, _) | (Http2::Auto, false) => ALPN::H1,
        (Http2::Auto, true) => ALPN::H2H1,
        (Http2::Only, _) => ALPN::H2,
    };
    let group = group_key(&upstream.name, upstream.http2, tls);
    let https = spec.https;
    Ok(Arc::new(move |address: SocketAddr| {
        // A socket address is resolved already: this does not block.
        let mut peer = HttpPeer::new(address, https, sni.clone());
        peer.group_key = group;
        peer.client_cert_key = credentials.client.clone();
        if let Some(options) = peer.get_mut_peer_options() {
            options.ca = credentials.ca.clone();
            options.verify_cert = true;
            options.verify_hostname = true;
            options.alpn = alpn.clone();
            // A firewall between DMZ and inside forgets idle connections without telling.
            options.tcp_keepalive = Some(TcpKeepalive {
                idle: Duration::from_secs(30),
                interval: Duration::from_secs(10),
                count: 3,
                #[cfg(target_os = "linux")]
                user_timeout: Duration::from_secs(60),
            });
        }
        peer
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(https: bool, host: &str, port: u16) -> Result<HeaderValue, String> {
        authority(&ServerSpec { url_text: String::new(), https, host: host.into(), port }, host)
    }

    #[test]
    fn the_host_field_names_the_server() {
        assert_eq!(host(false, "inside", 80).unwrap(), "inside");
        assert_eq!(host(true, "inside", 80).unwrap(), "inside:80");
        assert_eq!(host(true, "10.0.0.1", 443).unwrap(), "10.0.0.1");
        assert_eq!(host(false, "::1", 8080).unwrap(), "[::1]:8080");
        assert!(host(false, "a@b", 80).is_err());
        assert!(host(false, "a\r\nb", 80).is_err());
        assert!(host(false, "", 80).is_err());
    }
}
