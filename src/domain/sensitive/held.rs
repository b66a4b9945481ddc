//! What was blanked in a request that is delivered later: its own bytes, for the application alone.

use super::super::Head;

/// The parts as they came. Its bytes are a secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Held {
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) host: Option<String>,
    /// By their places.
    pub(super) fields: Vec<(usize, Vec<u8>)>,
    /// By where they begin in the body.
    pub(super) body: Vec<(usize, Vec<u8>)>,
}

/// How much, never what.
impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({} fields, {} parts of the body)", self.fields.len(), self.body.len())
    }
}

impl Held {
    /// Whether nothing was blanked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what stands in these places of a body.
    pub fn hold(&mut self, body: &[u8], places: &[std::ops::Range<usize>]) {
        let part = |place: &std::ops::Range<usize>| Some((place.start, body.get(place.clone())?.to_vec()));
        self.body.extend(places.iter().filter_map(part));
    }

    /// The head as it came.
    pub fn head(&self, kept: &Head) -> Head {
        let value = |at: usize| self.fields.iter().find(|(field, _)| *field == at).map(|(_, value)| &**value);
        kept.with(
            self.path.as_deref().unwrap_or(kept.path()),
            self.query.as_deref().or(kept.query()),
            self.host.as_deref().unwrap_or(kept.host()),
            value,
        )
    }

    /// The body as it came; `None`: it was kept as it is.
    pub fn body(&self, kept: &[u8]) -> Option<Vec<u8>> {
        (!self.body.is_empty()).then(|| {
            let mut body = kept.to_vec();
            for (at, part) in &self.body {
                if let Some(place) = body.get_mut(*at..at.saturating_add(part.len())) {
                    place.copy_from_slice(part);
                }
            }
            body
        })
    }

    /// As bytes: kind, place, length, content; one after the other.
    pub fn to_bytes(&self) -> Vec<u8> {
        let texts = [(0_u8, &self.path), (1, &self.query), (2, &self.host)];
        let texts = texts.into_iter().filter_map(|(kind, text)| Some((kind, 0, text.as_ref()?.as_bytes())));
        let fields = self.fields.iter().map(|(at, value)| (3, *at, &**value));
        let body = self.body.iter().map(|(at, part)| (4, *at, &**part));
        let mut out = Vec::new();
        for (kind, at, content) in texts.chain(fields).chain(body) {
            out.push(kind);
            for number in [at, content.len()] {
                out.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
            }
            out.extend_from_slice(content);
        }
        out
    }

    /// Reads them back; `None` for bytes that are none.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut held = Self::default();
        while let Some((kind, rest)) = bytes.split_first() {
            let (at, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first_chunk()?;
            let at = usize::try_from(u32::from_be_bytes(*at)).ok()?;
            let (content, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
            let text = || String::from_utf8(content.to_vec()).ok();
            match kind {
                0 => held.path = Some(text()?),
                1 => held.query = Some(text()?),
                2 => held.host = Some(text()?),
                3 => held.fields.push((at, content.to_vec())),
                4 => held.body.push((at, content.to_vec())),
                _ => return None,
            }
            bytes = rest;
        }
        Some(held)
    }
}
