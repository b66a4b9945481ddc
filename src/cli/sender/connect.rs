//! Where a request goes, and the connection to it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{SendError, Trust};

/// An address, the name under which it is asked for, and whether over TLS.
#[derive(Clone, Debug)]
pub struct Place {
    address: SocketAddr,
    host: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Place {
    /// Over TLS; the certificate must be valid for `host` as `trust` sees it. `host` may carry a port.
    pub fn tls(address: SocketAddr, host: &str, trust: &Trust) -> Result<Self, SendError> {
        let name = without_port(host);
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| SendError::Connect(format!("`{name}` is neither a host name nor an address")))?;
        Ok(Self { address, host: host.to_owned(), tls: Some((trust.client(), server)) })
    }

    /// Without TLS.
    pub fn plain(address: SocketAddr, host: &str) -> Self {
        Self { address, host: host.to_owned(), tls: None }
    }

    /// What `Host` says.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The socket's other end.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, SendError> {
        let failed = |error: std::io::Error| SendError::Connect(format!("{}: {error}", self.address));
        let stream = TcpStream::connect(self.address).await.map_err(failed)?;
        // A small request must not wait for an acknowledgement of the one before. Without it, it is only slower.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            Some((config, server)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                speak(connector.connect(server.clone(), stream).await.map_err(failed)?).await
            }
            None => speak(stream).await,
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, SendError> {
    // Providers write their headers' names in capitals; some servers look at nothing else.
    let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(|error| SendError::Connect(error.to_string()))?;
    // The request that needed it reports how it ends.
    tokio::spawn(connection);
    Ok(sender)
}

/// `[::1]:8443` → `::1`, `a.b:8443` → `a.b`.
pub(super) fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_not_part_of_the_name() {
        for (host, name) in [
            ("a.b:1", "a.b"),
            ("a.b", "a.b"),
            ("[::1]:1", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("1.2.3.4:5", "1.2.3.4"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
