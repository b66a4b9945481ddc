//! The head of an answer, and where its body ends (RFC 9112 section 6.3).
//!
//! Forms that have one reading are read, as other clients read them: a blank before the colon, a folded line, a line that ends
//! in LF alone, the same length twice. An answer that two readers could end in two places is not believed.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};

use super::chunks::Chunks;
use crate::upstream::Outbound;
use crate::upstream::failure::Failure;
use crate::upstream::retry_after::RetryAfter;

/// What fits into a head's bytes is bounded there; that many fields are read without a buffer for them.
const MAX_FIELDS: usize = 512;

/// What matters of a head.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_type: Option<Bytes>,
    pub(super) content_encoding: Option<Bytes>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) ends: Ends,
    pub(super) keep_alive: bool,
}

/// Where the body ends.
pub(super) enum Ends {
    /// There is none.
    Here,
    /// This many bytes are to come.
    After(u64),
    /// The chunked coding says.
    Chunks(Chunks),
    /// When the server closes.
    WithConnection,
}

impl Ends {
    /// The length that was announced, where one was.
    pub(super) fn announced(&self) -> Option<u64> {
        match self {
            Self::After(length) => Some(*length),
            Self::Here | Self::Chunks(_) | Self::WithConnection => None,
        }
    }
}

/// The head at the start of `read` and its length, once it is whole.
pub(super) fn parse(read: &[u8], request: &Outbound<'_>) -> Result<Option<(Head, usize)>, Failure> {
    let mut fields = [MaybeUninit::<httparse::Header<'_>>::uninit(); MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    config.allow_spaces_after_header_name_in_responses(true).allow_obsolete_multiline_headers_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, read, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        // The parser's words name what it expected, never what it found.
        Err(error) => return Err(Failure::malformed(format!("the head of the answer: {error}"))),
    };
    let status = response.code.unwrap_or_default();
    if !(100..=599).contains(&status) {
        return Err(Failure::malformed("the answer has no status"));
    }
    let facts = Facts::of(response.headers, response.version == Some(1), request.pass_through.is_some())
        .map_err(Failure::malformed)?;
    let bodiless = request.method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    let ends = if bodiless { Ends::Here } else { facts.ends().map_err(Failure::malformed)? };
    // It has no body, whatever it says. But a server that announces one may send one, and that would be read as the next answer.
    let keep_alive = facts.keep_alive && !(bodiless && facts.announces_a_body());
    let Facts { content_type, content_encoding, retry_after, .. } = facts;
    Ok(Some((Head { status, content_type, content_encoding, retry_after, ends, keep_alive }, length)))
}

#[derive(Default)]
struct Facts {
    http11: bool,
    length: Option<u64>,
    /// How many codings, and whether the first one is `chunked`.
    codings: usize,
    chunked: bool,
    keep_alive: bool,
    content_type: Option<Bytes>,
    content_encoding: Option<Bytes>,
    retry_after: Option<RetryAfter>,
}

impl Facts {
    /// `passed_on`: what describes the body matters.
    fn of(fields: &[httparse::Header<'_>], http11: bool, passed_on: bool) -> Result<Self, &'static str> {
        let mut facts = Self { http11, keep_alive: http11, ..Self::default() };
        for field in fields {
            match field.name.len() {
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    let mut options = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    facts.keep_alive &= !options.any(|option| option.eq_ignore_ascii_case(b"close"));
                }
                11 if field.name.eq_ignore_ascii_case("retry-after") => {
                    facts.retry_after = RetryAfter::parse(field.value);
                }
                12 if passed_on && field.name.eq_ignore_ascii_case("content-type") => {
                    facts.content_type = Some(unfolded(None, field.value));
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => facts.length(field.value)?,
                16 if passed_on && field.name.eq_ignore_ascii_case("content-encoding") => {
                    facts.content_encoding = Some(unfolded(facts.content_encoding.as_deref(), field.value));
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    facts.chunked = facts.codings == 0 && field.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
                    facts.codings += 1;
                }
                _ => {}
            }
        }
        Ok(facts)
    }

    /// The same length said again is one length (RFC 9110 section 8.6).
    fn length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for value in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
                return Err("a length that is no number");
            }
            let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
            if self.length.replace(length).is_some_and(|before| before != length) {
                return Err("two lengths");
            }
        }
        Ok(())
    }

    fn announces_a_body(&self) -> bool {
        self.codings > 0 || self.length.is_some_and(|length| length > 0)
    }

    fn ends(&self) -> Result<Ends, &'static str> {
        match (self.codings, self.length) {
            (0, None) => Ok(Ends::WithConnection),
            (0, Some(0)) => Ok(Ends::Here),
            (0, Some(length)) => Ok(Ends::After(length)),
            _ if !self.chunked || self.codings > 1 => Err("a transfer coding other than chunked"),
            (_, Some(_)) => Err("both a length and a transfer coding"),
            (_, None) if !self.http11 => Err("a transfer coding in HTTP/1.0"),
            (_, None) => Ok(Ends::Chunks(Chunks::default())),
        }
    }
}

/// A value on one line, behind what an earlier field of its name said.
fn unfolded(before: Option<&[u8]>, value: &[u8]) -> Bytes {
    let Some(before) = before else {
        if !value.contains(&b'\n') {
            return Bytes::copy_from_slice(value);
        }
        return value.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
    };
    let mut list = BytesMut::from(before);
    list.extend_from_slice(b", ");
    list.extend_from_slice(&unfolded(None, value));
    list.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn parsed(head: &str) -> Result<Head, String> {
        let request = Outbound {
            method: "POST",
            target: "/",
            headers: crate::upstream::Fields::default(),
            body: Cow::Owned(Bytes::new()),
            sends: None,
            pass_through: Some(64),
        };
        match parse(head.as_bytes(), &request) {
            Ok(Some((parsed, length))) if length == head.len() => Ok(parsed),
            Ok(_) => Err("not whole".into()),
            Err(failure) => Err(failure.detail),
        }
    }

    #[test]
    fn forms_with_one_reading_are_read() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            "HTTP/1.1 200\r\nContent-Length: 005\r\n\r\n",
        ] {
            assert_eq!(parsed(head).unwrap().ends.announced(), Some(5), "{head}");
        }
    }

    #[test]
    fn as_many_fields_as_fit() {
        let many = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert!(parsed(&many(MAX_FIELDS)).is_ok());
        assert!(parsed(&many(MAX_FIELDS + 1)).is_err());
    }

    #[test]
    fn a_folded_value_is_one_line_and_two_encodings_are_a_list() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain;\r\n charset=utf-8\r\nContent-Encoding: gzip\r\n\
                    Content-Encoding: br\r\nContent-Length: 0\r\n\r\n";
        let head = parsed(head).unwrap();
        assert_eq!(head.content_type.unwrap(), "text/plain;   charset=utf-8");
        assert_eq!(head.content_encoding.unwrap(), "gzip, br");
    }

    #[test]
    fn an_answer_without_a_body_that_announces_one_is_the_last_of_its_connection() {
        for (fields, keeps) in [
            ("", true),
            ("Content-Length: 0\r\n", true),
            ("Content-Length: 5\r\n", false),
            ("Transfer-Encoding: chunked\r\n", false),
            ("Transfer-Encoding: gzip\r\nContent-Length: 1\r\n", false),
        ] {
            for status in ["102 Processing", "204 No Content", "304 Not Modified"] {
                let head = parsed(&format!("HTTP/1.1 {status}\r\n{fields}\r\n")).unwrap();
                assert_eq!((matches!(head.ends, Ends::Here), head.keep_alive), (true, keeps), "{status} {fields}");
            }
        }
    }
}
