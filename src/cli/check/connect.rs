//! `check --connect`: whether the upstreams and the store's disk are there, from this host and now.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::base::folder_of;
use crate::cli::terminal::{Palette, Table, Tone, cell, harmless};
use crate::config::Problem;
use crate::domain::Fault;
use crate::runtime::snapshot::Snapshot;

/// What is written to the disk on trial.
const TRIAL: [u8; 4096] = [0; 4096];
/// A disk that takes longer for one write is worth a word: every accepted request waits for one.
const SLOW: Duration = Duration::from_millis(500);

/// What was reached.
#[derive(Debug, Default, Serialize)]
pub(super) struct Tried {
    servers: Vec<Server>,
    store: Option<Disk>,
}

#[derive(Debug, Serialize)]
struct Server {
    upstream: String,
    server: String,
    /// What was agreed on; `null`: it was not reached.
    agreed: Option<&'static str>,
    /// Why it was not.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Disk {
    folder: String,
    /// A write and a sync; `null`: it failed.
    took_ms: Option<f64>,
    error: Option<String>,
}

/// Tries everything; what failed is a problem, a slow disk a warning.
pub(super) async fn everything(file: &Path, snapshot: &Snapshot) -> (Tried, Vec<Problem>, Vec<Problem>) {
    let problem = |key: String, what: String, help: &str| Problem::of(file, key, what, Some(help.to_owned()));
    let (mut tried, mut problems, mut warnings) = (Tried::default(), Vec::new(), Vec::new());
    for (name, upstream) in &snapshot.upstreams {
        for reached in std::sync::Arc::clone(upstream).reach().await {
            let (server, upstream) = (reached.server.to_string(), name.to_string());
            let (agreed, error) = match reached.how {
                Ok(agreed) => (Some(agreed.as_str()), None),
                Err((fault, why)) => {
                    let key = format!("upstreams.{name}.servers");
                    problems.push(problem(key, format!("{server} was not reached: {why}"), help(fault)));
                    (None, Some(why))
                }
            };
            tried.servers.push(Server { upstream, server, agreed, error });
        }
    }
    if let Some(settings) = &snapshot.store {
        let folder = folder_of(&settings.path);
        let shown = folder.display().to_string();
        let key = || "store.sqlite.path".to_owned();
        let (took_ms, error) = match write(folder) {
            Ok(took) => {
                if took > SLOW {
                    let what = format!(
                        "{shown}: a write took {} ms, and each accepted request waits for one",
                        took.as_millis()
                    );
                    warnings.push(problem(key(), what, "use a local disk, and look for what else writes to it"));
                }
                (Some(took.as_secs_f64() * 1000.0), None)
            }
            Err(error) => {
                let what = format!("{shown} cannot be written: {error}");
                problems.push(problem(key(), what, "the store needs a local disk that is writable and has room"));
                (None, Some(error.to_string()))
            }
        };
        tried.store = Some(Disk { folder: shown, took_ms: took_ms.map(|took| (took * 10.0).round() / 10.0), error });
    }
    (tried, problems, warnings)
}

fn help(fault: Fault) -> &'static str {
    if fault == Fault::UpstreamTls {
        "tls = { ca = \"…\" } names the authority that issued its certificate, server_name the name in it"
    } else {
        "is the server running, and do the firewalls between let this host through?"
    }
}

/// One file of the relay's size of a commit, made durable and removed.
fn write(folder: &Path) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut file = tempfile::Builder::new().prefix(".dmz-relay-check-").tempfile_in(folder)?;
    file.write_all(&TRIAL)?;
    file.as_file().sync_all()?;
    file.close()?;
    fs::File::open(folder)?.sync_all()?;
    Ok(begun.elapsed())
}

impl Tried {
    pub(super) fn text(&self, palette: Palette) -> String {
        let mut table = Table::new(["upstream", "server", "reached"]);
        for Server { upstream, server, agreed, .. } in &self.servers {
            let reached = agreed.map_or_else(|| cell(Tone::Bad, "no"), |agreed| cell(Tone::Good, agreed));
            table.row([cell(Tone::Strong, harmless(upstream)), harmless(server).into(), reached]);
        }
        let mut text = table.text(palette);
        if let Some(Disk { folder, took_ms: Some(took), .. }) = &self.store {
            text.push_str(&palette.fold(&harmless(&format!("store: {folder} was written in {took} ms")), 0));
            text.push('\n');
        }
        text
    }
}
