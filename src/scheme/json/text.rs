//! JSON as it is written: the text of one member, the elements of an array, and the whole with its keys sorted.
//!
//! The text is judged by `serde_json` first, so that what walks over it here meets nothing unexpected, and its depth is bounded, so
//! that the walk may call itself.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::{JsonFault, JsonPath, within_depth};

/// The text of a member, without blanks around it. `None`: it is not there.
pub(in crate::scheme) fn member<'a>(body: &'a [u8], path: &JsonPath) -> Result<Option<&'a [u8]>, JsonFault> {
    sound(body)?;
    let mut at = blank(body, 0);
    for step in path.steps() {
        let mut found = None;
        match body.get(at) {
            Some(b'{') => {
                for (key, value) in members(body, at).ok_or(JsonFault::Invalid)? {
                    if unescaped(body, key).is_some_and(|key| key == step) {
                        if found.is_some() {
                            return Err(JsonFault::Ambiguous);
                        }
                        found = Some(value.start);
                    }
                }
            }
            Some(b'[') => {
                let index = step.parse::<usize>().ok();
                let items = items(body, at, usize::MAX).ok_or(JsonFault::Invalid)?;
                found = index.and_then(|index| items.get(index)).map(|item| item.start);
            }
            _ => {}
        }
        match found {
            Some(start) => at = start,
            None => return Ok(None),
        }
    }
    Ok(skip(body, at).and_then(|end| body.get(at..end)))
}

/// The texts of an array's elements. `None`: there is no array at this path, or it has more of them than this.
pub(in crate::scheme) fn elements<'a>(
    body: &'a [u8],
    path: &JsonPath,
    most: usize,
) -> Result<Option<Vec<&'a [u8]>>, JsonFault> {
    let Some(array) = member(body, path)?.filter(|text| text.first() == Some(&b'[')) else { return Ok(None) };
    let items = items(array, 0, most);
    Ok(items.map(|items| items.into_iter().filter_map(|item| array.get(item)).collect()))
}

/// The same JSON with the keys of every object in the order of their bytes, and without blanks. Texts and numbers stay as they are
/// written.
pub(in crate::scheme) fn sorted(body: &[u8]) -> Result<Vec<u8>, JsonFault> {
    sound(body)?;
    let mut out = Vec::with_capacity(body.len());
    write(body, blank(body, 0), &mut out)?;
    Ok(out)
}

fn sound(body: &[u8]) -> Result<(), JsonFault> {
    let text = std::str::from_utf8(body).map_err(|_| JsonFault::Invalid)?;
    if !within_depth(body) {
        return Err(JsonFault::Ambiguous);
    }
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|_| JsonFault::Invalid)
}

/// Writes the value that begins here, and says where it ends. Every byte of the text is read once.
fn write(text: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, JsonFault> {
    let end_of = |at| skip(text, at).ok_or(JsonFault::Invalid);
    match text.get(at) {
        Some(b'{') => {
            let (start, mut at) = (out.len(), blank(text, at + 1));
            let mut members: Vec<(String, Range<usize>)> = Vec::new();
            while *text.get(at).ok_or(JsonFault::Invalid)? != b'}' {
                let key = at..end_of(at)?;
                let value = blank(text, blank(text, key.end) + 1);
                let from = out.len() - start;
                out.extend_from_slice(text.get(key.clone()).unwrap_or_default());
                out.push(b':');
                at = next(text, write(text, value, out)?).ok_or(JsonFault::Invalid)?;
                members.push((unescaped(text, key).ok_or(JsonFault::Invalid)?, from..out.len() - start));
            }
            let written = out.split_off(start);
            members.sort_unstable_by(|left, right| left.0.cmp(&right.0));
            if members.windows(2).any(|pair| matches!(pair, [left, right] if left.0 == right.0)) {
                return Err(JsonFault::Ambiguous);
            }
            out.push(b'{');
            for (place, (_, member)) in members.into_iter().enumerate() {
                out.extend_from_slice(if place > 0 { b"," } else { b"" });
                out.extend_from_slice(written.get(member).unwrap_or_default());
            }
            out.push(b'}');
            Ok(at + 1)
        }
        Some(b'[') => {
            out.push(b'[');
            let mut at = blank(text, at + 1);
            let first = at;
            while *text.get(at).ok_or(JsonFault::Invalid)? != b']' {
                out.extend_from_slice(if at > first { b"," } else { b"" });
                at = next(text, write(text, at, out)?).ok_or(JsonFault::Invalid)?;
            }
            out.push(b']');
            Ok(at + 1)
        }
        _ => {
            let end = end_of(at)?;
            out.extend_from_slice(text.get(at..end).unwrap_or_default());
            Ok(end)
        }
    }
}

fn unescaped(text: &[u8], key: Range<usize>) -> Option<String> {
    serde_json::from_slice(text.get(key)?).ok()
}

/// Keys, with their quotation marks, and values of the object that begins here.
fn members(text: &[u8], at: usize) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut found = Vec::new();
    let mut at = blank(text, at + 1);
    while *text.get(at)? != b'}' {
        let key = at..skip(text, at)?;
        let colon = blank(text, key.end);
        let value = blank(text, colon + 1);
        let value = value..skip(text, value)?;
        at = next(text, value.end)?;
        found.push((key, value));
    }
    Some(found)
}

/// Elements of the array that begins here, unless there are more of them.
fn items(text: &[u8], at: usize, most: usize) -> Option<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut at = blank(text, at + 1);
    while *text.get(at)? != b']' {
        if found.len() == most {
            return None;
        }
        let item = at..skip(text, at)?;
        at = next(text, item.end)?;
        found.push(item);
    }
    Some(found)
}

/// Behind the comma, or at the end of what is walked through.
fn next(text: &[u8], at: usize) -> Option<usize> {
    let at = blank(text, at);
    Some(if *text.get(at)? == b',' { blank(text, at + 1) } else { at })
}

fn blank(text: &[u8], at: usize) -> usize {
    let blanks = text.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    at + blanks
}

/// Where the value that begins here ends.
fn skip(text: &[u8], at: usize) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (place, byte) in text.iter().enumerate().skip(at) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => {
                quoted = !quoted;
                if !quoted && depth == 0 {
                    return Some(place + 1);
                }
            }
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' if depth > 1 => depth -= 1,
            b']' | b'}' if depth == 1 => return Some(place + 1),
            b',' | b']' | b'}' | b':' if depth == 0 => return Some(place),
            byte if depth == 0 && byte.is_ascii_whitespace() => return Some(place),
            _ => {}
        }
    }
    (depth == 0 && !quoted).then_some(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn raw(body: &str, path: &str) -> Result<Option<String>, JsonFault> {
        let found = member(body.as_bytes(), &JsonPath::parse(path).unwrap())?;
        Ok(found.map(|text| String::from_utf8(text.to_vec()).unwrap()))
    }

    #[test]
    fn a_member_is_as_it_is_written() {
        let body = " { \"a\\u0062\" : { \"c\" : 1.50 , \"d\":[ {\"e\" : \"}]\\\"\"} ,  7] }, \"x\":null } ";
        assert_eq!(raw(body, "ab").unwrap().unwrap(), "{ \"c\" : 1.50 , \"d\":[ {\"e\" : \"}]\\\"\"} ,  7] }");
        assert_eq!(raw(body, "ab.c").unwrap().unwrap(), "1.50");
        assert_eq!(raw(body, "ab.d.0.e").unwrap().unwrap(), "\"}]\\\"\"");
        assert_eq!(raw(body, "ab.d.1").unwrap().unwrap(), "7");
        assert_eq!(raw(body, "x").unwrap().unwrap(), "null");
        for path in ["y", "ab.d.2", "ab.c.z", "ab.d.e"] {
            assert_eq!(raw(body, path), Ok(None), "{path}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        assert_eq!(raw("{\"a\":1,\"\\u0061\":2}", "a"), Err(JsonFault::Ambiguous));
        assert_eq!(raw("{\"b\":1,\"b\":2,\"a\":3}", "a").unwrap().unwrap(), "3", "of other members nothing is said");
        assert_eq!(sorted(b"{\"b\":{\"a\":1,\"\\u0061\":2}}"), Err(JsonFault::Ambiguous));
        for body in ["", "{", "{} x", "\u{feff}{}", "[1,]", "nul"] {
            assert_eq!(sorted(body.as_bytes()), Err(JsonFault::Invalid), "{body}");
        }
        assert_eq!(sorted(b"{\"a\":\"\xff\"}"), Err(JsonFault::Invalid));
        assert_eq!(sorted("[".repeat(101).as_bytes()), Err(JsonFault::Ambiguous), "too deep");
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(sorted(deep.as_bytes()).unwrap(), deep.as_bytes());
    }

    #[test]
    fn keys_are_sorted_at_every_level_and_nothing_else_changes() {
        let body = "{ \"b\" : [ {\"d\": 1.50, \"c\":\"\\u00e9 \\/\"}, 2 ] ,\"a\":{}, \"A\":[] }";
        let text = "{\"A\":[],\"a\":{},\"b\":[{\"c\":\"\\u00e9 \\/\",\"d\":1.50},2]}";
        assert_eq!(String::from_utf8(sorted(body.as_bytes()).unwrap()).unwrap(), text);
    }

    #[test]
    fn elements_are_bounded() {
        let path = JsonPath::parse("a").unwrap();
        let found =
            |body: &str, most| elements(body.as_bytes(), &path, most).map(|found| found.map(|found| found.len()));
        assert_eq!(found("{\"a\":[{}, 1 ,\"x,y\"]}", 3), Ok(Some(3)));
        assert_eq!(found("{\"a\":[{}, 1 ,\"x,y\"]}", 2), Ok(None));
        assert_eq!(found("{\"a\":[]}", 2), Ok(Some(0)));
        assert_eq!(found("{\"a\":{}}", 2), Ok(None));
        assert_eq!(found("{}", 2), Ok(None));
    }

    proptest! {
        #[test]
        fn sorting_twice_is_sorting_once_and_keeps_the_meaning(keys in proptest::collection::btree_map("[a-c\"é ]{0,3}", 0i32..9, 0..5)) {
            let value = serde_json::json!({ "z": [&keys, "x"], "k": &keys });
            let once = sorted(serde_json::to_string_pretty(&value).unwrap().as_bytes()).unwrap();
            prop_assert_eq!(&sorted(&once).unwrap(), &once);
            prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&once).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_walked_over(body in proptest::collection::vec(proptest::sample::select(&b"{}[]\",:\\1 a"[..]), 0..40)) {
            let path = JsonPath::parse("a.0").unwrap();
            let _ = (sorted(&body), member(&body, &path), elements(&body, &path, 3));
        }
    }
}
