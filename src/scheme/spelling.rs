//! Spellings of a query member's name that an application server takes for one name.
//!
//! Percent-encoding is read by all of them. PHP drops leading spaces, ends a name at a NUL, writes spaces and full stops as `_`, and makes
//! an array of `name[…]`; Rack also ignores brackets before a name; ASP.NET ignores case and reads `%uXXXX`. A hyphen counts as `_`
//! too: what is one name to somebody must not stand beside a configured one.

/// The folded name: lower case, everything but letters and digits as `_`. Broken escapes are read as the characters they are of,
/// as lenient servers do.
pub(crate) fn folded(raw_name: &[u8]) -> impl Iterator<Item = u8> {
    let is_edge = |byte: &u8| matches!(byte, b' ' | b'[' | b']');
    let is_end = |byte: &u8| matches!(byte, b'\0' | b'[' | b']');
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    Decoded(raw_name).skip_while(is_edge).take_while(move |byte| !is_end(byte)).map(fold)
}

/// Percent-decoding that never fails.
struct Decoded<'r>(&'r [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, length) = match *self.0 {
            [] => return None,
            [b'%', b'u' | b'U', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => {
                let low = (hex(c) << 4) | hex(d);
                // What is beyond ASCII folds to `_` anyway.
                (if hex(a) | hex(b) == 0 { low } else { 0x80 }, 6)
            }
            [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => ((hex(a) << 4) | hex(b), 3),
            [b'+', ..] => (b' ', 1),
            [byte, ..] => (byte, 1),
        };
        self.0 = self.0.get(length..).unwrap_or_default();
        Some(byte)
    }
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_fold_alike() {
        let fold = |name: &str| String::from_utf8(folded(name.as_bytes()).collect()).unwrap();
        for name in ["api-key", "API%2dKey", "+api.key[]", "%5bapi key]", "api_key%00.php", "%u0041pi-key"] {
            assert_eq!(fold(name), "api_key", "{name}");
        }
        assert_eq!(
            (fold("%"), fold("%2"), fold("a%zz"), fold("[]")),
            ("_".into(), "_2".into(), "a_zz".into(), String::new())
        );
        assert_eq!(fold("\u{e9}"), "__");
    }
}
