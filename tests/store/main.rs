//! The store against real files.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod rig; // stores, entries, waiting
mod spool; // accept, claim, settle, restart
