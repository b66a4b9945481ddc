//! Internal servers: which one is tried, over which connection, and what it said.
//!
//! The only module that names pingora: its HTTP connector gives pools, TLS and HTTP/2. HTTP/1.1 in clear is spoken by `plain`.
//!
//! - [`spec`]: what the configuration says. `registry`: what outlives a reload. `condition`: what is known of a server.
//! - `select` picks a server, `resolve` finds its addresses, `reserved` says which it never is, `tls` guards the handshake,
//!   `fields` and `request` write the head, `exchange` (or `plain`) does one attempt, `failure` says what may follow, `health`
//!   checks in the background.
//!
//! Each server gets a request at most once, and a request moves on to the next only while nobody is known to have taken it:
//! no connection, a kept connection that was dead, a 502, 503 or 504 by which a server declines. A timeout is a fault, and
//! so is a fresh connection that breaks after the request was written: the server may have processed it, and to send it
//! again could deliver it twice.
//!
//! Deliberately absent: redirects, request bodies that are not in memory, any header that the caller did not give beside
//! `Host` and `Content-Length`, and telemetry.

mod condition;
mod exchange;
mod failure;
mod fields;
mod health;
mod plain;
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
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::Fault;
use condition::Verdict;
use exchange::{Answer, Wanted};
use failure::{Failure, Next};
use select::Selection;
use server::Server;
use spec::{Balance, EjectionSpec, HealthSpec};

pub use condition::{ServerChange, ServerTurn};
pub use fields::Fields;
use registry::Pingora;
pub use registry::Upstreams;
pub use retry_after::RetryAfter;

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
    /// Every field but framing and `Host`, in order.
    pub headers: Fields,
    /// Shared with the pipeline: never copied.
    pub body: Cow<'r, Bytes>,
    /// How many bytes of an answer's body are kept; the rest is read and dropped up to a fixed cap.
    pub keep_answer: usize,
    /// Any status is an answer (`answer = "upstream"`), and its body is waited for. Otherwise only 2xx is.
    pub pass_through: bool,
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
    /// Of the body, where there is one and something of it was wanted.
    pub content_type: Option<Bytes>,
    /// At most `keep_answer` bytes.
    pub body: Bytes,
    /// There was more of the body than is kept.
    pub truncated: bool,
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
            if so_far.add(outcome, choice.server, request.pass_through) == Step::Done {
                return so_far.end(unavailable);
            }
            tried.push(choice.index);
            now = Instant::now();
        }
    }

    /// Every server, in the order of the file.
    pub fn status(&self) -> Vec<ServerStatus> {
        let (now, checked) = (Instant::now(), self.health.is_some());
        let status = |server: &Server| {
            let standing = server.condition.standing(checked, now);
            ServerStatus {
                url: Arc::clone(&server.url),
                healthy: standing != condition::Standing::Unhealthy,
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
        let Answer { status, content_type, retry_after, body, truncated } = answer;
        self.status = Some(status);
        self.retry_after = retry_after;
        let success = (200..300).contains(&status);
        if success || pass_through {
            let server = Arc::clone(&server.url);
            self.answer = Some(Received { status, content_type, body, truncated, server, attempts: 0 });
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
