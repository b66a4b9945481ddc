//! Asks a running relay: for the commands that talk to one, and for tests.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::HOST;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::runtime::snapshot::AdminAddress;

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
            Self::Connect(place, error) => {
                write!(f, "cannot reach the relay at {place}: {error}{}", advice(error.kind()))
            }
            Self::Exchange(what) => write!(f, "the relay gave no answer: {what}"),
            Self::Timeout(after) => write!(f, "the relay gave no answer within {} s", after.as_secs()),
        }
    }
}

/// What to look at.
fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is it running, and is this its [admin] address?"
        }
        io::ErrorKind::PermissionDenied => "; join the group dmz-relay-admin, to which the socket belongs, or use sudo",
        _ => "",
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

/// Asks for a reload and waits for what comes of it. `version`: the file was put back to what this one said.
pub async fn reload(address: &AdminAddress, version: Option<u64>) -> Result<Answer, ClientError> {
    let query = version.map(|version| format!("?rollback={version}")).unwrap_or_default();
    within(RELOAD_TIMEOUT, ask(address, Method::POST, &format!("/api/v1/reload{query}"))).await
}

/// Asks many questions, and keeps its connection between them.
#[derive(Debug)]
pub struct Caller {
    address: AdminAddress,
    kept: Option<Kept>,
}

/// A connection that can be used again.
#[derive(Debug)]
struct Kept {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
    opened: Instant,
    used: Instant,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The relay ends a connection after five minutes, whatever is under way on it.
const CONNECTION_AGE: Duration = Duration::from_secs(60);
/// The relay ends an idle one after five seconds.
const CONNECTION_IDLE: Duration = Duration::from_secs(2);

impl Caller {
    /// Connects when it is asked for the first time.
    pub fn new(address: AdminAddress) -> Self {
        Self { address, kept: None }
    }

    /// Asks; the answer must be there `within` this time.
    pub async fn ask(&mut self, method: Method, path: &str, limit: Duration) -> Result<Answer, ClientError> {
        within(limit, self.exchange(method, path)).await
    }

    async fn exchange(&mut self, method: Method, path: &str) -> Result<Answer, ClientError> {
        let mut kept = self.kept().await?;
        let request = request(method, path, &host(&self.address))?;
        let response = kept.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let answer = read(response).await?;
        kept.used = Instant::now();
        // Whatever went wrong above ended with the connection dropped.
        self.kept = Some(kept);
        Ok(answer)
    }

    async fn kept(&mut self) -> Result<Kept, ClientError> {
        let young = |kept: &Kept| kept.opened.elapsed() < CONNECTION_AGE && kept.used.elapsed() < CONNECTION_IDLE;
        if let Some(mut kept) = self.kept.take().filter(young)
            && kept.sender.ready().await.is_ok()
        {
            return Ok(kept);
        }
        let stream = connect(&self.address).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // Its errors are reported to whoever waits for the answer.
        let driver = tokio::spawn(async { drop(connection.await) });
        let now = Instant::now();
        Ok(Kept { sender, driver, opened: now, used: now })
    }
}

async fn within(
    limit: Duration,
    asking: impl Future<Output = Result<Answer, ClientError>>,
) -> Result<Answer, ClientError> {
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(ClientError::Timeout(limit)))
}

async fn ask(address: &AdminAddress, method: Method, path: &str) -> Result<Answer, ClientError> {
    Caller::new(address.clone()).exchange(method, path).await
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn connect(address: &AdminAddress) -> Result<Box<dyn Stream>, ClientError> {
    match address {
        AdminAddress::Tcp(address) => match TcpStream::connect(address).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(ClientError::Connect(address.to_string(), error)),
        },
        AdminAddress::Unix(file) => match UnixStream::connect(file).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(ClientError::Connect(format!("unix:{}", file.display()), error)),
        },
    }
}

fn host(address: &AdminAddress) -> String {
    match address {
        AdminAddress::Tcp(address) => address.to_string(),
        AdminAddress::Unix(_) => "localhost".to_owned(),
    }
}

fn request(method: Method, path: &str, host: &str) -> Result<Request<Empty<Bytes>>, ClientError> {
    let request = Request::builder().method(method).uri(path).header(HOST, host).body(Empty::new());
    request.map_err(|error| broken(&error))
}

async fn read(response: Response<Incoming>) -> Result<Answer, ClientError> {
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER).collect().await;
    Ok(Answer { status, body: body.map_err(|error| broken(&error))?.to_bytes() })
}

fn broken(error: &dyn fmt::Display) -> ClientError {
    ClientError::Exchange(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_look_at() {
        let text = |kind| ClientError::Connect("unix:/run/x".into(), io::Error::from(kind)).to_string();
        for (kind, part) in [
            (io::ErrorKind::NotFound, "is it running"),
            (io::ErrorKind::ConnectionRefused, "is it running"),
            (io::ErrorKind::PermissionDenied, "join the group"),
        ] {
            assert!(text(kind).starts_with("cannot reach the relay at unix:/run/x: "), "{}", text(kind));
            assert!(text(kind).contains(part), "{}", text(kind));
        }
        assert!(!text(io::ErrorKind::TimedOut).contains(';'));
    }
}
