//! Room: what is in use, what may be, and what goes when it is too much.
//!
//! Refused requests may take a tenth of the quota, the oldest go first. Then the oldest history goes, except what waits in
//! the spool or is a dead letter: that goes only by delivery or by an operator's word. When it alone fills the quota,
//! nothing more is accepted. Everything is done in pieces, inside ordinary transactions, so that none takes long.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::UnixMillis;
use crate::base::folder_of;
use crate::domain::HistoryOutcome;
use crate::store::engine::{EngineFault, Room};

use super::Bounds;
use super::row::{self, Table};
use super::salvage;
use super::write::Memory;

/// Rows that one transaction deletes of a table, or looks at without deleting.
const PIECE: i64 = 2000;
/// Bytes that one transaction deletes at least, when there are too many.
const LEAST: i64 = 256 * 1024;
/// Bytes written after which the disk is looked at again.
const LOOK_AFTER: i64 = 4 * 1024 * 1024;
/// How long one upkeep deletes what is too old, about.
const UPKEEP: Duration = Duration::from_millis(20);
/// Dedupe keys that one upkeep looks at.
const REPLAY_PIECE: i64 = 20_000;
/// Marks that are kept; the oldest slots go first.
const MAX_MARKS: i64 = 100_000;
/// Calls of upkeep after which rows that waited are looked at again.
const AGAIN: u32 = 60;

pub(super) struct Pruner {
    path: PathBuf,
    bounds: Bounds,
    room: Room,
    reserve_reached: bool,
    page_size: u64,
    since_look: i64,
    /// Below this key nothing can be deleted, as far as it was looked.
    from: [i64; 2],
    dedupe_from: i64,
    calls: u32,
    /// The last piece found nothing to delete.
    barren: bool,
}

impl Pruner {
    pub(super) fn new(path: &Path, bounds: Bounds) -> Result<Self, EngineFault> {
        let mut pruner = Self {
            path: path.to_owned(),
            bounds,
            room: Room::default(),
            reserve_reached: false,
            page_size: 0,
            since_look: 0,
            from: [i64::MIN; 2],
            dedupe_from: 0,
            calls: 0,
            barren: false,
        };
        pruner.look_at_disk()?;
        Ok(pruner)
    }

    pub(super) fn room(&self) -> Room {
        self.room
    }

    pub(super) fn wrote(&mut self, bytes: i64) {
        self.since_look = self.since_look.saturating_add(bytes);
    }

    /// Free space of the file system.
    pub(super) fn look_at_disk(&mut self) -> Result<(), EngineFault> {
        let found = rustix::fs::statvfs(folder_of(&self.path))
            .map_err(|e| EngineFault::of(format!("statvfs: {}", std::io::Error::from(e))))?;
        self.since_look = 0;
        self.room.disk_free = found.f_bavail.saturating_mul(found.f_frsize);
        self.room.set_aside = salvage::lying_there(&self.path).len() as u64;
        self.reserve_reached = self.room.disk_free < self.bounds.disk_reserve;
        Ok(())
    }

    /// Pages in use; both numbers stand in the file's first page, which is in memory.
    pub(super) fn look(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let ask = |pragma: &str| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0));
        if self.page_size == 0 {
            self.page_size = ask("PRAGMA page_size")?.unsigned_abs();
        }
        let pages = ask("PRAGMA page_count")?.saturating_sub(ask("PRAGMA freelist_count")?).unsigned_abs();
        self.room.used = pages.saturating_mul(self.page_size);
        if self.since_look >= LOOK_AFTER {
            // A disk that cannot be asked is noticed by the next write.
            let _ = self.look_at_disk();
        }
        let over = self.room.used > self.bounds.keep_size;
        self.room.shut = self.reserve_reached;
        self.room.full = self.reserve_reached || (over && self.barren);
        Ok(())
    }

    /// Deletes a piece where there is too much; more than was written, so that it comes to an end.
    pub(super) fn make_room(
        &mut self,
        connection: &Connection,
        memory: &mut Memory,
        written: i64,
    ) -> rusqlite::Result<()> {
        // Rows that left the spool may lie before the place that was reached: there is room again at once.
        if let Some(freed) = memory.freed.take() {
            let [events, _] = &mut self.from;
            *events = freed.min(*events);
            self.barren = false;
        }
        let tenth = i64::try_from(self.bounds.keep_size / 10).unwrap_or(i64::MAX);
        let wanted = written.saturating_mul(2).max(LEAST);
        if memory.refusals > tenth {
            let wanted = wanted.min(memory.refusals - tenth);
            self.delete(connection, memory, Table::Refusals, i64::MAX, wanted)?;
        }
        if self.room.used > self.bounds.keep_size {
            let (deleted, ended) = self.delete(connection, memory, Table::Events, i64::MAX, wanted)?;
            self.barren = deleted == 0 && ended;
        } else {
            self.barren = false;
        }
        Ok(())
    }

    /// Age, quota, expired dedupe keys.
    pub(super) fn upkeep(
        &mut self,
        connection: &Connection,
        memory: &mut Memory,
        now: UnixMillis,
        steady: UnixMillis,
    ) -> rusqlite::Result<()> {
        self.calls = self.calls.wrapping_add(1);
        if self.calls.is_multiple_of(AGAIN) {
            self.from = [i64::MIN; 2];
            trim_marks(connection)?;
        }
        self.make_room(connection, memory, 0)?;
        let oldest = row::key_at(now.minus(self.bounds.keep_age));
        let begun = Instant::now();
        for table in Table::BOTH {
            while !self.delete(connection, memory, table, oldest, i64::MAX)?.1 && begun.elapsed() < UPKEEP {}
        }
        self.forget(connection, now, steady)
    }

    /// Deletes rows below a key until enough bytes are gone, the oldest first. Gives the bytes, and whether it saw the last
    /// of them.
    fn delete(
        &mut self,
        connection: &Connection,
        memory: &mut Memory,
        table: Table,
        below: i64,
        wanted: i64,
    ) -> rusqlite::Result<(i64, bool)> {
        // Two witnesses: a damaged spool is restored from the rows of the history that say that they wait.
        let waiting = [HistoryOutcome::Accepted, HistoryOutcome::Dead];
        let [accepted, dead] = waiting.map(|outcome| memory.names.number(connection, outcome.as_str()));
        let waiting = [accepted?, dead?];
        let [events_from, refusals_from] = &mut self.from;
        let from = if table == Table::Events { events_from } else { refusals_from };
        let sql = format!(
            "SELECT key, size, outcome IN (?4, ?5) \
             OR EXISTS (SELECT 1 FROM spool WHERE spool.seq = row.ticket AND spool.key = row.key) AS waits \
             FROM {} AS row WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3",
            table.name()
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![*from, below, PIECE, waiting[0], waiting[1]])?;
        let (mut going, mut bytes, mut seen) = (Vec::new(), 0_i64, 0);
        while let Some(row) = rows.next()?
            && bytes < wanted
        {
            let (key, size, waits): (i64, i64, bool) = (row.get("key")?, row.get("size")?, row.get("waits")?);
            *from = key;
            seen += 1;
            if waits {
                continue;
            }
            bytes = bytes.saturating_add(size);
            going.push(key);
        }
        drop(rows);
        let mut row = connection.prepare_cached(&format!("DELETE FROM {} WHERE key = ?1", table.name()))?;
        let mut body = connection.prepare_cached("DELETE FROM bodies WHERE key = ?1")?;
        let mut attempts = connection.prepare_cached("DELETE FROM attempts WHERE event = ?1")?;
        for key in going {
            row.execute([key])?;
            body.execute([key])?;
            attempts.execute([key])?;
        }
        if table == Table::Refusals {
            memory.refusals = memory.refusals.saturating_sub(bytes).max(0);
        }
        Ok((bytes, seen < PIECE && bytes < wanted))
    }

    /// Deletes dedupe keys whose window has passed. They lie in the order in which they came, and routes have windows of
    /// different lengths, so it walks along the table and begins again at its end. A window must have passed by both clocks:
    /// a wall clock that is set forward and back again makes recorded requests fresh once more.
    fn forget(&mut self, connection: &Connection, now: UnixMillis, steady: UnixMillis) -> rusqlite::Result<()> {
        let sql = "SELECT max(id) FROM (SELECT id FROM dedupe WHERE id >= ?1 ORDER BY id LIMIT ?2)";
        let last: Option<i64> = connection
            .prepare_cached(sql)?
            .query_row([self.dedupe_from, REPLAY_PIECE], |row| row.get(0))
            .optional()?
            .flatten();
        let Some(last) = last else {
            self.dedupe_from = 0;
            return Ok(());
        };
        let sql = "DELETE FROM dedupe WHERE id BETWEEN ?1 AND ?2 AND until <= ?3 AND steady <= ?4";
        connection.prepare_cached(sql)?.execute([self.dedupe_from, last, now.0, steady.0])?;
        self.dedupe_from = last.saturating_add(1);
        Ok(())
    }
}

/// Free bytes that are as good as none.
pub(super) const NOTHING: u64 = 64 * 1024;

pub(super) fn is_disk_full(path: &Path) -> bool {
    let free = |found: rustix::fs::StatVfs| found.f_bavail.saturating_mul(found.f_frsize);
    rustix::fs::statvfs(folder_of(path)).is_ok_and(|found| free(found) < NOTHING)
}

/// Marks are bounded also when nobody removes them.
fn trim_marks(connection: &Connection) -> rusqlite::Result<()> {
    let count: i64 = connection.query_row("SELECT count(*) FROM marks", [], |row| row.get(0))?;
    if count > MAX_MARKS {
        let oldest = "DELETE FROM marks WHERE (kind, route, slot) IN \
             (SELECT kind, route, slot FROM marks ORDER BY slot LIMIT ?1)";
        connection.execute(oldest, [count - MAX_MARKS])?;
    }
    Ok(())
}

/// Bytes of refused requests, as the last transaction left them.
pub(super) fn refusals(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT value FROM meta WHERE name = 'refusals'";
    connection.query_row(sql, [], |row| row.get(0)).optional().map(Option::unwrap_or_default)
}

/// Writes them with the rows they count.
pub(super) fn keep_refusals(connection: &Connection, bytes: i64) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta VALUES ('refusals', ?1)";
    connection.prepare_cached(sql)?.execute([bytes]).map(drop)
}
