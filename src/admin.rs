//! The private listener: health, readiness, metrics, status, reload, and the history of requests.
//!
//! It stands on loopback or on a Unix socket. Who reaches it from this machine may also read the history, which holds
//! personal data, and have stored requests sent inward again; no request can change what the files say. Every connection, head, body and answer is bounded, so that a monitoring
//! system gone wild cannot harm the gate, and nobody keeps health checks and reloads out by opening connections and reading
//! no answer. Pages in a browser cannot use it: a foreign `Origin` or a `Host` that is a
//! name (DNS rebinding) is turned away.

mod bind;
pub mod client;
pub mod events;
mod places;
mod respond;
mod router;
pub mod status;
mod unread;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use bind::Socket;
pub use bind::{BindError, Bound, Exposure};
use events::{EventSource, Waiting};
use places::{Place, Places};
pub use router::{Access, ENDPOINTS, Endpoint, Verb};
use status::{ReloadReport, Status};
use unread::Unread;

/// For a whole request head, and between two requests of one connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For everything on one connection: a scraper that stays opens a new one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest request head in bytes (hyper's smallest).
const HEAD: usize = 8 * 1024;
/// After a failed accept (no file descriptors left): time for some to become free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A reload that was asked for. `None`: the relay is shutting down.
pub type Reloading<'a> = Pin<Box<dyn Future<Output = Option<ReloadReport>> + Send + 'a>>;

/// What the admin listener shows and can do.
pub trait AdminSource: Send + Sync + 'static {
    /// Whether listeners accept connections and nothing drains.
    fn ready(&self) -> bool;
    /// Everything that `status` shows.
    fn status(&self) -> Status;
    /// Every metric in Prometheus's text format.
    fn metrics(&self) -> String;
    /// Reads the configuration again.
    fn reload(&self) -> Reloading<'_>;
}

/// Where a request came from, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// The file system let it in.
    Unix,
    /// The same machine, through loopback.
    Loopback,
    /// Another machine, where the configuration exposes the listener.
    Remote,
}

impl Peer {
    fn of(address: SocketAddr) -> Self {
        if address.ip().to_canonical().is_loopback() { Self::Loopback } else { Self::Remote }
    }
}

impl Bound {
    /// Serves until dropped; then every connection ends at once and the Unix socket is removed.
    pub async fn serve<S: AdminSource + EventSource>(self, source: Arc<S>) {
        let (places, waiting) = (Arc::new(Places::default()), Arc::new(Waiting::default()));
        let mut connections = JoinSet::new();
        loop {
            let accepted = match &self.socket {
                Socket::Tcp(listener) => {
                    listener.accept().await.map(|(stream, from)| (Box::new(stream) as Stream, Peer::of(from)))
                }
                Socket::Unix { listener, .. } => {
                    listener.accept().await.map(|(stream, _)| (Box::new(stream) as Stream, Peer::Unix))
                }
            };
            while connections.try_join_next().is_some() {}
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(place) = Places::take(&places) else { continue };
            let (source, waiting, served_by) = (Arc::clone(&source), Arc::clone(&waiting), place.served_by());
            let task = connections.spawn(connection(stream, peer, self.exposure, source, waiting, place));
            let _ = served_by.set(task);
        }
    }
}

/// A TCP or Unix connection.
type Stream = Box<dyn Io>;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

async fn connection<S: AdminSource + EventSource>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    exposure: Exposure,
    source: Arc<S>,
    waiting: Arc<Waiting>,
    place: Place,
) {
    let (source, waiting, place) = (&*source, &*waiting, &place);
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(respond::respond(source, waiting, place, peer, exposure, request).await)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(Unread::new(stream)), service);
    // What a client did wrong on its connection was answered there; nobody else needs to know.
    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await;
}

#[cfg(test)]
mod tests;
