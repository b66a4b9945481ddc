//! `actions`: who did what over the admin socket.

use std::fmt::Write as _;

use super::events::{Desk, short_id, short_time};
use super::grammar::{Actions, Format};
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Palette, Table, Tone, cell, counted, harmless, tell};
use crate::control::admin::actions::{ActionPage, ActionRow};
use crate::domain::ActionResult;
use crate::observe::ActionOrigin;
use crate::scheme::form;

/// Rows that are asked for at a time.
const PAGE: u64 = 1000;

pub(super) async fn actions(args: &Actions, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    let mut page = ActionPage { actions: Vec::new(), next: None };
    let mut left = args.limit;
    loop {
        let next: ActionPage = desk.get(&path(args, left.min(PAGE), page.next.as_deref())).await?;
        left = left.saturating_sub(next.actions.len() as u64);
        page.actions.extend(next.actions);
        page.next = next.next;
        if left == 0 || page.next.is_none() {
            break;
        }
    }
    match format {
        Format::Json => say_json(&page)?,
        Format::Human => tell(&text(&page, Palette::of_stdout())),
    }
    Ok(Exit::Fine)
}

fn path(args: &Actions, limit: u64, after: Option<&str>) -> String {
    let Actions { relay: _, since, until, user, action, result, id, limit: _ } = args;
    let (limit, result) = (limit.to_string(), result.map(|result| result.as_str().to_owned()));
    let given = [
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("user", user.as_deref()),
        ("action", action.as_deref()),
        ("result", result.as_deref()),
        ("id", id.as_deref()),
        ("after", after),
        ("limit", Some(&*limit)),
    ];
    let pairs =
        given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", form::encode(value?.as_bytes()))));
    format!("/api/v1/actions?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn text(page: &ActionPage, palette: Palette) -> String {
    if page.actions.is_empty() {
        return "no action matches\n".to_owned();
    }
    let mut text = table(&page.actions, palette).text(palette);
    let shown = counted(page.actions.len(), "action");
    let rest = if page.next.is_some() { "there are more: a larger --limit, or --until" } else { "that is all" };
    let _ = writeln!(text, "{}", palette.paint(Tone::Quiet, &format!("{shown}; {rest}")));
    text
}

/// Also for one event.
pub(super) fn table(rows: &[ActionRow], palette: Palette) -> Table {
    let mut table = Table::new(["time (UTC)", "user", "action", "result", "about", "pid"]).foldable(&[4, 5]);
    for row in rows {
        let tone = match row.result {
            ActionResult::Done => Tone::Good,
            ActionResult::Refused => Tone::Bad,
            ActionResult::Failed | ActionResult::Unknown => Tone::Odd,
        };
        table.row([
            short_time(&row.at).into(),
            cell(Tone::Strong, who(row)),
            harmless(&row.action).into(),
            cell(tone, row.result.as_str().to_owned()),
            about(row, palette).into(),
            row.pid.map(|pid| pid.to_string()).unwrap_or_default().into(),
        ]);
    }
    table
}

/// The user. Where that says nothing, because systemd or a signal brought it about: from where it came.
fn who(row: &ActionRow) -> String {
    let user = row.user.clone().or_else(|| row.uid.map(|uid| uid.to_string()));
    harmless(&user.filter(|_| row.from == ActionOrigin::Socket.as_str()).unwrap_or_else(|| row.from.clone()))
}

/// The event, how many there were, and by which filters.
fn about(row: &ActionRow, palette: Palette) -> String {
    let count = row.count.map(|count| counted(usize::try_from(count).unwrap_or(usize::MAX), "event"));
    let id = row.id.as_deref().map(|id| short_id(id, palette));
    let detail = row.detail.as_deref().map(harmless);
    [id, count, detail].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_did_what_to_what() {
        let row = ActionRow {
            at: "2026-11-22T10:00:00.123Z".into(),
            action: "export".into(),
            result: ActionResult::Done,
            status: 200,
            uid: Some(1001),
            user: Some("alice".into()),
            pid: Some(7),
            from: "unix socket".into(),
            id: None,
            count: Some(3),
            detail: Some("route=a\x1b[2J".into()),
        };
        let nameless = ActionRow { user: None, count: None, detail: None, id: Some("1a".into()), ..row.clone() };
        let by_manager = ActionRow { from: "systemd".into(), user: Some("dmz-relay".into()), ..nameless.clone() };
        let by_signal = ActionRow { from: "signal".into(), uid: None, pid: None, ..nameless.clone() };
        assert_eq!([&by_manager, &by_signal].map(who), ["systemd", "signal"]);
        let page = ActionPage { actions: vec![row, nameless], next: None };
        let text = text(&page, Palette::plain());
        for part in ["2026-11-22 10:00:00", "alice", "3 events, route=a", "1001", "1a", "2 actions; that is all"] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }
}
