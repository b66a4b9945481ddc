//! The system's notices of what happens to the entries of folders (inotify(7)), read where they are waited for.
//!
//! A file that is written in place is noticed when the writer closes it, not at each write: other files in the same folder, such
//! as a log or the store, are kept open and written all the time, and the kernel would wake us for each of their writes.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use tokio::io::unix::AsyncFd;

use super::places::Places;

/// Notices that are read at once take at most this many bytes.
const BUFFER: usize = 4096;

/// What happens to an entry, and to the folder itself. Not what is opened, read or written.
const NOTICED: WatchMask = WatchMask::CREATE
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

/// Folders under watch.
#[derive(Debug)]
pub(super) struct Notices {
    inotify: AsyncFd<Inotify>,
    /// Several paths may lead to one folder.
    folders: HashMap<WatchDescriptor, Vec<PathBuf>>,
    /// Notices so far, of whatever: for the test that there are few.
    #[cfg(test)]
    heard: u64,
}

impl Notices {
    /// Watches nothing yet. Needs a tokio runtime.
    #[expect(
        deprecated,
        reason = "what is asked for instead is unsafe; this descriptor is the same from here to the end"
    )]
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self {
            inotify: AsyncFd::new(Inotify::init()?)?,
            folders: HashMap::new(),
            #[cfg(test)]
            heard: 0,
        })
    }

    /// Watches these folders from now on, and no others. Gives those that could not be watched.
    pub(super) fn watch(&mut self, wanted: &BTreeSet<PathBuf>) -> Vec<(PathBuf, io::Error)> {
        let mut watches = self.inotify.get_ref().watches();
        let mut failed = Vec::new();
        let mut folders: HashMap<_, Vec<PathBuf>> = HashMap::new();
        for folder in wanted {
            // Again for those watched before: a folder that was exchanged has the same name and is another folder.
            match watches.add(folder, NOTICED) {
                Ok(watch) => folders.entry(watch).or_default().push(folder.clone()),
                Err(error) => failed.push((folder.clone(), error)),
            }
        }
        for gone in self.folders.keys().filter(|watch| !folders.contains_key(watch)) {
            // With its folder it may have ended by itself.
            let _ = watches.remove(gone.clone());
        }
        self.folders = folders;
        failed
    }

    /// Waits until there are notices, takes them, and says whether one concerns these places. May be dropped and called again
    /// without losing one.
    pub(super) async fn concern(&mut self, places: &Places) -> io::Result<bool> {
        // First, because all is read: what comes after that makes it ready again.
        self.inotify.readable_mut().await?.clear_ready();
        self.take(places)
    }

    /// Takes what notices there are, and says whether one concerns these places.
    pub(super) fn take(&mut self, places: &Places) -> io::Result<bool> {
        let mut buffer = [0; BUFFER];
        let mut concerns = false;
        loop {
            let events = match self.inotify.get_mut().read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(concerns),
                Err(error) => return Err(error),
            };
            for event in events {
                #[cfg(test)]
                {
                    self.heard += 1;
                }
                concerns |= concern(&event, &self.folders, places);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }
}

fn concern(event: &Event<&OsStr>, folders: &HashMap<WatchDescriptor, Vec<PathBuf>>, places: &Places) -> bool {
    // An overflow of the system's queue names no folder: anything may have changed.
    if event.mask.intersects(EventMask::Q_OVERFLOW | EventMask::UNMOUNT) {
        return true;
    }
    // The end of a watch that was taken off; of a folder that went away there was another notice before.
    if event.mask.contains(EventMask::IGNORED) {
        return false;
    }
    folders.get(&event.wd).into_iter().flatten().any(|folder| match event.name {
        Some(name) => places.concern(&folder.join(name)),
        None => places.concern(folder),
    })
}
