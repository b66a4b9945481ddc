//! One log line: fields in order, as JSON or as text for people.
//!
//! Every field is bounded in length. Whatever could move a terminal's cursor, end a line or reorder text (control
//! characters, C1 controls, bidirectional overrides) is escaped in both forms, because senders choose some of the text.

use std::fmt::Write as _;
use std::time::Duration;

use crate::base::UnixMillis;

/// Longest field whose text a sender chooses, in bytes.
const SHORT: usize = 256;
/// Longest field whose text is ours or a library's, in bytes.
const LONG: usize = 1024;

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
    fn priority(self) -> char {
        match self {
            Self::Error => '3',
            Self::Warn => '4',
            Self::Info => '6',
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

/// A line while it is written.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    json: bool,
}

impl Line {
    pub(crate) fn new(style: Style, level: Level, at: UnixMillis, event: &'static str) -> Self {
        let mut line = Self { text: String::with_capacity(640), json: style.json };
        if style.priority {
            line.text.push('<');
            line.text.push(level.priority());
            line.text.push('>');
        }
        if style.json {
            line.text.push_str("{\"time\":\"");
            push_time(&mut line.text, at);
            line.text.push_str("\",\"level\":\"");
            line.text.push_str(level.as_str());
            line.text.push_str("\",\"event\":\"");
            line.text.push_str(event);
            line.text.push('"');
        } else {
            push_time(&mut line.text, at);
            line.text.push(' ');
            line.text.push_str(level.padded(style.colour));
            // Writing to a string does not fail.
            let _ = write!(line.text, " {event:<18}");
        }
        line
    }

    /// A text that a sender may have chosen.
    pub(crate) fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.bounded(name, value, SHORT)
    }

    /// A text of our own or of a library.
    pub(crate) fn long(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.bounded(name, value, LONG)
    }

    /// Nothing at all for an absent or empty value.
    pub(crate) fn maybe(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) if !value.is_empty() => self.text(name, value),
            _ => self,
        }
    }

    pub(crate) fn number(&mut self, name: &'static str, value: impl Into<u64>) -> &mut Self {
        self.name(name);
        push_number(&mut self.text, value.into());
        self
    }

    /// A word of a closed set, which needs neither escapes nor bounds.
    pub(crate) fn word(&mut self, name: &'static str, value: &'static str) -> &mut Self {
        self.name(name);
        let quote = if self.json { "\"" } else { "" };
        self.text.push_str(quote);
        self.text.push_str(value);
        self.text.push_str(quote);
        self
    }

    pub(crate) fn boolean(&mut self, name: &'static str, value: bool) -> &mut Self {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// Milliseconds with three decimals: microseconds matter for a signature check.
    pub(crate) fn millis(&mut self, name: &'static str, value: Duration) -> &mut Self {
        self.name(name);
        push_number(&mut self.text, u64::try_from(value.as_millis()).unwrap_or(u64::MAX));
        let thousandths = value.subsec_micros() % 1000;
        self.text.push('.');
        for digit in [thousandths / 100, thousandths / 10 % 10, thousandths % 10] {
            self.text.push(char::from_digit(digit, 10).unwrap_or('0'));
        }
        self
    }

    /// A formatted value that holds no text of a sender (an address, an instant).
    pub(crate) fn plain(&mut self, name: &'static str, value: impl std::fmt::Display) -> &mut Self {
        self.name(name);
        let _ = if self.json { write!(self.text, "\"{value}\"") } else { write!(self.text, "{value}") };
        self
    }

    pub(crate) fn time(&mut self, name: &'static str, value: UnixMillis) -> &mut Self {
        self.name(name);
        if self.json {
            self.text.push('"');
        }
        push_time(&mut self.text, value);
        if self.json {
            self.text.push('"');
        }
        self
    }

    /// The whole line with its line feed.
    pub(crate) fn finish(mut self) -> String {
        if self.json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn name(&mut self, name: &'static str) {
        if self.json {
            self.text.push_str(",\"");
            self.text.push_str(name);
            self.text.push_str("\":");
        } else {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push('=');
        }
    }

    fn bounded(&mut self, name: &'static str, value: &str, limit: usize) -> &mut Self {
        self.name(name);
        let kept = value.get(..value.floor_char_boundary(limit)).unwrap_or_default();
        let quoted = self.json || kept.is_empty() || kept.bytes().any(|byte| matches!(byte, b' ' | b'"' | b'='));
        if quoted {
            self.text.push('"');
        }
        push_escaped(&mut self.text, kept);
        if kept.len() < value.len() {
            self.text.push('…');
        }
        if quoted {
            self.text.push('"');
        }
        self
    }
}

/// `fmt` costs several times as much, and a request's line has a dozen numbers.
fn push_number(out: &mut String, value: u64) {
    let mut digits = ['0'; 20];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = char::from_digit(u32::try_from(rest % 10).unwrap_or(0), 10).unwrap_or('0');
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(20 - used));
}

/// Escapes as JSON has it; runs of harmless text are copied whole.
fn push_escaped(out: &mut String, text: &str) {
    // Every byte and not only up to the first odd one, so that the compiler looks at many of them at once.
    if text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')) {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.find(dangerous) {
        let (clean, tail) = rest.split_at(at);
        out.push_str(clean);
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(other) => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// All of these are below U+10000, so one `\uXXXX` writes each.
fn dangerous(char: char) -> bool {
    matches!(char, '"' | '\\')
        || char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// RFC 3339 in UTC with milliseconds; an instant outside the years that have a form is written as its number.
pub(crate) fn push_time(out: &mut String, at: UnixMillis) {
    const PRINTER: jiff::fmt::temporal::DateTimePrinter =
        jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
    let written =
        jiff::Timestamp::from_millisecond(at.0).ok().and_then(|t| PRINTER.print_timestamp(&t, &mut *out).ok());
    if written.is_none() {
        let _ = write!(out, "{}", at.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Style = Style { json: true, colour: false, priority: false };
    const HUMAN: Style = Style { json: false, colour: false, priority: false };
    const AT: UnixMillis = UnixMillis(1_767_225_600_007);

    #[test]
    fn json_is_one_object_per_line() {
        let mut line = Line::new(JSON, Level::Warn, AT, "request");
        line.text("path", "/a").number("status", 401_u16).boolean("ok", false).maybe("host", None);
        line.millis("total_ms", Duration::from_micros(1_234_567)).plain("source", "::1").time("timestamp", AT);
        let expected =
            r#"{"time":"2026-01-01T00:00:00.007Z","level":"warn","event":"request","path":"/a","status":401,"#
                .to_owned()
                + r#""ok":false,"total_ms":1234.567,"source":"::1","timestamp":"2026-01-01T00:00:00.007Z"}"#
                + "\n";
        assert_eq!(line.finish(), expected);
    }

    #[test]
    fn text_for_people_quotes_where_it_must() {
        let mut line = Line::new(HUMAN, Level::Error, AT, "request");
        line.text("path", "/a b").text("host", "h").text("empty", "");
        let expected = "2026-01-01T00:00:00.007Z ERROR request            path=\"/a b\" host=h empty=\"\"\n";
        assert_eq!(line.finish(), expected);
    }

    #[test]
    fn a_journal_gets_priorities_and_a_terminal_colours() {
        let line = Line::new(Style { priority: true, ..JSON }, Level::Error, AT, "e").finish();
        assert!(line.starts_with("<3>{"), "{line}");
        let line = Line::new(Style { colour: true, ..HUMAN }, Level::Warn, AT, "e").finish();
        assert!(line.contains("\x1b[33mWARN \x1b[0m"), "{line}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_survives_json_or_is_cut(value in ".{0,400}") {
            let mut line = Line::new(JSON, Level::Info, AT, "e");
            line.text("value", &value);
            let line = line.finish();
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
                let line = line.finish();
                let body = line.strip_suffix('\n').unwrap();
                proptest::prop_assert!(!body.chars().any(char::is_control));
            }
        }
    }

    #[test]
    fn escapes_what_hides_or_reorders_text() {
        let mut line = Line::new(HUMAN, Level::Info, AT, "e");
        line.text("v", "a\u{202e}b\x1b[2J\u{9b}c\u{2028}");
        assert!(line.finish().ends_with("v=a\\u202eb\\u001b[2J\\u009bc\\u2028\n"));
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let mut line = Line::new(HUMAN, Level::Info, AT, "e");
        line.text("v", &"é".repeat(300));
        let line = line.finish();
        assert_eq!(line.matches('é').count(), SHORT / 2);
        assert!(line.ends_with("…\n"));
    }

    #[test]
    fn numbers_of_every_length_are_written() {
        for value in [0, 7, 10, 401, 1_000_000, u64::MAX] {
            let mut out = String::new();
            push_number(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }

    #[test]
    fn an_impossible_time_is_a_number() {
        let mut out = String::new();
        push_time(&mut out, UnixMillis(i64::MAX));
        assert_eq!(out, i64::MAX.to_string());
    }
}
