//! What an operator asks for: sent once more, tried again, due now, given up.

use std::sync::Arc;

use rusqlite::params;

use super::DEAD;
use crate::base::UnixMillis;
use crate::domain::{HistoryOutcome, Sends};
use crate::store::entry::Attempt;
use crate::store::ledger::{Due, Shift};
use crate::store::sqlite::row;
use crate::store::sqlite::write::Batch;

impl Batch<'_> {
    pub(in crate::store::sqlite) fn reserve(&mut self, request_id: &str) -> rusqlite::Result<Option<u32>> {
        let Some((key, _)) = self.find(request_id)? else { return Ok(None) };
        let sql = "UPDATE events SET attempts = attempts + ?2 WHERE key = ?1 RETURNING attempts";
        let mut statement = self.connection.prepare_cached(sql)?;
        let last: u32 = statement.query_row(params![key, Sends::MOST], |row| row.get(0))?;
        Ok(Some(last.saturating_sub(Sends::MOST).saturating_add(1)))
    }

    pub(in crate::store::sqlite) fn note(
        &mut self,
        request_id: &str,
        attempt: &Attempt,
        first: u32,
    ) -> rusqlite::Result<()> {
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
    pub(in crate::store::sqlite) fn revive(&mut self, request_id: &str) -> rusqlite::Result<Option<Arc<str>>> {
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
    pub(in crate::store::sqlite) fn hasten(&mut self, route: &Arc<str>, most: usize) -> rusqlite::Result<usize> {
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
    pub(in crate::store::sqlite) fn discard(&mut self, request_id: &str) -> rusqlite::Result<Option<Arc<str>>> {
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
}
