//! The store against real files.
#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod rig; // stores, entries, waiting
mod spool; // accept, claim, settle, restart
