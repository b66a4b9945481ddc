//! The ways in which programs write one and the same JSON, to find the one that was signed.
//!
//! Numbers and keys keep their letters: what a parser did to a number cannot be undone, and is not guessed.

/// Levels that are followed; a deeper body has one writing only, its own.
const MAX_DEPTH: usize = 100;

/// Longest text that is written: deep nesting could make a short body very long.
const MAX_WRITTEN: usize = 4 << 20;

/// A value, as spans of the text it was read from.
pub(super) enum Node<'t> {
    /// Strings with their quotation marks, numbers, `true`, `false`, `null`.
    Scalar(&'t str),
    Array(Vec<Node<'t>>),
    Object(Vec<(&'t str, Node<'t>)>),
}

/// How values are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `{"a":1,"b":2}`
    Compact,
    /// `{"a": 1, "b": 2}`
    Spaced,
    /// One line for each value, indented by this.
    Indented(&'static str),
}

/// How characters of a string are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Letters {
    /// As they are.
    Kept,
    /// Every character that need not be escaped stands for itself.
    Raw,
    /// ASCII only: `\u00e9`.
    Escaped,
    /// ASCII only, with upper-case digits: `\u00E9`.
    EscapedUpper,
    /// `<`, `>` and `&` escaped, as for a page.
    Page,
}

/// How a slash is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slashes {
    Kept,
    Plain,
    /// `\/`
    Escaped,
}

/// Reads a text that is JSON and nothing else.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.blank();
    (reader.at == text.len()).then_some(node)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The next byte that is no blank, if it is this one.
    fn take(&mut self, wanted: u8) -> Option<()> {
        self.blank();
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Node<'t>> {
        self.blank();
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                while self.take(b'}').is_none() {
                    if !members.is_empty() {
                        self.take(b',')?;
                        self.blank();
                    }
                    let key = self.string()?;
                    self.take(b':')?;
                    members.push((key, self.value(depth + 1)?));
                }
                Some(Node::Object(members))
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.take(b']').is_none() {
                    if !items.is_empty() {
                        self.take(b',')?;
                    }
                    items.push(self.value(depth + 1)?);
                }
                Some(Node::Array(items))
            }
            b'"' => self.string().map(Node::Scalar),
            _ => self.word().map(Node::Scalar),
        }
    }

    fn string(&mut self) -> Option<&'t str> {
        let start = self.at;
        (self.peek()? == b'"').then_some(())?;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return self.text.get(start..self.at);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    fn word(&mut self) -> Option<&'t str> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
            self.at += 1;
        }
        self.text.get(start..self.at).filter(|word| !word.is_empty())
    }
}

/// The text of a value in a layout, with its members in their order or sorted by key; `None` when it would be far longer
/// than any body.
pub(super) fn write(node: &Node<'_>, layout: Layout, sorted: bool) -> Option<String> {
    let mut out = String::new();
    Writer { layout, sorted, out: &mut out }.value(node, 0);
    (out.len() <= MAX_WRITTEN).then_some(out)
}

struct Writer<'o> {
    layout: Layout,
    sorted: bool,
    out: &'o mut String,
}

impl Writer<'_> {
    fn value(&mut self, node: &Node<'_>, depth: usize) {
        match node {
            _ if self.out.len() > MAX_WRITTEN => {}
            Node::Scalar(text) => self.out.push_str(text),
            Node::Array(items) => {
                self.list('[', ']', items.len(), depth, |writer, at, depth| {
                    if let Some(item) = items.get(at) {
                        writer.value(item, depth);
                    }
                });
            }
            Node::Object(members) => {
                let mut order: Vec<&(&str, Node<'_>)> = members.iter().collect();
                if self.sorted {
                    order.sort_by_key(|(key, _)| *key);
                }
                self.list('{', '}', order.len(), depth, |writer, at, depth| {
                    if let Some((key, value)) = order.get(at) {
                        writer.out.push_str(key);
                        writer.out.push_str(if writer.layout == Layout::Compact { ":" } else { ": " });
                        writer.value(value, depth);
                    }
                });
            }
        }
    }

    fn list(
        &mut self,
        open: char,
        close: char,
        len: usize,
        depth: usize,
        mut item: impl FnMut(&mut Self, usize, usize),
    ) {
        self.out.push(open);
        for at in 0..len {
            if self.out.len() > MAX_WRITTEN {
                return;
            }
            if at > 0 {
                self.out.push_str(if self.layout == Layout::Spaced { ", " } else { "," });
            }
            self.line(depth + 1);
            item(self, at, depth + 1);
        }
        if len > 0 {
            self.line(depth);
        }
        self.out.push(close);
    }

    fn line(&mut self, depth: usize) {
        if let Layout::Indented(by) = self.layout {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(by);
            }
        }
    }
}

/// The same text with the characters of its strings written in another way; blanks between values stay as they are.
pub(super) fn respell(text: &str, letters: Letters, slashes: Slashes) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text.chars();
    while let Some(char) = rest.next() {
        match char {
            '"' => {
                quoted = !quoted;
                out.push('"');
            }
            _ if !quoted => out.push(char),
            '\\' => escape(&mut out, &mut rest, letters, slashes),
            '/' if slashes == Slashes::Escaped => out.push_str("\\/"),
            _ => letter(&mut out, char, letters),
        }
    }
    out
}

/// What follows a backslash.
fn escape(out: &mut String, rest: &mut std::str::Chars<'_>, letters: Letters, slashes: Slashes) {
    let ahead = rest.clone();
    match rest.next() {
        Some('/') => out.push_str(if slashes == Slashes::Plain { "/" } else { "\\/" }),
        Some('u') => {
            let (char, used) = code_point(ahead.as_str());
            match char.filter(|char| !char.is_control() && !matches!(char, '"' | '\\')) {
                Some(char) if letters != Letters::Kept => {
                    // `u` itself was taken already.
                    let _ = rest.nth(used - 2);
                    letter(out, char, letters);
                }
                _ => out.push_str("\\u"),
            }
        }
        Some(other) => out.extend(['\\', other]),
        None => out.push('\\'),
    }
}

/// The character of `u00e9…`, a surrogate pair included, and how many characters of the text it takes.
fn code_point(text: &str) -> (Option<char>, usize) {
    let unit = |text: &str| {
        text.strip_prefix('u').and_then(|text| text.get(..4)).and_then(|hex| u32::from_str_radix(hex, 16).ok())
    };
    let Some(first) = unit(text) else { return (None, 0) };
    let second = text.get(5..).and_then(|rest| rest.strip_prefix('\\')).and_then(unit);
    match (first, second) {
        (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) => {
            (char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)), 11)
        }
        _ => (char::from_u32(first), 5),
    }
}

fn letter(out: &mut String, char: char, letters: Letters) {
    let mut units = [0; 2];
    match letters {
        Letters::Escaped if !char.is_ascii() => {
            for unit in char.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
        Letters::EscapedUpper if !char.is_ascii() => {
            for unit in char.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04X}"));
            }
        }
        Letters::Page if matches!(char, '<' | '>' | '&') => out.push_str(&format!("\\u{:04x}", u32::from(char))),
        _ => out.push(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{ \"b\":1.0,\n\"a\" : [ true,{} , [] ],\"é\":\"\\u00e9\\/<\\ud83d\\ude00\\n\" }";

    fn written(layout: Layout, sorted: bool) -> String {
        write(&parse(TEXT).unwrap(), layout, sorted).unwrap()
    }

    #[test]
    fn layouts_are_those_of_the_languages() {
        let tail = "\"é\":\"\\u00e9\\/<\\ud83d\\ude00\\n\"}";
        assert_eq!(written(Layout::Compact, false), format!("{{\"b\":1.0,\"a\":[true,{{}},[]],{tail}"));
        assert_eq!(written(Layout::Compact, true), format!("{{\"a\":[true,{{}},[]],\"b\":1.0,{tail}"));
        let spaced = written(Layout::Spaced, false);
        assert!(spaced.starts_with("{\"b\": 1.0, \"a\": [true, {}, []], \"é\": "), "{spaced}");
        let indented = written(Layout::Indented("  "), false);
        assert!(indented.starts_with("{\n  \"b\": 1.0,\n  \"a\": [\n    true,\n    {},\n    []\n  ],\n"), "{indented}");
        assert!(indented.ends_with("\n}"));
    }

    #[test]
    fn no_text_grows_without_bound() {
        let deep = format!("{}{}1{}", "[".repeat(90), "1,".repeat(100_000), "]".repeat(90));
        assert!(write(&parse(&deep).unwrap(), Layout::Indented("    "), false).is_none());
        assert!(write(&parse(&deep).unwrap(), Layout::Compact, false).is_some());
    }

    #[test]
    fn strings_are_spelled_in_each_way() {
        let spell = |letters, slashes| respell(r#"{"a/é":"\u00e9\/<\ud83d\ude00\n\u0001\u0022"}"#, letters, slashes);
        assert_eq!(spell(Letters::Kept, Slashes::Kept), r#"{"a/é":"\u00e9\/<\ud83d\ude00\n\u0001\u0022"}"#);
        assert_eq!(spell(Letters::Raw, Slashes::Plain), r#"{"a/é":"é/<😀\n\u0001\u0022"}"#);
        assert_eq!(spell(Letters::Escaped, Slashes::Escaped), r#"{"a\/\u00e9":"\u00e9\/<\ud83d\ude00\n\u0001\u0022"}"#);
        assert_eq!(
            spell(Letters::EscapedUpper, Slashes::Kept),
            r#"{"a/\u00E9":"\u00E9\/<\uD83D\uDE00\n\u0001\u0022"}"#
        );
        assert_eq!(spell(Letters::Page, Slashes::Plain), r#"{"a/é":"é/\u003c😀\n\u0001\u0022"}"#);
    }

    #[test]
    fn what_is_no_json_has_no_other_writing() {
        for text in ["", "{", "{]", "[1,]x", "a=1&b=2", "{\"a\":1}}", "\"open", &"[".repeat(200)] {
            assert!(parse(text).is_none(), "{text}");
        }
        for broken in ["\"\\", "\"\\u", "\"\\u12", "\"\\ud83d\\u"] {
            for letters in [Letters::Kept, Letters::Raw, Letters::Escaped, Letters::Page] {
                assert!(respell(broken, letters, Slashes::Plain).starts_with("\"\\"), "{broken}");
            }
        }
    }
}
