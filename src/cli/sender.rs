//! The other side of the gate: what a provider does. Signs, connects over TLS, sends, and reads the answer.
//!
//! For `send`, `demo` and tests. It speaks HTTP/1.1 over one kept connection, so that what it measures is the relay and not
//! the handshake. Deliberately absent: redirects, retries, proxies; a provider's answer is what the relay said first.

mod connect;
mod tamper;
mod trust;

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;

pub use connect::Place;
pub use tamper::tamper;
pub use trust::{Trust, TrustProblem};

/// Largest answer that is read.
const ANSWER: usize = 1024 * 1024;

/// A request as it goes over the wire, but for `Host` and `Content-Length`.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Fields in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Names only: a query and values may hold secrets.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("headers", &names)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `X-Request-Id`.
    pub request_id: Option<String>,
    /// The body.
    pub body: Bytes,
    /// From the first byte sent to the last byte read; without the time to connect.
    pub took: Duration,
}

/// Why nothing came back.
#[derive(Debug)]
pub enum SendError {
    /// No connection.
    Connect(String),
    /// The request has no form on the wire: a header or target with bytes that may not stand there.
    Unspeakable(String),
    /// The connection ended, or what came was no answer.
    Exchange(String),
    /// Too slow.
    Timeout(Duration),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection: {why}"),
            Self::Unspeakable(why) => write!(f, "the request cannot be written: {why}"),
            Self::Exchange(why) => write!(f, "no answer: {why}"),
            Self::Timeout(after) => write!(f, "no answer within {} s", after.as_secs()),
        }
    }
}

impl std::error::Error for SendError {}

/// Sends requests to one place, one after the other.
pub struct Sender {
    place: Place,
    timeout: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Sender {
    /// Connects with the first request.
    pub fn new(place: Place, timeout: Duration) -> Self {
        Self { place, timeout, connection: None }
    }

    /// Sends one request. A kept connection that has ended in the meantime is replaced before anything is sent.
    pub async fn send(&mut self, request: &Request) -> Result<Reply, SendError> {
        let limit = self.timeout;
        tokio::time::timeout(limit, self.exchange(request)).await.unwrap_or_else(|_| {
            self.connection = None;
            Err(SendError::Timeout(limit))
        })
    }

    async fn exchange(&mut self, request: &Request) -> Result<Reply, SendError> {
        let wire = self.wire(request)?;
        let mut connection = match self.kept().await {
            Some(kept) => kept,
            None => self.place.connect().await?,
        };
        let broken = |error: &dyn fmt::Display| SendError::Exchange(error.to_string());
        let started = Instant::now();
        let response = connection.send_request(wire).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let request_id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        let took = started.elapsed();
        self.connection = Some(connection);
        Ok(Reply { status, request_id, body, took })
    }

    async fn kept(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        let mut kept = self.connection.take()?;
        kept.ready().await.is_ok().then_some(kept)
    }

    fn wire(&self, request: &Request) -> Result<http::Request<Full<Bytes>>, SendError> {
        let odd = |what: &str| SendError::Unspeakable(what.to_owned());
        let mut builder = http::Request::builder().method(request.method.as_str()).uri(request.target.as_str());
        if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            builder = builder.header(HOST, self.place.host());
        }
        for (name, value) in &request.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|_| odd(&format!("`{name}` is no header name")))?;
            let value = HeaderValue::try_from(value.as_str()).map_err(|_| odd(&format!("the value of `{name}`")))?;
            builder = builder.header(name, value);
        }
        builder.body(Full::new(request.body.clone())).map_err(|_| odd("its method or target"))
    }
}

/// A random UUID (version 4), for ids that need to be new and not to be secret.
pub fn new_id() -> String {
    let random = fastrand::u128(..);
    let hex = format!("{random:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_new() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(one.get(14..15), Some("4"));
        assert!(one.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
    }

    #[test]
    fn debug_shows_no_value() {
        let request = Request {
            method: "POST".into(),
            target: "/x?api-key=canary".into(),
            headers: vec![("X-Signature".into(), "canary".into())],
            body: Bytes::from_static(b"canary"),
        };
        let text = format!("{request:?}");
        assert!(text.contains("X-Signature") && !text.contains("canary"), "{text}");
    }
}
