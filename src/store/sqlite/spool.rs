//! What waits: accepted, claimed, settled, revived, given up.
//!
//! A row of the spool is due at a time, or claimed (no time), or dead. Claims are undone by a restart, with their attempt
//! counted, because the request may have arrived.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use crate::base::UnixMillis;
use crate::domain::{Fault, HistoryOutcome, Sends};
use crate::store::engine::Wrote;
use crate::store::entry::{Attempt, AttemptKind, Stage};
use crate::store::ledger::{Backlogs, Due, Shift};
use crate::store::seal::Unsealed;
use crate::store::spool::{Accept, Backlog, Claimed, Early, RefusedAt, Settlement, Ticket};

use super::read::{self, Unreadable};
use super::row::{self, PROBES, Table};
use super::share;
use super::write::Batch;

/// Claimed at once, at most.
const MAX_CLAIM: usize = 256;
/// Bytes of bodies claimed at once, beyond the first.
const MAX_CLAIM_BYTES: usize = 16 * 1024 * 1024;

/// The longest pause between two attempts that a configuration may ask for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const DEAD: i64 = 1;
/// Claimed, and to be given up when it comes back.
const DISCARDED: i64 = 2;

/// What a state means to those outside. One that is to be given up when its attempt is over still waits for that.
pub(super) fn stage(state: i64) -> Stage {
    if state == DEAD { Stage::Dead } else { Stage::Waiting }
}

/// A row of the spool.
#[derive(Clone, Copy, Debug)]
struct Spooled {
    seq: i64,
    key: i64,
    route: i64,
    due: Option<i64>,
    state: i64,
    attempts: u32,
    failures: u32,
    allowance_from: i64,
    received_at: i64,
    keep_body: bool,
    bytes: i64,
    refused: Option<i64>,
}

const COLUMNS: &str =
    "seq, key, route, due, state, attempts, failures, allowance_from, received_at, keep_body, bytes, refused";

impl Spooled {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            key: row.get(1)?,
            route: row.get(2)?,
            due: row.get(3)?,
            state: row.get(4)?,
            attempts: row.get(5)?,
            failures: row.get(6)?,
            allowance_from: row.get(7)?,
            received_at: row.get(8)?,
            keep_body: row.get(9)?,
            bytes: row.get(10)?,
            refused: row.get(11)?,
        })
    }

    fn claimed(&self) -> bool {
        self.due.is_none() && self.state != DEAD
    }
}

impl Batch<'_> {
    pub(super) fn accept(&mut self, accept: &mut Accept) -> rusqlite::Result<Wrote> {
        let route = accept.entry.route.clone().unwrap_or_default();
        let number = self.memory.names.number(self.connection, &route)?;
        let head = accept.entry.head.as_ref().map_or(0, |head| head.footprint());
        let bytes = share::weight(head, accept.entry.body.as_ref().map_or(0, |body| body.len()));
        if !self.memory.held.admits(number, bytes, self.room.full) {
            return Ok(Wrote::NoRoom);
        }
        let seq = self.memory.tickets.fetch_add(1, Ordering::Relaxed);
        let at_once = accept.due.is_none();
        let inserted = self.insert(&accept.entry, Some(seq))?;
        self.keep_body(inserted.key, &mut accept.entry)?;
        self.memory.held.add(number, bytes);
        let attempts = accept.tried.as_ref().map_or(0, |tried| tried.number) + u32::from(at_once);
        let received_at = accept.entry.received_at;
        let failures = accept.tried.is_some();
        let allowance_from = self.steady.0.saturating_sub(self.now.0.saturating_sub(received_at.0));
        let sql = "INSERT INTO spool VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?12, ?7, ?8, ?9, ?10, ?11)";
        let due = accept.due.map(|due| due.0);
        let seal = self.keys.name().map(|name| self.memory.names.number(self.connection, &name)).transpose()?;
        self.connection.prepare_cached(sql)?.execute(params![
            seq,
            inserted.key,
            number,
            due,
            attempts,
            failures,
            received_at.0,
            accept.keep_body,
            seal,
            i64::try_from(bytes).unwrap_or(i64::MAX),
            accept.refused.map(|refused| refused.0),
            allowance_from,
        ])?;
        if let Some(tried) = &accept.tried {
            self.tried(inserted.key, tried)?;
        }
        if let Some((key, until)) = accept.dedupe {
            self.remember(key, until, number)?;
        }
        self.shifts.push(Shift {
            route,
            waiting: 1,
            claimed: i64::from(at_once),
            dead: 0,
            due: accept.due.map_or(Due::Same, Due::Add),
            received_at: Some(received_at),
        });
        Ok(Wrote::Accepted(Ticket(seq), at_once))
    }

    pub(super) fn claim(
        &mut self,
        route: &Arc<str>,
        most: usize,
        ordered: bool,
        early: Early,
    ) -> rusqlite::Result<Vec<Claimed>> {
        let Some(number) = row::number(self.connection, route)? else { return Ok(Vec::new()) };
        let most = most.min(MAX_CLAIM);
        let found = if ordered { self.in_order(number, most, early)? } else { self.claimable(number, most, early)? };
        let mut claimed = Vec::with_capacity(found.len());
        let (mut bytes, mut dead) = (0_usize, 0);
        for spooled in found {
            if bytes > MAX_CLAIM_BYTES {
                break;
            }
            match read::stored(self.connection, self.keys, spooled.key, route, Some(spooled.seq)) {
                Ok(request) => {
                    let sql = "UPDATE spool SET due = NULL, attempts = attempts + 1 WHERE seq = ?1";
                    self.connection.prepare_cached(sql)?.execute([spooled.seq])?;
                    bytes = bytes.saturating_add(request.body.len());
                    claimed.push(Claimed {
                        ticket: Ticket(spooled.seq),
                        attempt: spooled.attempts.saturating_add(1),
                        failures: spooled.failures,
                        allowance_from: UnixMillis(spooled.allowance_from),
                        due: spooled.due.map_or(self.steady, UnixMillis),
                        request,
                    });
                }
                // What cannot be read cannot be delivered. It must not hold up what stands behind it, nor vanish.
                Err(Unreadable::Lost(why)) => {
                    let detail = match why {
                        Some(Unsealed::KeyMissing) => "no configured key opens it",
                        Some(Unsealed::InClear) => {
                            "it is stored in clear text, and the store seals: nothing says that it is ours"
                        }
                        Some(Unsealed::Damaged) => "what was stored was altered on disk",
                        None => "what was stored cannot be read",
                    };
                    let attempt = Attempt {
                        number: spooled.attempts.saturating_add(1),
                        at: self.now,
                        kind: AttemptKind::Spooled,
                        server: None,
                        status: None,
                        fault: Some(Fault::Internal),
                        detail: Some(detail.into()),
                        took: Duration::ZERO,
                    };
                    self.die(&spooled, &attempt)?;
                    dead += 1;
                }
                Err(Unreadable::Engine(e)) => return Err(e),
            }
        }
        let next = if ordered { self.head_due(number)? } else { self.next_due(number)? };
        let taken = i64::try_from(claimed.len()).unwrap_or(i64::MAX);
        self.shift(route, -dead, taken, dead, Due::Is(next));
        Ok(claimed)
    }

    /// What is due, and what the upstream refused. The one it refused longest ago comes first, so that one which fails again and
    /// again does not stand before the others for ever.
    fn claimable(&mut self, route: i64, most: usize, early: Early) -> rusqlite::Result<Vec<Spooled>> {
        let mut found = match early {
            Early::Refused(before) => self.refused(route, most, before.0)?,
            Early::Nothing | Early::Probe => Vec::new(),
        };
        let limit = |left: usize| i64::try_from(left).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT {COLUMNS} FROM spool WHERE route = ?1 AND due IS NOT NULL AND due <= ?2 ORDER BY due, seq LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![route, self.steady.0, limit(most)])?;
        while let Some(row) = rows.next()? {
            let due = Spooled::read(row)?;
            if found.len() < most && !found.iter().any(|spooled| spooled.seq == due.seq) {
                found.push(due);
            }
        }
        if found.is_empty() && early == Early::Probe {
            found = self.refused(route, most, i64::MAX)?;
        }
        Ok(found)
    }

    fn refused(&self, route: i64, most: usize, before: i64) -> rusqlite::Result<Vec<Spooled>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM spool WHERE route = ?1 AND refused IS NOT NULL AND due IS NOT NULL AND refused < ?2 \
             ORDER BY refused LIMIT ?3"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        statement.query_map(params![route, before, most], Spooled::read)?.collect()
    }

    /// The head of the line and what follows it, as far as all of it is due: nothing overtakes what is on its way or waits.
    fn in_order(&mut self, route: i64, most: usize, early: Early) -> rusqlite::Result<Vec<Spooled>> {
        let sql = format!("SELECT {COLUMNS} FROM spool WHERE route = ?1 AND state <> 1 ORDER BY seq LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let found = statement.query_map(params![route, most], Spooled::read)?;
        let now = self.steady.0;
        let goes = |spooled: &Spooled| {
            let refused = match early {
                Early::Nothing => false,
                Early::Refused(before) => spooled.refused.is_some_and(|refused| refused < before.0),
                Early::Probe => spooled.refused.is_some(),
            };
            spooled.due.is_some_and(|due| due <= now || refused)
        };
        found.take_while(|row| row.as_ref().map_or(true, goes)).collect()
    }

    /// When the head of the line is due.
    fn head_due(&self, route: i64) -> rusqlite::Result<Option<UnixMillis>> {
        let sql = "SELECT due FROM spool WHERE route = ?1 AND state <> 1 ORDER BY seq LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let due = statement.query_row([route], |row| row.get::<_, Option<i64>>(0)).optional()?;
        Ok(due.flatten().map(UnixMillis))
    }

    fn next_due(&self, route: i64) -> rusqlite::Result<Option<UnixMillis>> {
        let sql = "SELECT due FROM spool WHERE route = ?1 AND due IS NOT NULL ORDER BY due LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row([route], |row| row.get(0).map(UnixMillis)).optional()
    }

    /// A ticket that is not claimed (any more) is settled already: settling twice changes nothing.
    pub(super) fn settle(&mut self, ticket: Ticket, settlement: &Settlement) -> rusqlite::Result<()> {
        let Some(spooled) = self.spooled(ticket.0)?.filter(Spooled::claimed) else { return Ok(()) };
        let route = self.memory.names.word(self.connection, spooled.route)?;
        match settlement {
            Settlement::Delivered(attempt) => {
                if attempt.number > 1 {
                    self.tried(spooled.key, attempt)?;
                }
                self.unspool(&spooled)?;
                self.conclude(spooled.key, HistoryOutcome::Delivered, attempt)?;
                self.shift(&route, -1, -1, 0, Due::Same);
            }
            Settlement::Again(attempt, _) | Settlement::Dead(attempt) if spooled.state == DISCARDED => {
                self.tried(spooled.key, attempt)?;
                self.follow(spooled.key, attempt)?;
                self.give_up(&spooled, &route)?;
            }
            Settlement::Released(_) if spooled.state == DISCARDED => self.give_up(&spooled, &route)?,
            Settlement::Again(attempt, wait) => {
                self.tried(spooled.key, attempt)?;
                self.follow(spooled.key, attempt)?;
                let sql = "UPDATE spool SET due = ?2, refused = ?3, failures = failures + ?4, attempts = max(attempts, ?5) \
                     WHERE seq = ?1";
                let refused = wait.refused.map(|refused| refused.0);
                let mut statement = self.connection.prepare_cached(sql)?;
                statement.execute(params![spooled.seq, wait.due.0, refused, wait.counts, attempt.number])?;
                self.shift(&route, 0, -1, 0, Due::Add(wait.due));
            }
            Settlement::Dead(attempt) => {
                self.die(&spooled, attempt)?;
                self.shift(&route, -1, -1, 1, Due::Same);
            }
            Settlement::Released(due) => {
                let sql = "UPDATE spool SET due = ?2, attempts = max(attempts - 1, 0) WHERE seq = ?1";
                self.connection.prepare_cached(sql)?.execute(params![spooled.seq, due.0])?;
                self.shift(&route, 0, -1, 0, Due::Add(*due));
            }
        }
        Ok(())
    }

    pub(super) fn reserve(&mut self, request_id: &str) -> rusqlite::Result<Option<u32>> {
        let Some((key, _)) = self.find(request_id)? else { return Ok(None) };
        let sql = "UPDATE events SET attempts = attempts + ?2 WHERE key = ?1 RETURNING attempts";
        let mut statement = self.connection.prepare_cached(sql)?;
        let last: u32 = statement.query_row(params![key, Sends::MOST], |row| row.get(0))?;
        Ok(Some(last.saturating_sub(Sends::MOST).saturating_add(1)))
    }

    pub(super) fn note(&mut self, request_id: &str, attempt: &Attempt, first: u32) -> rusqlite::Result<()> {
        let Some((key, _)) = self.find(request_id)? else { return Ok(()) };
        self.tried(key, attempt)?;
        self.follow(key, attempt)?;
        // Unless another attempt has numbers behind these.
        let sql = "UPDATE events SET attempts = ?2 WHERE key = ?1 AND attempts = ?3";
        let reserved = first.saturating_add(Sends::MOST).saturating_sub(1);
        self.connection.prepare_cached(sql)?.execute(params![key, attempt.number, reserved])?;
        // A redelivery that was taken makes it delivered; one that was not takes nothing back. What is in the spool stays what
        // the spool says.
        if attempt.fault.is_none() && self.found(request_id)?.is_none() {
            self.outcome(key, HistoryOutcome::Delivered)?;
        }
        Ok(())
    }

    /// A dead letter waits again, with a fresh allowance; one that waits is due now.
    pub(super) fn revive(&mut self, request_id: &str) -> rusqlite::Result<Option<Arc<str>>> {
        let Some(spooled) = self.found(request_id)? else { return Ok(None) };
        let route = self.memory.names.word(self.connection, spooled.route)?;
        if spooled.state != DEAD {
            if spooled.claimed() {
                return Ok(None);
            }
            let sql = "UPDATE spool SET due = min(due, ?2) WHERE seq = ?1";
            self.connection.prepare_cached(sql)?.execute(params![spooled.seq, self.steady.0])?;
            self.shift(&route, 0, 0, 0, Due::Add(self.steady));
            return Ok(Some(route));
        }
        let sql =
            "UPDATE spool SET state = 0, due = ?2, failures = 0, refused = NULL, allowance_from = ?2 WHERE seq = ?1";
        self.connection.prepare_cached(sql)?.execute(params![spooled.seq, self.steady.0])?;
        self.outcome(spooled.key, HistoryOutcome::Accepted)?;
        self.shifts.push(Shift {
            route: Arc::clone(&route),
            waiting: 1,
            claimed: 0,
            dead: -1,
            due: Due::Add(self.steady),
            received_at: Some(UnixMillis(spooled.received_at)),
        });
        Ok(Some(route))
    }

    /// A step of having everything that waits for its time due now.
    pub(super) fn hasten(&mut self, route: &Arc<str>, most: usize) -> rusqlite::Result<usize> {
        let Some(number) = row::number(self.connection, route)? else { return Ok(0) };
        let sql = "UPDATE spool SET due = ?2 WHERE seq IN (SELECT seq FROM spool WHERE route = ?1 AND due IS NOT NULL AND \
             due > ?2 ORDER BY due, seq LIMIT ?3)";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let hastened = self.connection.prepare_cached(sql)?.execute(params![number, self.steady.0, most])?;
        if hastened > 0 {
            self.shift(route, 0, 0, 0, Due::Add(self.steady));
        }
        Ok(hastened)
    }

    /// One that is on its way leaves when it comes back, unless it was taken.
    pub(super) fn discard(&mut self, request_id: &str) -> rusqlite::Result<Option<Arc<str>>> {
        let Some(spooled) = self.found(request_id)? else { return Ok(None) };
        let route = self.memory.names.word(self.connection, spooled.route)?;
        if spooled.claimed() {
            self.connection.prepare_cached("UPDATE spool SET state = 2 WHERE seq = ?1")?.execute([spooled.seq])?;
            return Ok(Some(route));
        }
        self.unspool(&spooled)?;
        self.discarded(&spooled)?;
        let dead = i64::from(spooled.state == DEAD);
        self.shift(&route, dead - 1, 0, -dead, Due::Same);
        Ok(Some(route))
    }

    fn give_up(&mut self, spooled: &Spooled, route: &Arc<str>) -> rusqlite::Result<()> {
        self.unspool(spooled)?;
        self.discarded(spooled)?;
        self.shift(route, -1, -1, 0, Due::Same);
        Ok(())
    }

    /// The row takes over the count, for whoever sends it again.
    fn discarded(&mut self, spooled: &Spooled) -> rusqlite::Result<()> {
        self.outcome(spooled.key, HistoryOutcome::Discarded)?;
        let sql = "UPDATE events SET attempts = max(attempts, ?2) WHERE key = ?1";
        self.connection.prepare_cached(sql)?.execute(params![spooled.key, spooled.attempts]).map(drop)
    }

    fn die(&mut self, spooled: &Spooled, attempt: &Attempt) -> rusqlite::Result<()> {
        self.tried(spooled.key, attempt)?;
        self.conclude(spooled.key, HistoryOutcome::Dead, attempt)?;
        let sql = "UPDATE spool SET due = NULL, state = 1, attempts = max(attempts, ?2) WHERE seq = ?1";
        self.connection.prepare_cached(sql)?.execute(params![spooled.seq, attempt.number]).map(drop)
    }

    /// Out of the spool, and out of the bodies unless it is to be kept.
    fn unspool(&mut self, spooled: &Spooled) -> rusqlite::Result<()> {
        self.memory.freed = Some(self.memory.freed.map_or(spooled.key, |key| key.min(spooled.key)));
        self.connection.prepare_cached("DELETE FROM spool WHERE seq = ?1")?.execute([spooled.seq])?;
        self.memory.held.remove(spooled.route, spooled.bytes.unsigned_abs());
        if !spooled.keep_body {
            self.connection.prepare_cached("DELETE FROM bodies WHERE key = ?1")?.execute([spooled.key])?;
        }
        Ok(())
    }

    fn outcome(&mut self, key: i64, outcome: HistoryOutcome) -> rusqlite::Result<()> {
        let outcome = self.memory.names.number(self.connection, outcome.as_str())?;
        let sql = "UPDATE events SET outcome = ?2, reason = NULL WHERE key = ?1";
        self.connection.prepare_cached(sql)?.execute([key, outcome]).map(drop)
    }

    /// The row shows the last attempt.
    fn follow(&mut self, key: i64, attempt: &Attempt) -> rusqlite::Result<()> {
        let server = attempt.server.as_deref().map(|server| self.memory.names.number(self.connection, server));
        let sql = "UPDATE events SET attempts = max(attempts, ?2), server = ?3, upstream_status = ?4, detail = ?5 \
             WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![key, attempt.number, server.transpose()?, attempt.status, attempt.detail]).map(drop)
    }

    /// [`Self::outcome`] and [`Self::follow`] in one: rewriting a row twice costs twice.
    fn conclude(&mut self, key: i64, outcome: HistoryOutcome, attempt: &Attempt) -> rusqlite::Result<()> {
        let outcome = self.memory.names.number(self.connection, outcome.as_str())?;
        let server = attempt.server.as_deref().map(|server| self.memory.names.number(self.connection, server));
        let sql = "UPDATE events SET outcome = ?2, reason = NULL, attempts = max(attempts, ?3), server = ?4, \
             upstream_status = ?5, detail = ?6 WHERE key = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (number, status) = (attempt.number, attempt.status);
        statement.execute(params![key, outcome, number, server.transpose()?, status, attempt.detail]).map(drop)
    }

    fn shift(&mut self, route: &Arc<str>, waiting: i64, claimed: i64, dead: i64, due: Due) {
        self.shifts.push(Shift { route: Arc::clone(route), waiting, claimed, dead, due, received_at: None });
    }

    fn spooled(&self, seq: i64) -> rusqlite::Result<Option<Spooled>> {
        let sql = format!("SELECT {COLUMNS} FROM spool WHERE seq = ?1");
        self.connection.prepare_cached(&sql)?.query_row([seq], Spooled::read).optional()
    }

    /// Key and ticket of the event with this request id.
    fn find(&self, request_id: &str) -> rusqlite::Result<Option<(i64, Option<i64>)>> {
        let Some(first) = row::key_of(request_id, Table::Events) else { return Ok(None) };
        let sql = "SELECT key, ticket FROM events WHERE key >= ?1 AND key < ?2 AND request_id = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let last = first.saturating_add(2 * PROBES);
        statement.query_row(params![first, last, request_id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    fn found(&self, request_id: &str) -> rusqlite::Result<Option<Spooled>> {
        match self.find(request_id)? {
            // A ticket's number may be given again after a restart, to another request.
            Some((key, Some(seq))) => Ok(self.spooled(seq)?.filter(|spooled| spooled.key == key)),
            _ => Ok(None),
        }
    }
}

/// Makes claimed requests due again, except those that this process still holds. What a failed commit left behind and what
/// a crash interrupted are the same here: no sender received success, or one did and nobody delivers it.
pub(super) fn recover(connection: &Connection, ours: &HashSet<Ticket>, now: UnixMillis) -> rusqlite::Result<u64> {
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
pub(super) struct Survey {
    pub(super) backlogs: Backlogs,
    /// Bytes by the number of a route's name, dead letters included.
    pub(super) held: HashMap<i64, u64>,
    pub(super) last_ticket: i64,
    pub(super) last_refusal: Option<RefusedAt>,
    /// Names of the keys that it is sealed with.
    pub(super) seals: Vec<String>,
}

/// Counts what waits. One pass over a narrow table: a million rows take a fraction of a second.
pub(super) fn survey(connection: &Connection) -> rusqlite::Result<Survey> {
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
pub(super) fn oldest(connection: &Connection, route: &str) -> rusqlite::Result<Option<UnixMillis>> {
    let Some(number) = row::number(connection, route)? else { return Ok(None) };
    let sql = "SELECT received_at FROM spool WHERE route = ?1 AND state <> 1 ORDER BY seq LIMIT 1";
    connection.prepare_cached(sql)?.query_row([number], |row| row.get(0).map(UnixMillis)).optional()
}
