//! What a body may have been before something on the way changed it, the likeliest first.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use super::json::{self, Layout, Letters, Slashes};
use super::recoded;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Bodies that could have been signed, made one by one.
pub(super) struct Bodies {
    /// Of bodies that were tried, so that none is tried twice.
    seen: HashSet<u64>,
}

impl Bodies {
    pub(super) fn new(received: &[u8]) -> Self {
        let mut bodies = Self { seen: HashSet::new() };
        bodies.is_new(received);
        bodies
    }

    fn is_new(&mut self, body: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        self.seen.insert(hasher.finish())
    }

    /// Calls `right` with each body; the words of the first that is. `None` of `right` ends the search.
    ///
    /// `declared` is what the request says of its length.
    pub(super) fn find(
        &mut self,
        received: &[u8],
        declared: Option<usize>,
        mut right: impl FnMut(&[u8]) -> Option<bool>,
    ) -> Option<String> {
        let mut attempt = |bodies: &mut Self, body: &[u8]| if bodies.is_new(body) { right(body) } else { Some(false) };
        for (body, words) in edges(received) {
            if attempt(self, &body)? {
                return Some(words.to_owned());
            }
        }
        if let Some(start) = declared.and_then(|length| received.get(..length))
            && attempt(self, start)?
        {
            return Some(format!("only its first {} bytes, as Content-Length says", start.len()));
        }
        for (body, words) in recoded::charsets(received) {
            if attempt(self, &body)? {
                return Some(format!("the same text {words}"));
            }
        }
        let text = std::str::from_utf8(received.strip_prefix(BOM).unwrap_or(received)).ok()?;
        let Some(tree) = json::parse(text) else {
            for (body, words) in recoded::forms(received) {
                if attempt(self, &body)? {
                    return Some(format!("the same form {words}"));
                }
            }
            return None;
        };
        let mut first_layouts = vec![None, Some(Layout::Compact), Some(Layout::Spaced)];
        first_layouts.extend(["  ", "    ", "\t"].map(|by| Some(Layout::Indented(by))));
        for sorted in [false, true] {
            for layout in &first_layouts {
                // What keeps its layout keeps its order.
                let laid = match layout {
                    None if sorted => continue,
                    None => text.to_owned(),
                    Some(layout) => match json::write(&tree, *layout, sorted) {
                        Some(laid) => laid,
                        None => continue,
                    },
                };
                for letters in [Letters::Kept, Letters::Raw, Letters::Escaped, Letters::EscapedUpper, Letters::Page] {
                    for slashes in [Slashes::Kept, Slashes::Plain, Slashes::Escaped] {
                        let body = json::respell(&laid, letters, slashes);
                        if attempt(self, body.as_bytes())? {
                            return Some(words(*layout, sorted, letters, slashes, ""));
                        }
                        if layout.is_some() && attempt(self, format!("{body}\n").as_bytes())? {
                            return Some(words(*layout, sorted, letters, slashes, ", with a line feed at its end"));
                        }
                    }
                }
            }
        }
        for layout in [None, Some(Layout::Spaced), Some(Layout::Compact)] {
            let laid = match layout {
                None => text.to_owned(),
                Some(layout) => json::write(&tree, layout, false).unwrap_or_default(),
            };
            for body in recoded::renumbered(&laid) {
                if attempt(self, body.as_bytes())? {
                    let how = words(layout, false, Letters::Kept, Slashes::Kept, "");
                    return Some(format!("{} with its numbers written otherwise, as 1.0 for 1", how.trim_end()));
                }
            }
        }
        None
    }
}

/// What editors, shells and proxies do to the ends of a body and of its lines.
fn edges(received: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut found: Vec<(Vec<u8>, &'static str)> = Vec::new();
    let joined = |parts: &[&[u8]]| parts.concat();
    if let Some(body) = received.strip_suffix(b"\n") {
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        found.push((body.to_vec(), "without the line end behind it"));
    }
    found.push((joined(&[received, b"\n"]), "with a line feed at its end"));
    found.push((joined(&[received, b"\r\n"]), "with a carriage return and a line feed at its end"));
    found.push((received.trim_ascii().to_vec(), "without the blanks or line ends around it"));
    match received.strip_prefix(BOM) {
        Some(body) => found.push((body.to_vec(), "without the byte order mark before it")),
        None => found.push((joined(&[BOM, received]), "with a byte order mark before it")),
    }
    if received.contains(&b'\n') {
        let bare = replaced(received);
        let ended: Vec<u8> = bare
            .iter()
            .flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) })
            .copied()
            .collect();
        found.push((ended, "with CRLF line ends instead of LF"));
        found.push((bare, "with LF line ends instead of CRLF"));
    }
    found.push((Vec::new(), "empty"));
    found
}

/// CRLF to LF.
fn replaced(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.iter().peekable();
    while let Some(byte) = rest.next() {
        if *byte != b'\r' || rest.peek() != Some(&&b'\n') {
            out.push(*byte);
        }
    }
    out
}

fn words(layout: Option<Layout>, sorted: bool, letters: Letters, slashes: Slashes, end: &str) -> String {
    let mut words = match layout {
        None => Vec::new(),
        Some(Layout::Compact) => vec!["without blanks"],
        Some(Layout::Spaced) => vec!["with a blank behind each comma and colon, as Python writes it"],
        Some(Layout::Indented("  ")) => vec!["indented by two blanks"],
        Some(Layout::Indented("    ")) => vec!["indented by four blanks"],
        Some(Layout::Indented(_)) => vec!["indented by tabs"],
    };
    if sorted {
        words.push("with its keys sorted");
    }
    match letters {
        Letters::Kept => {}
        Letters::Raw => words.push("with every character written as itself"),
        Letters::Escaped => words.push("with other than ASCII characters escaped, as in \\u00e9"),
        Letters::EscapedUpper => words.push("with other than ASCII characters escaped, as in \\u00E9"),
        Letters::Page => words.push("with <, > and & escaped"),
    }
    match slashes {
        Slashes::Kept => {}
        Slashes::Plain => words.push("with slashes not escaped"),
        Slashes::Escaped => words.push("with slashes escaped, as PHP writes them"),
    }
    format!("the same JSON {}{end}", words.join(", "))
}
