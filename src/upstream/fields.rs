//! Header fields as they stand on the wire, written once: whichever server gets the request, and however often it is tried,
//! gets these bytes.
//!
//! Each line begins with the line break that ends the one before it. Names keep the case they came in. What cannot be
//! written without becoming something else is found before anything is sent: a name that is none when it is added, a value
//! that would end its line when the text is asked for.

use std::fmt;

/// Fields that frame or route. They are written with the head, so a field of that name is dropped here: it would be a second
/// one.
const OURS: [&[u8]; 7] =
    [b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"keep-alive", b"proxy-connection"];

/// Every field of a request but framing and `Host`, in order; secrets may be among them.
#[derive(Default)]
pub struct Fields {
    text: Vec<u8>,
    lines: usize,
    /// A name had a byte that no name has.
    misnamed: bool,
}

impl Fields {
    /// With room for this many bytes of text: names, values and four more for each.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), lines: 0, misnamed: false }
    }

    /// Adds a field.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let name = name.as_bytes();
        if is_ours(name) {
            return;
        }
        self.misnamed |= !is_name(name);
        self.lines += 1;
        self.text.extend_from_slice(b"\r\n");
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
    }

    /// Adds a field whose name is known to be one, with its line break before it and its colon and space behind it. What is
    /// appended to the text that this gives is the value.
    pub(crate) fn line(&mut self, start: &'static [u8]) -> &mut Vec<u8> {
        debug_assert!(start.starts_with(b"\r\n") && start.ends_with(b": "), "a line has a form");
        self.lines += 1;
        self.text.extend_from_slice(start);
        &mut self.text
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lines
    }

    /// The lines, or what is wrong with one of them, without its words: they may be a secret.
    pub(super) fn lines(&self) -> Result<&[u8], &'static str> {
        if self.misnamed {
            return Err("a header name has a forbidden byte");
        }
        // Each line brings one CR and one LF. Any other control character, wherever it hides, makes one too many.
        if controls(&self.text) != 2 * self.lines {
            return Err("a header value has a forbidden byte");
        }
        Ok(&self.text)
    }

    /// Each field by itself.
    pub(super) fn each(&self) -> Result<impl Iterator<Item = (&[u8], &[u8])>, &'static str> {
        // A name has no colon and a value no line break: where the text is sound, this finds what was added.
        let lines = self.lines()?.split(|byte| *byte == b'\n').skip(1);
        Ok(lines.filter_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let colon = memchr::memchr(b':', line)?;
            Some((line.get(..colon)?, line.get(colon + 2..)?))
        }))
    }
}

impl<V: AsRef<[u8]>, const N: usize> From<[(&str, V); N]> for Fields {
    fn from(fields: [(&str, V); N]) -> Self {
        let mut text = Self::default();
        fields.iter().for_each(|(name, value)| text.add(name, value.as_ref()));
        text
    }
}

/// How many, and no more: values may hold secrets.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("lines", &self.lines).finish_non_exhaustive()
    }
}

fn is_ours(name: &[u8]) -> bool {
    matches!(name.len(), 4 | 7 | 10 | 14 | 16 | 17) && OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Looks at every byte instead of stopping at the first: so the compiler looks at many of them at once.
pub(super) fn any(bytes: &[u8], forbidden: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | forbidden(*byte))
}

/// How many control characters there are, tabs aside. Counted in bytes, a piece at a time that cannot overflow one: so the
/// compiler counts many at once.
fn controls(text: &[u8]) -> usize {
    let piece =
        |piece: &[u8]| piece.iter().fold(0_u8, |sum, byte| sum + u8::from(byte.is_ascii_control() & (*byte != b'\t')));
    text.chunks(128).map(|bytes| usize::from(piece(bytes))).sum()
}

/// Whether it has a byte, and every one is of a token (RFC 9110 section 5.6.2).
fn is_name(name: &[u8]) -> bool {
    #[expect(clippy::indexing_slicing, reason = "worked out by the compiler; a byte has a place among 256")]
    const ODD: [bool; 256] = {
        let (mut odd, mut byte) = ([true; 256], 0_u8);
        while byte < 0x80 {
            let sign =
                matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
            odd[byte as usize] = !(sign || byte.is_ascii_alphanumeric());
            byte += 1;
        }
        odd
    };
    !name.is_empty()
        && !name.iter().fold(false, |found, byte| found | ODD.get(usize::from(*byte)).copied().unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_have() {
        for byte in 0..=255_u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!((is_name(&[b'a', byte, b'b']), is_name(&[byte])), (token, token), "{byte:#x}");
        }
    }

    #[test]
    fn a_control_character_is_found_wherever_it_stands() {
        for byte in 0..=255_u8 {
            for at in [0, 1, 127, 128, 129, 299] {
                let mut value = [b'x'; 300];
                value[at] = byte;
                let fields = Fields::from([("A", b"1".as_slice()), ("B", &value), ("C", b"")]);
                let forbidden = byte.is_ascii_control() && byte != b'\t';
                assert_eq!(fields.lines().is_err(), forbidden, "{byte:#x} at {at}");
            }
        }
        let lines = Fields::from([("A", b"1\r\nB: 2")]);
        assert!(lines.lines().is_err(), "two lines in one");
    }

    #[test]
    fn what_is_no_name_is_found() {
        for name in ["", "A B", "A:", "A\r\n", "A\u{e9}", "(A)"] {
            assert!(Fields::from([(name, b"1")]).lines().is_err(), "{name:?}");
        }
    }

    #[test]
    fn each_field_is_what_was_added() {
        let mut fields = Fields::from([("X-ODD-case", b"1: 2".as_slice()), ("b", b""), ("C", b"\t\xc3\xa9 ")]);
        fields.line(b"\r\nRelay-Attempt: ").extend_from_slice(b"7");
        let each: Vec<_> = fields.each().unwrap().collect();
        let wanted: [(&[u8], &[u8]); 4] =
            [(b"X-ODD-case", b"1: 2"), (b"b", b""), (b"C", b"\t\xc3\xa9 "), (b"Relay-Attempt", b"7")];
        assert_eq!(each, wanted);
        assert_eq!(Fields::default().each().unwrap().count(), 0);
    }

    #[test]
    fn framing_is_not_added() {
        let mut fields = Fields::default();
        OURS.iter().for_each(|name| fields.add(&String::from_utf8_lossy(name).to_uppercase(), b"1"));
        assert_eq!(fields.lines().unwrap(), b"");
    }
}
