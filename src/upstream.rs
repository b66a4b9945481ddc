//! Internal servers: which one is tried, over which connection, and what it said.
//!
//! The only module that names pingora: its connector gives TLS and HTTP/2. HTTP/1.1 is spoken by `http1`, with and without TLS.
//!
//! - [`spec`]: what the configuration says. `registry`: what outlives a reload. `condition`: what is known of a server.
//! - `select` picks a server, `resolve` finds its addresses, `reserved` says which it never is, `tls` guards the handshake,
//!   `fields` and `request` write the head, `exchange` sends a request to one server over `http1` or `http2`, `answer` says how
//!   much of an answer is read, `failure` what may follow, `health` checks in the background, `reach` tries a
//!   connection.
//!
//! A request moves on to the next server only while nobody is known to have taken it: no connection, a stream that was
//! refused, a 502, 503 or 504 by which a server declines. It is sent again to the same server only where a kept connection
//! was dead. A timeout is a fault, and so is a fresh connection that breaks after the request was written: the server may have
//! processed it. Whatever is sent again carries the next number ([`Sends`]): no protocol can say for sure that a dead
//! connection's server, or one that answers 503, has not looked.
//!
//! Deliberately absent: redirects, request bodies that are not in memory, any header that the caller did not give beside
//! `Host` and `Content-Length`, and telemetry.

mod answer;
mod condition;
mod exchange;
mod failure;
mod fields;
mod health;
mod http1;
mod http2;
mod reach;
mod registry;
mod request;
mod reserved;
mod resolve;
mod retry_after;
mod select;
mod server;
pub mod spec;
mod tls;

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::{Fault, Sends};
use answer::Answer;
use condition::Verdict;
use exchange::Wanted;
use failure::{Failure, Next};
use select::Selection;
use server::Server;
use spec::{Balance, EjectionSpec, HealthSpec};

pub use condition::{ServerChange, ServerTurn};
pub use fields::Fields;
pub use reach::{Agreed, Reached};
use registry::Pingora;
pub use registry::Upstreams;
pub use retry_after::RetryAfter;
pub use tls::unverifiable;

/// A named group of servers. Made by [`Upstreams::adopt`].
pub struct Upstream {
    /// From `relay.toml`; the metric label.
    pub name: Arc<str>,
    servers: Box<[Server]>,
    balance: Balance,
    ejection: EjectionSpec,
    health: Option<HealthSpec>,
    turn: AtomicUsize,
    pingora: Arc<Pingora>,
}

/// A request on its way in.
pub struct Outbound<'r> {
    /// As received.
    pub method: &'static str,
    /// Path and query in origin form.
    pub target: &'r str,
    /// Every field but framing, `Host` and `Relay-Attempt`, in order.
    pub headers: Fields,
    /// Shared with the pipeline: never copied.
    pub body: Cow<'r, Bytes>,
    /// Numbers what is sent; `None`: no `Relay-Attempt`.
    pub sends: Option<&'r Sends>,
    /// `answer = "upstream"`: any status is an answer, and its body, of at most this many bytes, is part of it. `None`: only 2xx
    /// is, and no body matters.
    pub pass_through: Option<usize>,
}

impl Outbound<'_> {
    /// Whether one more send is within what one attempt makes.
    fn may_send(&self) -> bool {
        self.sends.is_none_or(|sends| !sends.are_used_up())
    }
}

impl fmt::Debug for Outbound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Target and headers may hold keys.
        f.debug_struct("Outbound")
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What an internal server answered: a 2xx, or any status where the route passes answers through.
#[derive(Debug)]
pub struct Received {
    /// HTTP status.
    pub status: u16,
    /// Of the body, where answers are passed on.
    pub content_type: Option<Bytes>,
    /// How the body is encoded, where answers are passed on.
    pub content_encoding: Option<Bytes>,
    /// Whole where answers are passed on, else empty.
    pub body: Bytes,
    /// Which server.
    pub server: Arc<str>,
    /// How many servers were tried, the last one included.
    pub attempts: u32,
}

/// Why no server took it.
#[derive(Debug)]
pub struct Undelivered {
    /// What went wrong last.
    pub fault: Fault,
    /// The last status, where a server gave one.
    pub status: Option<u16>,
    /// The last server, where one was chosen.
    pub server: Option<Arc<str>>,
    /// How many servers were tried.
    pub attempts: u32,
    /// When the last server that answered wants to be asked again.
    pub retry_after: Option<RetryAfter>,
    /// For the log: the library's own words, never a header or a body.
    pub detail: String,
}

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'u> {
    /// As configured.
    pub url: &'u str,
    /// A DNS name or an address, an IPv6 address without brackets.
    pub host: &'u str,
    /// From the URL or its scheme.
    pub port: u16,
}

/// One server as `/api/v1/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// As configured.
    pub url: Arc<str>,
    /// What health checks say; `true` where there are none.
    pub healthy: bool,
    /// Left out after failed requests, for now.
    pub ejected: bool,
    /// Requests that wait for its answer.
    pub in_flight: usize,
    /// Failed requests in a row.
    pub failures: u32,
    /// Why it cannot be spoken to as configured.
    pub problem: Option<String>,
}

impl Upstream {
    /// Tries servers in turn until one gives an answer or the deadline passes; `now` is when it is called. Dropping the future
    /// is safe at any point: its connection is closed and every count is put right.
    pub async fn forward(
        &self,
        request: &Outbound<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Result<Received, Undelivered> {
        let selection = Selection {
            servers: &self.servers,
            balance: self.balance,
            ejection: &self.ejection,
            checked: self.health.is_some(),
            turn: self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let mut tried = Vec::new();
        let mut so_far = SoFar::default();
        let mut now = now;
        loop {
            if now >= deadline {
                return so_far.end(|| Failure::timeout("choosing a server"));
            }
            let Some(choice) = selection.next(&tried, now) else {
                return so_far.end(unavailable);
            };
            let in_flight = choice.server.condition.enter(choice.probe);
            let outcome = choice.server.send(&self.pingora, request, Wanted::Any, now, deadline).await;
            let (verdict, why) = verdict(&outcome, tried.is_empty());
            in_flight.settle(verdict, &self.ejection, &why);
            let step = so_far.add(outcome, choice.server, request.pass_through.is_some());
            if step == Step::Done || !request.may_send() {
                return so_far.end(unavailable);
            }
            tried.push(choice.index);
            now = Instant::now();
        }
    }

    /// The same for the same servers, whatever their order, and another one for others.
    pub fn identity(&self) -> u64 {
        let mut urls: Vec<&str> = self.servers.iter().map(|server| &*server.url).collect();
        urls.sort_unstable();
        let mut hasher = std::hash::DefaultHasher::new();
        urls.hash(&mut hasher);
        hasher.finish()
    }

    /// Where its servers are, in the order of the file.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'_>> {
        self.servers.iter().map(|server| Endpoint { url: &server.url, host: &server.host, port: server.port })
    }

    /// Every server, in the order of the file.
    pub fn status(&self) -> Vec<ServerStatus> {
        let (now, checked) = (Instant::now(), self.health.is_some());
        let status = |server: &Server| {
            let availability = server.condition.availability(checked, now);
            ServerStatus {
                url: Arc::clone(&server.url),
                healthy: availability != condition::Availability::Unhealthy,
                ejected: server.condition.is_ejected(),
                in_flight: server.condition.in_flight(),
                failures: server.condition.failures(),
                problem: server.problem().map(str::to_owned),
            }
        };
        self.servers.iter().map(status).collect()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name).field("servers", &self.status()).finish_non_exhaustive()
    }
}

fn unavailable() -> Failure {
    Failure::new(Fault::UpstreamUnavailable, Next::Nowhere, "every server failed its health checks")
}

/// What an attempt says of its server. A deadline that other servers had used up before is not this one's doing.
fn verdict(outcome: &Result<Answer, Failure>, first: bool) -> (Verdict, String) {
    match outcome {
        Ok(answer) if declined(answer.status) => (Verdict::Bad, format!("status {}", answer.status)),
        Ok(_) => (Verdict::Good, String::new()),
        Err(failure) if failure.fault == Fault::Internal => (Verdict::None, String::new()),
        // It answered, if more than can be passed on.
        Err(failure) if failure.fault == Fault::UpstreamTooLarge => (Verdict::Good, String::new()),
        Err(failure) if failure.fault == Fault::UpstreamTimeout && !first => (Verdict::None, String::new()),
        Err(failure) => (Verdict::Bad, failure.detail.clone()),
    }
}

/// A status by which a server says that it has not processed the request.
fn declined(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// The result that stands unless a later server gives a better one.
#[derive(Default)]
struct SoFar<'s> {
    attempts: u32,
    /// A 502, 503 or 504 that goes out where the route passes answers through and nobody said anything better.
    answer: Option<Received>,
    status: Option<u16>,
    retry_after: Option<RetryAfter>,
    server: Option<&'s Server>,
    failure: Option<Failure>,
}

#[derive(PartialEq, Eq)]
enum Step {
    Done,
    Another,
}

impl<'s> SoFar<'s> {
    fn add(&mut self, outcome: Result<Answer, Failure>, server: &'s Server, pass_through: bool) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        self.server = Some(server);
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                let step = if failure.next == Next::Nowhere { Step::Done } else { Step::Another };
                if step == Step::Done {
                    // The server may have taken it: an earlier "503" of another would hide that.
                    self.answer = None;
                }
                self.failure = Some(failure);
                return step;
            }
        };
        let Answer { status, content_type, content_encoding, retry_after, body } = answer;
        self.status = Some(status);
        self.retry_after = retry_after;
        let success = (200..300).contains(&status);
        if success || pass_through {
            let server = Arc::clone(&server.url);
            self.answer = Some(Received { status, content_type, content_encoding, body, server, attempts: 0 });
        } else {
            self.failure = Some(Failure::new(Fault::UpstreamStatus, Next::Nowhere, format!("status {status}")));
        }
        if declined(status) { Step::Another } else { Step::Done }
    }

    fn end(mut self, otherwise: impl FnOnce() -> Failure) -> Result<Received, Undelivered> {
        if let Some(answer) = self.answer.take() {
            return Ok(Received { attempts: self.attempts, ..answer });
        }
        let Failure { fault, detail, .. } = self.failure.take().unwrap_or_else(otherwise);
        let Self { status, retry_after, server, attempts, .. } = self;
        let server = server.map(|server| Arc::clone(&server.url));
        Err(Undelivered { fault, status, server, attempts, retry_after, detail })
    }
}
