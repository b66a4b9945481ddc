//! What a disk holds after the power failed: computed from the layer's journal of everything that was written.
//!
//! What was synced is there. Of what was not, a real disk keeps whatever it likes: nothing, everything, or any part of it in
//! any order, down to half of a write. A name is there once its folder was synced. What a failed sync should have written
//! counts as lost even if a later sync succeeds, because the kernel takes those pages for clean.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What happens to that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// All of it is gone.
    Lost,
    /// Each write is there, in part, or not.
    Any,
}

/// The smallest piece that a disk writes as one.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Truncate { length } => content.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    /// In order, each with its place in the journal.
    pending: Vec<(usize, Change)>,
}

#[derive(Clone, Debug)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, content) => drop(names.insert(path.clone(), *content)),
            Self::Unlink(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(content) = names.remove(from) {
                    names.insert(to.clone(), content);
                }
            }
        }
    }
}

/// One folder as its disk has it.
#[derive(Debug)]
pub struct Disk {
    contents: Vec<Content>,
    /// By inode; a number comes back for another file once the first is gone.
    inodes: BTreeMap<u64, usize>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<(usize, Naming)>,
    /// Where each running sync began.
    syncs: BTreeMap<u64, usize>,
}

impl Disk {
    /// A folder whose files have been there for long.
    pub fn of(folder: &Path) -> Self {
        let mut disk = Self {
            contents: Vec::new(),
            inodes: BTreeMap::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            pending_names: Vec::new(),
            syncs: BTreeMap::new(),
        };
        for path in files(folder) {
            disk.inodes.insert(fs::metadata(&path).unwrap().ino(), disk.contents.len());
            disk.names.insert(path.clone(), disk.contents.len());
            disk.contents.push(Content { synced: fs::read(&path).unwrap(), ..Content::default() });
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    /// Follows a journal to its end.
    pub fn follow(&mut self, journal: &Path) {
        let bytes = fs::read(journal).unwrap_or_default();
        let mut rest = bytes.as_slice();
        let mut place = 0;
        while let Some((head, after)) = rest.split_at_checked(48) {
            let number = |at: usize| u64::from_ne_bytes(head[at * 8..at * 8 + 8].try_into().unwrap());
            let length = usize::try_from(number(4)).unwrap();
            // A kill in the middle of a record: what it tells was not yet acted upon.
            let Some((payload, after)) = after.split_at_checked(length) else { break };
            rest = after;
            place += 1;
            self.step(place, number(0), number(1), number(2), number(3), payload);
        }
    }

    fn step(&mut self, place: usize, what: u64, inode: u64, number: u64, offset: u64, payload: &[u8]) {
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        let at = usize::try_from(offset).unwrap();
        match what {
            // Found, created.
            1 | 2 => {
                let path = path(payload);
                if what == 2 || !self.names.contains_key(&path) {
                    self.contents.push(Content::default());
                    self.rename(place, Naming::Link(path.clone(), self.contents.len() - 1));
                }
                self.inodes.insert(inode, self.names[&path]);
            }
            3 => self.change(place, inode, Change::Write { offset: at, bytes: payload.to_vec() }),
            4 => self.change(place, inode, Change::Truncate { length: at }),
            // A sync, of a file or of the folder, begins.
            5 | 10 => drop(self.syncs.insert(number, place)),
            6 => {
                let began = self.syncs.remove(&number).unwrap();
                let content = &mut self.contents[self.inodes[&inode]];
                content.pending.retain(|(written, change)| {
                    if *written < began {
                        change.apply(&mut content.synced);
                    }
                    *written > began
                });
            }
            7 => {
                let content = &mut self.contents[self.inodes[&inode]];
                content.pending.retain(|(_, change)| matches!(change, Change::Truncate { .. }));
            }
            8 => self.rename(place, Naming::Unlink(path(payload))),
            9 => {
                let mut both = payload.splitn(2, |byte| *byte == 0).map(path);
                self.rename(place, Naming::Rename(both.next().unwrap(), both.next().unwrap()));
            }
            11 => {
                let began = self.syncs.remove(&number).unwrap();
                let synced = &mut self.synced_names;
                self.pending_names.retain(|(named, naming)| {
                    if *named < began {
                        naming.apply(synced);
                    }
                    *named > began
                });
            }
            other => panic!("the journal has {other}"),
        }
    }

    fn change(&mut self, place: usize, inode: u64, change: Change) {
        self.contents[self.inodes[&inode]].pending.push((place, change));
    }

    fn rename(&mut self, place: usize, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push((place, naming));
    }

    /// Puts what the disk holds after a power loss in the place of the folder.
    pub fn lose_power(&self, folder: &Path, unsynced: Unsynced, random: &mut fastrand::Rng) {
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(folder).unwrap();
        let mut names = self.synced_names.clone();
        for (_, naming) in &self.pending_names {
            if unsynced == Unsynced::Any && random.bool() {
                naming.apply(&mut names);
            }
        }
        for (path, content) in names {
            // SQLite's index of its log: shared memory in a file, made anew by the first that opens it.
            if path.to_str().unwrap().ends_with("-shm") {
                continue;
            }
            let content = &self.contents[content];
            let mut bytes = content.synced.clone();
            for (_, change) in content.pending.iter().filter(|_| unsynced == Unsynced::Any) {
                match (random.u8(..8), change) {
                    (0..3, _) => {}
                    (3, Change::Write { offset, bytes: written }) => {
                        let sectors = random.usize(..=written.len() / SECTOR);
                        let part = written[..sectors * SECTOR].to_vec();
                        Change::Write { offset: *offset, bytes: part }.apply(&mut bytes);
                    }
                    _ => change.apply(&mut bytes),
                }
            }
            // The versions of the configuration have a folder of their own.
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
}

/// Every file in a folder and below.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let below = |entry: fs::DirEntry| {
        if entry.file_type().unwrap().is_dir() { files(&entry.path()) } else { vec![entry.path()] }
    };
    entries.flat_map(below).collect()
}
