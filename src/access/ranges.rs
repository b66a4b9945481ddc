//! Sorted ranges that do not overlap, and the search in them.

use std::collections::BTreeSet;

/// An address as a number.
pub(super) trait Bits: Copy + Ord + std::fmt::Debug {
    /// The number after this one; `None` for the last.
    fn next(self) -> Option<Self>;
    /// The number before this one; `None` for zero.
    fn previous(self) -> Option<Self>;
    /// All ones.
    const LAST: Self;
    /// What a machine compares in one step.
    type Word: Copy + Ord + std::fmt::Debug;
    /// The leading bits, in the order of the whole.
    fn word(self) -> Self::Word;
    /// Whether it is the first address with its leading bits.
    fn opens_word(self) -> bool;
    /// Whether it is the last address with its leading bits.
    fn closes_word(self) -> bool;
}

impl Bits for u32 {
    const LAST: Self = Self::MAX;
    type Word = Self;
    fn word(self) -> Self {
        self
    }
    fn opens_word(self) -> bool {
        true
    }
    fn closes_word(self) -> bool {
        true
    }
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Bits for u128 {
    const LAST: Self = Self::MAX;
    type Word = u64;
    fn word(self) -> u64 {
        (self >> 64) as u64
    }
    fn opens_word(self) -> bool {
        self << 64 == 0
    }
    fn closes_word(self) -> bool {
        !self << 64 == 0
    }
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// One in so many starts is repeated in `landmarks`, which stays in the nearest cache: only the last few steps of a search
/// touch the long arrays.
const STRIDE: usize = 64;

/// First and last address of each range; sorted, without overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranges<T: Bits> {
    landmarks: Vec<T::Word>,
    /// Of each start: the search runs over these, because comparing 128 bits costs a branch that is never predicted.
    words: Vec<T::Word>,
    /// Of each end.
    end_words: Vec<T::Word>,
    /// One bit for each range: set where its leading bits do not tell all of it. Only such a range (an IPv6 network longer
    /// than a /64) needs a look at `bounds`, which for a long list lie in no near cache.
    ragged: Vec<u64>,
    bounds: Vec<(T, T)>,
}

impl<T: Bits> Default for Ranges<T> {
    fn default() -> Self {
        Self { landmarks: Vec::new(), words: Vec::new(), end_words: Vec::new(), ragged: Vec::new(), bounds: Vec::new() }
    }
}

impl<T: Bits> Ranges<T> {
    fn from_sorted(bounds: Vec<(T, T)>) -> Self {
        let words: Vec<T::Word> = bounds.iter().map(|(start, _)| start.word()).collect();
        let end_words = bounds.iter().map(|(_, end)| end.word()).collect();
        let landmarks = words.iter().step_by(STRIDE).copied().collect();
        let bits =
            |(place, (start, end)): (usize, &(T, T))| u64::from(!(start.opens_word() && end.closes_word())) << place;
        let ragged = bounds.chunks(64).map(|block| block.iter().enumerate().map(bits).sum()).collect();
        Self { landmarks, words, end_words, ragged, bounds }
    }

    /// Overlapping and adjacent ranges become one.
    pub(super) fn merged(bounds: Vec<(T, T, u32)>) -> Self {
        let mut sorted: Vec<(T, T)> = bounds.into_iter().map(|(start, end, _)| (start, end)).collect();
        sorted.sort_unstable();
        Self::from_sorted(merge(sorted))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// The index of the range that holds the address.
    #[inline]
    pub(super) fn find(&self, address: T) -> Option<usize> {
        let word = address.word();
        let block = self.landmarks.partition_point(|start| *start <= word).checked_sub(1)? * STRIDE;
        let rest = self.words.get(block..)?;
        let rest = rest.get(..STRIDE).unwrap_or(rest);
        let index = block + rest.partition_point(|start| *start <= word).checked_sub(1)?;
        if *self.end_words.get(index)? < word {
            return None;
        }
        let is_ragged = self.ragged.get(index / 64)? >> (index % 64) & 1 == 1;
        if is_ragged { self.find_in_ragged(index, address) } else { Some(index) }
    }

    /// The range with an end nearest to an address that none holds, of those that count, with its bounds. Looks at every one.
    pub(super) fn nearest<D: Ord>(
        &self,
        counts: impl Fn(usize) -> bool,
        apart: impl Fn(T) -> D,
    ) -> Option<(usize, (T, T))> {
        let known = self.bounds.iter().copied().enumerate().filter(|(index, _)| counts(*index));
        known.min_by_key(|(_, (first, last))| apart(*first).min(apart(*last)))
    }

    /// Whether one range holds all that lies between the two; for ranges that do not touch, as those of [`Self::merged`].
    pub(super) fn covers(&self, first: T, last: T) -> bool {
        self.find(first).and_then(|index| self.bounds.get(index)).is_some_and(|(_, end)| *end >= last)
    }

    /// `index` is the last range whose leading bits are not above the address's.
    fn find_in_ragged(&self, mut index: usize, address: T) -> Option<usize> {
        if self.bounds.get(index)?.0 > address {
            // Several ranges share the leading bits, and this one lies behind the address.
            index = self.bounds.get(..index)?.partition_point(|(start, _)| *start <= address).checked_sub(1)?;
        }
        (self.bounds.get(index)?.1 >= address).then_some(index)
    }

    /// The addresses of the ranges that count, in the order of the ranges, with adjacent ones made one.
    pub(super) fn joined(&self, counts: impl Iterator<Item = bool>) -> Self {
        let counted = self.iter().zip(counts).filter(|(_, counts)| *counts);
        Self::from_sorted(merge(counted.map(|(range, _)| range).collect()))
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<(T, T)> = self.iter().chain(other.iter()).collect();
        all.sort_unstable();
        Self::from_sorted(merge(all))
    }

    fn iter(&self) -> impl Iterator<Item = (T, T)> {
        self.bounds.iter().copied()
    }
}

fn merge<T: Bits>(sorted: Vec<(T, T)>) -> Vec<(T, T)> {
    let mut out: Vec<(T, T)> = Vec::with_capacity(sorted.len());
    for (start, end) in sorted {
        match out.last_mut() {
            // The last address has no next: whatever comes then lies inside.
            Some(last) if last.1.next().is_none_or(|next| start <= next) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

/// Cuts overlapping ranges at each other's bounds, so that each piece has one owner: the lowest of those that cover it.
pub(super) fn paint<T: Bits>(bounds: Vec<(T, T, u32)>) -> (Ranges<T>, Vec<u32>) {
    let mut edges: Vec<(T, bool, u32, usize)> = Vec::with_capacity(bounds.len() * 2);
    for (index, (start, end, owner)) in bounds.into_iter().enumerate() {
        edges.push((start, true, owner, index));
        if let Some(after) = end.next() {
            edges.push((after, false, owner, index));
        }
    }
    edges.sort_unstable();
    let mut covering: BTreeSet<(u32, usize)> = BTreeSet::new();
    let mut pieces: Vec<(T, T)> = Vec::new();
    let mut owners = Vec::new();
    let mut open: Option<(T, u32)> = None;
    for here in edges.chunk_by(|a, b| a.0 == b.0) {
        let Some(at) = here.first().map(|edge| edge.0) else { continue };
        for (_, starts, owner, index) in here {
            if *starts {
                covering.insert((*owner, *index))
            } else {
                covering.remove(&(*owner, *index))
            };
        }
        let owner = covering.first().map(|first| first.0);
        if owner == open.map(|piece| piece.1) {
            continue;
        }
        if let Some(((start, owner), end)) = open.zip(at.previous()) {
            pieces.push((start, end));
            owners.push(owner);
        }
        open = owner.map(|owner| (at, owner));
    }
    if let Some((start, owner)) = open {
        pieces.push((start, T::LAST));
        owners.push(owner);
    }
    (Ranges::from_sorted(pieces), owners)
}
