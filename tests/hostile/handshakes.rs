//! G4: TLS, with handshakes made by hand. What a library can send, `tests/relay/tls.rs` and `tests/config/handshake.rs` have.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::{HandshakeKind, NamedGroup};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::harness::{Call, LONG, Protocol, Rig, Setup, Wire};
use crate::table::setup;

const HANDSHAKE: u8 = 0x16;
const ALERT: u8 = 0x15;
/// The alert that says that nothing fits.
const HANDSHAKE_FAILURE: u8 = 40;
/// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: what the rig's certificate can serve.
const GOOD: &[u8] = &[0xc0, 0x2b];

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized(content)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &sized(&[&[0][..], &sized(name)].concat()))
}

/// A ClientHello of TLS 1.2 with these ciphers, and extensions beside those that it needs.
fn hello(ciphers: &[u8], more: &[u8]) -> Vec<u8> {
    hello_that_checks(&[4, 3, 8, 4, 5, 3], ciphers, more)
}

/// The same, of a client that can check signatures of these schemes only.
fn hello_that_checks(schemes: &[u8], ciphers: &[u8], more: &[u8]) -> Vec<u8> {
    let needed =
        [extension(10, &sized(&[0, 0x1d, 0, 0x17])), extension(11, &[1, 0]), extension(13, &sized(schemes))].concat();
    let body = [&[3, 3][..], &[7; 32], &[0], &sized(ciphers), &[1, 0], &sized(&[&needed, more].concat())].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1][..], &length[1..], &body].concat()
}

/// A handshake message in records of at most this many bytes.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &sized(part)].concat()).collect()
}

/// The kind of the first record that the relay sends, or nothing.
async fn first_record(rig: &Rig, bytes: &[u8]) -> Option<u8> {
    let mut stream = rig.tls().tcp(rig.address).await;
    let _ = timeout(LONG, stream.write_all(bytes)).await.expect("the relay reads");
    let mut said = [0; 1];
    let read = timeout(LONG, stream.read(&mut said)).await.expect("an answer or the end in time");
    matches!(read, Ok(1)).then_some(said[0])
}

/// The fatal alert that the relay answers with before it closes.
async fn alert(rig: &Rig, bytes: &[u8]) -> u8 {
    let mut stream = rig.tls().tcp(rig.address).await;
    let _ = timeout(LONG, stream.write_all(bytes)).await.expect("the relay reads");
    let mut said = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut said)).await.expect("the relay closes");
    match said[..] {
        [ALERT, _, _, 0, 2, 2, description] => description,
        _ => panic!("not one fatal alert: {said:?}"),
    }
}

/// 47: the row above the others shows that it is the cipher that is refused, and not the handshake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ciphers_that_are_broken() {
    let rig = Rig::plain().await;
    assert_eq!(first_record(&rig, &records(&hello(GOOD, &[]), 1 << 14)).await, Some(HANDSHAKE));
    for (what, cipher) in [
        ("NULL", [0x00, 0x02]),
        ("NULL with ECDHE", [0xc0, 0x06]),
        ("export", [0x00, 0x03]),
        ("RC4", [0x00, 0x05]),
        ("RC4 with ECDHE", [0xc0, 0x07]),
        ("3DES", [0x00, 0x0a]),
        ("3DES with ECDHE", [0xc0, 0x08]),
        ("anonymous", [0xc0, 0x18]),
        ("CBC with SHA-1", [0xc0, 0x09]),
        ("CBC with SHA-256", [0xc0, 0x23]),
        ("static RSA", [0x00, 0x9c]),
        ("the downgrade signal alone", [0x56, 0x00]),
    ] {
        assert_eq!(alert(&rig, &records(&hello(&cipher, &[]), 1 << 14)).await, HANDSHAKE_FAILURE, "{what}");
    }
    // SSLv2, which has no records.
    let v2 = [&[0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10][..], &[1, 0, 0x80].repeat(7), &[7; 16]].concat();
    assert_ne!(first_record(&rig, &v2).await, Some(HANDSHAKE), "SSLv2");
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// 47: the rig's certificate is of ECDSA. Who can only check RSA hears that nothing fits, and the log says what did not.
///
/// `access_denied`, which rustls says when it is given no certificate, is another matter (RFC 8446 section 6.2), and scanners
/// that probe for attacks on RSA take it for a fault of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_check_the_certificate_hears_that_nothing_fits() {
    const RSA: &[u8] = &[8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1];
    let rig = Rig::plain().await;
    let share = extension(51, &sized(&[&[0, 0x1d][..], &sized(&[9; 32])].concat()));
    let tls13 = [extension(43, &[2, 3, 4]), share].concat();
    let explained = |why: &str| {
        let lines = rig.log.lines();
        let line = lines.iter().rfind(|line| line["event"] == "connection_refused").unwrap();
        assert!(line["detail"].as_str().unwrap().contains(why), "{line}");
    };
    for (ciphers, more, why) in [
        (&[0xc0, 0x2f][..], vec![], "NoCipherSuitesInCommon"),
        (&[0x00, 0x9c, 0x00, 0x2f], vec![], "NoCipherSuitesInCommon"),
        (GOOD, vec![], "NoSignatureSchemesInCommon"),
        (GOOD, server_name(b"no.example"), "NoSignatureSchemesInCommon"),
    ] {
        let hello = hello_that_checks(RSA, ciphers, &more);
        rig.connection_refused("handshake_failed", async {
            assert_eq!(alert(&rig, &records(&hello, 1 << 14)).await, HANDSHAKE_FAILURE, "{ciphers:?}");
        })
        .await;
        explained(why);
    }
    // In TLS 1.3 the alert comes sealed, behind the ServerHello.
    let hello = hello_that_checks(RSA, &[0x13, 0x01], &tls13);
    rig.connection_refused("handshake_failed", async {
        assert_eq!(first_record(&rig, &records(&hello, 1 << 14)).await, Some(HANDSHAKE));
    })
    .await;
    explained("NoSignatureSchemesInCommon");
    // The same hellos of a client that can, so that it is nothing else that they lack.
    let ecdsa = hello_that_checks(&[4, 3], &[0x13, 0x01], &tls13);
    assert_eq!(first_record(&rig, &records(&ecdsa, 1 << 14)).await, Some(HANDSHAKE));
    let named = hello_that_checks(&[4, 3], GOOD, &server_name(b"no.example"));
    assert_eq!(first_record(&rig, &records(&named, 1 << 14)).await, Some(HANDSHAKE));
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// 24: names that are none. Whatever the answer, it is an orderly one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_names_that_are_odd() {
    let rig = Rig::plain().await;
    let long = "a".repeat(300);
    for name in ["127.0.0.1", "::1", "", ".", "a..b", "\0", "relay.example\0", "rel\u{e4}y.example", "-", &long, "*"] {
        let seen = first_record(&rig, &records(&hello(GOOD, &server_name(name.as_bytes())), 1 << 14)).await;
        assert!(matches!(seen, Some(HANDSHAKE | ALERT)), "{name:?}: {seen:?}");
    }
    let twice = [server_name(b"relay.example"), server_name(b"other.example")].concat();
    assert_eq!(first_record(&rig, &records(&hello(GOOD, &twice), 1 << 14)).await, Some(ALERT));
    rig.delivers(Protocol::H2, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// 52: sizes and shapes that libraries never send, and some that browsers do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_of_odd_shape() {
    let rig = Rig::plain().await;
    let padding = |length: usize| extension(21, &vec![0; length]);
    let grease = [extension(0x0a0a, &[]), extension(0xfafa, &[0])].concat();
    for (what, bytes, expected) in [
        ("in records of one byte", records(&hello(GOOD, &[]), 1), None),
        ("with GREASE", records(&hello(&[0x0a, 0x0a, 0xc0, 0x2b], &grease), 1 << 14), Some(HANDSHAKE)),
        ("larger than a segment", records(&hello(GOOD, &padding(1800)), 1 << 14), Some(HANDSHAKE)),
        ("with 60 000 bytes of extensions", records(&hello(GOOD, &padding(60_000)), 1 << 14), None),
        ("that says it has 16 MiB", [&[HANDSHAKE, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff][..], &[0; 4000]].concat(), None),
        (
            "with empty records",
            records(&hello(GOOD, &[]), 9).iter().copied().chain([HANDSHAKE, 3, 1, 0, 0].repeat(100)).collect(),
            None,
        ),
        ("with a record beyond all sizes", vec![HANDSHAKE, 3, 1, 0xff, 0xff], Some(ALERT)),
    ] {
        let seen = first_record(&rig, &bytes).await;
        match expected {
            Some(kind) => assert_eq!(seen, Some(kind), "{what}"),
            None => assert!(matches!(seen, None | Some(HANDSHAKE | ALERT)), "{what}: {seen:?}"),
        }
    }
    rig.delivers(Protocol::H1, &Call::post("/hooks/plain")).await;
    rig.finish().await;
}

/// 51: the deadline is one for the whole handshake, and no byte renews it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_in_drops_ends_with_its_deadline() {
    let rig = Rig::start(Setup::default().limits("handshake_timeout = \"400ms\"")).await;
    rig.connection_refused("handshake_timeout", async {
        let mut stream = rig.tls().tcp(rig.address).await;
        let hello = records(&hello(GOOD, &[]), 1 << 14);
        let mut sent = 0;
        for byte in &hello {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            let mut said = [0; 1];
            if timeout(Duration::from_millis(20), stream.read(&mut said)).await.is_ok() {
                break;
            }
            sent += 1;
        }
        // All of them take ten times as long as the deadline, and more on a busy machine.
        assert!(sent < hello.len(), "each byte renewed the deadline");
    })
    .await;
    rig.finish().await;
}

/// 49: a ticket does not allow early data, so a library that would send some does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_early_data() {
    let rig = Rig::plain().await;
    let tls = rig.tls();
    let mut config = (*tls.config(&[b"http/1.1"])).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    for resumed in [false, true] {
        let stream = tls.over(tls.tcp(rig.address).await, Arc::clone(&config)).await.unwrap();
        let (_, session) = stream.get_ref();
        assert!(!session.is_early_data_accepted());
        let kind = session.handshake_kind();
        assert_eq!(kind == Some(HandshakeKind::Resumed), resumed, "{kind:?}");
        let mut wire = Wire::new(stream);
        wire.send(Call::post("/hooks/plain").h1()).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    rig.finish().await;
}

/// Keeps the tickets of a sender, and writes into each that the relay would take early data.
#[derive(Debug)]
struct Forged(ClientSessionMemoryCache);

impl ClientSessionStore for Forged {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(name, value);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.0.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, mut value: Tls13ClientSessionValue) {
        value._private_set_max_early_data_size(1 << 14);
        self.0.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

/// 49: a sender that sends a whole request as early data all the same, as an attacker would who recorded one. It is skipped:
/// only what comes behind the handshake is a request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_data_that_is_forced_is_never_a_request() {
    let rig = Rig::plain().await;
    let tls = rig.tls();
    let mut config = (*tls.config(&[b"http/1.1"])).clone();
    config.enable_early_data = true;
    config.resumption = Resumption::store(Arc::new(Forged(ClientSessionMemoryCache::new(8))));
    let config = Arc::new(config);
    let mut first = Wire::new(tls.over(tls.tcp(rig.address).await, Arc::clone(&config)).await.unwrap());
    first.send(Call::post("/hooks/plain").h1()).await;
    assert_eq!(first.answer().await.status, 200);

    let name = ServerName::try_from("relay.example").unwrap();
    let tcp = tls.tcp(rig.address).await;
    let connecting = TlsConnector::from(config).connect_with(name, tcp, |session| {
        let mut early = session.early_data().expect("the ticket allows it");
        early.write_all(&Call::post("/hooks/plain?early").h1()).unwrap();
    });
    let stream = timeout(LONG, connecting).await.unwrap().unwrap();
    let (_, session) = stream.get_ref();
    assert_eq!(session.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!session.is_early_data_accepted());
    let mut wire = Wire::new(stream);
    wire.send(Call::post("/hooks/plain?late").h1()).await;
    assert_eq!(wire.answer().await.status, 200);
    let seen = rig.app.seen();
    assert_eq!(seen.iter().map(|seen| seen.target()).collect::<Vec<_>>(), ["/hooks/plain", "/hooks/plain?late"]);
    rig.finish().await;
}

/// 48: OpenSSL's client asks for another handshake in the middle, as an attacker would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renegotiation_is_refused() {
    // OpenSSL waits for the relay's end, and that for a head.
    let rig = Rig::start(setup().limits("head_timeout = \"10s\"")).await;
    let address = rig.address.to_string();
    let said = tokio::task::spawn_blocking(move || {
        let arguments = ["s_client", "-connect", &address, "-tls1_2", "-servername", "relay.example"];
        let started = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return Err(error),
        };
        // It reads a command only when it comes as a line of its own; the end of its input ends it.
        let mut input = child.stdin.take().unwrap();
        let _ = input.write_all(b"R\n");
        let _ = input.flush();
        let output = child.wait_with_output()?;
        drop(input);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    });
    match timeout(LONG, said).await.expect("the relay ends the connection").unwrap() {
        Err(error) => println!("skipped, needs openssl: {error}"),
        Ok(said) => {
            assert!(said.contains("RENEGOTIATING"), "{said}");
            assert!(said.contains("no renegotiation"), "{said}");
        }
    }
    assert_eq!(rig.app.connections(), 0);
    rig.finish().await;
}
