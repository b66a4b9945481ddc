//! The head of an answer, and where its body ends (RFC 9112 section 6.3), read without leniency: an answer that two readers
//! could end in two places is not believed.

use std::mem::MaybeUninit;

use bytes::Bytes;

use super::chunks::Chunks;
use crate::upstream::Outbound;
use crate::upstream::failure::Failure;
use crate::upstream::fields::{controls, is_token};
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
    let typed = request.keep_answer > 0;
    let (status, facts, length) = match usual(read, typed) {
        Some(found) => found,
        None => match any(read, typed)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    if !(100..=599).contains(&status) {
        return Err(Failure::malformed("the answer has no status"));
    }
    let Facts { length: announced, chunked, keep_alive, content_type, retry_after, .. } = facts;
    let ends = if request.method == "HEAD" || matches!(status, 100..=199 | 204 | 304) {
        Ends::Here
    } else if chunked {
        Ends::Chunks(Chunks::default())
    } else {
        announced.map_or(Ends::WithConnection, |length| if length == 0 { Ends::Here } else { Ends::After(length) })
    };
    let head = Head { status, content_type, retry_after, ends, keep_alive };
    Ok(Some((head, length)))
}

/// Any head, its facts and its length, once it is whole.
fn any(read: &[u8], typed: bool) -> Result<Option<(u16, Facts, usize)>, Failure> {
    let mut fields = [MaybeUninit::<httparse::Header<'_>>::uninit(); MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, read, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        // The parser's words name what it expected, never what it found.
        Err(error) => return Err(Failure::malformed(format!("the head of the answer: {error}"))),
    };
    let mut facts = Facts::of(response.version == Some(1));
    let noted = response.headers.iter().try_for_each(|field| facts.note(field.name.as_bytes(), field.value, typed));
    noted.and_then(|()| facts.agree()).map_err(Failure::malformed)?;
    Ok(Some((response.code.unwrap_or_default(), facts, length)))
}

/// The same, in half the time, for a head as nearly every server writes it: HTTP/1.1, a reason, CRLF. What is not, not whole or
/// not good in any way, is left to [`any`]; what this takes, that takes alike.
fn usual(read: &[u8], typed: bool) -> Option<(u16, Facts, usize)> {
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] = read.strip_prefix(b"HTTP/1.1 ")? else {
        return None;
    };
    let status = [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    let mut facts = Facts::of(true);
    let mut rest = read;
    for lines in 0..=MAX_FIELDS + 1 {
        let (line, behind) = rest.split_at_checked(memchr::memchr(b'\n', rest)? + 1)?;
        rest = behind;
        let line = line.strip_suffix(b"\r\n")?;
        if lines == 0 {
            continue;
        }
        if line.is_empty() {
            facts.agree().ok()?;
            let length = read.len() - rest.len();
            // One CR and one LF for each line, and no other control character anywhere.
            let whole = controls(read.get(..length)?) == 2 * (lines + 1);
            return whole.then_some((status, facts, length));
        }
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
        if !is_token(name) {
            return None;
        }
        facts.note(name, value.trim_ascii(), typed).ok()?;
    }
    None
}

#[derive(Debug, Default, PartialEq)]
struct Facts {
    http11: bool,
    length: Option<u64>,
    chunked: bool,
    keep_alive: bool,
    content_type: Option<Bytes>,
    retry_after: Option<RetryAfter>,
}

impl Facts {
    fn of(http11: bool) -> Self {
        Self { http11, keep_alive: http11, ..Self::default() }
    }

    /// `typed`: the type of the body matters.
    fn note(&mut self, name: &[u8], value: &[u8], typed: bool) -> Result<(), &'static str> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.keep_alive &= !options.any(|option| option.eq_ignore_ascii_case(b"close"));
            }
            11 if name.eq_ignore_ascii_case(b"retry-after") => self.retry_after = RetryAfter::parse(value),
            12 if typed && name.eq_ignore_ascii_case(b"content-type") => {
                self.content_type = Some(Bytes::copy_from_slice(value));
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Err("a transfer coding other than chunked");
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether they agree with one another.
    fn agree(&self) -> Result<(), &'static str> {
        match (self.chunked, self.length, self.http11) {
            (true, Some(_), _) => Err("both a length and a transfer coding"),
            (true, None, false) => Err("a transfer coding in HTTP/1.0"),
            _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: [&str; 9] = [
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nbody",
        "HTTP/1.1 204 \r\nconnection: keep-alive, Close\r\nRetry-After:\t 7 \r\n\r\n",
        "HTTP/1.1 503 Not now \r\nTransfer-Encoding:chunked\r\nX-Empty:\r\n\r\n1\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200\r\nA: b\r\n\r\n",
        "HTTP/1.1 999 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 \u{e9}\r\nA: \u{e9}\r\n\r\n",
    ];

    /// Whether it was taken for a usual one; then every reading of it is the same.
    fn agrees(head: &[u8]) -> bool {
        let usual = usual(head, true);
        if let Some(usual) = &usual {
            let any = any(head, true).unwrap().unwrap();
            assert_eq!(*usual, any, "{}", String::from_utf8_lossy(head));
        }
        usual.is_some()
    }

    #[test]
    fn both_readers_read_alike() {
        let taken = HEADS.map(|head| agrees(head.as_bytes()));
        assert_eq!(taken, [true, true, true, true, false, false, false, false, true]);
        for (head, taken) in HEADS.map(str::as_bytes).into_iter().zip(taken) {
            let end = head.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
            for at in 0..head.len() {
                assert_eq!(agrees(&head[..at]), taken && at >= end, "cut at {at}");
                for byte in 0..=255 {
                    let (mut other, mut longer) = (head.to_vec(), head.to_vec());
                    other[at] = byte;
                    agrees(&other);
                    longer.insert(at, byte);
                    agrees(&longer);
                }
                let mut shorter = head.to_vec();
                shorter.remove(at);
                agrees(&shorter);
            }
        }
    }

    #[test]
    fn as_many_fields_as_any_and_no_more() {
        for fields in [MAX_FIELDS - 1, MAX_FIELDS, MAX_FIELDS + 1, MAX_FIELDS + 2] {
            let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(fields));
            assert_eq!(agrees(head.as_bytes()), fields <= MAX_FIELDS, "{fields}");
            assert_eq!(any(head.as_bytes(), true).is_ok(), fields <= MAX_FIELDS, "{fields}");
        }
    }
}
