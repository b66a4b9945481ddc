//! `events tail`: events as they come, over restarts of the relay.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;

use super::{Desk, Pages, Question, Refused, outcome, reason, short_id, short_time};
use crate::cli::grammar::Format;
use crate::cli::grammar::events::{Order, Tail};
use crate::cli::terminal::{Palette, Tone, columns, complain, harmless, say, tell};
use crate::cli::{Exit, Unusable};
use crate::control::admin::events::{EventPage, EventRow};

/// How long one question waits for its answer.
const WAIT: &str = "20s";
/// Ids that are remembered.
const MOST: usize = 8192;
/// Longer than what a relay tells twice.
const LATELY: &str = "60s";
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
    let newest = Question::new(&args.filters, Order::Desc);
    let mut past = rows(&mut desk, newest.clone(), args.last).await?;
    past.reverse();
    show(&past, format, palette);
    // What is not shown now must not come up later either.
    let mut lately = newest;
    lately.set("since", LATELY);
    let mut seen = Seen::default();
    for row in rows(&mut desk, lately, MOST as u64).await?.iter().chain(&past) {
        seen.is_new(row);
    }
    question.set("wait", WAIT);
    let mut gone = false;
    loop {
        page.events.retain(|row| seen.is_new(row));
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

async fn rows(desk: &mut Desk, question: Question, limit: u64) -> Result<Vec<EventRow>, Refused> {
    let (mut pages, mut found) = (Pages::new(question, limit), Vec::new());
    while let Some(rows) = pages.next(desk).await? {
        found.extend(rows);
    }
    Ok(found)
}

/// The last ids: a relay that was restarted tells what came shortly before once more, so that nothing is missed.
#[derive(Debug, Default)]
struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, row: &EventRow) -> bool {
        if !self.ids.insert(row.id.clone()) {
            return false;
        }
        self.order.push_back(row.id.clone());
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn show(rows: &[EventRow], format: Format, palette: Palette) {
    for row in rows {
        match format {
            Format::Json => say(&format!("{}\n", serde_json::to_string(row).unwrap_or_default())),
            Format::Human => tell(&line(row, palette)),
        }
    }
}

/// Columns of a fixed width: the rows to come are not known yet.
fn line(row: &EventRow, palette: Palette) -> String {
    let (time, id) = (short_time(&row.received_at), short_id(&row.id, palette));
    // A terminal that shortens ids has no room for the day, which is today, mostly.
    let short = id.len() < row.id.len();
    let time = time.split_once(' ').filter(|_| short).map_or(&*time, |(_, time)| time);
    let cells = [
        (if short { 8 } else { 19 }, time.into()),
        (if short { 16 } else { 27 }, id.into()),
        (16, crate::cli::terminal::cell(Tone::Strong, row.route.as_deref().map_or_else(|| "-".to_owned(), harmless))),
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
    fn an_event_is_shown_once_and_memory_is_bounded() {
        let mut seen = Seen::default();
        assert!(seen.is_new(&row("a")) && !seen.is_new(&row("a")));
        for number in 0..MOST {
            assert!(seen.is_new(&row(&number.to_string())));
        }
        assert_eq!((seen.ids.len(), seen.order.len()), (MOST, MOST));
        assert!(seen.is_new(&row("a")), "so long ago that it cannot come again");
    }

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
