//! The chunked coding: the same result however the bytes were cut, and the result of a reader that is as simple as can be.

use dmz_relay::edge::probe::{self, Chunks};

const ROOM: usize = 4096;

pub fn check(data: &[u8]) {
    let whole = probe::chunks(data, ROOM, data.len().max(1));
    for piece in [1, 2, 3, 7, 64] {
        let cut = probe::chunks(data, ROOM, piece);
        // Where a cut leaves a line unfinished, its length is judged when it is there; the verdict is the same in the end.
        assert_eq!(cut, whole, "in pieces of {piece}");
    }
    if let Chunks::Body(body) = &whole {
        assert_eq!(naive(data).as_deref(), Some(&body[..]));
        assert!(body.len() <= ROOM);
    }
}

/// RFC 9112 section 7.1 to the letter; more than the relay takes, and never less.
fn naive(mut data: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = take_line(&mut data)?;
        let digits = line.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            while !take_line(&mut data)?.is_empty() {}
            return Some(body);
        }
        let (chunk, rest) = data.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        data = rest.strip_prefix(b"\r\n")?;
    }
}

fn take_line<'d>(data: &mut &'d [u8]) -> Option<&'d [u8]> {
    let end = data.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = data.split_at_checked(end)?;
    *data = rest.get(2..)?;
    Some(line)
}
