//! The accept loop: caps, address filter, PROXY header, TLS handshake, then the protocol that was agreed on.
//!
//! Cheapest first. An address that no route admits is closed before TLS, and receives nothing.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::yield_now;
use tokio::time::{Duration, sleep, timeout};

use crate::domain::{SourceAddress, Via, source::canonical};
use crate::gate::pipeline::{Connection, Proven};
use crate::observe::{ConnectionRefusal, ListenerMetrics, RefusedConnection};
use crate::runtime::snapshot::{Limits, Listener, Snapshot};

use super::connections::{Connections, Of, Place};
use super::opening::{self, NotTls};
use super::proxy_header::{self, Told, Untold};
use super::tls::{NoSession, TlsStream};
use super::unproven::{Registered, Unproven};
use super::{Draining, Relay, h1, h2};

/// How long accepting pauses when the process has no descriptor left; what is connected goes on.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are accepted before everything else has its turn.
const ROUND: usize = 16;
/// As many as wait on a socket of ours at most (`app::bind`): a flood that goes on does not keep it open.
const QUEUE_MAX: usize = 4096;
/// Rounds of the runtime that somebody who was ended gets to be gone.
const LEAVING_TAKES: usize = 64;

/// A listening socket, by who keeps it when the relay stops.
#[derive(Debug)]
pub enum ListenSocket {
    /// Opened here, and closed with the relay: who has connected and was not accepted would be reset.
    Bound(TcpListener),
    /// Passed by the service manager, which keeps it open for the next start: who waits there is accepted then.
    Passed(TcpListener),
}

/// Accepts on one socket until the relay drains.
pub async fn accept(socket: ListenSocket, name: Arc<str>, relay: Arc<Relay>, mut draining: Draining) {
    let (socket, bound) = match socket {
        ListenSocket::Bound(socket) => (socket, true),
        ListenSocket::Passed(socket) => (socket, false),
    };
    let mut door = Door::new(name, &relay, draining.clone());
    loop {
        let accepted = tokio::select! {
            biased;
            _ = draining.begun() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => door.enter(stream, peer.ip()).await,
            Err(error) if is_ours(&error) => {
                let (detail, reason) = (error.to_string(), ConnectionRefusal::AcceptFailed);
                refused(&relay, &door.metrics, &door.name, None, reason, Some(&detail));
                sleep(PAUSE).await;
            }
            Err(_) => {}
        }
    }
    if let Some(socket) = bound.then(|| socket.into_std().ok()).flatten() {
        door.enter_all(&socket).await;
    }
}

/// Where connections come in.
struct Door<'r> {
    name: Arc<str>,
    relay: &'r Arc<Relay>,
    current: Cache<&'r ArcSwap<Snapshot>, Arc<Snapshot>>,
    listener: Option<Arc<Listener>>,
    metrics: Arc<ListenerMetrics>,
    draining: Draining,
    entered: usize,
}

impl<'r> Door<'r> {
    fn new(name: Arc<str>, relay: &'r Arc<Relay>, draining: Draining) -> Self {
        let metrics = Arc::new(relay.gate.observer.listener(&name));
        Self { name, relay, current: relay.current(), listener: None, metrics, draining, entered: 0 }
    }

    /// Everybody who waits on a socket that is about to be closed. Asked of the kernel itself, because the runtime may not have
    /// noticed the last ones yet.
    async fn enter_all(&mut self, socket: &std::net::TcpListener) {
        for _ in 0..QUEUE_MAX {
            match socket.accept() {
                Ok((stream, peer)) => {
                    let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
                    if let Ok(stream) = stream {
                        self.enter(stream, peer.ip()).await;
                    }
                }
                Err(error) if is_ours(&error) => return,
                Err(_) => {}
            }
        }
    }

    async fn enter(&mut self, stream: TcpStream, peer: IpAddr) {
        let snapshot = self.current.load();
        // A reload cannot take a listener away; until the restart it asks for, the last known settings hold.
        if let Some(found) = snapshot.listeners.iter().find(|listener| listener.name == self.name) {
            self.listener = Some(Arc::clone(found));
        }
        let Some(listener) = &self.listener else { return };
        let source = SourceAddress { ip: canonical(peer), via: Via::Socket };
        let arrival = Arrival {
            relay: Arc::clone(self.relay),
            listener: Arc::clone(listener),
            metrics: Arc::clone(&self.metrics),
            limits: snapshot.limits.clone(),
            source,
            draining: self.draining.clone(),
            proven: Proven::default(),
        };
        if arrival.is_filtered() {
            return;
        }
        let Some(place) = arrival.place().await else {
            return arrival.refused(ConnectionRefusal::TooManyConnections);
        };
        let (connection, registered) = (!self.relay.known.has(source.ip))
            .then(|| Unproven::add(Of(Arc::clone(self.relay)), source.ip, arrival.proven.clone()))
            .unzip();
        // Boxed: the runtime would copy a future of this size six times, which showed in the cost of a connection.
        let task = tokio::spawn(Box::pin(async move {
            let _place = place;
            let _counted = arrival.metrics.connection();
            arrival.serve(stream, registered).await;
        }));
        if let Some(connection) = connection {
            connection.served_by(task.abort_handle());
        }
        self.entered += 1;
        if self.entered.is_multiple_of(ROUND) {
            yield_now().await;
        }
    }
}

/// Whether an accept failed for want of something on our side, so that trying again at once would only spin.
fn is_ours(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// A connection that has a place.
struct Arrival {
    relay: Arc<Relay>,
    listener: Arc<Listener>,
    metrics: Arc<ListenerMetrics>,
    limits: Limits,
    source: SourceAddress,
    draining: Draining,
    proven: Proven,
}

impl Arrival {
    /// A place; where there is none, that of a connection that has proven nothing.
    async fn place(&self) -> Option<Place<Of>> {
        let (relay, max) = (Of(Arc::clone(&self.relay)), self.limits.max_connections);
        if let Some(place) = Connections::enter(relay.clone(), max) {
            return Some(place);
        }
        let gone = self.relay.unproven.evict()?;
        let (source, reason) = (Some(gone), ConnectionRefusal::Evicted);
        refused(&self.relay, &self.metrics, &self.listener.name, source, reason, None);
        // It is gone when its task has noticed, a moment later; where too many are on their way out, that moment is waited for.
        for _ in 0..LEAVING_TAKES {
            if let Some(place) = Connections::enter_late(relay.clone(), max) {
                return Some(place);
            }
            yield_now().await;
        }
        None
    }

    async fn serve(mut self, mut stream: TcpStream, mut registered: Option<Registered<Of>>) {
        if self.listener.proxy_protocol_from.contains(self.source.ip) {
            if !self.learn_source(&mut stream).await {
                return;
            }
            registered = registered.filter(|_| !self.relay.known.has(self.source.ip));
            registered.iter_mut().for_each(|registered| registered.is_of(self.source.ip));
        }
        let per_address = self.limits.max_connections_per_address;
        let relay = Of(Arc::clone(&self.relay));
        let Some(_place) = Connections::enter_from(relay, self.source.ip, per_address) else {
            return self.refused(ConnectionRefusal::TooManyFromAddress);
        };
        let Some(tls) = &self.listener.tls else { return self.plaintext(stream).await };
        if !self.relay.connections.may_shake_hands(self.source.ip, self.limits.handshakes_per_address) {
            return self.refused(ConnectionRefusal::TooManyHandshakes);
        }
        let server = Arc::clone(&tls.server);
        let handshake = async {
            if self.relay.known.has(self.source.ip) {
                return TlsStream::accept(stream, server).await;
            }
            // Who has said nothing yet needs no turn.
            stream.readable().await.map_err(NoSession::Failed)?;
            self.relay.handshakes.take(self.source.ip, TlsStream::accept(stream, server)).await
        };
        match self.in_time(handshake).await {
            Some(Ok(stream)) => self.tls(stream).await,
            Some(Err(why)) => self.no_session(why),
            None => self.refused(ConnectionRefusal::HandshakeTimeout),
        }
    }

    fn no_session(&self, why: NoSession) {
        let (reason, detail) = match why {
            // Nothing was asked for, so nothing is refused. A balancer probes like that, every second.
            NoSession::Silent => return self.metrics.unused(),
            NoSession::NotTls(NotTls::ProxyHeader) => {
                let detail = opening::unexpected_header(self.source, &self.listener.name);
                (ConnectionRefusal::ProxyHeaderUnexpected, detail)
            }
            NoSession::NotTls(http @ NotTls::PlainHttp) => (ConnectionRefusal::HandshakeFailed, http.to_string()),
            NoSession::Failed(error) => (ConnectionRefusal::HandshakeFailed, error.to_string()),
        };
        self.refused_because(reason, Some(&detail));
    }

    /// What comes before there can be a request: it has its own time, and a stop waits for it no longer than for the request.
    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut draining = self.draining.clone();
        tokio::select! {
            done = timeout(self.limits.handshake_timeout, work) => done.ok(),
            () = draining.last_call() => None,
        }
    }

    /// Reads the PROXY header of a listed peer; false when the connection ends with it.
    async fn learn_source(&mut self, stream: &mut TcpStream) -> bool {
        match self.in_time(proxy_header::read(stream)).await {
            Some(Ok(Told::Source(ip))) => self.source = SourceAddress { ip, via: Via::ProxyHeader },
            Some(Ok(Told::Itself)) => {}
            Some(Err(Untold::Silent)) => {
                self.metrics.unused();
                return false;
            }
            Some(Err(Untold::Malformed)) => {
                self.refused(ConnectionRefusal::ProxyHeaderMalformed);
                return false;
            }
            Some(Err(Untold::Missing)) | None => {
                self.refused(ConnectionRefusal::ProxyHeaderMissing);
                return false;
            }
        }
        !self.is_filtered()
    }

    /// Refuses an address that the listener denies, or that no route admits. A proxy speaks for others, so it is judged by what
    /// it says: in its PROXY header, or with each request.
    fn is_filtered(&self) -> bool {
        let SourceAddress { ip, via } = self.source;
        if via == Via::Socket && self.listener.proxy_protocol_from.contains(ip) {
            return false;
        }
        if let Some(entry) = self.listener.deny.denied_by(ip) {
            self.refused_because(ConnectionRefusal::AddressDenied, Some(entry));
            return true;
        }
        let speaks_for_others = self.listener.trust_forwarded_from.contains(ip);
        let is_unwanted =
            !speaks_for_others && self.listener.admits.as_ref().is_some_and(|admits| !admits.contains(ip));
        if is_unwanted {
            self.refused(ConnectionRefusal::AddressNotAllowed);
        }
        is_unwanted
    }

    async fn tls(self, stream: TlsStream) {
        let certificate = self.listener.tls.as_ref().map(|tls| tls.certificate_for(stream.server_name()));
        let client_certificate = stream.peer_certificates().is_some_and(|chain| !chain.is_empty());
        let speaks_h2 = stream.alpn_protocol() == Some(b"h2");
        let connection = self.connection(certificate, client_certificate);
        if speaks_h2 {
            h2::serve(stream, &self.relay, connection, self.draining).await;
        } else {
            h1::serve(stream, &self.relay, connection, self.draining).await;
        }
    }

    async fn plaintext(self, stream: TcpStream) {
        let connection = self.connection(None, false);
        h1::serve(stream, &self.relay, connection, self.draining).await;
    }

    fn connection(&self, certificate: Option<usize>, client_certificate: bool) -> Connection {
        Connection {
            listener: Arc::clone(&self.listener),
            source: self.source,
            certificate,
            client_certificate,
            proven: self.proven.telling(&self.relay.known, self.source.ip),
        }
    }

    fn refused(&self, reason: ConnectionRefusal) {
        self.refused_because(reason, None);
    }

    fn refused_because(&self, reason: ConnectionRefusal, detail: Option<&str>) {
        refused(&self.relay, &self.metrics, &self.listener.name, Some(self.source.ip), reason, detail);
    }
}

fn refused(
    relay: &Relay,
    metrics: &ListenerMetrics,
    listener: &str,
    source: Option<IpAddr>,
    reason: ConnectionRefusal,
    detail: Option<&str>,
) {
    relay.gate.observer.connection_refused(metrics, &RefusedConnection { listener, source, reason, detail });
}
