//! Step 11, while the sender waits: the verified bytes to an internal server. `compose` says what they look like.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::Instant;

use crate::base::UnixMillis;
use crate::domain::{Fault, Head, SourceAddress, Version};
use crate::runtime::snapshot::AnswerPolicy;
use crate::store::{Attempt, AttemptKind, RefusedAt};
use crate::upstream::{Received, RetryAfter, Undelivered};

use super::compose::Inward;
use super::dedupe::Fresh;
use super::plan::Forward;
use super::record::Record;
use super::{Gate, Reply};

/// A request that an internal server took.
#[derive(Debug)]
pub struct Delivered<'s> {
    fresh: Fresh<'s>,
    received: Received,
}

/// What came of the attempt.
#[derive(Debug)]
pub enum Tried<'s> {
    /// A server took it.
    Delivered(Delivered<'s>),
    /// None did. It is as fresh as before.
    Missed(Fresh<'s>, Missed),
}

/// Why no server took it.
#[derive(Debug)]
pub struct Missed {
    /// What the sender receives, unless the request is kept.
    pub fault: Fault,
    /// How many servers were asked; none: nothing was sent.
    pub asked: u32,
    /// When the server wants to be asked again.
    pub retry_after: Option<RetryAfter>,
    /// For the history.
    pub attempt: Attempt,
    /// Where it failed because of the upstream, and that was taken note of.
    pub refused: Option<RefusedAt>,
}

impl<'s> Delivered<'s> {
    /// Forwards to the route's upstream, for as long as the plan has it.
    pub(super) async fn forward(
        fresh: Fresh<'s>,
        head: &Head,
        source: SourceAddress,
        gate: &Gate,
        record: &mut Record<'_>,
        plan: &Forward,
    ) -> Tried<'s> {
        let (mut sent, at) = (fresh.done(), fresh.at());
        if head.version() == Version::Http2 {
            // Where streams are ready together, all are verified before the first one is sent: to wake a server that sleeps costs
            // more than to send, and so it is woken once for all of them.
            yield_now().await;
            sent = Instant::now();
        }
        let by = plan.until(record.started(), fresh.route().deadline);
        let result = Inward::live(&fresh, head, source, record).forward(fresh.route(), at, sent, by).await;
        let took = sent.elapsed();
        record.forwarded(&result, took);
        match result {
            Ok(received) if plan.is_failure(received.status, gate, fresh.route()) => {
                let missed = Missed::answered(&received, record.sends().last(), at, took);
                Tried::Missed(fresh, missed)
            }
            Ok(received) => Tried::Delivered(Self { fresh, received }),
            Err(undelivered) => Tried::Missed(fresh, Missed::unanswered(undelivered, record.sends().last(), at, took)),
        }
    }

    /// Remembers a success; what the upstream refused may come again.
    pub(super) fn commit(self, gate: &Gate) -> Reply {
        let pass_through = matches!(self.fresh.route().answer, AnswerPolicy::Upstream);
        if (200..300).contains(&self.received.status) {
            self.fresh.commit(&gate.clock, gate.state.store().map(Arc::as_ref));
        }
        if pass_through { Reply::Upstream(self.received) } else { Reply::Standard }
    }
}

impl Missed {
    fn answered(received: &Received, number: u32, at: UnixMillis, took: Duration) -> Self {
        let attempt = Attempt {
            number,
            at,
            kind: AttemptKind::Direct,
            server: Some((&*received.server).into()),
            status: Some(received.status),
            fault: Some(Fault::UpstreamStatus),
            detail: None,
            took,
        };
        Self { fault: Fault::UpstreamStatus, asked: received.attempts, retry_after: None, attempt, refused: None }
    }

    fn unanswered(undelivered: Undelivered, number: u32, at: UnixMillis, took: Duration) -> Self {
        let Undelivered { fault, status, server, attempts, retry_after, detail } = undelivered;
        let attempt = Attempt {
            number,
            at,
            kind: AttemptKind::Direct,
            server: server.map(|server| (&*server).into()),
            status,
            fault: Some(fault),
            detail: Some(detail.into()),
            took,
        };
        Self { fault, asked: attempts, retry_after, attempt, refused: None }
    }
}
