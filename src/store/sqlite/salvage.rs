//! What is left of a damaged file.
//!
//! A page that cannot be read takes with it what lies on it; SQLite stops there, and so would everything behind it. So a
//! file in which such a page is met is set aside under another name, untouched but for its log, and whatever can be read of it
//! goes into a new one: tables row by row around the holes, indices rebuilt. A waiting request whose place in the spool was
//! lost is found again by its row of the history; one whose own row was lost becomes a dead letter, so that somebody learns of
//! it.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params, params_from_iter};

use crate::base::UnixMillis;
use crate::base::folder_of;
use crate::domain::{HistoryOutcome, Sends};
use crate::store::error::OpenError;
use crate::store::timeline::Timeline;

use super::fault::is_damage;
use super::generation::{Generation, Name};
use super::hold::{self, Held};
use super::{keep_time, open, open_error, schema};

/// What follows the name of a file that was set aside; then the time.
const ASIDE: &str = ".damaged-";
/// Files that are kept so; the oldest goes when one more comes.
const KEPT: usize = 3;
/// Places at which one table is looked into behind holes.
const LOOKS: usize = 4000;

/// A new file in the place of the damaged one.
pub(super) struct Salvaged {
    pub(super) held: Held,
    pub(super) name: Name,
    /// What happened, for people.
    pub(super) words: String,
}

/// Damaged files that lie beside the store, the oldest first.
pub(super) fn lying_there(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(folder_of(path)) else { return Vec::new() };
    let aside = |entry: fs::DirEntry| {
        let found = entry.file_name();
        let time = found.to_str()?.strip_prefix(name)?.strip_prefix(ASIDE)?.parse::<i64>().ok()?;
        Some((time, entry.path()))
    };
    let mut found: Vec<_> = entries.filter_map(Result::ok).filter_map(aside).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Sets the file aside and puts what can be read of it in its place.
pub(super) fn salvage(path: &Path, now: UnixMillis, timeline: &Timeline) -> Result<Salvaged, OpenError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |e: std::io::Error| OpenError::of(&e, format!("what can be read of it cannot be saved: {what}: {e}"))
    };
    let mut damaged = open::writer(path, Arc::default()).map_err(|e| open_error(&e))?;
    // Page by page, whatever stands on them.
    open::empty_log(&damaged).map_err(|e| open_error(&e))?;
    schema::migrate(&mut damaged, schema::STEPS, Generation::default().next()).map_err(|e| open_error(&e))?;

    let fresh = hold::beside(path, ".salvage");
    for left in [fresh.clone(), hold::beside(&fresh, "-journal")] {
        match fs::remove_file(&left) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("an older attempt")(e)),
            _ => {}
        }
    }
    let held = Held::make(&fresh)?;
    let generation = Generation::default().next();
    let found = copy(&damaged, &fresh, generation, timeline).map_err(|e| open_error(&e))?;
    held.sync().map_err(io("sync"))?;
    damaged.close().map_err(|(_, e)| open_error(&e))?;

    let aside = hold::beside(path, &format!("{ASIDE}{}", now.0));
    fs::hard_link(path, &aside).map_err(io("its name"))?;
    fs::rename(&fresh, path).map_err(io("its place"))?;
    // Both are empty, and of the file that was set aside.
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(hold::beside(path, suffix));
    }
    hold::sync_folder(path).map_err(io("sync of the folder"))?;
    let lying = lying_there(path);
    for old in lying.iter().take(lying.len().saturating_sub(KEPT)) {
        let _ = fs::remove_file(old);
    }
    let Found { dead, restored } = found;
    let words = format!(
        "a part of it could not be read: the damaged file was set aside as {}, and what can be read goes on; \
         waiting requests lost: {dead} (now dead letters), found again by their history: {restored}",
        aside.display()
    );
    Ok(Salvaged { held, name: generation.to, words })
}

/// What came of the spool.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    dead: usize,
    restored: usize,
}

fn copy(damaged: &Connection, fresh: &Path, generation: Generation, timeline: &Timeline) -> rusqlite::Result<Found> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut into = Connection::open_with_flags(fresh, flags)?;
    into.pragma_update(None, "page_size", open::PAGE)?;
    // Nobody knows the file before it is whole.
    into.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    into.pragma_update(None, "synchronous", "OFF")?;
    schema::migrate(&mut into, schema::STEPS, generation)?;
    let writing = into.transaction()?;
    Table::of(damaged, "names", "id")?.copy(damaged, &writing)?;
    // The index holds the same words once more.
    ends(damaged, "SELECT id, text FROM names INDEXED BY sqlite_autoindex_names_1 ORDER BY text", |row| {
        let mut put = writing.prepare_cached("INSERT OR IGNORE INTO names VALUES (?1, ?2)")?;
        put.execute(params_from_iter(row)).map(drop)
    })?;
    for (table, key) in [
        ("spool", "seq"),
        ("events", "key"),
        ("bodies", "key"),
        ("dedupe", "id"),
        ("attempts", "event"),
        ("refusals", "key"),
        ("actions", "id"),
    ] {
        Table::of(damaged, table, key)?.copy(damaged, &writing)?;
    }
    ends(damaged, "SELECT kind, route, slot, value FROM marks ORDER BY kind, route, slot", |row| {
        let mut put = writing.prepare_cached("INSERT OR IGNORE INTO marks VALUES (?1, ?2, ?3, ?4)")?;
        put.execute(params_from_iter(row)).map(drop)
    })?;
    match super::kept_time(damaged) {
        Ok(Some(kept)) => keep_time(&writing, kept)?,
        Err(e) if !is_damage(&e) => return Err(e),
        Ok(None) | Err(_) => keep_time(&writing, timeline.kept())?,
    }
    let restored = restore(&writing, timeline.now())?;
    let dead = bury(&writing)?;
    writing.execute(
        "INSERT OR REPLACE INTO meta VALUES ('refusals', (SELECT coalesce(sum(size), 0) FROM refusals))",
        [],
    )?;
    writing.execute(
        "DELETE FROM bodies WHERE key NOT IN (SELECT key FROM events) AND key NOT IN (SELECT key FROM refusals)",
        [],
    )?;
    writing.commit()?;
    into.close().map_err(|(_, e)| e)?;
    Ok(Found { dead, restored })
}

/// A table with the whole number that its rows are ordered by.
struct Table {
    name: &'static str,
    key: &'static str,
    /// Declared kinds of its columns.
    kinds: Vec<String>,
    /// The place of the key among them.
    at: usize,
}

/// What a walk came to.
enum Walked {
    All,
    /// Nothing can be read behind this key.
    Hole(Option<i64>),
}

impl Table {
    fn of(damaged: &Connection, name: &'static str, key: &'static str) -> rusqlite::Result<Self> {
        let mut statement = damaged.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
        let columns = statement.query_map([name], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let columns = columns.collect::<rusqlite::Result<Vec<_>>>()?;
        let at = columns.iter().position(|(column, _)| column == key).unwrap_or_default();
        Ok(Self { name, key, kinds: columns.into_iter().map(|(_, kind)| kind).collect(), at })
    }

    /// From both ends up to the first and the last hole, then into the middle of what lies between, and so on.
    fn copy(&self, damaged: &Connection, into: &Connection) -> rusqlite::Result<()> {
        let mut ranges = VecDeque::from([(i64::MIN, i64::MAX)]);
        for _ in 0..LOOKS {
            let Some((first, last)) = ranges.pop_front() else { return Ok(()) };
            let Walked::Hole(reached) = self.walk(damaged, into, first, last, "ASC")? else { continue };
            let first = reached.map_or(first, |key| key.saturating_add(1));
            let Walked::Hole(reached) = self.walk(damaged, into, first, last, "DESC")? else { continue };
            let last = reached.map_or(last, |key| key.saturating_sub(1));
            if first < last {
                let middle = i64::midpoint(first, last);
                ranges.push_back((first, middle));
                ranges.push_back((middle.saturating_add(1), last));
            }
        }
        Ok(())
    }

    fn walk(
        &self,
        damaged: &Connection,
        into: &Connection,
        first: i64,
        last: i64,
        order: &str,
    ) -> rusqlite::Result<Walked> {
        if first > last {
            return Ok(Walked::All);
        }
        // The key's own order: no index is read.
        let Self { name, key, .. } = self;
        let sql = format!("SELECT * FROM {name} NOT INDEXED WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key} {order}");
        let places = vec!["?"; self.kinds.len()].join(", ");
        let mut put = into.prepare_cached(&format!("INSERT OR IGNORE INTO {name} VALUES ({places})"))?;
        let mut reached = None;
        let mut statement = match damaged.prepare_cached(&sql) {
            Err(e) if is_damage(&e) => return Ok(Walked::Hole(None)),
            prepared => prepared?,
        };
        let mut rows = statement.query([first, last])?;
        loop {
            match rows.next() {
                Ok(None) => return Ok(Walked::All),
                Ok(Some(row)) => {
                    let key = row.get_ref(self.at)?.as_i64().ok();
                    reached = key.or(reached);
                    if let Some(values) = self.values(row)? {
                        put.execute(params_from_iter(values))?;
                    }
                }
                Err(e) if is_damage(&e) => return Ok(Walked::Hole(reached)),
                Err(e) => return Err(e),
            }
        }
    }

    /// The columns of a row; `None`: one of them holds what its kind never holds.
    fn values(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Vec<Value>>> {
        let mut values = Vec::with_capacity(self.kinds.len());
        for (at, kind) in self.kinds.iter().enumerate() {
            let value = row.get_ref(at)?;
            let sound = match value {
                ValueRef::Null => true,
                ValueRef::Integer(_) => kind == "INTEGER",
                ValueRef::Text(text) => kind == "TEXT" && std::str::from_utf8(text).is_ok(),
                // What is not shown of a head stands as bytes in a column that once held names.
                ValueRef::Blob(_) => kind != "INTEGER",
                ValueRef::Real(_) => false,
            };
            match Value::try_from(value) {
                Ok(value) if sound => values.push(value),
                _ => return Ok(None),
            }
        }
        Ok(Some(values))
    }
}

/// Rows from the beginning up to a hole, and from the end up to one.
fn ends(
    damaged: &Connection,
    sql: &str,
    mut put: impl FnMut(Vec<Value>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let (select, order) = sql.split_once(" ORDER BY ").unwrap_or((sql, "1"));
    let reverse: Vec<_> = order.split(", ").map(|column| format!("{column} DESC")).collect();
    for order in [order.to_owned(), reverse.join(", ")] {
        let mut statement = match damaged.prepare(&format!("{select} ORDER BY {order}")) {
            Err(e) if is_damage(&e) => continue,
            prepared => prepared?,
        };
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        loop {
            match rows.next() {
                Ok(None) => return Ok(()),
                Ok(Some(row)) => {
                    let values = (0..columns).map(|at| row.get::<_, Value>(at)).collect::<rusqlite::Result<_>>();
                    if let Ok(values) = values {
                        put(values)?;
                    }
                }
                Err(e) if is_damage(&e) => break,
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// Places in the spool that were lost, by the rows of the history that still wait. One attempt more than is known of counts
/// as made, with all the sends that it may have used: it may have been on its way.
fn restore(into: &Connection, now: UnixMillis) -> rusqlite::Result<usize> {
    let word = |outcome: HistoryOutcome| format!("(SELECT id FROM names WHERE text = '{outcome}')");
    let (accepted, dead) = (word(HistoryOutcome::Accepted), word(HistoryOutcome::Dead));
    let sql = format!(
        "INSERT OR IGNORE INTO spool (seq, key, route, due, state, attempts, failures, allowance_from, received_at, keep_body, \
         seal, bytes) SELECT ticket, key, route, CASE WHEN outcome = {dead} THEN NULL ELSE min(received_at, ?1) \
         END, outcome = {dead}, \
         max(attempts, (SELECT coalesce(max(number), 0) FROM attempts WHERE event = key)) + ?2, 0, ?1, received_at, 0, NULL, size \
         FROM events WHERE outcome IN ({accepted}, {dead}) AND ticket IS NOT NULL AND route IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM spool WHERE seq = ticket AND spool.key = events.key)"
    );
    into.execute(&sql, params![now.0, Sends::MOST])
}

/// What waits and has no row of the history any more becomes a dead letter with one, whose id is as near to its own as its
/// key says.
fn bury(into: &Connection) -> rusqlite::Result<usize> {
    let mut statement = into.prepare(
        "SELECT seq, key, route, received_at, attempts FROM spool WHERE key NOT IN (SELECT key FROM events)",
    )?;
    let lost = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?;
    let lost: Vec<(i64, i64, i64, i64, i64)> = lost.collect::<rusqlite::Result<_>>()?;
    if lost.is_empty() {
        return Ok(0);
    }
    let words = [HistoryOutcome::Dead.as_str(), HistoryOutcome::Unknown.as_str()];
    into.execute("INSERT OR IGNORE INTO names (text) VALUES (?1), (?2)", words)?;
    let word = |word: &str| into.query_row("SELECT id FROM names WHERE text = ?1", [word], |row| row.get::<_, i64>(0));
    let (dead, unknown) = (word(words[0])?, word(words[1])?);
    for (seq, key, route, received_at, attempts) in &lost {
        let id = format!("{:011x}{:016x}", key >> 20, (key & 0xf_ffff) >> 1);
        let sql = "INSERT INTO events (key, size, outcome, status, route, request_id, received_at, source, via, listener, method, \
             version, https, suffix, body_bytes, attempts, detail, took_read, took_verify, took_forward, took_total, ticket) \
             VALUES (?1, 160, ?2, 200, ?3, ?4, ?5, '0.0.0.0', ?6, ?6, 0, 1, 0, 0, 0, ?7, \
             'what was stored of it cannot be read: the disk damaged it', 0, 0, 0, 0, ?8)";
        into.execute(sql, params![key, dead, route, id, received_at, unknown, attempts, seq])?;
        into.execute("UPDATE spool SET due = NULL, state = 1 WHERE seq = ?1", [seq])?;
    }
    Ok(lost.len())
}
