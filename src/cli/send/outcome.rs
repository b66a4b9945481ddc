//! What came back, one by one or summed up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::arrived::Arrival;
use super::draft::{Draft, Expected};
use crate::cli::sender::{Reply, SendError};
use crate::cli::terminal::{Palette, Table, Tone, cell, counted, harmless};

/// Answers that are listed one by one.
const LISTED: usize = 20;
/// Times that percentiles are taken from.
const MOST_TIMES: usize = 1_000_000;

/// One answer, or none.
#[derive(Serialize)]
pub(super) struct Sent {
    status: Option<u16>,
    request_id: Option<String>,
    took_ms: Option<f64>,
    error: Option<String>,
    as_expected: bool,
    /// What became of it behind the relay; `None` where nobody asked, or there is nothing to ask.
    delivery: Option<Arrival>,
}

impl Sent {
    pub(super) fn of(result: Result<Reply, SendError>, expected: Expected) -> Self {
        match result {
            Ok(reply) => Self {
                status: Some(reply.status),
                request_id: reply.request_id,
                took_ms: Some(millis(reply.took)),
                error: None,
                as_expected: expected.is_met_by(reply.status),
                delivery: None,
            },
            Err(error) => Self {
                status: None,
                request_id: None,
                took_ms: None,
                error: Some(error.to_string()),
                as_expected: false,
                delivery: None,
            },
        }
    }
}

impl Sent {
    fn is_promise(&self) -> bool {
        self.as_expected && self.request_id.is_some() && self.status.is_some_and(|status| (200..300).contains(&status))
    }

    fn is_undelivered(&self) -> bool {
        self.delivery.as_ref().is_some_and(Arrival::is_bad)
    }
}

/// Everything that was sent.
#[derive(Serialize)]
pub(super) struct Summary {
    route: String,
    url: String,
    request: String,
    kind: &'static str,
    expected: String,
    sent: u64,
    unexpected: u64,
    /// Of those that are listed: accepted, and not delivered when this was asked.
    undelivered: usize,
    /// How often each status came; `none`: no answer.
    statuses: BTreeMap<String, u64>,
    seconds: f64,
    per_second: f64,
    latency_ms: Option<Latency>,
    /// The first ones.
    answers: Vec<Sent>,
    /// Why fewer were sent than asked for.
    stopped: Option<&'static str>,
    #[serde(skip)]
    times: Vec<f64>,
    #[serde(skip)]
    unanswered: u64,
}

#[derive(Serialize)]
struct Latency {
    median: f64,
    p95: f64,
    p99: f64,
    most: f64,
}

impl Summary {
    pub(super) fn new(draft: &Draft<'_>, url: String) -> Self {
        Self {
            route: draft.route.name.to_string(),
            url,
            request: draft.line(),
            kind: draft.kind(),
            expected: draft.expected().words(),
            sent: 0,
            unexpected: 0,
            undelivered: 0,
            statuses: BTreeMap::new(),
            seconds: 0.0,
            per_second: 0.0,
            latency_ms: None,
            answers: Vec::new(),
            stopped: None,
            times: Vec::new(),
            unanswered: 0,
        }
    }

    pub(super) fn add(&mut self, sent: Sent) {
        self.sent += 1;
        self.unexpected += u64::from(!sent.as_expected);
        self.unanswered = if sent.status.is_some() { 0 } else { self.unanswered + 1 };
        let status = sent.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        *self.statuses.entry(status).or_default() += 1;
        if self.times.len() < MOST_TIMES {
            self.times.extend(sent.took_ms);
        }
        if self.answers.len() < LISTED {
            self.answers.push(sent);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^53 requests")]
    pub(super) fn finish(&mut self, took: Duration) {
        self.seconds = millis(took) / 1e3;
        self.per_second = (self.sent as f64 / took.as_secs_f64().max(f64::EPSILON) * 1e3).round() / 1e3;
        self.times.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let index = (self.times.len() * percent).div_ceil(100).saturating_sub(1);
            self.times.get(index).copied()
        };
        self.latency_ms = (|| Some(Latency { median: at(50)?, p95: at(95)?, p99: at(99)?, most: at(100)? }))();
    }

    pub(super) fn stop(&mut self, why: &'static str) {
        self.stopped = Some(why);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    pub(super) fn unanswered_in_a_row(&self) -> u64 {
        self.unanswered
    }

    /// The ids of the listed answers that promised something.
    pub(super) fn successes(&self) -> Vec<String> {
        self.promised().filter_map(|sent| sent.request_id.clone()).collect()
    }

    /// What became of [`Summary::successes`], in that order.
    pub(super) fn arrived(&mut self, mut found: impl Iterator<Item = Arrival>) {
        let promised = self.answers.iter_mut().filter(|sent| sent.is_promise());
        for sent in promised {
            sent.delivery = found.next();
        }
        self.undelivered = self.answers.iter().filter(|sent| sent.is_undelivered()).count();
    }

    fn promised(&self) -> impl Iterator<Item = &Sent> {
        self.answers.iter().filter(|sent| sent.is_promise())
    }

    pub(super) fn as_expected(&self) -> bool {
        self.unexpected == 0 && self.undelivered == 0 && self.stopped.is_none()
    }

    pub(super) fn text(&self, palette: Palette) -> String {
        let mut text = format!("{} {} at {} ({})\n", self.kind, self.request, self.url, self.route);
        if self.sent <= LISTED as u64 {
            let mut table = Table::new(["status", "time", "request id", ""]);
            for sent in &self.answers {
                let tone = if sent.as_expected { Tone::Good } else { Tone::Bad };
                table.row([
                    cell(tone, sent.status.map_or_else(|| "none".to_owned(), |status| status.to_string())),
                    sent.took_ms.map(|took| format!("{took:.2} ms")).unwrap_or_default().into(),
                    harmless(sent.request_id.as_deref().unwrap_or_default()).into(),
                    cell(Tone::Bad, harmless(sent.error.as_deref().unwrap_or_default())),
                ]);
            }
            text.push_str(&table.text(palette));
        } else {
            self.totals(&mut text, palette);
        }
        if let Some(why) = self.stopped {
            let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &format!("stopped before the end: {why}")));
        }
        let verdict = if self.unexpected == 0 {
            palette.paint(Tone::Good, &format!("as expected: {}", self.expected))
        } else {
            let what = format!("{} of {} not as expected, which is {}", self.unexpected, self.sent, self.expected);
            palette.paint(Tone::Bad, &what)
        };
        let _ = writeln!(text, "{verdict}");
        self.deliveries(&mut text, palette);
        text
    }

    /// One line for each thing that became of the requests.
    fn deliveries(&self, text: &mut String, palette: Palette) {
        let mut found: BTreeMap<&Arrival, usize> = BTreeMap::new();
        for arrival in self.answers.iter().filter_map(|sent| sent.delivery.as_ref()) {
            *found.entry(arrival).or_default() += 1;
        }
        for (arrival, count) in found {
            let tone = match arrival {
                Arrival::Delivered => Tone::Good,
                Arrival::NotForwarded => Tone::Quiet,
                Arrival::Waiting(_) | Arrival::Dead(_) => Tone::Bad,
                Arrival::Unknown(_) => Tone::Odd,
            };
            let what = harmless(&arrival.words());
            let line = if self.sent == 1 { what } else { format!("{count} × {what}") };
            let _ = writeln!(text, "{}", palette.paint(tone, &line));
        }
    }

    fn totals(&self, text: &mut String, palette: Palette) {
        let mut table = Table::bare();
        let seconds = format!(
            "{} in {:.2} s, {:.0} per second",
            counted(self.answered(), "answer"),
            self.seconds,
            self.per_second
        );
        table.row([cell(Tone::Quiet, "sent"), seconds.into()]);
        for (status, count) in &self.statuses {
            table.row([cell(Tone::Quiet, format!("status {status}")), count.to_string().into()]);
        }
        if let Some(Latency { median, p95, p99, most }) = &self.latency_ms {
            let times = format!("median {median:.2} ms, 95 % {p95:.2} ms, 99 % {p99:.2} ms, most {most:.2} ms");
            table.row([cell(Tone::Quiet, "time"), times.into()]);
        }
        // What went wrong first says more than any sum.
        if let Some(error) = self.answers.iter().find_map(|sent| sent.error.as_ref()) {
            table.row([cell(Tone::Quiet, "first error"), cell(Tone::Bad, harmless(error))]);
        }
        text.push_str(&table.text(palette));
    }

    fn answered(&self) -> usize {
        usize::try_from(self.sent - self.statuses.get("none").copied().unwrap_or(0)).unwrap_or(usize::MAX)
    }
}

fn millis(time: Duration) -> f64 {
    // Microseconds are as fine as anything here is true.
    (time.as_secs_f64() * 1e6).round() / 1e3
}
