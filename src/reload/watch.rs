//! Notices that something a file depends on has changed: through the system's notices, or by looking.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::places::Places;

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// By the system's notices; by looking where there are none.
    Notices,
    /// By looking every few seconds (network file systems give no notices).
    Polling,
}

/// What the watcher's own thread shares with us.
#[derive(Debug, Default)]
struct Shared {
    places: RwLock<Places>,
    /// Holds one permit: a change between two waits is kept, any number of them is one.
    changed: Notify,
}

/// Watches a set of files that may be replaced.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    poll: Duration,
    files: Vec<PathBuf>,
    seen: HashMap<PathBuf, Option<Print>>,
    degraded: Option<String>,
}

/// Differs when the file's content may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    pub(super) fn start(watching: Watching, poll: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let mut watch = Self {
            shared,
            watcher: None,
            watched: BTreeSet::new(),
            poll,
            files: Vec::new(),
            seen: HashMap::new(),
            degraded: None,
        };
        if watching == Watching::Notices {
            match watcher(Arc::clone(&watch.shared)) {
                Ok(watcher) => watch.watcher = Some(watcher),
                Err(error) => watch.degrade(&error.to_string()),
            }
        }
        watch
    }

    /// Watches these files from now on. Says whether something is watched that was not before.
    pub(super) fn follow(&mut self, files: &[PathBuf]) -> bool {
        let places = Places::of(files);
        let more = {
            let mut known = self.shared.places.write().unwrap_or_else(PoisonError::into_inner);
            let more = places.exceed(&known);
            known.clone_from(&places);
            more
        };
        self.watch_folders(&places);
        // What was seen of a file before the load stays: a change since then shows at the next look.
        let mut before = std::mem::take(&mut self.seen);
        self.files = files.to_vec();
        for file in files {
            let seen = before.remove(file).unwrap_or_else(|| print(file));
            self.seen.insert(file.clone(), seen);
        }
        more
    }

    /// Waits for a change. May be dropped and called again without losing one.
    pub(super) async fn changed(&mut self) {
        if self.watcher.is_some() {
            return self.shared.changed.notified().await;
        }
        loop {
            tokio::time::sleep(self.poll).await;
            if self.look() {
                return;
            }
        }
    }

    /// Why notices turned into polling; said once.
    pub(super) fn newly_degraded(&mut self) -> Option<String> {
        self.degraded.take()
    }

    fn degrade(&mut self, why: &str) {
        self.watcher = None;
        self.watched.clear();
        self.degraded = Some(why.to_owned());
    }

    fn look(&mut self) -> bool {
        let mut changed = false;
        for file in &self.files {
            let now = print(file);
            changed |= self.seen.insert(file.clone(), now).is_some_and(|before| before != now);
        }
        changed
    }

    fn watch_folders(&mut self, places: &Places) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = places.folders().cloned().collect();
        for folder in self.watched.difference(&wanted) {
            // It may be gone already.
            let _ = watcher.unwatch(folder);
        }
        let mut failed = None;
        for folder in &wanted {
            // Again for those watched before: a folder that was exchanged has the same name and is another folder.
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
                && places.is_direct(folder)
                // One that went away in this moment is noticed from above.
                && folder.is_dir()
            {
                failed = Some(format!("{}: {error}", folder.display()));
            }
        }
        self.watched = wanted;
        if let Some(why) = failed {
            self.degrade(&why);
        }
    }
}

fn watcher(shared: Arc<Shared>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let concerns = match event {
            Ok(event) => {
                let places = shared.places.read().unwrap_or_else(PoisonError::into_inner);
                // An overflow of the system's queue names no path: anything may have changed.
                is_change(event.kind)
                    && (event.need_rescan()
                        || event.paths.is_empty()
                        || event.paths.iter().any(|path| places.concern(path)))
            }
            Err(_) => true,
        };
        if concerns {
            shared.changed.notify_one();
        }
    })
}

/// Our own reading must not look like a change.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

fn print(file: &PathBuf) -> Option<Print> {
    let meta = std::fs::metadata(file).ok()?;
    Some(Print {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_no_change() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(is_change(EventKind::Create(notify::event::CreateKind::File)));
    }

    #[tokio::test]
    async fn without_notices_changes_are_still_found_and_it_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::start(Watching::Notices, Duration::from_millis(5));
        assert!(watch.follow(std::slice::from_ref(&file)));
        assert_eq!(watch.newly_degraded(), None);
        watch.degrade("no space left on device");
        assert_eq!(watch.newly_degraded().as_deref(), Some("no space left on device"));
        assert!(!watch.follow(std::slice::from_ref(&file)), "the files are the same");
        assert_eq!(watch.newly_degraded(), None);
        std::fs::write(&file, "22").unwrap();
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.unwrap();
    }

    #[test]
    fn a_file_in_an_unreadable_place_is_no_panic() {
        let mut watch = Watch::start(Watching::Notices, Duration::from_secs(2));
        watch.follow(&["/proc/1/fdinfo/nothing/here".into(), "relative.toml".into(), "".into()]);
    }
}
