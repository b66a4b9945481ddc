//! Which of a sender's header fields go to the upstream: a list, decided when the configuration is read.
//!
//! A webhook has a body, a signature and a handful of fields. Everything else that a sender writes beside them is read by
//! somebody: a framework, a middleware, an agent that takes a name for the word of the proxy before it. So nothing passes that is
//! not listed. A listed name is of letters, digits and hyphens: CGI, WSGI and Rack write names in upper case and every other
//! character as `_`, so `X_A`, `X.A` and `X-A` would be one variable.

mod reserved;

use std::fmt;

use super::head::name;

pub use reserved::{REQUEST_ID, TRACE_CONTEXT, reserved};

/// Fields of every webhook: what the body is, and who says that it wrote it.
pub const BASE: [&str; 9] = [
    "Accept",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-MD5",
    "Content-Digest",
    "Repr-Digest",
    "Digest",
    "User-Agent",
];

/// An entry of such a list: one name, or every name that begins so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldPattern {
    /// `X-GitHub-Event`
    Name(Box<str>),
    /// `X-GitHub-*`, without its star.
    Prefix(Box<str>),
}

/// Why a text is no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotForwardable {
    /// Neither a name of letters, digits and hyphens, nor one with `-*` behind it.
    Unreadable,
    /// It is, or would match, a name that applications take for a proxy's word, or that the relay sets.
    Reserved(&'static str),
}

impl FieldPattern {
    /// Reads an entry.
    pub fn parse(text: &str) -> Result<Self, NotForwardable> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(start) if start.ends_with('-') => (start, true),
            _ => (text, false),
        };
        if name.is_empty() || !is_plain(name) {
            return Err(NotForwardable::Unreadable);
        }
        let pattern = if is_prefix { Self::Prefix(name.into()) } else { Self::Name(name.into()) };
        match reserved::overlap(&pattern) {
            Some(what) => Err(NotForwardable::Reserved(what)),
            None => Ok(pattern),
        }
    }
}

impl fmt::Display for FieldPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(start) => write!(f, "{start}*"),
        }
    }
}

/// Names shorter than this have a place of their own; longer ones share the last.
const LENGTHS: usize = 48;

/// The compiled list. A look-up compares a name with those of its length, and with the few prefixes; it allocates nothing.
#[derive(Debug, Default)]
pub struct FieldList {
    by_length: Vec<Vec<Box<str>>>,
    prefixes: Vec<Box<str>>,
    /// What no prefix lets in: the names that the configuration sets.
    except: Vec<Box<str>>,
}

impl FieldList {
    /// A list of these entries, without the names of `except` in every spelling that an application folds into one.
    pub fn new<'e>(entries: impl IntoIterator<Item = FieldPattern>, except: impl IntoIterator<Item = &'e str>) -> Self {
        let mut list = Self { except: except.into_iter().map(Box::from).collect(), ..Self::default() };
        list.by_length.resize(LENGTHS + 1, Vec::new());
        for entry in entries {
            match entry {
                FieldPattern::Name(name) if list.has(&name) || list.is_except(&name) => {}
                FieldPattern::Name(name) => {
                    if let Some(names) = list.by_length.get_mut(name.len().min(LENGTHS)) {
                        names.push(name);
                    }
                }
                FieldPattern::Prefix(start) if list.prefixes.iter().any(|known| known.eq_ignore_ascii_case(&start)) => {
                }
                FieldPattern::Prefix(start) => list.prefixes.push(start),
            }
        }
        list
    }

    /// Whether a sender's field of this name goes to the upstream.
    #[inline]
    pub fn passes(&self, name: &str) -> bool {
        self.has(name) || self.begins(name)
    }

    fn has(&self, name: &str) -> bool {
        let names = self.by_length.get(name.len().min(LENGTHS)).map_or(&[][..], Vec::as_slice);
        names.iter().any(|known| name::same(known.as_bytes(), name.as_bytes()))
    }

    fn begins(&self, name: &str) -> bool {
        let begins = |start: &str| {
            let found = name.as_bytes().get(..start.len());
            found.is_some_and(|found| name::same(found, start.as_bytes())) && name.len() > start.len()
        };
        self.prefixes.iter().any(|start| begins(start)) && is_plain(name) && !self.is_except(name)
    }

    fn is_except(&self, name: &str) -> bool {
        self.except.iter().any(|known| folds_alike(known, name))
    }

    /// Its entries, for people, sorted.
    pub fn entries(&self) -> Vec<String> {
        let names = self.by_length.iter().flatten().map(ToString::to_string);
        let mut entries: Vec<String> = names.chain(self.prefixes.iter().map(|start| format!("{start}*"))).collect();
        entries.sort_by_key(|entry| entry.to_ascii_lowercase());
        entries
    }
}

/// Letters, digits and hyphens.
pub fn is_plain(name: &str) -> bool {
    // Every byte is looked at: so the compiler looks at many at once.
    name.bytes().fold(true, |plain, byte| plain & (byte.is_ascii_alphanumeric() | (byte == b'-')))
}

/// Whether an application server makes one variable of both names: letters in any case, every other character alike.
pub fn folds_alike(one: &str, other: &str) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    one.len() == other.len() && one.bytes().map(fold).eq(other.bytes().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str], except: &[&str]) -> FieldList {
        FieldList::new(entries.iter().map(|entry| FieldPattern::parse(entry).unwrap()), except.iter().copied())
    }

    #[test]
    fn what_is_listed_passes_in_any_case_and_nothing_else_does() {
        let long = format!("X-{}", "a".repeat(90));
        let list = list(&["X-Event", "X-GitHub-*", &long], &[]);
        for name in ["X-Event", "x-event", "X-EVENT", "X-GitHub-Event", "x-github-delivery", &long.to_uppercase()] {
            assert!(list.passes(name), "{name}");
        }
        for name in [
            "",
            "X-Even",
            "X-Event2",
            "X_Event",
            "X.Event",
            "X-GitHub-",
            "X-GitHub",
            "X-GitHub-Ev_ent",
            "X-GitHub-Ev.ent",
            "X-GitHub-\u{e9}",
            "Cookie",
            &format!("{long}b"),
        ] {
            assert!(!list.passes(name), "{name}");
        }
    }

    #[test]
    fn a_name_that_the_configuration_sets_is_let_in_by_neither_form() {
        let list = list(&["X-Acme-*", "X-Api-Key"], &["x_acme_tenant", "X.API.KEY"]);
        assert!(list.passes("X-Acme-Event") && !list.passes("X-Acme-Tenant") && !list.passes("X-Api-Key"));
    }

    #[test]
    fn an_entry_is_a_plain_name_or_its_beginning() {
        for text in ["", "*", "-*x", "X-*-A", "X*", "X_A", "X A", "X:", "X-\u{e9}", "X-A**"] {
            assert_eq!(FieldPattern::parse(text), Err(NotForwardable::Unreadable), "{text}");
        }
        assert_eq!(FieldPattern::parse("X-Acme-*").unwrap().to_string(), "X-Acme-*");
        assert!(BASE.iter().all(|name| FieldPattern::parse(name).is_ok()));
    }

    #[test]
    fn entries_are_told_sorted_and_once() {
        assert_eq!(list(&["b", "A-*", "B", "a-*", "a"], &[]).entries(), ["a", "A-*", "b"]);
    }
}
