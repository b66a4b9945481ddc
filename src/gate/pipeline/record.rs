//! Step 13: one event for every request, also when its sender went away: the record closes itself on drop. Where there is a
//! store, the same facts become a row of the history.

mod history;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{UnixMillis, hex};
use crate::domain::{Fault, Head, Method, Outcome, Refusal, Sends, Sensitive, SourceAddress, Version};
use crate::guards::access::AccessList;
use crate::guards::budget::Failure;
use crate::observe::{Event, InFlight, RequestEvent};
use crate::runtime::snapshot::Route;
use crate::scheme::Proof;
use crate::upstream::{Received, Undelivered};

use super::admit::{self, Admitted};
use super::route::Routed;
use super::{Connection, Gate};

/// What is known of one request so far.
#[derive(Debug)]
pub struct Record<'r> {
    gate: &'r Gate,
    sensitive: &'r Sensitive,
    connection: &'r Connection,
    head: &'r Head,
    started: Instant,
    _in_flight: InFlight<'r>,
    request_id: String,
    received_at: UnixMillis,
    source: SourceAddress,
    denials: &'r AccessList,
    route: Option<&'r Arc<Route>>,
    suffix: usize,
    allowed_by: Option<&'r str>,
    body_bytes: u64,
    /// Where the history keeps it.
    body: Option<Bytes>,
    read: Duration,
    verify: Duration,
    proof: Option<Proof>,
    /// Once what the route observes is in force.
    would_refuse: Option<Refusal>,
    /// Numbers what is forwarded; known also where the sender disconnects before the end.
    sends: Sends,
    forwarded: Option<Forwarded>,
    /// Verified, and not delivered before.
    genuine: bool,
    /// Its failure is counted in the route's error budget.
    spent: bool,
    /// The store was given its row already.
    kept: bool,
    open: bool,
}

#[derive(Debug)]
struct Forwarded {
    server: Option<Arc<str>>,
    status: Option<u16>,
    /// Servers tried, or sends where a server got more than one.
    attempts: u32,
    detail: Option<String>,
    took: Duration,
}

impl<'r> Record<'r> {
    /// Opens the record of a request whose head is complete.
    pub(super) fn open(gate: &'r Gate, sensitive: &'r Sensitive, connection: &'r Connection, head: &'r Head) -> Self {
        let received_at = gate.clock.now();
        Self {
            gate,
            sensitive,
            connection,
            head,
            started: Instant::now(),
            _in_flight: gate.observer.request_started(),
            request_id: request_id(received_at),
            received_at,
            source: connection.source,
            denials: &connection.listener.deny,
            route: None,
            suffix: 0,
            allowed_by: None,
            body_bytes: 0,
            body: None,
            read: Duration::ZERO,
            verify: Duration::ZERO,
            proof: None,
            would_refuse: None,
            sends: Sends::from(1),
            forwarded: None,
            genuine: false,
            spent: false,
            kept: false,
            open: true,
        }
    }

    /// Who sent it, and whom its listener denies.
    pub(super) fn source(&mut self, source: SourceAddress, denials: &'r AccessList) {
        self.source = source;
        self.denials = denials;
    }

    pub(super) fn routed(&mut self, routed: &Routed<'r>) {
        self.route = Some(routed.route());
        self.suffix = routed.suffix();
    }

    pub(super) fn admitted(&mut self, admitted: &Admitted<'r>) {
        self.allowed_by = admitted.allowed_by();
    }

    pub(super) fn received(&mut self, received: &super::read::Received<'r>) {
        self.body_bytes = received.body().len() as u64;
        self.read = received.took();
        if received.route().keep_body && self.gate.state.store().is_some() {
            self.body = Some(received.body().clone());
        }
    }

    pub(super) fn verified(&mut self, verified: &super::verify::Verified<'r>) {
        self.verify = verified.took();
        self.proof = verified.proof().cloned();
        self.would_refuse = verified.would_refuse();
    }

    /// It is genuine, and no copy of one that was delivered.
    pub(super) fn fresh(&mut self, fresh: &super::dedupe::Fresh<'r>) {
        self.genuine = true;
        // Anybody can make a repeat: it does not say that the provider is still there.
        if !fresh.is_repeat() {
            fresh.route().baseline.heard(self.received_at);
        }
    }

    /// Whether the provider may see this genuine request fail. `true` counts the failure at once, so that requests that fail
    /// together cannot all take the last safe place; the answer must then be one. `false`: only the store is left.
    pub(super) fn afford_failure(&mut self) -> bool {
        let Some((route, budget)) = self.budget() else { return true };
        if !self.spent {
            self.spent = route.budget.afford(budget, self.gate.clock.now()).is_some();
            self.tell(route, budget);
        }
        self.spent
    }

    /// What a provider takes for a failure: an answer that is no success, and none at all.
    fn spend(&mut self, outcome: &Outcome, status: u16) {
        let failure = if self.genuine { Some(Failure::Certain) } else { before_proof(outcome) };
        let Some(failure) = failure.filter(|_| !self.spent && !(200..300).contains(&status)) else { return };
        if let Some((route, budget)) = self.budget() {
            self.spent = true;
            route.budget.spend(failure, budget, self.gate.clock.now());
            self.tell(route, budget);
        }
    }

    fn budget(&self) -> Option<(&'r Route, u32)> {
        let route = self.route()?;
        Some((route, route.error_budget?))
    }

    fn tell(&self, route: &Route, budget: u32) {
        if let Some(spent) = route.budget.news(budget, self.gate.clock.now()) {
            let provider = route.provider.as_deref();
            self.gate.observer.record(&Event::ErrorBudgetLow {
                route: &route.name,
                provider,
                spent: spent.count,
                budget,
            });
        }
    }

    /// The numbers of what is sent while the sender waits.
    pub(super) fn sends(&self) -> &Sends {
        &self.sends
    }

    pub(super) fn forwarded(&mut self, result: &Result<Received, Undelivered>, took: Duration) {
        self.forwarded = Some(match result {
            Ok(received) => Forwarded {
                server: Some(Arc::clone(&received.server)),
                status: Some(received.status),
                attempts: received.attempts.max(self.sends.begun()),
                detail: None,
                took,
            },
            Err(undelivered) => Forwarded {
                server: undelivered.server.clone(),
                status: undelivered.status,
                attempts: undelivered.attempts.max(self.sends.begun()),
                detail: Some(undelivered.detail.clone()),
                took,
            },
        });
    }

    /// Why what the route only observes would refuse it: its address lists, whatever became of it; else another scheme or headers.
    fn would_refuse(&self) -> Option<Refusal> {
        self.unlisted().or(self.would_refuse)
    }

    /// Why the route's address lists would refuse it, where they are only observed.
    fn unlisted(&self) -> Option<Refusal> {
        admit::would_refuse(self.route()?, &self.connection.listener, self.source.ip)
    }

    /// The entry of a `deny` that holds the source: the listener's, else the route's. Looked up once more, for this rare case.
    fn denied_by(&self, outcome: &Outcome, would_refuse: Option<Refusal>) -> Option<&'r str> {
        let is_denied = match outcome {
            Outcome::Refused(turned) if turned.refusal == Refusal::AddressDenied => true,
            _ => would_refuse == Some(Refusal::AddressDenied),
        };
        let lists = std::iter::once(self.denials).chain(self.route().map(|route| &*route.access));
        lists.filter(|_| is_denied).find_map(|list| list.denied_by(self.source.ip))
    }

    /// The id under which the sender, the log and the application know this request.
    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }

    /// When the request's time began, for every deadline that runs from the end of the head.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// Whether the request came over TLS.
    pub(super) fn https(&self) -> bool {
        self.connection.listener.tls.is_some()
    }

    /// The store was given the request, and its row with it; one row is enough, also when nobody receives the result.
    pub(super) fn keeping(&mut self) {
        self.kept = true;
    }

    /// The store did not take it.
    pub(super) fn not_keeping(&mut self) {
        self.kept = false;
    }

    /// Nobody took the request, and it could not be kept either.
    pub(super) fn not_kept(&mut self, why: Fault) {
        if let Some(forwarded) = &mut self.forwarded {
            let before = forwarded.detail.take().unwrap_or_default();
            forwarded.detail = Some(format!("{before}; it could not be kept: {}", why.code()));
        }
    }

    /// When the head was complete.
    pub(super) fn received_at(&self) -> UnixMillis {
        self.received_at
    }

    /// The route, once there is one.
    pub(super) fn route(&self) -> Option<&'r Route> {
        self.route.map(Arc::as_ref)
    }

    /// The same, to be kept beyond the request.
    pub(super) fn shared_route(&self) -> Option<&'r Arc<Route>> {
        self.route
    }

    /// Where it came from.
    pub(super) fn source_address(&self) -> IpAddr {
        self.source.ip
    }

    /// Writes the event; gives the request id back for the answer.
    pub(super) fn close(mut self, outcome: Outcome, status: u16) -> String {
        self.spend(&outcome, status);
        self.write(outcome, status);
        self.open = false;
        std::mem::take(&mut self.request_id)
    }

    fn write(&self, outcome: Outcome, status: u16) {
        if !self.kept
            && let Some(store) = self.gate.state.store()
        {
            self.remember(store, &outcome, status);
        }
        let (route, proof, forwarded) = (self.route, self.proof.as_ref(), self.forwarded.as_ref());
        let would_refuse = self.would_refuse();
        self.gate.observer.request(&RequestEvent {
            request_id: &self.request_id,
            received_at: self.received_at,
            listener: &self.connection.listener.name,
            route: route.map(|route| &*route.name),
            provider: route.and_then(|route| route.provider.as_deref()),
            method: self.head.method(),
            version: self.head.version(),
            path: &self.sensitive.path(self.head.path()),
            host: self.sensitive.host(self.head.host()),
            source: self.source.ip,
            via: self.source.via,
            allowed_by: self.allowed_by,
            denied_by: self.denied_by(&outcome, would_refuse),
            would_refuse,
            outcome,
            status,
            key: proof.map(|proof| &*proof.key),
            dedupe: proof.and_then(|proof| proof.dedupe.as_deref()),
            timestamp: proof.and_then(|proof| proof.timestamp),
            body_bytes: self.body_bytes,
            upstream: forwarded.and(route).map(|route| &*route.upstream.name),
            server: forwarded.and_then(|forwarded| forwarded.server.as_deref()),
            upstream_status: forwarded.and_then(|forwarded| forwarded.status),
            attempts: forwarded.map_or(0, |forwarded| forwarded.attempts),
            detail: forwarded.and_then(|forwarded| forwarded.detail.as_deref()),
            read: self.read,
            verify: self.verify,
            forward: forwarded.map_or(Duration::ZERO, |forwarded| forwarded.took),
            total: self.started.elapsed(),
        });
    }
}

/// What the end of a request is to its provider that was turned away before it was known to be a fresh genuine one. What the
/// relay itself had no room for may have been such a request; one with something wrong about it was not.
fn before_proof(outcome: &Outcome) -> Option<Failure> {
    match outcome {
        Outcome::Refused(turned) => match turned.refusal {
            // Asked last, about requests that are both.
            Refusal::RouteRateLimited | Refusal::RouteBusy => Some(Failure::Certain),
            // Of the second, anybody may have sent the copy.
            Refusal::SourceRateLimited | Refusal::DuplicateInFlight => Some(Failure::Possible),
            _ => None,
        },
        Outcome::Failed(Fault::DedupeMemory) => Some(Failure::Certain),
        Outcome::Failed(_) | Outcome::Undecided(_) => Some(Failure::Possible),
        Outcome::Delivered | Outcome::Accepted | Outcome::Challenge | Outcome::Duplicate | Outcome::ClientClosed => {
            None
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (outcome, status) =
            if std::thread::panicking() { (Fault::Internal.into(), 500) } else { (Outcome::ClientClosed, 0) };
        self.spend(&outcome, status);
        self.write(outcome, status);
    }
}

/// Records what never became a request: a head that was refused before anything could be routed. Gives the id back for the
/// answer.
pub(crate) fn edge_refused(
    gate: &Gate,
    connection: &Connection,
    version: Version,
    refusal: Refusal,
    status: u16,
    detail: Option<&str>,
) -> String {
    let received_at = gate.clock.now();
    let id = request_id(received_at);
    gate.observer.request(&RequestEvent {
        request_id: &id,
        received_at,
        listener: &connection.listener.name,
        route: None,
        provider: None,
        method: Method::Other,
        version,
        path: "",
        host: "",
        source: connection.source.ip,
        via: connection.source.via,
        allowed_by: None,
        denied_by: None,
        would_refuse: None,
        outcome: refusal.into(),
        status,
        key: None,
        dedupe: None,
        timestamp: None,
        body_bytes: 0,
        upstream: None,
        server: None,
        upstream_status: None,
        attempts: 0,
        detail,
        read: Duration::ZERO,
        verify: Duration::ZERO,
        forward: Duration::ZERO,
        total: Duration::ZERO,
    });
    history::refused_at_the_edge(gate, connection, version, refusal, status, &id, received_at);
    id
}

/// Time first, so that ids sort as requests came (until the year 2527, when its eleven digits are used up); then 64 random
/// bits. An id is a name, not a secret.
pub fn request_id(at: UnixMillis) -> String {
    let time = at.0.max(0).cast_unsigned();
    let [high, low] = [time >> 12, time << 20].map(|part| hex::digits(part as u32));
    let mut id = [0; 27];
    // The low part has three digits and five zeros, which chance is written over.
    for (place, digits) in
        [(0, high), (8, low), (11, hex::digits(fastrand::u32(..))), (19, hex::digits(fastrand::u32(..)))]
    {
        if let Some(part) = id.get_mut(place..).and_then(<[u8]>::first_chunk_mut) {
            *part = digits;
        }
    }
    std::str::from_utf8(&id).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_sort_by_time_and_do_not_repeat() {
        let first = request_id(UnixMillis::from_secs(1_700_000_000));
        let second = request_id(UnixMillis::from_secs(1_700_000_001));
        assert!(first < second);
        assert_eq!(first.len(), 27);
        assert_ne!(request_id(UnixMillis(0)), request_id(UnixMillis(0)));
        assert!(
            request_id(UnixMillis(1_767_225_600_007)).starts_with("19b76daa807"),
            "hexadecimal, most significant first"
        );
        assert!(request_id(UnixMillis(-1)).starts_with("00000000000"));
    }
}
