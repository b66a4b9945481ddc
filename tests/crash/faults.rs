//! The layer between the relay and its disk: compiled once, armed and read through a shared file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Operations that can be made to fail, in the layer's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Open,
    Write,
    Sync,
    Truncate,
    Rename,
    Unlink,
    Allocate,
    Map,
}

impl Kind {
    pub const ALL: [Self; 8] =
        [Self::Open, Self::Write, Self::Sync, Self::Truncate, Self::Rename, Self::Unlink, Self::Allocate, Self::Map];
}

/// What happens at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It fails with this `errno`.
    Fail(i32),
    /// A write writes half and says so; anything else fails with this `errno`.
    Short(i32),
    /// The process gets SIGKILL before it.
    KillBefore,
    /// And after it.
    KillAfter,
}

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// When what happens to which operations.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kinds: &'static [Kind],
    /// Counts from 1, since the fault was armed.
    pub at: u64,
    /// How many operations it happens to, from there on.
    pub times: u64,
    pub action: Action,
}

impl Fault {
    pub fn once(kinds: &'static [Kind], at: u64, action: Action) -> Self {
        Self { kinds, at, times: 1, action }
    }

    pub fn from(kinds: &'static [Kind], at: u64, action: Action) -> Self {
        Self { kinds, at, times: u64::MAX, action }
    }
}

// Places in the control file; layer.c has the same list.
const LOADED: u64 = 0;
const KINDS: u64 = 1;
const AT: u64 = 2;
const TIMES: u64 = 3;
const ACTION: u64 = 4;
const ERRNO: u64 = 5;
const SEEN: u64 = 6;
const HITS: u64 = 7;
const SLOW: u64 = 8;
const LIES: u64 = 9;
const STEP: u64 = 10;
const COUNTS: u64 = 11;
const CELLS: u64 = COUNTS + 8;

/// One process's layer.
#[derive(Debug)]
pub struct Layer {
    control: File,
    path: PathBuf,
    journal: Option<PathBuf>,
    folder: PathBuf,
}

impl Layer {
    /// For what happens below `folder`; its own files lie in `place`, anew for each process.
    pub fn new(folder: &Path, place: &Path) -> Self {
        let path = place.join("faults.control");
        // Never the file of an older process: that one may still be dying.
        let _ = fs::remove_file(&path);
        fs::write(&path, vec![0; usize::try_from(CELLS * 8).unwrap()]).unwrap();
        let control = File::options().read(true).write(true).open(&path).unwrap();
        Self { control, path, journal: None, folder: folder.to_owned() }
    }

    /// Writes down every change, for [`crate::power`].
    pub fn with_journal(mut self, journal: &Path) -> Self {
        let _ = fs::remove_file(journal);
        self.journal = Some(journal.to_owned());
        self
    }

    /// Puts a program under the layer.
    pub fn wrap(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library());
        command.env("FAULTS_FOLDER", &self.folder).env("FAULTS_CONTROL", &self.path);
        if let Some(journal) = &self.journal {
            command.env("FAULTS_JOURNAL", journal);
        }
    }

    pub fn arm(&self, fault: Fault) {
        self.disarm();
        let (action, errno) = match fault.action {
            Action::Fail(errno) => (1, errno),
            Action::Short(errno) => (2, errno),
            Action::KillBefore => (3, 0),
            Action::KillAfter => (4, 0),
        };
        let bits = fault.kinds.iter().map(|kind| 1 << *kind as u64).sum();
        self.set(KINDS, bits);
        self.set(TIMES, fault.times);
        self.set(ACTION, action);
        self.set(ERRNO, u64::try_from(errno).unwrap());
        self.set(SEEN, 0);
        self.set(HITS, 0);
        // Last: only now does it count.
        self.set(AT, fault.at);
    }

    pub fn disarm(&self) {
        self.set(AT, 0);
    }

    /// The process runs under the layer.
    pub fn loaded(&self) -> bool {
        self.get(LOADED) == 1
    }

    /// Operations that the armed fault happened to.
    pub fn hits(&self) -> u64 {
        self.get(HITS)
    }

    /// Operations of one kind since the process began.
    pub fn count(&self, kind: Kind) -> u64 {
        self.get(COUNTS + kind as u64)
    }

    /// Every sync takes this much longer.
    pub fn slow(&self, microseconds: u64) {
        self.set(SLOW, microseconds);
    }

    /// Somebody sets the wall clock, by so many seconds from what it really is.
    pub fn set_clock(&self, seconds: i64) {
        self.set(STEP, seconds.cast_unsigned());
    }

    /// Syncs succeed and do nothing: as with `synchronous=OFF`, or a disk that lies.
    pub fn lie(&self) {
        self.set(LIES, 1);
    }

    fn set(&self, cell: u64, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), cell * 8).unwrap();
    }

    fn get(&self, cell: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, cell * 8).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

/// `tests/faults/layer.c`, compiled with whatever compiler built SQLite.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/layer.c");
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Other test processes compile at the same time: under a name of one's own, then into its place at once.
        let mine = place.join(format!("layer-{}.so", std::process::id()));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut words = compiler.split_whitespace();
        let made = Command::new(words.next().unwrap_or("cc"))
            .args(words)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&mine, &source])
            .arg("-lpthread")
            .output()
            .unwrap_or_else(|error| panic!("{compiler}: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let library = place.join("layer.so");
        fs::rename(&mine, &library).unwrap();
        library
    })
}
