//! One log line: fields in order, as JSON or as text for people.
//!
//! Every field is bounded in length. Whatever could move a terminal's cursor, end a line or reorder text (control
//! characters, C1 controls, bidirectional overrides) is escaped in both forms, because senders choose some of the text.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::UnixMillis;
use crate::base::text::{self, push_number};

/// Longest field whose text a sender chooses, in bytes.
const SHORT: usize = 256;
/// Longest field whose text is ours or a library's, in bytes.
const LONG: usize = 1024;
/// The column of an event's name, in text for people.
const EVENT_WIDTH: usize = 18;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Someone must act: a webhook was not delivered, a task died.
    Error,
    /// Worth a look: a refusal, a kept configuration.
    Warn,
    /// The ordinary course.
    Info,
}

impl Level {
    /// As lines name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }

    /// The syslog priority, as journald reads it from `<N>` before a line.
    fn priority(self) -> u8 {
        match self {
            Self::Error => b'3',
            Self::Warn => b'4',
            Self::Info => b'6',
        }
    }

    /// Padded to one width, with its colour's escape sequence where wanted.
    fn padded(self, colour: bool) -> &'static str {
        match (self, colour) {
            (Self::Error, false) => "ERROR",
            (Self::Warn, false) => "WARN ",
            (Self::Info, false) => "INFO ",
            (Self::Error, true) => "\x1b[31mERROR\x1b[0m",
            (Self::Warn, true) => "\x1b[33mWARN \x1b[0m",
            (Self::Info, true) => "\x1b[32mINFO \x1b[0m",
        }
    }
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// One JSON object per line instead of text for people.
    pub json: bool,
    /// Escape sequences around the level; only for text for people.
    pub colour: bool,
    /// `<N>` before each line, which journald takes for the priority and removes.
    pub priority: bool,
}

/// How a field's name begins it. A plain string is put between its quotes when the line is written.
pub(crate) trait Name {
    /// Everything up to the value; in JSON with the quote that opens it, where `quoted`.
    fn begin(self, text: &mut Vec<u8>, json: bool, quoted: bool);
}

impl Name for &'static str {
    #[inline(never)]
    fn begin(self, text: &mut Vec<u8>, json: bool, quoted: bool) {
        let (before, after): (&[u8], &[u8]) = match (json, quoted) {
            (true, true) => (b",\"", b"\":\""),
            (true, false) => (b",\"", b"\":"),
            (false, _) => (b" ", b"="),
        };
        text.extend_from_slice(before);
        text.extend_from_slice(self.as_bytes());
        text.extend_from_slice(after);
    }
}

/// A name that the compiler has put together: a request's line has two dozen of them. Made by [`joined`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joined {
    pub quoted: &'static [u8],
    pub bare: &'static [u8],
    pub text: &'static [u8],
}

impl Name for Joined {
    #[inline(always)]
    fn begin(self, text: &mut Vec<u8>, json: bool, quoted: bool) {
        match (json, quoted) {
            (true, true) => text.extend_from_slice(self.quoted),
            (true, false) => text.extend_from_slice(self.bare),
            (false, _) => text.extend_from_slice(self.text),
        }
    }
}

macro_rules! joined {
    ($name:literal) => {
        $crate::observe::line::Joined {
            quoted: concat!(",\"", $name, "\":\"").as_bytes(),
            bare: concat!(",\"", $name, "\":").as_bytes(),
            text: concat!(" ", $name, "=").as_bytes(),
        }
    };
}
pub(crate) use joined;

/// A line while it is written. Its fields' methods are inlined as far as the name goes, so that a [`Joined`] one is copied
/// without a call.
#[derive(Debug)]
pub(crate) struct Line {
    text: Vec<u8>,
    json: bool,
}

impl Line {
    pub(crate) fn new(style: Style, level: Level, at: UnixMillis, event: &'static str) -> Self {
        Self::onto(Vec::with_capacity(640), style, level, at, event)
    }

    /// A line behind those that `text` holds; [`Line::finish`] gives it back.
    pub(crate) fn onto(text: Vec<u8>, style: Style, level: Level, at: UnixMillis, event: &'static str) -> Self {
        let mut line = Self { text, json: style.json };
        let text = &mut line.text;
        if style.priority {
            text.extend_from_slice(&[b'<', level.priority(), b'>']);
        }
        if style.json {
            text.extend_from_slice(b"{\"time\":\"");
            push_time(text, at);
            text.extend_from_slice(b"\",\"level\":\"");
            text.extend_from_slice(level.as_str().as_bytes());
            text.extend_from_slice(b"\",\"event\":\"");
            text.extend_from_slice(event.as_bytes());
            text.push(b'"');
        } else {
            push_time(text, at);
            text.push(b' ');
            text.extend_from_slice(level.padded(style.colour).as_bytes());
            text.push(b' ');
            text.extend_from_slice(event.as_bytes());
            text.extend(std::iter::repeat_n(b' ', EVENT_WIDTH.saturating_sub(event.len())));
        }
        line
    }

    /// A text that a sender may have chosen.
    #[inline(always)]
    pub(crate) fn text(&mut self, name: impl Name, value: &str) -> &mut Self {
        name.begin(&mut self.text, self.json, true);
        self.bounded(value, SHORT);
        self
    }

    /// A text of our own or of a library.
    #[inline(always)]
    pub(crate) fn long(&mut self, name: impl Name, value: &str) -> &mut Self {
        name.begin(&mut self.text, self.json, true);
        self.bounded(value, LONG);
        self
    }

    /// Nothing at all for an absent or empty value.
    #[inline(always)]
    pub(crate) fn maybe(&mut self, name: impl Name, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) if !value.is_empty() => self.text(name, value),
            _ => self,
        }
    }

    #[inline(always)]
    pub(crate) fn number(&mut self, name: impl Name, value: impl Into<u64>) -> &mut Self {
        name.begin(&mut self.text, self.json, false);
        push_number(&mut self.text, value.into());
        self
    }

    /// A word of a closed set, which needs neither escapes nor bounds.
    #[inline(always)]
    pub(crate) fn word(&mut self, name: impl Name, value: &'static str) -> &mut Self {
        name.begin(&mut self.text, self.json, true);
        self.harmless(value.as_bytes());
        self
    }

    #[inline(always)]
    pub(crate) fn boolean(&mut self, name: impl Name, value: bool) -> &mut Self {
        name.begin(&mut self.text, self.json, false);
        self.text.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Milliseconds with three decimals: microseconds matter for a signature check.
    #[inline(always)]
    pub(crate) fn millis(&mut self, name: impl Name, value: Duration) -> &mut Self {
        name.begin(&mut self.text, self.json, false);
        push_millis(&mut self.text, value);
        self
    }

    #[inline(always)]
    pub(crate) fn address(&mut self, name: impl Name, value: IpAddr) -> &mut Self {
        name.begin(&mut self.text, self.json, true);
        self.harmless(text::address(value).as_bytes());
        self
    }

    #[inline(always)]
    pub(crate) fn time(&mut self, name: impl Name, value: UnixMillis) -> &mut Self {
        name.begin(&mut self.text, self.json, true);
        push_time(&mut self.text, value);
        self.harmless(b"");
        self
    }

    /// All lines with their line feeds.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.text.extend_from_slice(if self.json { b"}\n" } else { b"\n" });
        self.text
    }

    fn harmless(&mut self, value: &[u8]) {
        self.text.extend_from_slice(value);
        if self.json {
            self.text.push(b'"');
        }
    }

    fn bounded(&mut self, value: &str, limit: usize) {
        if self.json && value.len() <= limit && is_plain(value.as_bytes()) {
            self.text.extend_from_slice(value.as_bytes());
            self.text.push(b'"');
        } else {
            self.bounded_at_length(value, limit);
        }
    }

    #[inline(never)]
    fn bounded_at_length(&mut self, value: &str, limit: usize) {
        let kept = value.get(..value.floor_char_boundary(limit)).unwrap_or_default();
        let quoted = !self.json && (kept.is_empty() || kept.bytes().any(|byte| matches!(byte, b' ' | b'"' | b'=')));
        if quoted {
            self.text.push(b'"');
        }
        push_escaped(&mut self.text, kept);
        if kept.len() < value.len() {
            self.text.extend_from_slice("…".as_bytes());
        }
        if quoted || self.json {
            self.text.push(b'"');
        }
    }
}

fn push_millis(out: &mut Vec<u8>, value: Duration) {
    let micros = value.subsec_micros();
    let digit = |unit: u32| b'0' + u8::try_from(micros / unit % 10).unwrap_or_default();
    // Most of them, and of a length that the compiler knows.
    if value.as_secs() == 0 && micros < 10_000 {
        return out.extend_from_slice(&[digit(1000), b'.', digit(100), digit(10), digit(1)]);
    }
    push_number(out, value.as_secs().saturating_mul(1000).saturating_add(u64::from(micros / 1000)));
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// Escapes as JSON has it; runs of harmless text are copied whole.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.find(dangerous) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean.as_bytes());
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(other) => {
                // Writing to memory does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Whether there is nothing to escape: printable ASCII without `"` and `\`. Eight bytes at a time; the last of them may overlap
/// those before.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    let odd = match (text.last_chunk(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(last), ..) => words.iter().fold(odd_bytes(*last), |odd, word| odd | odd_bytes(*word)),
        (None, Some(first), Some(last)) => {
            let [a, b, c, d] = *first;
            let [e, f, g, h] = *last;
            odd_bytes([a, b, c, d, e, f, g, h])
        }
        _ => return rest.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')),
    };
    odd == 0
}

/// Not zero where one of the bytes is a control character, `"`, `\` or no ASCII. (Anderson, "Bit Twiddling Hacks": `hasless`
/// and `haszero`.)
fn odd_bytes(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let word = u64::from_le_bytes(bytes);
    let below = |limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let same = |byte: u8| {
        let other = word ^ (ONES * u64::from(byte));
        other.wrapping_sub(ONES) & !other
    };
    (word | below(b' ') | same(b'"') | same(b'\\') | same(0x7f)) & (ONES << 7)
}

/// All of these are below U+10000, so one `\uXXXX` writes each.
fn dangerous(char: char) -> bool {
    matches!(char, '"' | '\\')
        || char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// RFC 3339 in UTC with milliseconds; an instant outside the years that have a form is written as its number.
fn push_time(out: &mut Vec<u8>, at: UnixMillis) {
    match text::rfc3339(at) {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => push_number(out, at.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Style = Style { json: true, colour: false, priority: false };
    const HUMAN: Style = Style { json: false, colour: false, priority: false };
    const AT: UnixMillis = UnixMillis(1_767_225_600_007);

    fn written(line: Line) -> String {
        String::from_utf8(line.finish()).unwrap()
    }

    #[test]
    fn json_is_one_object_per_line() {
        let mut line = Line::new(JSON, Level::Warn, AT, "request");
        line.text("path", "/a").number("status", 401_u16).boolean("ok", false).maybe("host", None);
        line.millis("total_ms", Duration::from_micros(1_234_567))
            .address("source", "::1".parse().unwrap())
            .time("timestamp", AT);
        let expected =
            r#"{"time":"2026-01-01T00:00:00.007Z","level":"warn","event":"request","path":"/a","status":401,"#
                .to_owned()
                + r#""ok":false,"total_ms":1234.567,"source":"::1","timestamp":"2026-01-01T00:00:00.007Z"}"#
                + "\n";
        assert_eq!(written(line), expected);
    }

    #[test]
    fn text_for_people_quotes_where_it_must() {
        let mut line = Line::new(HUMAN, Level::Error, AT, "request");
        line.text("path", "/a b").text("host", "h").text("empty", "");
        let expected = "2026-01-01T00:00:00.007Z ERROR request            path=\"/a b\" host=h empty=\"\"\n";
        assert_eq!(written(line), expected);
    }

    #[test]
    fn a_journal_gets_priorities_and_a_terminal_colours() {
        let line = written(Line::new(Style { priority: true, ..JSON }, Level::Error, AT, "e"));
        assert!(line.starts_with("<3>{"), "{line}");
        let line = written(Line::new(Style { colour: true, ..HUMAN }, Level::Warn, AT, "e"));
        assert!(line.contains("\x1b[33mWARN \x1b[0m"), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_json_or_is_cut(value in ".{0,400}") {
            let mut line = Line::new(JSON, Level::Info, AT, "e");
            line.text("value", &value);
            let line = written(line);
            let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
            let read = parsed["value"].as_str().unwrap();
            match read.strip_suffix('…') {
                Some(cut) if value.len() > SHORT => proptest::prop_assert!(value.starts_with(cut)),
                _ => proptest::prop_assert_eq!(read, value),
            }
        }

        #[test]
        fn no_text_can_end_a_line_or_move_a_cursor(value in proptest::prelude::any::<String>()) {
            for style in [JSON, HUMAN] {
                let mut line = Line::new(style, Level::Info, AT, "e");
                line.text("value", &value).long("more", &value);
                let line = written(line);
                let body = line.strip_suffix('\n').unwrap();
                proptest::prop_assert!(!body.chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn escapes_what_hides_or_reorders_text() {
        let mut line = Line::new(HUMAN, Level::Info, AT, "e");
        line.text("v", "a\u{202e}b\x1b[2J\u{9b}c\u{2028}");
        assert!(written(line).ends_with("v=a\\u202eb\\u001b[2J\\u009bc\\u2028\n"));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let mut line = Line::new(HUMAN, Level::Info, AT, "e");
        line.text("v", &"é".repeat(300));
        let line = written(line);
        assert_eq!(line.matches('é').count(), SHORT / 2);
        assert!(line.ends_with("…\n"));
    }

    #[test]
    fn numbers_of_every_length_are_written() {
        for value in [0, 7, 10, 401, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn a_name_put_together_begins_a_field_like_any_other() {
        for style in [JSON, HUMAN] {
            let mut lines = [Line::new(style, Level::Info, AT, "e"), Line::new(style, Level::Info, AT, "e")];
            let [plain, joined] = &mut lines;
            plain.text("path", "/a").number("status", 200_u16).millis("total_ms", Duration::ZERO).time("timestamp", AT);
            joined.text(joined!("path"), "/a").number(joined!("status"), 200_u16);
            joined.millis(joined!("total_ms"), Duration::ZERO).time(joined!("timestamp"), AT);
            let [plain, joined] = lines.map(written);
            assert_eq!(plain, joined);
        }
    }

    #[test]
    fn only_printable_ascii_is_plain_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let expected = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            for (length, place) in (1..20).flat_map(|length| (0..length).map(move |place| (length, place))) {
                // On either side what borrows and carries would come from, were bytes not kept apart.
                for around in [b' ', b'~', b'!', b'#', b'[', b']'] {
                    let mut text = vec![around; length];
                    text[place] = byte;
                    assert_eq!(is_plain(&text), expected, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn an_impossible_time_is_a_number() {
        let mut out = Vec::new();
        push_time(&mut out, UnixMillis(i64::MAX));
        assert_eq!(out, i64::MAX.to_string().as_bytes());
    }
}
