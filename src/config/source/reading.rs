//! What was read, so that a later look can tell whether it still says the same, without compiling it again.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Take};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Privacy, SourceError};

/// What a file is read in.
const PIECE: usize = 64 << 10;

/// Every file of a configuration with what it held.
#[derive(Debug, Default)]
pub struct Reading(Vec<Entry>);

struct Entry {
    path: PathBuf,
    limit: u64,
    privacy: Privacy,
    content: [u8; 32],
}

/// Without the hash: of a secret with little in it, that would be enough to guess it.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reading {
    pub(super) fn add(&mut self, path: PathBuf, limit: u64, privacy: Privacy, content: [u8; 32]) {
        self.0.push(Entry { path, limit, privacy, content });
    }

    /// Files that nobody else may read: secrets and private keys.
    pub fn secrets(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter(|entry| entry.privacy == Privacy::Private).map(|entry| entry.path.as_path())
    }

    /// Whether every file can still be read and holds what it held. It keeps nothing of them in memory.
    pub fn holds(&self) -> bool {
        // Many routes may have one secret.
        let mut seen = HashSet::new();
        let mut once = self.0.iter().filter(|entry| seen.insert((&entry.path, entry.content)));
        once.all(|entry| entry.now().is_ok_and(|content| content == entry.content))
    }
}

impl Reading {
    /// Files that cannot be read any more or hold something else than was read.
    pub fn stale(&self) -> Vec<&Path> {
        let mut seen = HashSet::new();
        let once = self.0.iter().filter(|entry| seen.insert(&entry.path));
        let stale = once.filter(|entry| !entry.now().is_ok_and(|content| content == entry.content));
        stale.map(|entry| entry.path.as_path()).collect()
    }

    /// Files that both name and that hold something else now; not the configuration's own, whose changes have words of their own.
    pub fn changed_since(&self, before: &Self, config: &Path) -> Vec<&Path> {
        let known: HashMap<&Path, [u8; 32]> =
            before.0.iter().map(|entry| (entry.path.as_path(), entry.content)).collect();
        let mut seen = HashSet::new();
        let once = self.0.iter().filter(|entry| entry.path != config && seen.insert(&entry.path));
        let other = once.filter(|entry| known.get(entry.path.as_path()).is_some_and(|known| *known != entry.content));
        other.map(|entry| entry.path.as_path()).collect()
    }
}

impl Entry {
    fn now(&self) -> Result<[u8; 32], SourceError> {
        if self.privacy == Privacy::Private {
            // Into memory that is wiped, which pieces are not.
            return Ok(Sha256::digest(&super::whole(&self.path, self.limit, self.privacy)?.0).into());
        }
        let mut pieces = Pieces::open(&self.path, self.limit, self.privacy)?;
        pieces.rest()?;
        Ok(pieces.content())
    }
}

/// An open file that is hashed as it is read.
pub(super) struct Pieces {
    path: PathBuf,
    limit: u64,
    from: BufReader<Hashed>,
    /// Anybody may write it.
    pub(super) writable: bool,
}

struct Hashed {
    file: Take<File>,
    hash: Sha256,
    length: u64,
}

impl Read for Hashed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.hash.update(into.get(..count).unwrap_or_default());
        self.length += count as u64;
        Ok(count)
    }
}

impl Pieces {
    /// For what is no secret: pieces stay behind in freed memory.
    pub(super) fn open(path: &Path, limit: u64, privacy: Privacy) -> Result<Self, SourceError> {
        let (file, metadata) = open(path, limit, privacy)?;
        let length = usize::try_from(metadata.len()).unwrap_or(PIECE);
        let hashed = Hashed { file: file.take(limit + 1), hash: Sha256::new(), length: 0 };
        let from = BufReader::with_capacity(length.clamp(1, PIECE), hashed);
        Ok(Self { path: path.to_path_buf(), limit, from, writable: metadata.mode() & 0o002 != 0 })
    }

    /// The next line with its end, behind what `line` holds; false at the end of the file.
    pub(super) fn line(&mut self, line: &mut Vec<u8>) -> Result<bool, SourceError> {
        let count = self.from.read_until(b'\n', line).map_err(|error| SourceError::io(&self.path, &error))?;
        self.bounded()?;
        Ok(count > 0)
    }

    fn rest(&mut self) -> Result<(), SourceError> {
        loop {
            let piece = self.from.fill_buf().map_err(|error| SourceError::io(&self.path, &error))?;
            if piece.is_empty() {
                return self.bounded();
            }
            let count = piece.len();
            self.from.consume(count);
        }
    }

    fn bounded(&self) -> Result<(), SourceError> {
        if self.from.get_ref().length > self.limit {
            return Err(SourceError::TooLarge { path: self.path.clone(), limit: self.limit });
        }
        Ok(())
    }

    /// The hash of what was read.
    pub(super) fn content(self) -> [u8; 32] {
        self.from.into_inner().hash.finalize().into()
    }
}

/// Opens what may be read. Not blocking: a FIFO in place of a file must not hang a reload. What was opened is what is checked.
pub(super) fn open(path: &Path, limit: u64, privacy: Privacy) -> Result<(File, std::fs::Metadata), SourceError> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(|error| SourceError::io(path, &error))?;
    let metadata = file.metadata().map_err(|error| SourceError::io(path, &error))?;
    super::check(path, &metadata, limit, privacy)?;
    Ok((file, metadata))
}
