//! A request head, as it was received: one buffer, and spans into it.
//!
//! Nothing is decoded, lower-cased or re-ordered, because what is forwarded must be what was signed. Header names keep the
//! sender's letters; look-ups ignore case. A head holds at most a few dozen fields, so a look-up is a short scan that
//! allocates nothing.
//!
//! Deliberately absent: a mutable header map. What goes to the upstream is written from this, never edited in place.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

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
    fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.start as usize..self.end as usize).unwrap_or_default()
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
    buf: Bytes,
    fields: Vec<Field>,
}

/// More than one line of a field that may come once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated;

impl Headers {
    /// Every field, name as the sender wrote it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (text(field.name.of(&self.buf)), field.value.of(&self.buf)))
    }

    /// Every value of one field; `name` in any case.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(|field| field.name.of(&self.buf).eq_ignore_ascii_case(name.as_bytes()))
            .map(|field| field.value.of(&self.buf))
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
            buf: BytesMut::with_capacity(1024),
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
        text(self.path.of(&self.headers.buf))
    }

    /// The query of the request target, raw and without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| text(span.of(&self.headers.buf)))
    }

    /// The host the sender asked for, with its port if it named one. Compare it ignoring case.
    pub fn host(&self) -> &str {
        text(self.host.of(&self.headers.buf))
    }

    /// A copy with another query and with fields whose values were changed; `None` keeps a value.
    #[must_use]
    pub fn rewritten(&self, query: Option<&str>, value: impl Fn(&str, &[u8]) -> Option<Vec<u8>>) -> Self {
        let target = match query {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        };
        let mut builder = Self::builder(self.method, self.version)
            .target(&target)
            .host(self.host())
            .framing(self.framing)
            .expects_continue(self.expects_continue);
        for (name, before) in self.headers.iter() {
            builder = match value(name, before) {
                Some(after) => builder.header(name, after),
                None => builder.header(name, before),
            };
        }
        builder.build()
    }

    /// Bytes that it holds in memory, about.
    pub fn footprint(&self) -> usize {
        self.headers.buf.len() + self.headers.fields.len() * size_of::<Field>()
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
    buf: BytesMut,
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
            headers: Headers { buf: self.buf.freeze(), fields: self.fields },
        }
    }

    /// The edge bounds a head far below 4 GiB, so the spans cannot wrap.
    fn put(&mut self, bytes: &[u8]) -> Span {
        let start = u32::try_from(self.buf.len()).unwrap_or(u32::MAX);
        self.buf.put_slice(bytes);
        Span { start, end: u32::try_from(self.buf.len()).unwrap_or(u32::MAX) }
    }
}

/// The edge admits visible ASCII only in names, targets and hosts; anything else reads as empty, never as a panic.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
