//! Connections from an address of choice, and the few messages that are said over them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::any_certificate::AnyCertificate;

/// The name of the certificate.
pub const NAME: &str = "localhost";
/// The route that is attacked, where no other one is said.
pub const PATH: &str = "/hooks/github";
/// The webhook that an attacker has captured.
pub const CAPTURED: u64 = 0;
/// What a webhook carries.
pub const BODY: usize = 1800;

/// A client that believes exactly this certificate, and resumes where it has been before.
pub fn honest(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}

/// A client that looks at nothing, because an attacker has better uses for his time, and resumes nothing, because that would
/// spare the other side's.
pub fn blind(protocol: &[u8]) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let mut config = builder.with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

/// Where genuine senders sit that have been here before: no attacker has it.
pub const KNOWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// An address that nobody else has.
pub fn first_time(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 64, 0, 0).to_bits() + number)
}

/// The n-th attacker's address; genuine senders have others.
pub fn address(number: usize) -> Ipv4Addr {
    let number = u8::try_from(number % 250).unwrap();
    Ipv4Addr::new(127, 0, 1, number + 1)
}

/// A connection from this address, with so little room for what is received, where that is said.
pub async fn tcp(from: Ipv4Addr, port: u16, room: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(room) = room {
        socket.set_recv_buffer_size(room)?;
    }
    socket.bind(SocketAddrV4::new(from, 0).into())?;
    let stream = socket.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same, with TLS.
pub async fn tls(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

/// The n-th body: each is another one, as a provider's are.
pub fn body(number: u64) -> Vec<u8> {
    let start = format!("{{\"number\":{number:020},\"padding\":\"");
    format!("{start}{}\"}}", "x".repeat(BODY - start.len() - 2)).into_bytes()
}

/// As GitHub signs it.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(body);
    data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// A webhook of GitHub's kind. `number` makes its id; `padding` is what its head has for nothing.
pub fn webhook(path: &str, signature: &str, number: u64, padding: usize, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    [head(path, signature, number, padding, length).as_bytes(), body].concat()
}

/// The head of one, with so many bytes of body to come.
pub fn head(path: &str, signature: &str, number: u64, padding: usize, length: usize) -> String {
    let padding = if padding > 0 { format!("X-Padding: {}\r\n", "x".repeat(padding)) } else { String::new() };
    format!(
        "POST {path} HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nUser-Agent: GitHub-Hookshot/x\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-{number:012x}\r\n{padding}\
         X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Reads one answer to its end: its status, and whether the connection stays.
pub async fn answer(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> io::Result<(u16, bool)> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head)) = parsed.parse(buffer) else { continue };
        let field = |name: &str| {
            let found = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            found.and_then(|field| std::str::from_utf8(field.value).ok())
        };
        let length: usize = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let stays = !field("connection").is_some_and(|options| options.eq_ignore_ascii_case("close"));
        let status = parsed.code.unwrap_or_default();
        while buffer.len() < head + length {
            if stream.read_buf(buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok((status, stays));
    }
}
