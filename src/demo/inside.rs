//! The applications behind the relay: small HTTP servers that remember what reached them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::DemoError;
use crate::base::Secret;

/// Largest body that is taken; the relay's own limit is lower.
const LARGEST: usize = 32 * 1024 * 1024;
/// Requests that are remembered.
const REMEMBERED: usize = 8;
/// Connections at a time; the demo needs a handful.
const CONNECTIONS: usize = 256;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A request as the application got it.
#[derive(Clone)]
pub(super) struct Arrived {
    /// Path and query.
    pub(super) target: String,
    pub(super) body: Bytes,
    pub(super) request_id: String,
}

#[derive(Default)]
struct Seen {
    count: u64,
    last: VecDeque<Arrived>,
}

/// An application that runs until it is dropped.
pub(super) struct Inside {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _task: JoinSet<()>,
}

impl Inside {
    /// Takes everything; with a key only what carries it as `api-key`, as an Octolis endpoint does.
    pub(super) async fn start(key: Option<Secret>) -> Result<Self, DemoError> {
        let failed = |error| DemoError::Io("the application's socket", error);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(&seen), key.map(Arc::new)));
        Ok(Self { address, seen, _task: task })
    }

    /// How many requests arrived.
    pub(super) fn count(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// The newest one.
    pub(super) fn last(&self) -> Option<Arrived> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.back().cloned()
    }
}

async fn accept(listener: TcpListener, seen: Arc<Mutex<Seen>>, key: Option<Arc<Secret>>) {
    let mut connections = JoinSet::new();
    // An accept that fails ends the demo's application: there is nobody to keep it up for.
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            continue;
        }
        let (seen, key) = (Arc::clone(&seen), key.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &seen, key.as_deref()));
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that ended is the relay's to open again.
            let _ = serving.await;
        });
    }
}

/// An application's own answer: the provider must never see it.
async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Seen>,
    key: Option<&Secret>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let request_id =
        request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let reply = |status: StatusCode, body: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        Ok(response)
    };
    let Ok(body) = Limited::new(request.into_body(), LARGEST).collect().await else {
        return reply(StatusCode::BAD_REQUEST, "");
    };
    let admitted = key.is_none_or(|key| carries(&target, key));
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.count += 1;
        if seen.last.len() == REMEMBERED {
            seen.last.pop_front();
        }
        seen.last.push_back(Arrived { target, body: body.to_bytes(), request_id });
    }
    if admitted {
        reply(StatusCode::ACCEPTED, "{\"internal\":\"queued in shard 3\"}")
    } else {
        reply(StatusCode::UNAUTHORIZED, "no key")
    }
}

fn carries(target: &str, key: &Secret) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.strip_prefix("api-key=")).any(|value| key.matches(value.as_bytes()))
}
