//! Opening the file: believed only after it took a write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::base::UnixMillis;
use crate::store::error::OpenError;

use super::generation::{self, Generation};
use super::hold::sync_folder;
use super::schema;

/// How long a write waits for a lock that an operator's `sqlite3` holds.
pub(super) const BUSY: Duration = Duration::from_secs(2);
/// Larger pages make fewer: a row with a body of a few KiB fits into one.
pub(super) const PAGE: u32 = 8192;
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
    connection.pragma_update(None, "cell_size_check", true)?;
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

/// Refuses what a newer version of this program wrote.
pub(super) fn check_version(connection: &Connection) -> Result<(), OpenError> {
    let found = schema::version(connection).map_err(|e| super::open_error(&e))?;
    if found > schema::known() {
        return Err(OpenError::Newer { found, known: schema::known() });
    }
    Ok(())
}

/// Moves the whole log into the file.
///
/// After a failed `fsync` the kernel may show pages of the log that never reached the disk; whatever was appended behind them
/// would be lost with them.
pub(super) fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let why = "another program has a transaction open in it, so its log cannot be emptied";
        return Err(rusqlite::Error::SqliteFailure(busy, Some(why.into())));
    }
    Ok(())
}

/// `meta` must lie where [`generation`] looks for it.
pub(super) fn check_layout(connection: &Connection) -> Result<(), OpenError> {
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'meta'";
    let root: u32 = connection.query_row(sql, [], |row| row.get(0)).map_err(|e| super::open_error(&e))?;
    if root == generation::META_PAGE {
        Ok(())
    } else {
        Err(OpenError::Damaged("its tables were changed by another program".into()))
    }
}

/// Writes, makes durable and reads back.
pub(super) fn prove(
    path: &Path,
    connection: &Connection,
    generation: Generation,
    now: UnixMillis,
) -> rusqlite::Result<()> {
    let probe = format!("{}-{:016x}", now.0, fastrand::u64(..));
    let writing = transaction(connection)?;
    writing.execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?1)", [&probe])?;
    generation.write(&writing)?;
    writing.commit()?;
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
