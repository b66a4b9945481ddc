//! An HTTP/2 request's fields as a [`Head`], under the same rules as HTTP/1.1.
//!
//! `h2` has already refused what RFC 9113 calls malformed: upper-case names, connection-specific fields, missing or repeated
//! pseudo-fields. What is left is what a translation to HTTP/1.1 could make dangerous.

use http::header;
use http::request::Parts;

use crate::domain::target::{host_is_valid, path_is_clean, target_is_clean};
use crate::domain::{Framing, Head, Method, Refusal, Version};
use crate::runtime::snapshot::Limits;

/// Checks and copies the fields.
pub(super) fn read(parts: &Parts, ended: bool, limits: &Limits) -> Result<Head, Refusal> {
    if parts.headers.len() > limits.max_headers || size(parts) > limits.max_head {
        return Err(Refusal::HeadTooLarge);
    }
    let method = Method::parse(parts.method.as_str());
    let host = host(parts)?;
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str(),
        None if method == Method::Other => "/",
        None => return Err(Refusal::HeadMalformed),
    };
    if !target.starts_with('/') || !target_is_clean(target) || !path_is_clean(parts.uri.path()) {
        return Err(Refusal::HeadMalformed);
    }
    let mut head = Head::builder(method, Version::Http2)
        .target(target)
        .host(host)
        .framing(framing(parts, ended)?)
        .expects_continue(expectation(parts)?);
    let mut cookie: Option<Vec<u8>> = None;
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::HOST) {
        if *name == header::COOKIE {
            crumb(&mut cookie, value.as_bytes());
        } else {
            head = head.header(name.as_str(), value.as_bytes());
        }
    }
    if let Some(cookie) = cookie {
        head = head.header("cookie", cookie);
    }
    Ok(head.build())
}

/// A sender may cut its cookies in pieces, so that each is compressed by itself; for whoever does not speak HTTP/2 they are one
/// field again (RFC 9113 section 8.2.3).
fn crumb(cookie: &mut Option<Vec<u8>>, crumb: &[u8]) {
    match cookie {
        Some(cookie) => {
            cookie.extend_from_slice(b"; ");
            cookie.extend_from_slice(crumb);
        }
        None => *cookie = Some(crumb.to_vec()),
    }
}

/// What the target and the fields would take in HTTP/1.1, line ends included.
fn size(parts: &Parts) -> usize {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    parts.headers.iter().fold(target, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}

/// `:authority`; a `host` field beside it must say the same.
fn host(parts: &Parts) -> Result<&str, Refusal> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let field = fields.next().map(|value| value.to_str().map_err(|_| Refusal::HostInvalid)).transpose()?;
    if fields.next().is_some() {
        return Err(Refusal::HostInvalid);
    }
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = match (authority, field) {
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => return Err(Refusal::HostInvalid),
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Err(Refusal::HostInvalid),
    };
    if host_is_valid(host.as_bytes()) { Ok(host) } else { Err(Refusal::HostInvalid) }
}

fn framing(parts: &Parts, ended: bool) -> Result<Framing, Refusal> {
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = match lengths.next().map(http::HeaderValue::as_bytes) {
        Some(digits) if !digits.is_empty() && digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) => {
            Some(digits.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0')))
        }
        Some(_) => return Err(Refusal::FramingAmbiguous),
        None => None,
    };
    if lengths.next().is_some() {
        return Err(Refusal::FramingAmbiguous);
    }
    match (ended, length) {
        (true, None | Some(0)) => Ok(Framing::Empty),
        (true, Some(_)) => Err(Refusal::FramingAmbiguous),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::Unknown),
    }
}

fn expectation(parts: &Parts) -> Result<bool, Refusal> {
    let mut expectations = parts.headers.get_all(header::EXPECT).iter();
    match (expectations.next(), expectations.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        (Some(_), _) => Err(Refusal::ExpectationUnsupported),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        build: impl FnOnce(http::request::Builder) -> http::request::Builder,
        ended: bool,
    ) -> Result<Head, Refusal> {
        let request = build(http::Request::builder().method("POST").uri("https://relay.example/hooks/a?b=c"));
        read(&request.body(()).unwrap().into_parts().0, ended, &limits())
    }

    fn limits() -> Limits {
        Limits {
            max_connections: 1,
            max_connections_per_address: 1,
            handshakes_per_address: crate::guards::meter::Rate { per_second: 1.0, burst: 1 },
            handshake_timeout: std::time::Duration::ZERO,
            head_timeout: std::time::Duration::ZERO,
            body_timeout: std::time::Duration::ZERO,
            body_grace: std::time::Duration::ZERO,
            min_body_rate: 0,
            idle_timeout: std::time::Duration::ZERO,
            write_timeout: std::time::Duration::ZERO,
            drain_timeout: std::time::Duration::ZERO,
            max_head: 32 * 1024,
            max_headers: 4,
            max_body: 1,
            body_memory: 1,
            max_h2_streams: 1,
            dedupe_entries: 1,
        }
    }

    #[test]
    fn an_ordinary_head() {
        let head = check(|request| request.header("x-sig", "a").header("content-length", "3"), false).unwrap();
        assert_eq!((head.method(), head.version(), head.framing()), (Method::Post, Version::Http2, Framing::Length(3)));
        assert_eq!((head.host(), head.path(), head.query()), ("relay.example", "/hooks/a", Some("b=c")));
        assert_eq!(head.headers().first("X-Sig"), Some(&b"a"[..]));
        assert_eq!(check(|request| request, true).unwrap().framing(), Framing::Empty);
        assert_eq!(check(|request| request, false).unwrap().framing(), Framing::Unknown);
    }

    #[test]
    fn pieces_of_a_cookie_are_one_field() {
        for (crumbs, whole) in [
            (&["a=1"][..], "a=1"),
            (&["a=1", "b=2", "c=3"], "a=1; b=2; c=3"),
            (&["a=1", "", "b=2"], "a=1; ; b=2"),
            (&[""], ""),
        ] {
            let head =
                check(|request| crumbs.iter().fold(request, |request, crumb| request.header("cookie", *crumb)), true);
            let head = head.unwrap();
            assert_eq!(head.headers().all("cookie").collect::<Vec<_>>(), [whole.as_bytes()], "{crumbs:?}");
        }
        assert_eq!(check(|request| request, true).unwrap().headers().first("cookie"), None);
    }

    #[test]
    fn refusals() {
        let refusal = |build: fn(http::request::Builder) -> http::request::Builder| check(build, false).unwrap_err();
        assert_eq!(refusal(|request| request.header("host", "other.example")), Refusal::HostInvalid);
        assert_eq!(refusal(|request| request.uri("/no-authority")), Refusal::HostInvalid);
        assert_eq!(refusal(|request| request.uri("https://user@relay.example/")), Refusal::HostInvalid);
        assert_eq!(refusal(|request| request.uri("https://relay.example/a//b")), Refusal::HeadMalformed);
        assert_eq!(refusal(|request| request.uri("https://relay.example/%2e%2e/b")), Refusal::HeadMalformed);
        assert_eq!(refusal(|request| request.header("content-length", "+1")), Refusal::FramingAmbiguous);
        assert_eq!(
            refusal(|request| request.header("content-length", "1").header("content-length", "1")),
            Refusal::FramingAmbiguous
        );
        assert_eq!(refusal(|request| request.header("expect", "magic")), Refusal::ExpectationUnsupported);
        assert_eq!(
            refusal(|request| (0..5).fold(request, |request, _| request.header("x", "y"))),
            Refusal::HeadTooLarge
        );
        assert_eq!(
            check(|request| request.header("content-length", "1"), true).unwrap_err(),
            Refusal::FramingAmbiguous
        );
    }
}
