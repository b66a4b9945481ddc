//! Step 13: one event for every request, also when its sender went away: the record closes itself on drop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Head, Outcome, SourceAddress};
use crate::observe::{Observer, RequestEvent};
use crate::snapshot::Route;
use crate::upstream::{Received, Undelivered};

use super::admit::Admitted;
use super::route::Routed;
use super::{Connection, Gate};

/// How much of a path or host a log line shows.
const SHOWN_MAX: usize = 256;

/// The event of one request, filled as its steps succeed.
#[derive(Debug)]
pub struct Record<'g> {
    observer: &'g Observer,
    started: Instant,
    route: Option<Arc<Route>>,
    event: Option<RequestEvent>,
}

impl<'g> Record<'g> {
    /// Opens the record of a request whose head is complete.
    pub(super) fn open(gate: &'g Gate, connection: &Connection, head: &Head) -> Self {
        let received_at = gate.clock.now();
        let source = connection.peer.source;
        let event = RequestEvent {
            request_id: request_id(received_at),
            received_at,
            listener: Arc::clone(&connection.listener.name),
            route: None,
            provider: None,
            method: head.method(),
            version: head.version(),
            path: shown(head.path()),
            host: shown(head.host()),
            source: source.ip,
            via: source.via,
            allowed_by: None,
            outcome: Outcome::Gone,
            status: 0,
            key: None,
            dedupe: None,
            timestamp: None,
            body_bytes: 0,
            upstream: None,
            server: None,
            upstream_status: None,
            attempts: 0,
            detail: None,
            read: Duration::ZERO,
            verify: Duration::ZERO,
            forward: Duration::ZERO,
            total: Duration::ZERO,
        };
        gate.observer.request_started();
        Self { observer: &gate.observer, started: Instant::now(), route: None, event: Some(event) }
    }

    pub(super) fn source(&mut self, source: SourceAddress) {
        self.note(|event| {
            event.source = source.ip;
            event.via = source.via;
        });
    }

    pub(super) fn routed(&mut self, routed: &Routed<'_>) {
        let route = routed.route();
        self.route = Some(Arc::clone(route));
        self.note(|event| {
            event.route = Some(Arc::clone(&route.name));
            event.provider = route.provider.clone();
        });
    }

    pub(super) fn admitted(&mut self, admitted: &Admitted<'_>) {
        self.note(|event| event.allowed_by = admitted.allowed_by().map(str::to_owned));
    }

    pub(super) fn received(&mut self, received: &super::read::Received<'_>) {
        self.note(|event| {
            event.body_bytes = received.body().len() as u64;
            event.read = received.took();
        });
    }

    pub(super) fn verified(&mut self, verified: &super::verify::Verified<'_>) {
        self.note(|event| {
            event.verify = verified.took();
            if let Some(proof) = verified.proof() {
                event.key = Some(Arc::clone(&proof.key));
                event.dedupe = proof.dedupe.clone();
                event.timestamp = proof.timestamp;
            }
        });
    }

    pub(super) fn forwarded(&mut self, upstream: &Arc<str>, result: &Result<Received, Undelivered>, took: Duration) {
        self.note(|event| {
            event.upstream = Some(Arc::clone(upstream));
            event.forward = took;
            match result {
                Ok(received) => {
                    event.server = Some(Arc::clone(&received.server));
                    event.upstream_status = Some(received.status);
                    event.attempts = received.attempts;
                }
                Err(undelivered) => {
                    event.server.clone_from(&undelivered.server);
                    event.upstream_status = undelivered.status;
                    event.attempts = undelivered.attempts;
                    event.detail = Some(undelivered.detail.clone());
                }
            }
        });
    }

    /// The id under which the sender, the log and the application know this request.
    pub(super) fn request_id(&self) -> &str {
        self.event.as_ref().map_or("", |event| &event.request_id)
    }

    /// When the head was complete.
    pub(super) fn received_at(&self) -> UnixMillis {
        self.event.as_ref().map_or(UnixMillis(0), |event| event.received_at)
    }

    /// The route, once there is one.
    pub(super) fn route(&self) -> Option<&Route> {
        self.route.as_deref()
    }

    /// Writes the event; gives the request id back for the answer.
    pub(super) fn close(mut self, outcome: Outcome, status: u16) -> String {
        self.note(|event| {
            event.outcome = outcome;
            event.status = status;
        });
        self.write().unwrap_or_default()
    }

    fn write(&mut self) -> Option<String> {
        let mut event = self.event.take()?;
        event.total = self.started.elapsed();
        self.observer.request(&event);
        Some(event.request_id)
    }

    fn note(&mut self, change: impl FnOnce(&mut RequestEvent)) {
        if let Some(event) = &mut self.event {
            change(event);
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

/// Time first, so that ids sort as requests came; then 64 random bits. An id is a name, not a secret.
pub fn request_id(at: UnixMillis) -> String {
    format!("{:011x}{:016x}", at.0.max(0), fastrand::u64(..))
}

fn shown(text: &str) -> String {
    let mut end = text.len().min(SHOWN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
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
    }
}
