//! What came of many: counts by reason, and the first that went wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::Refused;
use crate::cli::terminal::{Palette, Tone, counted, harmless};
use crate::control::admin::events::RedeliveryReport;

/// Failures that are shown one by one.
const SHOWN: usize = 20;

/// A bulk job's result.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// What the filters or ids chose.
    pub(super) matched: usize,
    /// Taken by an internal server; of a retry or discard: done.
    pub(super) done: usize,
    /// Sent and not taken, by fault.
    pub(super) failed: BTreeMap<String, usize>,
    /// Not sent, by reason.
    pub(super) not_possible: BTreeMap<String, usize>,
    /// Sent with a timestamp that an application checking again would refuse.
    pub(super) stale: usize,
    /// The first that went wrong.
    pub(super) problems: Vec<Trouble>,
    /// Why it ended early.
    pub(super) stopped: Option<String>,
}

/// One that went wrong.
#[derive(Debug, Serialize)]
pub(super) struct Trouble {
    id: String,
    code: String,
    detail: String,
}

impl Summary {
    pub(super) fn new(matched: usize) -> Self {
        Self { matched, ..Self::default() }
    }

    pub(super) fn redelivered(&mut self, report: &RedeliveryReport) {
        if report.timestamp_fresh == Some(false) {
            self.stale += 1;
        }
        match &report.fault {
            None => self.done += 1,
            Some(fault) => {
                *self.failed.entry(fault.clone()).or_default() += 1;
                let status = report.status.map(|status| format!("answered {status}"));
                let detail = report.detail.clone().filter(|detail| !detail.is_empty()).or(status).unwrap_or_default();
                self.trouble(&report.id, fault, detail);
            }
        }
    }

    /// `false`: nobody is there to ask for the rest.
    pub(super) fn refused(&mut self, id: &str, refused: &Refused) -> bool {
        if let Refused::Failure(failure) = refused {
            self.impossible(id, &failure.code, &failure.error);
            return true;
        }
        self.stopped = Some(refused.to_string());
        false
    }

    pub(super) fn impossible(&mut self, id: &str, code: &str, detail: &str) {
        *self.not_possible.entry(code.to_owned()).or_default() += 1;
        self.trouble(id, code, detail.to_owned());
    }

    fn trouble(&mut self, id: &str, code: &str, detail: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(Trouble { id: id.to_owned(), code: code.to_owned(), detail });
        }
    }

    /// Nothing failed, nothing was left out.
    pub(super) fn is_fine(&self) -> bool {
        self.failed.is_empty() && self.not_possible.is_empty() && self.stopped.is_none()
    }

    /// `done` in words: "delivered".
    pub(super) fn text(&self, word: &str, palette: Palette) -> String {
        let mut text = String::new();
        for Trouble { id, code, detail } in &self.problems {
            let code = palette.paint(Tone::Bad, &harmless(code));
            let _ = writeln!(text, "  {}  {code}  {}", harmless(id), harmless(detail));
        }
        let (failed, impossible) = (total(&self.failed), total(&self.not_possible));
        let more = (failed + impossible).saturating_sub(self.problems.len());
        if more > 0 {
            let _ = writeln!(text, "  … and {more} more");
        }
        let tone = if self.is_fine() { Tone::Good } else { Tone::Odd };
        let done = palette.paint(tone, &format!("{} of {} {word}", self.done, counted(self.matched, "event")));
        let _ = write!(text, "{done}");
        if failed > 0 {
            let _ = write!(text, "; {failed} failed ({})", by_code(&self.failed));
        }
        if impossible > 0 {
            let _ = write!(text, "; {impossible} not possible ({})", by_code(&self.not_possible));
        }
        text.push('\n');
        if self.stale > 0 {
            let sent = self.done + failed;
            let carry = if self.stale == 1 { "carries" } else { "carry" };
            let what = format!(
                "{} of {sent} {carry} a timestamp that an application checking again would refuse; sign_with helps",
                self.stale
            );
            let _ = writeln!(text, "{}", palette.paint(Tone::Odd, &what));
        }
        if let Some(why) = &self.stopped {
            let _ = writeln!(text, "{}", palette.paint(Tone::Bad, &format!("ended early: {why}")));
        }
        text
    }
}

fn total(by_code: &BTreeMap<String, usize>) -> usize {
    by_code.values().sum()
}

fn by_code(counts: &BTreeMap<String, usize>) -> String {
    let parts = counts.iter().map(|(code, count)| format!("{count} {}", harmless(code)));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(fault: Option<&str>, fresh: Option<bool>) -> RedeliveryReport {
        RedeliveryReport {
            id: "1a".into(),
            delivered: fault.is_none(),
            attempt: 2,
            server: None,
            status: Some(500),
            fault: fault.map(str::to_owned),
            detail: None,
            took_ms: 1.0,
            timestamp_fresh: fresh,
        }
    }

    #[test]
    fn the_sum_says_what_failed_and_what_is_stale() {
        let mut summary = Summary::new(4);
        summary.redelivered(&report(None, Some(false)));
        summary.redelivered(&report(None, Some(true)));
        summary.redelivered(&report(Some("upstream_status"), None));
        summary.impossible("1b", "body_not_kept", "its body was not kept");
        assert!(!summary.is_fine());
        let text = summary.text("delivered", Palette::plain());
        for part in [
            "1a  upstream_status  answered 500",
            "1b  body_not_kept  its body was not kept",
            "2 of 4 events delivered; 1 failed (1 upstream_status); 1 not possible (1 body_not_kept)",
            "1 of 3 carries a timestamp that an application checking again would refuse; sign_with helps",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
    }

    #[test]
    fn many_failures_are_counted_and_some_are_shown() {
        let mut summary = Summary::new(100);
        for _ in 0..100 {
            summary.redelivered(&report(Some("upstream_status"), None));
        }
        assert_eq!(summary.problems.len(), SHOWN);
        assert!(summary.text("delivered", Palette::plain()).contains("… and 80 more"));
    }
}
