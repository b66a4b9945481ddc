//! `events show`: all that is known of one event.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use data_encoding::BASE64;

use super::choose::one;
use super::{Desk, outcome, reason};
use crate::cli::actions::table as action_table;
use crate::cli::grammar::Format;
use crate::cli::grammar::events::Show;
use crate::cli::terminal::{Cell, NewFile, Palette, Table, Tone, cell, complain, counted, harmless, tell};
use crate::cli::{Exit, Unusable, say_json};
use crate::control::admin::actions::{ActionPage, ActionRow};
use crate::control::admin::events::{EventDetail, EventRow};
use crate::scheme::form;

pub(super) async fn show(args: &Show, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    let event = one(&mut desk, &args.event).await?;
    let body = match args.body || args.output.is_some() {
        true => Some(desk.body(&event.row.id).await?),
        false => None,
    };
    if let (Some(path), Some(body)) = (&args.output, &body) {
        write(path, body)?;
    }
    let shown = body.filter(|_| args.body);
    let actions = format!("/api/v1/actions?limit=1000&id={}", form::encode(event.row.id.as_bytes()));
    let actions: ActionPage = desk.get(&actions).await?;
    match format {
        Format::Json => {
            let mut value = serde_json::to_value(&event).map_err(|error| error.to_string())?;
            if let Some(object) = value.as_object_mut() {
                object.insert(
                    "actions".into(),
                    serde_json::to_value(&actions.actions).map_err(|error| error.to_string())?,
                );
                object.extend(shown.as_ref().map(|body| ("body".to_owned(), BASE64.encode(body).into())));
            }
            say_json(&value)?;
        }
        // Piped on, a body is what it is, and alone.
        Format::Human if shown.is_some() && !std::io::stdout().is_terminal() => {
            let _ = std::io::stdout().lock().write_all(shown.as_deref().unwrap_or_default());
        }
        Format::Human => {
            let palette = Palette::of_stdout();
            tell(&text(&event, &actions.actions, palette));
            if let Some(body) = &shown {
                tell(&format!("\n{}\n{}", palette.paint(Tone::Strong, "Body"), readable(body)));
            }
        }
    }
    Ok(Exit::Fine)
}

fn write(path: &Path, body: &[u8]) -> Result<(), Unusable> {
    NewFile::write(path, body).map_err(|error| format!("{}: {error}", path.display()))?;
    complain(&format!("{}: {} bytes\n", path.display(), body.len()));
    Ok(())
}

fn text(event: &EventDetail, actions: &[ActionRow], palette: Palette) -> String {
    let row = &event.row;
    let mut text = format!("{}\n{}", palette.paint(Tone::Strong, &harmless(&row.id)), facts(event).text(palette));
    if let Some(head) = &event.head {
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Strong, "Head"));
        let _ = writeln!(text, "  {} {}", harmless(&head.method), harmless(&head.target));
        let _ = writeln!(text, "  Host: {}", harmless(&head.host));
        for field in &head.headers {
            let tone = if field.masked { Tone::Quiet } else { Tone::Plain };
            let value = palette.paint(tone, &harmless(&field.value));
            let _ = writeln!(text, "  {}: {value}", harmless(&field.name));
        }
    }
    if !event.history.is_empty() {
        let _ = write!(text, "\n{}\n{}", palette.paint(Tone::Strong, "Attempts"), attempts(event).text(palette));
    }
    if !actions.is_empty() {
        let table = action_table(actions, palette).text(palette);
        let _ = write!(text, "\n{}\n{table}", palette.paint(Tone::Strong, "By operators"));
    }
    if let Some(hint) = hint(row) {
        let _ = writeln!(text, "\n{}", palette.paint(Tone::Quiet, &hint));
    }
    text
}

fn facts(event: &EventDetail) -> Table {
    let row = &event.row;
    let mut table = Table::bare();
    let mut line = |name: &str, value: Cell| table.row([cell(Tone::Quiet, name), value]);
    line("outcome", outcome(row));
    line("answered", reason(row).into());
    line("received", harmless(&row.received_at).into());
    let by = row.allowed_by.as_deref().map(|by| format!(", allowed by {}", harmless(by))).unwrap_or_default();
    line("from", format!("{} ({}){by}", harmless(&row.source), harmless(&row.via)).into());
    line("listener", format!("{}, {}", harmless(&row.listener), harmless(&row.version)).into());
    for (name, value) in [
        ("route", &row.route),
        ("provider", &row.provider),
        ("key", &row.key),
        ("dedupe id", &row.dedupe),
        ("its own time", &row.timestamp),
        ("upstream", &row.upstream),
        ("server", &row.server),
        ("detail", &row.detail),
        ("next attempt", &row.due),
    ] {
        if let Some(value) = value {
            line(name, harmless(value).into());
        }
    }
    if let Some(status) = row.upstream_status {
        line("it answered", status.to_string().into());
    }
    let kept = if row.has_body { "kept" } else { "not kept" };
    line("body", format!("{} bytes, {kept}", row.body_bytes).into());
    let took = &event.took;
    let times = format!(
        "{:.1} ms: read {:.1}, verify {:.1}, forward {:.1}",
        took.total_ms, took.read_ms, took.verify_ms, took.forward_ms
    );
    line("took", times.into());
    table
}

fn attempts(event: &EventDetail) -> Table {
    let mut table = Table::new(["no", "at", "kind", "server", "result", "took"]);
    for attempt in &event.history {
        let status = attempt.status.map(|status| format!(" {status}")).unwrap_or_default();
        let detail = attempt.detail.as_deref().map(|detail| format!(": {}", harmless(detail))).unwrap_or_default();
        let result = match &attempt.fault {
            None => cell(Tone::Good, format!("taken{status}")),
            Some(fault) => cell(Tone::Bad, format!("{}{status}{detail}", harmless(fault))),
        };
        table.row([
            attempt.number.to_string().into(),
            harmless(&attempt.at).into(),
            harmless(&attempt.kind).into(),
            attempt.server.as_deref().map(harmless).unwrap_or_default().into(),
            result,
            format!("{:.1} ms", attempt.took_ms).into(),
        ]);
    }
    table
}

/// What can be done about it.
fn hint(row: &EventRow) -> Option<String> {
    let id = harmless(&row.id);
    match (row.state.as_deref(), row.outcome, row.has_body) {
        (Some("dead"), ..) => Some(format!("dmz-relay events retry {id}, or discard")),
        (Some(_), ..) | (None, _, false) => None,
        (None, outcome, true) if !outcome.may_be_genuine() => None,
        (None, _, true) => Some(format!("dmz-relay events redeliver {id}")),
    }
}

/// As text where it is text, else byte by byte: nothing that a terminal could obey.
fn readable(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) if !text.chars().any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t')) => {
            let lines = text.lines().map(|line| line.replace('\t', "    "));
            lines.map(|line| format!("{}\n", harmless(&line))).collect()
        }
        _ => hex(body),
    }
}

/// Sixteen bytes a line, with what is printable beside them.
fn hex(body: &[u8]) -> String {
    const MOST: usize = 64 * 1024;
    let mut text = String::new();
    for (at, bytes) in (0..).step_by(16).zip(body.chunks(16)).take(MOST / 16) {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = bytes
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        let _ = writeln!(text, "  {at:08x}  {:<47}  {shown}", digits.join(" "));
    }
    if body.len() > MOST {
        let _ = writeln!(text, "  … and {} more; --output FILE has all", counted(body.len() - MOST, "byte"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::events::list::tests::row;
    use crate::control::admin::events::{FieldView, HeadView, TookView};
    use crate::domain::HistoryOutcome;

    #[test]
    fn a_body_cannot_move_a_cursor() {
        assert_eq!(readable("{\"a\":\t\"é\"}\r\nx".as_bytes()), "{\"a\":    \"é\"}\nx\n");
        let shown = readable(b"\x1b[2Jgone\x00");
        assert_eq!(shown, "  00000000  1b 5b 32 4a 67 6f 6e 65 00                       .[2Jgone.\n");
        assert!(!readable(&[0xff, 0x1b]).contains('\x1b'));
        assert!(!readable("\u{9b}2J".as_bytes()).contains('\u{9b}'), "the one-byte escape too");
    }

    #[test]
    fn what_can_be_done_follows_the_state() {
        let mut row = row("1a");
        assert_eq!(hint(&row), None);
        (row.outcome, row.has_body) = (HistoryOutcome::Delivered, true);
        assert_eq!(hint(&row), Some("dmz-relay events redeliver 1a".into()));
        row.state = Some("dead".into());
        assert_eq!(hint(&row), Some("dmz-relay events retry 1a, or discard".into()));
        row.state = Some("waiting".into());
        assert_eq!(hint(&row), None);
    }

    #[test]
    fn a_head_is_shown_without_what_it_could_do() {
        let head = HeadView {
            method: "POST".into(),
            target: "/x?key=***".into(),
            host: "h\x1b".into(),
            headers: vec![FieldView { name: "X".into(), value: "\x1b[2J".into(), masked: false }],
        };
        let took = TookView { read_ms: 1.0, verify_ms: 1.0, forward_ms: 1.0, total_ms: 3.0 };
        let event = EventDetail { row: row("1a"), head: Some(head), took, history: Vec::new() };
        let text = text(&event, &[], Palette::plain());
        assert!(text.contains("POST /x?key=***") && !text.contains('\x1b'), "{text}");
    }
}
