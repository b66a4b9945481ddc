//! What one configuration says and another does not, in words: for the log, the status, `check --diff` and `config diff`.
//!
//! Texts are compared, not snapshots: an operator thinks in the keys of the file, and a default that changed with a new
//! version of the relay is not a change of theirs. Values that may be secrets are never shown (`shown`).

mod shown;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use toml::{Table, Value};

use self::shown::{may_be_secret, shown};

/// The text of a configuration that may run. `Debug` leaves it out, because values of headers may stand in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<str>);

impl Text {
    /// Of a file that was read.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// What became of one thing. It displays as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about: `route "github"`, `[limits]`.
    subject: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Added,
    Removed,
    /// One of its keys.
    Key(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Added => write!(f, "{} added", self.subject),
            What::Removed => write!(f, "{} removed", self.subject),
            What::Key(what) => write!(f, "{}: {what}", self.subject),
        }
    }
}

/// Sections whose keys are names that the operator chose, and what one of them is called.
const NAMED: [(&str, &str); 4] =
    [("routes", "route"), ("upstreams", "upstream"), ("providers", "provider"), ("address_lists", "address list")];

/// Everything in which two texts differ, section by section. A text that is not TOML counts as empty.
pub fn changes(old: &str, new: &str) -> Vec<Change> {
    let parse = |text: &str| text.parse::<Table>().unwrap_or_default();
    let (old, new) = (parse(old), parse(new));
    let mut changes = Vec::new();
    for (section, before, after) in both(&old, &new) {
        let named = NAMED.iter().find(|(named, _)| *named == section);
        let things = match named {
            Some((_, word)) => Some((*word, table(before), table(after))),
            None if section == "listeners" => Some(("listener", by_name(before), by_name(after))),
            None => None,
        };
        let Some((word, before, after)) = things else {
            thing(&subject(section, before.or(after)), &[section], before, after, &mut changes);
            continue;
        };
        for (name, before, after) in both(&before, &after) {
            thing(&format!("{word} {name}"), &[section, name], before, after, &mut changes);
        }
    }
    changes
}

/// Lines of one comparison at most, where they are kept or shown.
const MOST: usize = 50;

/// The same as lines, at most 50 of them.
pub fn lines(old: &str, new: &str) -> Vec<String> {
    bounded(changes(old, new).iter().map(ToString::to_string).collect())
}

/// No more lines than can be kept and shown; the last one says how many there are beside.
pub fn bounded(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > MOST {
        let more = lines.len() - (MOST - 1);
        lines.truncate(MOST - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// A section of its own, or a key above all of them.
fn subject(section: &str, value: Option<&Value>) -> String {
    if value.is_some_and(Value::is_table) { format!("[{section}]") } else { section.to_owned() }
}

fn table(value: Option<&Value>) -> Table {
    value.and_then(Value::as_table).cloned().unwrap_or_default()
}

/// Listeners are a list; who reads of a change knows them by their names.
fn by_name(listeners: Option<&Value>) -> Table {
    let listeners = listeners.and_then(Value::as_array).into_iter().flatten();
    let name = |listener: &Value| listener.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    listeners.map(|listener| (name(listener), listener.clone())).collect()
}

/// The keys of either table in the order of the alphabet, with what differs.
fn both<'t>(old: &'t Table, new: &'t Table) -> Vec<(&'t str, Option<&'t Value>, Option<&'t Value>)> {
    let mut keys: Vec<&str> = old.keys().chain(new.keys()).map(String::as_str).collect();
    keys.sort_unstable();
    keys.dedup();
    let pairs = keys.into_iter().map(|key| (key, old.get(key), new.get(key)));
    pairs.filter(|(_, before, after)| before != after).collect()
}

/// A route, an upstream, a section.
fn thing(subject: &str, path: &[&str], old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    let mut add = |what| changes.push(Change { subject: subject.to_owned(), what });
    match (old, new) {
        (None, Some(_)) => add(What::Added),
        (Some(_), None) => add(What::Removed),
        (old, new) => {
            let (Some(old), Some(new)) = (old, new) else { return };
            let mut path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            let inside = path.len();
            differ(old, new, &mut path, inside, &mut |what| add(What::Key(what)));
        }
    }
}

/// One value against another, down to the keys that differ.
fn differ(old: &Value, new: &Value, path: &mut Vec<String>, inside: usize, tell: &mut impl FnMut(String)) {
    let key = path.get(inside..).unwrap_or_default().join(".");
    let key = if key.is_empty() { String::new() } else { format!("{key} ") };
    match (old, new) {
        (Value::Table(old), Value::Table(new)) => {
            for (name, before, after) in both(old, new) {
                path.push(name.to_owned());
                match (before, after) {
                    (Some(before), Some(after)) => differ(before, after, path, inside, tell),
                    (None, Some(after)) => tell(format!("{} = {} added", written(path, inside), shown(path, after))),
                    (Some(before), None) => {
                        tell(format!("{} = {} removed", written(path, inside), shown(path, before)))
                    }
                    (None, None) => {}
                }
                path.pop();
            }
        }
        _ if may_be_secret(path) => tell(format!("{key}has another value")),
        (Value::Array(old), Value::Array(new)) => {
            let without = |list: &[Value], other: &[Value]| {
                let list: Vec<_> = list.iter().filter(|item| !other.contains(item)).cloned().collect();
                (!list.is_empty()).then(|| shown(path, &Value::Array(list)))
            };
            match (without(new, old), without(old, new)) {
                (Some(added), Some(removed)) => tell(format!("{key}{added} added, {removed} removed")),
                (Some(added), None) => tell(format!("{key}{added} added")),
                (None, Some(removed)) => tell(format!("{key}{removed} removed")),
                (None, None) => tell(format!("{key}in another order: {}", shown(path, &Value::Array(new.clone())))),
            }
        }
        (old, new) => tell(format!("{key}changed from {} to {}", shown(path, old), shown(path, new))),
    }
}

fn written(path: &[String], inside: usize) -> String {
    path.get(inside..).unwrap_or_default().join(".")
}

#[cfg(test)]
mod tests;
