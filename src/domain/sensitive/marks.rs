//! Which parts of a kept head are not shown. Kept with it, so that a later configuration cannot uncover them.

/// A part of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The path.
    Path,
    /// The host.
    Host,
    /// The parameter at this place of the query.
    Member(usize),
    /// The field at this place.
    Field(usize),
}

/// The marked parts of one head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Vec<Mark>);

impl Marks {
    pub(super) fn add(&mut self, mark: Mark) {
        self.0.push(mark);
    }

    /// Whether a part is marked.
    pub fn has(&self, mark: Mark) -> bool {
        self.0.contains(&mark)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Three bytes for each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = |mark: &Mark| {
            let (kind, at) = match mark {
                Mark::Path => (0, 0),
                Mark::Host => (1, 0),
                Mark::Member(at) => (2, *at),
                Mark::Field(at) => (3, *at),
            };
            let [high, low] = u16::try_from(at).unwrap_or(u16::MAX).to_be_bytes();
            [kind, high, low]
        };
        self.0.iter().flat_map(bytes).collect()
    }

    /// Reads them back. Bytes that are none mark nothing: what is a secret was blanked anyway.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mark = |bytes: &[u8; 3]| {
            let [kind, high, low] = *bytes;
            let at = usize::from(u16::from_be_bytes([high, low]));
            match kind {
                0 => Some(Mark::Path),
                1 => Some(Mark::Host),
                2 => Some(Mark::Member(at)),
                3 => Some(Mark::Field(at)),
                _ => None,
            }
        };
        Self(bytes.as_chunks().0.iter().filter_map(mark).collect())
    }
}
