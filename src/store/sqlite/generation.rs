//! Which log belongs to which file.
//!
//! SQLite puts whatever log lies beside a file into it, also one that was written for another: a backup that is put in place
//! of the file and not of its log is destroyed by it. So the file carries the name of its state, by chance, and the first
//! transaction of each log says which state it began from and which it makes: a log that began from another state is refused
//! before SQLite sees it. Both are read from the bytes as they lie there.
//!
//! The name lies in `meta`, which is a page of its own, the second.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;

use super::hold::Held;
use super::schema;

/// The page of `meta`.
pub(super) const META_PAGE: u32 = 2;
/// The row.
const ROW: &str = "log";
const HEAD: usize = 100;

/// The name of a state.
pub(super) type Name = [u8; 16];

/// From which state to which a log leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) from: Name,
    pub(super) to: Name,
}

impl Generation {
    /// What comes after.
    pub(super) fn next(self) -> Self {
        let (high, low) = (fastrand::u64(..).to_be_bytes(), fastrand::u64(..).to_be_bytes());
        let mut to = [0; 16];
        to.iter_mut().zip(high.into_iter().chain(low)).for_each(|(to, from)| *to = from);
        Self { from: self.to, to }
    }

    /// Writes it into `meta`, as a part of whatever transaction there is.
    pub(super) fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let value = [self.from, self.to].concat();
        connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute((ROW, value)).map(drop)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (from, to) = value.split_first_chunk()?;
        Some(Self { from: *from, to: to.try_into().ok()? })
    }
}

/// The last states that this process brought its file to, or meant to: whatever became of a commit, the file is in one of
/// them, or it is not our file.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<VecDeque<Name>>);

impl Known {
    pub(super) fn add(&self, name: Name) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= 16 {
            names.pop_front();
        }
        names.push_back(name);
    }

    pub(super) fn has(&self, name: Name) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }
}

/// What a page of `meta` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Generation(Generation),
    /// An older version of the relay wrote it.
    Nothing,
    /// It is no page of `meta`.
    Unreadable,
}

impl Said {
    /// The state that the file is in; a file of an older version is in none.
    pub(super) fn name(self) -> Option<Name> {
        match self {
            Self::Generation(generation) => Some(generation.to),
            Self::Nothing => Some(Name::default()),
            Self::Unreadable => None,
        }
    }
}

/// What a file says before anything was done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Main {
    /// No table was ever made in it.
    Empty,
    /// Ours, with the version of its tables.
    Ours { version: u32, said: Said },
    /// Another program's.
    Foreign,
    /// Not SQLite's.
    NoDatabase,
}

/// Reads what the file says of itself.
pub(super) fn look(held: &Held) -> io::Result<Main> {
    let mut head = [0; HEAD + 8];
    if held.read_at(0, &mut head)? == 0 {
        return Ok(Main::Empty);
    }
    if !head.starts_with(b"SQLite format 3\0") {
        return Ok(Main::NoDatabase);
    }
    let number = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_be_bytes);
    let ours = number(68) == u32::try_from(schema::APPLICATION_ID).ok();
    if ours {
        let version = number(60).unwrap_or_default();
        return Ok(Main::Ours { version, said: meta(held, page_size(&head))? });
    }
    // The root of the list of tables: a leaf without cells.
    let no_table = head.get(HEAD) == Some(&0x0d) && head.get(HEAD + 3..HEAD + 5) == Some(&[0, 0]);
    Ok(if number(68) == Some(0) && no_table { Main::Empty } else { Main::Foreign })
}

/// Why a file cannot become the store, without a byte of it touched. For a command and never for the process that serves the file:
/// closing it here would drop SQLite's locks there.
pub fn unfit(path: &Path) -> Option<&'static str> {
    match look(&Held::glance(path).ok()?).ok()? {
        Main::Empty => None,
        Main::Ours { version, .. } if version > schema::known() => Some("was written by a newer version of dmz-relay"),
        Main::Ours { .. } => None,
        Main::Foreign => Some("is a database of another program"),
        Main::NoDatabase => Some("is no SQLite database"),
    }
}

/// What the file's own page of `meta` says, the log left aside.
fn meta(held: &Held, size: usize) -> io::Result<Said> {
    let mut page = vec![0; size];
    let read = held.read_at(u64::from(META_PAGE - 1) * size as u64, &mut page)?;
    // A file of one page: the rest is in the log.
    Ok(if read == 0 { Said::Nothing } else { said(&page) })
}

/// What the file says now; `None`: it is no file of ours any more.
pub(super) fn now(held: &Held) -> io::Result<Option<Said>> {
    Ok(match look(held)? {
        Main::Ours { said, .. } => Some(said),
        Main::Empty => Some(Said::Nothing),
        Main::Foreign | Main::NoDatabase => None,
    })
}

fn page_size(head: &[u8]) -> usize {
    match head.get(16..18) {
        Some(&[0, 1]) => 65_536,
        Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])).max(512),
        _ => 512,
    }
}

/// Finds the row in a page: a leaf of a table without row ids, whose cells are records of a name and a value.
fn said(page: &[u8]) -> Said {
    let find = || -> Option<Option<Generation>> {
        if *page.first()? != 0x0a {
            return None;
        }
        let cells = usize::from(u16::from_be_bytes([*page.get(3)?, *page.get(4)?]));
        for cell in 0..cells {
            let pointer = page.get(8 + 2 * cell..)?.first_chunk()?;
            let mut rest = page.get(usize::from(u16::from_be_bytes(*pointer))..)?;
            varint(&mut rest)?;
            let record = rest;
            let head = usize::try_from(varint(&mut rest)?).ok()?;
            let (name, value) = (varint(&mut rest)?, varint(&mut rest)?);
            let text = usize::try_from(name.checked_sub(13)? / 2).ok()?;
            let content = record.get(head..)?;
            if content.get(..text)? == ROW.as_bytes() {
                let length = usize::try_from(value.checked_sub(12)? / 2).ok()?;
                return Some(Generation::read(content.get(text..text.checked_add(length)?)?));
            }
        }
        Some(None)
    };
    match find() {
        None => Said::Unreadable,
        Some(None) => Said::Nothing,
        Some(Some(generation)) => Said::Generation(generation),
    }
}

fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for at in 0..9 {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        if at == 8 {
            return Some(value << 8 | u64::from(*byte));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Whether a log may be put into a file. `Ok(false)`: it belongs to another.
pub(super) fn belongs(main: Main, log: &mut impl Read) -> io::Result<bool> {
    let Some(mut frames) = Frames::of(log)? else { return Ok(true) };
    let (mut pending, mut committed, mut application, mut named) = (Vec::new(), false, None, false);
    while let Some(frame) = frames.next(log)? {
        if frame.page == META_PAGE
            && let Said::Generation(generation) = said(&frames.page)
        {
            pending.push(generation);
        }
        if frame.page == 1 {
            application = frames.page.get(68..72).map(<[u8]>::to_vec);
        }
        if !frame.commits {
            continue;
        }
        committed = true;
        for log in pending.drain(..) {
            named = true;
            // A log that was emptied and not begun again names several states, one after the other.
            let fits = match main {
                Main::Empty | Main::Ours { said: Said::Nothing, .. } => log.from == Name::default(),
                Main::Ours { said: Said::Generation(file), .. } => file.to == log.from || file.to == log.to,
                // The page is damaged, and the log has a sound one.
                Main::Ours { said: Said::Unreadable, .. } => true,
                Main::Foreign | Main::NoDatabase => false,
            };
            if fits {
                return Ok(true);
            }
        }
    }
    let ours = application.is_some_and(|found| found == schema::APPLICATION_ID.to_be_bytes());
    Ok(match main {
        // Nothing in it counts.
        _ if !committed => true,
        _ if named => false,
        // Where it makes the first tables.
        Main::Empty => ours,
        // An older version wrote both.
        Main::Ours { said: Said::Nothing | Said::Unreadable, .. } => true,
        Main::Ours { said: Said::Generation(_), .. } | Main::Foreign | Main::NoDatabase => false,
    })
}

/// The salts of a log as it lies there: they change when it begins again. `None`: it has none.
pub(super) fn salts(log: &mut impl Read) -> io::Result<Option<[u8; 8]>> {
    Ok(Frames::of(log)?.map(|frames| frames.salts))
}

/// The frames of a log, as far as they are whole.
struct Frames {
    page: Vec<u8>,
    salts: [u8; 8],
    big: bool,
    sum: (u32, u32),
}

struct Frame {
    page: u32,
    /// It is the last of a transaction.
    commits: bool,
}

impl Frames {
    /// `None`: SQLite would take nothing of it.
    fn of(log: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 32];
        if !fill(log, &mut head)? {
            return Ok(None);
        }
        let number =
            |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes);
        let size = usize::try_from(number(8)).unwrap_or_default();
        let big = number(0) & 1 == 1;
        let sum = checksum(big, head.get(..24).unwrap_or_default(), (0, 0));
        let sound = number(0) & !1 == 0x377f_0682
            && size.is_power_of_two()
            && (512..=65_536).contains(&size)
            && sum == (number(24), number(28));
        let salts = head.get(16..24).and_then(|salts| salts.try_into().ok());
        Ok(salts.filter(|_| sound).map(|salts| Self { page: vec![0; size], salts, big, sum }))
    }

    /// The next one; its page lies in `page`.
    fn next(&mut self, log: &mut impl Read) -> io::Result<Option<Frame>> {
        let mut head = [0; 24];
        if !fill(log, &mut head)? || !fill(log, &mut self.page)? {
            return Ok(None);
        }
        let number =
            |at: usize| head.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes);
        let sum = checksum(self.big, head.get(..8).unwrap_or_default(), self.sum);
        self.sum = checksum(self.big, &self.page, sum);
        let whole = head.get(8..16) == Some(&self.salts) && self.sum == (number(16), number(20));
        Ok(whole.then(|| Frame { page: number(0), commits: number(4) != 0 }))
    }
}

fn fill(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// SQLite's own, over pairs of words.
fn checksum(big: bool, bytes: &[u8], (mut first, mut second): (u32, u32)) -> (u32, u32) {
    let word = |bytes: [u8; 4]| if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    for pair in bytes.chunks_exact(8) {
        if let (Some(one), Some(two)) = (pair.first_chunk(), pair.last_chunk()) {
            first = first.wrapping_add(word(*one)).wrapping_add(second);
            second = second.wrapping_add(word(*two)).wrapping_add(first);
        }
    }
    (first, second)
}
