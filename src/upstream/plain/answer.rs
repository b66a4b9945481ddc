//! The head of an answer, and where its body ends (RFC 9112 section 6.3), read without leniency: an answer that two readers
//! could end in two places is not believed.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::chunks::Chunks;
use crate::upstream::Outbound;
use crate::upstream::failure::Failure;
use crate::upstream::retry_after::RetryAfter;

const MAX_FIELDS: usize = 128;

/// What matters of a head.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) content_type: Option<Bytes>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) ends: Ends,
    pub(super) keep_alive: bool,
}

/// Where the body ends.
pub(super) enum Ends {
    /// There is none.
    Here,
    /// So many bytes are to come.
    After(u64),
    /// The chunked coding says.
    Chunks(Chunks),
    /// When the server closes.
    WithConnection,
}

impl Ends {
    /// The length that was announced, where one was.
    pub(super) fn announced(&self) -> Option<usize> {
        match self {
            Self::After(length) => usize::try_from(*length).ok(),
            Self::Here | Self::Chunks(_) | Self::WithConnection => None,
        }
    }
}

/// The head at the start of `read` and its length, once it is whole.
pub(super) fn parse(read: &[u8], request: &Outbound<'_>) -> Result<Option<(Head, usize)>, Failure> {
    let mut fields = [MaybeUninit::<httparse::Header<'_>>::uninit(); MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, read, &mut fields);
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
    let facts = Facts::of(response.headers, response.version == Some(1), request.keep_answer > 0)
        .map_err(Failure::malformed)?;
    let ends = if request.method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
        Ends::Here
    } else if facts.chunked {
        Ends::Chunks(Chunks::default())
    } else {
        facts.length.map_or(Ends::WithConnection, |length| if length == 0 { Ends::Here } else { Ends::After(length) })
    };
    let Facts { content_type, retry_after, keep_alive, .. } = facts;
    let head = Head { status, content_type, retry_after, ends, keep_alive };
    Ok(Some((head, length)))
}

#[derive(Default)]
struct Facts {
    length: Option<u64>,
    chunked: bool,
    keep_alive: bool,
    content_type: Option<Bytes>,
    retry_after: Option<RetryAfter>,
}

impl Facts {
    /// `typed`: the type of the body matters.
    fn of(fields: &[httparse::Header<'_>], http11: bool, typed: bool) -> Result<Self, &'static str> {
        let mut facts = Self { keep_alive: http11, ..Self::default() };
        for field in fields {
            match field.name.len() {
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    let mut options = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                    facts.keep_alive &= !options.any(|option| option.eq_ignore_ascii_case(b"close"));
                }
                11 if field.name.eq_ignore_ascii_case("retry-after") => {
                    facts.retry_after = RetryAfter::parse(field.value);
                }
                12 if typed && field.name.eq_ignore_ascii_case("content-type") => {
                    facts.content_type = Some(Bytes::copy_from_slice(field.value));
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => facts.length(field.value)?,
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    if facts.chunked || !field.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                        return Err("a transfer coding other than chunked");
                    }
                    facts.chunked = true;
                }
                _ => {}
            }
        }
        match (facts.chunked, facts.length, http11) {
            (true, Some(_), _) => Err("both a length and a transfer coding"),
            (true, None, false) => Err("a transfer coding in HTTP/1.0"),
            _ => Ok(facts),
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let value = value.trim_ascii();
        if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
            return Err("a length that is no number");
        }
        let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
        if self.length.replace(length).is_some() { Err("two lengths") } else { Ok(()) }
    }
}
