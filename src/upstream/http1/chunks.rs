//! The chunked coding of an answer. Sizes are read by `httparse`; extensions are skipped, trailers are dropped.

use bytes::{Buf as _, BytesMut};

use crate::upstream::failure::Failure;

/// A size with its extensions, or one trailer field.
const LINE_MAX: usize = 4 * 1024;

/// Where in a chunked body the reading stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a chunk.
    #[default]
    Size,
    /// This many bytes of a chunk are to come.
    Data(u64),
    /// Behind a chunk's data.
    DataEnd,
    /// Behind the last chunk; this many bytes of trailers were read.
    Trailers(usize),
}

/// The coding is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Broken {
    pub(super) fn failure(self) -> Failure {
        Failure::malformed("the chunks of the answer are none")
    }
}

impl Chunks {
    /// Hands out the data at the start of `read` and takes it away; whether the body has ended.
    pub(super) fn take(&mut self, read: &mut BytesMut, mut put: impl FnMut(&[u8])) -> Result<bool, Broken> {
        loop {
            *self = match *self {
                Self::Size => match httparse::parse_chunk_size(read) {
                    Ok(httparse::Status::Complete((length, 0))) => {
                        read.advance(length);
                        Self::Trailers(0)
                    }
                    Ok(httparse::Status::Complete((length, size))) => {
                        read.advance(length);
                        Self::Data(size)
                    }
                    Ok(httparse::Status::Partial) if read.len() <= LINE_MAX => return Ok(false),
                    Ok(httparse::Status::Partial) | Err(_) => return Err(Broken),
                },
                Self::Data(0) => Self::DataEnd,
                Self::Data(_) if read.is_empty() => return Ok(false),
                Self::Data(left) => {
                    let piece = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
                    put(read.get(..piece).unwrap_or_default());
                    read.advance(piece);
                    Self::Data(left - piece as u64)
                }
                Self::DataEnd => match read.as_ref() {
                    [] | [b'\r'] => return Ok(false),
                    [b'\r', b'\n', ..] => {
                        read.advance(2);
                        Self::Size
                    }
                    _ => return Err(Broken),
                },
                Self::Trailers(before) => match memchr::memchr(b'\n', read) {
                    Some(end) if before + end > LINE_MAX => return Err(Broken),
                    Some(end) => {
                        let empty = matches!(read.get(..end), Some([] | [b'\r']));
                        read.advance(end + 1);
                        if empty {
                            return Ok(true);
                        }
                        Self::Trailers(before + end + 1)
                    }
                    None if before + read.len() > LINE_MAX => return Err(Broken),
                    None => return Ok(false),
                },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces of every size: no result depends on where packets were cut.
    fn read(text: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Broken> {
        let results: Vec<_> = (1..=text.len()).map(|size| read_in(text, size)).collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        results[0].clone()
    }

    /// The body and how many bytes are left behind it.
    fn read_in(text: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Broken> {
        let (mut chunks, mut read, mut body) = (Chunks::default(), BytesMut::new(), Vec::new());
        let mut fed = 0;
        for piece in text.chunks(size) {
            read.extend_from_slice(piece);
            fed += piece.len();
            if chunks.take(&mut read, |piece| body.extend_from_slice(piece))? {
                return Ok(Some((body, read.len() + text.len() - fed)));
            }
        }
        Ok(None)
    }

    #[test]
    fn bodies_end_where_they_say() {
        assert_eq!(read(b"0\r\n\r\n"), Ok(Some((vec![], 0))));
        assert_eq!(read(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\n"), Ok(Some((b"abcde".to_vec(), 0))));
        assert_eq!(read(b"1\r\na\r\n0\r\n\r\nHTTP"), Ok(Some((b"a".to_vec(), 4))));
        assert_eq!(read(b"5\r\nab"), Ok(None));
    }

    #[test]
    fn broken_chunks() {
        for text in [&b"x\r\n"[..], b"-1\r\n", b"1\r\nab\r\n0\r\n\r\n", b"11111111111111111\r\n"] {
            assert_eq!(read(text), Err(Broken), "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(read_in(&[b"0\r\n".as_slice(), &b"X: y\r\n".repeat(2000)].concat(), 64), Err(Broken));
        assert_eq!(read_in(&[b"1;".as_slice(), &[b'x'; 5000]].concat(), 64), Err(Broken));
    }
}
