//! The compiled TLS settings, in real handshakes: versions, names, client certificates, and what a ticket opens.

use std::sync::Arc;

use dmz_relay::config::Loaded;
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use crate::any_certificate::AnyCertificate;
use crate::material::Material;

fn client(material: &Material, versions: &[&'static SupportedProtocolVersion], certificate: bool) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate));
    let mut config = if certificate {
        let chain = CertificateDer::pem_file_iter(material.path("certs/chain.crt")).expect("a chain");
        let key = PrivateKeyDer::from_pem_file(material.path("certs/relay.key")).expect("a key");
        builder.with_client_auth_cert(chain.map(|der| der.expect("a certificate")).collect(), key).expect("a pair")
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
    config
}

/// One handshake in memory, and a little data so that tickets arrive.
fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("writes");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("reads");
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("writes");
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("reads");
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn file(listeners: &[&str]) -> String {
    let mut text = String::new();
    for (number, tls) in listeners.iter().enumerate() {
        text.push_str(&format!(
            "[[listeners]]\nname = \"l{number}\"\naddress = \"127.0.0.1:{}\"\n{tls}\n",
            8443 + number
        ));
    }
    text + "[upstreams.crm]\nservers = [\"http://127.0.0.1:9000\"]\n[routes.github]\npath = \"/hooks/github\"\n\
            provider = \"github\"\nsecrets = [{ file = \"secrets/good\" }]\nupstream = \"crm\"\n"
}

fn servers(material: &Material, listeners: &[&str]) -> Vec<Arc<ServerConfig>> {
    let Loaded { snapshot, .. } = material.load(file(listeners)).unwrap_or_else(|report| panic!("{report}"));
    let server = |listener: &Arc<dmz_relay::runtime::snapshot::Listener>| {
        Arc::clone(&listener.tls.as_ref().expect("TLS").server)
    };
    snapshot.listeners.iter().map(server).collect()
}

const CHAIN: &str = r#"certificates = [{ chain = "certs/relay.crt", key = "certs/relay.key" }]"#;
const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn the_oldest_version_is_kept_to() {
    let material = Material::new();
    let tls = format!("tls = {{ min_version = \"1.3\", {CHAIN} }}");
    let both = servers(&material, &[&format!("tls = {{ {CHAIN} }}")]).remove(0);
    let only = servers(&material, &[&tls]).remove(0);
    let old = Arc::new(client(&material, &[&rustls::version::TLS12], false));
    let new = Arc::new(client(&material, BOTH, false));
    let version =
        |server, client| shake(server, client, "hooks.example.com").map(|(client, _)| client.protocol_version());
    assert_eq!(version(&both, &old), Ok(Some(ProtocolVersion::TLSv1_2)));
    assert_eq!(version(&both, &new), Ok(Some(ProtocolVersion::TLSv1_3)));
    assert_eq!(version(&only, &new), Ok(Some(ProtocolVersion::TLSv1_3)));
    assert!(version(&only, &old).is_err());
    let (client, _) = shake(&both, &new, "hooks.example.com").expect("shakes hands");
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn client_certificates_are_asked_for_as_configured() {
    let material = Material::new();
    let listener = |required: bool| {
        format!("tls = {{ {CHAIN}, client_auth = {{ ca = \"certs/ca.crt\", required = {required} }} }}")
    };
    let configs = servers(&material, &[&listener(true), &listener(false)]);
    let with = Arc::new(client(&material, BOTH, true));
    let without = Arc::new(client(&material, BOTH, false));
    let shown = |server: usize, client: &Arc<ClientConfig>| {
        shake(&configs[server], client, "hooks.example.com").map(|(_, server)| server.peer_certificates().is_some())
    };
    assert!(shown(0, &without).is_err(), "required, and none shown");
    assert_eq!(shown(1, &without), Ok(false));
    assert_eq!(shown(0, &with), Ok(true));
    assert_eq!(shown(1, &with), Ok(true));
}

/// A session with a listener that asks for nothing must not open one that asks for a certificate.
#[test]
fn a_ticket_opens_its_own_listener_and_no_stricter_one() {
    let material = Material::new();
    let open = format!("tls = {{ {CHAIN} }}");
    let strict = format!("tls = {{ {CHAIN}, client_auth = {{ ca = \"certs/ca.crt\" }} }}");
    let before = servers(&material, &[&open, &strict]);
    let after = servers(&material, &[&open, &strict]);
    let client = Arc::new(client(&material, BOTH, false));
    let kind = |server| shake(server, &client, "hooks.example.com").map(|(client, _)| client.handshake_kind());
    assert_eq!(kind(&before[0]), Ok(Some(HandshakeKind::Full)));
    assert_eq!(kind(&after[0]), Ok(Some(HandshakeKind::Resumed)), "tickets outlive a reload");
    assert!(kind(&after[1]).is_err(), "a ticket of the open listener opened the strict one");
}

/// What a stolen ticket key opens is hours old at most: rustls makes a new one every six hours and forgets the one before the
/// last. A ticket whose key is gone, here because another process sealed it, costs its sender a whole handshake and no more.
#[test]
fn tickets_live_for_hours_and_their_keys_in_memory_only() {
    let (material, elsewhere) = (Material::new(), Material::new());
    let listener = format!("tls = {{ {CHAIN} }}");
    let here = servers(&material, &[&listener]).remove(0);
    let there = servers(&elsewhere, &[&listener]).remove(0);
    assert!(here.ticketer.enabled());
    assert!((1..=12 * 60 * 60).contains(&here.ticketer.lifetime()), "{}", here.ticketer.lifetime());
    assert!(!here.session_storage.can_cache(), "no session is kept here");
    assert_eq!((here.max_early_data_size, here.send_tls13_tickets), (0, 1));
    for version in BOTH {
        let client = Arc::new(client(&material, &[*version], false));
        let kind = |server| shake(server, &client, "hooks.example.com").map(|(client, _)| client.handshake_kind());
        assert_eq!(kind(&here), Ok(Some(HandshakeKind::Full)));
        assert_eq!(kind(&here), Ok(Some(HandshakeKind::Resumed)));
        assert_eq!(kind(&there), Ok(Some(HandshakeKind::Full)));
    }
}
