//! `events list`: rows of the history, and how to go on.

use std::fmt::Write as _;

use super::{Desk, Pages, Question, outcome, reason, short_id, short_time};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::List;
use crate::cli::terminal::{Palette, Table, Tone, cell, counted, harmless, tell};
use crate::cli::{Exit, Unusable, say_json};
use crate::control::admin::events::{EventPage, EventRow};

pub(super) async fn list(args: &List, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    let mut pages = Pages::new(Question::new(&args.filters, args.order), args.limit);
    pages.next.clone_from(&args.after);
    let mut events = Vec::new();
    while let Some(rows) = pages.next(&mut desk).await? {
        events.extend(rows);
    }
    let page = EventPage { events, next: pages.next };
    match format {
        Format::Json => say_json(&page)?,
        Format::Human => tell(&text(&page, Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

fn text(page: &EventPage, palette: Palette) -> String {
    if page.events.is_empty() {
        return "no event matches\n".to_owned();
    }
    let mut text = table(&page.events, palette).text(palette);
    let shown = counted(page.events.len(), "event");
    let rest = match &page.next {
        Some(next) => format!("{shown}; there may be more: --after {}, or a larger --limit", harmless(next)),
        None => format!("{shown}; that is all"),
    };
    let _ = writeln!(text, "{}", palette.paint(Tone::Quiet, &rest));
    text
}

pub(super) fn table(rows: &[EventRow], palette: Palette) -> Table {
    let mut table = Table::new(["time (UTC)", "id", "route", "outcome", "status", "attempts", "source", "bytes"])
        .foldable(&[7, 5, 6]);
    for row in rows {
        table.row([
            short_time(&row.received_at).into(),
            short_id(&row.id, palette).into(),
            row.route.as_deref().map_or_else(|| cell(Tone::Quiet, "-"), |route| cell(Tone::Strong, harmless(route))),
            outcome(row),
            reason(row).into(),
            row.attempts.to_string().into(),
            harmless(&row.source).into(),
            row.body_bytes.to_string().into(),
        ]);
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::HistoryOutcome;

    pub(in crate::cli::events) fn row(id: &str) -> EventRow {
        EventRow {
            id: id.into(),
            received_at: "2026-11-22T10:00:00.123Z".into(),
            listener: "public".into(),
            route: Some("dastra".into()),
            provider: Some("dastra".into()),
            method: "POST".into(),
            version: "http/1.1".into(),
            path: Some("/hooks/dastra".into()),
            host: Some("relay.example".into()),
            source: "192.0.2.1".into(),
            via: "socket".into(),
            allowed_by: None,
            outcome: HistoryOutcome::Refused,
            reason: Some("signature_mismatch".into()),
            status: 401,
            state: None,
            key: None,
            dedupe: None,
            timestamp: None,
            body_bytes: 12,
            has_body: false,
            upstream: None,
            server: None,
            upstream_status: None,
            attempts: 0,
            detail: None,
            due: None,
        }
    }

    #[test]
    fn the_footer_says_how_to_go_on() {
        let mut page = EventPage { events: vec![row("1a"), row("\x1b[2J")], next: Some("77".into()) };
        let text = text(&page, Palette::plain());
        assert!(text.contains("2026-11-22 10:00:00") && text.contains("401 signature_mismatch"), "{text}");
        assert!(text.contains("2 events; there may be more: --after 77") && !text.contains('\x1b'), "{text}");
        page.next = None;
        assert!(super::text(&page, Palette::plain()).ends_with("2 events; that is all\n"));
        page.events.clear();
        assert_eq!(super::text(&page, Palette::plain()), "no event matches\n");
    }
}
