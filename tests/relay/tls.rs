//! Certificates, versions, protocols, resumption, and certificates that change while the relay runs.

use std::sync::Arc;

use dmz_relay::control::app::ReloadOutcome;
use dmz_relay::domain::Refusal;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CipherSuite, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::client_certificates::asking;
use crate::harness::{Answer, Authority, BOTH, Call, LONG, Protocol, Rig, Setup, Tls, Wire};

/// Three certificates, of which the files stand under `certs/`. Their authority is not the rig's own.
fn several(authority: &Authority) -> Setup {
    let mut setup = Setup::default();
    let mut entries = Vec::new();
    for (name, names) in
        [("a", &["a.example", "127.0.0.1"][..]), ("b", &["b.example", "deep.wild.example"]), ("w", &["*.wild.example"])]
    {
        let pair = authority.issue(names);
        entries.push(format!("{{ chain = \"certs/{name}.crt\", key = \"certs/{name}.key\" }}"));
        setup = setup.file(&format!("certs/{name}.crt"), pair.chain).file(&format!("certs/{name}.key"), pair.key);
    }
    setup.certificates = format!("[{}]", entries.join(", "));
    setup
}

async fn over(protocol: Protocol, tls: &Tls, rig: &Rig, call: &Call) -> Answer {
    match protocol {
        Protocol::H1 => {
            let mut wire = tls.connect(rig.address).await;
            wire.send(call.h1()).await;
            wire.answer().await
        }
        Protocol::H2 => tls.h2(rig.address).await.send(call).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let authority = Authority::new();
    let rig = Rig::start(several(&authority)).await;
    for name in ["a.example", "b.example", "x.wild.example", "deep.wild.example", "A.EXAMPLE"] {
        for protocol in BOTH {
            // The client itself checks that the certificate has the name.
            let tls = Tls::trusting(&authority).name(name);
            let answer = over(protocol, &tls, &rig, &Call::post("/hooks/plain").host(name)).await;
            assert_eq!(answer.status, 200, "{name}");
        }
    }
    for name in ["c.example", "x.y.wild.example", "wild.example"] {
        let refused = Tls::trusting(&authority).name(name).try_connect(rig.address).await;
        assert!(refused.is_err(), "no certificate has the name {name}");
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_name_the_first_certificate_serves() {
    let authority = Authority::new();
    let rig = Rig::start(several(&authority)).await;
    for tls in [Tls::trusting(&authority).name("a.example").without_sni(), Tls::trusting(&authority).name("127.0.0.1")]
    {
        for protocol in BOTH {
            assert_eq!(over(protocol, &tls, &rig, &Call::post("/hooks/plain").host("a.example")).await.status, 200);
            rig.refused(Refusal::HostMisdirected, async {
                over(protocol, &tls, &rig, &Call::post("/hooks/plain").host("b.example")).await
            })
            .await;
        }
    }
    rig.finish().await;
}

/// A connection that was opened for one certificate's names cannot ask for another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_than_the_connections_is_misdirected() {
    let authority = Authority::new();
    let rig = Rig::start(several(&authority)).await;
    for (sni, host) in [
        ("a.example", "b.example"),
        ("b.example", "a.example"),
        ("b.example", "x.wild.example"),
        ("x.wild.example", "a.example"),
        ("x.wild.example", "wild.example"),
        ("x.wild.example", "a.x.wild.example"),
    ] {
        let tls = Tls::trusting(&authority).name(sni);
        for protocol in BOTH {
            rig.refused(Refusal::HostMisdirected, async {
                over(protocol, &tls, &rig, &Call::post("/hooks/plain").host(host)).await
            })
            .await;
        }
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions() {
    let rig = Rig::plain().await;
    for version in [&TLS12, &TLS13] {
        for protocol in BOTH {
            let answer = over(protocol, &rig.tls().version(version), &rig, &Call::post("/hooks/plain")).await;
            assert_eq!(answer.status, 200, "{version:?}");
        }
    }
    rig.finish().await;
    let rig = Rig::start(Setup::default().tls("min_version = \"1.3\"")).await;
    rig.connection_refused("handshake_failed", async {
        assert!(rig.tls().version(&TLS12).try_connect(rig.address).await.is_err());
    })
    .await;
    assert_eq!(over(Protocol::H2, &rig.tls().version(&TLS13), &rig, &Call::post("/hooks/plain")).await.status, 200);
    rig.finish().await;
}

/// A ClientHello by hand, for versions that no library here speaks any more.
fn client_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = [&version[..], &[7; 32], &[0], &[0, 4, 0xc0, 0x13, 0, 0x2f], &[1, 0]].concat();
    let length = u8::try_from(hello.len()).unwrap();
    hello.splice(0..0, [1, 0, 0, length]);
    [&[0x16, 3, 1, 0, length + 4][..], &hello].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_get_an_alert() {
    let rig = Rig::plain().await;
    for version in [[3, 0], [3, 1], [3, 2]] {
        rig.connection_refused("handshake_failed", async {
            let mut stream = rig.tls().tcp(rig.address).await;
            stream.write_all(&client_hello(version)).await.unwrap();
            let mut said = Vec::new();
            let _ = timeout(LONG, stream.read_to_end(&mut said)).await.unwrap();
            assert!(matches!(said[..], [0x15, _, _, 0, 2, 2, 40 | 70]), "a fatal alert and nothing else: {said:?}");
        })
        .await;
    }
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocols_are_agreed_on() {
    let rig = Rig::plain().await;
    let tls = rig.tls();
    for (offered, agreed) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[&b"http/1.1"[..], b"h2"], Some(b"h2")),
        (&[&b"http/1.1"[..]], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = tls.over(tls.tcp(rig.address).await, tls.config(offered)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        if agreed != Some(b"h2") {
            let mut wire = Wire::new(stream);
            wire.send(Call::post("/hooks/plain").h1()).await;
            assert_eq!(wire.answer().await.status, 200);
        }
    }
    rig.connection_refused("handshake_failed", async {
        let refused = tls.over(tls.tcp(rig.address).await, tls.config(&[b"http/0.9"])).await;
        assert_eq!(alert(refused.err()), AlertDescription::NoApplicationProtocol);
    })
    .await;
    rig.finish().await;
}

/// What the relay said when it refused.
fn alert(error: Option<std::io::Error>) -> AlertDescription {
    let error = error.expect("a refused handshake");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {error}"),
    }
}

/// AES-128 costs a handshake least; what a client cannot do, it is not made to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ciphers_are_the_relays_choice() {
    use rustls::CipherSuite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
    };
    let rig = Rig::plain().await;
    let chosen = async |tls: Tls| {
        let stream = tls.try_connect(rig.address).await.unwrap();
        stream.get_ref().1.negotiated_cipher_suite().unwrap().suite()
    };
    // The rig's client would rather have AES-256, as OpenSSL's would.
    assert_eq!(chosen(rig.tls().version(&TLS13)).await, TLS13_AES_128_GCM_SHA256);
    assert_eq!(chosen(rig.tls().version(&TLS12)).await, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    for only in [
        TLS13_AES_256_GCM_SHA384,
        TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ] {
        let version = if format!("{only:?}").starts_with("TLS13") { &TLS13 } else { &TLS12 };
        assert_eq!(chosen(rig.tls().version(version).ciphers(&[only])).await, only);
    }
    rig.finish().await;
}

/// What is recorded today stays secret when X25519 can be broken; a client that knows only the older groups is served by these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_exchange_is_hybrid_for_whoever_can() {
    use rustls::NamedGroup;
    use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519, X25519MLKEM768};
    let rig = Rig::plain().await;
    for (groups, chosen, kind) in [
        (&[X25519MLKEM768, X25519][..], NamedGroup::X25519MLKEM768, HandshakeKind::Full),
        // It offers a share of the first alone, and no round trip is spent to ask for another one.
        (&[X25519, X25519MLKEM768], NamedGroup::X25519, HandshakeKind::Full),
        (&[X25519, SECP256R1], NamedGroup::X25519, HandshakeKind::Full),
        (&[SECP256R1], NamedGroup::secp256r1, HandshakeKind::Full),
    ] {
        let tls = rig.tls().version(&TLS13).groups(groups);
        let stream = tls.try_connect(rig.address).await.unwrap();
        let connection = stream.get_ref().1;
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!((group, connection.handshake_kind().unwrap()), (chosen, kind), "{groups:?}");
    }
    rig.finish().await;
}

/// RFC 7627: without it, what two sides agreed on in TLS 1.2 can be carried over to a third.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_extended_master_secret_is_agreed_on() {
    let rig = Rig::plain().await;
    let tls = rig.tls().version(&TLS12);
    let mut config = (*tls.config(&[b"http/1.1"])).clone();
    config.require_ems = true;
    let config = Arc::new(config);
    assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Full);
    assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Resumed);
    rig.finish().await;
}

/// One name with two kinds of key. Each client gets what it can check, and never another name's certificate for want of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_the_client_can_check() {
    const ECDSA: &[CipherSuite] = &[CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    const RSA: &[CipherSuite] = &[CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256];
    let authority = Authority::new();
    let pairs = [authority.issue(&["a.example"]), authority.issue_rsa(&["a.example"]), authority.issue(&["b.example"])];
    let mut setup = Setup::default();
    let mut entries = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        entries.push(format!("{{ chain = \"certs/{number}.crt\", key = \"certs/{number}.key\" }}"));
        setup = setup.file(&format!("certs/{number}.crt"), pair.chain.clone());
        setup = setup.file(&format!("certs/{number}.key"), pair.key.clone());
    }
    setup.certificates = format!("[{}]", entries.join(", "));
    let rig = Rig::start(setup).await;
    let client = |name: &str, ciphers| Tls::trusting(&authority).version(&TLS12).name(name).ciphers(ciphers);
    for (name, ciphers, served) in [("a.example", ECDSA, 0), ("a.example", RSA, 1), ("b.example", ECDSA, 2)] {
        let stream = client(name, ciphers).try_connect(rig.address).await.unwrap();
        assert_eq!(
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(),
            pairs[served].der,
            "{name} {ciphers:?}"
        );
        let answer = over(Protocol::H1, &client(name, ciphers), &rig, &Call::post("/hooks/plain").host(name)).await;
        assert_eq!(answer.status, 200);
    }
    // Without a name, likewise.
    let stream = client("a.example", RSA).without_sni().try_connect(rig.address).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec(), pairs[1].der);
    rig.connection_refused("handshake_failed", async {
        let refused = client("b.example", RSA).try_connect(rig.address).await;
        assert_eq!(alert(refused.err()), AlertDescription::HandshakeFailure);
    })
    .await;
    rig.finish().await;
}

/// One request over a connection of this client: how the handshake went.
async fn kind(rig: &Rig, tls: &Tls, config: &Arc<rustls::ClientConfig>) -> HandshakeKind {
    let stream = tls.over(tls.tcp(rig.address).await, Arc::clone(config)).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    let mut wire = Wire::new(stream);
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    kind
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_resume_across_a_reload() {
    let mut rig = Rig::plain().await;
    for version in [&TLS12, &TLS13] {
        let tls = rig.tls().version(version);
        let config = tls.config(&[b"http/1.1"]);
        assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Full);
        assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Resumed, "{version:?}");
        rig.apply(|setup| setup.limits.push_str("\nidle_timeout = \"59s\"\n#")).await;
        assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Resumed, "{version:?} after a reload");
        rig.setup.limits.clear();
    }
    rig.finish().await;
}

/// A ticket is no way around an authority that was taken away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_authority_does_not_live_on_in_tickets() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut rig = Rig::start(asking(true, &old)).await;
    let tls = rig.tls().showing(&old.issue(&["sender"]));
    let config = tls.config(&[b"http/1.1"]);
    assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Full);
    assert_eq!(kind(&rig, &tls, &config).await, HandshakeKind::Resumed);
    rig.apply(|setup| setup.files = vec![("certs/senders.crt".into(), new.pem().into_bytes())]).await;
    let Ok(stream) = tls.over(tls.tcp(rig.address).await, config).await else { return rig.finish().await };
    assert_ne!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    let mut wire = Wire::new(stream);
    let _ = wire.try_send(Call::post("/hooks/plain").h1()).await;
    assert!(wire.try_answer().await.is_none());
    rig.finish().await;
}

/// The certificate that a new connection is shown.
async fn shown(rig: &Rig) -> Vec<u8> {
    let stream = rig.tls().try_connect(rig.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_replaced_while_connections_live() {
    let rig = Rig::plain().await;
    let (mut wire, mut h2) = (rig.connect().await, rig.h2().await);
    let before = shown(&rig).await;
    let pair = rig.authority.issue(&["relay.example"]);
    rig.replace("certs/relay.crt", &pair.chain);
    rig.replace("certs/relay.key", &pair.key);
    // A look between the two writes may have found a pair that does not match, and kept the old one.
    let outcome = rig.reload().await;
    assert!(!matches!(outcome, ReloadOutcome::Kept(_)), "{outcome:?}");
    assert_eq!(shown(&rig).await, pair.der);
    assert_ne!(before, pair.der);
    wire.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(wire.answer().await.status, 200, "what was open stays open");
    assert_eq!(h2.send(&Call::post("/hooks/plain")).await.status, 200);
    // The new one has fewer names; the old connections were opened under the old one.
    wire.send(Call::post("/hooks/plain").host("other.example").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    let mut fresh = rig.connect().await;
    fresh.send(Call::post("/hooks/plain").host("other.example").h1()).await;
    assert_eq!(fresh.answer().await.status, 421);
    rig.finish().await;
}

/// Loud while it runs, and no reload waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_served_certificate_that_expires_is_an_error_line_and_freezes_no_reload() {
    let mut rig = Rig::plain().await;
    let pair = rig.authority.issue_until(&["relay.example"], 2031);
    rig.replace("certs/relay.crt", &pair.chain);
    rig.replace("certs/relay.key", &pair.key);
    assert!(!matches!(rig.reload().await, ReloadOutcome::Kept(_)));
    // It is good from 2020 to 2030: the last third begins in May 2027.
    rig.status().await;
    assert_eq!((rig.log.events("certificate_ending").len(), rig.log.events("certificate_expired").len()), (0, 0));
    let day = std::time::Duration::from_hours(24);
    rig.clock.advance(day * 180);
    rig.status().await;
    let line = rig.log.wait("certificate_ending", |_| true).await;
    assert_eq!((&line["level"], &line["names"]), (&"warn".into(), &"relay.example".into()), "{line}");
    rig.clock.advance(day * 1400);
    rig.status().await;
    let line = rig.log.wait("certificate_expired", |_| true).await;
    assert_eq!((&line["level"], &line["listener"]), (&"error".into(), &"public".into()), "{line}");
    assert_eq!(line["not_after"], "2031-01-01T00:00:00Z");
    rig.status().await;
    assert_eq!(rig.log.events("certificate_expired").len(), 1, "once a day");
    let end = rig.metric("dmz_relay_certificate_not_after_timestamp_seconds", &[("name", "relay.example")]);
    assert_eq!(end, 1_924_992_000.0);

    // Three in the morning: somebody must be kept out.
    rig.apply(|setup| setup.listener = "deny = [\"127.0.0.0/8\"]".into()).await;
    rig.connection_refused("address_denied", async {
        let mut said = Vec::new();
        let mut stream = rig.tls().tcp(rig.address).await;
        let _ = AsyncReadExt::read_to_end(&mut stream, &mut said).await;
        assert_eq!(said, b"");
    })
    .await;
    // Another one that has expired is a mistake, and the one that is served stays.
    let other = rig.authority.issue_until(&["relay.example"], 2026);
    rig.replace("certs/relay.crt", &other.chain);
    rig.replace("certs/relay.key", &other.key);
    let ReloadOutcome::Kept(report) = rig.reload().await else { panic!("an expired one was put in its place") };
    assert!(report.to_string().contains("expired on 2026-01-01"), "{report}");
    rig.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_that_cannot_serve_changes_nothing() {
    let rig = Rig::plain().await;
    let before = shown(&rig).await;
    let original =
        [std::fs::read(rig.path("certs/relay.crt")).unwrap(), std::fs::read(rig.path("certs/relay.key")).unwrap()];
    let (pair, other) = (rig.authority.issue(&["relay.example"]), rig.authority.issue(&["relay.example"]));
    let expired = rig.authority.issue_until(&["relay.example"], 2025);
    let cut = &pair.chain[..pair.chain.len() / 2];
    for (chain, key, why) in [
        (&*pair.chain, &*other.key, "does not belong"),
        (&*expired.chain, &*expired.key, "expired"),
        (cut, &*pair.key, "certificate"),
        ("", &*pair.key, "no certificate"),
        (&*pair.chain, "", "empty"),
        (&*pair.key, &*pair.key, "certificate"),
        (&*pair.chain, &*pair.chain, "key"),
    ] {
        rig.replace("certs/relay.crt", chain);
        rig.replace("certs/relay.key", key);
        let ReloadOutcome::Kept(report) = rig.reload().await else { panic!("taken: {why}") };
        assert!(report.to_string().contains(why), "{why}: {report}");
        assert_eq!(shown(&rig).await, before);
        assert_eq!(rig.metric("dmz_relay_config_last_reload_success", &[]), 0.0);
    }
    rig.replace("certs/relay.crt", &original[0]);
    rig.replace("certs/relay.key", &original[1]);
    assert!(matches!(rig.reload().await, ReloadOutcome::Unchanged { .. }));
    assert_eq!(rig.metric("dmz_relay_config_last_reload_success", &[]), 1.0);
    rig.finish().await;
}
