//! A request's whole way, top to bottom. Every early exit is a `?` with a named reason.
//!
//! Each step takes what only the step before it can make, so a wrong order does not compile: there is no way to forward a
//! request that was not verified. The cheapest check comes first: headers before body, body before crypto, crypto before disk. No
//! step talks to a socket, none picks a status, none writes a log line.
//!
//! | step | takes → gives | leaves early as |
//! |---|---|---|
//! | [`source`] | the source, and the listener's `deny` | `address_denied`, `address_unknown` |
//! | [`Routed`] | head → route | `route_unknown`, `host_misdirected`, `method_not_allowed` |
//! | [`Admitted`] | method, address, headers, declared size | `method_not_allowed`, `address_not_allowed`, `address_denied`, `address_unknown`, `header_required`, `content_type_unsupported`, `loop_detected`, `body_too_large` |
//! | [`Metered`] | what its source address may send | `source_rate_limited` |
//! | [`challenge`] | an unsigned challenge known by its head | answered here |
//! | [`Received`] | the body, whole, in memory | `body_too_large`, `body_timeout`, `body_too_slow`, `body_malformed`, `body_incomplete`, `body_memory` |
//! | [`challenge`] | an unsigned challenge known by its body | answered here |
//! | [`Verified`] | signature, time, ids | the 401 family, `verification_busy`, `clock_unset` |
//! | [`challenge`] | a challenge that the provider signs | answered here |
//! | [`Fresh`] | dedupe memory; what the route's genuine requests share | duplicate, `duplicate_in_flight`, `dedupe_memory`, `route_rate_limited`, `route_busy` |
//! | [`Plan`] | the route's delivery, and the state of its upstream | nobody |
//! | [`Delivered`] | an internal server's answer | the `upstream_` family |
//! | [`Accepted`] | the store's word that it is durable | `store_full`, `store_failed` |

pub mod accept;
pub mod admit;
pub mod answer;
pub mod challenge;
pub mod circuit;
pub mod compose;
pub mod dedupe;
pub mod deliver;
pub mod held;
pub mod hops;
pub mod meter;
pub mod plan;
pub mod proven;
pub mod read;
pub mod record;
pub mod route;
pub mod source;
pub mod unlisted;
pub mod verify;

use std::sync::Arc;

use crate::base::Clock;
use crate::domain::{Answer, Fault, Head, Outcome, SourceAddress, Via};
use crate::observe::Observer;
use crate::runtime::snapshot::{Listener, ServedCertificate, Snapshot};
use crate::runtime::state::State;
use crate::scheme::ChallengeAnswer;

use self::accept::Accepted;
use self::admit::Admitted;
use self::dedupe::{Deduped, Fresh};
use self::deliver::{Delivered, Tried};
use self::meter::Metered;
use self::plan::{Failure, Plan};
pub use self::proven::{Known, Proven};
use self::read::{BodySource, Received, Sender};
use self::record::Record;
use self::route::Routed;
use self::unlisted::Unlisted;
use self::verify::Verified;

/// What every request of a process shares.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Meters, dedupe memory, server states.
    pub state: Arc<State>,
    /// Log and metrics.
    pub observer: Arc<Observer>,
    /// The time that windows are judged by.
    pub clock: Clock,
}

/// What a request inherits from its connection.
#[derive(Debug)]
pub struct Connection {
    /// Where it came in, as it was when the connection was accepted.
    pub listener: Arc<Listener>,
    /// The peer, or whom a listed PROXY header named; before any `X-Forwarded-For`.
    pub source: SourceAddress,
    /// The certificate that was shown; `None` on a plaintext listener.
    pub certificate: Option<usize>,
    /// Whether the peer showed a client certificate that was accepted.
    pub client_certificate: bool,
    /// Whether a genuine request came over it that nobody had delivered before.
    pub proven: Proven,
}

impl Connection {
    /// The certificate this connection was opened under.
    pub fn served(&self) -> Option<&ServedCertificate> {
        self.listener.tls.as_ref()?.certificates.get(self.certificate?)
    }
}

/// Serves one request and gives the answer for its sender. Never fails: every request ends in an answer.
///
/// Cancel-safe: when the future is dropped because the sender went away, its reservation is released, its permits are given
/// back and it is recorded as `client_closed`. One that was about to become durable is kept and delivered all the same.
pub async fn serve<B: BodySource>(
    gate: &Gate,
    snapshot: &Snapshot,
    connection: &Connection,
    head: &Head,
    body: &mut B,
) -> Served {
    let mut record = Record::open(gate, &snapshot.sensitive, connection, head);
    let end = match steps(gate, snapshot, connection, head, body, &mut record).await {
        Ok(end) => end,
        Err(outcome) => End { outcome, reply: Reply::Standard, body_done: body.is_done() },
    };
    let answer = answer::answer(&end, head, record.route());
    let unlisted = Unlisted::choose(&end.outcome, gate, connection, head, &record);
    let request_id = record.close(end.outcome, answer.status);
    Served { answer, request_id, unlisted }
}

/// What a request comes to.
#[derive(Debug)]
pub struct Served {
    /// For the sender.
    pub answer: Answer,
    /// What logs and the history know the request by.
    pub request_id: String,
    /// What is to be done once the answer is out.
    pub unlisted: Option<Unlisted>,
}

impl Served {
    /// The answer to a request that a panic cut off; the record wrote its event.
    pub fn panicked() -> Self {
        Self { answer: answer::edge_failed(Fault::Internal), request_id: String::new(), unlisted: None }
    }
}

/// How a request ended, with what its answer needs.
#[derive(Debug)]
pub struct End {
    /// What became of it.
    pub outcome: Outcome,
    /// What to say in place of the route's fixed answer.
    pub reply: Reply,
    /// Whether the body was read to its end, so that the connection can serve another request.
    pub body_done: bool,
}

/// Where the words of an answer come from.
#[derive(Debug)]
pub enum Reply {
    /// The route, or the fixed text of the status.
    Standard,
    /// A challenge's own answer.
    Challenge(ChallengeAnswer),
    /// The upstream, on a route with `answer = "upstream"`.
    Upstream(crate::upstream::Received),
}

async fn steps<'r, B: BodySource>(
    gate: &'r Gate,
    snapshot: &'r Snapshot,
    connection: &'r Connection,
    head: &'r Head,
    body: &mut B,
    record: &mut Record<'r>,
) -> Result<End, Outcome> {
    let source = source::resolve(connection, head);
    let denials = source::denials(snapshot, connection);
    record.source(source, denials);
    source::check(denials, connection, source)?;

    let routed = Routed::find(&snapshot.routes, connection, head)?;
    record.routed(&routed);
    let admitted = Admitted::check(routed, connection, source, head)?;
    record.admitted(&admitted);
    let metered = Metered::charge(admitted, source, record.started())?;
    if let Some(answer) = challenge::unsigned(metered.route(), head) {
        return Ok(answered(answer, body.is_done()));
    }

    let sender = Sender { connection, source };
    let received = Received::read(metered, head, body, sender, &gate.state.bodies, &snapshot.limits).await?;
    record.received(&received);
    if let Some(answer) = challenge::in_body(received.route(), head, received.body()) {
        return Ok(answered(answer, true));
    }
    let by = plan::before_store(record.started(), received.route().deadline);
    let (route, length) = (received.route(), received.body().len());
    let place = verify::place(route, length, received.share(), &gate.state.verify_places, by).await?;
    let verified = Verified::check(received, place, head, &gate.clock)?;
    record.verified(&verified);
    if let Some(answer) = challenge::signed(verified.route(), head, verified.body()) {
        return Ok(answered(answer, true));
    }
    if verified.is_announced() {
        // What a challenge need not have, a webhook must.
        admit::form(verified.route(), head)?;
    }

    let fresh = match Fresh::reserve(verified, &gate.state.dedupe, &gate.clock, record.started())? {
        Deduped::Fresh(fresh) => fresh,
        Deduped::Duplicate => return Ok(End { outcome: Outcome::Duplicate, reply: Reply::Standard, body_done: true }),
    };
    record.fresh(&fresh);

    let (proves, waited) = (fresh.proves(), fresh.has_waited());
    // In a box, so that a request whose body is waited for, or that is refused, does not carry the size of a delivery.
    let end = Box::pin(deliver(fresh, head, source, gate, record)).await;
    // Only now: until it was delivered or accepted, a copy of it would be as fresh as it is.
    if proves && end.is_ok() {
        connection.proven.set();
        // Who need not wait for room need not be known for it either.
        if waited && source.via == Via::ForwardedFor {
            connection.proven.tell(source.ip);
        }
    }
    end
}

/// Step 11: forwarded, or kept, as the plan of the request has it.
async fn deliver<'r>(
    fresh: Fresh<'r>,
    head: &'r Head,
    source: SourceAddress,
    gate: &'r Gate,
    record: &mut Record<'r>,
) -> Result<End, Outcome> {
    let route = fresh.route();
    let forward = match Plan::choose(gate, route) {
        Plan::Forward(forward) => forward,
        Plan::Keep => return Accepted::keep(fresh, None, gate, record).await.map(durable),
    };
    match Delivered::forward(fresh, head, source, gate, record, &forward).await {
        Tried::Delivered(delivered) => {
            forward.taken(gate);
            Ok(taken(delivered.commit(gate)))
        }
        Tried::Missed(fresh, mut missed) => match forward.missed(&mut missed, gate, route, record) {
            Failure::Answered => Err(missed.fault.into()),
            Failure::Kept(_slot) => Accepted::keep(fresh, Some(missed), gate, record).await.map(durable),
        },
    }
}

fn taken(reply: Reply) -> End {
    End { outcome: Outcome::Delivered, reply, body_done: true }
}

fn durable(_: Accepted) -> End {
    End { outcome: Outcome::Accepted, reply: Reply::Standard, body_done: true }
}

fn answered(answer: ChallengeAnswer, body_done: bool) -> End {
    End { outcome: Outcome::Challenge, reply: Reply::Challenge(answer), body_done }
}
