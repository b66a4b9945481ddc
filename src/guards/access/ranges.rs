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
    /// Both ends of a range from its words, where these tell all of it: then nothing else of it is kept.
    fn from_words(first: Self::Word, last: Self::Word) -> Option<(Self, Self)>;
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
    fn from_words(first: Self, last: Self) -> Option<(Self, Self)> {
        Some((first, last))
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
    fn from_words(_: u64, _: u64) -> Option<(Self, Self)> {
        None
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

/// One start in every few is repeated in `landmarks`, which stays in the nearest cache: only the last few steps of a search
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
    /// None where the words tell all.
    bounds: Vec<(T, T)>,
}

impl<T: Bits> Default for Ranges<T> {
    fn default() -> Self {
        Self { landmarks: Vec::new(), words: Vec::new(), end_words: Vec::new(), ragged: Vec::new(), bounds: Vec::new() }
    }
}

impl<T: Bits> Ranges<T> {
    /// From ranges in order that do not overlap.
    pub(super) fn from_sorted(mut bounds: Vec<(T, T)>) -> Self {
        let words: Vec<T::Word> = bounds.iter().map(|(start, _)| start.word()).collect();
        let end_words = bounds.iter().map(|(_, end)| end.word()).collect();
        let landmarks = words.iter().step_by(STRIDE).copied().collect();
        let bits =
            |(place, (start, end)): (usize, &(T, T))| u64::from(!(start.opens_word() && end.closes_word())) << place;
        let ragged = bounds.chunks(64).map(|block| block.iter().enumerate().map(bits).sum()).collect();
        if T::from_words(T::LAST.word(), T::LAST.word()).is_some() {
            bounds = Vec::new();
        }
        bounds.shrink_to_fit();
        Self { landmarks, words, end_words, ragged, bounds }
    }

    /// Overlapping and adjacent ranges become one.
    pub(super) fn merged(mut sorted: Vec<(T, T)>) -> Self {
        sorted.sort_unstable();
        Self::from_sorted(merge(sorted))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
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
        let known = self.iter().enumerate().filter(|(index, _)| counts(*index));
        known.min_by_key(|(_, (first, last))| apart(*first).min(apart(*last)))
    }

    /// Whether one range holds all that lies between the two; for ranges that do not touch, as those of [`Self::merged`].
    pub(super) fn covers(&self, first: T, last: T) -> bool {
        self.find(first).and_then(|index| self.bound(index)).is_some_and(|(_, end)| end >= last)
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

    /// First and last address of a range.
    fn bound(&self, index: usize) -> Option<(T, T)> {
        T::from_words(*self.words.get(index)?, *self.end_words.get(index)?).or_else(|| self.bounds.get(index).copied())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (T, T)> {
        (0..self.words.len()).filter_map(|index| self.bound(index))
    }
}

/// Sorted ranges, of which those that overlap or touch become one; in their own place, with nothing to spare.
pub(super) fn merge<T: Bits>(mut sorted: Vec<(T, T)>) -> Vec<(T, T)> {
    sorted.dedup_by(|range, last| {
        // The last address has no next: whatever comes then lies inside.
        let joins = last.1.next().is_none_or(|next| range.0 <= next);
        if joins {
            last.1 = last.1.max(range.1);
        }
        joins
    });
    sorted.shrink_to_fit();
    sorted
}

/// Cuts overlapping ranges at each other's bounds, so that each piece has one owner: the lowest of those that cover it. The
/// ranges of one owner are sorted and do not touch.
pub(super) fn paint<'r, T: Bits + 'r>(
    owned: impl Iterator<Item = (u32, &'r [(T, T)])> + Clone,
) -> (Ranges<T>, Vec<u32>) {
    let mut filled = owned.filter(|(_, ranges)| !ranges.is_empty());
    let mut rest = filled.clone().skip(1);
    match (filled.next(), rest.next()) {
        (None, _) => (Ranges::default(), Vec::new()),
        // The usual case: nothing to cut.
        (Some((owner, ranges)), None) => (Ranges::from_sorted(ranges.to_vec()), vec![owner; ranges.len()]),
        (Some(first), Some(second)) => cut([first, second].into_iter().chain(rest)),
    }
}

fn cut<'r, T: Bits + 'r>(owned: impl Iterator<Item = (u32, &'r [(T, T)])>) -> (Ranges<T>, Vec<u32>) {
    let mut edges: Vec<(T, u32, bool)> = Vec::new();
    for (owner, ranges) in owned {
        edges.reserve(ranges.len() * 2);
        for (start, end) in ranges {
            edges.push((*start, owner, true));
            edges.extend(end.next().map(|after| (after, owner, false)));
        }
    }
    edges.sort_unstable();
    let mut covering: BTreeSet<u32> = BTreeSet::new();
    let mut pieces: Vec<(T, T)> = Vec::new();
    let mut owners = Vec::new();
    let mut open: Option<(T, u32)> = None;
    for here in edges.chunk_by(|a, b| a.0 == b.0) {
        let Some(at) = here.first().map(|edge| edge.0) else { continue };
        for (_, owner, starts) in here {
            if *starts {
                covering.insert(*owner)
            } else {
                covering.remove(owner)
            };
        }
        let owner = covering.first().copied();
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
    drop(edges);
    owners.shrink_to_fit();
    (Ranges::from_sorted(pieces), owners)
}
