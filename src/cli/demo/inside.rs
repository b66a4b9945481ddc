//! The applications behind the relay: small HTTP servers that remember what reached them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use super::DemoError;
use crate::base::Secret;

/// Largest body that is taken; the relay's own limit is lower.
const LARGEST: usize = 32 * 1024 * 1024;
/// Requests that are remembered.
const REMEMBERED: usize = 64;
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

/// What outlives a stop.
struct Memory {
    seen: Mutex<Seen>,
    /// Answers 500 to everything.
    broken: AtomicBool,
    /// With a key only what carries it as `api-key`, as an Octolis endpoint does.
    key: Option<Secret>,
}

/// An application that runs until it is stopped or dropped.
pub(super) struct Inside {
    pub(super) address: SocketAddr,
    memory: Arc<Memory>,
    serving: Option<Serving>,
    /// Keeps the address while nobody listens there: whoever connects is refused.
    parked: Option<TcpSocket>,
}

struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn failed(error: std::io::Error) -> DemoError {
    DemoError::Io("the application's socket", error)
}

impl Inside {
    /// Takes everything; with a key only what carries it.
    pub(super) async fn start(key: Option<Secret>) -> Result<Self, DemoError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let memory = Arc::new(Memory { seen: Mutex::default(), broken: AtomicBool::new(false), key });
        let serving = Some(Serving::begin(listener, &memory));
        Ok(Self { address, memory, serving, parked: None })
    }

    /// Closes every connection and listens no more.
    pub(super) async fn stop(&mut self) -> Result<(), DemoError> {
        if let Some(serving) = self.serving.take() {
            serving.end().await;
        }
        let socket = TcpSocket::new_v4().map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(self.address).map_err(failed)?;
        self.parked = Some(socket);
        Ok(())
    }

    /// Listens again, at the same address.
    pub(super) fn start_again(&mut self) -> Result<(), DemoError> {
        if let Some(socket) = self.parked.take() {
            let listener = socket.listen(128).map_err(failed)?;
            self.serving = Some(Serving::begin(listener, &self.memory));
        }
        Ok(())
    }

    /// Whether it answers 500 to everything.
    pub(super) fn set_broken(&self, broken: bool) {
        self.memory.broken.store(broken, Ordering::SeqCst);
    }

    /// How many requests arrived and were not answered 500.
    pub(super) fn count(&self) -> u64 {
        self.seen().count
    }

    /// The newest one.
    pub(super) fn last(&self) -> Option<Arrived> {
        self.seen().last.back().cloned()
    }

    /// The newest ones, the oldest of them first.
    pub(super) fn arrived(&self) -> Vec<Arrived> {
        self.seen().last.iter().cloned().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Serving {
    fn begin(listener: TcpListener, memory: &Arc<Memory>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, Arc::clone(memory), stopped));
        Self { stop, task }
    }

    async fn end(mut self) {
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.stop, unused).send(());
        let _ = (&mut self.task).await;
    }
}

async fn accept(listener: TcpListener, memory: Arc<Memory>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => break,
            // An accept that fails ends the demo's application: there is nobody to keep it up for.
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => break,
            },
        };
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS {
            continue;
        }
        let memory = Arc::clone(&memory);
        connections.spawn(async move {
            let service = service_fn(|request| answer(request, &memory));
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that ended is the relay's to open again.
            let _ = serving.await;
        });
    }
    drop(listener);
    connections.shutdown().await;
}

/// An application's own answer: the provider must never see it.
async fn answer(request: Request<Incoming>, memory: &Memory) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let field =
        |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let request_id = field("x-request-id");
    let reply = |status: StatusCode, body: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = status;
        Ok(response)
    };
    let Ok(body) = Limited::new(request.into_body(), LARGEST).collect().await else {
        return reply(StatusCode::BAD_REQUEST, "");
    };
    if memory.broken.load(Ordering::SeqCst) {
        return reply(StatusCode::INTERNAL_SERVER_ERROR, "{\"internal\":\"no shard takes this\"}");
    }
    let admitted = memory.key.as_ref().is_none_or(|key| carries(&target, key));
    {
        let mut seen = memory.seen.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stopped_application_refuses_connections_and_keeps_its_address() {
        let mut inside = Inside::start(None).await.unwrap();
        let connect = || tokio::net::TcpStream::connect(inside.address);
        let open = connect().await.unwrap();
        let address = inside.address;
        inside.stop().await.unwrap();
        // The connection that was open is gone as well.
        open.readable().await.unwrap();
        assert!(matches!(open.try_read(&mut [0; 1]), Ok(0) | Err(_)));
        let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        inside.start_again().unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap();
    }
}
