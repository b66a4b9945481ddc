//! What a reload would change: the file, and the files that it names, against what is running.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::Unusable;
use crate::cli::config::running;
use crate::cli::grammar::Relay;
use crate::cli::terminal::{Palette, Tone, harmless};
use crate::config::{self, changes};
use crate::control::admin::configuration::Running;

/// A comparison.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    /// Of the running configuration.
    generation: u64,
    /// The same, among those that are kept.
    version: Option<u64>,
    /// What the file says and the running relay does not, one line each.
    changes: Vec<String>,
}

impl Compared {
    /// Asks the relay. It must be one that reads this file.
    pub(super) async fn with_running(relay: &Relay, file: &Path) -> Result<Self, Unusable> {
        let Running { path, generation, version, text, changed_files } = running(&relay.address()?).await?;
        let same = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if same(Path::new(&path)) != same(file) {
            let (path, file) = (harmless(&path), harmless(&file.display().to_string()));
            return Err(format!("the relay that answers reads {path}, not {file}").into());
        }
        let saved = config::text(file).ok_or_else(|| format!("{} cannot be read", file.display()))?;
        let mut changes = changes::lines(&text, &saved);
        changes.extend(changed_files.into_iter().map(|file| format!("{file} has new content")));
        Ok(Self { generation, version, changes: changes::bounded(changes) })
    }

    pub(super) fn text(&self, palette: Palette) -> String {
        let what = match self.version {
            Some(version) => format!("configuration {} (version {version})", self.generation),
            None => format!("configuration {}", self.generation),
        };
        if self.changes.is_empty() {
            return format!("no difference from what is running: {what}\n");
        }
        let mut text = format!("{} {what}:\n", palette.paint(Tone::Strong, "a reload would change"));
        for change in &self.changes {
            let _ = writeln!(text, "{}", palette.fold(&harmless(change), 2));
        }
        text
    }
}
