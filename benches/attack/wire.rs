//! Connections from an address of choice, and the few messages that are said over them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::any_certificate::AnyCertificate;

/// The name of the certificate.
pub const NAME: &str = "localhost";
/// What a webhook carries.
pub const BODY: usize = 1800;

/// A client that believes exactly this certificate.
pub fn honest(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let builder = ClientConfig::builder_with_provider(default_provider().into());
    Arc::new(builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth())
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

/// The n-th attacker's address; genuine senders have one outside of these.
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

/// The body that everybody sends.
pub fn body() -> Vec<u8> {
    format!("{{\"a\":\"{}\"}}", "x".repeat(BODY - 8)).into_bytes()
}

/// A webhook of GitHub's kind. `number` makes its id.
pub fn webhook(signature: &str, number: u64, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\nUser-Agent: GitHub-Hookshot/x\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-{number:012x}\r\n\
         X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
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
