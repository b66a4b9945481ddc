//! HTTP/1.x heads: whatever is let in has one meaning.

use dmz_relay::domain::{Framing, Head, Version};
use dmz_relay::edge::probe;

pub fn check(data: &[u8]) {
    let Some((head, length)) = probe::head(data) else { return };
    let text = data.get(..length).unwrap_or_default();
    assert!(text.ends_with(b"\r\n\r\n"));
    assert_eq!(probe::head(text).map(|(_, length)| length), Some(length), "what stands behind a head changes nothing");
    one_meaning(text);
    meaning(&head, text);
}

/// The bytes alone.
fn one_meaning(text: &[u8]) {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(at.checked_sub(1).and_then(|before| text.get(before)), Some(&b'\r')),
            b'\r' => assert_eq!(text.get(at + 1), Some(&b'\n')),
            0..0x20 | 0x7f => assert_eq!(*byte, b'\t', "a control byte at {at}"),
            _ => {}
        }
    }
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').skip(1).collect();
    let count = |name: &str| {
        let is = |line: &&&[u8]| {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            line.get(..colon).is_some_and(|known| known.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
        };
        lines.iter().filter(is).count()
    };
    assert_eq!(count("host"), 1);
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    assert_eq!(count("upgrade"), 0);
    assert!(!lines.iter().any(|line| line.starts_with(b" ") || line.starts_with(b"\t")), "a folded line");
}

/// What the relay made of them.
fn meaning(head: &Head, text: &[u8]) {
    let path = head.path();
    assert!(path.starts_with('/') && !path.contains("//") && !path.contains('\\'), "{path}");
    assert!(path.bytes().chain(head.query().unwrap_or_default().bytes()).all(|byte| matches!(byte, 0x21..=0x7e)));
    assert!(path.split('/').all(|segment| !matches!(segment.split(';').next(), Some("." | ".."))), "{path}");
    let lower = path.to_ascii_lowercase();
    assert!(!["%2e", "%2f", "%5c", "%25", "%00", "%0a", "%0d"].iter().any(|bad| lower.contains(bad)), "{path}");
    assert!(!head.host().is_empty() && !head.host().contains(['@', '/', ' ', ',', '\\']), "{}", head.host());
    assert!(!(head.version() == Version::Http10 && head.framing() == Framing::Unknown));
    for (name, value) in head.headers().iter() {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'), "{name:?}");
        assert_eq!(value.trim_ascii().len(), value.len(), "{name}");
    }
    assert!(head.headers().len() < text.len());
}
