//! `events`: the history of a running relay, through its admin listener.

mod bulk;
mod choose;
mod export;
mod list;
mod pace;
mod redeliver;
mod settle;
mod show;
mod tail;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;

use super::grammar::events::{Events, EventsCommand, Filters, Order};
use super::grammar::{Format, Relay};
use super::{Exit, Unusable};
use crate::cli::terminal::{Cell, Palette, Tone, cell, harmless};
use crate::control::admin::client::{Answer, Caller, ClientError};
use crate::control::admin::events::{EventPage, EventRow, Failure};
use crate::domain::HistoryOutcome;
use crate::gate::explain::EventExplanation;
use crate::scheme::form;

/// For a page, an event, a body: a search may read much of the history.
const READING: Duration = Duration::from_secs(60);
/// For a redelivery: longer than any upstream may take.
const SENDING: Duration = Duration::from_secs(290);
/// Rows that are asked for at a time.
const PAGE: u64 = 500;

pub(super) async fn events(args: &Events, format: Format) -> Result<Exit, Unusable> {
    match &args.command {
        EventsCommand::List(args) => list::list(args, format).await,
        EventsCommand::Show(args) => show::show(args, format).await,
        EventsCommand::Tail(args) => tail::tail(args, format).await,
        EventsCommand::Export(args) => export::export(args, format).await,
        EventsCommand::Redeliver(args) => redeliver::redeliver(args, format).await,
        EventsCommand::Retry(args) => settle::retry(args, format).await,
        EventsCommand::Discard(args) => settle::discard(args, format).await,
    }
}

/// What the relay says of one event, for `explain`.
pub(super) async fn explanation(relay: &Relay, id: &str) -> Result<EventExplanation, Unusable> {
    choose::below(&mut Desk::new(relay)?, id, "/explain").await
}

/// Why the relay did not do what it was asked for.
#[derive(Debug)]
pub(super) enum Refused {
    /// It says why.
    Failure(Failure),
    /// There is nobody, or nobody any more.
    Unreachable(ClientError),
    /// Something answers that speaks otherwise.
    Strange(u16),
}

impl Refused {
    /// The code of the API; empty when there was no answer.
    fn code(&self) -> &str {
        match self {
            Self::Failure(failure) => &failure.code,
            Self::Unreachable(_) | Self::Strange(_) => "",
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(failure) => f.write_str(&harmless(&failure.error)),
            Self::Unreachable(error) => error.fmt(f),
            Self::Strange(404) => f.write_str("the relay knows no events: it is older than this program"),
            Self::Strange(status) => write!(f, "the relay answered {status} and nothing that can be read"),
        }
    }
}

impl From<Refused> for Unusable {
    fn from(refused: Refused) -> Self {
        Self(refused.to_string())
    }
}

/// One relay, asked many times.
pub(super) struct Desk(Caller);

impl Desk {
    pub(super) fn new(relay: &Relay) -> Result<Self, Unusable> {
        Ok(Self(Caller::new(relay.address()?)))
    }

    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Refused> {
        read(&self.call(Method::GET, path, READING).await?)
    }

    async fn post<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Refused> {
        read(&self.call(Method::POST, path, SENDING).await?)
    }

    /// A body as it was received.
    async fn body(&mut self, id: &str) -> Result<Bytes, Refused> {
        Ok(self.call(Method::GET, &event_path(id, "/body"), READING).await?.body)
    }

    /// The same as a part of an export.
    async fn exported(&mut self, id: &str, export: &str) -> Result<Bytes, Refused> {
        let path = event_path(id, &format!("/body?export={}", form::encode(export.as_bytes())));
        Ok(self.call(Method::GET, &path, READING).await?.body)
    }

    async fn call(&mut self, method: Method, path: &str, limit: Duration) -> Result<Answer, Refused> {
        let answer = self.0.ask(method, path, limit).await.map_err(Refused::Unreachable)?;
        if answer.status == 200 {
            return Ok(answer);
        }
        let failure = serde_json::from_slice(&answer.body).map_err(|_| Refused::Strange(answer.status))?;
        Err(Refused::Failure(failure))
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Refused> {
    serde_json::from_slice(&answer.body).map_err(|_| Refused::Strange(answer.status))
}

fn event_path(id: &str, what: &str) -> String {
    format!("/api/v1/events/{}{what}", form::encode(id.as_bytes()))
}

/// A question for a list, before it is a path.
#[derive(Clone, Debug)]
struct Question(Vec<(&'static str, String)>);

impl Question {
    fn new(filters: &Filters, order: Order) -> Self {
        let Filters { route, provider, outcome, reason, status, state, since, until, id, dedupe, source, text } =
            filters;
        fn word(value: Option<impl clap::ValueEnum>) -> Option<String> {
            Some(value?.to_possible_value()?.get_name().to_owned())
        }
        let state = &word(*state);
        let given = [
            ("route", route),
            ("provider", provider),
            ("outcome", outcome),
            ("reason", reason),
            ("status", status),
            ("state", state),
            ("since", since),
            ("until", until),
            ("id", id),
            ("dedupe", dedupe),
            ("source", source),
            ("text", text),
        ];
        let mut asked: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        if order == Order::Asc {
            asked.push(("order", "asc".into()));
        }
        Self(asked)
    }

    /// In place of what was there under this name.
    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value.into()));
    }

    fn path(&self) -> String {
        self.below("/api/v1/events")
    }

    fn below(&self, path: &str) -> String {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={}", form::encode(value.as_bytes())));
        let query = pairs.collect::<Vec<_>>().join("&");
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

impl Filters {
    /// Whether everything is meant.
    fn is_empty(&self) -> bool {
        Question::new(self, Order::Desc).0.is_empty()
    }
}

/// Page after page.
struct Pages {
    question: Question,
    /// Rows that are still wanted.
    left: u64,
    /// Where to go on.
    next: Option<String>,
    begun: bool,
}

impl Pages {
    fn new(question: Question, limit: u64) -> Self {
        Self { question, left: limit, next: None, begun: false }
    }

    /// The next rows, which may be none; `None` after the last.
    async fn next(&mut self, desk: &mut Desk) -> Result<Option<Vec<EventRow>>, Refused> {
        if self.left == 0 || (self.begun && self.next.is_none()) {
            return Ok(None);
        }
        if let Some(after) = &self.next {
            self.question.set("after", after.clone());
        }
        self.question.set("limit", self.left.min(PAGE).to_string());
        let page: EventPage = desk.get(&self.question.path()).await?;
        self.begun = true;
        self.next = page.next;
        self.left = self.left.saturating_sub(page.events.len() as u64);
        Ok(Some(page.events))
    }
}

/// `2026-11-22 10:00:00`, without what every row has in common.
pub(super) fn short_time(time: &str) -> String {
    let cut = time.split(['.', 'Z']).next().unwrap_or(time);
    harmless(&cut.replace('T', " "))
}

/// The whole id, or on a narrow terminal a beginning that says the time to the millisecond and five digits more: every command
/// takes it.
pub(super) fn short_id(id: &str, palette: Palette) -> String {
    const SHORT: usize = 16;
    const WIDE: usize = 100;
    let short = id.get(..SHORT).filter(|_| palette.width().is_some_and(|width| width < WIDE));
    harmless(short.unwrap_or(id))
}

/// The outcome, in the colour of how much it needs a look.
fn outcome(row: &EventRow) -> Cell {
    let tone = match row.outcome {
        HistoryOutcome::Delivered | HistoryOutcome::Challenge => Tone::Good,
        HistoryOutcome::Refused => Tone::Odd,
        HistoryOutcome::Undecided | HistoryOutcome::Failed | HistoryOutcome::Dead => Tone::Bad,
        HistoryOutcome::Accepted
        | HistoryOutcome::Discarded
        | HistoryOutcome::Duplicate
        | HistoryOutcome::ClientClosed
        | HistoryOutcome::Unknown => Tone::Plain,
    };
    match row.state.as_deref() {
        Some("dead") => cell(Tone::Bad, "dead"),
        Some(state) => cell(Tone::Odd, harmless(state)),
        None => cell(tone, row.outcome.as_str()),
    }
}

/// Why, with the status that the sender received.
fn reason(row: &EventRow) -> String {
    match &row.reason {
        Some(reason) => format!("{} {}", row.status, harmless(reason)),
        None => row.status.to_string(),
    }
}
