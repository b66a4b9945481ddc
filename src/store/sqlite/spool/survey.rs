//! What a start finds: claims that a crash interrupted, and how much waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DEAD, DISCARDED};
use crate::base::UnixMillis;
use crate::domain::{HistoryOutcome, Sends};
use crate::store::ledger::Backlogs;
use crate::store::spool::{Backlog, RefusedAt, Ticket};
use crate::store::sqlite::row;

/// The longest pause between two attempts that a configuration may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes claimed requests due again, except those that this process still holds. What a failed commit left behind and what
/// a crash interrupted are the same here: no sender received success, or one did and nobody delivers it.
pub(in crate::store::sqlite) fn recover(
    connection: &Connection,
    ours: &HashSet<Ticket>,
    now: UnixMillis,
) -> rusqlite::Result<u64> {
    let mut interrupted = 0;
    // How many sends the interrupted attempt made, nobody knows; the next one's numbers are beyond all that it may have used.
    let used = Sends::MOST - 1;
    // No pause is so long: the disk altered it.
    connection.execute("UPDATE spool SET due = ?1 WHERE due > ?2", [now.0, now.plus(LONGEST).0])?;
    let mut claimed: Vec<(i64, i64, i64, bool)> = Vec::new();
    {
        let mut statement = connection
            .prepare("SELECT seq, key, state, keep_body FROM spool NOT INDEXED WHERE due IS NULL AND state <> 1")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            if !ours.contains(&Ticket(seq)) {
                claimed.push((seq, row.get(1)?, row.get(2)?, row.get(3)?));
            }
        }
    }
    for (seq, key, state, keep_body) in claimed {
        interrupted += 1;
        if state == DISCARDED {
            let sql = "UPDATE events SET attempts = max(attempts, (SELECT attempts FROM spool WHERE seq = ?2) + ?3) \
                 WHERE key = ?1";
            connection.execute(sql, params![key, seq, used])?;
            connection.execute("DELETE FROM spool WHERE seq = ?1", [seq])?;
            if !keep_body {
                connection.execute("DELETE FROM bodies WHERE key = ?1", [key])?;
            }
            let discarded = HistoryOutcome::Discarded.as_str();
            connection.execute("INSERT OR IGNORE INTO names (text) VALUES (?1)", [discarded])?;
            let sql = "UPDATE events SET outcome = (SELECT id FROM names WHERE text = ?2) WHERE key = ?1";
            connection.execute(sql, params![key, discarded])?;
        } else {
            // As old as they are, so that they come before what was accepted after them.
            let sql = "UPDATE spool SET due = min(received_at, ?2), attempts = attempts + ?3 WHERE seq = ?1";
            connection.prepare_cached(sql)?.execute(params![seq, now.0, used])?;
        }
    }
    Ok(interrupted)
}

/// What the spool holds.
pub(in crate::store::sqlite) struct Survey {
    pub(in crate::store::sqlite) backlogs: Backlogs,
    /// Bytes by the number of a route's name, dead letters included.
    pub(in crate::store::sqlite) held: HashMap<i64, u64>,
    pub(in crate::store::sqlite) last_ticket: i64,
    pub(in crate::store::sqlite) last_refusal: Option<RefusedAt>,
    /// Names of the keys that it is sealed with.
    pub(in crate::store::sqlite) seals: Vec<String>,
}

/// Counts what waits. One pass over a narrow table: a million rows take a fraction of a second.
pub(in crate::store::sqlite) fn survey(connection: &Connection) -> rusqlite::Result<Survey> {
    let mut routes: HashMap<i64, Backlog> = HashMap::new();
    let mut held: HashMap<i64, u64> = HashMap::new();
    let (mut last_ticket, mut last_refusal) = (0, None);
    let mut seals: HashSet<i64> = HashSet::new();
    let mut statement = connection
        .prepare("SELECT seq, route, due, state, received_at, seal, bytes, refused FROM spool NOT INDEXED")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        last_ticket = row.get(0)?;
        seals.extend(row.get::<_, Option<i64>>(5)?);
        *held.entry(row.get(1)?).or_default() += row.get::<_, i64>(6)?.unsigned_abs();
        last_refusal = last_refusal.max(row.get::<_, Option<i64>>(7)?);
        let (due, state): (Option<i64>, i64) = (row.get(2)?, row.get(3)?);
        let backlog = routes.entry(row.get(1)?).or_default();
        if state == DEAD {
            backlog.dead += 1;
            continue;
        }
        let received_at = UnixMillis(row.get(4)?);
        backlog.waiting += 1;
        backlog.claimed += u64::from(due.is_none());
        backlog.oldest = Some(backlog.oldest.map_or(received_at, |oldest| oldest.min(received_at)));
        if let Some(due) = due.map(UnixMillis) {
            backlog.next_due = Some(backlog.next_due.map_or(due, |next| next.min(due)));
        }
    }
    let name =
        |id: i64| connection.query_row("SELECT text FROM names WHERE id = ?1", [id], |row| row.get::<_, String>(0));
    let named = |(route, backlog)| Ok((Arc::from(name(route)?), backlog));
    Ok(Survey {
        backlogs: routes.into_iter().map(named).collect::<rusqlite::Result<_>>()?,
        held,
        last_ticket,
        last_refusal: last_refusal.map(RefusedAt),
        seals: seals.into_iter().map(name).collect::<rusqlite::Result<_>>()?,
    })
}

/// When the oldest waiting request of a route was received; exact.
pub(in crate::store::sqlite) fn oldest(connection: &Connection, route: &str) -> rusqlite::Result<Option<UnixMillis>> {
    let Some(number) = row::number(connection, route)? else { return Ok(None) };
    let sql = "SELECT received_at FROM spool WHERE route = ?1 AND state <> 1 ORDER BY seq LIMIT 1";
    connection.prepare_cached(sql)?.query_row([number], |row| row.get(0).map(UnixMillis)).optional()
}
