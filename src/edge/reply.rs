//! An [`Answer`] as bytes: the HTTP/1.1 form is one buffer, written in one call.

use std::cell::RefCell;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use crate::base::UnixMillis;
use crate::base::text::push_number;
use crate::domain::Answer;

/// Writes status line, fields and body to `out`.
pub(super) fn write_h1(out: &mut Vec<u8>, answer: &Answer, request_id: &str, close: bool, now: UnixMillis) {
    out.clear();
    if answer.status == 200 {
        // What nearly every sender receives, in one piece.
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: ");
        push_number(out, answer.body.len());
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, answer.status);
        out.push(b' ');
        out.extend_from_slice(reason(answer.status).as_bytes());
        if has_length(answer.status) {
            field(out, "content-length", |out| push_number(out, answer.body.len()));
        }
    }
    date_field(now, |field| out.extend_from_slice(field.as_bytes()));
    if !request_id.is_empty() {
        field(out, "x-request-id", |out| out.extend_from_slice(request_id.as_bytes()));
    }
    if let Some(content_type) = answer.content_type.as_ref().filter(|_| !answer.body.is_empty()) {
        field(out, "content-type", |out| out.extend_from_slice(content_type));
    }
    if let Some(encoding) = answer.content_encoding.as_ref().filter(|_| !answer.body.is_empty()) {
        field(out, "content-encoding", |out| out.extend_from_slice(encoding));
    }
    if let Some(allow) = answer.allow {
        field(out, "allow", |out| out.extend_from_slice(allow.as_bytes()));
    }
    for (name, value) in &answer.headers {
        field(out, name, |out| out.extend_from_slice(value));
    }
    if let Some(wait) = answer.retry_after {
        field(out, "retry-after", |out| push_number(out, whole_seconds(wait)));
    }
    if close {
        field(out, "connection", |out| out.extend_from_slice(b"close"));
    }
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(&answer.body);
}

/// A 204 has no body by definition and must not speak of one (RFC 9110 section 8.6).
pub(super) fn has_length(status: u16) -> bool {
    status != 204
}

/// `Retry-After` has no fractions; rounding up keeps the sender from coming too early.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Hands out the `Date` field's value.
pub(super) fn date(now: UnixMillis, with: impl FnOnce(&str)) {
    date_field(now, |field| with(field.strip_prefix(DATE).unwrap_or_default()));
}

const DATE: &str = "\r\ndate: ";

/// Hands out the `Date` field with its line end before it; formatted once per second and thread.
fn date_field(now: UnixMillis, with: impl FnOnce(&str)) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, field)| {
        if *second != now.secs() {
            *second = now.secs();
            let at = Timestamp::from_second(*second).unwrap_or(Timestamp::UNIX_EPOCH);
            let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default();
            *field = [DATE, &date].concat();
        }
        with(field);
    });
}

fn field(out: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    value(out);
}

/// Reason phrases carry no meaning (RFC 9112 section 4); some old senders log them all the same.
fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn an_answer_on_the_wire() {
        let answer = Answer {
            status: 429,
            body: Bytes::from_static(b"too many requests\n"),
            content_type: Some(Bytes::from_static(b"text/plain")),
            content_encoding: None,
            allow: None,
            headers: vec![("x-hook".into(), Bytes::from_static(b"a"))],
            retry_after: Some(Duration::from_millis(1001)),
            close: true,
        };
        let mut out = Vec::new();
        write_h1(&mut out, &answer, "abc", true, UnixMillis::from_secs(784_111_777));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 18\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             x-request-id: abc\r\ncontent-type: text/plain\r\nx-hook: a\r\nretry-after: 2\r\nconnection: close\r\n\r\ntoo many requests\n"
        );
    }
}
