//! Who is trusted: always verified, by name or address, against the upstream's own authority.

use std::sync::Arc;

use dmz_relay::base::Secret;
use dmz_relay::domain::Fault;
use dmz_relay::upstream::spec::{Http2, TlsSpec, UpstreamSpec};
use dmz_relay::upstream::{Upstream, Upstreams};

use crate::peers::{Peer, honest};
use crate::pki::Authority;
use crate::rig::{post, send, spec, tls_spec, trusting};

async fn refused(upstreams: &Upstreams, peer: &Peer, spec: UpstreamSpec, words: &str) {
    let seen = peer.seen().len();
    let undelivered = send(&upstreams.adopt(spec), &post("x")).await.unwrap_err();
    assert_eq!(undelivered.fault, Fault::UpstreamTls, "{}", undelivered.detail);
    assert!(undelivered.detail.contains(words), "{}", undelivered.detail);
    assert_eq!(peer.seen().len(), seen, "the server saw nothing");
}

async fn accepted(upstreams: &Upstreams, spec: UpstreamSpec) -> Arc<Upstream> {
    let upstream = upstreams.adopt(spec);
    assert_eq!(send(&upstream, &post("x")).await.unwrap().status, 200);
    upstream
}

#[tokio::test]
async fn only_the_upstreams_own_authority_is_trusted() {
    let (ca, other) = (Authority::new(), Authority::new());
    let peer = honest::tls(ca.server(&["localhost"], &[], None)).await;
    let port = peer.address.port();
    let upstreams = Upstreams::new();
    refused(&upstreams, &peer, tls_spec("localhost", port, Http2::Off, trusting(&other)), "UnknownIssuer").await;
    let platform = UpstreamSpec { tls: None, ..tls_spec("localhost", port, Http2::Off, trusting(&ca)) };
    refused(&upstreams, &peer, platform, "UnknownIssuer").await;
    accepted(&upstreams, tls_spec("localhost", port, Http2::Off, trusting(&ca))).await;
    let both = TlsSpec { ca_der: vec![other.der(), ca.der()], ..trusting(&ca) };
    accepted(&upstreams, tls_spec("localhost", port, Http2::Off, both)).await;
}

#[tokio::test]
async fn a_kept_connection_never_serves_an_upstream_with_other_tls_settings() {
    for alpn in [&[] as &[&[u8]], &[b"h2"]] {
        let (ca, other) = (Authority::new(), Authority::new());
        let peer = honest::tls(ca.server(&["localhost"], alpn, None)).await;
        let port = peer.address.port();
        let upstreams = Upstreams::new();
        // In force until the last one is, as over a reload.
        let _first = accepted(&upstreams, tls_spec("localhost", port, Http2::Auto, trusting(&ca))).await;
        accepted(&upstreams, tls_spec("localhost", port, Http2::Auto, trusting(&ca))).await;
        assert_eq!(peer.connections(), 1, "the same settings share it");
        refused(&upstreams, &peer, tls_spec("localhost", port, Http2::Auto, trusting(&other)), "UnknownIssuer").await;
        let with_client = TlsSpec { client: Some(other.client()), ..trusting(&ca) };
        accepted(&upstreams, tls_spec("localhost", port, Http2::Auto, with_client)).await;
        assert_eq!(peer.connections(), 3, "a client certificate is shown, not taken over");
    }
}

#[tokio::test]
async fn the_name_must_match() {
    let ca = Authority::new();
    let peer = honest::tls(ca.server(&["inside.example"], &[], None)).await;
    let port = peer.address.port();
    let upstreams = Upstreams::new();
    refused(&upstreams, &peer, tls_spec("localhost", port, Http2::Off, trusting(&ca)), "not valid for").await;
    refused(&upstreams, &peer, tls_spec("127.0.0.1", port, Http2::Off, trusting(&ca)), "not valid for").await;
    let named = |name: &str| TlsSpec { server_name: Some(name.to_owned()), ..trusting(&ca) };
    accepted(&upstreams, tls_spec("127.0.0.1", port, Http2::Off, named("inside.example"))).await;
    refused(&upstreams, &peer, tls_spec("127.0.0.1", port, Http2::Off, named("other.example")), "not valid for").await;
}

#[tokio::test]
async fn an_address_is_verified_against_the_addresses_of_the_certificate() {
    let ca = Authority::new();
    let upstreams = Upstreams::new();
    let peer = honest::tls(ca.server(&["127.0.0.1"], &[], None)).await;
    accepted(&upstreams, tls_spec("127.0.0.1", peer.address.port(), Http2::Off, trusting(&ca))).await;
    let other = honest::tls(ca.server(&["127.0.0.2"], &[], None)).await;
    let spec = tls_spec("127.0.0.1", other.address.port(), Http2::Off, trusting(&ca));
    refused(&upstreams, &other, spec, "not valid for").await;
}

#[tokio::test]
async fn an_empty_name_never_switches_verification_off() {
    let (ca, other) = (Authority::new(), Authority::new());
    let peer = honest::tls(ca.server(&["localhost"], &[], None)).await;
    let port = peer.address.port();
    let upstreams = Upstreams::new();
    for authority in [&ca, &other] {
        let empty = TlsSpec { server_name: Some(String::new()), ..trusting(authority) };
        refused(&upstreams, &peer, tls_spec("localhost", port, Http2::Off, empty), "server name").await;
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_there_is_one() {
    let (ca, clients) = (Authority::new(), Authority::new());
    for http2 in [Http2::Off, Http2::Only] {
        let peer = honest::tls(ca.server(&["localhost"], &[b"h2", b"http/1.1"], Some(&clients))).await;
        let port = peer.address.port();
        let upstreams = Upstreams::new();
        let with = |authority: &Authority| TlsSpec { client: Some(authority.client()), ..trusting(&ca) };
        accepted(&upstreams, tls_spec("localhost", port, http2, with(&clients))).await;
        if http2 == Http2::Off {
            refused(&upstreams, &peer, tls_spec("localhost", port, http2, trusting(&ca)), "CertificateRequired").await;
        }
        for spec in [trusting(&ca), with(&ca)] {
            let undelivered = send(&upstreams.adopt(tls_spec("localhost", port, http2, spec)), &post("x")).await;
            assert!(undelivered.is_err());
        }
        assert_eq!(peer.seen().len(), 1);
    }
}

#[tokio::test]
async fn http2_only_means_only() {
    let ca = Authority::new();
    let upstreams = Upstreams::new();
    for (alpn, words) in [(&[] as &[&[u8]], "did not agree"), (&[b"http/1.1"], "NoApplicationProtocol")] {
        let peer = honest::tls(ca.server(&["localhost"], alpn, None)).await;
        let spec = tls_spec("localhost", peer.address.port(), Http2::Only, trusting(&ca));
        refused(&upstreams, &peer, spec, words).await;
    }
}

#[tokio::test]
async fn a_plain_server_behind_an_https_url_is_a_tls_fault() {
    let ca = Authority::new();
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    let spec = tls_spec("127.0.0.1", peer.address.port(), Http2::Off, trusting(&ca));
    // It waits for a request line that a handshake does not have.
    let limit = std::time::Duration::from_millis(300);
    let upstream = Upstreams::new().adopt(UpstreamSpec { connect_timeout: limit, ..spec });
    let fault = send(&upstream, &post("x")).await.unwrap_err().fault;
    assert!(matches!(fault, Fault::UpstreamTls | Fault::UpstreamConnect), "{fault:?}");
    assert!(peer.seen().is_empty());
}

#[tokio::test]
async fn unusable_material_makes_a_server_unusable_with_a_reason() {
    let ca = Authority::new();
    let peer = honest::tls(ca.server(&["localhost"], &[], None)).await;
    let port = peer.address.port();
    let upstreams = Upstreams::new();
    let (chain, _) = ca.client();
    let bad_key = TlsSpec { client: Some((chain, Secret::new(b"canary".to_vec()))), ..trusting(&ca) };
    let upstream = upstreams.adopt(tls_spec("localhost", port, Http2::Off, bad_key));
    assert!(upstream.status()[0].problem.is_some());
    let undelivered = send(&upstream, &post("x")).await.unwrap_err();
    assert_eq!(undelivered.fault, Fault::UpstreamTls);
    assert!(!undelivered.detail.contains("canary"));
    let other_key = TlsSpec { client: Some((ca.client().0, ca.client().1)), ..trusting(&ca) };
    refused(&upstreams, &peer, tls_spec("localhost", port, Http2::Off, other_key), "InvalidCert").await;
    assert_eq!(peer.seen().len(), 0);
}

#[tokio::test]
async fn plain_servers_of_an_upstream_with_tls_settings_stay_plain() {
    let ca = Authority::new();
    let peer = honest::h1(|_| honest::OK.to_owned()).await;
    accepted(&Upstreams::new(), UpstreamSpec { tls: Some(trusting(&ca)), ..spec(&[peer.address]) }).await;
}

/// Runs itself in a process whose root certificates cannot be read.
#[tokio::test]
async fn a_machine_without_root_certificates_serves_upstreams_with_their_own() {
    const MARK: &str = "DMZ_RELAY_TEST_WITHOUT_ROOTS";
    if std::env::var_os(MARK).is_none() {
        let name = "tls::a_machine_without_root_certificates_serves_upstreams_with_their_own";
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let child = child
            .args(["--exact", name])
            .env(MARK, "1")
            .env("SSL_CERT_FILE", "/nonexistent")
            .env_remove("SSL_CERT_DIR");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let upstreams = Upstreams::new();
    assert!(upstreams.roots_problem().is_some());
    let ca = Authority::new();
    let peer = honest::tls(ca.server(&["localhost"], &[], None)).await;
    let spec = tls_spec("localhost", peer.address.port(), Http2::Off, trusting(&ca));
    refused(&upstreams, &peer, UpstreamSpec { tls: None, ..spec.clone() }, "UnknownIssuer").await;
    accepted(&upstreams, spec).await;
}
