//! The writer's side of the file: transactions, upkeep, room.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use crate::base::UnixMillis;
use crate::store::engine::{Committed, Engine, EngineFault, Room, Write};
use crate::store::ledger::Oldest;
use crate::store::seal::Keyring;

use super::prune::Pruner;
use super::write::{Batch, Memory};
use super::{Bounds, fault, open, spool};

/// Pages of the log after which it is emptied, between two batches.
const CHECKPOINT: u32 = 1000;
/// Free bytes that are as good as none.
const NOTHING: u64 = 64 * 1024;
/// Pages of the log after which it is emptied whatever reads from it.
const CHECKPOINT_NOW: u32 = 16_000;

/// What was opened.
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Device and number.
    pub(super) identity: (u64, u64),
    /// Pages of the log after the last commit.
    pub(super) wal: Arc<AtomicU32>,
}

/// The one connection that writes.
pub(super) struct SqliteEngine {
    connection: Connection,
    keys: Arc<Keyring>,
    memory: Memory,
    pruner: Pruner,
    file: File,
    /// Pages that a checkpoint could not move yet, so that it is not tried again at once.
    stuck: u32,
}

impl SqliteEngine {
    pub(super) fn new(
        connection: Connection,
        file: File,
        keys: Arc<Keyring>,
        bounds: Bounds,
        memory: Memory,
    ) -> Result<Self, EngineFault> {
        let mut pruner = Pruner::new(&file.path, bounds)?;
        pruner.look(&connection).map_err(|e| fault(&e))?;
        Ok(Self { connection, keys, memory, pruner, file, stuck: 0 })
    }

    /// A file that was removed or replaced takes writes as before, and nobody would ever find them.
    fn check_identity(&self) -> Result<(), EngineFault> {
        match open::identity(&self.file.path) {
            Ok(found) if found == self.file.identity => Ok(()),
            Ok(_) => Err(EngineFault { full: false, detail: "another file has its place".into() }),
            Err(e) => Err(EngineFault { full: false, detail: format!("the file is gone: {e}") }),
        }
    }

    /// A disk without space shows itself in more ways than one.
    fn failed(&mut self, e: &rusqlite::Error) -> EngineFault {
        let mut fault = fault(e);
        fault.full |= self.pruner.look_at_disk().is_ok() && self.pruner.room().disk_free < NOTHING;
        fault
    }

    /// Moves pages from the log to the file; gives those that are left.
    fn empty_log(&self, pages: u32) -> rusqlite::Result<u32> {
        let cut = pages >= CHECKPOINT_NOW;
        let how = if cut { "PRAGMA wal_checkpoint(TRUNCATE)" } else { "PRAGMA wal_checkpoint(PASSIVE)" };
        let counts = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
        match self.connection.query_row(how, [], counts) {
            Ok((log, moved)) => Ok(u32::try_from(log.saturating_sub(moved)).unwrap_or_default()),
            Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(pages),
            Err(e) => Err(e),
        }
    }

    fn transact(&mut self, batch: &mut [Write], now: UnixMillis) -> rusqlite::Result<Committed> {
        self.pruner.look(&self.connection)?;
        let transaction = open::transaction(&self.connection)?;
        let before = self.memory.refusals;
        let mut under_way = Batch {
            connection: &transaction,
            memory: &mut self.memory,
            keys: &self.keys,
            now,
            room: self.pruner.room(),
            shifts: Vec::new(),
            written: 0,
            inserts: [None, None],
        };
        let wrote = batch.iter_mut().map(|write| under_way.apply(write)).collect::<rusqlite::Result<Vec<_>>>()?;
        let (shifts, written) = (std::mem::take(&mut under_way.shifts), under_way.written);
        drop(under_way);
        self.pruner.wrote(written);
        self.pruner.make_room(&transaction, &mut self.memory, written)?;
        if self.memory.refusals != before {
            super::prune::keep_refusals(&transaction, self.memory.refusals)?;
        }
        transaction.commit()?;
        Ok(Committed { wrote, shifts })
    }
}

impl Engine for SqliteEngine {
    fn commit(&mut self, batch: &mut [Write], now: UnixMillis) -> Result<Committed, EngineFault> {
        self.transact(batch, now).map_err(|e| self.failed(&e))
    }

    fn upkeep(&mut self, now: UnixMillis, _idle: bool, routes: &[Arc<str>]) -> Result<Oldest, EngineFault> {
        self.check_identity()?;
        self.pruner.look_at_disk()?;
        let mut keep_up = || {
            self.pruner.look(&self.connection)?;
            let transaction = open::transaction(&self.connection)?;
            let before = self.memory.refusals;
            self.pruner.upkeep(&transaction, &mut self.memory, now)?;
            if self.memory.refusals != before {
                super::prune::keep_refusals(&transaction, self.memory.refusals)?;
            }
            // Also when nothing was deleted: words may have got their numbers.
            transaction.commit()?;
            self.pruner.look(&self.connection)?;
            let oldest = |route: &Arc<str>| Ok((Arc::clone(route), spool::oldest(&self.connection, route)?));
            routes.iter().map(oldest).collect::<rusqlite::Result<Vec<_>>>()
        };
        let kept = keep_up();
        kept.map_err(|e| self.failed(&e))
    }

    fn checkpoint(&mut self, idle: bool) -> Result<(), EngineFault> {
        let pages = self.file.wal.load(Ordering::Relaxed);
        if pages == 0 || (!idle && pages < CHECKPOINT.saturating_add(self.stuck)) {
            return Ok(());
        }
        // Never waits for a reader: the log grows until it is gone.
        let moved = self.connection.busy_timeout(Duration::ZERO).and_then(|()| self.empty_log(pages));
        match moved.and_then(|left| self.connection.busy_timeout(open::BUSY).map(|()| left)) {
            Ok(left) => {
                self.stuck = if left == 0 { 0 } else { pages };
                self.file.wal.store(left, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn room(&self) -> Room {
        self.pruner.room()
    }
}
