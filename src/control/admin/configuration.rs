//! The running configuration and those before it: `/api/v1/config` and what stands below it.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::AdminSource;
use super::events::{Denied, failure};
use super::respond::{Answer, json};
use crate::config::versions::Version;

/// An answer under way.
pub type Configuring<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denied>> + Send + 'a>>;

/// `GET /api/v1/config`: the text that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its file.
    pub path: String,
    /// Its number in this process.
    pub generation: u64,
    /// Its number among the versions; `null` where none is kept.
    pub version: Option<u64>,
    /// As it was read.
    pub text: String,
    /// Files it names that say something else by now, or cannot be read.
    pub changed_files: Vec<String>,
}

/// `GET /api/v1/config/versions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionList {
    /// The one that is in force.
    pub running: Option<u64>,
    /// The newest first.
    pub versions: Vec<VersionRow>,
}

/// A version without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// Its number.
    pub version: u64,
    /// When it came into force, RFC 3339 in UTC.
    pub applied_at: String,
    /// What applied it: `start`, `file`, `signal`, `admin`.
    pub trigger: String,
    /// What it says and the one before did not.
    pub changes: Vec<String>,
}

impl From<Version> for VersionRow {
    fn from(version: Version) -> Self {
        let Version { version, applied_at, trigger, changes, text: _ } = version;
        Self { version, applied_at, trigger, changes }
    }
}

pub(super) async fn running(source: &impl AdminSource) -> Answer {
    answered(source.running().await)
}

pub(super) async fn versions(source: &impl AdminSource) -> Answer {
    answered(source.versions().await)
}

pub(super) async fn version(source: &impl AdminSource, number: &str) -> Answer {
    match number.parse() {
        Ok(number) => answered(source.version(number).await),
        Err(_) => failure(&Denied::VersionUnknown),
    }
}

fn answered(result: Result<impl Serialize, Denied>) -> Answer {
    match result {
        Ok(value) => json(http::StatusCode::OK, &value),
        Err(denied) => failure(&denied),
    }
}
