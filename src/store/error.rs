//! Why a store cannot be opened, and why something was not stored.

use std::io;

use crate::domain::Fault;

/// Why a store could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A newer version of the relay wrote it.
    Newer {
        /// The version of its tables.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Another process has it open.
    InUse,
    /// Another program's database.
    Foreign,
    /// The log beside it was written for another file.
    ForeignLog,
    /// While it was open, another file came into its place, or other content into the file.
    Replaced(String),
    /// It is no database, or it is damaged.
    Damaged(String),
    /// Another program holds it at the moment: the engine's words.
    Busy(String),
    /// Its sealed parts need a key that is not configured.
    KeyMissing,
    /// There is no room on its disk: the system's words.
    DiskFull(String),
    /// The system said no.
    Io(String),
}

impl OpenError {
    /// What the system says, with its kind, in the words `what`.
    pub(super) fn of(error: &io::Error, what: String) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(what),
            _ => Self::Io(what),
        }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found, known } => {
                write!(f, "it was written by a newer dmz-relay (version {found}; this one knows up to {known})")
            }
            Self::InUse => f.write_str("another process has it open"),
            Self::Foreign => f.write_str("it is another program's database"),
            Self::ForeignLog => f.write_str(
                "the log beside it (-wal) belongs to another file, and would destroy this one. If this one is a backup that was \
                 put in place, remove the -wal and the -shm beside it; if not, put the log's own file back",
            ),
            Self::Replaced(what) => {
                write!(f, "{what}: put the file back, or stop the relay before another one takes its place")
            }
            Self::Busy(what) => write!(f, "another program holds it: {what}"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::KeyMissing => f.write_str("it holds sealed requests, and no configured key opens them"),
            Self::DiskFull(what) | Self::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// Waiting does not help: the configuration names the wrong file or the wrong key, or the file is somebody else's.
    /// Everything else may end by itself or by an operator's hand, and meanwhile whatever needs no store goes on.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Newer { .. } | Self::InUse | Self::Foreign | Self::KeyMissing => true,
            Self::ForeignLog | Self::Replaced(_) | Self::Damaged(_) | Self::Busy(_) => false,
            Self::DiskFull(_) | Self::Io(_) => false,
        }
    }
}

/// Why something was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstored {
    /// The quota or the disk's reserve is used up.
    Full,
    /// The disk failed, or the writer is not there.
    Failed,
}

impl From<Unstored> for Fault {
    fn from(why: Unstored) -> Self {
        match why {
            Unstored::Full => Self::StoreFull,
            Unstored::Failed => Self::StoreFailed,
        }
    }
}
