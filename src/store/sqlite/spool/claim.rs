//! What is claimed next: in order, or by when it is due.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension as _, params};

use super::{Column, Spooled};
use crate::base::UnixMillis;
use crate::domain::Fault;
use crate::store::entry::{Attempt, AttemptKind};
use crate::store::ledger::Due;
use crate::store::seal::Unsealed;
use crate::store::spool::{Claimed, Early, Ticket};
use crate::store::sqlite::read::{self, Unreadable};
use crate::store::sqlite::row;
use crate::store::sqlite::write::Batch;

/// Claimed at once, at most.
const MAX_CLAIM: usize = 256;
/// Bytes of bodies claimed at once, beyond the first.
const MAX_CLAIM_BYTES: usize = 16 * 1024 * 1024;

impl Batch<'_> {
    pub(in crate::store::sqlite) fn claim(
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
            "SELECT {} FROM spool WHERE route = ?1 AND due IS NOT NULL AND due <= ?2 ORDER BY due, seq LIMIT ?3",
            Column::LIST
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
            "SELECT {} FROM spool WHERE route = ?1 AND refused IS NOT NULL AND due IS NOT NULL AND refused < ?2 \
             ORDER BY refused LIMIT ?3",
            Column::LIST
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        statement.query_map(params![route, before, most], Spooled::read)?.collect()
    }

    /// The head of the line and what follows it, as far as all of it is due: nothing overtakes what is on its way or waits.
    fn in_order(&mut self, route: i64, most: usize, early: Early) -> rusqlite::Result<Vec<Spooled>> {
        let sql = format!("SELECT {} FROM spool WHERE route = ?1 AND state <> 1 ORDER BY seq LIMIT ?2", Column::LIST);
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
}
