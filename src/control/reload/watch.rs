//! Notices that something a file depends on has changed: through the system's notices, or by looking.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::notices::Notices;
use super::places::Places;

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// By the system's notices; by looking where there are none.
    Notices,
    /// By looking every few seconds (network file systems give no notices).
    Polling,
}

/// Watches a set of files that may be replaced.
#[derive(Debug)]
pub(super) struct Watch {
    notices: Option<Notices>,
    places: Places,
    /// A change that was found where nobody waited for one.
    changed: bool,
    poll: Duration,
    files: Vec<PathBuf>,
    seen: HashMap<PathBuf, Option<Fingerprint>>,
    degraded: Option<String>,
}

/// Differs when the file's content may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    pub(super) fn start(watching: Watching, poll: Duration) -> Self {
        let mut watch = Self {
            notices: None,
            places: Places::default(),
            changed: false,
            poll,
            files: Vec::new(),
            seen: HashMap::new(),
            degraded: None,
        };
        if watching == Watching::Notices {
            match Notices::start() {
                Ok(notices) => watch.notices = Some(notices),
                Err(error) => watch.degrade(&error.to_string()),
            }
        }
        watch
    }

    /// Watches these files from now on. Says whether something is watched that was not before.
    pub(super) fn follow(&mut self, files: &[PathBuf]) -> bool {
        let places = Places::of(files);
        let more = places.exceed(&self.places);
        // What happened so far happened to what was watched so far.
        self.take();
        self.places = places;
        self.watch_folders();
        // What was seen of a file before the load stays: a change since then shows at the next look.
        let mut before = std::mem::take(&mut self.seen);
        self.files = files.to_vec();
        for file in files {
            let seen = before.remove(file).unwrap_or_else(|| fingerprint(file));
            self.seen.insert(file.clone(), seen);
        }
        more
    }

    /// Waits for a change. May be dropped and called again without losing one.
    pub(super) async fn changed(&mut self) {
        while let Some(notices) = &mut self.notices {
            if std::mem::take(&mut self.changed) {
                return;
            }
            match notices.concern(&self.places).await {
                Ok(concerns) => self.changed = concerns,
                Err(error) => {
                    self.degrade(&error.to_string());
                    return;
                }
            }
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
        self.notices = None;
        self.degraded = Some(why.to_owned());
    }

    fn take(&mut self) {
        let taken = self.notices.as_mut().map_or(Ok(false), |notices| notices.take(&self.places));
        match taken {
            Ok(changed) => self.changed |= changed,
            Err(error) => self.degrade(&error.to_string()),
        }
    }

    fn look(&mut self) -> bool {
        let mut changed = false;
        for file in &self.files {
            let now = fingerprint(file);
            changed |= self.seen.insert(file.clone(), now).is_some_and(|before| before != now);
        }
        changed
    }

    fn watch_folders(&mut self) {
        let Some(notices) = &mut self.notices else { return };
        let wanted: BTreeSet<PathBuf> = self.places.folders().cloned().collect();
        for (folder, error) in notices.watch(&wanted) {
            // One that went away in this moment is noticed from above.
            if self.places.is_direct(&folder) && folder.is_dir() {
                self.degrade(&format!("{}: {error}", folder.display()));
                return;
            }
        }
    }
}

fn fingerprint(file: &PathBuf) -> Option<Fingerprint> {
    let meta = std::fs::metadata(file).ok()?;
    Some(Fingerprint {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A log or a store that is kept open in the same folder must cost nothing.
    #[tokio::test]
    async fn writes_and_reads_beside_a_watched_file_wake_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, "1").unwrap();
        let neighbours = ["relay.log", "relay.db"].map(|name| std::fs::File::create(folder.path().join(name)).unwrap());
        let mut watch = Watch::start(Watching::Notices, Duration::from_secs(3600));
        watch.follow(std::slice::from_ref(&file));
        for n in 0..500 {
            // In turn, because the kernel makes one of two notices that are alike.
            for mut neighbour in &neighbours {
                neighbour.write_all(b"line\n").unwrap();
            }
            assert_eq!(std::fs::read(&file).unwrap(), b"1", "{n}");
        }
        std::fs::write(&file, "2").unwrap();
        tokio::time::timeout(Duration::from_secs(120), watch.changed()).await.unwrap();
        // One for the close of the watched file; a few more if something else happens on the way to it.
        let heard = watch.notices.as_ref().unwrap().heard();
        assert!((1..100).contains(&heard), "{heard} notices");
    }

    #[tokio::test]
    async fn what_happens_before_the_files_are_followed_again_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::start(Watching::Notices, Duration::from_secs(3600));
        watch.follow(std::slice::from_ref(&file));
        std::fs::write(&file, "2").unwrap();
        // The watch of this folder ends with it, and with the watch its notices.
        watch.follow(&[]);
        tokio::time::timeout(Duration::from_secs(120), watch.changed()).await.unwrap();
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
        tokio::time::timeout(Duration::from_secs(120), watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_in_an_unreadable_place_is_no_panic() {
        let mut watch = Watch::start(Watching::Notices, Duration::from_secs(2));
        watch.follow(&["/proc/1/fdinfo/nothing/here".into(), "relative.toml".into(), "".into()]);
    }
}
