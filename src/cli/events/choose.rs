//! Which events are meant: by id, by the beginning of an id, or by filters.

use serde::de::DeserializeOwned;

use super::{Desk, Pages, Question, Refused, event_path};
use crate::base::UnixMillis;
use crate::cli::Unusable;
use crate::cli::grammar::events::{Filters, Order};
use crate::cli::terminal::{Progress, complain, confirm, counted, harmless};
use crate::control::admin::events::{EventDetail, EventRow};

/// Rows that are held in memory; a longer job is done in parts.
pub(super) const MOST: u64 = 1_000_000;
/// A request id begins with the time of its arrival: eleven hexadecimal digits of milliseconds.
const TIME_DIGITS: usize = 11;
/// Shorter than this, a beginning stands for months.
const SHORTEST: usize = 4;

/// One event by its id or by the beginning of it.
pub(super) async fn one(desk: &mut Desk, id: &str) -> Result<EventDetail, Unusable> {
    below(desk, id, "").await
}

/// The same for what stands below it: `/explain`.
pub(super) async fn below<T: DeserializeOwned>(desk: &mut Desk, id: &str, what: &str) -> Result<T, Unusable> {
    match desk.get(&event_path(id, what)).await {
        Err(Refused::Failure(failure)) if failure.code == "unknown_event" => {
            let whole = complete(desk, id).await?;
            Ok(desk.get(&event_path(&whole, what)).await?)
        }
        other => Ok(other?),
    }
}

/// The whole id that begins so. Nothing has to be searched: ids are in the order of time.
async fn complete(desk: &mut Desk, start: &str) -> Result<String, Unusable> {
    let unknown = || Unusable(format!("there is no event {}", harmless(start)));
    let (from, to) = span(start).ok_or_else(unknown)?;
    let mut question = Question::new(&Filters::default(), Order::Asc);
    question.set("since", from);
    question.set("until", to);
    let mut pages = Pages::new(question, MOST);
    let mut found: Option<String> = None;
    while let Some(rows) = pages.next(desk).await? {
        for row in rows.into_iter().filter(|row| row.id.starts_with(&start.to_ascii_lowercase())) {
            if let Some(other) = &found {
                let shown = format!("{}, {}", harmless(other), harmless(&row.id));
                return Err(format!("several events begin with {}: {shown}, …", harmless(start)).into());
            }
            found = Some(row.id);
        }
    }
    found.ok_or_else(unknown)
}

/// The first millisecond that ids with this beginning can have, and the one after the last.
fn span(start: &str) -> Option<(String, String)> {
    let time = start.get(..TIME_DIGITS.min(start.len()))?;
    if start.len() < SHORTEST || !start.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let open = u32::try_from(TIME_DIGITS - time.len()).ok()? * 4;
    let from = i64::from_str_radix(time, 16).ok()? << open;
    let to = from.checked_add(1 << open)?;
    Some((format!("{:.3}", UnixMillis(from)), format!("{:.3}", UnixMillis(to))))
}

/// Every event that matches, the oldest first. Before the question is asked, so that the answer cannot change under it.
pub(super) async fn matching(desk: &mut Desk, filters: &Filters, limit: u64) -> Result<Vec<EventRow>, Unusable> {
    let mut pages = Pages::new(Question::new(filters, Order::Asc), limit.min(MOST));
    let (mut found, mut progress) = (Vec::new(), Progress::counting("events found"));
    while let Some(rows) = pages.next(desk).await? {
        found.extend(rows);
        progress.at(found.len() as u64);
    }
    drop(progress);
    if pages.left == 0 && pages.next.is_some() && limit > MOST {
        complain(&format!("only the first {MOST} are taken; run it again for the rest\n"));
    }
    Ok(found)
}

/// Asks on a terminal; elsewhere only `--yes` is a yes.
pub(super) fn agreed(what: &str, count: usize, yes: bool) -> Result<bool, Unusable> {
    if yes {
        return Ok(true);
    }
    let question = format!("{what} {}?", counted(count, "event"));
    confirm(&question).ok_or_else(|| Unusable(format!("{question} No terminal to ask on; pass --yes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_id_is_a_span_of_time() {
        let id = crate::gate::pipeline::record::request_id(UnixMillis(1_795_341_600_123));
        let at = |text: &str| span(text).unwrap();
        assert_eq!(at(&id), ("2026-11-22T10:00:00.123Z".into(), "2026-11-22T10:00:00.124Z".into()));
        assert_eq!(at(id.get(..TIME_DIGITS).unwrap()), at(&id));
        let (from, to) = at(id.get(..9).unwrap());
        assert!(*from <= *"2026-11-22T10:00:00.123Z" && *to > *"2026-11-22T10:00:00.123Z", "{from} {to}");
        for no_id in ["", "1a2", "hello", "1a20 5baf"] {
            assert_eq!(span(no_id), None, "{no_id}");
        }
    }
}
