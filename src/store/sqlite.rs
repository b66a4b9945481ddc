//! The store in one SQLite file: the best-tested file format there is, and operators already have a tool that opens it.
//!
//! Write-ahead log, `synchronous=FULL`: a commit returns after its `fsync`. The file is this process's alone to write (a
//! lock beside it, which the kernel takes back when the process ends); an operator may read it with `sqlite3` while it runs.

mod commit;
mod fault;
mod filter;
mod open;
mod prune;
mod read;
mod row;
mod schema;
mod share;
mod spool;
mod write;

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use rusqlite::Connection;

use crate::base::UnixMillis;
use crate::replay::{Kept, ReplayKey};

use super::engine::{EngineFault, Opened, Place, Reader};
use super::error::OpenError;
use super::seal::Keyring;
use super::settings::Settings;
use super::shared::Sharers;
use super::spool::Ticket;

use fault::{fault, open_error};

/// What of the settings an engine needs.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    keep_age: std::time::Duration,
    keep_size: u64,
    reserve: u64,
}

/// A file.
pub(super) struct SqlitePlace {
    path: PathBuf,
    keys: Arc<Keyring>,
    bounds: Bounds,
    sharers: Arc<Sharers>,
    /// The next ticket of this process, over all openings.
    tickets: Arc<AtomicI64>,
    /// Held as long as the place is.
    _lock: File,
}

impl SqlitePlace {
    /// Locks the place and creates the file if there is none.
    pub(super) fn new(settings: &Settings, sharers: Arc<Sharers>) -> Result<Self, OpenError> {
        let keys = Keyring::derive(&settings.keys).ok_or_else(|| OpenError::Io("no key could be derived".into()))?;
        let lock = open::lock(&settings.path)?;
        open::create(&settings.path)?;
        Ok(Self {
            path: settings.path.clone(),
            keys: Arc::new(keys),
            bounds: Bounds { keep_age: settings.keep_age, keep_size: settings.keep_size, reserve: settings.reserve },
            sharers,
            tickets: Arc::new(AtomicI64::new(1)),
            _lock: lock,
        })
    }
}

impl Place for SqlitePlace {
    fn open(&self, ours: &HashSet<Ticket>, now: UnixMillis) -> Result<Opened, OpenError> {
        let wal = Arc::new(AtomicU32::new(0));
        let mut connection = open::writer(&self.path, Arc::clone(&wal)).map_err(|e| open_error(&e))?;
        open::check_version(&connection)?;
        schema::migrate(&mut connection, schema::STEPS).map_err(|e| open_error(&e))?;
        let identity = open::identity(&self.path).map_err(|e| OpenError::Io(e.to_string()))?;
        let found = |connection: &Connection| -> rusqlite::Result<_> {
            open::prove(&self.path, connection, now)?;
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
        let file = commit::File { path: self.path.clone(), identity, wal };
        let engine = commit::SqliteEngine::new(connection, file, Arc::clone(&self.keys), self.bounds, memory)
            .map_err(|e| OpenError::Io(e.detail))?;
        let backlogs = survey.backlogs;
        Ok(Opened { engine: Box::new(engine), backlogs, interrupted, last_refusal: survey.last_refusal })
    }

    fn replay_keys(&self, now: UnixMillis) -> Result<Vec<Kept>, OpenError> {
        let read = || {
            let connection = open::reader(&self.path)?;
            let mut words = row::Words::default();
            let mut statement = connection.prepare("SELECT key, until, route FROM replay WHERE until > ?1")?;
            let mut rows = statement.query([now.0])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let (key, until) = (ReplayKey::from_bytes(row.get(0)?), UnixMillis(row.get(1)?));
                kept.push(Kept { key, until, route: words.word(&connection, row.get(2)?)? });
            }
            Ok::<_, rusqlite::Error>(kept)
        };
        read().map_err(|e| open_error(&e))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, EngineFault> {
        let connection = open::reader(&self.path).map_err(|e| fault(&e))?;
        Ok(Box::new(read::SqliteReader::new(connection, Arc::clone(&self.keys))))
    }
}
