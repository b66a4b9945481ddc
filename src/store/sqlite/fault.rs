//! SQLite's errors in the store's words.

use rusqlite::{Error, ErrorCode};

use crate::store::engine::EngineFault;
use crate::store::error::OpenError;

/// What an engine failed with. The words are SQLite's own and hold no values.
pub(super) fn fault(e: &Error) -> EngineFault {
    EngineFault {
        full: e.sqlite_error_code() == Some(ErrorCode::DiskFull),
        damaged: is_damage(e),
        detail: e.to_string(),
    }
}

/// Why a file could not be opened.
pub(super) fn open_error(e: &Error) -> OpenError {
    match e.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
            OpenError::Damaged(e.to_string())
        }
        _ if is_garbage(e) => OpenError::Damaged(e.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy(e.to_string()),
        Some(ErrorCode::DiskFull) => OpenError::DiskFull(e.to_string()),
        _ => OpenError::Io(e.to_string()),
    }
}

/// A part of the file is not what was written. No statement of ours breaks a rule of a table, unless it meets such a part.
pub(super) fn is_damage(e: &Error) -> bool {
    matches!(e.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation)) || is_garbage(e)
}

/// A column holds what its kind never holds.
pub(super) fn is_garbage(e: &Error) -> bool {
    matches!(
        e,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
    )
}
