//! Senders: a wire for exact bytes, and an HTTP/2 connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::SupportedKxGroup;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Answer, Authority, Call, LONG, Pair};

pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// How a sender does TLS.
#[derive(Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    name: String,
    versions: Vec<&'static SupportedProtocolVersion>,
    client: Option<(Vec<CertificateDer<'static>>, Vec<u8>)>,
    sni: bool,
    ciphers: Vec<CipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
    source: Option<std::net::IpAddr>,
}

impl Tls {
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(authority.der())).unwrap();
        Self {
            roots: Arc::new(roots),
            name: "relay.example".into(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            client: None,
            sni: true,
            ciphers: Vec::new(),
            groups: Vec::new(),
            source: None,
        }
    }

    /// The name that is asked for and that the certificate must have.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub fn without_sni(mut self) -> Self {
        self.sni = false;
        self
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Speaks these ciphers only.
    pub fn ciphers(mut self, ciphers: &[CipherSuite]) -> Self {
        self.ciphers = ciphers.to_vec();
        self
    }

    /// Speaks these groups only, and offers a share of the first one.
    pub fn groups(mut self, groups: &[&'static dyn SupportedKxGroup]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    pub fn showing(self, pair: &Pair) -> Self {
        self.chain(std::slice::from_ref(&pair.der), &pair.key_der)
    }

    /// A chain as it is, leaf first, whether it makes sense or not.
    pub fn chain(mut self, chain: &[Vec<u8>], key: &[u8]) -> Self {
        self.client = Some((chain.iter().cloned().map(CertificateDer::from).collect(), key.to_vec()));
        self
    }

    /// The address that connections come from: any of 127.0.0.0/8.
    pub fn from(mut self, source: &str) -> Self {
        self.source = Some(source.parse().unwrap());
        self
    }

    pub fn config(&self, alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if !self.ciphers.is_empty() {
            provider.cipher_suites.retain(|suite| self.ciphers.contains(&suite.suite()));
        }
        if !self.groups.is_empty() {
            provider.kx_groups.clone_from(&self.groups);
        }
        let provider = Arc::new(provider);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_webpki_verifier(
                WebPkiServerVerifier::builder_with_provider(Arc::clone(&self.roots), Arc::clone(&provider))
                    .build()
                    .unwrap(),
            );
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::try_from(key.clone()).unwrap();
                let key = provider.key_provider.load_private_key(key).unwrap();
                // Whatever the chain says: the library would show none that it finds wrong.
                let shown = SingleCertAndKey::from(CertifiedKey::new(chain.clone(), key));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_sni = self.sni;
        Arc::new(config)
    }

    pub async fn tcp(&self, address: SocketAddr) -> TcpStream {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }.unwrap();
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).unwrap();
        }
        let stream = timeout(LONG, socket.connect(address)).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// The handshake over a connection that exists.
    pub async fn over<S: Io>(&self, stream: S, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<S>> {
        let name = ServerName::try_from(self.name.clone()).unwrap();
        timeout(LONG, TlsConnector::from(config).connect(name, stream)).await.unwrap()
    }

    /// `Err` where the relay does not accept the handshake, be it in its middle or, with TLS 1.3, behind its end.
    pub async fn try_connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.tcp(address).await;
        self.over(stream, self.config(&[b"http/1.1"])).await
    }

    pub async fn connect(&self, address: SocketAddr) -> Wire {
        Wire::new(self.try_connect(address).await.unwrap())
    }

    pub async fn h2(&self, address: SocketAddr) -> H2 {
        let stream = self.tcp(address).await;
        H2::over(self.over(stream, self.config(&[b"h2"])).await.unwrap()).await
    }
}

/// A connection for exact bytes.
pub struct Wire {
    io: Box<dyn Io>,
    buffer: Vec<u8>,
}

impl Wire {
    pub fn new(io: impl Io + 'static) -> Self {
        Self { io: Box::new(io), buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes).await.is_ok(), "the relay closed the connection");
    }

    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        timeout(LONG, async {
            self.io.write_all(bytes.as_ref()).await?;
            self.io.flush().await
        })
        .await
        .expect("the relay reads")
    }

    /// Nothing more will be sent; answers can still come.
    pub async fn half_close(&mut self) {
        timeout(LONG, self.io.shutdown()).await.unwrap().unwrap();
    }

    /// The next answer, a `100 Continue` included.
    pub async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("an answer, not the end of the connection")
    }

    /// The answer to HEAD: its length announces a body that does not come.
    pub async fn head_answer(&mut self) -> Answer {
        self.read_answer(false).await.expect("an answer, not the end of the connection")
    }

    pub async fn try_answer(&mut self) -> Option<Answer> {
        self.read_answer(true).await
    }

    async fn read_answer(&mut self, with_body: bool) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        let status = status_line.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let fields: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let length = fields.iter().find(|(name, _)| with_body && name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more().await, "the answer was cut");
        }
        let body = self.buffer.drain(..length).collect();
        Some(Answer::new(status, fields, body))
    }

    /// The relay closed, and sent nothing more before it did.
    pub async fn ended(&mut self) {
        while self.more().await {}
        assert!(self.buffer.is_empty(), "{:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Reads; false at the end of the connection, orderly or not.
    async fn more(&mut self) -> bool {
        let read = timeout(LONG, self.io.read_buf(&mut self.buffer)).await.expect("an answer or the end in time");
        matches!(read, Ok(1..))
    }
}

/// An HTTP/2 connection.
pub struct H2 {
    requests: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

impl H2 {
    pub async fn over(io: impl Io + 'static) -> Self {
        let (requests, connection) = h2::client::handshake(io).await.unwrap();
        Self { requests, driver: tokio::spawn(connection) }
    }

    pub async fn send(&mut self, call: &Call) -> Answer {
        self.try_send(call).await.unwrap()
    }

    pub async fn try_send(&mut self, call: &Call) -> Result<Answer, h2::Error> {
        let answer = self.start(call).await?;
        timeout(LONG, answer).await.expect("an answer in time")
    }

    /// Sends the request; the answer comes later.
    pub async fn start(
        &mut self,
        call: &Call,
    ) -> Result<impl Future<Output = Result<Answer, h2::Error>> + use<>, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, mut stream) = requests.send_request(call.h2(), call.body.is_empty())?;
        let mut body = Bytes::from(call.body.clone());
        let sender = tokio::spawn(async move {
            while !body.is_empty() {
                stream.reserve_capacity(body.len());
                // A relay that has answered already wants no more.
                let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
                    return;
                };
                let part = body.split_to(room.min(body.len()));
                if stream.send_data(part, body.is_empty()).is_err() {
                    return;
                }
            }
        });
        Ok(async move {
            let answer = read(response).await;
            sender.abort();
            answer
        })
    }

    /// A stream whose body the test writes itself.
    pub async fn open(&mut self, call: &Call) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(call.h2(), false).unwrap()
    }

    /// The connection ends, after a GOAWAY or with the socket: whose goodbye comes first is a race between two ends.
    pub async fn ended(self) {
        drop(self.requests);
        let ended = timeout(LONG, self.driver).await.expect("the end in time").unwrap();
        assert!(ended.as_ref().err().is_none_or(h2::Error::is_io), "{ended:?}");
    }

    /// Whether the relay said that it takes no more streams.
    pub async fn is_going_away(&self) -> bool {
        self.requests.clone().ready().await.is_err()
    }
}

pub async fn read(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(Answer::new(head.status.as_u16(), fields, body))
}
