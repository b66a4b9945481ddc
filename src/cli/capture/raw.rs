//! Raw HTTP/1.1: request line, headers, an empty line, the body.
//!
//! The head may have lost its carriage returns and may say `HTTP/2`; the body is taken byte for byte.

use super::Captured;
use crate::cli::Unusable;
use crate::domain::{Head, HeadBuilder, Method, Version};

const MOST_HEADERS: usize = 256;

/// Head and body of a raw HTTP/1.1 request.
pub(super) fn parse(capture: &[u8]) -> Result<Captured, Unusable> {
    let (line, head_rest) = split_line(capture).ok_or("the request is empty")?;
    // What a tool prints of an HTTP/2 request: the same words, another version.
    let line = String::from_utf8(line.to_vec()).map_err(|_| "the request line is not text")?;
    let (words, version) = match line.strip_suffix(" HTTP/2").or_else(|| line.strip_suffix(" HTTP/2.0")) {
        Some(words) => (words, Version::Http2),
        None => (line.strip_suffix(" HTTP/1.1").unwrap_or(&line), Version::Http11),
    };
    let mut text = format!("{words} HTTP/1.1\r\n").into_bytes();
    let line_length = text.len();
    text.extend_from_slice(head_rest);
    let mut fields = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(&text) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            return Err("the head has no end: an empty line must stand before the body".into());
        }
        Err(error) => {
            let place = bad_line(capture).map_or_else(String::new, |line| format!(" (line {line})"));
            return Err(format!("this is not an HTTP request: {error}{place}").into());
        }
    };
    // In terms of the capture itself, whose first line may have been longer or shorter.
    let body = head_rest.get(length.saturating_sub(line_length)..).unwrap_or_default();
    let body = framed(&head(&parsed, version)?.build(), body)?;
    Ok(Captured::new(head(&parsed, version)?, body.to_vec(), "raw HTTP"))
}

/// The first line of the head that cannot be one, for people who look for it.
fn bad_line(capture: &[u8]) -> Option<usize> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let mut lines = (1..).zip(capture.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end));
    let (_, first) = lines.next()?;
    if first.split(|byte| *byte == b' ').count() != 3 {
        return Some(1);
    }
    let mut head = lines.take_while(|(_, line)| !line.is_empty());
    let good = |line: &[u8]| {
        let name = line.iter().position(|byte| *byte == b':').and_then(|at| line.get(..at)).unwrap_or_default();
        !name.is_empty() && name.iter().all(token)
    };
    head.find(|(_, line)| !good(line)).map(|(number, _)| number)
}

fn split_line(capture: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', capture)?;
    let (line, rest) = capture.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn head(parsed: &httparse::Request<'_, '_>, version: Version) -> Result<HeadBuilder, Unusable> {
    let method = Method::parse(parsed.method.unwrap_or_default());
    let target = parsed.path.unwrap_or_default();
    let origin = origin_form(target).ok_or("the request target must begin with a slash")?;
    let mut builder = Head::builder(method, version).target(origin);
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("host") {
            builder = builder.host(std::str::from_utf8(field.value).map_err(|_| "the Host header is not text")?);
        } else {
            builder = builder.header(field.name, field.value);
        }
    }
    Ok(builder)
}

/// Also of `https://host/path`, as some tools write it.
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (_, rest) = target.split_once("://")?;
    rest.find('/').and_then(|at| rest.get(at..))
}

/// The body as its length says. A capture that was saved by an editor has a line feed too many, which is not the body's.
fn framed<'c>(head: &Head, body: &'c [u8]) -> Result<&'c [u8], Unusable> {
    let encoded =
        head.headers().first("transfer-encoding").is_some_and(|value| !value.eq_ignore_ascii_case(b"identity"));
    if encoded {
        return Err("the body is chunked: put the decoded body in and take the Transfer-Encoding line out".into());
    }
    let length = head.headers().sole("content-length").map_err(|_| "there are two Content-Length lines")?;
    let Some(length) = length else { return Ok(body) };
    let length: usize = std::str::from_utf8(length)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or("Content-Length is not a number")?;
    let rest = body.get(length..).ok_or_else(|| {
        format!("Content-Length says {length} bytes and the body has {}: the capture is not complete", body.len())
    })?;
    if !rest.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(format!("Content-Length says {length} bytes and the body has {}", body.len()).into());
    }
    Ok(body.get(..length).unwrap_or(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(capture: &str) -> String {
        parse(capture.as_bytes()).unwrap_err().0
    }

    #[test]
    fn a_pasted_head_has_bare_line_feeds_and_an_exact_body() {
        for capture in [
            "POST /x?a=1 HTTP/1.1\r\nHost: h\r\nX-Sig: a  \r\n\r\n{\r\n}\n",
            "POST /x?a=1 HTTP/1.1\nHost: h\nX-Sig: a\n\n{\r\n}\n",
            "POST /x?a=1 HTTP/2\nHost: h\nX-Sig: a\n\n{\r\n}\n",
            "POST https://h/x?a=1 HTTP/1.1\nHost: h\nX-Sig: a\n\n{\r\n}\n",
        ] {
            let Captured { head, body, .. } =
                parse(capture.as_bytes()).unwrap_or_else(|why| panic!("{capture}: {why:?}"));
            assert_eq!((head.method(), head.path(), head.query(), head.host()), (Method::Post, "/x", Some("a=1"), "h"));
            assert_eq!(head.headers().first("x-sig"), Some(&b"a"[..]));
            assert_eq!(body, b"{\r\n}\n", "{capture}");
        }
    }

    #[test]
    fn a_length_decides_where_the_body_ends() {
        let Captured { body, .. } = parse(b"POST / HTTP/1.1\ncontent-length: 2\n\n{}\n").unwrap();
        assert_eq!(body, b"{}");
        assert!(refused("POST / HTTP/1.1\nContent-Length: 3\n\n{}").contains("not complete"));
        assert!(refused("POST / HTTP/1.1\nContent-Length: 1\n\n{}").contains("says 1 bytes"));
        assert!(refused("POST / HTTP/1.1\nContent-Length: 1\nContent-Length: 2\n\n{}").contains("two"));
        assert!(refused("POST / HTTP/1.1\nContent-Length: x\n\n{}").contains("not a number"));
    }

    #[test]
    fn what_is_no_request_is_said() {
        assert!(refused("").contains("empty"));
        assert!(refused("POST / HTTP/1.1\nA: b\n").contains("empty line"));
        assert!(refused("hello\n\n").contains("not an HTTP request"));
        assert!(refused("POST / HTTP/1.1\nA: b\nno header\n\n").contains("(line 3)"));
        assert!(refused("POST x HTTP/1.1\n\n").contains("slash"));
        assert!(refused("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n2\r\n{}\r\n0\r\n\r\n").contains("chunked"));
    }
}
