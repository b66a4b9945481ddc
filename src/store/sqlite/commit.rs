//! The writer's side of the file: transactions, upkeep, room.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::base::UnixMillis;
use crate::store::engine::{Committed, Engine, EngineFault, Room, Write};
use crate::store::ledger::Oldest;
use crate::store::seal::Keyring;
use crate::store::timeline::Timeline;

use super::generation::{self, Generation, Known};
use super::hold::{self, Held, Number};
use super::prune::{NOTHING, Pruner};
use super::write::{Batch, Memory};
use super::{Bounds, fault, keep_time, open, spool};

/// Pages of the log after which it is emptied, between two batches.
const CHECKPOINT: u32 = 1000;
/// Pages of the log after which it is emptied whatever reads from it.
const CHECKPOINT_NOW: u32 = 16_000;

/// Between two times that the store's own time is written down.
const KEEP_TIME: Duration = Duration::from_secs(10);

/// What was opened.
pub(super) struct File {
    path: PathBuf,
    held: Arc<Held>,
    /// The numbers of the log and of its index.
    beside: [Number; 2],
    known: Arc<Known>,
    generation: Generation,
    /// The log may begin again with the next write, which then says from where.
    begins: bool,
    /// Of the log as it was last seen.
    salts: Option<[u8; 8]>,
    /// Pages of the log after the last commit.
    wal: Arc<AtomicU32>,
}

impl File {
    pub(super) fn new(
        path: PathBuf,
        held: Arc<Held>,
        known: Arc<Known>,
        generation: Generation,
        wal: Arc<AtomicU32>,
    ) -> io::Result<Self> {
        let beside = [hold::number(&hold::beside(&path, "-wal"))?, hold::number(&hold::beside(&path, "-shm"))?];
        let mut file = Self { path, held, beside, known, generation, begins: false, salts: None, wal };
        file.salts = file.salts()?;
        Ok(file)
    }

    fn salts(&self) -> io::Result<Option<[u8; 8]>> {
        generation::salts(&mut std::fs::File::open(hold::beside(&self.path, "-wal"))?)
    }

    /// Nobody would ever find what is written to a file or a log that was removed or replaced; and what came into its place must
    /// not be written over.
    fn check(&self) -> Result<(), Gone> {
        let file = |detail: String| Gone::File(EngineFault::of(detail));
        self.held.still_there(&self.path).map_err(file)?;
        match generation::now(&self.held).map_err(|e| file(e.to_string()))? {
            Some(said) if said.name().is_some_and(|name| self.known.has(name)) => {}
            Some(generation::Said::Unreadable) => {
                let detail = "its second page cannot be read".to_owned();
                return Err(Gone::Page(EngineFault { full: false, damaged: true, detail }));
            }
            _ => return Err(file("other content has its place".into())),
        }
        for (suffix, number) in ["-wal", "-shm"].into_iter().zip(self.beside) {
            if hold::number(&hold::beside(&self.path, suffix)).ok() != Some(number) {
                return Err(Gone::Log(EngineFault::of(format!("its {suffix} was removed or replaced"))));
            }
        }
        Ok(())
    }
}

/// What is not there any more.
enum Gone {
    File(EngineFault),
    Page(EngineFault),
    Log(EngineFault),
}

/// The one connection that writes.
pub(super) struct SqliteEngine {
    connection: Connection,
    keys: Arc<Keyring>,
    memory: Memory,
    pruner: Pruner,
    timeline: Arc<Timeline>,
    time_kept: Instant,
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
        timeline: Arc<Timeline>,
    ) -> Result<Self, EngineFault> {
        let mut pruner = Pruner::new(&file.path, bounds)?;
        pruner.look(&connection).map_err(|e| fault(&e))?;
        let time_kept = Instant::now().checked_sub(KEEP_TIME).unwrap_or_else(Instant::now);
        Ok(Self { connection, keys, memory, pruner, timeline, time_kept, file, stuck: 0 })
    }

    fn check_file(&mut self) -> Result<(), EngineFault> {
        let (fault, rescue) = match self.file.check() {
            Ok(()) => return Ok(()),
            Err(Gone::Page(fault)) => return Err(fault),
            Err(Gone::File(fault)) => (fault, false),
            Err(Gone::Log(fault)) => (fault, true),
        };
        // What was acknowledged lies in a log that has no name any more, and can still be put where it belongs.
        if rescue && let Err(e) = open::empty_log(&self.connection) {
            return Err(EngineFault::of(format!("{fault}, and what was in it could not be saved: {e}")));
        }
        // Closing would do it once more, and remove whatever has the log's name.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        Err(fault)
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
        let steady = self.timeline.now();
        let transaction = open::transaction(&self.connection)?;
        let (before, changes) = (self.memory.refusals, transaction.total_changes());
        let mut under_way = Batch {
            connection: &transaction,
            memory: &mut self.memory,
            keys: &self.keys,
            now,
            steady,
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
        let stamp = Stamp::of(&mut self.file, &self.timeline, &mut self.time_kept);
        let stamped = stamp.write(&transaction, changes)?;
        transaction.commit()?;
        self.file.stamped(stamped);
        self.pruner.look(&self.connection)?;
        Ok(Committed { wrote, shifts })
    }
}

/// What goes with a transaction that changes something: where the log began, and what time it is.
struct Stamp<'s> {
    file: &'s mut File,
    timeline: &'s Timeline,
    time_kept: &'s mut Instant,
}

impl<'s> Stamp<'s> {
    fn of(file: &'s mut File, timeline: &'s Timeline, time_kept: &'s mut Instant) -> Self {
        Self { file, timeline, time_kept }
    }

    /// Gives the state that the log leads to from now on, if it names a new one.
    fn write(self, transaction: &Connection, changes: u64) -> rusqlite::Result<Option<Generation>> {
        if transaction.total_changes() == changes {
            return Ok(None);
        }
        if self.file.begins || self.time_kept.elapsed() >= KEEP_TIME {
            keep_time(transaction, self.timeline.kept())?;
            *self.time_kept = Instant::now();
        }
        if !self.file.begins {
            return Ok(None);
        }
        let next = self.file.generation.next();
        self.file.known.add(next.to);
        next.write(transaction)?;
        Ok(Some(next))
    }
}

impl File {
    fn stamped(&mut self, generation: Option<Generation>) {
        if let Some(generation) = generation {
            (self.generation, self.begins, self.salts) = (generation, false, None);
        }
    }

    /// Another program emptied the log, and it began again without our word.
    fn watch_log(&mut self) {
        if let Ok(Some(salts)) = self.salts() {
            match self.salts {
                Some(known) if known != salts => self.begins = true,
                Some(_) => {}
                None if self.begins => {}
                None => self.salts = Some(salts),
            }
        }
    }
}

impl Engine for SqliteEngine {
    fn commit(&mut self, batch: &mut [Write], now: UnixMillis) -> Result<Committed, EngineFault> {
        self.transact(batch, now).map_err(|e| self.failed(&e))
    }

    fn upkeep(&mut self, now: UnixMillis, _idle: bool, routes: &[Arc<str>]) -> Result<Oldest, EngineFault> {
        self.check_file()?;
        self.file.watch_log();
        self.pruner.look_at_disk()?;
        let steady = self.timeline.now();
        let mut keep_up = || {
            self.pruner.look(&self.connection)?;
            let transaction = open::transaction(&self.connection)?;
            let (before, changes) = (self.memory.refusals, transaction.total_changes());
            self.pruner.upkeep(&transaction, &mut self.memory, now, steady)?;
            if self.memory.refusals != before {
                super::prune::keep_refusals(&transaction, self.memory.refusals)?;
            }
            let stamp = Stamp::of(&mut self.file, &self.timeline, &mut self.time_kept);
            let stamped = stamp.write(&transaction, changes)?;
            // Also when nothing was deleted: words may have got their numbers.
            transaction.commit()?;
            self.file.stamped(stamped);
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
        // It writes to the file.
        self.check_file()?;
        // Never waits for a reader: the log grows until it is gone.
        let moved = self.connection.busy_timeout(Duration::ZERO).and_then(|()| self.empty_log(pages));
        match moved.and_then(|left| self.connection.busy_timeout(open::BUSY).map(|()| left)) {
            Ok(left) => {
                self.stuck = if left == 0 { 0 } else { pages };
                self.file.begins |= left == 0;
                self.file.wal.store(left, Ordering::Relaxed);
                Ok(())
            }
            Err(e) => Err(self.failed(&e)),
        }
    }

    fn room(&self) -> Room {
        self.pruner.room()
    }

    fn end(self: Box<Self>) {
        if self.file.check().is_err() {
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        // Closing the connection empties the log into the file and removes it.
    }
}
