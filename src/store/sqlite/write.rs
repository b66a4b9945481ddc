//! One batch, one transaction: what each write does to the tables.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::base::UnixMillis;
use crate::guards::dedupe::DedupeKey;
use crate::store::engine::{KeyValue, Room, Write, Wrote};
use crate::store::entry::{Attempt, Entry};
use crate::store::head;
use crate::store::ledger::Shift;
use crate::store::seal::{Facts, Keyring, Kind, Place};

use super::actions;
use super::row::{self, PROBES, Table};
use super::share::Held;

/// The longest value that a key has.
const MAX_VALUE: usize = 4096;
/// Attempts that are kept of one request; the oldest go first.
const MAX_ATTEMPTS: u32 = 200;

const INSERT: [&str; 2] = [
    "INSERT OR IGNORE INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
     ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34)",
    "INSERT OR IGNORE INTO refusals VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, \
     ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33, ?34)",
];

/// Words and their numbers, as far as this connection met them. An engine whose transaction failed is dropped, and its
/// numbers with it, so none is remembered that was rolled back.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, i64, BuildHasherDefault<Fnv1a>>,
    words: HashMap<i64, Arc<str>>,
}

impl Names {
    pub(super) fn number(&mut self, connection: &Connection, word: &str) -> rusqlite::Result<i64> {
        if let Some(number) = self.numbers.get(word) {
            return Ok(*number);
        }
        let number = match row::number(connection, word)? {
            Some(number) => number,
            None => {
                connection.execute("INSERT INTO names (text) VALUES (?1)", [word])?;
                connection.last_insert_rowid()
            }
        };
        self.numbers.insert(word.into(), number);
        Ok(number)
    }

    fn of(&mut self, connection: &Connection, word: Option<&str>) -> rusqlite::Result<Option<i64>> {
        word.filter(|word| !word.is_empty()).map(|word| self.number(connection, word)).transpose()
    }

    pub(super) fn word(&mut self, connection: &Connection, number: i64) -> rusqlite::Result<Arc<str>> {
        if let Some(word) = self.words.get(&number) {
            return Ok(Arc::clone(word));
        }
        let mut statement = connection.prepare_cached("SELECT text FROM names WHERE id = ?1")?;
        let word: String = statement.query_row([number], |row| row.get(0)).optional()?.unwrap_or_default();
        let word: Arc<str> = Arc::from(word);
        self.words.insert(number, Arc::clone(&word));
        Ok(word)
    }
}

/// FNV-1a: cheap for short words. They come from the configuration, so nobody can make them meet.
#[derive(Debug)]
pub(super) struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv1a {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What outlives a transaction on the writer's side.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) names: Names,
    /// The next ticket. Never given twice by a process, whatever became of the write that took it.
    pub(super) tickets: Arc<AtomicI64>,
    /// Bytes of refused requests, which are bounded apart.
    pub(super) refusals: i64,
    /// What waits, by route.
    pub(super) held: Held,
    /// The lowest key of what left the spool since somebody asked: it may go now.
    pub(super) freed: Option<i64>,
    scratch: Vec<u8>,
    sealed: Vec<u8>,
}

impl Memory {
    pub(super) fn new(tickets: Arc<AtomicI64>, refusals: i64, held: Held) -> Self {
        Self { tickets, refusals, held, ..Self::default() }
    }
}

/// A transaction under way.
pub(super) struct Batch<'b> {
    pub(super) connection: &'b Connection,
    pub(super) memory: &'b mut Memory,
    pub(super) keys: &'b Keyring,
    pub(super) now: UnixMillis,
    /// The store's own time.
    pub(super) steady: UnixMillis,
    /// Whether requests may be accepted, and history be written.
    pub(super) room: Room,
    pub(super) shifts: Vec<Shift>,
    /// Bytes that rows took, about.
    pub(super) written: i64,
    /// Looking a statement up costs as much as a column; a batch does it once.
    pub(super) inserts: [Option<CachedStatement<'b>>; 2],
}

/// A row that was inserted.
pub(super) struct Inserted {
    pub(super) key: i64,
}

impl Batch<'_> {
    pub(super) fn apply(&mut self, write: &mut Write) -> rusqlite::Result<Wrote> {
        match write {
            Write::Accept(_) if self.room.shut => Ok(Wrote::NoRoom),
            Write::Record(_) if self.room.full => Ok(Wrote::NoRoom),
            Write::Accept(accept) => self.accept(accept),
            Write::Record(entry) => {
                let inserted = self.insert(entry, None)?;
                if entry.body.is_some() {
                    self.keep_body(inserted.key, entry)?;
                }
                Ok(Wrote::Done)
            }
            Write::Remember { key, until, route } => {
                let route = self.memory.names.number(self.connection, route)?;
                self.remember(*key, *until, route).map(|()| Wrote::Done)
            }
            Write::Claim { route, most, ordered, early } => {
                self.claim(route, *most, *ordered, *early).map(Wrote::Claimed)
            }
            Write::Settle(ticket, settlement) => self.settle(*ticket, settlement).map(|()| Wrote::Done),
            Write::Reserve { request_id } => self.reserve(request_id).map(Wrote::Reserved),
            Write::Note { request_id, attempt, first } => self.note(request_id, attempt, *first).map(|()| Wrote::Done),
            Write::Revive { request_id } => self.revive(request_id).map(Wrote::Changed),
            Write::Hasten { route, most } => self.hasten(route, *most).map(Wrote::Hastened),
            Write::Discard { request_id } => self.discard(request_id).map(Wrote::Changed),
            Write::Put { kind, value } => self.put(kind, value).map(|()| Wrote::Done),
            Write::Act(action) => actions::insert(self.connection, action).map(|()| Wrote::Done),
            Write::Count { token, more } => actions::count(self.connection, token, *more).map(|()| Wrote::Done),
            Write::Flush => Ok(Wrote::Done),
        }
    }

    /// Inserts a row of the history; its key moves up while another row has it.
    pub(super) fn insert(&mut self, entry: &Entry, ticket: Option<i64>) -> rusqlite::Result<Inserted> {
        let table = Table::of(entry);
        let (connection, memory) = (self.connection, &mut *self.memory);
        memory.scratch.clear();
        if let Some(head) = &entry.head {
            head::encode(head, &mut memory.scratch);
        }
        let names = &mut memory.names;
        let outcome = names.number(connection, entry.outcome.as_str())?;
        let reason = names.of(connection, Some(entry.reason))?;
        let route = names.of(connection, entry.route.as_deref())?;
        let provider = names.of(connection, entry.provider.as_deref())?;
        let via = names.number(connection, entry.via)?;
        let listener = names.number(connection, &entry.listener)?;
        let secret = names.of(connection, entry.key.as_deref())?;
        let verified_by = names.of(connection, entry.verified_by.as_deref())?;
        let upstream = names.of(connection, entry.upstream.as_deref())?;
        let server = names.of(connection, entry.server.as_deref())?;
        let marks = (!entry.marks.is_empty()).then(|| entry.marks.to_bytes());
        let body = entry.body.as_ref().map_or(0, Bytes::len);
        let size = memory.scratch.len() + body + 160;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let [events, refusals] = &mut self.inserts;
        let (statement, sql) = match table {
            Table::Events => (events, INSERT[0]),
            Table::Refusals => (refusals, INSERT[1]),
        };
        let statement = match statement {
            Some(statement) => statement,
            none => none.insert(connection.prepare_cached(sql)?),
        };
        let source = entry.source.to_string();
        let mut key = row::key_for(entry, table);
        for _ in 0..PROBES * 1024 {
            if entry.head.is_some() {
                let sealed = self.keys.seal(place(entry, Kind::Head, key), &memory.scratch, &mut memory.sealed);
                sealed.map_err(|_| rusqlite::Error::InvalidQuery)?;
            }
            let head = entry.head.as_ref().map(|_| memory.sealed.as_slice());
            let changed = statement.execute(params![
                key,
                size,
                outcome,
                reason,
                entry.status,
                route,
                provider,
                entry.request_id,
                entry.received_at.0,
                source,
                via,
                entry.dedupe,
                marks,
                listener,
                head::method_code(entry.method),
                head::version_code(entry.version),
                entry.https,
                i64::try_from(entry.suffix).unwrap_or_default(),
                entry.allowed_by,
                secret,
                entry.timestamp.map(|at| at.0),
                i64::try_from(entry.body_bytes).unwrap_or(i64::MAX),
                upstream,
                server,
                entry.upstream_status,
                entry.attempts,
                entry.detail,
                micros(entry.took.read),
                micros(entry.took.verify),
                micros(entry.took.forward),
                micros(entry.took.total),
                ticket,
                head,
                verified_by,
            ])?;
            if changed > 0 {
                self.written = self.written.saturating_add(size);
                if table == Table::Refusals {
                    memory.refusals = memory.refusals.saturating_add(size);
                }
                return Ok(Inserted { key });
            }
            key = key.saturating_add(2);
        }
        Err(rusqlite::Error::StatementChangedRows(0))
    }

    /// Body, and what was blanked in it and in the head.
    pub(super) fn keep_body(&mut self, key: i64, entry: &mut Entry) -> rusqlite::Result<()> {
        let (body, held) = (entry.body.take().unwrap_or_default(), entry.held.take());
        let Memory { scratch, sealed, .. } = self.memory;
        let unsealed = |_| rusqlite::Error::InvalidQuery;
        self.keys.seal(place(entry, Kind::Body, key), &body, sealed).map_err(unsealed)?;
        if let Some(held) = &held {
            self.keys.seal(place(entry, Kind::Held, key), held.expose(), scratch).map_err(unsealed)?;
        }
        let held = held.map(|_| scratch.as_slice());
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO bodies VALUES (?1, ?2, ?3)")?;
        statement.execute(params![key, sealed.as_slice(), held]).map(drop)
    }

    pub(super) fn remember(&mut self, key: DedupeKey, until: UnixMillis, route: i64) -> rusqlite::Result<()> {
        self.written = self.written.saturating_add(32);
        let sql = "INSERT INTO dedupe (key, until, route, steady) VALUES (?1, ?2, ?3, ?4)";
        let steady = self.steady.0.saturating_add(until.0.saturating_sub(self.now.0));
        self.connection.prepare_cached(sql)?.execute(params![key.to_bytes(), until.0, route, steady]).map(drop)
    }

    pub(super) fn tried(&mut self, key: i64, attempt: &Attempt) -> rusqlite::Result<()> {
        let mut statement = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
        statement.execute(params![
            key,
            attempt.number,
            attempt.at.0,
            attempt.kind.as_str(),
            attempt.server,
            attempt.status,
            attempt.fault.map(|fault| fault.code()),
            attempt.detail,
            micros(attempt.took),
        ])?;
        if attempt.number > MAX_ATTEMPTS {
            // Not every number has a row: an interrupted attempt has none.
            let sql = "DELETE FROM attempts WHERE event = ?1 AND number <= \
                 (SELECT number FROM attempts WHERE event = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)";
            self.connection.prepare_cached(sql)?.execute(params![key, MAX_ATTEMPTS])?;
        }
        Ok(())
    }

    fn put(&mut self, kind: &str, KeyValue { route, slot, value }: &KeyValue) -> rusqlite::Result<()> {
        if value.len() > MAX_VALUE {
            return Ok(());
        }
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3, ?4)")?;
        statement.execute(params![kind, route, slot, value]).map(drop)
    }
}

/// What a part of a row is sealed for.
fn place(entry: &Entry, kind: Kind, row: i64) -> Place<'_> {
    let (route, proof) = (entry.route.as_deref().unwrap_or_default(), entry.key.as_deref().unwrap_or_default());
    let facts = if kind == Kind::Body { Facts::of(entry) } else { Facts::NONE };
    Place { kind, row, route, proof, facts }
}

fn micros(took: std::time::Duration) -> i64 {
    i64::try_from(took.as_micros()).unwrap_or(i64::MAX)
}
