//! What the admin listener shows of the running configuration and of those before it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::versions::{Version, Versions};
use crate::control::admin::configuration::{Configuring, Running, VersionList};
use crate::control::admin::events::Denied;

use super::reload::RunningConfig;

/// The text that is in force, and which of its files say something else by now.
pub(super) fn running<'a>(path: PathBuf, status: RunningConfig) -> Configuring<'a, Running> {
    Box::pin(async move {
        let reading = Arc::clone(&status.reading);
        let own = path.clone();
        let stale = on_disk(move || {
            let stale = reading.stale().into_iter().filter(|file| *file != own);
            Ok(stale.map(|file| file.display().to_string()).collect())
        });
        Ok(Running {
            path: path.display().to_string(),
            generation: status.generation,
            version: status.version,
            text: status.text.to_string(),
            changed_files: stale.await?,
        })
    })
}

/// Those that are kept, without their texts.
pub(super) fn list<'a>(versions: Option<Versions>, running: Option<u64>) -> Configuring<'a, VersionList> {
    Box::pin(async move {
        let versions = versions.ok_or(Denied::NoStore)?;
        let list = on_disk(move || versions.list().map_err(|_| Denied::StoreFailed)).await?;
        Ok(VersionList { running, versions: list.into_iter().map(Into::into).collect() })
    })
}

/// One of them.
pub(super) fn one<'a>(versions: Option<Versions>, number: u64) -> Configuring<'a, Version> {
    Box::pin(async move {
        let versions = versions.ok_or(Denied::NoStore)?;
        on_disk(move || versions.read(number).map_err(|_| Denied::VersionUnknown)).await
    })
}

async fn on_disk<T: Send + 'static>(read: impl FnOnce() -> Result<T, Denied> + Send + 'static) -> Result<T, Denied> {
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(Denied::StoreFailed))
}
