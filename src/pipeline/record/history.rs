//! What of a record goes into the store.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::UnixMillis;
use crate::domain::{Head, Method, Outcome, Refusal, Version};
use crate::pipeline::{Connection, Gate, answer};
use crate::snapshot::{Route, Verification};
use crate::store::{Entry, Store, StoredRequest, Took};

use super::Record;

impl Record<'_> {
    /// The row of a request that is about to become durable, with its body.
    pub(in crate::pipeline) fn accepted(&self, body: &Bytes) -> Entry {
        let status = answer::success(self.route()).status;
        Entry { body: Some(body.clone()), ..self.entry(&Outcome::Accepted, status) }
    }

    /// The same request as it is delivered from memory: as it would come out of the store, but with its token.
    pub(in crate::pipeline) fn stored(&self, route: &Arc<str>, body: &Bytes) -> StoredRequest {
        StoredRequest {
            request_id: self.request_id.as_str().into(),
            route: Arc::clone(route),
            received_at: self.received_at,
            source: self.source.ip,
            https: self.https(),
            head: self.head.clone(),
            suffix: self.suffix,
            body: body.clone(),
            key: self.proof.as_ref().map(|proof| Arc::clone(&proof.key)),
            dedupe: self.proof.as_ref().and_then(|proof| proof.dedupe.clone()),
            timestamp: self.proof.as_ref().and_then(|proof| proof.timestamp),
            attempts: 0,
        }
    }

    /// Adds a row to the history. What was not proven genuine may come as often as strangers like, so its rows are bounded.
    pub(super) fn remember(&self, store: &Store, outcome: &Outcome, status: u16) {
        match outcome {
            Outcome::Delivered | Outcome::Accepted | Outcome::Duplicate => store.record(self.entry(outcome, status)),
            Outcome::Failed(_) | Outcome::Gone if self.forwarded.is_some() => store.record(self.entry(outcome, status)),
            Outcome::Refused(_) | Outcome::Failed(_) | Outcome::Gone | Outcome::Handshake => {
                store.record_bounded(|| self.entry(outcome, status));
            }
        }
    }

    fn entry(&self, outcome: &Outcome, status: u16) -> Entry {
        let (proof, forwarded) = (self.proof.as_ref(), self.forwarded.as_ref());
        Entry {
            request_id: self.request_id.as_str().into(),
            received_at: self.received_at,
            listener: Arc::clone(&self.connection.listener.name),
            route: self.route.map(|route| Arc::clone(&route.name)),
            provider: self.route.and_then(|route| route.provider.clone()),
            method: self.head.method(),
            version: self.head.version(),
            head: Some(kept_head(self.route(), self.head)),
            sensitive: sensitive(self.route()),
            suffix: self.suffix,
            https: self.https(),
            source: self.source.ip,
            via: self.source.via.as_str(),
            allowed_by: self.allowed_by.or(self.would_refuse().map(observed)).map(Into::into),
            outcome: outcome.as_str(),
            reason: outcome.reason(),
            status,
            key: proof.map(|proof| Arc::clone(&proof.key)),
            dedupe: proof.and_then(|proof| proof.dedupe.clone()),
            timestamp: proof.and_then(|proof| proof.timestamp),
            body_bytes: self.body_bytes,
            body: self.body.clone(),
            upstream: forwarded.and(self.route).map(|route| Arc::clone(&route.upstream.name)),
            server: forwarded.and_then(|forwarded| forwarded.server.clone()),
            upstream_status: forwarded.and_then(|forwarded| forwarded.status),
            attempts: forwarded.map_or(0, |forwarded| forwarded.attempts),
            detail: forwarded.and_then(|forwarded| forwarded.detail.as_deref()).map(Into::into),
            took: Took {
                read: self.read,
                verify: self.verify,
                forward: forwarded.map_or_else(Default::default, |forwarded| forwarded.took),
                total: self.started.elapsed(),
            },
        }
    }
}

/// What stands in the place of an entry where none admitted the source and the lists are only observed. No list can have such
/// a name.
fn observed(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::AddressDenied => "observe:address_denied",
        Refusal::AddressUnknown => "observe:address_unknown",
        _ => "observe:address_not_allowed",
    }
}

/// The head without what is a secret by itself. Where no route was found nobody knows what is one, so its query and its
/// credentials stay out.
fn kept_head(route: Option<&Route>, head: &Head) -> Head {
    let blanked = match route.map(|route| &route.verify) {
        Some(Verification::Signed(verifier)) => verifier.blanked(head),
        Some(Verification::DangerouslyNone) => None,
        None => {
            let secret = |name: &str| ["authorization", "cookie"].iter().any(|known| name.eq_ignore_ascii_case(known));
            Some(head.rewritten(None, |name, _| secret(name).then(Vec::new)))
        }
    };
    blanked.unwrap_or_else(|| head.clone())
}

/// What must be masked wherever the head is shown.
fn sensitive(route: Option<&Route>) -> Arc<[Box<str>]> {
    match route.map(|route| &route.verify) {
        Some(Verification::Signed(verifier)) => Arc::clone(verifier.sensitive()),
        Some(Verification::DangerouslyNone) | None => Arc::default(),
    }
}

/// The row of what never became a request.
pub(super) fn refused_at_the_edge(
    gate: &Gate,
    connection: &Connection,
    version: Version,
    refusal: Refusal,
    status: u16,
    id: &str,
    received_at: UnixMillis,
) {
    let Some(store) = gate.state.store() else { return };
    let outcome = Outcome::from(refusal);
    store.record_bounded(|| Entry {
        request_id: id.into(),
        received_at,
        listener: Arc::clone(&connection.listener.name),
        route: None,
        provider: None,
        method: Method::Other,
        version,
        head: None,
        sensitive: Arc::default(),
        suffix: 0,
        https: connection.listener.tls.is_some(),
        source: connection.source.ip,
        via: connection.source.via.as_str(),
        allowed_by: None,
        outcome: outcome.as_str(),
        reason: outcome.reason(),
        status,
        key: None,
        dedupe: None,
        timestamp: None,
        body_bytes: 0,
        body: None,
        upstream: None,
        server: None,
        upstream_status: None,
        attempts: 0,
        detail: None,
        took: Took::default(),
    });
}
