//! `relay.toml` → raw → compiled → [`crate::snapshot::Snapshot`], or one report of everything that is wrong with it.

pub mod recipe;
pub mod report;
