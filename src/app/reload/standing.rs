//! What the status shows of the configuration.

use std::sync::Arc;

use crate::base::UnixMillis;
use crate::config::{Problem, Reading, Report, Text};

/// The running configuration, and what became of the files since.
#[derive(Clone, Debug)]
pub(in crate::app) struct Standing {
    pub(in crate::app) generation: u64,
    pub(in crate::app) loaded_at: UnixMillis,
    /// What it was compiled from.
    pub(in crate::app) text: Text,
    /// What it was read from.
    pub(in crate::app) reading: Arc<Reading>,
    /// Its number among those that are kept; `None` where none is kept.
    pub(in crate::app) version: Option<u64>,
    /// What it says and the one before did not.
    pub(in crate::app) changes: Vec<String>,
    pub(in crate::app) warnings: Vec<Problem>,
    pub(in crate::app) needs_restart: Vec<String>,
    pub(in crate::app) last_error: Option<(UnixMillis, Arc<Report>)>,
    pub(in crate::app) pending: Option<Pending>,
}

/// A saved file that waits until somebody asks for it.
#[derive(Clone, Debug)]
pub(in crate::app) struct Pending {
    pub(in crate::app) since: UnixMillis,
    /// What it says and the running one does not.
    pub(in crate::app) changes: Vec<String>,
    /// What would keep it out.
    pub(in crate::app) problems: Vec<Problem>,
}

impl Standing {
    /// Nothing is in force yet.
    pub(super) fn new(now: UnixMillis, text: Text, reading: Reading, warnings: Vec<Problem>) -> Self {
        Self {
            generation: 0,
            loaded_at: now,
            text,
            reading: Arc::new(reading),
            version: None,
            changes: Vec::new(),
            warnings,
            needs_restart: Vec::new(),
            last_error: None,
            pending: None,
        }
    }
}
