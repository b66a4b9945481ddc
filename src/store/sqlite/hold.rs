//! The file itself, held from before SQLite opens it until the end: locked, and known by its number.
//!
//! The lock is on the database file and on nothing beside it, so nobody can remove it and let a second process in. It is of a
//! kind that SQLite does not use (`flock`), and the kernel takes it back when the process ends, however it ends. The
//! descriptor stays open as long as SQLite may have the file open: closing it would drop SQLite's own locks.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::base::folder_of;
use crate::store::error::OpenError;

/// Device and number of a file.
pub(super) type Number = (u64, u64);

/// A file that is ours alone to write.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    number: Number,
}

impl Held {
    /// Opens and locks the file; creates it, readable by nobody else, if `create` says so and it is not there.
    pub(super) fn take(path: &Path, create: bool) -> Result<Self, OpenError> {
        let said = |e: io::Error| OpenError::of(&e, format!("{}: {e}", path.display()));
        if create && !path.exists() {
            match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
                Ok(file) => file.sync_all().and_then(|()| sync_folder(path)).map_err(said)?,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(said(e)),
            }
        }
        Self::lock(OpenOptions::new().read(true).write(true).open(path).map_err(said)?, path)
    }

    /// A new file that must not be there yet.
    pub(super) fn make(path: &Path) -> Result<Self, OpenError> {
        let file = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(path);
        Self::lock(file.map_err(|e| OpenError::of(&e, format!("{}: {e}", path.display())))?, path)
    }

    /// Opens the file to read alone, without the lock: for a look at what lies there by another process than the one that serves
    /// it.
    pub(super) fn glance(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let found = file.metadata()?;
        Ok(Self { file, number: (found.dev(), found.ino()) })
    }

    fn lock(file: File, path: &Path) -> Result<Self, OpenError> {
        let said = |e: io::Error| OpenError::of(&e, format!("{}: {e}", path.display()));
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse),
            Err(e) => return Err(said(e.into())),
        }
        let found = file.metadata().map_err(said)?;
        let held = Self { file, number: (found.dev(), found.ino()) };
        held.still_there(path).map_err(OpenError::Io)?;
        Ok(held)
    }

    /// Whether the path still leads to this file.
    pub(super) fn still_there(&self, path: &Path) -> Result<(), String> {
        match number(path) {
            Ok(found) if found == self.number => Ok(()),
            Ok(_) => Err("another file has its place".into()),
            Err(e) => Err(format!("the file is gone: {e}")),
        }
    }

    /// Bytes of the file as they are on disk, the log left aside; fewer at its end.
    pub(super) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Names a file whatever its path says later.
pub(super) fn number(path: &Path) -> io::Result<Number> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
