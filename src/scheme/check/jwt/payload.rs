//! A payload that is left out of its token: put together from the request, and encoded as it goes to the hash.

use data_encoding::BASE64URL_NOPAD;

use super::Detached;
use crate::domain::Refusal;
use crate::scheme::message::{Feed, Sink};

/// Bytes that are encoded at once; in whole groups of three.
const PIECE: usize = 3 * 1024;

/// Encodes what it is given in base64url and hands it on, with no more than a piece of it in memory.
pub(in crate::scheme) struct Encoded<'s, S> {
    sink: &'s mut S,
    /// Bytes that are no whole group yet.
    rest: [u8; 2],
    rests: usize,
}

impl<'s, S: Sink> Encoded<'s, S> {
    pub(in crate::scheme) fn new(sink: &'s mut S) -> Self {
        Self { sink, rest: [0; 2], rests: 0 }
    }

    fn put(&mut self, bytes: &[u8]) {
        let mut text = [0; PIECE / 3 * 4];
        let length = BASE64URL_NOPAD.encode_len(bytes.len());
        if let Some(text) = text.get_mut(..length) {
            BASE64URL_NOPAD.encode_mut(bytes, text);
            self.sink.update(text);
        }
    }

    pub(in crate::scheme) fn finish(mut self) {
        let rest = self.rest;
        self.put(rest.get(..self.rests).unwrap_or_default());
    }
}

impl<S: Sink> Sink for Encoded<'_, S> {
    fn update(&mut self, mut bytes: &[u8]) {
        if self.rests > 0 {
            let mut group = [0; 3];
            let mut length = 0;
            let rest = self.rest;
            let (taken, behind) = bytes.split_at(bytes.len().min(3 - self.rests));
            for (to, from) in group.iter_mut().zip(rest.iter().take(self.rests).chain(taken)) {
                *to = *from;
                length += 1;
            }
            bytes = behind;
            if length < 3 {
                let [first, second, _] = group;
                (self.rest, self.rests) = ([first, second], length);
                return;
            }
            self.rests = 0;
            self.put(&group);
        }
        let (whole, rest) = bytes.split_at(bytes.len() / 3 * 3);
        for piece in whole.chunks(PIECE) {
            self.put(piece);
        }
        for (to, from) in self.rest.iter_mut().zip(rest) {
            *to = *from;
        }
        self.rests = rest.len();
    }
}

impl Detached {
    pub(super) fn pour(&self, sink: &mut impl Sink, feed: &Feed<'_, '_>) -> Result<(), Refusal> {
        if self.unencoded {
            return feed.pour(sink, &self.message);
        }
        let mut encoded = Encoded::new(sink);
        feed.pour(&mut encoded, &self.message)?;
        encoded.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_pieces_is_encoded_as_one() {
        let bytes: Vec<u8> = (0..10_000u32).map(|n| (n % 251) as u8).collect();
        for size in [1, 2, 3, 4, 5, 7, 100, PIECE - 1, PIECE, PIECE + 1, 10_000] {
            let mut text = Vec::new();
            let mut encoded = Encoded::new(&mut text);
            bytes.chunks(size).for_each(|piece| encoded.update(piece));
            encoded.finish();
            assert_eq!(text, BASE64URL_NOPAD.encode(&bytes).into_bytes(), "{size}");
        }
    }
}
