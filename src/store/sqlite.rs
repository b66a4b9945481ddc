//! The store in one SQLite file: the best-tested file format there is, and operators already have a tool that opens it.
//!
//! Write-ahead log, `synchronous=FULL`: a commit returns after its `fsync`. The file is this process's alone to write (it is
//! locked, and the kernel takes the lock back when the process ends); an operator may read it with `sqlite3` while it runs.

mod actions;
pub(super) mod backup;
mod columns;
mod commit;
mod denied;
mod fault;
mod filter;
pub(super) mod generation;
mod hold;
mod open;
mod prune;
mod read;
mod row;
mod salvage;
mod schema;
mod share;
mod spool;
mod write;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::base::{Clock, Moment, UnixMillis};
use crate::guards::dedupe::{DedupeKey, Kept};

use super::engine::{EngineFault, Opened, Place, Reader};
use super::error::OpenError;
use super::seal::Keyring;
use super::settings::Settings;
use super::shared::Sharers;
use super::spool::Ticket;
use super::timeline::{KeptTime, Timeline};

use columns::columns;
use fault::{fault, open_error};
use generation::{Generation, Known, Main, Said};
use hold::Held;

/// What of the settings an engine needs.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    keep_age: Duration,
    keep_size: u64,
    disk_reserve: u64,
}

columns! {
    /// Of the table `dedupe`.
    enum DedupeColumn from "dedupe WHERE until > ?1 OR steady > ?2" {
        key,
        until,
        steady,
        route,
    }
}

/// A file.
pub(super) struct SqlitePlace {
    path: PathBuf,
    keys: Arc<Keyring>,
    bounds: Bounds,
    clock: Clock,
    timeline: Arc<Timeline>,
    sharers: Arc<Sharers>,
    /// The next ticket of this process, over all openings.
    tickets: Arc<AtomicI64>,
    known: Arc<Known>,
    holding: Mutex<Holding>,
}

#[derive(Default)]
struct Holding {
    held: Option<Arc<Held>>,
    /// It was open in this process: from then on it is this file and no other.
    opened: bool,
}

impl SqlitePlace {
    pub(super) fn new(
        settings: &Settings,
        clock: Clock,
        timeline: Arc<Timeline>,
        sharers: Arc<Sharers>,
    ) -> Result<Self, OpenError> {
        let keys = Keyring::derive(&settings.keys).ok_or_else(|| OpenError::Io("no key could be derived".into()))?;
        Ok(Self {
            path: settings.path.clone(),
            keys: Arc::new(keys),
            bounds: Bounds {
                keep_age: settings.keep_age,
                keep_size: settings.keep_size,
                disk_reserve: settings.disk_reserve,
            },
            clock,
            timeline,
            sharers,
            tickets: Arc::new(AtomicI64::new(1)),
            known: Arc::default(),
            holding: Mutex::default(),
        })
    }

    /// The file, locked. Until it was open once, another one may come into its place; a file is made only until then, too: one
    /// that vanished later may lie on a disk that is missing.
    fn hold(&self, holding: &mut Holding) -> Result<Arc<Held>, OpenError> {
        if let Some(held) = &holding.held {
            match held.still_there(&self.path) {
                Ok(()) => return Ok(Arc::clone(held)),
                Err(what) if holding.opened => return Err(OpenError::Replaced(what)),
                Err(_) => holding.held = None,
            }
        }
        let held = Arc::new(Held::take(&self.path, !holding.opened)?);
        holding.held = Some(Arc::clone(&held));
        Ok(held)
    }

    /// Refuses what is not ours, and a log that is not the file's, before SQLite sees them: it would change them.
    fn look(&self, held: &Held, opened: bool) -> Result<(), OpenError> {
        let io = |e: std::io::Error| OpenError::of(&e, e.to_string());
        let main = generation::look(held).map_err(io)?;
        match main {
            Main::Foreign => return Err(OpenError::Foreign),
            Main::NoDatabase if opened => return Err(OpenError::Replaced("it is no database any more".into())),
            Main::NoDatabase => return Err(OpenError::Damaged("it is no database".into())),
            Main::Ours { version, .. } if version > schema::known() => {
                return Err(OpenError::Newer { found: version, known: schema::known() });
            }
            Main::Ours { said, .. } if opened && said.name().is_some_and(|name| !self.known.has(name)) => {
                return Err(OpenError::Replaced("other content has its place".into()));
            }
            Main::Empty if opened && !self.known.has(generation::Name::default()) => {
                return Err(OpenError::Replaced("it is empty".into()));
            }
            Main::Empty | Main::Ours { .. } => {}
        }
        let log = match std::fs::File::open(hold::beside(&self.path, "-wal")) {
            Ok(log) => log,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(OpenError::of(&e, format!("its log: {e}"))),
        };
        let mut log = std::io::BufReader::with_capacity(64 * 1024, log);
        if generation::belongs(main, &mut log).map_err(io)? { Ok(()) } else { Err(OpenError::ForeignLog) }
    }
}

impl SqlitePlace {
    fn open_now(&self, ours: &HashSet<Ticket>, salvage: bool) -> Result<Opened, OpenError> {
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = self.hold(&mut holding)?;
        self.look(&held, holding.opened)?;
        let mut set_aside = None;
        if salvage {
            let salvaged = salvage::salvage(&self.path, self.clock.now(), &self.timeline)?;
            held = Arc::new(salvaged.held);
            holding.held = Some(Arc::clone(&held));
            self.known.add(salvaged.name);
            set_aside = Some(salvaged.words);
        }
        let wal = Arc::new(AtomicU32::new(0));
        let mut connection = open::writer(&self.path, Arc::clone(&wal)).map_err(|e| open_error(&e))?;
        open::empty_log(&connection).map_err(|e| open_error(&e))?;
        open::check_version(&connection)?;
        // With the log in it, the file says where it stands.
        let from = generation::now(&held).map_err(|e| OpenError::of(&e, e.to_string()))?;
        let from = if let Some(Said::Generation(from)) = from { from } else { Generation::default() };
        let generation = from.next();
        self.known.add(from.to);
        self.known.add(generation.to);
        schema::migrate(&mut connection, schema::STEPS, generation).map_err(|e| open_error(&e))?;
        open::check_layout(&connection)?;
        if !holding.opened
            && let Some(kept) = kept_time(&connection).map_err(|e| open_error(&e))?
        {
            self.timeline.go_on_from(kept);
        }
        let now = self.timeline.now();
        let found = |connection: &Connection| -> rusqlite::Result<_> {
            open::prove(&self.path, connection, generation, now)?;
            let transaction = open::transaction(connection)?;
            let interrupted = spool::recover(&transaction, ours, now)?;
            transaction.commit()?;
            Ok((interrupted, spool::survey(connection)?, prune::refusals(connection)?))
        };
        let (interrupted, survey, refusals) = found(&connection).map_err(|e| open_error(&e))?;
        // What history can no longer show is no reason not to start; what cannot be delivered is.
        if !survey.seals.iter().all(|key| self.keys.has(key)) {
            return Err(OpenError::KeyMissing);
        }
        self.tickets.fetch_max(survey.last_ticket.saturating_add(1), Ordering::Relaxed);
        let room = share::Held::new(survey.held, self.bounds.keep_size, Arc::clone(&self.sharers));
        let memory = write::Memory::new(Arc::clone(&self.tickets), refusals, room);
        let io = |e: std::io::Error| OpenError::of(&e, e.to_string());
        let file = commit::File::new(self.path.clone(), held, Arc::clone(&self.known), generation, wal).map_err(io)?;
        let keys = Arc::clone(&self.keys);
        let timeline = Arc::clone(&self.timeline);
        let engine = commit::SqliteEngine::new(connection, file, keys, self.bounds, memory, timeline)
            .map_err(|e| if e.full { OpenError::DiskFull(e.detail) } else { OpenError::Io(e.detail) })?;
        holding.opened = true;
        let (backlogs, last_refusal) = (survey.backlogs, survey.last_refusal);
        Ok(Opened { engine: Box::new(engine), backlogs, interrupted, last_refusal, set_aside })
    }

    /// A reader, too, has SQLite look at whatever log lies there.
    fn is_ours(&self) -> Result<(), EngineFault> {
        let holding = self.holding.try_lock().map_err(|_| EngineFault::of("it is being opened"))?;
        let held = holding.held.as_ref().filter(|_| holding.opened);
        let held = held.ok_or_else(|| EngineFault::of("it was never open"))?;
        held.still_there(&self.path).map_err(EngineFault::of)?;
        let name = generation::now(held).ok().flatten().and_then(Said::name);
        if name.is_some_and(|name| !self.known.has(name)) {
            return Err(EngineFault::of("other content has its place"));
        }
        Ok(())
    }
}

impl Place for SqlitePlace {
    fn open(&self, ours: &HashSet<Ticket>, salvage: bool) -> Result<Opened, OpenError> {
        self.open_now(ours, salvage).map_err(|e| match e {
            // Rights that are missing and a disk without space show themselves in more ways than one.
            OpenError::Io(what) => match denied::denied(&self.path) {
                Some(why) => OpenError::Io(format!("{what}; {why}")),
                None if prune::is_disk_full(&self.path) => OpenError::DiskFull(format!("{what} (the disk is full)")),
                None => OpenError::Io(what),
            },
            e => e,
        })
    }

    fn dedupe_keys(&self) -> Result<Vec<Kept>, OpenError> {
        let (now, steady) = (self.clock.moment(), self.timeline.now());
        let read = || {
            let connection = open::reader(&self.path)?;
            let mut words = row::Words::default();
            let mut statement = connection.prepare(DedupeColumn::SQL)?;
            let mut rows = statement.query([now.wall.0, steady.0])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let (until, ends): (i64, i64) = (DedupeColumn::until.of(row)?, DedupeColumn::steady.of(row)?);
                // An older version's has no second clock.
                let left = if ends == 0 { until.saturating_sub(now.wall.0) } else { ends.saturating_sub(steady.0) };
                let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
                let until = Moment { wall: UnixMillis(until), ..now.plus(left) };
                let route = words.word(&connection, DedupeColumn::route.of(row)?)?;
                kept.push(Kept { key: DedupeKey::from_bytes(DedupeColumn::key.of(row)?), until, route });
            }
            Ok::<_, rusqlite::Error>(kept)
        };
        read().map_err(|e| open_error(&e))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, EngineFault> {
        self.is_ours()?;
        let connection = open::reader(&self.path).map_err(|e| fault(&e))?;
        Ok(Box::new(read::SqliteReader::new(connection, Arc::clone(&self.keys))))
    }
}

/// The store's time, as the file has it.
fn kept_time(connection: &Connection) -> rusqlite::Result<Option<KeptTime>> {
    let sql = "SELECT value FROM meta WHERE name = 'clock'";
    let kept: Option<Vec<u8>> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(kept.and_then(|bytes| KeptTime::from_bytes(&bytes)))
}

/// Writes it down, as a part of whatever transaction there is.
fn keep_time(connection: &Connection, kept: KeptTime) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES ('clock', ?1)")?;
    statement.execute([kept.to_bytes().as_slice()]).map(drop)
}
