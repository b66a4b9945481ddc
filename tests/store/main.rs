//! The store against real files.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

mod actions; // who did what
mod clocks; // the wall clock is set
mod damage; // what a file may have gone through
mod faults; // the disk fails, and comes back
mod group; // many share one commit, nobody holds the writer up
mod history; // rows, pages, filters, text
mod pages; // pages that cannot be read
mod rig; // stores, entries, waiting
mod room; // quota, reserve, age
mod sealing; // keys, rotation, canaries
mod spool; // accept, claim, settle
mod start; // restart, migration, who may open it
mod swaps; // other files, logs and contents in the place of ours
