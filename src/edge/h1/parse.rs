//! One HTTP/1.x request head, read strictly: what two parsers could read differently is refused.
//!
//! `httparse` finds the fields; this file decides what may stand in them. RFC 9112 lets a server be lenient in several places
//! (bare line feeds, absolute targets, a repeated but equal length). Senders of webhooks are ordinary HTTP clients and never
//! need that leniency, and request smuggling lives in it, so none of it is given.

use std::mem::MaybeUninit;

use crate::domain::target::{host_is_valid, path_is_clean, target_is_clean};
use crate::domain::{Framing, Head, Method, Refusal, RequestLine, Version};

/// More than `max_headers` can be, so that the limit is ours to report.
const FIELDS_MAX: usize = 257;

/// Parses the bytes of one complete head, its empty line included.
pub(in crate::edge) fn parse(bytes: &[u8], max_headers: usize) -> Result<Parsed, Refusal> {
    let mut fields = [MaybeUninit::<httparse::Header<'_>>::uninit(); FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(Refusal::HeadMalformed),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(version_refusal(bytes)),
        Err(_) => return Err(Refusal::HeadMalformed),
    }
    if request.headers.len() > max_headers {
        return Err(Refusal::HeadTooLarge);
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::HeadMalformed);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let facts = Facts::of(request.headers)?;
    let host = facts.host.ok_or(Refusal::HostInvalid)?;
    if !host_is_valid(host) {
        return Err(Refusal::HostInvalid);
    }
    let method = Method::parse(method);
    let framing = facts.framing(version, method)?;
    let (path, query) = origin_form(target, host, method)?;
    let line = RequestLine { method, version, path, query, host };
    let expects_continue = facts.expects_continue && framing != Framing::Empty && version == Version::Http11;
    let fields = request.headers.iter().map(|field| (field.name, field.value));
    let head = Head::received(bytes, line, framing, expects_continue, fields);
    Ok(Parsed { head, keep_alive: facts.keep_alive(version) })
}

/// A head and what it says of its connection.
#[derive(Debug)]
pub(in crate::edge) struct Parsed {
    pub(in crate::edge) head: Head,
    pub(in crate::edge) keep_alive: bool,
}

/// `HTTP/2.0` is a version we do not speak here; `FTP/1.1` is not HTTP, and a line of four words is not a request line.
fn version_refusal(bytes: &[u8]) -> Refusal {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor]), None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::VersionUnsupported
        }
        _ => Refusal::HeadMalformed,
    }
}

/// The fields that frame the message or steer the connection.
#[derive(Default)]
struct Facts<'h> {
    host: Option<&'h [u8]>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    expects_continue: bool,
}

impl<'h> Facts<'h> {
    fn of(fields: &'h [httparse::Header<'h>]) -> Result<Self, Refusal> {
        let mut facts = Self::default();
        for field in fields {
            // The longest of these names has 17 letters; nothing longer needs the comparisons.
            match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => facts.host(field.value)?,
                6 if field.name.eq_ignore_ascii_case("expect") => facts.expect(field.value)?,
                7 if field.name.eq_ignore_ascii_case("upgrade") => return Err(Refusal::UpgradeUnsupported),
                10 if field.name.eq_ignore_ascii_case("connection") => facts.connection(field.value)?,
                14 if field.name.eq_ignore_ascii_case("content-length") => facts.length(field.value)?,
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => facts.encoding(field.value)?,
                _ => {}
            }
        }
        Ok(facts)
    }

    fn host(&mut self, value: &'h [u8]) -> Result<(), Refusal> {
        if !value.is_ascii() || self.host.replace(value).is_some() { Err(Refusal::HostInvalid) } else { Ok(()) }
    }

    /// Exactly `100-continue`, once. This one stays without empty elements: what two servers make of an odd expectation decides
    /// which of them reads the body.
    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.expects_continue || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::ExpectationUnsupported);
        }
        self.expects_continue = true;
        Ok(())
    }

    /// Empty elements of the list say nothing (RFC 9110 section 5.6.1.2).
    fn connection(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for option in options.filter(|option| !option.is_empty()) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"te") {
                return Err(Refusal::ConnectionOptionInvalid);
            }
        }
        Ok(())
    }

    /// Digits only, once. A sign, a list, a second equal line: every one of them is read differently by somebody.
    fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let plain = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
        if !plain || self.length.is_some() || self.chunked {
            return Err(Refusal::FramingAmbiguous);
        }
        let value = value.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        self.length = Some(value);
        Ok(())
    }

    /// Exactly `chunked`, once; names of codings have no case (RFC 9112 section 7). Empty elements would be allowed here too, but
    /// servers differ in what they make of them, and this field says where the message ends.
    fn encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if !value.eq_ignore_ascii_case(b"chunked") || self.chunked || self.length.is_some() {
            return Err(Refusal::FramingAmbiguous);
        }
        self.chunked = true;
        Ok(())
    }

    fn framing(&self, version: Version, method: Method) -> Result<Framing, Refusal> {
        match (self.chunked, self.length) {
            // HTTP/1.0 has no chunks, and a body that ends with the connection cannot be distinguished from a cut one.
            (true, _) if version == Version::Http10 => Err(Refusal::FramingAmbiguous),
            (true, _) => Ok(Framing::Unknown),
            (false, Some(0)) => Ok(Framing::Empty),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) if version == Version::Http10 && method.carries_body() => Err(Refusal::FramingAmbiguous),
            (false, None) => Ok(Framing::Empty),
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        // An HTTP/1.0 sender gets one request a connection: what `keep-alive` meant there was never standardised.
        version == Version::Http11 && !self.close
    }
}

/// The target as path and query. The absolute form is accepted only when it repeats `Host`.
fn origin_form<'t>(target: &'t str, host: &[u8], method: Method) -> Result<(&'t str, Option<&'t str>), Refusal> {
    if method == Method::Other && !target.starts_with('/') {
        // CONNECT's authority form, or a method nobody allows: refused by its method, not by its target.
        return Ok(("/", None));
    }
    let origin = if target.starts_with('/') { target } else { behind_authority(target, host)? };
    if !origin.starts_with('/') || !target_is_clean(origin) {
        return Err(Refusal::HeadMalformed);
    }
    let (path, query) = match origin.bytes().position(|byte| byte == b'?') {
        Some(at) => (origin.get(..at).unwrap_or_default(), origin.get(at + 1..)),
        None => (origin, None),
    };
    if path_is_clean(path) { Ok((path, query)) } else { Err(Refusal::HeadMalformed) }
}

fn behind_authority<'t>(target: &'t str, host: &[u8]) -> Result<&'t str, Refusal> {
    match target.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            let authority = rest.find(['/', '?']).map_or(rest, |at| rest.get(..at).unwrap_or(rest));
            if !authority.as_bytes().eq_ignore_ascii_case(host) {
                return Err(Refusal::HostInvalid);
            }
            Ok(rest.get(authority.len()..).unwrap_or_default())
        }
        Some(_) | None => Ok(target),
    }
}

#[cfg(test)]
mod tests;
