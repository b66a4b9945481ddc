//! What the status shows of the configuration.

use std::sync::Arc;

use crate::base::UnixMillis;
use crate::config::{Problem, Reading, Report, Text};

/// The running configuration, and what became of the files since.
#[derive(Clone, Debug)]
pub(in crate::control::app) struct RunningConfig {
    pub(in crate::control::app) generation: u64,
    pub(in crate::control::app) loaded_at: UnixMillis,
    /// What it was compiled from.
    pub(in crate::control::app) text: Text,
    /// What it was read from.
    pub(in crate::control::app) reading: Arc<Reading>,
    /// Its number among those that are kept; `None` where none is kept.
    pub(in crate::control::app) version: Option<u64>,
    /// What it says and the one before did not.
    pub(in crate::control::app) changes: Vec<String>,
    pub(in crate::control::app) warnings: Vec<Problem>,
    pub(in crate::control::app) needs_restart: Vec<String>,
    pub(in crate::control::app) last_error: Option<(UnixMillis, Arc<Report>)>,
    pub(in crate::control::app) pending: Option<Pending>,
}

/// A saved file that waits until somebody asks for it.
#[derive(Clone, Debug)]
pub(in crate::control::app) struct Pending {
    pub(in crate::control::app) since: UnixMillis,
    /// What it says and the running one does not.
    pub(in crate::control::app) changes: Vec<String>,
    /// What would keep it out.
    pub(in crate::control::app) problems: Vec<Problem>,
}

impl RunningConfig {
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
