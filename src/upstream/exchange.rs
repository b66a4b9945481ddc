//! One request to one server: over a kept connection where there is one, else over a new one.
//!
//! Every send takes the next `Relay-Attempt` of its request, also the second one of an exchange whose kept connection was dead.
//! Every wait is bounded by the request's deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::HeaderValue;
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::upstreams::peer::{HttpPeer, Peer as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Outbound;
use super::answer::Answer;
use super::failure::{Failure, Next, cut};
use super::http1::kept::{Home, Kept};
use super::http1::wire::Wire;
use super::http1::{Connection, READ};
use super::reach::Agreed;
use super::registry::Pingora;
use super::resolve::Peers;
use super::spec::Http2;
use super::{http2, request};
use crate::domain::Fault;

/// What one exchange needs to know of its server.
pub(super) struct Link<'a> {
    pub(super) pingora: &'a Pingora,
    /// HTTP/1.1 connections that may serve again.
    pub(super) kept: &'a Kept,
    pub(super) peers: &'a Peers,
    pub(super) authority: &'a HeaderValue,
    pub(super) https: bool,
    pub(super) http2: Http2,
    pub(super) connect_timeout: Duration,
    /// Zero: no connection is kept.
    pub(super) keepalive: Duration,
}

/// Which connection is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A kept one where there is one.
    Any,
    /// A new one, closed afterwards: a health check must not be fooled by a connection from better days.
    Once,
}

/// A new connection.
enum Connected<'a> {
    Http1(Wire, Home),
    Http2(Box<Http2Session>, &'a HttpPeer),
}

impl<'a> Link<'a> {
    /// Sends the request. Where a kept connection turns out to be dead, it is sent again over a new one, once.
    pub(super) async fn send(
        &self,
        request: &Outbound<'_>,
        wanted: Wanted,
        now: Instant,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let keep = !self.keepalive.is_zero() && wanted != Wanted::Once;
        if keep {
            let kept = self.over_kept(request, now, deadline).await;
            match kept {
                Some(Err(failure)) if failure.next == Next::Fresh && request.may_send() => {}
                Some(done) => return done,
                None => {}
            }
        }
        // Boxed, because it is rare: a request over a kept connection should not pay for its size.
        match Box::pin(self.connect(keep, deadline)).await? {
            Connected::Http1(wire, home) => Box::pin(self.over_http1(wire, home, false, keep, request, deadline)).await,
            Connected::Http2(session, home) => {
                Box::pin(self.over_http2(*session, home, false, keep, request, deadline)).await
            }
        }
    }

    /// A new connection that nothing is sent over; what was agreed on.
    pub(super) async fn reach(&self, deadline: Instant) -> Result<Agreed, Failure> {
        Ok(match self.connect(false, deadline).await? {
            Connected::Http1(Wire::Clear(_), _) => Agreed::Http1,
            Connected::Http1(Wire::Tls(_), _) => Agreed::Http1OverTls,
            Connected::Http2(..) if self.https => Agreed::Http2OverTls,
            Connected::Http2(..) => Agreed::Http2,
        })
    }

    /// `None`: no connection is kept.
    async fn over_kept(
        &self,
        request: &Outbound<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Option<Result<Answer, Failure>> {
        if (self.https && self.http2 != Http2::Off) || self.http2 == Http2::Only {
            for (_, home) in self.peers.in_order() {
                // One that died shows here, before anything of the request is sent.
                if let Ok(Some(session)) = Box::pin(self.pingora.connector().reused_http_session(home)).await {
                    return Some(Box::pin(self.over_http2(session, home, true, true, request, deadline)).await);
                }
            }
        }
        let (wire, home) = self.kept.take(now, |home| self.leads_to(home))?;
        Some(self.over_http1(wire, home, true, true, request, deadline).await)
    }

    async fn over_http1(
        &self,
        wire: Wire,
        home: Home,
        reused: bool,
        keep: bool,
        request: &Outbound<'_>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let head = request::http1_head(request, self.authority, !keep, READ)?;
        let mut connection = Connection::new(wire, reused, head);
        let (answer, again) = connection.exchange(request, deadline).await?;
        if keep && again {
            self.kept.put(connection.wire, home, Instant::now() + self.keepalive);
        }
        Ok(answer)
    }

    async fn over_http2(
        &self,
        session: Http2Session,
        home: &HttpPeer,
        reused: bool,
        keep: bool,
        request: &Outbound<'_>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let mut stream = http2::Stream::new(session, self.pingora.connector(), home, self.keepalive, !keep);
        let head = request::http2_head(request, self.authority)?;
        let answer = stream.exchange(head, request, reused, deadline).await;
        stream.finished();
        answer
    }

    /// Whether a kept connection goes to where the server is now, as it is configured now.
    fn leads_to(&self, home: Home) -> bool {
        let mut peers = self.peers.in_order();
        peers.any(|(_, peer)| peer.group_key == home.group && peer.address().as_inet() == Some(&home.address))
    }

    /// The server's addresses in turn, each for at most the connect timeout.
    async fn connect(&self, keep: bool, deadline: Instant) -> Result<Connected<'a>, Failure> {
        let failed = |why: &str| Failure::new(Fault::UpstreamConnect, Next::Server, cut(why));
        let mut last = failed("the server has no address");
        for (index, home) in self.peers.in_order() {
            let limit = deadline.min(Instant::now() + self.connect_timeout);
            match timeout_at(limit, self.connect_to(home, keep)).await {
                Ok(Ok(connected)) => {
                    self.peers.prefer(index);
                    return Ok(connected);
                }
                Ok(Err(failure)) if failure.fault == Fault::UpstreamConnect => last = failure,
                Ok(Err(failure)) => return Err(failure),
                Err(_) if limit == deadline => return Err(Failure::timeout("connecting")),
                Err(_) => last = failed("the connect timeout passed"),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, home: &'a HttpPeer, keep: bool) -> Result<Connected<'a>, Failure> {
        let Some(address) = home.address().as_inet().copied() else {
            return Err(Failure::new(Fault::UpstreamConnect, Next::Server, "the server has no address"));
        };
        let here = Home { address, group: home.group_key };
        if !self.https && self.http2 != Http2::Only {
            let stream = in_clear(address).await.map_err(|error| {
                Failure::new(Fault::UpstreamConnect, Next::Server, cut(&format!("connecting: {error}")))
            })?;
            return Ok(Connected::Http1(Wire::Clear(stream), here));
        }
        // Boxed: pingora's future holds a whole TLS handshake.
        let stream = Box::pin(self.pingora.connector().transport().new_stream(home)).await;
        let stream = stream.map_err(|error| Failure::connecting(&error))?;
        if self.https && !http2::is_agreed(&stream) {
            if self.http2 == Http2::Only {
                let detail = "the server did not agree to HTTP/2";
                return Err(Failure::new(Fault::UpstreamTls, Next::Server, detail));
            }
            return Ok(Connected::Http1(Wire::Tls(stream), here));
        }
        let session = Box::pin(http2::begin(stream, self.pingora.connector(), home, keep)).await;
        session.map(|session| Connected::Http2(Box::new(session), home)).map_err(|error| Failure::connecting(&error))
    }
}

async fn in_clear(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    // A firewall between DMZ and inside forgets idle connections without telling.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
