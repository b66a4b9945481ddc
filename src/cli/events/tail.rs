//! `events tail`: events as they come, over restarts of the relay.

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::{Desk, Pages, Question, Refused, outcome, reason, short_time};
use crate::admin::events::{EventPage, EventRow};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::{Order, Tail};
use crate::cli::{Exit, Unusable};
use crate::terminal::{Palette, Tone, columns, complain, harmless, say};

/// How long one question waits for its answer.
const WAIT: &str = "20s";
/// Between two looks for a relay that is gone.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn tail(args: &Tail, format: Format) -> Result<Exit, Unusable> {
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    tokio::select! {
        ended = follow(args, format) => ended,
        _ = &mut interrupted => Ok(Exit::Fine),
    }
}

async fn follow(args: &Tail, format: Format) -> Result<Exit, Unusable> {
    let mut desk = Desk::new(&args.relay)?;
    let palette = Palette::of_stdout();
    // Where to go on is asked for before the past is shown, so that nothing falls between the two.
    let mut question = Question::new(&args.filters, Order::Asc);
    question.set("wait", "0s");
    let mut page: EventPage = desk.get(&question.path()).await?;
    let mut past = Vec::new();
    let mut pages = Pages::new(Question::new(&args.filters, Order::Desc), args.last);
    while let Some(rows) = pages.next(&mut desk).await? {
        past.extend(rows);
    }
    past.retain(|row| page.events.iter().all(|new| new.id != row.id));
    past.reverse();
    show(&past, format, palette);
    question.set("wait", WAIT);
    let mut gone = false;
    loop {
        show(&page.events, format, palette);
        if let Some(next) = page.next {
            question.set("after", next);
        }
        page = loop {
            match desk.get(&question.path()).await {
                Ok(page) => break page,
                Err(Refused::Failure(failure)) if failure.code != "busy" && failure.code != "store_failed" => {
                    return Err(Refused::Failure(failure).into());
                }
                Err(refused) => {
                    if !gone {
                        complain(&format!("{refused}\nwaiting for it to come back\n"));
                    }
                    gone = true;
                    sleep(PAUSE).await;
                }
            }
        };
        if gone {
            complain("it is back\n");
            gone = false;
        }
    }
}

fn show(rows: &[EventRow], format: Format, palette: Palette) {
    for row in rows {
        match format {
            Format::Json => say(&format!("{}\n", serde_json::to_string(row).unwrap_or_default())),
            Format::Human => say(&line(row, palette)),
        }
    }
}

/// Columns of a fixed width: the rows to come are not known yet.
fn line(row: &EventRow, palette: Palette) -> String {
    let cells = [
        (19, short_time(&row.received_at).into()),
        (27, harmless(&row.id).into()),
        (16, crate::terminal::cell(Tone::Strong, row.route.as_deref().map_or_else(|| "-".to_owned(), harmless))),
        (9, outcome(row)),
        (24, reason(row).into()),
        (15, harmless(&row.source).into()),
    ];
    columns(&cells, palette)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::events::list::tests::row;

    #[test]
    fn a_line_has_what_a_glance_needs() {
        let line = line(&row("1a2035baf19bf97aeced650444a"), Palette::plain());
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            [
                "2026-11-22",
                "10:00:00",
                "1a2035baf19bf97aeced650444a",
                "dastra",
                "refused",
                "401",
                "signature_mismatch",
                "192.0.2.1"
            ]
        );
        assert!(line.ends_with('\n') && !line.contains(" \n"));
    }
}
