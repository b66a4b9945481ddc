//! Opening the file: alone, private from the first byte, and believed only after it took a write.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::{FlockOperation, flock};

use crate::base::UnixMillis;
use crate::store::error::OpenError;

use super::schema;

/// How long a write waits for a lock that an operator's `sqlite3` holds.
pub(super) const BUSY: Duration = Duration::from_secs(2);
/// Larger pages make fewer: a row with a body of a few KiB fits into one.
const PAGE: u32 = 8192;
/// Bytes that the log keeps on disk after it was used up.
const LOG_KEPT: u32 = 32 * 1024 * 1024;
/// KiB of pages that the writer keeps. Few: while the file is below 1 GiB, SQLite walks over the whole cache at each commit in
/// which its tree was balanced (its page numbers are shuffled by way of a very high one), and what is written lies at the right
/// edge of each table anyway.
const WRITER_CACHE: i32 = -4 * 1024;
/// KiB of pages that a reader keeps.
const READER_CACHE: i32 = -2 * 1024;
/// Statements that a connection keeps.
const STATEMENTS: usize = 64;

/// Takes the lock beside the file. The kernel gives it back when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = beside(path, ".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
    let file = file.map_err(|e| OpenError::Io(format!("{}: {e}", beside.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse),
        Err(e) => Err(OpenError::Io(format!("{}: {}", beside.display(), io::Error::from(e)))),
    }
}

/// Creates the file, readable by nobody else, if it is not there; SQLite gives the files beside it the same mode. Only
/// ever before SQLite has it open: closing a descriptor of ours would drop its locks.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    let io = |e: io::Error| OpenError::Io(format!("{}: {e}", path.display()));
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all().map_err(io)?;
            sync_folder(path).map_err(io)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io(e)),
    }
}

/// The writing connection. `wal` always has the pages of the log after the last commit.
pub(super) fn writer(path: &Path, wal: Arc<AtomicU32>) -> rusqlite::Result<Connection> {
    // Without `CREATE`: a file that vanished while the process ran is a fault, not a reason for an empty one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "page_size", PAGE)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        let refused = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
        return Err(rusqlite::Error::SqliteFailure(refused, Some("the file system takes no write-ahead log".into())));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    // Also turns SQLite's own checkpoints off: they would be part of somebody's commit.
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
        wal.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(connection)
}

/// A connection that writes nothing.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// A transaction that writes from its beginning. One that begins by reading does not wait when it comes to write and an
/// operator's `sqlite3` has the lock just then: it fails at once.
pub(super) fn transaction(connection: &Connection) -> rusqlite::Result<Transaction<'_>> {
    Transaction::new_unchecked(connection, TransactionBehavior::Immediate)
}

/// Refuses what another program or a newer version of this one wrote.
pub(super) fn check_version(connection: &Connection) -> Result<(), OpenError> {
    let read = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let error = |e: rusqlite::Error| super::open_error(&e);
    let found = schema::version(connection).map_err(error)?;
    let application = read("application_id").map_err(error)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).map_err(error)?;
    if application != i64::from(schema::APPLICATION_ID) && (application != 0 || tables > 0) {
        return Err(OpenError::Damaged("it is another program's database".into()));
    }
    if found > schema::known() {
        return Err(OpenError::Newer { found, known: schema::known() });
    }
    Ok(())
}

/// Writes, makes durable and reads back.
///
/// The log is emptied into the file first. After a failed `fsync` the kernel may show pages of it that never reached the
/// disk; whatever was appended behind them would be lost with them.
pub(super) fn prove(path: &Path, connection: &Connection, now: UnixMillis) -> rusqlite::Result<()> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(busy, Some("a reader holds the log".into())));
    }
    let probe = format!("{}-{:016x}", now.0, fastrand::u64(..));
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?1)", [&probe])?;
    let reader = reader(path)?;
    let found: String = reader.query_row("SELECT value FROM meta WHERE name = 'probe'", [], |row| row.get(0))?;
    if found != probe {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        return Err(rusqlite::Error::SqliteFailure(corrupt, Some("what was written is not what is read".into())));
    }
    // Where there can be no log SQLite goes on with its rollback journal and calls that no error. A power loss would then
    // undo the last commit, because the journal's removal is not synced. Another connection knows it from the file.
    let mode: String = reader.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
        return Err(rusqlite::Error::SqliteFailure(failed, Some("it has no write-ahead log".into())));
    }
    // The name of a new log is as much needed as its content, and SQLite takes no notice when its own sync of the folder
    // fails.
    sync_folder(path).map_err(|e| {
        let failed = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_DIR_FSYNC);
        rusqlite::Error::SqliteFailure(failed, Some(format!("its folder cannot be synced: {e}")))
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Names a file whatever its path says now.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
