//! Members of a JSON body, found without building a tree.
//!
//! One pass over the text: every wanted path is followed, everything else is skipped. A key that occurs twice on a wanted
//! path is an error, because two parsers would choose differently; so is nesting deeper than [`MAX_DEPTH`].
//!
//! A step `*` is every element of an array; what is found there is put together with commas between, in the order of the text.
//!
//! Deliberately absent: floating-point members. Their text does not survive a parser, and no scheme signs one.

pub(super) mod text;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Levels of arrays and objects that a body may have when a scheme must look into it.
const MAX_DEPTH: usize = 100;

/// The step that is every element of an array.
pub(super) const EACH: &str = "*";

/// Where a member is: keys from the top, and indexes where there is an array. Written with dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Box<str>>);

impl JsonPath {
    /// `data.object.id`, `events.0.id`; `None` when a step is empty or there are too many of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let steps: Vec<Box<str>> = text.split('.').map(Into::into).collect();
        (steps.len() <= 16 && steps.iter().all(|step| !step.is_empty())).then_some(Self(steps))
    }

    /// Whether it leads to every element of an array.
    pub(crate) fn is_list(&self) -> bool {
        self.0.iter().any(|step| **step == *EACH)
    }

    /// Whether it leads to this member or into it.
    pub(crate) fn is_in(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// From the top.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Why a body could not be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonFault {
    /// Not JSON in UTF-8.
    Invalid,
    /// JSON that two readers could understand differently, or too deep to be read safely.
    Ambiguous,
}

/// The texts of the members at `paths`: strings unescaped, integers and booleans as written, everything else absent.
pub(crate) fn members<'a>(body: &'a [u8], paths: &[JsonPath]) -> Result<Vec<Option<Cow<'a, str>>>, JsonFault> {
    let text = std::str::from_utf8(body).map_err(|_| JsonFault::Invalid)?;
    if !within_depth(body) {
        return Err(JsonFault::Ambiguous);
    }
    let mut search = Search { found: vec![None; paths.len()], repeated: false };
    let wanted = paths.iter().enumerate().map(|(at, path)| (at, path.0.as_slice())).collect();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Node { wanted, search: &mut search }.deserialize(&mut reader).and_then(|()| reader.end());
    match read {
        Ok(()) => Ok(search.found),
        Err(_) if search.repeated => Err(JsonFault::Ambiguous),
        Err(_) => Err(JsonFault::Invalid),
    }
}

/// Counts brackets outside strings. Skipping is not recursive, so this is a policy, not what keeps the stack safe.
fn within_depth(body: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

struct Search<'de> {
    found: Vec<Option<Cow<'de, str>>>,
    repeated: bool,
}

/// One value of the text, with the paths that lead through it.
struct Node<'p, 's, 'de> {
    wanted: Vec<(usize, &'p [Box<str>])>,
    search: &'s mut Search<'de>,
}

impl<'p, 'de> Node<'p, '_, 'de> {
    /// The paths that go on through a key or an index.
    fn through(&self, leads: impl Fn(&str) -> bool) -> Vec<(usize, &'p [Box<str>])> {
        self.wanted
            .iter()
            .filter_map(|(at, path)| match path.split_first() {
                Some((first, rest)) if leads(first) => Some((*at, rest)),
                _ => None,
            })
            .collect()
    }

    fn scalar(self, value: Cow<'de, str>) {
        for (at, path) in &self.wanted {
            match (path.is_empty(), self.search.found.get_mut(*at)) {
                // Only a list comes here twice.
                (true, Some(Some(before))) => before.to_mut().extend([",", &value]),
                (true, Some(none)) => *none = Some(value.clone()),
                _ => {}
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<usize> = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            let wanted = self.through(|step| step == &*key && step != EACH);
            let Some((first, _)) = wanted.first() else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen.contains(first) {
                self.search.repeated = true;
                return Err(A::Error::custom("a key occurs twice"));
            }
            seen.push(*first);
            map.next_value_seed(Node { wanted, search: &mut *self.search })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        loop {
            let wanted = self.through(|step| step == EACH || step.parse() == Ok(index));
            let more = if wanted.is_empty() {
                seq.next_element::<IgnoredAny>()?.map(drop)
            } else {
                seq.next_element_seed(Node { wanted, search: &mut *self.search })?
            };
            if more.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<(), E> {
        self.scalar(Cow::Borrowed(value));
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.scalar(Cow::Owned(value.to_owned()));
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(Cow::Owned(value.to_string()));
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(Cow::Borrowed(if value { "true" } else { "false" }));
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// An object's key, borrowed unless it has escapes.
struct Key<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        reader.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(body: &str, path: &str) -> Result<Option<String>, JsonFault> {
        let found = members(body.as_bytes(), &[JsonPath::parse(path).unwrap()])?;
        Ok(found.into_iter().next().unwrap().map(Cow::into_owned))
    }

    fn text(value: &str) -> Result<Option<String>, JsonFault> {
        Ok(Some(value.to_owned()))
    }

    #[test]
    fn members_are_found_at_any_depth() {
        let body = r#" {"a":{"b":[{"c":"x\u0041"},7]},"n":-12,"t":true,"f":1.5,"z":null,"o":{}} "#;
        assert_eq!(find(body, "a.b.0.c"), text("xA"));
        assert_eq!(find(body, "a.b.1"), text("7"));
        assert_eq!(find(body, "n"), text("-12"));
        assert_eq!(find(body, "t"), text("true"));
        for absent in ["f", "z", "o", "a.b", "a.b.2", "a.b.0.c.d", "q", "b"] {
            assert_eq!(find(body, absent), Ok(None), "{absent}");
        }
    }

    #[test]
    fn a_star_is_every_element_and_no_key() {
        let body = r#"{"e":[{"id":"a","n":[1,2]},{"n":[3]},{"id":"b"}],"*":{"id":"c"}}"#;
        assert_eq!(find(body, "e.*.id"), text("a,b"));
        assert_eq!(find(body, "e.*.n.*"), text("1,2,3"));
        assert_eq!(find(body, "e.0.n.*"), text("1,2"));
        for absent in ["*.id", "e.id", "e.*", "*"] {
            assert_eq!(find(body, absent), Ok(None), "{absent}");
        }
        assert_eq!(find("[1,2]", "*"), text("1,2"));
        assert_eq!(find(r#"{"e":[{"id":"a","id":"b"}]}"#, "e.*.id"), Err(JsonFault::Ambiguous));
    }

    #[test]
    fn a_repeated_key_on_the_path_is_refused_and_elsewhere_ignored() {
        assert_eq!(find(r#"{"id":"a","id":"a"}"#, "id"), Err(JsonFault::Ambiguous));
        assert_eq!(find(r#"{"id":"a","\u0069d":"b"}"#, "id"), Err(JsonFault::Ambiguous));
        assert_eq!(find(r#"{"d":{"id":1},"d":{}}"#, "d.id"), Err(JsonFault::Ambiguous));
        assert_eq!(find(r#"{"x":1,"x":2,"id":"a"}"#, "id"), text("a"));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in ["", "{", "{\"id\":1}x", "\u{feff}{\"id\":1}", "{'id':1}", "id=1"] {
            assert_eq!(find(body, "id"), Err(JsonFault::Invalid), "{body}");
        }
        let path = [JsonPath::parse("id").unwrap()];
        assert_eq!(members(b"{\"id\":\"\xff\"}", &path), Err(JsonFault::Invalid));
        assert_eq!(members(b"\xff\xfe{\0", &path), Err(JsonFault::Invalid));
    }

    #[test]
    fn depth_is_bounded_and_huge_numbers_elsewhere_do_no_harm() {
        let deep = format!("{{\"id\":1,\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(find(&deep, "id"), Err(JsonFault::Ambiguous));
        assert_eq!(find(r#"{"id":"[[[{{{\"","x":1e400}"#, "id"), text("[[[{{{\""));
    }
}
