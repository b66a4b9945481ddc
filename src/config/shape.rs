//! Holds a file against the table of keys: every unknown key, every value of a wrong type and every required key that is
//! missing, in one pass.
//!
//! What does not fit is taken out, so that the rest can be read and judged. A value is never repeated in a message: it may be a
//! secret in the wrong place.

use std::mem::take;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{FILE, Key, Shape};
use super::near::{nearest, suggest};
use super::report::MISSING;

/// Something that does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) span: Range<usize>,
    /// `routes.github.secrets`.
    pub(super) path: String,
    /// The table that it stands in, with a dot behind; empty for the file's own.
    pub(super) table: String,
    pub(super) what: String,
    pub(super) help: String,
}

/// Takes out of the file what does not fit, and says what it was.
pub(super) fn fit(file: &mut Spanned<DeTable<'_>>) -> Vec<Misfit> {
    let mut walk = Walk { path: Vec::new(), above: Vec::new(), entries: Vec::new(), found: Vec::new() };
    let span = file.span();
    walk.table(file.get_mut(), FILE, &span);
    walk.found
}

struct Walk {
    path: Vec<String>,
    /// The tables around the present one, outermost first, each with the length of its path.
    above: Vec<(usize, &'static [Key])>,
    /// The lengths of the paths whose last name an operator chose.
    entries: Vec<usize>,
    found: Vec<Misfit>,
}

impl Walk {
    fn table(&mut self, table: &mut DeTable<'_>, keys: &'static [Key], span: &Range<usize>) {
        for (name, mut value) in take(table) {
            let Some(key) = keys.iter().find(|key| key.name == name.get_ref()) else {
                self.unknown(name.get_ref(), name.span(), keys, value.get_ref().is_table());
                continue;
            };
            self.above.push((self.path.len(), keys));
            if self.below(key.name, |walk| walk.value(&mut value, &key.shape)) {
                table.insert(name, value);
            }
            self.above.pop();
        }
        for key in keys.iter().filter(|key| key.required && !table.contains_key(key.name)) {
            let already = |misfit: &Misfit| misfit.path == self.named(key.name);
            if !self.found.iter().any(already) {
                self.below(key.name, |walk| walk.misfit(span.clone(), MISSING, "docs/schemes.md shows its form"));
            }
        }
    }

    /// `false`: it does not fit, and was reported.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, shape: &'static Shape) -> bool {
        let span = value.span();
        match (shape, value.get_mut()) {
            (Shape::Reserved, _)
            | (Shape::Text | Shape::Word(_), DeValue::String(_))
            | (Shape::Duration | Shape::Size, DeValue::String(_) | DeValue::Integer(_))
            | (Shape::Number, DeValue::Integer(_) | DeValue::Float(_))
            | (Shape::Flag, DeValue::Boolean(_)) => true,
            (Shape::Choice(words), DeValue::String(text)) => {
                let known = words.contains(&&**text);
                if !known {
                    self.misfit(span, "is not known here", &suggest(text, words.iter().copied(), ""));
                }
                known
            }
            (Shape::Whole(least, most), DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                let fits = i64::from_str_radix(&digits, number.radix()).is_ok_and(|it| (*least..=*most).contains(&it));
                if !fits {
                    self.misfit(span, &format!("expected a whole number from {least} to {most}"), "choose one of them");
                }
                fits
            }
            (Shape::List(each), DeValue::Array(list)) => {
                let before = self.found.len();
                list.iter_mut().for_each(|value| _ = self.value(value, each));
                // A list with a hole would say something else.
                self.found.len() == before
            }
            (Shape::Table(keys), DeValue::Table(table)) => {
                self.table(table, keys, &span);
                true
            }
            (Shape::Named(each), DeValue::Table(table)) => {
                self.entries.push(self.path.len() + 1);
                for (name, mut value) in take(table) {
                    if self.below(name.get_ref(), |walk| walk.value(&mut value, each)) {
                        table.insert(name, value);
                    }
                }
                self.entries.pop();
                true
            }
            (Shape::OneOf(keys), DeValue::Table(table)) => {
                let before = self.found.len();
                let count = table.len();
                self.table(table, keys, &span);
                if self.found.len() == before && count != 1 {
                    self.misfit(span, "expected a table with exactly one key", one_of(keys, count));
                }
                self.found.len() == before
            }
            (Shape::Either(expected, shapes), found) => {
                let among = shapes.iter().find(|shape| same_kind(shape, found));
                match among {
                    Some(shape) => self.value(value, shape),
                    None => self.mistyped(span, expected, "docs/config.md shows its forms", kind(value.get_ref())),
                }
            }
            (Shape::Refused(shape), _) => self.value(value, shape),
            (shape, found) => {
                let (help, found) = (advice(shape, found), kind(found));
                self.mistyped(span, name(shape), &help, found)
            }
        }
    }

    fn below<T>(&mut self, name: &str, then: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_owned());
        let result = then(self);
        self.path.pop();
        result
    }

    fn unknown(&mut self, written: &str, span: Range<usize>, keys: &'static [Key], is_table: bool) {
        // A key below the header of a table belongs to that table, though its author may have meant the one above.
        let owner = self.above.iter().rev().find(|(_, keys)| keys.iter().any(|key| key.name == written));
        let help = match owner {
            Some((0, _)) => {
                format!("\"{written}\" belongs to the file itself: write it as [{written}], in its own table")
            }
            Some((depth, _)) => {
                let owner = self.path.get(..*depth).unwrap_or_default().join(".");
                format!("\"{written}\" belongs to [{owner}]: write it above the header of [{}]", self.path.join("."))
            }
            // A dot in a header is a step down, which the author of a host name does not mean.
            None if is_table
                && self.entries.last() == Some(&self.path.len())
                && nearest(written, keys.iter().map(|key| key.name)).is_none() =>
            {
                let above = self.path.split_last().map_or(String::new(), |(_, above)| above.join("."));
                let name = self.path.last().map_or("", String::as_str);
                format!("a name with a dot stands in quotes: [{above}.\"{name}.{written}…\"]")
            }
            None => suggest(written, keys.iter().map(|key| key.name), "nothing may stand here"),
        };
        let what = format!("unknown key \"{written}\"");
        self.below(written, |walk| walk.misfit(span, &what, &help));
    }

    fn mistyped(&mut self, span: Range<usize>, expected: &str, help: &str, found: &str) -> bool {
        self.misfit(span, &format!("expected {expected}, found {found}"), help);
        false
    }

    fn misfit(&mut self, span: Range<usize>, what: &str, help: &str) {
        let path = self.path.join(".");
        let table = match path.rsplit_once('.') {
            Some((table, _)) => format!("{table}."),
            None => String::new(),
        };
        self.found.push(Misfit { span, path, table, what: what.to_owned(), help: help.to_owned() });
    }

    fn named(&self, name: &str) -> String {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        path.join(".")
    }
}

fn one_of(keys: &'static [Key], count: usize) -> &'static str {
    match (count, keys.len()) {
        (0, _) => "docs/schemes.md shows what may stand here",
        _ => "keep one of them",
    }
}

/// Whether the value is of the kind that the shape begins with; what is in it is another matter.
fn same_kind(shape: &Shape, value: &DeValue<'_>) -> bool {
    match shape {
        Shape::Text | Shape::Word(_) | Shape::Choice(_) => value.is_str(),
        Shape::Duration | Shape::Size => value.is_str() || value.is_integer(),
        Shape::Whole(..) => value.is_integer(),
        Shape::Number => value.is_integer() || value.is_float(),
        Shape::Flag => value.is_bool(),
        Shape::List(_) => value.is_array(),
        Shape::Table(_) | Shape::Named(_) | Shape::OneOf(_) => value.is_table(),
        Shape::Either(_, shapes) => shapes.iter().any(|shape| same_kind(shape, value)),
        Shape::Refused(shape) => same_kind(shape, value),
        Shape::Reserved => true,
    }
}

fn name(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text | Shape::Word(_) | Shape::Choice(_) => "a text",
        Shape::Duration | Shape::Size => "a text with a unit, such as \"5s\" or \"1MiB\"",
        Shape::Whole(..) => "a whole number",
        Shape::Number => "a number",
        Shape::Flag => "true or false",
        Shape::List(_) => "a list",
        Shape::Table(_) | Shape::Named(_) | Shape::OneOf(_) => "a table",
        Shape::Either(expected, _) => expected,
        Shape::Refused(shape) => name(shape),
        Shape::Reserved => "a value",
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What to write in place of a value of another type.
fn advice(shape: &Shape, found: &DeValue<'_>) -> String {
    match shape {
        Shape::Text | Shape::Word(_) | Shape::Choice(_) if found.is_array() => {
            "write one text, without brackets".into()
        }
        Shape::Text | Shape::Word(_) | Shape::Choice(_) => "write it in quotes".into(),
        Shape::Duration | Shape::Size => "write a whole number with its unit, in quotes".into(),
        Shape::Whole(..) | Shape::Number if found.is_str() => "write it without quotes".into(),
        Shape::Whole(..) | Shape::Number => "write a number".into(),
        Shape::Flag => "write true or false, without quotes".into(),
        Shape::List(each) if matches!(each, Shape::Table(_)) && found.is_table() => {
            "write its header in double brackets: [[…]]".into()
        }
        Shape::List(_) => "write a list: […]".into(),
        Shape::Table(keys) => format!("write a table: {{ KEY = … }}; its keys: {}", names(keys)),
        Shape::OneOf(keys) => format!("write a table with one key: {{ KEY = … }}; known: {}", names(keys)),
        Shape::Named(_) => "write a table: { NAME = … }".into(),
        Shape::Refused(shape) => advice(shape, found),
        Shape::Either(..) | Shape::Reserved => "docs/config.md shows its forms".into(),
    }
}

fn names(keys: &[Key]) -> String {
    keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
