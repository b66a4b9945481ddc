//! A stop while senders come: who was let in is answered, and who is still outside finds the next process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::json;

use crate::harness::{Application, Installation, LONG, Manner, Running};

const REQUEST: &[u8] = b"POST /hooks/open HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";

/// A route without a secret, and limits that a busy machine does not reach.
fn installation(application: &Application) -> Installation {
    let installation = Installation::new(&application.url);
    let text = installation.read("relay.toml");
    let text = text.replace(
        "drain_timeout = \"30s\"\n",
        "drain_timeout = \"30m\"\nhandshake_timeout = \"1m\"\nhead_timeout = \"1m\"\n",
    );
    let route = "[routes.open]\npath = \"/hooks/open\"\nverify.dangerously_none = true\nupstream = \"application\"\n";
    installation.write("relay.toml", &(text + route));
    installation
}

/// A sender that does its handshake step by step.
struct Sender {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Sender {
    /// Connects and says hello.
    fn hello(installation: &Installation, address: &str, protocol: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(installation.read("relay.crt").as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut sender = Self { tls, socket };
        sender.tls.write_tls(&mut sender.socket).unwrap();
        sender
    }

    /// The same, and the relay has said something: this one was let in, and its handshake is half done.
    fn half(installation: &Installation, address: &str, protocol: &[u8]) -> Self {
        let sender = Self::hello(installation, address, protocol);
        assert_eq!(sender.socket.peek(&mut [0]).unwrap(), 1);
        sender
    }

    fn stream(&mut self) -> Stream<'_, ClientConnection, TcpStream> {
        Stream::new(&mut self.tls, &mut self.socket)
    }

    /// One request, and everything until the relay closes.
    fn ask_and_listen(mut self) -> String {
        self.stream().write_all(REQUEST).unwrap();
        let mut said = String::new();
        self.stream().read_to_string(&mut said).unwrap();
        said
    }

    /// One stream, and the frames until the relay closes: kind, stream and payload.
    fn stream_and_listen(mut self) -> Vec<(u8, u32, Vec<u8>)> {
        let literal = |index: u8, text: &str| [&[index, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let head = [vec![0x83, 0x87], literal(0x04, "/hooks/open"), literal(0x01, "localhost")].concat();
        let length = u8::try_from(head.len()).unwrap();
        let opening =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], &[0, 0, length, 1, 5, 0, 0, 0, 1], &head];
        self.stream().write_all(&opening.concat()).unwrap();
        let (mut said, mut frames) = (Vec::new(), Vec::new());
        loop {
            let mut piece = [0; 4096];
            let read = self.stream().read(&mut piece).unwrap();
            if read == 0 {
                return frames;
            }
            said.extend_from_slice(&piece[..read]);
            while let [a, b, c, kind, flags, d, e, f, g, rest @ ..] = &said[..] {
                let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                let Some(payload) = rest.get(..length) else { break };
                // PING: the relay waits for the answer to know that its GOAWAY was heard.
                if (*kind, flags & 1) == (6, 0) {
                    let answer = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], payload].concat();
                    let _ = self.stream().write_all(&answer);
                }
                frames.push((*kind, u32::from_be_bytes([*d, *e, *f, *g]), payload.to_vec()));
                said.drain(..9 + length);
            }
        }
    }
}

#[track_caller]
fn answered_and_closed(said: &str) {
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said:?}");
    assert!(said.contains("\r\nconnection: close\r\n"), "{said:?}");
}

/// Over a socket that the service manager keeps: nobody is lost between two processes.
#[test]
fn who_was_let_in_before_a_stop_is_answered() {
    let application = Application::start(Manner::Prompt);
    let installation = installation(&application);
    let text = installation.read("relay.toml").replace("\"127.0.0.1:0\"", "\"systemd:public\"");
    installation.write("relay.toml", &text);
    let passed = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut relay = Running::passed(&installation, &passed);
    let address = relay.public.clone();

    let mut kept = Sender::half(&installation, &address, b"http/1.1");
    kept.stream().write_all(REQUEST).unwrap();
    let mut first = [0; 15];
    kept.stream().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let mut half: Vec<_> = (0..3).map(|_| Sender::half(&installation, &address, b"http/1.1")).collect();
    let h2: Vec<_> = (0..2).map(|_| Sender::half(&installation, &address, b"h2")).collect();
    // One that has said all of a handshake, and half a head.
    let mut headed = half.remove(0);
    headed.stream().write_all(&REQUEST[..30]).unwrap();

    relay.signal("TERM");
    relay.event("draining");
    // Whoever comes now waits for the next process, which is this one here.
    let next = Sender::hello(&installation, &address, b"http/1.1");
    let (waiting, from) = passed.accept().unwrap();
    assert_eq!(from, next.socket.local_addr().unwrap());
    drop((waiting, next));

    let mut rest = Vec::new();
    kept.stream().read_to_end(&mut rest).unwrap();
    assert!(!rest.windows(9).any(|part| part == b"HTTP/1.1 "), "nothing more was asked on this one");
    for sender in half {
        answered_and_closed(&sender.ask_and_listen());
    }
    for sender in h2 {
        let frames = sender.stream_and_listen();
        let status = frames.iter().find(|(kind, stream, _)| (*kind, *stream) == (1, 1)).expect("an answer");
        assert_eq!(status.2[0], 0x88, "200");
        let goaway = frames.iter().rfind(|(kind, ..)| *kind == 7).expect("a GOAWAY");
        assert_eq!(goaway.2[..8], [0, 0, 0, 1, 0, 0, 0, 0], "after the stream, and for no error");
    }
    headed.stream().write_all(&REQUEST[30..]).unwrap();
    let mut said = String::new();
    headed.stream().read_to_string(&mut said).unwrap();
    answered_and_closed(&said);
    assert_eq!(relay.event("stopped")["unfinished"], json!(0));
    assert_eq!(relay.ended(), 0);
    assert_eq!(application.arrived().len(), 6);
}

/// A socket of the relay's own is closed with it, and the kernel resets who was connected and not yet accepted. So they are accepted.
#[test]
fn who_waits_at_the_relays_own_socket_is_let_in_before_it_closes() {
    let application = Application::start(Manner::Prompt);
    let installation = installation(&application);
    let mut relay = Running::start(&installation);
    relay.signal("STOP");
    let senders: Vec<_> = (0..8).map(|_| Sender::hello(&installation, &relay.public.clone(), b"http/1.1")).collect();
    relay.signal("TERM");
    relay.signal("CONT");
    for sender in senders {
        answered_and_closed(&sender.ask_and_listen());
    }
    assert_eq!(relay.event("stopped")["unfinished"], json!(0));
    assert_eq!(relay.ended(), 0);
}
