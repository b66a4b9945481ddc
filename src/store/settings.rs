//! Where the store lies and what it may take.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::Secret;

/// `[store]`, compiled. Two that are equal need no restart between them.
#[derive(Debug, PartialEq)]
pub struct Settings {
    /// The SQLite file.
    pub path: PathBuf,
    /// The first seals, all of them open; empty: heads and bodies are stored in clear text.
    pub keys: Vec<SealingKey>,
    /// How long history is kept.
    pub keep_age: Duration,
    /// Bytes that everything together may take.
    pub keep_size: u64,
    /// Bytes of the file system that stay free.
    pub disk_reserve: u64,
    /// History rows for refused requests per second; the rest are counted only, so that a flood cannot push the history
    /// of genuine requests out.
    pub refusals_per_second: u32,
}

/// A key that heads and bodies are sealed with: any secret of at least 32 bytes; the key proper is derived from it.
#[derive(Debug)]
pub struct SealingKey(pub Secret);

/// In time that depends on the lengths only.
impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.matches(other.0.expose())
    }
}
