//! The private listener: health, readiness, metrics, status, reload, and the history of requests.
//!
//! It stands on a Unix socket, where the kernel says who calls: whoever may connect looks, operators act, readers see bodies. Over
//! TCP, where nobody knows who calls, it answers metrics, health and readiness alone. No request can change what the files say. Every connection, head, body and answer is bounded, so that a monitoring
//! system gone wild cannot harm the gate, and nobody keeps health checks and reloads out by opening connections and reading
//! no answer. Pages in a browser cannot use it: a foreign `Origin` or a `Host` that is a
//! name (DNS rebinding) is turned away.

pub mod accounts;
pub mod actions;
mod bind;
pub mod client;
pub mod configuration;
pub mod events;
mod exports;
mod places;
mod respond;
mod roles;
mod router;
pub mod status;
mod unread;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use bind::Socket;
pub use bind::{BindError, Bound, Exposure, without_folder};
use configuration::{Configuring, Running, VersionList};
use events::{EventSource, Waiting};
use exports::Exports;
use places::{Place, Places};
use roles::Caller;
pub use router::{ACTIONS, Access, ENDPOINTS, Endpoint, Verb};
use status::{ReloadReport, Status};
use unread::Unread;

use crate::config::versions::Version;
use crate::observe::AdminAction;
use crate::runtime::snapshot::Roles;

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
    /// Who may do what, by the configuration in force.
    fn roles(&self) -> Roles;
    /// Somebody acted, or was refused it.
    fn acted(&self, action: &AdminAction<'_>);
    /// Reads the configuration again.
    fn reload(&self) -> Reloading<'_>;
    /// The text that is in force.
    fn running(&self) -> Configuring<'_, Running>;
    /// The configurations that were in force.
    fn versions(&self) -> Configuring<'_, VersionList>;
    /// One of them with its text.
    fn version(&self, number: u64) -> Configuring<'_, Version>;
}

/// Where a request came from, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    /// Through the socket: the file system let it in, and the kernel says who it is.
    Unix(Caller),
    /// Nobody knows who.
    Tcp,
}

/// What goes on over several requests.
#[derive(Debug, Default)]
struct Ongoing {
    waiting: Waiting,
    exports: Exports,
}

impl Bound {
    /// Serves until dropped; then every connection ends at once and the Unix socket is removed.
    pub async fn serve<S: AdminSource + EventSource>(self, source: Arc<S>) {
        let (places, ongoing) = (Arc::new(Places::default()), Arc::new(Ongoing::default()));
        let mut connections = JoinSet::new();
        loop {
            let accepted = match &self.socket {
                Socket::Tcp(listener) => {
                    listener.accept().await.map(|(stream, _)| (Box::new(stream) as Stream, Peer::Tcp))
                }
                Socket::Unix { listener, file } => listener.accept().await.and_then(|(stream, _)| {
                    let (caller, own) = (stream.peer_cred()?, file.owner());
                    let owner = caller.uid() == 0 || caller.uid() == own;
                    let caller = Caller { uid: caller.uid(), gid: caller.gid(), pid: caller.pid(), owner };
                    Ok((Box::new(stream) as Stream, Peer::Unix(caller)))
                }),
            };
            while connections.try_join_next().is_some() {}
            let Ok((stream, peer)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(place) = Places::take(&places) else { continue };
            let (source, ongoing, served_by) = (Arc::clone(&source), Arc::clone(&ongoing), place.served_by());
            let task = connections.spawn(connection(stream, peer, self.exposure, source, ongoing, place));
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
    ongoing: Arc<Ongoing>,
    place: Place,
) {
    let (source, ongoing, place) = (&*source, &*ongoing, &place);
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(respond::respond(source, ongoing, place, peer, exposure, request).await)
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
