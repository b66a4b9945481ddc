//! Words of the grammar: names from closed lists, durations, and parts of a request.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::raw::{RawDedupe, RawEntry, RawPart};
use crate::config::report::Problems;
use crate::scheme::algorithm::Algorithm;
use crate::scheme::encoding::Encoding;
use crate::scheme::identity::{Combination, Dedupe, MAX_PARTS};
use crate::scheme::json::JsonPath;
use crate::scheme::source::Source;
use crate::scheme::template::is_token;

/// Parts of a request that a table may name, each by a key of its own.
#[derive(Default)]
pub(super) struct Parts<'r> {
    pub(super) header: Option<&'r Spanned<String>>,
    pub(super) query: Option<&'r Spanned<String>>,
    pub(super) form: Option<&'r Spanned<String>>,
    pub(super) json: Option<&'r Spanned<String>>,
}

/// Problems of one table, which all begin with its key path.
pub(super) struct Scope<'p> {
    pub(super) key: String,
    pub(super) problems: &'p mut Problems,
}

impl<'p> Scope<'p> {
    /// The table `key.name`.
    pub(super) fn at(key: &str, name: &str, problems: &'p mut Problems) -> Self {
        Self { key: format!("{key}.{name}"), problems }
    }

    /// Adds a problem at `key.name`.
    pub(super) fn problem(
        &mut self,
        span: Option<Range<usize>>,
        name: &str,
        what: impl Into<String>,
        help: Option<&str>,
    ) {
        let key = if name.is_empty() { self.key.clone() } else { format!("{}.{name}", self.key) };
        self.problems.add(span, key, what, help.map(str::to_owned));
    }

    /// Adds something worth knowing that stops nothing.
    pub(super) fn warning(&mut self, span: Range<usize>, name: &str, what: impl Into<String>, help: &str) {
        self.problems.warn(Some(span), format!("{}.{name}", self.key), what, Some(help.to_owned()));
    }

    /// A word from a closed list.
    pub(super) fn word<T: Copy>(
        &mut self,
        text: &Spanned<String>,
        name: &str,
        known: &[T],
        spell: fn(T) -> &'static str,
    ) -> Option<T> {
        let found = known.iter().copied().find(|word| spell(*word) == text.get_ref());
        if found.is_none() {
            let all: Vec<&str> = known.iter().map(|word| spell(*word)).collect();
            let what = format!("expected one of {}, found `{}`", all.join(", "), text.get_ref());
            self.problem(Some(text.span()), name, what, None);
        }
        found
    }

    pub(super) fn algorithm(&mut self, text: &Spanned<String>, name: &str) -> Option<Algorithm> {
        if matches!(text.get_ref().as_str(), "md5" | "sha224" | "sha3-256" | "keccak256" | "blake2b" | "blake3") {
            self.problem(Some(text.span()), name, format!("`{}` is not available yet", text.get_ref()), None);
            return None;
        }
        self.word(text, name, &Algorithm::ALL, Algorithm::as_str)
    }

    pub(super) fn encoding(&mut self, text: Option<&Spanned<String>>, name: &str) -> Option<Encoding> {
        text.map_or(Some(Encoding::Hex), |text| self.word(text, name, &Encoding::ALL, Encoding::as_str))
    }

    /// A human duration within bounds.
    pub(super) fn duration(&mut self, text: &Spanned<String>, name: &str, most: Duration) -> Option<Duration> {
        let read = text.get_ref().parse::<jiff::SignedDuration>().ok().and_then(|read| Duration::try_from(read).ok());
        let found = read.filter(|read| *read >= Duration::from_millis(1) && *read <= most);
        if found.is_none() {
            let what = format!("expected a duration up to {} s, found `{}`", most.as_secs(), text.get_ref());
            self.problem(Some(text.span()), name, what, Some("write it as 30s, 5m or 1h30m"));
        }
        found
    }

    pub(super) fn header(&mut self, text: &Spanned<String>, name: &str) -> Option<Source> {
        if is_token(text.get_ref()) {
            return Some(Source::Header(text.get_ref().as_str().into()));
        }
        let what = format!("expected a header name, found `{}`", text.get_ref());
        self.problem(Some(text.span()), name, what, None);
        None
    }

    pub(super) fn query(&mut self, text: &Spanned<String>, name: &str) -> Option<Source> {
        self.name(text, name).map(Source::Query)
    }

    pub(super) fn form(&mut self, text: &Spanned<String>, name: &str) -> Option<Source> {
        self.name(text, name).map(Source::Form)
    }

    pub(super) fn json(&mut self, text: &Spanned<String>, name: &str) -> Option<JsonPath> {
        let path = self.path(text, name)?;
        if path.is_list() {
            let what = "a step `*` is many members, and this is one";
            self.problem(Some(text.span()), name, what, Some("only dedupe may have it"));
            return None;
        }
        Some(path)
    }

    /// A claim, which only a token has.
    pub(super) fn claim(&mut self, text: &Spanned<String>, name: &str) -> Option<Source> {
        if !self.key.ends_with(".jwt") {
            self.problem(Some(text.span()), name, "only the token of a scheme of the kind jwt has claims", None);
            return None;
        }
        self.json(text, name).map(Source::Claim)
    }

    /// The path of one member or, with a step `*`, of many.
    fn path(&mut self, text: &Spanned<String>, name: &str) -> Option<JsonPath> {
        let path = JsonPath::parse(text.get_ref());
        if path.is_none() {
            let what = format!("expected the path of a JSON member, found `{}`", text.get_ref());
            self.problem(Some(text.span()), name, what, Some("write keys and indexes with dots: data.items.0.id"));
        }
        path
    }

    fn name(&mut self, text: &Spanned<String>, name: &str) -> Option<Box<str>> {
        if text.get_ref().is_empty() {
            self.problem(Some(text.span()), name, "expected a name, found nothing", None);
            return None;
        }
        Some(text.get_ref().as_str().into())
    }

    /// Each part that `name.header`, `name.query`, `name.form` and `name.json` name; `None` for one that is wrong.
    pub(super) fn parts(&mut self, Parts { header, query, form, json }: Parts<'_>, name: &str) -> Vec<Option<Source>> {
        let mut parts = Vec::new();
        parts.extend(header.map(|text| self.header(text, &format!("{name}.header"))));
        parts.extend(query.map(|text| self.query(text, &format!("{name}.query"))));
        parts.extend(form.map(|text| self.form(text, &format!("{name}.form"))));
        parts.extend(json.map(|text| self.json(text, &format!("{name}.json")).map(Source::Json)));
        parts
    }

    pub(super) fn part(&mut self, part: &RawPart, name: &str) -> Option<Source> {
        match part {
            RawPart::Header(text) => self.header(text, name),
            RawPart::Query(text) => self.query(text, name),
            RawPart::Form(text) => self.form(text, name),
            RawPart::Json(text) => self.json(text, name).map(Source::Json),
        }
    }

    /// An entry of `dedupe`.
    pub(super) fn combination(&mut self, raw: &Spanned<RawEntry>) -> Option<Combination> {
        let mut found = Combination::default();
        let before = self.problems.len();
        for (at, part) in raw.get_ref().0.iter().enumerate() {
            let part = match part {
                RawDedupe::When(when) => {
                    let header = self.header(&when.header, "dedupe");
                    if at > 0 {
                        let what = "a condition stands before the parts that it is for, once";
                        self.problem(Some(when.header.span()), "dedupe", what, None);
                    }
                    found.when = header.map(|header| (header, when.equals.as_str().into()));
                    continue;
                }
                RawDedupe::Signature => Some(Dedupe::Signature),
                RawDedupe::Body => Some(Dedupe::Body),
                RawDedupe::Header(text) => self.header(text, "dedupe").map(Dedupe::Source),
                RawDedupe::Query(text) => self.query(text, "dedupe").map(Dedupe::Source),
                RawDedupe::Form(text) => self.form(text, "dedupe").map(Dedupe::Source),
                RawDedupe::Claim(text) => self.claim(text, "dedupe").map(Dedupe::Source),
                RawDedupe::Json(text) => self.path(text, "dedupe").map(Source::Json).map(Dedupe::Source),
            };
            match part {
                Some(part) if found.parts.contains(&part) => {
                    self.problem(Some(raw.span()), "dedupe", "has one part twice", None);
                }
                Some(part) => found.parts.push(part),
                None => {}
            }
        }
        if self.problems.len() == before && !(1..=MAX_PARTS).contains(&found.parts.len()) {
            let what = format!("expected 1 to {MAX_PARTS} parts, found {}", found.parts.len());
            let help = "for instance [{ header = \"X-Id\" }, \"body\"]; a condition is no part";
            self.problem(Some(raw.span()), "dedupe", what, Some(help));
        }
        (self.problems.len() == before).then_some(found)
    }
}

/// Absent is fine; present and wrong is not.
#[expect(clippy::option_option, reason = "the outer level is whether it compiled, the inner whether it is there")]
pub(super) fn optional<T>(compiled: Option<Option<T>>) -> Option<Option<T>> {
    match compiled {
        None => Some(None),
        Some(compiled) => compiled.map(Some),
    }
}

/// Exactly one of several keys.
pub(super) fn sole<T>(mut places: Vec<Option<T>>, span: Range<usize>, name: &str, scope: &mut Scope<'_>) -> Option<T> {
    if places.len() != 1 {
        scope.problem(Some(span), name, format!("expected exactly one place, found {}", places.len()), None);
        return None;
    }
    places.pop().flatten()
}
