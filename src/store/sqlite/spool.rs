//! What waits: accepted, claimed, settled, revived, given up.
//!
//! A row of the spool is due at a time, or claimed (no time), or dead. Claims are undone by a restart, with their attempt
//! counted, because the request may have arrived.

mod claim;
mod operator;
mod survey;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{OptionalExtension as _, params};

use crate::domain::HistoryOutcome;
use crate::store::engine::Wrote;
use crate::store::entry::{Attempt, Stage};
use crate::store::ledger::{Due, Shift};
use crate::store::spool::{Accept, Settlement, Ticket};

use super::columns::columns;
use super::row::{self, PROBES, Table};
use super::share;
use super::write::Batch;

pub(super) use survey::{oldest, recover, survey};

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

columns! {
    /// Of the table `spool`.
    enum Column {
        seq,
        key,
        route,
        due,
        state,
        attempts,
        failures,
        allowance_from,
        received_at,
        keep_body,
        bytes,
        refused,
    }
}

impl Spooled {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: Column::seq.of(row)?,
            key: Column::key.of(row)?,
            route: Column::route.of(row)?,
            due: Column::due.of(row)?,
            state: Column::state.of(row)?,
            attempts: Column::attempts.of(row)?,
            failures: Column::failures.of(row)?,
            allowance_from: Column::allowance_from.of(row)?,
            received_at: Column::received_at.of(row)?,
            keep_body: Column::keep_body.of(row)?,
            bytes: Column::bytes.of(row)?,
            refused: Column::refused.of(row)?,
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
        if !self.memory.held.admits(number, bytes, self.room.full, accept.repeat) {
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
        let sql = format!("SELECT {} FROM spool WHERE seq = ?1", Column::LIST);
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
