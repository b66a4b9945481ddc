//! An attempt to deliver a request out of the store: one line, one count.

use std::time::Duration;

use crate::base::UnixMillis;
use crate::domain::Fault;

use super::line::{Level, Line};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Taken.
    Taken,
    /// Not taken, and nothing follows: a redelivery.
    Failed,
    /// Not taken; again at this time.
    Again(UnixMillis),
    /// Not taken for the last time: a dead letter.
    Dead,
    /// Nobody could be asked; it does not count.
    Released,
}

impl Delivered {
    /// Metric label and log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "delivered",
            Self::Failed | Self::Again(_) => "failed",
            Self::Dead => "dead",
            Self::Released => "released",
        }
    }
}

/// One attempt. It has no field that could hold a query, a header value, a body or a secret.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "docs/operating.md explains each field under the same name")]
pub struct DeliveryEvent<'e> {
    pub result: Delivered,
    pub request_id: &'e str,
    pub route: &'e str,
    pub upstream: &'e str,
    pub attempt: u32,
    /// An operator asked for it.
    pub redelivery: bool,
    pub server: Option<&'e str>,
    pub status: Option<u16>,
    pub fault: Option<Fault>,
    pub detail: Option<&'e str>,
    /// Since the request was received.
    pub waited: Duration,
    pub took: Duration,
}

impl DeliveryEvent<'_> {
    pub(super) fn level(&self) -> Level {
        match self.result {
            Delivered::Taken => Level::Info,
            Delivered::Failed | Delivered::Again(_) | Delivered::Released => Level::Warn,
            Delivered::Dead => Level::Error,
        }
    }

    pub(super) fn write(&self, line: &mut Line) {
        line.word("result", self.result.as_str());
        if let Some(fault) = self.fault {
            line.word("reason", fault.code());
        }
        line.text("request_id", self.request_id)
            .text("route", self.route)
            .text("upstream", self.upstream)
            .number("attempt", self.attempt);
        if self.redelivery {
            line.boolean("redelivery", true);
        }
        line.maybe("server", self.server);
        if let Some(status) = self.status {
            line.number("upstream_status", status);
        }
        if let Delivered::Again(due) = self.result {
            line.time("due", due);
        }
        if let Some(detail) = self.detail {
            line.long("detail", detail);
        }
        line.millis("waited_ms", self.waited).millis("took_ms", self.took);
    }
}
