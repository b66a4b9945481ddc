//! Why a store cannot be opened, and why something was not stored.

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
    /// It is no store, or it is damaged.
    Damaged(String),
    /// Its sealed parts need a key that is not configured.
    KeyMissing,
    /// The system said no.
    Io(String),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { found, known } => {
                write!(f, "it was written by a newer dmz-relay (version {found}; this one knows up to {known})")
            }
            Self::InUse => f.write_str("another process has it open"),
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
            Self::KeyMissing => f.write_str("it holds sealed requests, and no configured key opens them"),
            Self::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OpenError {}

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
