//! Which rows of the history a query wants, row by row.

use std::net::IpAddr;

use rusqlite::{Connection, Row};

use crate::domain::Sensitive;
use crate::store::entry::{Entry, Event};
use crate::store::query::Query;

use super::row::{self, Column, PROBES, Table};

/// A query in the words of the tables.
pub(super) struct Filter<'q> {
    query: &'q Query,
    /// The first and the last key that can hold such a row.
    pub(super) keys: (i64, i64),
    outcome: Option<i64>,
    reason: Option<i64>,
    route: Option<i64>,
    provider: Option<i64>,
    text: Option<Vec<u8>>,
}

impl<'q> Filter<'q> {
    /// `None`: no row can match.
    pub(super) fn of(connection: &Connection, query: &'q Query) -> rusqlite::Result<Option<Self>> {
        let mut words = [None; 4];
        let wanted = [&query.outcome, &query.reason, &query.route, &query.provider];
        for (number, word) in words.iter_mut().zip(wanted) {
            if let Some(word) = word {
                *number = row::number(connection, word)?;
                if number.is_none() {
                    return Ok(None);
                }
            }
        }
        let Some(keys) = keys(query) else { return Ok(None) };
        let [outcome, reason, route, provider] = words;
        let text =
            query.text.as_ref().filter(|text| !text.is_empty()).map(|text| text.to_ascii_lowercase().into_bytes());
        Ok(Some(Self { query, keys, outcome, reason, route, provider, text }))
    }

    /// Looks at the columns of a row that was selected with [`Column::LIST`].
    pub(super) fn admits(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let numbers = [
            (self.outcome, Column::outcome),
            (self.reason, Column::reason),
            (self.route, Column::route),
            (self.provider, Column::provider),
        ];
        for (wanted, column) in numbers {
            if wanted.is_some() && column.of::<Option<i64>>(row)? != wanted {
                return Ok(false);
            }
        }
        if let Some((from, to)) = self.query.status
            && !(from..=to).contains(&Column::status.of(row)?)
        {
            return Ok(false);
        }
        if let Some(wanted) = &self.query.request_id
            && Column::request_id.raw(row)?.as_bytes_or_null().unwrap_or_default() != Some(wanted.as_bytes())
        {
            return Ok(false);
        }
        if let Some(wanted) = &self.query.dedupe {
            let known = Column::dedupe.raw(row)?.as_bytes_or_null().unwrap_or_default().unwrap_or_default();
            // All of it, or the first part: who looks for an id does not know the body's digest behind it.
            let rest = known.strip_prefix(wanted.as_bytes());
            if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ")) {
                return Ok(false);
            }
        }
        if let Some((first, last)) = self.query.source {
            let source = Column::source.raw(row)?.as_str().ok().and_then(|text| text.parse::<IpAddr>().ok());
            // Addresses of one family only: an IPv4 network holds no IPv6 address, whatever their order.
            let within = |ip: IpAddr| ip.is_ipv4() == first.is_ipv4() && (first..=last).contains(&ip);
            if !source.is_some_and(within) {
                return Ok(false);
            }
        }
        // What never was accepted, or has left, has no place in the spool.
        if self.query.stage.is_some() && Column::ticket.of::<Option<i64>>(row)?.is_none() {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether the text that was asked for stands in what would be shown of a row. Nothing else is searched: a search that
    /// looks behind a mask gives away, letter by letter, what stands there.
    pub(super) fn finds(&self, event: &Event, sensitive: &Sensitive) -> bool {
        let Some(text) = &self.text else { return true };
        let Entry { head, marks, .. } = &event.entry;
        head.as_ref().is_some_and(|head| sensitive.view(head, marks).contains(text))
    }
}

/// The keys between which a query's rows lie; `None`: there are none.
fn keys(query: &Query) -> Option<(i64, i64)> {
    let mut first = query.since.map_or(i64::MIN, row::key_at);
    let mut last = query.until.map_or(i64::MAX, |until| row::key_at(until).saturating_sub(1));
    if let Some(id) = &query.request_id {
        let key = row::key_of(id, Table::Events)?;
        first = first.max(key);
        last = last.min(key.saturating_add(2 * PROBES));
    }
    match query.after {
        Some(after) if query.ascending => first = first.max(after.0.saturating_add(1)),
        Some(after) => last = last.min(after.0.saturating_sub(1)),
        None => {}
    }
    (first <= last).then_some((first, last))
}
