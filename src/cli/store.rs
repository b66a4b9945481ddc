//! `store`: what an operator does with the file of the store.

use serde::Serialize;

use super::grammar::{Backup, Format, Store, StoreAction};
use super::{Exit, Unusable, say_json};
use crate::cli::terminal::{Progress, harmless, tell};

pub(super) fn store(args: &Store, format: Format) -> Result<Exit, Unusable> {
    match &args.action {
        StoreAction::Backup(args) => backup(args, format),
    }
}

/// What `--format json` says of a backup.
#[derive(Serialize)]
struct Made {
    file: String,
    bytes: u64,
    waiting: u64,
    dead: u64,
}

fn backup(args: &Backup, format: Format) -> Result<Exit, Unusable> {
    let loaded = args.config.load_for_explaining()?;
    let store = loaded.snapshot.store.as_ref().ok_or("the configuration has no [store]")?;
    let mut progress = None;
    let copied = crate::store::backup(&store.path, &args.file, |done, whole| {
        progress.get_or_insert_with(|| Progress::new(whole)).at(done);
    });
    drop(progress);
    let copied = copied?;
    let made =
        Made { file: args.file.display().to_string(), bytes: copied.bytes, waiting: copied.waiting, dead: copied.dead };
    match format {
        Format::Json => say_json(&made)?,
        Format::Human => tell(&format!(
            "{}: {} bytes, {} waiting, {} dead\n",
            harmless(&made.file),
            made.bytes,
            made.waiting,
            made.dead
        )),
    }
    Ok(Exit::Fine)
}
