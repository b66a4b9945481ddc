//! Beside the way: a request that its address alone keeps out may be genuine, and the list behind its provider.
//!
//! At most one such request per second of the whole process is verified, and only once its sender has the answer. Nothing follows
//! from it for the request: it stays refused, is not forwarded, proves no connection, counts in no budget, and its ids are
//! not recorded. An operator receives a line that says which address to add.
//!
//! What it may spend: the body that the edge would read and drop anyway, as far as memory is plenty and time is left.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use crate::base::UnixMillis;
use crate::domain::{Head, Outcome, Refusal};
use crate::observe::{Event, Sampled};
use crate::runtime::snapshot::{Route, Verification};
use crate::runtime::state::BodyShare;

use super::read::{self, BodySource};
use super::record::Record;
use super::{Connection, Gate, admit, challenge, verify};

/// A larger body is not looked at.
const BODY_MOST: u64 = 1024 * 1024;
/// How much more memory is taken at a time.
const STEP: usize = 16 * 1024;
/// Entries of an `allow` that are repeated in the line to add.
const ENTRIES_SHOWN: usize = 16;

/// A request that was refused for its address alone, to be verified after its answer.
#[derive(Debug)]
pub struct Unlisted {
    route: Arc<Route>,
    source: IpAddr,
    at: UnixMillis,
    request_id: String,
}

impl Unlisted {
    /// The one of this second, if it was refused for its address, and its route would go on to verify it if that was listed.
    pub(super) fn choose(
        outcome: &Outcome,
        gate: &Gate,
        connection: &Connection,
        head: &Head,
        record: &Record<'_>,
    ) -> Option<Self> {
        if !matches!(outcome, Outcome::Refused(turned) if turned.refusal == Refusal::AddressNotAllowed) {
            return None;
        }
        let route = record.shared_route()?;
        let announced = challenge::is_announced(route, head);
        let is_signed = matches!(route.verify, Verification::Signed(_));
        if !is_signed || admit::after_address(route, connection, head, announced).is_err() {
            return None;
        }
        let at = record.received_at();
        gate.state.sampling.takes(at).then(|| Self {
            route: Arc::clone(route),
            source: record.source_address(),
            at,
            request_id: record.request_id().to_owned(),
        })
    }

    /// Verifies it. The sender must have its answer by now.
    pub async fn verify<B: BodySource>(self, gate: &Gate, head: &Head, body: &mut B, by: Instant) {
        let sampled = match timeout_at(by, self.judge(gate, head, body, by)).await {
            Ok(Some(true)) => Sampled::Genuine,
            Ok(Some(false)) => Sampled::Refused,
            Ok(None) | Err(_) => Sampled::Unread,
        };
        gate.observer.sampled(&self.route.name, sampled);
        if sampled == Sampled::Genuine && gate.state.unlisted(&self.route.name).note(self.source, self.at) {
            gate.observer.record(&Event::GenuineUnlisted {
                route: &self.route.name,
                provider: self.route.provider.as_deref(),
                source: self.source,
                request_id: &self.request_id,
                add: &addition(&self.route, [self.source]),
            });
        }
    }

    /// Whether it is genuine; `None` where its body could not be had.
    async fn judge<B: BodySource>(&self, gate: &Gate, head: &Head, body: &mut B, by: Instant) -> Option<bool> {
        let mut share = gate.state.bodies.share();
        let body = whole(head, body, self.route.max_body.min(BODY_MOST), &mut share).await?;
        let place = verify::place(&self.route, body.len(), &share, &gate.state.verify_places, by).await.ok()?;
        let work = || verify::prove(&self.route, head, &body, self.at).is_ok();
        Some(if place.is_some() { verify::apart(work) } else { work() })
    }
}

/// The line of `relay.toml` that would admit these addresses.
pub fn addition(route: &Route, addresses: impl IntoIterator<Item = IpAddr>) -> String {
    let added = addresses.into_iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    let listed: Vec<_> = route.access.admitted().take(ENTRIES_SHOWN + 1).map(|entry| format!("\"{entry}\"")).collect();
    match listed.len() {
        0 => format!("[routes.{}] allow = [{added}]", route.name),
        1..=ENTRIES_SHOWN => format!("[routes.{}] allow = [{}, {added}]", route.name, listed.join(", ")),
        _ => format!("[routes.{}] add {added} to allow", route.name),
    }
}

/// The body, where there is plenty of memory: nobody is evicted for it, and nobody waits.
async fn whole<B: BodySource>(head: &Head, source: &mut B, max: u64, share: &mut BodyShare<'_>) -> Option<Bytes> {
    let (held, max) = (read::held(head), usize::try_from(max).ok()?);
    let mut body = BytesMut::new();
    while !source.is_done() {
        let room = max - body.len().min(max);
        let more = STEP.min(room).max(1);
        if !share.grow_in_plenty((held + body.len() + more) as u64) {
            return None;
        }
        body.reserve(more);
        source.fill(&mut body, room).await.ok()?;
        if !share.grow_in_plenty((held + body.capacity()) as u64) {
            return None;
        }
    }
    Some(body.freeze())
}
