//! A request head as bytes and back.
//!
//! Compact and versioned. Every byte of names, values, target and host survives, because what is delivered later must be
//! what was signed. Bytes that come from a damaged file read as `None`, never as a panic.

use crate::domain::{Framing, Head, Method, Version};

/// The first byte. Another layout gets another number, and this one stays readable.
const LAYOUT: u8 = 1;
/// More fields than any listener lets through.
const MAX_FIELDS: u64 = 4096;

/// Appends a head to a buffer.
pub(super) fn encode(head: &Head, out: &mut Vec<u8>) {
    out.reserve(head.footprint());
    out.push(LAYOUT);
    out.push(method_code(head.method()));
    out.push(version_code(head.version()) | u8::from(head.expects_continue()) << 4);
    match head.framing() {
        Framing::Empty => out.push(0),
        Framing::Unknown => out.push(1),
        Framing::Length(length) => {
            out.push(2);
            number(length, out);
        }
    }
    string(head.host().as_bytes(), out);
    string(head.path().as_bytes(), out);
    out.push(u8::from(head.query().is_some()));
    string(head.query().unwrap_or_default().as_bytes(), out);
    number(head.headers().len() as u64, out);
    for (name, value) in head.headers().iter() {
        string(name.as_bytes(), out);
        string(value, out);
    }
}

/// Reads a head back; `None` for bytes that are none.
pub(super) fn decode(bytes: &[u8]) -> Option<Head> {
    let mut input = Input(bytes);
    if input.byte()? != LAYOUT {
        return None;
    }
    let method = method_of(input.byte()?)?;
    let flags = input.byte()?;
    let framing = match input.byte()? {
        0 => Framing::Empty,
        1 => Framing::Unknown,
        2 => Framing::Length(input.number()?),
        _ => return None,
    };
    let host = input.text()?;
    let mut target = input.text()?.to_owned();
    // A path never has a question mark: the builder splits there.
    if target.contains('?') {
        return None;
    }
    let has_query = input.byte()? != 0;
    let query = input.text()?;
    if has_query {
        target.push('?');
        target.push_str(query);
    }
    let mut head = Head::builder(method, version_of(flags & 0x0f)?)
        .expects_continue(flags & 0x10 != 0)
        .framing(framing)
        .host(host)
        .target(&target);
    let fields = input.number()?;
    if fields > MAX_FIELDS {
        return None;
    }
    for _ in 0..fields {
        let name = input.text()?;
        head = head.header(name, input.string()?);
    }
    input.0.is_empty().then(|| head.build())
}

/// The number of a method in a row.
pub(super) fn method_code(method: Method) -> u8 {
    match method {
        Method::Other => 0,
        Method::Get => 1,
        Method::Head => 2,
        Method::Post => 3,
        Method::Put => 4,
        Method::Patch => 5,
        Method::Delete => 6,
        Method::Options => 7,
    }
}

/// The method of a number.
pub(super) fn method_of(code: u8) -> Option<Method> {
    Method::ALLOWABLE.into_iter().chain([Method::Other]).find(|method| method_code(*method) == code)
}

/// The number of a version in a row.
pub(super) fn version_code(version: Version) -> u8 {
    match version {
        Version::Http10 => 0,
        Version::Http11 => 1,
        Version::Http2 => 2,
    }
}

/// The version of a number.
pub(super) fn version_of(code: u8) -> Option<Version> {
    [Version::Http10, Version::Http11, Version::Http2].into_iter().find(|version| version_code(*version) == code)
}

/// Seven bits a byte, the lowest first, as protocol buffers and many others have it.
fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.string()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heads() -> impl Strategy<Value = Head> {
        let method = prop::sample::select(Method::ALLOWABLE.into_iter().chain([Method::Other]).collect::<Vec<_>>());
        let version = prop::sample::select(vec![Version::Http10, Version::Http11, Version::Http2]);
        let framing = prop_oneof![Just(Framing::Empty), Just(Framing::Unknown), any::<u64>().prop_map(Framing::Length)];
        let fields = prop::collection::vec(("[!-~]{0,20}", prop::collection::vec(any::<u8>(), 0..200)), 0..30);
        (method, version, framing, any::<bool>(), "[!-~]{0,300}", "[!-~]{0,40}", fields).prop_map(
            |(method, version, framing, expects, target, host, fields)| {
                let head = Head::builder(method, version).framing(framing).expects_continue(expects);
                let head = head.target(&target).host(&host);
                fields.iter().fold(head, |head, (name, value)| head.header(name, value)).build()
            },
        )
    }

    proptest! {
        #[test]
        fn every_byte_survives(head in heads()) {
            let mut bytes = Vec::new();
            encode(&head, &mut bytes);
            let back = decode(&bytes).unwrap();
            prop_assert_eq!(
                (back.method(), back.version(), back.framing(), back.expects_continue()),
                (head.method(), head.version(), head.framing(), head.expects_continue())
            );
            prop_assert_eq!((back.path(), back.query(), back.host()), (head.path(), head.query(), head.host()));
            prop_assert!(back.headers().iter().eq(head.headers().iter()));
        }

        #[test]
        fn hostile_bytes_are_no_head(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_head_is_another_or_none(head in heads(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut bytes = Vec::new();
            encode(&head, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let _ = decode(&bytes);
            bytes.truncate(at);
            prop_assert!(decode(&bytes).is_none());
        }
    }

    #[test]
    fn lengths_that_no_memory_has_are_no_head() {
        let mut bytes = vec![LAYOUT, 3, 1, 0];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert!(decode(&bytes).is_none());
        assert!(decode(&[]).is_none());
        assert!(decode(&[LAYOUT + 1, 3, 1, 0]).is_none());
    }
}
