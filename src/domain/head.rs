//! A request head, as it was received: one buffer, and spans into it.
//!
//! Nothing is decoded, lower-cased or re-ordered, because what is forwarded must be what was signed. Header names keep the
//! sender's letters; look-ups ignore case. A head holds at most a few dozen fields, so a look-up is a short scan that
//! allocates nothing.
//!
//! Deliberately absent: a mutable header map. What goes to the upstream is written from this, never edited in place.

pub(super) mod name;

use std::fmt;
use std::ops::Range;

/// A request method. Everything that no route can allow (CONNECT, TRACE, inventions) is [`Method::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Method {
    /// Methods that a route may allow, in the order in which `Allow` lists them.
    pub const ALLOWABLE: [Self; 7] =
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];

    /// Case-sensitive, as RFC 9110 section 9.1 has it.
    pub fn parse(token: &str) -> Self {
        Self::ALLOWABLE.into_iter().find(|method| method.as_str() == token).unwrap_or(Self::Other)
    }

    /// Whether a request of this method has a body as a rule, so that a missing length means a cut one.
    pub fn carries_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }

    /// The token on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

/// The protocol version a request came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

impl Version {
    /// As logs and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
        }
    }
}

/// How the end of the body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// Chunked, or an HTTP/2 stream without a declared length.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The edge bounds a head far below 4 GiB, so a span cannot wrap.
    fn new(start: usize, len: usize) -> Self {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: place(start), end: place(start.saturating_add(len)) }
    }

    fn len(self) -> usize {
        self.range().len()
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.range()).unwrap_or_default()
    }
}

/// What a head was written in. Nearly always it is text as a whole, which is found out once, so that no name in it has to be
/// looked at again; where some value is not, each name is looked at when it is asked for.
#[derive(Clone)]
enum Buf {
    Text(String),
    Bytes(Vec<u8>),
}

impl Buf {
    fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|not_text| Self::Bytes(not_text.into_bytes()), Self::Text)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The edge admits visible ASCII only in names, targets and hosts; anything else reads as empty, never as a panic.
    fn text(&self, span: Span) -> &str {
        match self {
            Self::Text(text) => text.get(span.range()).unwrap_or_default(),
            Self::Bytes(bytes) => std::str::from_utf8(span.of(bytes)).unwrap_or_default(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Field {
    name: Span,
    value: Span,
}

/// Header fields in the order in which they came.
#[derive(Clone)]
pub struct Headers {
    buf: Buf,
    fields: Vec<Field>,
}

/// More than one line of a field that may come once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl Headers {
    /// Every field, name as the sender wrote it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let bytes = self.buf.bytes();
        self.fields.iter().map(move |field| (self.buf.text(field.name), field.value.of(bytes)))
    }

    /// Every value of one field; `name` in any case.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.buf.bytes();
        self.fields
            .iter()
            // Most names differ in their length, which is there without looking at them.
            .filter(|field| field.name.len() == name.len() && name::same(field.name.of(bytes), name.as_bytes()))
            .map(|field| field.value.of(bytes))
    }

    /// The first value of a field, for fields whose repetition does no harm.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The value of a field that decides something: two lines of it are an error, never a choice.
    pub fn sole(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.all(name);
        let value = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(value) }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Names only: values may hold secrets and signatures.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// What a head says before its fields, and the host, which is not one of them.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of [`Head`]")]
pub struct RequestLine<'r> {
    pub method: Method,
    pub version: Version,
    pub path: &'r str,
    pub query: Option<&'r str>,
    pub host: &'r [u8],
}

/// A request head that passed the edge's checks.
#[derive(Clone)]
pub struct Head {
    method: Method,
    version: Version,
    framing: Framing,
    expects_continue: bool,
    path: Span,
    query: Option<Span>,
    host: Span,
    headers: Headers,
}

impl Head {
    /// Starts a head from parts; the buffer is written as fields are added.
    pub fn builder(method: Method, version: Version) -> HeadBuilder {
        HeadBuilder {
            buf: Vec::with_capacity(512),
            method,
            version,
            framing: Framing::Empty,
            expects_continue: false,
            path: Span { start: 0, end: 0 },
            query: None,
            host: Span { start: 0, end: 0 },
            fields: Vec::with_capacity(16),
        }
    }

    /// A head whose parts the caller found in `raw`: that is copied once, as a whole.
    pub fn received<'r>(
        raw: &'r [u8],
        line: RequestLine<'r>,
        framing: Framing,
        expects_continue: bool,
        fields: impl ExactSizeIterator<Item = (&'r str, &'r [u8])>,
    ) -> Self {
        let RequestLine { method, version, path, query, host } = line;
        let mut copied = Copied { raw, buf: raw.to_vec() };
        let (path, host) = (copied.find(path.as_bytes()), copied.find(host));
        let query = query.map(|query| copied.find(query.as_bytes()));
        let mut spans = Vec::with_capacity(fields.len());
        spans.extend(
            fields
                .filter(|(name, _)| !name.eq_ignore_ascii_case("host"))
                .map(|(name, value)| Field { name: copied.find(name.as_bytes()), value: copied.find(value) }),
        );
        let headers = Headers { buf: Buf::new(copied.buf), fields: spans };
        Self { method, version, framing, expects_continue, path, query, host, headers }
    }

    /// The request method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the sender waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The path of the request target, raw: never decoded, never normalised.
    pub fn path(&self) -> &str {
        self.headers.buf.text(self.path)
    }

    /// The query of the request target, raw and without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.headers.buf.text(span))
    }

    /// The host the sender asked for, with its port if it named one. Compare it ignoring case.
    pub fn host(&self) -> &str {
        self.headers.buf.text(self.host)
    }

    /// A copy with another target and host, and with another value of some fields, by their places.
    #[must_use]
    pub fn with<'v>(
        &self,
        path: &str,
        query: Option<&str>,
        host: &str,
        value: impl Fn(usize) -> Option<&'v [u8]>,
    ) -> Self {
        let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let builder = Self::builder(self.method, self.version)
            .target(&target)
            .host(host)
            .framing(self.framing)
            .expects_continue(self.expects_continue);
        let fields = self.headers.iter().enumerate();
        fields.fold(builder, |builder, (at, (name, as_is))| builder.header(name, value(at).unwrap_or(as_is))).build()
    }

    /// Bytes that it holds in memory, about.
    pub fn footprint(&self) -> usize {
        self.headers.buf.bytes().len() + self.headers.fields.len() * size_of::<Field>()
    }

    /// The header fields. `Host` and `:authority` are not among them; see [`Head::host`].
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}

/// Method, path and header names; never a query or a value, which may hold secrets.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Collects a head. The edge checks what it adds; this type only remembers.
#[derive(Debug)]
pub struct HeadBuilder {
    buf: Vec<u8>,
    method: Method,
    version: Version,
    framing: Framing,
    expects_continue: bool,
    path: Span,
    query: Option<Span>,
    host: Span,
    fields: Vec<Field>,
}

impl HeadBuilder {
    /// Sets path and query from a request target in origin form, split at the first question mark.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        self.path = self.put(path.as_bytes());
        self.query = query.map(|query| self.put(query.as_bytes()));
        self
    }

    /// Sets the host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.host = self.put(host.as_bytes());
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let field = Field { name: self.put(name.as_bytes()), value: self.put(value.as_ref()) };
        self.fields.push(field);
        self
    }

    /// Says how the body ends.
    #[must_use]
    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Says that the sender waits for `100 Continue`.
    #[must_use]
    pub fn expects_continue(mut self, expects: bool) -> Self {
        self.expects_continue = expects;
        self
    }

    /// The head.
    pub fn build(self) -> Head {
        Head {
            method: self.method,
            version: self.version,
            framing: self.framing,
            expects_continue: self.expects_continue,
            path: self.path,
            query: self.query,
            host: self.host,
            headers: Headers { buf: Buf::new(self.buf), fields: self.fields },
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Span {
        let span = Span::new(self.buf.len(), bytes.len());
        self.buf.extend_from_slice(bytes);
        span
    }
}

/// A copy of a head as it stood on the wire, in which its parts are found again by where they stood.
struct Copied<'r> {
    raw: &'r [u8],
    buf: Vec<u8>,
}

impl Copied<'_> {
    /// What is no part of the original is added behind it.
    fn find(&mut self, part: &[u8]) -> Span {
        let at = part.as_ptr().addr().checked_sub(self.raw.as_ptr().addr());
        match at.filter(|at| at.saturating_add(part.len()) <= self.raw.len()) {
            Some(at) => Span::new(at, part.len()),
            None => {
                let span = Span::new(self.buf.len(), part.len());
                self.buf.extend_from_slice(part);
                span
            }
        }
    }
}

#[cfg(test)]
mod tests;
