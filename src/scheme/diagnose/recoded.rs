//! A body in another character set, a form in another spelling, numbers as another program writes them.

use std::ops::Range;

use crate::scheme::form;

/// Numbers whose spelling is changed one by one.
const MAX_NUMBERS: usize = 32;

/// Windows-1252 from 0x80 to 0x9f; 0: no character.
const WINDOWS: [u16; 32] = [
    0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0,
    0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
];

/// The same text in another character set.
pub(super) fn charsets(received: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut found: Vec<(Vec<u8>, &'static str)> = Vec::new();
    if let Some(text) = utf16(received) {
        found.push((text.into_bytes(), "in UTF-8 instead of UTF-16"));
    }
    match std::str::from_utf8(received) {
        Ok(text) if text.is_ascii() => {}
        Ok(text) => {
            let narrow: Option<Vec<u8>> = text.chars().map(byte_of).collect();
            if let Some(bytes) = narrow {
                if std::str::from_utf8(&bytes).is_ok() {
                    found.push((bytes, "before it was encoded in UTF-8 a second time"));
                } else {
                    found.push((bytes, "in ISO-8859-1 or Windows-1252 instead of UTF-8"));
                }
            }
            let twice: String = received.iter().map(|byte| char_of(*byte)).collect();
            found.push((twice.into_bytes(), "encoded in UTF-8 twice"));
        }
        Err(_) => {
            let text: String = received.iter().map(|byte| char_of(*byte)).collect();
            found.push((text.into_bytes(), "in UTF-8 instead of ISO-8859-1 or Windows-1252"));
        }
    }
    found
}

/// Text in UTF-16 with a byte order mark.
pub(super) fn utf16(bytes: &[u8]) -> Option<String> {
    let (rest, little) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, true),
        [0xfe, 0xff, rest @ ..] => (rest, false),
        _ => return None,
    };
    let units = rest.chunks_exact(2).map(|pair| match pair {
        [a, b] if little => u16::from_le_bytes([*a, *b]),
        [a, b] => u16::from_be_bytes([*a, *b]),
        _ => 0,
    });
    let text: String = char::decode_utf16(units).collect::<Result<_, _>>().ok()?;
    (rest.len() % 2 == 0).then_some(text)
}

fn byte_of(char: char) -> Option<u8> {
    match u32::from(char) {
        code @ (0..=0x7f | 0xa0..=0xff) => u8::try_from(code).ok(),
        code => {
            let at = WINDOWS.iter().position(|known| *known != 0 && u32::from(*known) == code);
            at.map(|at| 0x80 + u8::try_from(at).unwrap_or_default()).or_else(|| u8::try_from(code).ok())
        }
    }
}

fn char_of(byte: u8) -> char {
    let windows = usize::from(byte).checked_sub(0x80).and_then(|at| WINDOWS.get(at)).filter(|code| **code != 0);
    windows.and_then(|code| char::from_u32(u32::from(*code))).unwrap_or(char::from(byte))
}

/// The same form or query with its names and values spelled as other programs spell them.
pub(super) fn forms(received: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let (true, Ok(fields)) = (received.contains(&b'='), form::fields(received)) else { return Vec::new() };
    let mut found: Vec<(Vec<u8>, &'static str)> = Vec::new();
    for (space, spelled) in [
        ("%20", "with blanks written as %20 instead of + (or other characters escaped)"),
        ("+", "with blanks written as + instead of %20 (or other characters escaped)"),
    ] {
        for upper in [true, false] {
            for plain in [&b"-._~"[..], b"-._*", b"-._~!'()*", b"-._", b"-._~@:/"] {
                let style = Style { space, upper, plain };
                let pairs: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("{}={}", style.encode(name), style.encode(value)))
                    .collect();
                found.push((pairs.join("&").into_bytes(), spelled));
            }
        }
    }
    found
}

struct Style {
    space: &'static str,
    upper: bool,
    /// Beside letters and digits.
    plain: &'static [u8],
}

impl Style {
    fn encode(&self, bytes: &[u8]) -> String {
        let mut out = String::with_capacity(bytes.len());
        for byte in bytes {
            match byte {
                b' ' => out.push_str(self.space),
                byte if byte.is_ascii_alphanumeric() || self.plain.contains(byte) => out.push(char::from(*byte)),
                byte if self.upper => out.push_str(&format!("%{byte:02X}")),
                byte => out.push_str(&format!("%{byte:02x}")),
            }
        }
        out
    }
}

/// Where numbers stand in JSON: outside of strings.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let (mut at, mut quoted) = (0, false);
    std::iter::from_fn(move || {
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b'-' | b'0'..=b'9' if !quoted => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let length =
                        rest.iter().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
                    at += length;
                    return Some(at - length..at);
                }
                _ => {}
            }
            at += 1;
        }
        None
    })
}

/// The same JSON with its numbers as other programs write them: `1` for `1.0`, and `1.0` for `1`.
pub(super) fn renumbered(text: &str) -> Vec<String> {
    let spans: Vec<Range<usize>> = numbers(text).collect();
    let mut found = vec![
        replaced(text, &spans, shortest),
        replaced(text, &spans, |number| whole(number).then(|| format!("{number}.0"))),
    ];
    for span in spans.iter().take(MAX_NUMBERS) {
        let one = std::slice::from_ref(span);
        found.push(replaced(text, one, |number| whole(number).then(|| format!("{number}.0"))));
        found.push(replaced(text, one, |number| whole(number).then(|| format!("{number}.00"))));
        found.push(replaced(text, one, |number| (!whole(number)).then(|| format!("{number}0"))));
    }
    found.retain(|other| other != text);
    found
}

fn whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// `1` for `1.0`, `2.5` for `2.50`.
fn shortest(number: &str) -> Option<String> {
    if !number.contains('.') || number.contains(['e', 'E']) {
        return None;
    }
    Some(number.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn replaced(text: &str, spans: &[Range<usize>], by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut from = 0;
    for span in spans {
        let number = text.get(span.clone()).unwrap_or_default();
        out.push_str(text.get(from..span.start).unwrap_or_default());
        out.push_str(&by(number).unwrap_or_else(|| number.to_owned()));
        from = span.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_each_character_set() {
        let found = |bytes: &[u8]| charsets(bytes).into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>();
        assert!(found("é€".as_bytes()).contains(&b"\xe9\x80".to_vec()));
        assert!(found(b"\xe9\x80").contains(&"é€".as_bytes().to_vec()));
        assert!(found("Ã©".as_bytes()).contains(&"é".as_bytes().to_vec()));
        assert!(found("é".as_bytes()).contains(&"Ã©".as_bytes().to_vec()));
        assert!(found(b"\xff\xfea\0").contains(&b"a".to_vec()));
        assert!(found(b"plain").is_empty());
    }

    #[test]
    fn numbers_are_found_outside_of_strings() {
        let text = r#"{"a1":"\"7","b":[1,-2.50,3e4],"c":0}"#;
        let found: Vec<&str> = numbers(text).filter_map(|span| text.get(span)).collect();
        assert_eq!(found, ["1", "-2.50", "3e4", "0"]);
        let found = renumbered(r#"{"a":1,"b":2.50}"#);
        for wanted in [r#"{"a":1,"b":2.5}"#, r#"{"a":1.0,"b":2.50}"#, r#"{"a":1.00,"b":2.50}"#, r#"{"a":1,"b":2.500}"#]
        {
            assert!(found.iter().any(|text| text == wanted), "{wanted}: {found:?}");
        }
    }

    #[test]
    fn a_form_has_several_spellings() {
        let found: Vec<String> =
            forms(b"a=x+y%2b&b=~*").into_iter().map(|(form, _)| String::from_utf8(form).unwrap()).collect();
        for wanted in ["a=x%20y%2B&b=~%2A", "a=x+y%2B&b=%7E*", "a=x%20y%2b&b=~*"] {
            assert!(found.iter().any(|form| form == wanted), "{wanted}: {found:?}");
        }
        assert!(forms(b"no form").is_empty() && forms(b"a=%zz").is_empty());
    }
}
