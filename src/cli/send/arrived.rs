//! Whether the application took what the relay accepted: a success alone does not say so where the relay stores first.

use std::time::Duration;

use http::Method;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::outcome::Summary;
use crate::control::admin::client::Caller;
use crate::control::admin::events::{Denied, EventDetail, Failure, is_id};
use crate::domain::HistoryOutcome;
use crate::runtime::snapshot::{AdminAddress, Snapshot};

/// Between two questions about a request that nobody has tried to deliver yet.
const POLL: Duration = Duration::from_millis(100);
/// For one answer of the admin listener.
const ANSWER: Duration = Duration::from_secs(10);

/// What became of a request behind the relay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "state", content = "detail", rename_all = "snake_case")]
pub(super) enum Arrival {
    /// The application took it.
    Delivered,
    /// There is nothing to deliver: a duplicate, or a challenge of the provider.
    NotForwarded,
    /// It is stored, and no attempt has succeeded so far; with the reason.
    Waiting(String),
    /// It is not tried any more; with the reason.
    Dead(String),
    /// The relay could not be asked, or does not say; with the reason.
    Unknown(String),
}

impl Arrival {
    /// For people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Delivered => "delivered: the application took it".to_owned(),
            Self::NotForwarded => "answered by the relay: there is nothing to deliver".to_owned(),
            Self::Waiting(why) => format!("accepted, not delivered yet: {why}"),
            Self::Dead(why) => format!("accepted, not delivered, and not tried again: {why}"),
            Self::Unknown(why) => format!("accepted; whether it was delivered is not known: {why}"),
        }
    }

    /// Whether it contradicts the success that the sender received.
    pub(super) fn is_bad(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Dead(_))
    }
}

/// Asks about every success that is listed, for as long as `wait` in all. Without a store each success is the
/// application's own, so there is nothing to ask.
pub(super) async fn follow(summary: &mut Summary, snapshot: &Snapshot, wait: Duration) {
    if wait.is_zero() || snapshot.store.is_none() {
        return;
    }
    let Some(admin) = &snapshot.admin else {
        let why = "the configuration has no [admin] address";
        summary.arrived(std::iter::repeat(Arrival::Unknown(why.to_owned())));
        return;
    };
    let until = Instant::now() + wait;
    let mut found = Vec::new();
    for id in summary.successes() {
        found.push(arrival(admin, &id, until, wait).await);
    }
    summary.arrived(found.into_iter());
}

async fn arrival(admin: &AdminAddress, id: &str, until: Instant, wait: Duration) -> Arrival {
    let mut caller = Caller::new(admin.clone());
    loop {
        let event = match ask(&mut caller, id).await {
            Ok(event) => event,
            Err(why) => return Arrival::Unknown(why),
        };
        if let Some(arrival) = event.as_ref().and_then(of) {
            return arrival;
        }
        if Instant::now() >= until {
            return match event {
                Some(_) => Arrival::Waiting(format!("no attempt has ended within {} s", wait.as_secs())),
                None => Arrival::Unknown("the relay at the [admin] address has no such request".to_owned()),
            };
        }
        sleep(POLL).await;
    }
}

/// `None`: there is no row of it, or not yet: rows are written after the answer.
async fn ask(caller: &mut Caller, id: &str) -> Result<Option<EventDetail>, String> {
    // An answer from elsewhere may call itself as it likes.
    if !is_id(id) {
        return Ok(None);
    }
    let path = format!("/api/v1/events/{id}");
    let answer = caller.ask(Method::GET, &path, ANSWER).await.map_err(|error| error.to_string())?;
    if answer.status == 200 {
        let event = serde_json::from_slice(&answer.body);
        return event.map(Some).map_err(|_| "the relay's answer cannot be read".to_owned());
    }
    match serde_json::from_slice::<Failure>(&answer.body) {
        Ok(failure) if failure.code == Denied::Unknown.code() => Ok(None),
        Ok(failure) => Err(failure.error),
        Err(_) => Err(format!("the relay answered {}", answer.status)),
    }
}

/// `None`: nothing is known yet. One failed attempt is enough to say so: the next may be minutes away.
fn of(event: &EventDetail) -> Option<Arrival> {
    let row = &event.row;
    let failed = event.history.last().and_then(|attempt| {
        let fault = attempt.fault.as_ref()?;
        Some(attempt.detail.as_ref().map_or_else(|| fault.clone(), |detail| format!("{fault}: {detail}")))
    });
    let why = || failed.clone().or_else(|| row.reason.clone()).unwrap_or_else(|| row.outcome.to_string());
    match (row.state.as_deref(), row.outcome) {
        (Some("waiting"), _) => failed.map(|why| match &row.due {
            Some(due) => Arrival::Waiting(format!("{why}; next attempt at {due}")),
            None => Arrival::Waiting(why),
        }),
        (_, HistoryOutcome::Delivered) => Some(Arrival::Delivered),
        (_, HistoryOutcome::Duplicate | HistoryOutcome::Challenge) => Some(Arrival::NotForwarded),
        _ => Some(Arrival::Dead(why())),
    }
}
