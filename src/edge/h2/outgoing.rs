//! What `h2` ends by itself, read from the frames that it writes: it answers a malformed head, a broken table or a flood with
//! `RST_STREAM` or `GOAWAY` and tells nobody. Its interface has the connection's last error and nothing of a stream's.
//!
//! Only error codes are read, from the headers and the first bytes of the frames as they pass; nothing is changed.

use crate::observe::{Http2Error, Http2Scope};

const HEADER: usize = 9;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const CODE: usize = 4;
/// Before its code stands the number of the last stream.
const LAST_STREAM: usize = 4;

/// Where in the bytes that are sent the next frame begins.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Bytes until something is looked at again.
    skip: usize,
    /// A frame's header, and its payload as far as it is looked at.
    seen: [u8; HEADER + LAST_STREAM + CODE],
    have: usize,
    /// A GOAWAY that says why was sent; what follows repeats it.
    gone: bool,
}

impl Outgoing {
    /// Looks at the next bytes, however they are cut, and calls back for each error in them.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut told: impl FnMut(Http2Scope, Http2Error)) {
        loop {
            let skip = self.skip.min(bytes.len());
            self.skip -= skip;
            let Some((byte, rest)) = bytes.get(skip..).and_then(<[u8]>::split_first) else { return };
            bytes = rest;
            if let Some(place) = self.seen.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            if self.have < HEADER {
                continue;
            }
            let [a, b, c, kind, ..] = self.seen;
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let wanted = match kind {
                RST_STREAM => CODE,
                GOAWAY => LAST_STREAM + CODE,
                _ => 0,
            };
            if self.have == HEADER + wanted.min(length) {
                self.have = 0;
                self.skip = length - wanted.min(length);
                if let Some((scope, error)) = self.error(kind).filter(|_| (1..=length).contains(&wanted)) {
                    told(scope, error);
                }
            }
        }
    }

    /// The error of the frame that was just seen.
    fn error(&mut self, kind: u8) -> Option<(Http2Scope, Http2Error)> {
        let [.., a, b, c, d, e, f, g, h] = self.seen;
        if kind == RST_STREAM {
            return Some((Http2Scope::Stream, Http2Error::of(u32::from_be_bytes([a, b, c, d]))?));
        }
        let error = Http2Error::of(u32::from_be_bytes([e, f, g, h]))?;
        (!std::mem::replace(&mut self.gone, true)).then_some((Http2Scope::Connection, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn errors_are_found_however_the_bytes_are_cut() {
        let bytes = [
            frame(4, &[0; 6]),
            frame(RST_STREAM, &[0, 0, 0, 1]),
            // CANCEL and NO_ERROR accuse nobody; nor do a payload and a kind that only look like an error.
            frame(RST_STREAM, &[0, 0, 0, 8]),
            frame(0, &frame(RST_STREAM, &[0, 0, 0, 1])),
            frame(RST_STREAM, &[0, 0, 0, 7]),
            frame(GOAWAY, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
            frame(GOAWAY, &[&[0, 0, 0, 1, 0, 0, 0, 11][..], b"too_many_resets"].concat()),
            frame(GOAWAY, &[0, 0, 0, 1, 0, 0, 0, 11]),
            frame(RST_STREAM, &[0, 0, 0, 9]),
        ]
        .concat();
        for piece in [1, 2, 3, 9, 13, 17, bytes.len()] {
            let (mut outgoing, mut told) = (Outgoing::default(), Vec::new());
            for part in bytes.chunks(piece) {
                outgoing.pass(part, |scope, error| told.push((scope.code(), error.code())));
            }
            let expected = [
                ("stream", "protocol_error"),
                ("stream", "refused_stream"),
                ("connection", "enhance_your_calm"),
                ("stream", "compression_error"),
            ];
            assert_eq!(told, expected, "in pieces of {piece}");
        }
    }
}
