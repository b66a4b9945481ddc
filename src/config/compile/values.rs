//! Values that every section has: quantities, counts, names, words.

use std::fmt::Display;
use std::time::Duration;

use toml::Spanned;

use super::Compiler;
use crate::config::masked::masked;
use crate::config::near::suggest;
use crate::config::quantity::{self, Unmeasured, write_duration, write_size};
use crate::config::raw::{Placed, RawQuantity};
use crate::config::report::MISSING;

/// A default and the range around it.
#[derive(Clone, Copy)]
pub(super) struct Between<T> {
    pub(super) default: T,
    pub(super) min: T,
    pub(super) max: T,
}

impl<T: Copy + PartialOrd> Between<T> {
    /// A value in the range that says something: "0s" or "0B" would mean off.
    fn example(&self) -> T {
        if self.default > self.min { self.default } else { self.max }
    }
}

/// How a quantity is read, what was probably meant where it cannot be, and how it is written.
type Words<T> = (fn(&str) -> Result<T, Unmeasured>, fn(&str) -> Option<T>, fn(T) -> String);

/// A duration's default and range, in milliseconds.
pub(super) const fn millis(default: u64, min: u64, max: u64) -> Between<Duration> {
    Between {
        default: Duration::from_millis(default),
        min: Duration::from_millis(min),
        max: Duration::from_millis(max),
    }
}

/// A number's default and range.
pub(super) const fn number(default: u64, min: u64, max: u64) -> Between<u64> {
    Between { default, min, max }
}

impl Compiler<'_> {
    pub(super) fn duration(&mut self, value: &Placed<RawQuantity>, key: &str, range: Between<Duration>) -> Duration {
        self.quantity(value, key, range, (quantity::duration, quantity::meant_duration, write_duration))
    }

    pub(super) fn size(&mut self, value: &Placed<RawQuantity>, key: &str, range: Between<u64>) -> u64 {
        self.quantity(value, key, range, (quantity::size, quantity::meant_size, write_size))
    }

    pub(super) fn count(&mut self, value: &Placed<i64>, key: &str, range: Between<u64>) -> u64 {
        self.count_with(value, key, range, &format!("the default is {}", range.default))
    }

    /// A count whose absence means something else than a number.
    pub(super) fn count_with(&mut self, value: &Placed<i64>, key: &str, range: Between<u64>, help: &str) -> u64 {
        let Some(value) = value else { return range.default };
        match u64::try_from(*value.get_ref()) {
            Ok(count) if (range.min..=range.max).contains(&count) => count,
            _ => {
                let what = format!("expected {} to {}, found {}", range.min, range.max, value.get_ref());
                self.reject(value, key, what, help);
                range.default
            }
        }
    }

    fn quantity<T: Copy + PartialOrd>(
        &mut self,
        value: &Placed<RawQuantity>,
        key: &str,
        range: Between<T>,
        (read, meant, write): Words<T>,
    ) -> T {
        let Some(value) = value else { return range.default };
        let (text, read, meant) = match value.get_ref() {
            RawQuantity::Text(text) => (format!("\"{text}\""), read(text), meant(text)),
            RawQuantity::Number(number) => (number.to_string(), Err(Unmeasured::NoUnit), None),
        };
        let fits = |found: &T| *found >= range.min && *found <= range.max;
        let (why, help) = match read {
            Ok(found) if fits(&found) => return found,
            Ok(found) => {
                let bound = if found > range.max { ("most", range.max) } else { ("least", range.min) };
                (
                    String::new(),
                    format!("the {} is {}; the default is {}", bound.0, write(bound.1), write(range.default)),
                )
            }
            Err(why) => {
                let help = match meant.filter(fits) {
                    Some(meant) => format!("write \"{}\"", write(meant)),
                    None => format!("write it with a unit, such as \"{}\"", write(range.example())),
                };
                (format!(": {why}"), help)
            }
        };
        let what = format!("expected {} to {}, found {text}{why}", write(range.min), write(range.max));
        self.reject(value, key, what, help);
        range.default
    }

    /// A key that must be there; its absence is reported at the place of what it belongs to.
    pub(super) fn required<'v, T, P>(
        &mut self,
        value: &'v Placed<T>,
        owner: &Spanned<P>,
        key: &str,
        help: &str,
    ) -> Option<&'v Spanned<T>> {
        if value.is_none() {
            self.reject(owner, key, MISSING, help);
        }
        value.as_ref()
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, value: &Placed<String>, key: &str, words: &[(&str, T)], default: T) -> T {
        let Some(value) = value else { return default };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| word == value.get_ref()) {
            return *meaning;
        }
        let help = suggest(value.get_ref(), words.iter().map(|(word, _)| *word), "");
        self.reject(value, key, format!("\"{}\" is not known here", value.get_ref()), help);
        default
    }

    /// A name that becomes a metric label and stands in logs.
    pub(super) fn name(&mut self, name: &Spanned<String>, key: &str) -> bool {
        let text = name.get_ref();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(good);
        if !fits {
            let help = "use 1 to 64 letters, digits, \"-\", \"_\" and \".\"";
            self.reject(name, key, format!("\"{}\" cannot be a name", shown(text)), help);
        }
        fits
    }

    /// Whether this may be the id of a secret or a public key. A scheme may compare it with what a request says, or sign it: an
    /// address of AWS is one.
    pub(super) fn key_id(&mut self, id: &Spanned<String>, key: &str) -> bool {
        let text = id.get_ref();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        let fits = (1..=MAX_KEY_ID).contains(&text.len()) && text.bytes().all(good);
        if !fits {
            let help = "use 1 to 256 letters, digits, \"-\", \"_\", \".\" and \":\"";
            self.reject(id, key, format!("\"{}\" cannot be the id of a key", shown(text)), help);
        }
        fits
    }
}

/// The longest id of a key: a topic of AWS with its region and account.
const MAX_KEY_ID: usize = 256;

/// A text of the file in a message: without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    // Before it is cut: half of a password would be left.
    let text = &*masked(text);
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().count() > 80 {
        out.push('…');
    }
    out
}

/// `{key}.{part}`.
pub(super) fn join(key: &str, part: impl Display) -> String {
    format!("{key}.{part}")
}
