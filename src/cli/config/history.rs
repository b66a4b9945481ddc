//! Where versions are read from: a running relay, or the folder beside the store where none runs.

use std::io;

use serde::de::DeserializeOwned;

use crate::cli::grammar::Relay;
use crate::cli::target::configured_store;
use crate::cli::terminal::complain;
use crate::cli::{Unusable, read_answer};
use crate::config::versions::{Version, Versions};
use crate::control::admin::client::{self, ClientError};
use crate::control::admin::configuration::{Running, VersionList};
use crate::runtime::snapshot::AdminAddress;

/// The versions that are kept, and where their texts are.
pub(super) struct History {
    pub(super) list: VersionList,
    place: Place,
}

enum Place {
    Relay(AdminAddress),
    Folder(Versions),
}

/// `GET /api/v1/config`.
pub(in crate::cli) async fn running(address: &AdminAddress) -> Result<Running, Unusable> {
    ask(address, "/api/v1/config").await.map_err(Failed::told)
}

impl History {
    pub(super) async fn open(relay: &Relay) -> Result<Self, Unusable> {
        let address = relay.address()?;
        match ask(&address, "/api/v1/config/versions").await {
            Ok(list) => Ok(Self { list, place: Place::Relay(address) }),
            Err(Failed::NobodyThere(why)) => {
                let path = relay.config.path();
                let store = configured_store(&path).ok_or_else(|| Unusable(why.clone()))?;
                let versions = Versions::beside(&store);
                let folder = versions.folder().display().to_string();
                let list = versions.list().map_err(|error| format!("{why}\n{folder}: {error}"))?;
                if list.is_empty() {
                    return Err(format!("{why}\nand {folder} holds no version").into());
                }
                complain(&format!("no relay answers; versions are read from {folder}\n"));
                let list = VersionList { running: None, versions: list.into_iter().map(Into::into).collect() };
                Ok(Self { list, place: Place::Folder(versions) })
            }
            Err(failed) => Err(failed.told()),
        }
    }

    /// The running relay, if one was asked.
    pub(super) fn address(&self) -> Option<&AdminAddress> {
        match &self.place {
            Place::Relay(address) => Some(address),
            Place::Folder(_) => None,
        }
    }

    /// What is running, or was running last.
    pub(super) fn newest(&self) -> Result<u64, Unusable> {
        let newest = self.list.versions.first().map(|version| version.version);
        self.list.running.or(newest).ok_or_else(|| "no version is kept yet".into())
    }

    /// The one before.
    pub(super) fn before(&self, number: u64) -> Result<u64, Unusable> {
        let mut older = self.list.versions.iter().map(|version| version.version).filter(|other| *other < number);
        older.next().ok_or_else(|| format!("no version before {number} is kept; see dmz-relay config list").into())
    }

    pub(super) async fn version(&self, number: u64) -> Result<Version, Unusable> {
        match &self.place {
            Place::Relay(address) => {
                ask(address, &format!("/api/v1/config/versions/{number}")).await.map_err(Failed::told)
            }
            Place::Folder(versions) => versions.read(number).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => format!("no version {number} is kept; see dmz-relay config list").into(),
                _ => format!("version {number} cannot be read: {error}").into(),
            }),
        }
    }
}

enum Failed {
    /// No relay runs there.
    NobodyThere(String),
    Other(String),
}

impl Failed {
    fn told(self) -> Unusable {
        let (Self::NobodyThere(why) | Self::Other(why)) = self;
        Unusable(why)
    }
}

async fn ask<T: DeserializeOwned>(address: &AdminAddress, path: &str) -> Result<T, Failed> {
    let answer = client::get(address, path).await.map_err(|error| match &error {
        ClientError::Connect(_, why)
            if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Failed::NobodyThere(error.to_string())
        }
        _ => Failed::Other(error.to_string()),
    })?;
    read_answer(&answer, "in a form that is not known here").map_err(|Unusable(why)| Failed::Other(why))
}
