//! Reading beside the writer: connections of their own that can write nothing.

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Rows, params};

use crate::base::{Secret, UnixMillis};
use crate::domain::{Fault, Sensitive};
use crate::store::action::{ActionPage, ActionQuery};
use crate::store::engine::{EngineFault, KeyValue, Reader};
use crate::store::entry::{Attempt, AttemptKind, Event};
use crate::store::head;
use crate::store::query::{Cursor, Page, Query};
use crate::store::seal::{Facts, Keyring, Kind, Place, Unsealed};
use crate::store::spool::StoredRequest;

use super::actions;
use super::columns::columns;
use super::fault::{fault, is_garbage};
use super::filter::Filter;
use super::row::{self, Column, PROBES, Table, Words};
use super::spool;

/// Rows of one page when the query does not say.
const DEFAULT_ROWS: usize = 50;
/// Rows of one page at most.
const MAX_ROWS: usize = 1000;
/// Rows that one page looks at.
const MAX_SCAN: usize = 20_000;

/// A reading connection.
pub(super) struct SqliteReader {
    connection: Connection,
    keys: Arc<Keyring>,
    words: Words,
}

/// Why a stored request could not be read.
pub(super) enum Unreadable {
    /// It is there, but its head or body does not open; `None`: a part of it is missing.
    Lost(Option<Unsealed>),
    /// The engine failed.
    Engine(rusqlite::Error),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(e: rusqlite::Error) -> Self {
        if is_garbage(&e) { Self::Lost(Some(Unsealed::Damaged)) } else { Self::Engine(e) }
    }
}

impl From<Unsealed> for Unreadable {
    fn from(why: Unsealed) -> Self {
        Self::Lost(Some(why))
    }
}

impl SqliteReader {
    pub(super) fn new(connection: Connection, keys: Arc<Keyring>) -> Self {
        Self { connection, keys, words: Words::default() }
    }

    fn find(&mut self, request_id: &str) -> rusqlite::Result<Option<Event>> {
        for table in Table::BOTH {
            let Some(first) = row::key_of(request_id, table) else { return Ok(None) };
            let sql = format!(
                "SELECT {} FROM {} WHERE key >= ?1 AND key < ?2 AND request_id = ?3",
                Column::LIST,
                table.name()
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query(params![first, first.saturating_add(2 * PROBES), request_id])?;
            if let Some(row) = rows.next()? {
                let (key, ticket, mut event) = row::event(&self.connection, &mut self.words, &self.keys, row)?;
                complete(&self.connection, key, ticket, &mut event)?;
                let (route, proof) = (event.entry.route.clone(), event.entry.key.clone());
                let owner = Owner { row: key, route: route.as_deref(), proof: proof.as_deref() };
                let facts = Facts::of(&event.entry);
                event.entry.body = body(&self.connection, &self.keys, owner, facts).ok().map(|(body, _)| body);
                event.history = attempts(&self.connection, key)?;
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn read_page(&mut self, query: &Query, sensitive: &Sensitive) -> rusqlite::Result<Page> {
        let Some(filter) = Filter::of(&self.connection, query)? else { return Ok(Page::default()) };
        let limit = if query.limit == 0 { DEFAULT_ROWS } else { query.limit.min(MAX_ROWS) };
        let (first, last) = filter.keys;
        let order = if query.ascending { "ASC" } else { "DESC" };
        let sql = |table: Table| {
            format!("SELECT {} FROM {} WHERE key >= ?1 AND key <= ?2 ORDER BY key {order}", Column::LIST, table.name())
        };
        // One transaction, so that both tables are of one moment.
        let transaction = self.connection.unchecked_transaction()?;
        let mut statements = (transaction.prepare(&sql(Table::Events))?, transaction.prepare(&sql(Table::Refusals))?);
        let mut events = Peeked::new(statements.0.query([first, last])?)?;
        let mut refusals = Peeked::new(statements.1.query([first, last])?)?;
        let mut page = Page::default();
        for _ in 0..MAX_SCAN {
            let order = match (events.key, refusals.key) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(event), Some(refusal)) if query.ascending => event.cmp(&refusal),
                (Some(event), Some(refusal)) => refusal.cmp(&event),
            };
            let rows = if order == Ordering::Less { &mut events } else { &mut refusals };
            let (Some(key), Some(row)) = (rows.key, rows.rows.get_ref_row()) else { return Ok(page) };
            if filter.admits(row)? {
                let (key, ticket, mut event) = match row::event(&transaction, &mut self.words, &self.keys, row) {
                    // One row that cannot be read hides no other.
                    Err(e) if is_garbage(&e) => {
                        rows.step()?;
                        continue;
                    }
                    read => read?,
                };
                if filter.finds(&event, sensitive) {
                    complete(&transaction, key, ticket, &mut event)?;
                    if query.stage.is_none() || event.stage == query.stage {
                        page.events.push(event);
                    }
                }
            }
            page.next = Some(Cursor(key));
            rows.step()?;
            if page.events.len() >= limit {
                break;
            }
        }
        if events.key.is_none() && refusals.key.is_none() {
            page.next = None;
        }
        Ok(page)
    }
}

/// Rows with the key of the current one.
struct Peeked<'s> {
    rows: RowsRef<'s>,
    key: Option<i64>,
}

/// `Rows` gives a row once; this gives it as often as it is asked for.
struct RowsRef<'s>(Rows<'s>);

impl<'s> RowsRef<'s> {
    fn get_ref_row(&self) -> Option<&Row<'s>> {
        use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
        self.0.get()
    }
}

impl<'s> Peeked<'s> {
    fn new(rows: Rows<'s>) -> rusqlite::Result<Self> {
        let mut peeked = Self { rows: RowsRef(rows), key: None };
        peeked.step()?;
        Ok(peeked)
    }

    fn step(&mut self) -> rusqlite::Result<()> {
        self.key = self.rows.0.next()?.map(|row| Column::key.of(row)).transpose()?;
        Ok(())
    }
}

impl Reader for SqliteReader {
    fn page(&mut self, query: &Query, sensitive: &Sensitive) -> Result<Page, EngineFault> {
        self.read_page(query, sensitive).map_err(|e| fault(&e))
    }

    fn event(&mut self, request_id: &str) -> Result<Option<Event>, EngineFault> {
        self.find(request_id).map_err(|e| fault(&e))
    }

    fn request(&mut self, request_id: &str) -> Result<Option<StoredRequest>, EngineFault> {
        let Some(first) = row::key_of(request_id, Table::Events) else { return Ok(None) };
        let sql = "SELECT key, (SELECT text FROM names WHERE id = route) FROM events \
             WHERE key >= ?1 AND key < ?2 AND request_id = ?3";
        let found =
            self.connection.query_row(sql, params![first, first.saturating_add(2 * PROBES), request_id], |row| {
                Ok((row.get(0)?, row.get::<_, Option<String>>(1)?))
            });
        let Some((key, Some(route))) = found.optional().map_err(|e| fault(&e))? else { return Ok(None) };
        match stored(&self.connection, &self.keys, key, &Arc::from(route), None) {
            Ok(request) => Ok(Some(request)),
            Err(Unreadable::Lost(_)) => Ok(None),
            Err(Unreadable::Engine(e)) => Err(fault(&e)),
        }
    }

    fn values(&mut self, kind: &str) -> Result<Vec<KeyValue>, EngineFault> {
        let read = || -> rusqlite::Result<Vec<KeyValue>> {
            let sql = "SELECT route, slot, value FROM marks WHERE kind = ?1 ORDER BY route, slot";
            let mut statement = self.connection.prepare_cached(sql)?;
            let read = |row: &Row<'_>| {
                Ok(KeyValue { route: row.get::<_, String>(0)?.into(), slot: row.get(1)?, value: row.get(2)? })
            };
            statement.query_map([kind], read)?.collect()
        };
        read().map_err(|e| fault(&e))
    }

    fn actions(&mut self, query: &ActionQuery) -> Result<ActionPage, EngineFault> {
        actions::page(&self.connection, query).map_err(|e| fault(&e))
    }
}

/// What stands in other tables.
fn complete(connection: &Connection, key: i64, ticket: Option<i64>, event: &mut Event) -> rusqlite::Result<()> {
    let mut has_body = connection.prepare_cached("SELECT 1 FROM bodies WHERE key = ?1")?;
    event.has_body = has_body.exists([key])?;
    if let Some(ticket) = ticket {
        let mut spooled = connection.prepare_cached("SELECT due, state FROM spool WHERE seq = ?1 AND key = ?2")?;
        let found = spooled.query_row([ticket, key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((due, state)) = found {
            let due: Option<i64> = due;
            event.due = due.map(UnixMillis);
            event.stage = Some(spool::stage(state));
        }
    }
    Ok(())
}

/// Whose blobs are opened.
#[derive(Clone, Copy)]
struct Owner<'o> {
    row: i64,
    route: Option<&'o str>,
    proof: Option<&'o str>,
}

impl<'o> Owner<'o> {
    fn place(self, kind: Kind) -> Place<'o> {
        let Self { row, route, proof } = self;
        let (route, proof) = (route.unwrap_or_default(), proof.unwrap_or_default());
        Place { kind, row, route, proof, facts: Facts::NONE }
    }
}

/// The body, and what was blanked in it and in the head.
fn body(
    connection: &Connection,
    keys: &Keyring,
    owner: Owner<'_>,
    facts: Facts,
) -> Result<(Bytes, Option<Secret>), Unreadable> {
    let mut statement = connection.prepare_cached("SELECT body, held FROM bodies WHERE key = ?1")?;
    let found = statement.query_row([owner.row], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (sealed, held): (Vec<u8>, Option<Vec<u8>>) = found.ok_or(Unreadable::Lost(None))?;
    let held = held.map(|held| keys.open(owner.place(Kind::Held), held)).transpose()?;
    let place = Place { facts, ..owner.place(Kind::Body) };
    Ok((keys.open(place, sealed)?.into(), held.map(Secret::new)))
}

columns! {
    /// Of the table `events`: what is sent to the upstream, and what it is held against.
    enum Sent from "events WHERE key = ?1" {
        request_id,
        received_at,
        source,
        https,
        suffix,
        secret = "(SELECT text FROM names WHERE id = secret)",
        dedupe,
        timestamp,
        head,
        ticket,
        verified_by = "(SELECT text FROM names WHERE id = coalesce(verified_by, provider))",
    }
}

/// A request as it is sent to the upstream. `ticket`: it must be the one of this ticket.
pub(super) fn stored(
    connection: &Connection,
    keys: &Keyring,
    key: i64,
    route: &Arc<str>,
    ticket: Option<i64>,
) -> Result<StoredRequest, Unreadable> {
    let mut statement = connection.prepare_cached(Sent::SQL)?;
    let mut rows = statement.query([key])?;
    let row = rows.next()?.ok_or(Unreadable::Lost(None))?;
    let altered = || Unreadable::Lost(Some(Unsealed::Damaged));
    if ticket.is_some() && Sent::ticket.of::<Option<i64>>(row)? != ticket {
        return Err(altered());
    }
    let sealed: Option<Vec<u8>> = Sent::head.of(row)?;
    let proof: Option<String> = Sent::secret.of(row)?;
    let owner = Owner { row: key, route: Some(route), proof: proof.as_deref() };
    let opened = keys.open(owner.place(Kind::Head), sealed.ok_or(Unreadable::Lost(None))?)?;
    let source: String = Sent::source.of(row)?;
    let mut request = StoredRequest {
        request_id: Sent::request_id.of::<String>(row)?.into(),
        route: Arc::clone(route),
        received_at: UnixMillis(Sent::received_at.of(row)?),
        source: source.parse().map_err(|_| altered())?,
        https: Sent::https.of(row)?,
        head: head::decode(&opened).ok_or_else(altered)?,
        suffix: usize::try_from(Sent::suffix.of::<i64>(row)?).map_err(|_| altered())?,
        body: Bytes::new(),
        held: None,
        key: proof.as_deref().map(Arc::from),
        verified_by: Sent::verified_by.of::<Option<String>>(row)?.map(Arc::from),
        dedupe: Sent::dedupe.of::<Option<String>>(row)?.map(Into::into),
        timestamp: Sent::timestamp.of::<Option<i64>>(row)?.map(UnixMillis),
    };
    (request.body, request.held) = body(connection, keys, owner, Facts::of_stored(&request))?;
    Ok(request)
}

columns! {
    /// Of the table `attempts`.
    enum AttemptColumn from "attempts WHERE event = ?1 ORDER BY number, at" {
        number,
        at,
        kind,
        server,
        status,
        fault,
        detail,
        took,
    }
}

fn attempts(connection: &Connection, key: i64) -> rusqlite::Result<Vec<Attempt>> {
    let mut statement = connection.prepare_cached(AttemptColumn::SQL)?;
    let attempt = |row: &Row<'_>| {
        let (kind, code): (String, Option<String>) = (AttemptColumn::kind.of(row)?, AttemptColumn::fault.of(row)?);
        // A word that only a later version knows is still a fault.
        let fault =
            code.map(|code| Fault::ALL.iter().copied().find(|fault| fault.code() == code).unwrap_or(Fault::Internal));
        Ok(Attempt {
            number: AttemptColumn::number.of(row)?,
            at: UnixMillis(AttemptColumn::at.of(row)?),
            kind: AttemptKind::ALL.into_iter().find(|known| known.as_str() == kind).unwrap_or(AttemptKind::Spooled),
            server: AttemptColumn::server.of::<Option<String>>(row)?.map(Into::into),
            status: AttemptColumn::status.of(row)?,
            fault,
            detail: AttemptColumn::detail.of::<Option<String>>(row)?.map(Into::into),
            took: std::time::Duration::from_micros(AttemptColumn::took.of::<i64>(row)?.unsigned_abs()),
        })
    };
    statement.query_map([key], attempt)?.collect()
}
