//! What the configuration says of an upstream. Plain values: nothing here opens a socket or parses a key.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::base::Secret;

/// One `[upstreams.<name>]`.
#[derive(Clone, Debug)]
pub struct UpstreamSpec {
    /// The table's name; the metric label.
    pub name: Arc<str>,
    /// In the order of the file.
    pub servers: Vec<ServerSpec>,
    /// Who is next.
    pub balance: Balance,
    /// Whether HTTP/2 is spoken.
    pub http2: Http2,
    /// For one connection: TCP, TLS and the HTTP/2 preface together.
    pub connect_timeout: Duration,
    /// How long an idle connection is kept; zero keeps none.
    pub keepalive: Duration,
    /// Active health checks; `None`: a server is only judged by how it answers requests.
    pub health: Option<HealthSpec>,
    /// Passive ejection.
    pub ejection: EjectionSpec,
    /// For its `https` servers; `None`: platform roots and no client certificate.
    pub tls: Option<TlsSpec>,
}

/// One entry of `servers`.
#[derive(Clone, Debug)]
pub struct ServerSpec {
    /// As written in the file; the metric label, and with the upstream's name the key of its state.
    pub url_text: String,
    /// TLS or plain.
    pub https: bool,
    /// A DNS name or an address, an IPv6 address without brackets.
    pub host: String,
    /// From the URL or its scheme.
    pub port: u16,
}

impl ServerSpec {
    /// Whether HTTP/1.1 without TLS is spoken to it.
    pub(super) fn is_plain(&self, http2: Http2) -> bool {
        !self.https && http2 != Http2::Only
    }
}

/// Who is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in flight; in turn among equals.
    LeastConnections,
}

/// Whether HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Http2 {
    /// HTTP/1.1 only.
    Off,
    /// What the TLS handshake agrees on; HTTP/1.1 on a plain connection.
    Auto,
    /// HTTP/2 or nothing; on a plain connection with prior knowledge.
    Only,
}

/// Active health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthSpec {
    /// `GET` target; 2xx is healthy.
    pub path: String,
    /// From one check to the next, give or take a tenth.
    pub interval: Duration,
    /// For one check, the connection included.
    pub timeout: Duration,
    /// Failed checks in a row until a server is left out; at least one.
    pub unhealthy_after: u32,
    /// Good checks in a row until it is back; at least one.
    pub healthy_after: u32,
}

/// Passive ejection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EjectionSpec {
    /// Failed requests in a row until a server is left out; zero switches ejection off.
    pub after_failures: u32,
    /// How long, until one request may probe it.
    pub duration: Duration,
}

/// TLS toward the servers of one upstream.
#[derive(Clone)]
pub struct TlsSpec {
    /// DER certificates that are trusted instead of the platform's; empty: the platform's.
    pub ca_der: Vec<Vec<u8>>,
    /// DER chain, leaf first, and the leaf's DER key.
    pub client: Option<(Vec<Vec<u8>>, Secret)>,
    /// The name that is asked for and verified instead of the URL's host.
    pub server_name: Option<String>,
}

impl fmt::Debug for TlsSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSpec")
            .field("ca_certificates", &self.ca_der.len())
            .field("client_chain", &self.client.as_ref().map(|(chain, _)| chain.len()))
            .field("server_name", &self.server_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_certificate_and_no_key() {
        let spec = TlsSpec {
            ca_der: vec![vec![7; 9]],
            client: Some((vec![vec![8; 9]], Secret::new(b"canary".to_vec()))),
            server_name: None,
        };
        assert_eq!(format!("{spec:?}"), "TlsSpec { ca_certificates: 1, client_chain: Some(1), server_name: None }");
    }
}
