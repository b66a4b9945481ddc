//! SQLite's errors in the store's words.

use rusqlite::{Error, ErrorCode};

use crate::store::engine::EngineFault;
use crate::store::error::OpenError;

/// What an engine failed with. The words are SQLite's own and hold no values.
pub(super) fn fault(e: &Error) -> EngineFault {
    EngineFault { full: e.sqlite_error_code() == Some(ErrorCode::DiskFull), detail: e.to_string() }
}

/// Why a file could not be opened.
pub(super) fn open_error(e: &Error) -> OpenError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged(e.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::InUse,
        _ => OpenError::Io(e.to_string()),
    }
}
