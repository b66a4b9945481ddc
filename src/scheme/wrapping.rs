//! Where signatures stand in a request and how they are wrapped.
//!
//! Any one of several signatures may match. What is not of the scheme's shape is skipped where a list may hold other
//! versions, and refused where it stands alone; nothing left is a refusal.

use std::borrow::Cow;

use super::algorithm::{Algorithm, Tag};
use super::encoding::Encoding;
use super::message_signature;
use super::source::{Facts, Source};
use crate::domain::Refusal;

/// Signatures that one request may bring. More of them would let a sender buy comparisons.
pub const MAX_CANDIDATES: usize = 16;

/// In a list by name: every one is a signature's.
pub(crate) const ANY_NAME: &str = "*";

/// Where to look and how to unwrap.
#[derive(Clone, Debug)]
pub(crate) struct SignatureSpec {
    /// At least one; each that is there brings candidates.
    pub(crate) places: Vec<Source>,
    pub(crate) wrapping: Wrapping,
    /// In front of each signature, exact.
    pub(crate) prefix: Box<str>,
    pub(crate) encoding: Encoding,
}

/// What a place's text is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    /// One signature.
    Bare,
    /// `t=1,v1=ab,v1=cd`, or `v1,ab v1,cd` with a space and a comma.
    Named(Named),
    /// `1700000000,ab,cd`: signatures from one position on.
    Positional { separator: u8, from: usize },
    /// `sig1=:ab==:` of an HTTP message signature; `None`: the only one.
    Dictionary { label: Option<Box<str>> },
}

/// How a list by name is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) separator: u8,
    pub(crate) assign: u8,
    /// Of signatures; `*` is every one.
    pub(crate) names: Vec<Box<str>>,
    /// Values stand in quotation marks.
    pub(crate) quoted: bool,
    /// What else must be there, and what it must say.
    pub(crate) fixed: Vec<(Box<str>, Box<str>)>,
}

impl Named {
    /// Names and values.
    fn pairs<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = (&'t [u8], &'t [u8])> + use<'t> {
        let (assign, quoted) = (self.assign, self.quoted);
        items(text, self.separator).filter_map(move |item| assignment(item, assign, quoted))
    }

    /// The one item of this name. Twice is refused: the signed one cannot be distinguished from the other.
    fn sole<'t>(&self, text: &'t [u8], wanted: &str) -> Result<Option<&'t [u8]>, Refusal> {
        let mut values = self.pairs(text).filter(|(name, _)| *name == wanted.as_bytes()).map(|(_, value)| value);
        let value = values.next();
        if values.next().is_some() { Err(Refusal::SignatureRepeated) } else { Ok(value) }
    }

    fn each(&self, text: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        for (name, value) in &self.fixed {
            if self.sole(text, name)? != Some(value.as_bytes()) {
                return Err(Refusal::SignatureMalformed);
            }
        }
        let is_one = |name: &[u8]| self.names.iter().any(|known| **known == *ANY_NAME || known.as_bytes() == name);
        self.pairs(text).filter(|(name, _)| is_one(name)).try_for_each(|(_, value)| take(value))
    }

    fn wrap(&self, signature: &str, beside: &[(&Item, &str)], key: Option<&str>, key_id: &str) -> String {
        let (separator, assign) = (char::from(self.separator), char::from(self.assign));
        let mark = if self.quoted { "\"" } else { "" };
        let pair = |name: &str, value: &str| format!("{name}{assign}{mark}{value}{mark}");
        let beside = beside.iter().filter_map(|(item, value)| match item {
            Item::Named(name) => Some(pair(name, value)),
            Item::Position(_) => None,
        });
        let name = match self.names.first().map(AsRef::as_ref).unwrap_or_default() {
            ANY_NAME => key_id,
            name => name,
        };
        let fixed = self.fixed.iter().map(|(name, value)| pair(name, value));
        let key = key.map(|name| pair(name, key_id));
        let all: Vec<String> = key.into_iter().chain(beside).chain(fixed).chain([pair(name, signature)]).collect();
        all.join(&separator.to_string())
    }
}

/// What stands beside the signatures in the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Named(Box<str>),
    Position(usize),
}

/// Decoded signatures, all of one length, on the stack.
#[derive(Debug)]
pub(crate) struct Candidates {
    tags: [Tag; MAX_CANDIDATES],
    len: usize,
}

impl Candidates {
    /// None yet. Whoever asks makes the room: a kilobyte is not handed around.
    pub(crate) const fn none() -> Self {
        Self { tags: [Tag::EMPTY; MAX_CANDIDATES], len: 0 }
    }

    /// In the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tag> {
        self.tags.iter().take(self.len)
    }

    fn push(&mut self, tag: Tag) -> Result<(), Refusal> {
        *self.tags.get_mut(self.len).ok_or(Refusal::SignatureMalformed)? = tag;
        self.len += 1;
        Ok(())
    }
}

impl SignatureSpec {
    /// Adds all signatures of a request, decoded.
    pub(crate) fn candidates(
        &self,
        facts: &Facts<'_>,
        algorithm: Algorithm,
        found: &mut Candidates,
    ) -> Result<(), Refusal> {
        self.each_in(facts, |text| match self.encoding.decode_tag(text, algorithm.len()) {
            Some(tag) => found.push(tag).map(|()| true),
            None => Ok(false),
        })
    }

    /// Calls `take` with the text of every signature of a request; it says whether that is one.
    pub(crate) fn each_in(
        &self,
        facts: &Facts<'_>,
        mut take: impl FnMut(&[u8]) -> Result<bool, Refusal>,
    ) -> Result<(), Refusal> {
        let (mut found, mut malformed) = (false, false);
        for place in &self.places {
            let Some(text) = facts.read(place)? else { continue };
            self.each(&text, |signature| {
                match self.unprefix(signature) {
                    Some(text) if take(text)? => found = true,
                    _ => malformed = true,
                }
                Ok(())
            })?;
        }
        match (found, malformed) {
            (true, _) => Ok(()),
            (false, true) => Err(Refusal::SignatureMalformed),
            (false, false) => Err(Refusal::SignatureMissing),
        }
    }

    fn unprefix<'t>(&self, signature: &'t [u8]) -> Option<&'t [u8]> {
        signature.strip_prefix(self.prefix.as_bytes())
    }

    pub(super) fn each(&self, text: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), Refusal>) -> Result<(), Refusal> {
        match &self.wrapping {
            Wrapping::Bare => take(text),
            Wrapping::Named(named) => named.each(text, take),
            Wrapping::Positional { separator, from } => items(text, *separator).skip(*from).try_for_each(take),
            Wrapping::Dictionary { label } => {
                let text = std::str::from_utf8(text).map_err(|_| Refusal::SignatureMalformed)?;
                let value = message_signature::chosen(text, label.as_deref())?;
                take(message_signature::bytes(value).ok_or(Refusal::SignatureMalformed)?.as_bytes())
            }
        }
    }

    /// A place that has several signatures with commas between them where the scheme has one, and how many: the field was there
    /// more than once, and something joined its lines.
    pub(super) fn joined(&self, facts: &Facts<'_>, is_one: impl Fn(&[u8]) -> bool) -> Option<(&Source, usize)> {
        if self.wrapping != Wrapping::Bare {
            return None;
        }
        self.places.iter().find_map(|place| {
            let text = facts.read(place).ok().flatten()?;
            let is_one = |part: &[u8]| self.unprefix(part).is_some_and(&is_one).then_some(());
            let parts = items(&text, b',').map(|part| is_one(part).map(drop)).collect::<Option<Vec<()>>>()?;
            (parts.len() > 1).then_some((place, parts.len()))
        })
    }

    /// The names of a list's items, as they came.
    pub(super) fn item_names<'t>(&self, text: &'t [u8]) -> Vec<&'t [u8]> {
        match &self.wrapping {
            Wrapping::Named(named) => named.pairs(text).map(|(name, _)| name).collect(),
            Wrapping::Dictionary { .. } => {
                let members = std::str::from_utf8(text).ok().and_then(message_signature::members);
                members.unwrap_or_default().into_iter().map(|(name, _)| name.as_bytes()).collect()
            }
            Wrapping::Bare | Wrapping::Positional { .. } => Vec::new(),
        }
    }

    /// What stands beside the signatures. Twice is refused: the signed one cannot be distinguished from the other.
    pub(crate) fn item<'f>(&self, facts: &'f Facts<'_>, item: &Item) -> Result<Option<Cow<'f, [u8]>>, Refusal> {
        if let (Wrapping::Dictionary { label }, Item::Named(name)) = (&self.wrapping, item) {
            return message_signature::parameter(facts, label.as_deref(), name);
        }
        let mut found = None;
        for place in &self.places {
            let value = match facts.read(place)? {
                None => None,
                Some(Cow::Borrowed(text)) => self.beside(text, item)?.map(Cow::Borrowed),
                Some(Cow::Owned(text)) => self.beside(&text, item)?.map(|value| Cow::Owned(value.to_vec())),
            };
            if found.is_some() && value.is_some() {
                return Err(Refusal::SignatureRepeated);
            }
            found = found.or(value);
        }
        Ok(found)
    }

    fn beside<'t>(&self, text: &'t [u8], item: &Item) -> Result<Option<&'t [u8]>, Refusal> {
        match (&self.wrapping, item) {
            (Wrapping::Named(named), Item::Named(wanted)) => named.sole(text, wanted),
            (Wrapping::Positional { separator, .. }, Item::Position(at)) => Ok(items(text, *separator).nth(*at)),
            _ => Ok(None),
        }
    }

    /// The text that a sender would put at the first place. `key` is the item that names the key; where any name will do for the
    /// signature, it is the key's.
    pub(crate) fn wrap(&self, signature: &[u8], beside: &[(&Item, &str)], key: Option<&str>, key_id: &str) -> String {
        let signature = format!("{}{}", self.prefix, self.encoding.encode(signature));
        match &self.wrapping {
            Wrapping::Bare => signature,
            Wrapping::Dictionary { label } => format!("{}=:{signature}:", label.as_deref().unwrap_or("sig1")),
            Wrapping::Named(named) => named.wrap(&signature, beside, key, key_id),
            Wrapping::Positional { separator, from } => {
                let at = |cell: usize| {
                    let mut here = beside.iter().filter(|(item, _)| matches!(item, Item::Position(at) if *at == cell));
                    here.next().map(|(_, value)| *value)
                };
                let places = beside.iter().map(|(item, _)| match item {
                    Item::Position(at) => *at,
                    Item::Named(_) => 0,
                });
                let last = places.max().unwrap_or_default().max(*from);
                let cells = (0..=last).map(|cell| match at(cell) {
                    Some(value) => value,
                    None if cell == *from => &signature,
                    None => "",
                });
                cells.collect::<Vec<_>>().join(&char::from(*separator).to_string())
            }
        }
    }
}

/// The items of a list. Blanks around an item are no part of it.
fn items(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |byte| *byte == separator).map(<[u8]>::trim_ascii)
}

/// Splits at the first assignment sign only: base64 ends in `=`.
fn assignment(item: &[u8], assign: u8, quoted: bool) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(assign, item)?;
    let (name, value) = (item.get(..at)?, item.get(at + 1..)?);
    match quoted {
        false => Some((name, value)),
        true => {
            let value = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
            (!value.contains(&b'"') && !value.contains(&b'\\')).then_some((name, value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Head, Method, Version};

    fn spec(wrapping: Wrapping, prefix: &str) -> SignatureSpec {
        let header = |name: &str| Source::Header(name.into());
        let places = vec![header("A"), header("B")];
        SignatureSpec { places, wrapping, prefix: prefix.into(), encoding: Encoding::Hex }
    }

    fn named(separator: u8, assign: u8) -> Wrapping {
        let names = vec!["v1".into(), "v2".into()];
        Wrapping::Named(Named { separator, assign, names, ..Named::default() })
    }

    fn quoted() -> Wrapping {
        let fixed = vec![("f".into(), "x y".into())];
        Wrapping::Named(Named { separator: b',', assign: b'=', names: vec!["s".into()], quoted: true, fixed })
    }

    /// How many signatures are found, and what stands beside them.
    fn find(
        spec: &SignatureSpec,
        fields: &[(&str, &str)],
        item: &Item,
    ) -> (Result<usize, Refusal>, Result<Option<String>, Refusal>) {
        let mut head = Head::builder(Method::Post, Version::Http11).target("/");
        for (name, value) in fields {
            head = head.header(name, value);
        }
        let head = head.build();
        let facts = Facts::new(&head, b"", &[]);
        let mut found = Candidates::none();
        let candidates = spec.candidates(&facts, Algorithm::Sha1, &mut found).map(|()| found.iter().count());
        let beside = spec.item(&facts, item);
        (candidates, beside.map(|value| value.map(|value| String::from_utf8_lossy(&value).into_owned())))
    }

    fn time(text: &str) -> Result<Option<String>, Refusal> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn lists_by_name_skip_what_they_do_not_know() {
        let sig = "0".repeat(40);
        let spec = spec(named(b',', b'='), "");
        let find = |text: &str| find(&spec, &[("a", text)], &Item::Named("t".into()));
        assert_eq!(find(&format!("t=1, v1={sig} ,v9=x,v2={sig},v1=short,alone,=")), (Ok(2), time("1")));
        assert_eq!(find("t=1=2,v9=x"), (Err(Refusal::SignatureMissing), time("1=2")));
        assert_eq!(find("v1="), (Err(Refusal::SignatureMalformed), Ok(None)));
        assert_eq!(find(&format!("t=1,v1={sig},t=1")), (Ok(1), Err(Refusal::SignatureRepeated)));
        let flood = |count: usize| vec![format!("v1={sig}"); count].join(",");
        assert_eq!(find(&flood(MAX_CANDIDATES)).0, Ok(MAX_CANDIDATES));
        assert_eq!(find(&flood(MAX_CANDIDATES + 1)).0, Err(Refusal::SignatureMalformed));
    }

    #[test]
    fn lists_by_position_know_the_rest_as_signatures() {
        let sig = "0".repeat(40);
        let spec = spec(Wrapping::Positional { separator: b',', from: 1 }, "s=");
        let find = |text: &str| find(&spec, &[("b", text)], &Item::Position(0));
        assert_eq!(find(&format!("17,s={sig},s={sig}")), (Ok(2), time("17")));
        assert_eq!(find("17"), (Err(Refusal::SignatureMissing), time("17")));
        assert_eq!(find(&format!("17,{sig}")), (Err(Refusal::SignatureMalformed), time("17")));
    }

    #[test]
    fn values_in_quotation_marks_have_both_and_none_inside() {
        let sig = "0".repeat(40);
        let spec = spec(quoted(), "");
        let find = |text: &str| find(&spec, &[("a", text)], &Item::Named("t".into()));
        assert_eq!(find(&format!("t=\"1\", f=\"x y\", s=\"{sig}\"")), (Ok(1), time("1")));
        for text in [format!("s={sig}"), format!("s=\"{sig}"), format!("s=\"{sig}\\\"\""), format!("s=\"\"{sig}\"")] {
            assert_eq!(find(&format!("f=\"x y\",{text}")).0, Err(Refusal::SignatureMissing), "{text}");
        }
        for text in ["", "f=\"x\",", "f=x y,"] {
            assert_eq!(find(&format!("{text}s=\"{sig}\"")).0, Err(Refusal::SignatureMalformed), "{text}");
        }
        assert_eq!(find(&format!("f=\"x y\",f=\"x y\",s=\"{sig}\"")).0, Err(Refusal::SignatureRepeated));
    }

    #[test]
    fn several_headers_bring_several_signatures_and_one_line_each() {
        let sig = "0".repeat(40);
        let spec = spec(Wrapping::Bare, "");
        let find = |fields: &[(&str, &str)]| find(&spec, fields, &Item::Position(0)).0;
        assert_eq!(find(&[("A", &sig), ("B", &sig)]), Ok(2));
        assert_eq!(find(&[("B", &sig)]), Ok(1));
        assert_eq!(find(&[]), Err(Refusal::SignatureMissing));
        assert_eq!(find(&[("A", &sig), ("a", &sig)]), Err(Refusal::SignatureRepeated));
    }

    #[test]
    fn what_is_wrapped_is_unwrapped() {
        let tag = Algorithm::Sha1.digest(b"x");
        let cases = [
            (Wrapping::Bare, None),
            (named(b' ', b','), None),
            (
                Wrapping::Named(Named {
                    separator: b'&',
                    assign: b'|',
                    names: vec![ANY_NAME.into()],
                    ..Named::default()
                }),
                None,
            ),
            (quoted(), Some(Item::Named("at".into()))),
            (named(b';', b'='), Some(Item::Named("ts".into()))),
            (Wrapping::Positional { separator: b',', from: 2 }, Some(Item::Position(0))),
        ];
        for (wrapping, item) in cases {
            let spec = spec(wrapping, "p");
            let beside: Vec<_> = item.iter().map(|item| (item, "17")).collect();
            let text = spec.wrap(tag.as_bytes(), &beside, None, "key");
            let beside = item.clone().unwrap_or(Item::Named("none".into()));
            let (count, found) = find(&spec, &[("A", &text)], &beside);
            assert_eq!((count, found), (Ok(1), Ok(item.map(|_| "17".to_owned()))), "{text}");
        }
    }
}
