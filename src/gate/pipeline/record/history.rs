//! What of a record goes into the store.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::UnixMillis;
use crate::domain::sensitive::starred;
use crate::domain::{Held, HistoryOutcome, Kept, Marks, Method, Outcome, Own, Refusal, Version};
use crate::gate::pipeline::{Connection, Gate, answer, held};
use crate::runtime::snapshot::Verification;
use crate::store::{Entry, Store, StoredRequest, Took};

use super::Record;

impl Record<'_> {
    /// The row of a request that is about to become durable, with its body.
    pub(in crate::gate::pipeline) fn accepted(&self, body: &Bytes) -> Entry {
        let status = answer::success(self.route()).status;
        self.entry(&Outcome::Accepted, status, Some(body))
    }

    /// The same request as it is delivered from memory: as it would come out of the store, with what was blanked there.
    pub(in crate::gate::pipeline) fn stored(&self, route: &Arc<str>, body: &Bytes) -> StoredRequest {
        StoredRequest {
            request_id: self.request_id.as_str().into(),
            route: Arc::clone(route),
            received_at: self.received_at,
            source: self.source.ip,
            https: self.https(),
            head: self.head.clone(),
            suffix: self.suffix,
            body: body.clone(),
            held: None,
            key: self.proof.as_ref().map(|proof| Arc::clone(&proof.key)),
            verified_by: self.verified_by(),
            dedupe: self.proof.as_ref().and_then(|proof| proof.dedupe.clone()),
            timestamp: self.proof.as_ref().and_then(|proof| proof.timestamp),
        }
    }

    /// Nothing was, unless there is a proof.
    fn verified_by(&self) -> Option<Arc<str>> {
        self.proof.as_ref().and(self.route)?.verified_by.clone()
    }

    /// Adds a row to the history. Everything short of a fresh genuine request may come as often as strangers like, so the rows
    /// of it are bounded; and a copy's row has neither head nor body: the row of what it is a copy of has them.
    pub(super) fn remember(&self, store: &Store, outcome: &Outcome, status: u16) {
        let bounded = |entry: fn(&Self, &Outcome, u16) -> Entry| {
            let kind = if outcome.reason().is_empty() { outcome.as_str() } else { outcome.reason() };
            store.record_bounded(self.route.map(|route| &route.name), kind, || entry(self, outcome, status));
        };
        match outcome {
            Outcome::Delivered | Outcome::Accepted => store.record(self.full_entry(outcome, status)),
            Outcome::Duplicate => bounded(Self::slim_entry),
            // Who has a copy of a request that nobody could deliver yet can have it fail again and again.
            Outcome::Failed(_) | Outcome::ClientClosed if self.genuine && self.failed_before(store) => {
                bounded(Self::slim_entry)
            }
            Outcome::Failed(_) | Outcome::ClientClosed if self.genuine => {
                store.record(self.full_entry(outcome, status))
            }
            Outcome::Refused(_)
            | Outcome::Undecided(_)
            | Outcome::Failed(_)
            | Outcome::ClientClosed
            | Outcome::Challenge => bounded(Self::full_entry),
        }
    }

    /// The number of the last send, where a server was tried.
    fn last_attempt(&self) -> u32 {
        let tried = self.forwarded.as_ref().is_some_and(|forwarded| forwarded.attempts > 0);
        if tried || self.sends.begun() > 0 { self.sends.last() } else { 0 }
    }

    fn failed_before(&self, store: &Store) -> bool {
        let id = self.proof.as_ref().and_then(|proof| proof.dedupe.as_deref());
        self.route().zip(id).is_some_and(|(route, id)| store.failed_before(&route.name, id))
    }

    fn full_entry(&self, outcome: &Outcome, status: u16) -> Entry {
        self.entry(outcome, status, self.body.as_ref())
    }

    /// One more of the same.
    fn slim_entry(&self, outcome: &Outcome, status: u16) -> Entry {
        Entry { head: None, ..self.entry(outcome, status, None) }
    }

    fn entry(&self, outcome: &Outcome, status: u16, body: Option<&Bytes>) -> Entry {
        let (proof, forwarded) = (self.proof.as_ref(), self.forwarded.as_ref());
        let verify = self.route().map(|route| &route.verify);
        let Kept { head, marks, mut held } = self.sensitive.keep(self.head, verify.map(own));
        let body = body.map(|body| self.kept_body(body, &mut held));
        // Without a body nothing is delivered, and what was not proven never is.
        let may_be_delivered = self.genuine && body.is_some() && !held.is_empty();
        let held = if may_be_delivered { held::hold(verify, proof, &self.request_id, &held) } else { None };
        Entry {
            request_id: self.request_id.as_str().into(),
            received_at: self.received_at,
            listener: Arc::clone(&self.connection.listener.name),
            route: self.route.map(|route| Arc::clone(&route.name)),
            provider: self.route.and_then(|route| route.provider.clone()),
            method: self.head.method(),
            version: self.head.version(),
            head: Some(head.unwrap_or_else(|| self.head.clone())),
            marks,
            suffix: self.suffix,
            https: self.https(),
            source: self.source.ip,
            via: self.source.via.as_str(),
            allowed_by: self.allowed_by.or(self.unlisted().map(observed)).map(Into::into),
            outcome: HistoryOutcome::from(outcome),
            reason: outcome.reason(),
            status,
            key: proof.map(|proof| Arc::clone(&proof.key)),
            verified_by: self.verified_by(),
            dedupe: proof.and_then(|proof| proof.dedupe.clone()),
            timestamp: proof.and_then(|proof| proof.timestamp),
            body_bytes: self.body_bytes,
            body,
            held,
            upstream: forwarded.and(self.route).map(|route| Arc::clone(&route.upstream.name)),
            server: forwarded.and_then(|forwarded| forwarded.server.clone()),
            upstream_status: forwarded.and_then(|forwarded| forwarded.status),
            attempts: self.last_attempt(),
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

impl Record<'_> {
    /// The body without tokens: those that its route read there, and, where it was not proven, any that some route accepts.
    fn kept_body(&self, body: &Bytes, held: &mut Held) -> Bytes {
        let mut tokens = match self.route().map(|route| &route.verify) {
            Some(Verification::Signed(verifier)) => verifier.tokens_in(self.head, body),
            Some(Verification::DangerouslyNone) | None => Vec::new(),
        };
        if !self.genuine {
            tokens.extend(self.sensitive.tokens_in(body));
        }
        held.hold(body, &tokens);
        if tokens.is_empty() { body.clone() } else { starred(body, &tokens).into() }
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

/// Where the route reads signatures.
fn own(verify: &Verification) -> &Own {
    static NONE: Own = Own { fields: Vec::new(), members: Vec::new() };
    match verify {
        Verification::Signed(verifier) => verifier.own(),
        Verification::DangerouslyNone => &NONE,
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
    store.record_bounded(None, outcome.reason(), || Entry {
        request_id: id.into(),
        received_at,
        listener: Arc::clone(&connection.listener.name),
        route: None,
        provider: None,
        method: Method::Other,
        version,
        head: None,
        marks: Marks::default(),
        suffix: 0,
        https: connection.listener.tls.is_some(),
        source: connection.source.ip,
        via: connection.source.via.as_str(),
        allowed_by: None,
        outcome: HistoryOutcome::from(&outcome),
        reason: outcome.reason(),
        status,
        key: None,
        verified_by: None,
        dedupe: None,
        timestamp: None,
        body_bytes: 0,
        body: None,
        held: None,
        upstream: None,
        server: None,
        upstream_status: None,
        attempts: 0,
        detail: None,
        took: Took::default(),
    });
}
