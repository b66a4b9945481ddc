//! A head as it may be shown and searched.

use std::borrow::Cow;

use super::super::Head;
use super::{Class, Mark, Marks, Sensitive, masked_query};

/// What stands in place of a value that is not shown.
pub const MASK: &str = "***";

/// A head, seen through the configuration of today and the marks of the day it came.
#[derive(Debug)]
pub struct View<'h> {
    sensitive: &'h Sensitive,
    head: &'h Head,
    marks: &'h Marks,
}

impl<'h> View<'h> {
    pub(super) fn new(sensitive: &'h Sensitive, head: &'h Head, marks: &'h Marks) -> Self {
        Self { sensitive, head, marks }
    }

    /// A marked path was masked before it was kept.
    pub fn path(&self) -> Cow<'h, str> {
        self.sensitive.path(self.head.path())
    }

    /// The host.
    pub fn host(&self) -> &'h str {
        if self.marks.has(Mark::Host) { MASK } else { self.sensitive.host(self.head.host()) }
    }

    /// The query, without its question mark.
    pub fn query(&self) -> Option<Cow<'h, str>> {
        let hidden =
            |at: usize, piece: &str| self.marks.has(Mark::Member(at)) || self.sensitive.member(piece) != Class::Plain;
        Some(masked_query(self.head.query()?, hidden))
    }

    /// Path and query.
    pub fn target(&self) -> String {
        let mut target = self.path().into_owned();
        if let Some(query) = self.query() {
            target.push('?');
            target.push_str(&query);
        }
        target
    }

    /// Name and value of every field; no value where it is not shown.
    pub fn fields(&self) -> impl Iterator<Item = (&'h str, Option<&'h [u8]>)> {
        self.head.headers().iter().enumerate().map(|(at, (name, value))| {
            let hidden = self.marks.has(Mark::Field(at)) || self.sensitive.field(name, value) != Class::Plain;
            (name, (!hidden).then_some(value))
        })
    }

    /// Whether lower-case `text` stands in anything that is shown.
    pub fn contains(&self, text: &[u8]) -> bool {
        let found = |hay: &[u8]| hay.windows(text.len().max(1)).any(|window| window.eq_ignore_ascii_case(text));
        found(self.path().as_bytes())
            || found(self.host().as_bytes())
            || self.query().is_some_and(|query| found(query.as_bytes()))
            || self.fields().any(|(name, value)| found(name.as_bytes()) || value.is_some_and(found))
    }
}
