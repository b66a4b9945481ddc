//! The chunked coding, read strictly (RFC 9112 section 7.1): no sign, no prefix, no bare line feed, bounded extensions,
//! bounded trailers. Trailers are read and dropped; a signature in one is a signature that was not sent.

use bytes::{Buf, BytesMut};

use crate::gate::pipeline::read::BodyBroken;

/// Size, extensions and line end of one chunk.
const LINE_MAX: usize = 256;
/// All trailer fields together.
const TRAILERS_MAX: usize = 8 * 1024;

/// Where the decoder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Chunked {
    Size,
    Data(u64),
    DataEnd,
    Trailers(usize),
    Done,
}

/// What one call achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) enum Step {
    /// The buffer is used up.
    NeedsMore,
    /// Data was appended.
    Appended,
    /// The last chunk and its trailers were read.
    Done,
}

impl Chunked {
    /// Moves what is in `from` to `into`, at most `room` bytes.
    pub(in crate::edge) fn decode(
        &mut self,
        from: &mut BytesMut,
        into: &mut BytesMut,
        room: usize,
    ) -> Result<Step, BodyBroken> {
        let before = into.len();
        loop {
            let room = room - (into.len() - before).min(room);
            *self = match *self {
                Self::Size => match line(from, LINE_MAX)? {
                    None => break,
                    Some(line) => match size(&line)? {
                        0 => Self::Trailers(0),
                        size if size > room as u64 => return Err(BodyBroken::TooLarge),
                        size => Self::Data(size),
                    },
                },
                Self::Data(0) => Self::DataEnd,
                Self::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(from.len()).min(room);
                    if here == 0 {
                        break;
                    }
                    into.extend_from_slice(from.get(..here).unwrap_or_default());
                    from.advance(here);
                    Self::Data(left - here as u64)
                }
                Self::DataEnd => match from.as_ref() {
                    [] | [b'\r'] => break,
                    [b'\r', b'\n', ..] => {
                        from.advance(2);
                        Self::Size
                    }
                    _ => return Err(BodyBroken::Malformed),
                },
                Self::Trailers(read) => match line(from, TRAILERS_MAX - read.min(TRAILERS_MAX))? {
                    None => break,
                    Some(line) if line.is_empty() => Self::Done,
                    Some(line) => Self::Trailers(read + line.len() + 2),
                },
                Self::Done => return Ok(Step::Done),
            };
        }
        Ok(if into.len() > before { Step::Appended } else { Step::NeedsMore })
    }
}

/// Takes one line that ends in CRLF; `None` when it is not complete yet.
fn line(from: &mut BytesMut, max: usize) -> Result<Option<BytesMut>, BodyBroken> {
    match memchr::memchr(b'\n', from) {
        Some(end) if end + 1 > max.saturating_add(2) => Err(BodyBroken::Malformed),
        Some(end) => {
            let mut line = from.split_to(end + 1);
            line.truncate(end);
            if line.last() != Some(&b'\r') {
                return Err(BodyBroken::Malformed);
            }
            line.truncate(end - 1);
            // A carriage return or another control byte inside the line is somebody's line end.
            let clean = line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
            if clean { Ok(Some(line)) } else { Err(BodyBroken::Malformed) }
        }
        // The longest line there is, with its carriage return, may be here before its line feed.
        None if from.len() > max.saturating_add(1) => Err(BodyBroken::Malformed),
        None => Ok(None),
    }
}

/// Hex digits, then nothing or an extension.
fn size(line: &[u8]) -> Result<u64, BodyBroken> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let rest = line.get(digits..).unwrap_or_default();
    if !(1..=15).contains(&digits) || !(rest.is_empty() || rest.first() == Some(&b';')) {
        return Err(BodyBroken::Malformed);
    }
    let digits = line.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(BodyBroken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the text in pieces of every size, so that no result depends on where packets were cut.
    fn decode(text: &[u8], room: usize) -> Result<Option<Vec<u8>>, BodyBroken> {
        let mut whole = None;
        for piece in 1..=text.len().max(1) {
            let result = decode_in(text, room, piece);
            if let Some(known) = &whole {
                assert_eq!(&result, known, "pieces of {piece}");
            }
            whole = Some(result);
        }
        whole.unwrap()
    }

    fn decode_in(text: &[u8], room: usize, piece: usize) -> Result<Option<Vec<u8>>, BodyBroken> {
        let (mut state, mut from, mut into) = (Chunked::Size, BytesMut::new(), BytesMut::new());
        for part in text.chunks(piece) {
            from.extend_from_slice(part);
            loop {
                let left = room - into.len();
                match state.decode(&mut from, &mut into, left)? {
                    Step::Done => return Ok(Some(into.to_vec())),
                    Step::Appended => {}
                    Step::NeedsMore => break,
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn the_longest_line_is_taken_however_it_is_cut() {
        let with = |extension: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(extension));
        assert_eq!(decode(with(LINE_MAX - 2).as_bytes(), 1), Ok(Some(b"x".to_vec())));
        assert_eq!(decode(with(LINE_MAX - 1).as_bytes(), 1), Err(BodyBroken::Malformed));
    }

    #[test]
    fn bodies() {
        assert_eq!(decode(b"0\r\n\r\n", 0), Ok(Some(vec![])));
        assert_eq!(decode(b"3\r\nabc\r\n2;x=\"y\"\r\nde\r\n0\r\n\r\n", 5), Ok(Some(b"abcde".to_vec())));
        assert_eq!(decode(b"00A\r\n0123456789\r\n0\r\nX-Sig: a\r\nY: b\r\n\r\n", 10), Ok(Some(b"0123456789".to_vec())));
        assert_eq!(decode(b"3\r\nab", 9), Ok(None));
    }

    #[test]
    fn more_than_there_is_room_for() {
        assert_eq!(decode(b"3\r\nabc\r\n0\r\n\r\n", 2), Err(BodyBroken::TooLarge));
        assert_eq!(decode(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 2), Err(BodyBroken::TooLarge));
        assert_eq!(decode(b"2\r\nab\r\n0\r\n\r\n", 2), Ok(Some(b"ab".to_vec())));
    }

    #[test]
    fn malformed() {
        for text in [
            &b"1ffffffffffffffff\r\n"[..],
            b"0x1\r\na\r\n",
            b"+1\r\na\r\n",
            b"-1\r\n",
            b"1 1\r\n",
            b"1 \r\na\r\n",
            b"\r\n",
            b";x\r\n",
            b"1\na\r\n0\r\n\r\n",
            b"1;x\na\r\n",
            b"1;x\ry\r\na\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
            b"1\r\na\n",
            b"0\r\nX: y\n\r\n",
        ] {
            assert_eq!(decode(text, 100), Err(BodyBroken::Malformed), "{:?}", String::from_utf8_lossy(text));
        }
        let long = [b"1;".as_slice(), &[b'x'; 2000], b"\r\na\r\n0\r\n\r\n"].concat();
        assert_eq!(decode_in(&long, 100, 64), Err(BodyBroken::Malformed));
        let trailers = [b"0\r\n".as_slice(), &b"X: y\r\n".repeat(5000), b"\r\n"].concat();
        assert_eq!(decode_in(&trailers, 100, 1000), Err(BodyBroken::Malformed));
    }
}
