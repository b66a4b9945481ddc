//! Specs, requests and deadlines with the defaults that most tests want.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dmz_relay::upstream::spec::{Balance, EjectionSpec, Http2, ServerSpec, TlsSpec, UpstreamSpec};
use dmz_relay::upstream::{Fields, Outbound, Received, Undelivered, Upstream};
use tokio::time::{Instant, timeout};

/// Far beyond what an answer takes, and beyond what a test would wait for by mistake.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// For what must run into its deadline.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn spec(servers: &[SocketAddr]) -> UpstreamSpec {
    UpstreamSpec {
        name: "crm".into(),
        servers: servers.iter().map(|address| server("http", &address.ip().to_string(), address.port())).collect(),
        balance: Balance::RoundRobin,
        http2: Http2::Off,
        connect_timeout: Duration::from_secs(60),
        keepalive: Duration::from_secs(30),
        health: None,
        ejection: EjectionSpec { after_failures: 0, duration: Duration::from_secs(30) },
        tls: None,
    }
}

pub(crate) fn server(scheme: &str, host: &str, port: u16) -> ServerSpec {
    ServerSpec { url_text: format!("{scheme}://{host}:{port}"), https: scheme == "https", host: host.into(), port }
}

pub(crate) fn tls_spec(host: &str, port: u16, http2: Http2, tls: TlsSpec) -> UpstreamSpec {
    UpstreamSpec { servers: vec![server("https", host, port)], http2, tls: Some(tls), ..spec(&[]) }
}

pub(crate) fn trusting(ca: &crate::pki::Authority) -> TlsSpec {
    TlsSpec { ca_der: vec![ca.der()], client: None, server_name: None }
}

pub(crate) fn post(body: impl Into<Bytes>) -> Outbound<'static> {
    Outbound {
        method: "POST",
        target: "/hooks/a?b=%20c",
        headers: Fields::from([("X-Signature", b"s")]),
        body: Cow::Owned(body.into()),
        sends: None,
        pass_through: None,
    }
}

pub(crate) fn passing() -> Outbound<'static> {
    Outbound { pass_through: Some(64), ..post("x") }
}

pub(crate) async fn send(upstream: &Upstream, request: &Outbound<'_>) -> Result<Received, Undelivered> {
    within(upstream, request, LONG).await
}

/// Also checks that the deadline is kept: what does not end with it hangs.
pub(crate) async fn within(
    upstream: &Upstream,
    request: &Outbound<'_>,
    limit: Duration,
) -> Result<Received, Undelivered> {
    let start = Instant::now();
    let result = timeout(limit + LONG, upstream.forward(request, start, start + limit)).await.unwrap();
    let in_flight: usize = upstream.status().iter().map(|server| server.in_flight).sum();
    assert_eq!(in_flight, 0);
    result
}

/// Bytes without a pattern that a lost or repeated block would leave intact.
pub(crate) fn noise(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
