//! Which streams ask for a target with a fragment.
//!
//! `h2` cuts `:path` off at a `#` and tells nobody, while HTTP/1.1 refuses such a target; one grammar holds for both. So the field blocks
//! are walked as they come: where each field ends, and which entries of the peer's table are paths (RFC 7541). Nothing is decoded
//! but the lengths of texts. What is no field block is left to `h2`, which ends the connection for it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::huffman;

const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// What a peer's table holds at most: `h2` announces nothing else (RFC 9113 section 6.5.2).
const TABLE_MAX: usize = 4096;
/// What an entry takes beside its texts (RFC 7541 section 4.1).
const ENTRY: usize = 32;
/// Streams that are remembered. More than wait to be accepted; `h2` may have reset some of them by itself.
const MARKED_MAX: usize = 256;
/// The lengths of the names in the static table (RFC 7541 appendix A).
const NAMES: [u8; 61] = [
    10, 7, 7, 5, 5, 7, 7, 7, 7, 7, 7, 7, 7, 7, 14, 15, 15, 13, 6, 27, 3, 5, 13, 13, 19, 16, 16, 14, 16, 13, 12, 6, 4,
    4, 6, 7, 4, 4, 8, 17, 13, 8, 19, 13, 4, 8, 12, 18, 19, 5, 7, 7, 11, 6, 10, 25, 17, 10, 4, 3, 16,
];
/// `:path` in the static table.
const PATHS: std::ops::RangeInclusive<usize> = 4..=5;
const PATH: &[u8] = b":path";
const PATH_CODED: &[u8] = &[0xb9, 0x58, 0xd3, 0x3f];

/// Streams whose target has a fragment, until they are asked for.
#[derive(Debug, Default)]
pub(in crate::edge) struct Marked {
    any: AtomicBool,
    streams: Mutex<BTreeSet<u32>>,
}

impl Marked {
    /// Whether this stream is one of them; it is not remembered any longer.
    pub(super) fn take(&self, stream: u32) -> bool {
        self.any.load(Ordering::Acquire) && self.streams().remove(&stream)
    }

    fn add(&self, stream: u32) {
        let mut streams = self.streams();
        if streams.len() >= MARKED_MAX {
            streams.pop_first();
        }
        streams.insert(stream);
        self.any.store(true, Ordering::Release);
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The field blocks of a connection.
#[derive(Debug)]
pub(super) struct Blocks {
    marked: Arc<Marked>,
    table: Table,
    /// A block may have this many bytes; `h2` takes no larger one either.
    most: usize,
    /// Of the frame whose payload comes.
    flags: u8,
    stream: u32,
    is_continuation: bool,
    /// The part of its payload that came before, and what the frames before it had of the block.
    payload: Vec<u8>,
    block: Vec<u8>,
    /// Something was no field block; the table is not known any more.
    lost: bool,
}

impl Blocks {
    pub(super) fn new(most: usize, marked: Arc<Marked>) -> Self {
        Self {
            marked,
            table: Table::default(),
            most,
            flags: 0,
            stream: 0,
            is_continuation: false,
            payload: Vec::new(),
            block: Vec::new(),
            lost: false,
        }
    }

    /// A frame with a part of a block begins.
    pub(super) fn begin(&mut self, flags: u8, stream: u32, is_continuation: bool) {
        (self.flags, self.stream, self.is_continuation) = (flags, stream, is_continuation);
    }

    /// The next bytes of its payload, and whether they are the last ones.
    pub(super) fn pass(&mut self, bytes: &[u8], last: bool) {
        if self.lost {
            return;
        }
        if self.payload.len() + self.block.len() + bytes.len() > self.most {
            return self.lose();
        }
        if !last || !self.payload.is_empty() {
            self.payload.extend_from_slice(bytes);
        }
        if !last {
            return;
        }
        let gathered = std::mem::take(&mut self.payload);
        let payload = if gathered.is_empty() { bytes } else { &gathered };
        let Some(part) = self.part(payload) else { return self.lose() };
        let is_whole = self.flags & END_HEADERS != 0;
        if !is_whole || !self.block.is_empty() {
            self.block.extend_from_slice(part);
        }
        if !is_whole {
            return;
        }
        let gathered = std::mem::take(&mut self.block);
        match self.table.walk(if gathered.is_empty() { part } else { &gathered }) {
            Some(true) => self.marked.add(self.stream),
            Some(false) => {}
            None => self.lose(),
        }
    }

    /// The block's part of a payload, without padding and priority.
    fn part<'p>(&self, mut payload: &'p [u8]) -> Option<&'p [u8]> {
        if self.is_continuation {
            return Some(payload);
        }
        if self.flags & PADDED != 0 {
            let (padding, rest) = payload.split_first()?;
            payload = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        if self.flags & PRIORITY != 0 { payload.get(5..) } else { Some(payload) }
    }

    fn lose(&mut self) {
        (self.lost, self.table, self.payload, self.block) = (true, Table::default(), Vec::new(), Vec::new());
    }
}

/// The peer's table, as far as it matters here.
#[derive(Debug)]
struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Name,
    size: usize,
    has_fragment: bool,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    length: usize,
    is_path: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, max: TABLE_MAX }
    }
}

impl Table {
    /// Whether the block has a path with a fragment; `None` where it is no field block.
    fn walk(&mut self, mut block: &[u8]) -> Option<bool> {
        let mut found = false;
        while let Some(first) = block.first() {
            match first {
                0x80.. => {
                    let index = integer(&mut block, 7)?;
                    found |= index > NAMES.len() && self.entry(index)?.has_fragment;
                }
                0x40.. => found |= self.literal(&mut block, 6, true)?,
                0x20.. => {
                    self.max = integer(&mut block, 5).filter(|max| *max <= TABLE_MAX)?;
                    self.shrink_to(self.max);
                }
                _ => found |= self.literal(&mut block, 4, false)?,
            }
        }
        Some(found)
    }

    fn literal(&mut self, block: &mut &[u8], prefix: u8, enters: bool) -> Option<bool> {
        let name = match integer(block, prefix)? {
            0 => text(block)?.name(),
            index => self.name(index)?,
        };
        let value = text(block)?;
        let has_fragment = name.is_path && value.has_number_sign();
        if enters {
            let size = name.length + value.length() + ENTRY;
            self.shrink_to(self.max.saturating_sub(size));
            if size <= self.max {
                self.size += size;
                self.entries.push_front(Entry { name, size, has_fragment });
            }
        }
        Some(has_fragment)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index.checked_sub(NAMES.len() + 1)?)
    }

    fn name(&self, index: usize) -> Option<Name> {
        match NAMES.get(index - 1) {
            Some(length) => Some(Name { length: usize::from(*length), is_path: PATHS.contains(&index) }),
            None => Some(self.entry(index)?.name),
        }
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.size -= oldest.size;
        }
    }
}

/// A text as it is sent.
#[derive(Clone, Copy)]
struct Text<'b> {
    bytes: &'b [u8],
    coded: bool,
}

impl Text<'_> {
    fn name(self) -> Name {
        Name { length: self.length(), is_path: self.bytes == if self.coded { PATH_CODED } else { PATH } }
    }

    fn length(self) -> usize {
        if self.coded { huffman::codes(self.bytes).count() } else { self.bytes.len() }
    }

    fn has_number_sign(self) -> bool {
        if self.coded {
            huffman::codes(self.bytes).any(|code| code == huffman::NUMBER_SIGN)
        } else {
            self.bytes.contains(&b'#')
        }
    }
}

fn text<'b>(block: &mut &'b [u8]) -> Option<Text<'b>> {
    let coded = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some(Text { bytes, coded })
}

/// RFC 7541 section 5.1. Nothing in a block is as long as five of these bytes can say.
fn integer(block: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        for shift in [0, 7, 14, 21] {
            let (byte, behind) = rest.split_first()?;
            rest = behind;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *block = rest;
                return Some(value);
            }
        }
        return None;
    }
    *block = rest;
    Some(value)
}

#[cfg(test)]
mod tests;
