//! A copy of the store that comes to an end however much is written meanwhile: one moment of it, seen by a reader, written
//! row by row into a new file (`VACUUM INTO`). Copying page by page begins again with every commit of another process, and at a
//! handful of requests per second never ends.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;

use super::generation::Generation;
use super::hold::{self, Held};
use super::open;
use crate::base::folder_of;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

/// What was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes of the copy.
    pub bytes: u64,
    /// Requests that wait in it.
    pub waiting: u64,
    /// Dead letters in it.
    pub dead: u64,
}

/// Copies the store in `from` to a new file that only its owner reads. `progress` receives bytes done and bytes in all. The
/// store may be open in a running relay.
///
/// # Errors
/// In words, when `from` is no store, `to` is there already, or one of the two cannot be read or written.
pub fn backup(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Copied, String> {
    let of = |path: &Path| {
        let path = path.display().to_string();
        move |e: &dyn std::fmt::Display| format!("{path}: {e}")
    };
    if fs::symlink_metadata(to).is_ok() {
        return Err(format!("{}: it is there already; name a new file", to.display()));
    }
    let source = open::reader(from).map_err(|e| of(from)(&e))?;
    let number = |sql: &str| source.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|e| of(from)(&e));
    if number("PRAGMA application_id")? != i64::from(super::schema::APPLICATION_ID) {
        return Err(format!("{}: it is no store of dmz-relay", from.display()));
    }
    let pages = number("PRAGMA page_count")?.saturating_sub(number("PRAGMA freelist_count")?);
    let whole = pages.saturating_mul(number("PRAGMA page_size")?).unsigned_abs();

    // Until it is whole it lies in a folder that nobody else may enter, whoever may write beside it: SQLite opens files by their names,
    // and would take a journal that somebody planted beside the copy for the copy's own.
    let private = private_folder(to).map_err(|e| of(to)(&e))?;
    let part = private.path().join("copy.db");
    let held = Held::make(&part).map_err(|e| of(to)(&e))?;
    let made = copy(&source, &part, |done| progress(done, whole)).map_err(|e| of(to)(&e)).and_then(|()| {
        drop(source);
        finish(&part).map_err(|e| of(to)(&e))
    });
    made.and_then(|copied| {
        held.sync().map_err(|e| of(to)(&e))?;
        place(&part, to).map_err(|e| of(to)(&e))?;
        Ok(copied)
    })
}

/// A folder beside a file, for its owner alone. It goes with what it is held by.
fn private_folder(beside: &Path) -> io::Result<TempDir> {
    let mode = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(".dmz-relay-").permissions(mode).tempdir_in(folder_of(beside))
}

/// SQLite copies on a thread of its own, so that its progress can be shown.
fn copy(source: &Connection, part: &Path, mut progress: impl FnMut(u64)) -> rusqlite::Result<()> {
    let target = part.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(part.to_owned()))?;
    let path = source.path().map(str::to_owned).unwrap_or_default();
    std::thread::scope(|scope| {
        let (done, ended) = channel();
        let copying = scope.spawn(move || {
            let copied = open::reader(Path::new(&path)).and_then(|source| source.execute("VACUUM INTO ?1", [target]));
            let _ = done.send(());
            copied.map(drop)
        });
        while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            progress(fs::metadata(part).map_or(0, |found| found.len()));
        }
        copying.join().unwrap_or(Err(rusqlite::Error::InvalidQuery))
    })
}

/// A state of its own, so that the log of the file that it was copied from is never taken for its own.
fn finish(part: &Path) -> rusqlite::Result<Copied> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(part, flags)?;
    Generation::default().next().write(&copy)?;
    let count = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let (waiting, dead) =
        (count("SELECT count(*) FROM spool WHERE state <> 1")?, count("SELECT count(*) FROM spool WHERE state = 1")?);
    copy.close().map_err(|(_, e)| e)?;
    Ok(Copied { bytes: fs::metadata(part).map_or(0, |found| found.len()), waiting, dead })
}

fn place(part: &Path, to: &Path) -> io::Result<()> {
    renameat_with(CWD, part, CWD, to, RenameFlags::NOREPLACE)?;
    hold::sync_folder(to)
}
