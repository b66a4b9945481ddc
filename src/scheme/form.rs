//! `application/x-www-form-urlencoded`: query strings and form bodies.
//!
//! Values are bytes, because replacing invalid UTF-8 would give two different bodies one meaning. A `%` that is not
//! followed by two hexadecimal digits is an error, not a literal.

use std::borrow::Cow;

/// Fields a form may have when a scheme must read it.
const MAX_FIELDS: usize = 1000;

/// Text that is not percent-encoded correctly, or a form with too many fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// More than one field of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldFault {
    Malformed,
    Repeated,
}

/// A decoded field.
pub(crate) type Field<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// All fields, in the order in which they stand; empty ones between separators are no fields.
pub(crate) fn fields(text: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    let mut found = Vec::new();
    for raw in raw_fields(text) {
        if found.len() == MAX_FIELDS {
            return Err(Malformed);
        }
        let (name, value) = split(raw);
        found.push((decode(name).ok_or(Malformed)?, decode(value).ok_or(Malformed)?));
    }
    Ok(found)
}

/// The value of the one field called `name`. Names are decoded before they are compared.
pub(crate) fn sole<'a>(text: &'a [u8], name: &str) -> Result<Option<Cow<'a, [u8]>>, FieldFault> {
    let mut found = None;
    for raw in raw_fields(text) {
        let (raw_name, value) = split(raw);
        if decode(raw_name).is_some_and(|decoded| *decoded == *name.as_bytes()) {
            if found.is_some() {
                return Err(FieldFault::Repeated);
            }
            found = Some(value);
        }
    }
    found.map(|value| decode(value).ok_or(FieldFault::Malformed)).transpose()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push_str(&data_encoding::HEXUPPER.encode(&[*byte]));
        }
    }
    out
}

fn raw_fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'&').filter(|field| !field.is_empty())
}

fn split(field: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', field) {
        Some(at) => (field.get(..at).unwrap_or_default(), field.get(at + 1..).unwrap_or_default()),
        None => (field, &[]),
    }
}

fn decode(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr2(b'%', b'+', raw).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => digit(*rest.next()?)? << 4 | digit(*rest.next()?)?,
            other => *other,
        });
    }
    Some(Cow::Owned(out))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_decoded() {
        let found = fields(b"a=1&b+c=%2B%e9&&d").unwrap();
        let flat: Vec<(&[u8], &[u8])> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(flat, [(&b"a"[..], &b"1"[..]), (b"b c", b"+\xe9"), (b"d", b"")]);
    }

    #[test]
    fn broken_escapes_and_floods_are_refused() {
        for text in ["a=%", "a=%2", "a=%zz", "%=1"] {
            assert_eq!(fields(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert!(fields("a&".repeat(1000).as_bytes()).is_ok());
        assert_eq!(fields("a&".repeat(1001).as_bytes()), Err(Malformed));
    }

    #[test]
    fn a_field_that_decides_something_comes_once() {
        assert_eq!(sole(b"k=1&l=2", "k"), Ok(Some(Cow::Borrowed(&b"1"[..]))));
        assert_eq!(sole(b"k=1&%6b=2", "k"), Err(FieldFault::Repeated));
        assert_eq!(sole(b"k=%", "k"), Err(FieldFault::Malformed));
        assert_eq!(sole(b"K=1", "k"), Ok(None));
    }

    proptest! {
        #[test]
        fn encoded_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let encoded = encode(&bytes);
            let decoded = decode(encoded.as_bytes()).unwrap();
            prop_assert_eq!(&*decoded, &bytes[..]);
        }
    }
}
