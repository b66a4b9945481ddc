//! Asks a running relay: for the `status` command and for tests.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::snapshot::AdminAddress;

/// For everything but a reload.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A reload reads files; the relay itself gives up after a minute.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(65);
/// Largest answer: metrics of thousands of routes.
const ANSWER: usize = 64 * 1024 * 1024;

/// What the relay said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON for `/api/`, text otherwise.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody listens there, or we may not connect.
    Connect(String, io::Error),
    /// The connection was made and what came was not an answer.
    Exchange(String),
    /// Too slow.
    Timeout(Duration),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(place, error) => write!(f, "cannot reach the relay at {place}: {error}"),
            Self::Exchange(what) => write!(f, "the relay gave no answer: {what}"),
            Self::Timeout(after) => write!(f, "the relay gave no answer within {} s", after.as_secs()),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connect(_, error) => Some(error),
            Self::Exchange(_) | Self::Timeout(_) => None,
        }
    }
}

/// Reads one of the admin listener's paths.
pub async fn get(address: &AdminAddress, path: &str) -> Result<Answer, ClientError> {
    within(TIMEOUT, ask(address, Method::GET, path)).await
}

/// Asks for a reload and waits for what comes of it.
pub async fn reload(address: &AdminAddress) -> Result<Answer, ClientError> {
    within(RELOAD_TIMEOUT, ask(address, Method::POST, "/api/v1/reload")).await
}

async fn within(
    limit: Duration,
    asking: impl Future<Output = Result<Answer, ClientError>>,
) -> Result<Answer, ClientError> {
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(ClientError::Timeout(limit)))
}

async fn ask(address: &AdminAddress, method: Method, path: &str) -> Result<Answer, ClientError> {
    match address {
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| ClientError::Connect(address.to_string(), error))?;
            exchange(stream, method, path, &address.to_string()).await
        }
        AdminAddress::Unix(file) => {
            let stream = UnixStream::connect(file).await;
            let stream = stream.map_err(|error| ClientError::Connect(unix(file), error))?;
            exchange(stream, method, path, "localhost").await
        }
    }
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

async fn exchange<S>(stream: S, method: Method, path: &str, host: &str) -> Result<Answer, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: &dyn fmt::Display| ClientError::Exchange(error.to_string());
    let request = Request::builder().method(method).uri(path).header(HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| broken(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    let answering = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        Ok(Answer { status, body: body.map_err(|error| broken(&error))?.to_bytes() })
    };
    tokio::pin!(answering);
    tokio::pin!(connection);
    tokio::select! {
        answer = &mut answering => answer,
        // The connection may end with the last byte of the answer still to be read from it.
        _ = &mut connection => answering.await,
    }
}
